"""A run that was interrupted goes on and ends where the uninterrupted one ends, or says why it cannot."""

import errno
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_disks import small_files
from tuned_runs import QUICK, interrupted, timeless, weights

from mapl_explore.models.loading import load_model, weights_checksum
from mapl_explore.notes import Note
from mapl_explore.runs.checkpoints import last_checkpoint
from mapl_explore.runs.measured import read_measured
from mapl_explore.runs.record import read_run, write_run
from mapl_explore.training import evaluation, finetuning, steps
from mapl_explore.training.finetuning import finetune


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    """A finished DPO of four steps, a checkpoint after each, of which the last two are there."""
    return finetune(loss="dpo", model=base, output=tmp_path_factory.mktemp("whole") / "run", **QUICK | {"steps": 4})


@pytest.fixture
def cut(whole, tmp_path):
    """A copy of its folder, to resume as ``tune("cut", loss="dpo", steps=4, resume=True)``: it lacks the last model."""
    folder = shutil.copytree(whole.folder, tmp_path / "cut")
    (folder / "model.safetensors").unlink()
    return folder


def test_an_interrupted_run_resumes_to_the_bits_of_the_uninterrupted_one(tune, monkeypatch):
    real = evaluation.Responses.of

    def by_weights(scorer, tokenizer, held_out, *base):
        """Let what is right hang on the weights: none of the random model's responses ends, and so none is right."""
        rises = scorer.model.transformer.ln_f.bias[:2] > 0
        greedy = [one.references[0] if up else None for one, up in zip(held_out.questions, rises, strict=True)]
        return replace(real(scorer, tokenizer, held_out, *base), greedy=greedy)

    monkeypatch.setattr(evaluation.Responses, "of", by_weights)
    asked = {"loss": "dpo-smooth", "steps": 6, "answers": 2, "verifier": "exact", "answer_at": [1, 3, 6]}
    whole = tune("whole", **asked)
    with monkeypatch.context() as patched:
        interrupted(patched, 5)
        with pytest.raises(KeyboardInterrupt):
            tune("cut", **asked)
    cut = whole.folder.parent / "cut"
    assert not read_run(cut).finished
    assert last_checkpoint(cut).name == "checkpoint-4"
    resumed = tune("cut", **asked, resume=True)
    assert weights(cut) == weights(whole.folder)
    assert timeless(resumed.run) == timeless(whole.run)
    assert [*whole.run.right_along] == [0, 1, 3, 6]
    for one, other in zip(read_measured(cut)[0].values(), read_measured(whole.folder)[0].values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_interrupted_before_its_first_checkpoint_starts_again(tune, whole, cut):
    shutil.rmtree(cut / "checkpoints")
    assert timeless(tune("cut", loss="dpo", steps=4, resume=True).run) == timeless(whole.run)


def test_a_record_has_its_steps_and_evaluations_before_the_run_goes_on(tune, cut, monkeypatch):
    before = replace(read_run(cut), evaluations=[{"step": 1, "eval_loss": 0.5}])
    write_run(cut, before)
    monkeypatch.setattr(finetuning, "train", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        tune("cut", loss="dpo", steps=4, resume=True)
    found = read_run(cut)
    assert not found.finished
    assert (found.log, found.evaluations) == (before.log, before.evaluations)


def test_resume_with_other_arguments_is_refused(tune, cut):
    with pytest.raises(ValueError, match=r"started with lr 0\.001, not 0\.01"):
        tune("cut", loss="dpo", steps=4, lr=0.01, resume=True)


def test_resume_of_nothing_is_refused(tune, tmp_path):
    with pytest.raises(FileNotFoundError):
        tune("new", loss="dpo", resume=True)
    assert not (tmp_path / "new").exists()


def test_a_checkpoint_is_saved_as_often_as_asked(tune):
    folder = tune(loss="dpo", steps=6, save_every=2).folder
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["checkpoint-4", "checkpoint-6"]


def test_resume_says_what_it_passes_over_and_where_it_goes_on(tune, whole, cut):
    (cut / "checkpoints" / "checkpoint-4" / "trainer_state.json").write_text('{"global_st')
    with pytest.warns(Note) as noted:
        resumed = tune("cut", loss="dpo", steps=4, resume=True)
    passed_over = "checkpoint-4 was not written to its end, or is damaged: it is passed over"
    assert [str(each.message) for each in noted] == [passed_over, "going on from checkpoint-3"]
    assert weights(cut) == weights(whole.folder)
    assert timeless(resumed.run) == timeless(whole.run)


def changed(base, folder):
    """Write the base with one weight changed."""
    model, tokenizer = load_model(base)
    with torch.no_grad():
        model.transformer.ln_f.bias[3] += 0.1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_resume_with_other_weights_is_refused_before_anything_is_written(tune, base, cut, tmp_path):
    model, before = changed(base, tmp_path / "model"), contents(cut)
    with pytest.raises(ValueError, match=r"was started with other weights: .* had sha256 .*, those of .* have"):
        tune("cut", loss="dpo", steps=4, model=model, resume=True)
    assert contents(cut) == before


def test_resume_with_the_same_weights_under_another_name_goes_on(tune, base, whole, cut, tmp_path):
    shutil.rmtree(cut / "checkpoints" / "checkpoint-4")
    with pytest.warns(Note, match="going on from checkpoint-3"):
        resumed = tune("cut", loss="dpo", steps=4, model=shutil.copytree(base, tmp_path / "moved"), resume=True)
    assert weights(cut) == weights(whole.folder)
    assert resumed.run.weights_checksum == whole.run.weights_checksum == weights_checksum(load_model(base)[0])


def test_a_run_is_compared_with_the_base_as_it_was_where_its_folder_is_gone_at_the_end(
    tune, base, tmp_path, monkeypatch
):
    whole = tune("whole", loss="dpo", answers=2)
    model, train = shutil.copytree(base, tmp_path / "model"), finetuning.train
    monkeypatch.setattr(finetuning, "train", lambda *args: (train(*args), shutil.rmtree(model))[0])
    assert tune("run", loss="dpo", answers=2, model=model).run.after == whole.run.after


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "tokenizer.json"])
def test_resume_goes_on_from_the_whole_checkpoint_next_to_a_damaged_one(tune, whole, cut, name):
    damaged = cut / "checkpoints" / "checkpoint-4" / name
    damaged.write_bytes(damaged.read_bytes()[:-50])
    with pytest.warns(Note, match="checkpoint-4 was not written to its end, or is damaged"):
        tune("cut", loss="dpo", steps=4, resume=True)
    assert weights(cut) == weights(whole.folder)


@pytest.mark.parametrize(("name", "said"), [("probes.npz", True), ("reference.npz", False)])
@pytest.mark.parametrize("content", [b"", b"PK damaged"])
def test_resume_makes_again_what_is_kept_of_probes_and_reference_where_it_is_damaged(
    tune, whole, cut, name, said, content
):
    (cut / name).write_bytes(content)
    shutil.rmtree(cut / "checkpoints" / "checkpoint-4")
    with pytest.warns(Note) as noted:
        tune("cut", loss="dpo", steps=4, resume=True)
    assert any("probes.npz cannot be read" in str(each.message) for each in noted) == said
    assert weights(cut) == weights(whole.folder)


@pytest.mark.parametrize("most", [0, 1000, 20_000, 100_000])
def test_a_disk_that_takes_no_more_is_one_line_with_the_folder_and_the_way_on(tune, tmp_path, most):
    with pytest.raises(OSError, match="File too large") as caught, small_files(most):
        tune(loss="dpo", steps=2, save_every=1)
    assert caught.value.filename == str(tmp_path / "run")
    begun = (tmp_path / "run" / "run.json").exists()
    assert ("when there is room, the same command with --resume goes on from" in caught.value.strerror) == begun
    if begun:
        assert tune(loss="dpo", steps=2, save_every=1, resume=True).run.finished


def test_a_disk_that_is_full_at_the_last_write_goes_on_from_the_last_checkpoint(tune, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(steps, "make_readable", lambda path: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError, match=r"No space left on device; when there is room, .* goes on from checkpoint-2"):
            tune(loss="dpo")
    assert tune(loss="dpo", resume=True).run.finished


def test_resume_from_a_checkpoint_of_another_engine_is_refused(tune, cut):
    last = last_checkpoint(cut)
    (last / "optimizer.pt").rename(last / "optimizer.bin")
    with pytest.raises(ValueError, match=f"{last.name} was written under FSDP, and cannot be gone on with"):
        tune("cut", loss="dpo", steps=4, resume=True)


def test_resume_from_a_checkpoint_with_a_nan_is_refused_by_its_name(tune, cut):
    path = cut / "checkpoints" / "checkpoint-4"
    model, _ = load_model(path)
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = math.nan
    model.save_pretrained(path)
    with pytest.raises(ValueError, match=r"the weights in '.*checkpoint-4' are not finite, so the run cannot go on"):
        tune("cut", loss="dpo", steps=4, resume=True)
