"""The folder of a run says all of it, and belongs to one run."""

import pytest
import torch
from tuned_runs import EVAL

from mapl_explore.explorers import TrainingExplorer
from mapl_explore.models.loading import load_model
from mapl_explore.models.scoring import score_sets
from mapl_explore.runs.record import read_run
from mapl_explore.training import finetuning


def test_the_saved_model_is_the_returned_one_and_scores_alike(done):
    model, tokenizer = load_model(done.folder)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), done.model.parameters(), strict=True))
    scored = [score_sets(each, tokenizer, EVAL, progress=False).logp for each in (model, done.model)]
    assert (scored[0] == scored[1]).all()


def test_the_folder_holds_the_record_and_neither_texts_nor_pickled_arguments(done):
    assert read_run(done.folder) == done.run
    files = [path for path in done.folder.rglob("*") if path.is_file()]
    assert {"run.json", "README.md", "model.safetensors", "tokenizer.json", "trainer_state.json"} <= {
        f.name for f in files
    }
    assert not [path for path in files if path.suffix == ".bin"]
    assert not [path for path in files if b"what comes after" in path.read_bytes()]


def test_those_who_may_read_the_record_may_read_the_model(done):
    assert {path.stat().st_mode & 0o777 for path in done.folder.glob("*.safetensors")} == {
        (done.folder / "run.json").stat().st_mode & 0o777
    }


def test_steps_are_reported_to_tensorboard_when_asked(tune, done):
    assert not (done.folder / "tensorboard").exists()
    folder = tune(loss="dpo", report="tensorboard").folder
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/hard_margin")] == [1, 2]
    assert [path.parent for path in folder.rglob("events.out.tfevents.*")] == [folder / "tensorboard"]


def test_a_second_run_into_the_folder_of_one_that_works_is_refused_and_harms_nothing(tune, tmp_path, monkeypatch):
    refused, train = [], finetuning.train

    def second(*args):
        for options in ({}, {"resume": True}, {"output": tmp_path / "link"}):
            with pytest.raises(BlockingIOError, match="is being written by another process") as caught:
                tune(loss="cpo", **options)
            refused.append(caught.value)
        return train(*args)

    (tmp_path / "link").symlink_to(tmp_path / "run")
    monkeypatch.setattr(finetuning, "train", second)
    done = tune(loss="dpo")
    assert len(refused) == 3
    assert done.run.finished
    assert read_run(done.folder) == done.run
    assert not list(tmp_path.glob("*.lock"))


def test_the_explorer_shows_the_tau_of_every_step_as_the_training_had_it(tune):
    done = tune(loss="DPO(pair=Smooth(tau=Anneal(start=1, stop=8)))", steps=5, sets_per_step=4)
    history = TrainingExplorer(done.folder, curves="tau").reading.history
    taus = [loss.pair.tau for loss in history.losses]
    assert taus[:-1] == [pytest.approx(entry["negative_tau"], rel=1e-12) for entry in done.run.log]
    assert taus[-1] == 8.0  # of the model after the last step, as in the table
