"""Answers are drawn from the model's own distribution, each prompt for itself, and judged."""

import json
import math
import os

import numpy as np
import pytest
from launches import in_two_processes
from sampled_worlds import WORLD, chatty, sampled

import mapl_explore.sampling.answers as sampling
from mapl_explore.cli import main as cli
from mapl_explore.data import PreferenceSet, read_sets
from mapl_explore.data.world import is_right
from mapl_explore.files import sole_writer
from mapl_explore.launch import launched
from mapl_explore.models import generating
from mapl_explore.models.loading import load_model
from mapl_explore.models.processes import processes_of
from mapl_explore.sampling.journal import Answered
from mapl_explore.sampling.kept import kept_set
from mapl_explore.sampling.verifiers import Question


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny")


def test_every_answer_of_a_set_is_on_the_side_where_the_verifier_puts_it(world_file, tmp_path):
    sets, report = sampled(world_file, tmp_path / "out.jsonl")
    assert read_sets(tmp_path / "out.jsonl") == sets
    assert sum(report.outcomes.values()) == len(WORLD)
    assert report.outcomes["kept"] == len(sets) > 6
    assert report.answers + report.duplicates + report.unfinished == 8 * len(WORLD)
    for one in sets:
        assert all(is_right(one.prompt, text) for text in one.positives)
        assert not any(is_right(one.prompt, text) for text in one.negatives)
        assert len({*one.positives, *one.negatives}) == len(one.positives) + len(one.negatives)
    order = [one.prompt for one in WORLD]
    assert [one.prompt for one in sets] == sorted((one.prompt for one in sets), key=order.index)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "world.jsonl"]


def test_two_processes_share_the_prompts_and_write_what_one_does(world_file, tmp_path):
    sampled(world_file, tmp_path / "one.jsonl", draws=tmp_path / "draws of one.jsonl")
    # What one process had finished before, two go on from.
    (tmp_path / "two.jsonl.progress-0").write_bytes(b"")
    words = ["sample", world_file, tmp_path / "two.jsonl", "--verifier", "world", "--k", "8", "--max-tokens", "16"]
    words += ["--draws", tmp_path / "draws of two.jsonl", "--device", "cpu"]
    done = in_two_processes("-m", "mapl_explore", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sets written to") == 1
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert (tmp_path / "draws of two.jsonl").read_bytes() == (tmp_path / "draws of one.jsonl").read_bytes()
    assert not list(tmp_path.glob("*progress*"))


def test_a_file_that_another_process_writes_is_refused_at_once(world_file, tmp_path, capsys):
    words = ["sample", str(world_file), str(tmp_path / "out.jsonl"), "--verifier", "world"]
    with sole_writer(tmp_path / "out.jsonl"):
        assert cli.main(words) == 2
    assert "is being written by another process" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["world.jsonl"]


def test_the_output_is_held_from_before_the_work_to_the_end(world_file, tmp_path, monkeypatch):
    held = []

    def second(*args, **options):
        with pytest.raises(BlockingIOError):
            sampled(world_file, tmp_path / "out.jsonl")
        held.append(args)

    for name in ("read_questions", "load_model", "write_sets"):
        make = getattr(sampling, name)
        monkeypatch.setattr(sampling, name, lambda *args, make=make, **o: second(*args, **o) or make(*args, **o))
    sampled(world_file, tmp_path / "out.jsonl")
    assert len(held) == 3


def test_two_processes_that_are_refused_the_output_both_end(world_file, tmp_path):
    words = ["sample", world_file, tmp_path / "out.jsonl", "--verifier", "world", "--device", "cpu"]
    with sole_writer(tmp_path / "out.jsonl"):
        done = in_two_processes("-m", "mapl_explore", *words)
    assert done.returncode != 0
    assert "is being written by another process" in done.stderr
    assert not list(tmp_path.glob("*progress*"))


@pytest.mark.parametrize("name", ["out.jsonl.gz", "out.parquet"])
def test_the_sets_have_the_format_that_the_name_says(name, world_file, tmp_path):
    sets, _ = sampled(world_file, tmp_path / name)
    assert read_sets(tmp_path / name) == sets
    assert (tmp_path / name).read_bytes()[:2] == {"out.jsonl.gz": b"\x1f\x8b", "out.parquet": b"PA"}[name]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("out.csv", "out.csv' cannot be written"),
        ("nowhere/out.jsonl", "there is no folder"),
        ("world.jsonl", "is the file that is read"),
        ("link.jsonl", "is the file that is read"),
        ("../WORLD/world.jsonl", "is the file that is read"),
        ("other.jsonl", "output must be a new file, but"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(name, rule, world_file, monkeypatch, capsys):
    folder = world_file.parent
    (folder / "link.jsonl").symlink_to(world_file)
    (folder / "other.jsonl").write_text("mine")
    monkeypatch.setattr(sampling, "load_model", lambda *_, **__: pytest.fail("the work has begun"))
    name = name.replace("WORLD", folder.name)
    assert cli.main(["sample", str(world_file), str(folder / name), "--verifier", "world"]) == 2
    err = capsys.readouterr().err.strip()
    assert rule in err
    assert "\n" not in err
    assert len(read_sets(world_file)) == len(WORLD)


@pytest.mark.parametrize("value", ["", "many", "0", "-3"])
def test_a_number_of_processes_that_is_none_is_one(value, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", value)
    monkeypatch.setenv("RANK", "1")
    assert launched() == (0, 1)
    with processes_of("cpu") as (process, processes, device, _):
        assert (process, processes, device) == (0, 1, "cpu")
    assert os.environ["WORLD_SIZE"] == "1"  # accelerate reads it too, and fails where it is no number


MIXED = Answered(("a", "b"), (True, False))


QUESTION = Question("p", positives=("a", "r"), negatives=("b", "w"))


@pytest.mark.parametrize(
    ("answered", "fallback", "expected", "outcome"),
    [
        (MIXED, False, (["a"], ["b"]), "kept"),
        (MIXED, True, (["a"], ["b"]), "kept"),
        (Answered(("a",), (True,)), False, None, "dropped: no wrong response"),
        (Answered(("b",), (False,)), False, None, "dropped: no right response"),
        (Answered((), ()), False, None, "dropped: no right or wrong response"),
        (Answered((), (), too_long=True), True, None, "dropped: no room for a response in the model's context"),
        (Answered(("x",), (True,)), True, (["x"], ["b", "w"]), "kept, with responses of the file"),
        (Answered(("a",), (False,)), True, (["r"], ["a"]), "kept, with responses of the file"),
        (Answered(("b",), (True,)), True, (["b"], ["w"]), "kept, with responses of the file"),
        (Answered(("a", "r"), (False, False)), True, None, "dropped: no right response"),
    ],
)
def test_a_prompt_is_kept_with_both_kinds_and_else_dropped_for_a_reason(answered, fallback, expected, outcome):
    expected = expected and PreferenceSet("p", *expected)
    assert kept_set(QUESTION, answered, fallback=fallback) == (expected, outcome)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"k": 1}, "k must be an integer >= 2, not 1"),
        ({"max_tokens": 0}, "max_tokens must be an integer >= 1, not 0"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1, not 0"),
        ({"temperature": 0.0}, "temperature must be > 0 and finite, not 0.0"),
        ({"temperature": float("nan")}, "temperature must be > 0"),
        ({"temperature": None}, "temperature must be > 0"),
        ({"temperature": "hot"}, "temperature must be > 0 and finite, not 'hot'"),
        ({"temperature": True}, "temperature must be > 0 and finite, not True"),
        ({"k": True}, "k must be an integer >= 2, not True"),
        ({"k": None}, "k must be an integer >= 2, not None"),
        ({"seed": -1}, "seed must be an integer >= 0, not -1"),
        ({"seed": "a"}, "seed must be an integer >= 0, not 'a'"),
        ({"seed": 1.5}, "seed must be an integer >= 0, not 1.5"),
        ({"seed": None}, "seed must be an integer >= 0, not None"),
        ({"fallback": "no"}, "fallback must be True or False, not 'no'"),
        ({"chat": 1}, "chat must be one of 'auto', 'always', 'never', not 1"),
        ({"progress": None}, "progress must be True or False, not None"),
        ({"device": "tpu"}, "device must be one of 'auto', 'cpu', 'cuda', not 'tpu'"),
        ({"device": None}, "device must be one of 'auto', 'cpu', 'cuda', not None"),
        ({"device": "cuda"}, "device must be 'auto' or 'cpu' here, not 'cuda'"),
        ({"model": None}, "model must be 'tiny', a folder or a name on the hub, not None"),
        ({"model": ""}, "model must be 'tiny', a folder or a name on the hub, not ''"),
        ({"verifier": 5}, "verifier must be 'world', 'exact', 'module:function' or a function, not 5"),
        ({"verifier": None}, "verifier must be 'world', .* not None"),
        ({"reference": 3}, "reference must be the name of a field, not 3"),
        ({"k": 2.5}, "k must be an integer >= 2, not 2.5"),
        ({"max_tokens": "9"}, "max_tokens must be an integer >= 1, not '9'"),
        ({"threshold": math.nan, "verifier": len}, "threshold must be a finite number, not nan"),
        ({"threshold": "2", "verifier": len}, "threshold must be a finite number, not '2'"),
        ({"threshold": 2, "verifier": len, "fallback": True}, "fallback does not go with threshold: the responses of"),
        ({"draws": "draws.txt"}, "'draws.txt' cannot be written: write .jsonl, .jsonl.gz, .csv, .parquet"),
        ({"draws": "nowhere/draws.jsonl"}, "there is no folder"),
    ],
)
def test_an_argument_outside_its_range_is_named_before_any_work(options, rule, world_file, tmp_path, monkeypatch):
    if options.get("device") == "cuda":
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sampling, "read_questions", lambda *_, **__: pytest.fail("the work has begun"))
    with pytest.raises((TypeError, ValueError, FileNotFoundError), match=rule) as caught:
        sampled(world_file, tmp_path / "out.jsonl", **options)
    assert "\n" not in str(caught.value)
    assert len(list(tmp_path.iterdir())) == 1


def test_numbers_of_numpy_are_numbers(world_file, tmp_path):
    plain, _ = sampled(world_file, tmp_path / "plain.jsonl", k=4, seed=3, temperature=0.5)
    numpys, _ = sampled(
        world_file, tmp_path / "numpys.jsonl", k=np.int64(4), seed=np.int8(3), temperature=np.float32(0.5)
    )
    assert numpys == plain


def test_a_function_itself_is_a_verifier(world_file, tmp_path):
    def right(prompt, answer):
        return is_right(prompt, answer)

    own, _ = sampled(world_file, tmp_path / "own.jsonl", verifier=right)
    assert own == sampled(world_file, tmp_path / "world.out.jsonl")[0]


def test_sample_says_what_was_kept_and_writes_over_nothing(world_file, tmp_path, capsys):
    words = ["sample", str(world_file), str(tmp_path / "out.jsonl"), "--verifier", "world", "--k", "8"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "of 12 prompts kept" in out
    assert "sets written to" in out
    assert "  + " in out
    assert "  - " in out
    before = (tmp_path / "out.jsonl").read_bytes()
    assert cli.main(words) == 2
    assert "output must be a new file" in capsys.readouterr().err
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_nothing_is_written_where_no_prompt_is_kept_and_the_file_that_stays_is_named(world_file, tmp_path, capsys):
    words = ["sample", str(world_file), str(tmp_path / "out.jsonl"), "--verifier", "world", "--max-tokens", "1"]
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert "no prompt has right and wrong responses, so there is no set to write" in err
    assert "12 of 12 prompts dropped: no right or wrong response" in err
    assert f"The responses stay in {tmp_path / 'out.jsonl.progress-0'}: call again with --fallback, another" in err
    assert err.endswith("or remove it to draw others\n")
    assert not (tmp_path / "out.jsonl").exists()
    assert cli.main([*words, "--seed", "1"]) == 2
    assert "out.jsonl.progress-0 holds what was finished with seed 0, not 1" in capsys.readouterr().err
    (tmp_path / "out.jsonl.progress-0").unlink()
    assert cli.main([*words[:-2], "--seed", "1", "--k", "4"]) == 0


TEMPLATE = "{% for turn in messages %}{{ turn.role + ':\\n' + turn.content }}{% endfor %}"


TEMPLATE += "{% if add_generation_prompt %}{{ '\\nassistant:' }}{% endif %}"


def test_with_a_chat_template_the_model_has_the_prompt_as_a_turn_and_the_sets_and_the_verifier_as_it_was(
    tiny, world_file, tmp_path
):
    model, tokenizer = tiny
    folder = chatty(tmp_path / "chatty", TEMPLATE)
    sets, _ = sampled(world_file, tmp_path / "out.jsonl", model=folder, chat=True)
    assert read_sets(tmp_path / "out.jsonl") == sets
    assert {one.prompt for one in sets} <= {one.prompt for one in WORLD}
    for one in sets:
        assert all(is_right(one.prompt, answer) for answer in one.positives)
        assert not any(is_right(one.prompt, answer) for answer in one.negatives)
    options = {"ends": [(tokenizer.eos_token_id,)], "k": 8, "seed": 0, "temperature": 1.0, "max_tokens": 16}
    for one in sets[:4]:
        shown = tokenizer(f"user:\n{one.prompt}\nassistant:")["input_ids"]
        [(_, [answers])] = generating.token_batches(model, [shown], [one.prompt], **options)
        texts = {tokenizer.decode(ids[:-1]) for ids in answers if ids[-1] == tokenizer.eos_token_id}
        assert {*one.positives, *one.negatives} == texts


def test_a_chat_template_that_refuses_is_said_in_one_line(world_file, tmp_path, capsys):
    model = chatty(tmp_path / "chatty", "{{ raise_exception('the first message must be from the system') }}")
    words = ["sample", str(world_file), str(tmp_path / "out.jsonl"), "--verifier", "world", "--chat"]
    assert cli.main([*words, "--model", str(model)]) == 2
    err = capsys.readouterr().err.strip()
    assert "the first message must be from the system" in err
    assert "\n" not in err


def test_chat_says_that_its_sets_are_to_be_used_with_chat(world_file, tmp_path, capsys):
    model = chatty(tmp_path / "chatty", TEMPLATE)
    words = ["sample", str(world_file), str(tmp_path / "out.jsonl"), "--verifier", "world", "--chat", "--k", "8"]
    assert cli.main([*words, "--model", str(model), "--max-tokens", "16"]) == 0
    assert "score, select, tau and finetune need --chat always with these sets too" in capsys.readouterr().out


@pytest.mark.parametrize("chat", ["auto", "always", "never"])
def test_the_first_set_is_printed_as_the_model_read_it_and_equal_responses_once(chat, world_file, tmp_path, capsys):
    model, records = chatty(tmp_path / "chatty", TEMPLATE), [{"role": "user", "content": one.prompt} for one in WORLD]
    (tmp_path / "talks.jsonl").write_text("".join(json.dumps({"prompt": [one]}) + "\n" for one in records))
    words = ["sample", str(tmp_path / "talks.jsonl"), str(tmp_path / "out.jsonl"), "--verifier", "world", "--k", "8"]
    assert cli.main([*words, "--model", str(model), "--max-tokens", "16", "--duplicates", "--chat", chat]) == 0
    (first, *_), said = read_sets(tmp_path / "out.jsonl"), capsys.readouterr().out
    read = first.prompt[0].content if chat == "never" else f"user:\n{first.prompt[0].content}\nassistant:"
    shown = said.partition("the first:\n")[2].splitlines()
    sides = (("+", first.positives), ("-", first.negatives))
    texts = [f"  {mark} {text!r}" for mark, side in sides for text in dict.fromkeys(side)]
    lines = [f"  | {line}" for line in read.split("\n")]
    assert shown[: len(lines + texts)] == lines + texts
    assert not shown[len(lines + texts) :] or shown[len(lines + texts)].startswith("prompts are written as they were")
    assert len(texts) < len(first.responses)


def test_messages_that_the_template_leaves_out_are_counted_before_any_response(tmp_path, capsys):
    talks = [[("system", "Be brief."), ("user", one.prompt)] for one in WORLD[:2]]
    talks += [[("tool", "12 degrees"), ("system", "Be kind."), ("user", WORLD[2].prompt)], [("user", WORLD[3].prompt)]]
    records = [{"prompt": [{"role": role, "content": text} for role, text in one]} for one in talks]
    (tmp_path / "talks.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    only_users = "{% for m in messages if m.role == 'user' %}user:\n{{ m.content }}\n{% endfor %}"
    only_users += "{% for m in messages if m.role == 'assistant' %}assistant: {{ m.content }}\n{% endfor %}"
    model = chatty(tmp_path / "chatty", only_users)
    words = ["sample", str(tmp_path / "talks.jsonl"), str(tmp_path / "out.jsonl"), "--verifier", "world"]
    cli.main([*words, "--model", str(model), "--k", "2", "--max-tokens", "4"])
    said = "the chat template leaves out 4 of 8 messages, in 3 of 4 conversations; first one of the system, 'Be brief.'"
    assert capsys.readouterr().out.count(said) == 1


def test_chat_without_a_template_is_refused(world_file, tmp_path, capsys):
    words = ["sample", str(world_file), str(tmp_path / "out.jsonl"), "--verifier", "world", "--chat"]
    assert cli.main(words) == 2
    assert "chat needs a model whose tokenizer has a chat template" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()
