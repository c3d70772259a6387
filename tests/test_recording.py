"""What a run writes down on its way is true, whole at any moment, and the same after an interruption."""

import numpy as np
import pytest
from tiny_models import save_tiny

from conftest import assert_close
from mapl_explore import recording, training
from mapl_explore.data import PreferenceSet
from mapl_explore.scoring import load_model, score_sets
from mapl_explore.training import finetune

SETS = [PreferenceSet(f"what is {i}?", [f" {i}", " yes"][: 1 + i % 2], [" no", " x", " y"][i % 3 :]) for i in range(14)]
TRAIN, EVAL = SETS[:4], SETS[4:]
QUICK = {"data": TRAIN, "eval": EVAL, "steps": 4, "sets_per_step": 2, "lr": 1e-3, "progress": False}
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


def test_probes_are_the_first_eight_held_out_sets_as_base_and_final_model_score_them(tune, base):
    done = tune()
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


@pytest.mark.parametrize(("steps", "count"), [(1, 2), (40, 41), (41, 41), (10_000, 41)])
def test_probes_are_scored_at_few_steps_the_first_and_last_among_them(base, tmp_path, steps, count):
    model, tokenizer = load_model(base)
    held_out = training.encode_sets(tokenizer, EVAL[:1])
    wanted = recording.ProbeRecorder(tmp_path, training.SetScorer(model), held_out, steps).wanted
    assert len(wanted) == count
    assert {0, steps} <= wanted
    assert np.ptp(np.diff(sorted(wanted))) <= 1


def test_an_interrupted_run_has_the_probes_of_the_uninterrupted_one(tune, monkeypatch):
    whole = tune("whole").folder
    log = training.PreferenceTrainer.log

    def interrupted(self, logs, start_time=None):
        if self.state.global_step == 4:
            raise KeyboardInterrupt
        log(self, logs, start_time)

    monkeypatch.setattr(training.PreferenceTrainer, "log", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune("cut")
    monkeypatch.undo()
    cut = whole.parent / "cut"
    assert probes(cut)["step"].tolist() == [0, 1, 2, 3, 4]  # and the last checkpoint is that of step 3
    written, write = [], recording.ProbeRecorder._write
    monkeypatch.setattr(
        recording.ProbeRecorder, "_write", lambda self: written.append(list(self.scored)) or write(self)
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
