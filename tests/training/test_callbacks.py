"""What a run writes down on its way is true, whole at any moment, and the same after an interruption."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import transformers
from tiny_models import save_tiny

from conftest import assert_close
from mapl_explore.data import PreferenceSet
from mapl_explore.models.encoding import encode_sets
from mapl_explore.models.loading import load_model
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_sets
from mapl_explore.runs.probes import read_probes
from mapl_explore.runs.record import Run, read_run
from mapl_explore.training import callbacks, trainer
from mapl_explore.training.finetuning import finetune

SETS = [PreferenceSet(f"what is {i}?", [f" {i}", " yes"][: 1 + i % 2], [" no", " x", " y"][i % 3 :]) for i in range(14)]
TRAIN, EVAL = SETS[:4], SETS[4:]
QUICK = {"data": TRAIN, "eval": EVAL, "steps": 4, "answers": 2, "sets_per_step": 4, "lr": 1e-3}
QUICK |= {"device": "cpu", "progress": False}  # what a GPU computes has tests of its own
ARRAYS = ("step", "logp", "ref_logp", "length", "label")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("base"))


@pytest.fixture
def tune(base, tmp_path):
    """Fine-tune the random model: tune(name of the run, options...)."""
    return lambda name="run", **options: finetune(
        **{"loss": "dpo", "model": base, "output": tmp_path / name, **QUICK, **options}
    )


def probes(folder):
    with np.load(folder / "probes.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in ARRAYS}


def interrupt_at_the_checkpoint_of(step, monkeypatch):
    save = trainer.PreferenceTrainer._save_checkpoint

    def interrupted(self, *args, **options):
        if self.state.global_step == step:
            raise KeyboardInterrupt
        save(self, *args, **options)

    monkeypatch.setattr(trainer.PreferenceTrainer, "_save_checkpoint", interrupted)


def test_probes_are_the_first_eight_held_out_sets_as_base_and_final_model_score_them(tune, base):
    done = tune(sets_per_step=16)
    found = probes(done.folder)
    before, after = (
        score_sets(model, done.tokenizer, EVAL[:8], batch_size=1, progress=False)
        for model in (load_model(base)[0], done.model)
    )
    assert found["step"].tolist() == [0, 1, 2, 3, 4]
    assert found["logp"].shape == (5, 8, before.label.shape[1])
    for name in ("length", "label"):
        np.testing.assert_array_equal(found[name], getattr(before, name))
    # Log-probs of 50 to 100 nats do not depend on the batch beyond 1e-5.
    assert_close(found["ref_logp"], before.logp, k=0, atol=1e-5)
    assert_close(found["logp"][-1], after.logp, k=0, atol=1e-5)
    np.testing.assert_array_equal(found["logp"][0], found["ref_logp"])
    # The first step has a rate of 0; every later one changes every set.
    assert np.abs(np.diff(found["logp"][1:], axis=0)).max(axis=2).min() > 1e-4


def test_probes_of_sets_with_scores_have_their_reward(tune):
    train, held_out = ([replace(one, scores=[*range(len(one.responses))]) for one in some] for some in (TRAIN, EVAL))
    sets = read_probes(tune(data=train, eval=held_out, steps=1, answers=0).folder).sets
    for one, reward in zip(held_out, sets.reward[-1].tolist(), strict=False):
        assert reward[: len(one.responses)] == list(one.scores)
        assert not any(reward[len(one.responses) :])


def test_at_the_start_the_log_ratios_of_the_probes_are_0_to_the_bit(tune):
    # A tau that is solved for ties would tell 1e-13 nats from 0: a rule for the share then gives one response all.
    probes = read_probes(tune(steps=1, answers=0).folder)
    assert (probes.sets.logp[0] == probes.sets.ref_logp[0]).all()


@pytest.mark.parametrize(("steps", "count"), [(1, 2), (40, 41), (41, 41), (10_000, 41)])
def test_probes_are_scored_at_few_steps_the_first_and_last_among_them(base, tmp_path, steps, count):
    model, tokenizer = load_model(base)
    held_out = encode_sets(tokenizer, EVAL[:1])
    wanted = callbacks.ProbeRecorder(tmp_path, SetScorer(model), held_out, None, steps).wanted
    assert len(wanted) == count
    assert {0, steps} <= wanted
    assert np.ptp(np.diff(sorted(wanted))) <= 1


def test_a_long_run_has_its_probes_at_those_steps_alone(tune):
    found = probes(tune(steps=44, sets_per_step=1, answers=0, save_every=0).folder)["step"].tolist()
    assert len(found) == 41
    assert found[0] == 0
    assert found[-1] == 44


@pytest.mark.parametrize(("steps", "sets_per_step"), [(1, 1), (4, 2), (10, 2), (20, 4), (24, 16), (400, 2), (24, 64)])
def test_probes_of_a_large_model_cost_at_most_half_of_the_training_or_are_one_set(steps, sets_per_step):
    probed, scorings = callbacks.probe_count(steps, sets_per_step, 10_000_001), min(steps, 40) + 1
    assert 1 <= probed <= 8
    # A step is one pass forward and about two backward; one more probe, within the 8, would cost too much.
    half = 3 * steps * sets_per_step / 2
    assert probed == 1 or probed * scorings <= half
    assert probed == 8 or (probed + 1) * scorings > half
    assert callbacks.probe_count(steps, sets_per_step, 10_000_000) == 8


def test_a_run_goes_on_from_probes_of_more_sets(tune, monkeypatch):
    interrupt_at_the_checkpoint_of(4, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        tune()
    monkeypatch.undo()
    monkeypatch.setattr("mapl_explore.training.steps.probe_count", lambda steps, sets_per_step, weights: 2)
    found = probes(tune(resume=True).folder)
    assert found["step"].tolist() == [0, 4]
    assert found["logp"].shape[1] == 2


def test_an_interrupted_run_has_the_probes_of_the_uninterrupted_one(tune, monkeypatch):
    whole = tune("whole").folder
    interrupt_at_the_checkpoint_of(4, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        tune("cut")
    monkeypatch.undo()
    cut = whole.parent / "cut"
    assert probes(cut)["step"].tolist() == [0, 1, 2, 3, 4]  # and the last checkpoint is that of step 3
    written, write = [], callbacks.ProbeRecorder._write
    monkeypatch.setattr(
        callbacks.ProbeRecorder, "_write", lambda self: written.append(list(self.scored)) or write(self)
    )
    tune("cut", resume=True)
    assert written == [[0, 1, 2, 3], [0, 1, 2, 3, 4]]
    for name in ARRAYS:
        np.testing.assert_array_equal(probes(cut)[name], probes(whole)[name])


def test_a_failed_write_leaves_the_probes_that_were_there(tune, monkeypatch):
    folder = tune().folder
    before = probes(folder)

    def failing(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", failing)
    with pytest.raises(OSError, match="disk full"):
        tune(resume=True)
    np.testing.assert_array_equal(probes(folder)["logp"], before["logp"])
    assert [path.name for path in folder.glob("probes*")] == ["probes.npz"]


def test_the_steps_so_far_are_in_the_record_while_the_run_goes_on(tune, tmp_path, monkeypatch):
    interrupt_at_the_checkpoint_of(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        tune()
    run = read_run(tmp_path / "run")
    assert not run.finished
    assert [entry["step"] for entry in run.log] == [1, 2]


def test_a_step_is_written_at_once_but_not_twice_in_a_second(tmp_path, monkeypatch):
    now, written = [100.0], []
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(callbacks, "write_run", lambda folder, run: written.append(now[0]))
    recorder = callbacks.LogRecorder(tmp_path, Run(loss="SFT()", arguments={}, data={}))
    for now[0] in (100.0, 100.9, 101.0, 101.5, 102.5):
        recorder.on_log(None, transformers.TrainerState(), None)
    assert written == [100.0, 101.0, 102.5]


def test_a_record_under_way_has_the_evaluations_so_far(tmp_path):
    state = transformers.TrainerState(log_history=[{"step": 2, "eval_loss": 0.5}])
    callbacks.LogRecorder(tmp_path, Run(loss="SFT()", arguments={}, data={})).on_save(None, state, None)
    assert read_run(tmp_path).evaluations == [{"step": 2, "eval_loss": 0.5}]


def test_a_step_logs_what_the_smooth_extremes_did_on_either_side(tune, base):
    run = tune(loss="MaxMin(pair=Smooth(tau=0.5))", data=TRAIN, sets_per_step=4, steps=1).run
    scored = score_sets(*load_model(base), TRAIN, progress=False)
    for side, sign in (("positive", 1), ("negative", -1)):
        sets = [-sign * logp[label == sign] for logp, label in zip(scored.logp, scored.label, strict=True)]
        sets = [np.sort(scores)[::-1] for scores in sets if len(scores) > 1]
        assert 0 < len(sets) < len(TRAIN)
        expected = {
            "tau": 0.5,
            "error": np.mean([np.log(np.exp(0.5 * (s - s[0])).sum()) / 0.5 for s in sets]),
            "lower": np.mean([np.log1p(np.exp(-0.5 * (s[0] - s[1]))) / 0.5 for s in sets]),
            "upper": np.mean([np.log1p((len(s) - 1) * np.exp(-0.5 * (s[0] - s[1]))) / 0.5 for s in sets]),
            "leader": np.mean([1 / np.exp(0.5 * (s - s[0])).sum() for s in sets]),
        }
        for name, value in expected.items():
            # Log-probs of 50 to 100 nats do not depend on the batch beyond 1e-5.
            assert_close(np.float64(run.log[0][f"{side}_{name}"]), value, k=0, atol=2e-5)
    assert run.log[0].keys() >= {"loss", "margin", "hard_margin", "grad_norm", "learning_rate", "tokens_per_second"}


def test_a_rule_logs_the_taus_it_chose(tune):
    log = tune(loss="dpo-share").run.log
    # At the start, and after the first step, whose rate is 0, all scores of DPO tie.
    assert [entry["negative_tau"] for entry in log[:2]] == [1000.0, 1000.0]
    for entry in log[2:]:
        assert 1 < entry["negative_tau"] < 1000
        assert abs(entry["negative_leader"] - 0.9) <= 1e-6


@pytest.mark.parametrize(
    ("loss", "there", "lacking"),
    [
        ("SFT()", [], ["positive_leader", "negative_leader"]),
        ("DPO()", ["positive_leader"], ["positive_tau"]),
        ("DPO(pair=Mellow(tau=1))", ["positive_tau"], ["positive_error"]),
        ("OneSided(pair=Smooth(tau=1))", ["negative_error"], ["positive_leader"]),
    ],
)
def test_a_step_logs_only_what_the_loss_has(tune, loss, there, lacking):
    entry = tune(loss=loss, steps=1).run.log[0]
    assert all(name in entry for name in there)
    assert not any(name in entry for name in lacking)


def test_the_tokens_of_a_step_are_those_that_were_read_without_padding(tune, base, monkeypatch):
    ticks = iter(np.arange(0.0, 100.0, 0.5))
    monkeypatch.setattr(trainer.time, "perf_counter", lambda: next(ticks))
    run = tune(sets_per_step=4, steps=1).run
    # The last token of a prompt is read once for each response, and the eos of a response not at all.
    tokens = sum(len(one.prompt) - 1 + sum(len(text) + 1 for text in one.positives + one.negatives) for one in TRAIN)
    assert run.log[0]["tokens_per_second"] == tokens / 0.5


def test_each_evaluation_on_the_way_is_a_line(tune, capfd):
    done = tune(loss="dpo", steps=4, save_every=2, patience=5, progress=True)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("held out, after step")]
    first, second = done.run.evaluations
    assert lines == [
        f"held out, after step {each['step']}: loss {each['eval_loss']:.4f}, hard margin {each['eval_hard_margin']:.2f}"
        for each in (first, second)
    ]


def test_without_a_terminal_progress_is_ten_lines(tune, capfd):
    tune(steps=12, sets_per_step=1, progress=True)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("step ")]
    assert [line.split(":")[0] for line in lines] == [f"step {step} of 12" for step in (2, 4, 6, 8, 10, 12)]
    assert re.fullmatch(r"step 2 of 12: loss \d\.\d{4}, hard margin -?\d+\.\d\d, \d+ s, \d+ s to go", lines[0])


def test_the_time_to_go_is_told_by_the_steps_since_the_run_went_on(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    progress, state = callbacks.Progress(), SimpleNamespace(global_step=10, max_steps=20)
    progress.on_train_begin(None, state, None)
    clock[0], state.global_step = 4.0, 12
    progress.on_log(None, state, None, {"loss": 0.5, "hard_margin": 1.0})
    assert capsys.readouterr().err.endswith(", 4 s, 16 s to go\n")
