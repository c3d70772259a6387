"""Rounds of sampling and training: what each takes, what is recorded, and that a stopped one ends at the same bits."""

import inspect
import json
import re

import numpy as np
import pytest
from tuned_runs import interrupted, timeless, weights

import mapl_explore
from mapl_explore.cli import main as cli
from mapl_explore.data import PreferenceSet, read_sets, write_sets
from mapl_explore.data.world import world_sets
from mapl_explore.files import sole_writer
from mapl_explore.models.loading import load_model, weights_checksum
from mapl_explore.runs.record import read_run
from mapl_explore.sampling import answers
from mapl_explore.training import rounds as recording
from mapl_explore.training.round_settings import RoundSettings
from mapl_explore.training.rounds import rounds

QUICK = {"loss": "rloo", "verifier": "world", "eval": world_sets(4, seed=3, split="validation"), "rounds": 2, "k": 4}
QUICK |= {"steps": 2, "sets_per_step": 4, "answers": 2, "max_tokens": 16, "batch_size": 2, "save_every": 1}
QUICK |= {"lr": 1e-3, "device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    write_sets(file := tmp_path_factory.mktemp("prompts") / "prompts.jsonl", world_sets(8, seed=7, split="train"))
    return file


@pytest.fixture(scope="module")
def whole(prompts, tmp_path_factory):
    """Two rounds of RLOO, which the tests only look at."""
    folder = tmp_path_factory.mktemp("whole") / "rounds"
    return folder, rounds(prompts, output=folder, **QUICK)


def read(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def record(folder):
    return json.loads((folder / "rounds.json").read_text())


def test_each_round_begins_with_the_model_of_the_one_before_and_keeps_the_first_base(whole):
    folder, (one, two) = whole
    assert (one.run.arguments["model"], two.run.arguments["model"]) == ("tiny", str(folder / "round-1"))
    assert two.run.weights_checksum == weights_checksum(load_model(folder / "round-1")[0])
    assert (one.run.reference_checksum, two.run.reference_checksum) == (None, one.run.weights_checksum)
    assert two.run.before["right"] == one.run.after["right"]
    assert two.run.before["chosen_ratio"] == pytest.approx(one.run.after["chosen_ratio"], abs=1e-9)


def test_a_loss_of_rewards_takes_each_draw_of_the_prompts_with_two_sides(whole):
    folder, done = whole
    for one in done:
        rows, sets = read(folder, f"draws-{one.number}.jsonl"), read_sets(folder / f"sets-{one.number}.jsonl")
        assert one.sampled.draws == len(rows) == 8 * 4
        assert (one.sampled.cut, one.sampled.right) == tuple(
            sum(map(kind, rows)) for kind in (lambda row: not row["ended"], lambda row: bool(row["right"]))
        )
        assert one.sampled.two_sided == len(sets)
        assert one.sampled.used == sum(len(each.responses) for each in sets)
        kept = [row["response"] for row in rows if row["ended"] and row["prompt"] in {each.prompt for each in sets}]
        assert sorted(kept) == sorted(text for each in sets for text in each.responses)
        assert one.sampled.only_right + one.sampled.only_wrong <= 8 - len(sets)
    assert read(folder, "draws-1.jsonl") != read(folder, "draws-2.jsonl")


def test_the_record_has_what_was_asked_and_what_each_round_sampled_and_ended_at(whole):
    folder, done = whole
    asked, entries = record(folder)["asked"], record(folder)["rounds"]
    assert (asked["loss"], asked["k"], asked["prompts"], asked["reference"]) == ("RLOO(beta=0.1)", 4, 8, "first")
    for one, entry in zip(done, entries, strict=True):
        assert entry == {
            "round": one.number, "seed": one.seed, "sampled": vars(one.sampled),
            "before": one.run.before, "after": one.run.after,
        }  # fmt: skip
    assert len({entry["seed"] for entry in entries}) == 2


def test_the_record_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    recording._write(tmp_path, {"k": 4}, [])
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        recording._write(tmp_path, {"k": 5}, [])
    assert record(tmp_path)["asked"] == {"k": 4}


def stopped_in_sampling(monkeypatch, after):
    make = answers.sampled_batches

    def watched(*args, **options):
        for number, batch in enumerate(make(*args, **options)):
            if number == after:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(answers, "sampled_batches", watched)


def test_stopped_in_sampling_and_in_training_the_rounds_end_at_the_bits_of_those_that_were_not(
    whole, prompts, tmp_path, monkeypatch
):
    folder, done = whole
    cut, asked, make = tmp_path / "cut", [], answers.sampled_batches
    for stop, number, resume in (
        (stopped_in_sampling, 2, False),
        (interrupted, 2, True),
        (stopped_in_sampling, 1, True),
        (interrupted, 2, True),
    ):
        with monkeypatch.context() as patch:
            stop(patch, number)
            with pytest.raises(KeyboardInterrupt):
                rounds(prompts, output=cut, resume=resume, **QUICK)
    (cut / "sets-1.jsonl.progress-0").write_text("")  # as of a sampling that was killed after its last file
    monkeypatch.setattr(answers, "sampled_batches", lambda *a, **o: asked.append(a) or make(*a, **o))
    resumed = rounds(prompts, output=cut, resume=True, **QUICK)
    assert asked == []
    assert weights(cut / "round-2") == weights(folder / "round-2")
    assert (cut / "rounds.json").read_bytes() == (folder / "rounds.json").read_bytes()
    for name in ("draws-1", "sets-1", "draws-2", "sets-2"):
        assert (cut / f"{name}.jsonl").read_bytes() == (folder / f"{name}.jsonl").read_bytes()
    assert [timeless(one.run).log for one in resumed] == [timeless(one.run).log for one in done]
    assert not [path.name for path in cut.iterdir() if "progress" in path.name or path.suffix == ".lock"]


def test_more_rounds_go_on_from_the_last_and_other_arguments_are_refused(prompts, tmp_path):
    folder = tmp_path / "rounds"
    given = QUICK | {"loss": "dpo-smooth", "reference": "round", "answers": 0}
    (one,) = rounds(prompts, output=folder, **given | {"rounds": 1})
    assert one.sampled.used == sum(len(set(each.responses)) for each in read_sets(folder / "sets-1.jsonl"))
    with pytest.raises(
        FileExistsError, match="is not empty: name a new folder; --resume goes on with what is begun in it"
    ):
        rounds(prompts, output=folder, **given)
    for other, said in (
        ({"k": 5}, "k 4, not 5"),
        ({"seed": 1}, "seed 0, not 1"),
        ({"loss": "sft"}, "loss .*, not .SFT"),
    ):
        with pytest.raises(ValueError, match=f"were started with {said}"):
            rounds(prompts, output=folder, resume=True, **given | other)
    before = weights(folder / "round-1")
    (folder / "round-2").mkdir()
    (folder / "round-2" / "run.json.x.part").write_text("{")  # as of a run that was killed in its first record
    two = rounds(prompts, output=folder, resume=True, **given)[1]
    assert weights(folder / "round-1") == before
    assert two.run.reference_checksum is None
    assert "KL to this round's base - nats" in str(two)
    with pytest.raises(ValueError, match="rounds must be at least the 2 that have ended, not 1"):
        rounds(prompts, output=folder, resume=True, **given | {"rounds": 1})


def test_responses_are_compared_with_a_field_of_the_prompts(prompts, tmp_path):
    given = {"loss": "sft", "verifier": "exact", "answer_field": "positives", "rounds": 1, "steps": 1, "answers": 0}
    rounds(prompts, output=tmp_path / "rounds", **QUICK | given)
    known = {one.prompt: {text.strip() for text in one.positives} for one in read_sets(prompts)}
    rows = [row for row in read(tmp_path / "rounds", "draws-1.jsonl") if row["ended"]]
    assert [row["right"] for row in rows] == [row["response"].strip() in known[row["prompt"]] for row in rows]


def judge(prompt, response):
    return True


def test_a_round_with_nothing_to_train_on_says_so(prompts, tmp_path, monkeypatch):
    (tmp_path / "easy_judge.py").write_text(inspect.getsource(judge))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    rule = (
        r"round 1 has nothing to train on, as no prompt has right and wrong responses \(8 dropped: no wrong response\)"
    )
    with pytest.raises(ValueError, match=rule):
        rounds(prompts, output="rounds", **QUICK | {"verifier": "easy_judge:judge"})


def test_a_round_whose_responses_are_all_cut_off_names_the_limit(prompts, tmp_path):
    with pytest.raises(ValueError, match=r"responses? cut off: max_tokens sets the limit"):
        rounds(prompts, output=tmp_path / "rounds", **QUICK | {"max_tokens": 1})


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"rounds": 0}, "rounds must be an integer from 1 to 4294967295, not 0"),
        ({"k": 1}, "k must be an integer from 2 to 4294967295, not 1"),
        ({"temperature": 0}, "temperature must be > 0 and finite, not 0"),
        ({"reference": "tiny"}, "reference must be one of 'first', 'round', not 'tiny'"),
        ({"verifier": None}, "verifier must be 'world', 'exact' or 'module:function', not None"),
        ({"verifier": "exact"}, "the verifier 'exact' needs a reference"),
        ({"eval": "gone.jsonl"}, "eval cannot be read"),
        ({"eval": [PreferenceSet("p", ["a"], ["b"], [1, 0])]}, "eval must hold sets without scores"),
        ({"model": "no/model"}, "no/model"),
        ({"training": {"nonsense": 1}}, "training has 'nonsense', which TrainingArguments has not"),
        ({"chat": "always"}, "chat template"),
        ({"resume": True}, "there are no rounds in .* to go on with"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(prompts, tmp_path, given, rule):
    with pytest.raises((ValueError, TypeError, OSError), match=rule):
        rounds(prompts, output=tmp_path / "rounds", **QUICK | given)
    assert list(tmp_path.iterdir()) == []


def test_draws_are_counted_by_their_ends_and_prompts_by_the_kinds_of_those_that_ended(tmp_path):
    drawn = [("p", True), ("p", False), ("p", None), ("q", True), ("q", True), ("r", False), ("r", None), ("s", None)]
    rows = [{"prompt": prompt, "ended": right is not None, "right": right} for prompt, right in drawn]
    (tmp_path / "draws.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts = {"two_sided": 1, "only_right": 1, "only_wrong": 1, "used": 2}
    expected = recording.Drawn(prompts=5, draws=8, cut=3, right=3, **counts)
    assert recording._counted(tmp_path / "draws.jsonl", 5, 2) == expected


def test_each_round_samples_as_it_was_asked_to(prompts, tmp_path, monkeypatch):
    asked = QUICK | {"temperature": 0.5, "max_tokens": 9, "chat": "never", "seed": 3, "rounds": 1}
    given = {}

    def sampled(source, output, **options):
        given.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(recording, "sample_sets", sampled)
    with pytest.raises(KeyboardInterrupt):
        rounds(prompts, output=tmp_path / "rounds", **asked)
    for name in ("k", "verifier", "max_tokens", "temperature", "chat", "batch_size", "device", "progress"):
        assert given[name] == asked[name], name
    assert given["model"] == "tiny"
    assert given["seed"] == np.random.SeedSequence([3, 1]).generate_state(1)[0]


def test_rounds_that_another_process_makes_are_left_to_it(prompts, tmp_path):
    with sole_writer(tmp_path / "rounds"), pytest.raises(BlockingIOError, match="is being written by another process"):
        rounds(prompts, output=tmp_path / "rounds", **QUICK)
    assert list(tmp_path.iterdir()) == []


def test_the_arguments_are_those_of_the_settings_the_prompts_first():
    shown = inspect.signature(mapl_explore.rounds).parameters
    assert next(iter(shown)) == "prompts"
    assert shown.keys() == inspect.signature(RoundSettings).parameters.keys()
    assert not shown.keys() & {"data", "threshold"}
    assert "k : int, default 8" in mapl_explore.rounds.__doc__


def test_the_command_prints_a_line_for_each_round_and_show_reads_their_folders(prompts, tmp_path, capsys, monkeypatch):
    write_sets(held_out := tmp_path / "eval.jsonl", QUICK["eval"])
    words = ["rounds", str(prompts), "--loss", "rloo", "--verifier", "world", "--eval", str(held_out), "--rounds", "1"]
    words += ["--k", "4", "--steps", "1", "--sets-per-step", "2", "--answers", "2", "--output", str(tmp_path / "runs")]
    assert cli.main(words) == 0
    line = (
        r"round 1: right 0\.\d+ -> \d\.\d+; \d of 8 prompts two-sided \(\d+%\), \d+ of 32 draws used; KL to the first"
    )
    out = capsys.readouterr().out
    assert re.search(line, out)
    assert cli.main([*words, "--resume"]) == 0
    assert re.search(line, out).group() in capsys.readouterr().out
    with monkeypatch.context() as patch:
        stopped_in_sampling(patch, 0)
        assert cli.main([*words, "--resume", "--rounds", "2"]) == 130
    assert "interrupted; the same command with --resume goes on where it was" in capsys.readouterr().err
    assert cli.main(["show", str(tmp_path / "runs" / "round-1")]) == 0
    assert read_run(tmp_path / "runs" / "round-1").finished
