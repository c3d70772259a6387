"""What finetune cannot do is refused in one line, before any work and any output."""

import contextlib
import math
import os
import shutil
from dataclasses import dataclass, replace

import datasets
import numpy as np
import pandas
import pytest
import torch
from tiny_models import save_tiny
from tuned_runs import QUICK, TABLE, TRAIN

from mapl_explore.data import PreferenceSet, write_sets
from mapl_explore.losses import DPO, Loss
from mapl_explore.models.loading import load_model
from mapl_explore.training import base_model, workplace
from mapl_explore.training.finetuning import finetune
from mapl_explore.training.rounds import rounds

JUDGED = {"verifier": "exact", "answers": 2}


def test_a_full_output_folder_is_refused_before_any_work(tune, tmp_path, monkeypatch):
    monkeypatch.setattr(base_model, "load_model", lambda *args, **options: pytest.fail("work was done"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not empty"):
        tune(loss="dpo")


def test_refused_data_leave_no_output_folder(tune, tmp_path):
    write_sets(tmp_path / "sets.jsonl", TRAIN)
    with open(tmp_path / "sets.jsonl", "a", encoding="utf-8") as file:
        file.write('{"prompt": "p"}\n')
    with pytest.raises(ValueError, match=r"sets\.jsonl:9: the field 'positives' is missing"):
        tune(loss="dpo", data=tmp_path / "sets.jsonl")
    assert not (tmp_path / "run").exists()


def test_data_of_which_only_some_have_scores_leave_no_output_folder(tune, tmp_path):
    graded = PreferenceSet("p", ["a"], ["b"], [1, 0])
    mixed = [*[graded] * 8, replace(graded, scores=None)]
    line = "^scores must stand in all sets or in none: 1 of 9 has none, first {}$"
    with pytest.raises(ValueError, match=line.format(r"data\[8\], of the prompt 'p'")):
        tune(loss="dpo", data=mixed, eval=None)
    write_sets(tmp_path / "sets.jsonl", mixed)
    for given in ({"data": tmp_path / "sets.jsonl"}, {"eval": tmp_path / "sets.jsonl"}):
        with pytest.raises(ValueError, match=line.format(r"\S*sets\.jsonl:9")):
            tune(loss="dpo", **given)
    with pytest.raises(ValueError, match=r"^scores must stand in both data and eval or in neither: data has none$"):
        tune(loss="dpo", data=TRAIN[:8], eval=[graded])
    with pytest.raises(ValueError, match=r"^scores must stand in both data and eval or in neither: eval has none$"):
        tune(loss="dpo", data=[graded], eval=TRAIN[:8])
    assert not (tmp_path / "run").exists()


def test_sets_that_do_not_fit_leave_no_output_folder(tune, tmp_path):
    with pytest.raises(ValueError, match=r"the set of the prompt .* does not fit"):
        tune(loss="dpo", eval=[PreferenceSet("p" * 70, ["a"], ["b"])], truncate="error")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be an integer from 1 .* not 0"),
        ({"steps": 2.5}, r"steps must be an integer .* not 2\.5"),
        ({"sets_per_step": -1}, "sets_per_step must be"),
        ({"seed": -1}, "seed must be an integer from 0"),
        ({"lr": 0.0}, r"lr must be > 0 and finite, not 0\.0"),
        ({"lr": math.nan}, "lr must be > 0 and finite, not nan"),
        ({"truncate": "end"}, "truncate must be one of 'keep-start', 'error', not 'end'"),
        ({"device": "gpu"}, "device must be one of"),
        ({"report": "wandb"}, "report must be one of"),
        ({"precision": "fp8"}, "precision must be one of 'float32', 'bf16', 'bf16-weights', not 'fp8'"),
        ({"save_every": -1}, "save_every must be an integer from 0"),
        ({"answers": -1}, "answers must be an integer from 0"),
        ({"answer_at": "1,two"}, "answer_at must be an integer >= 1, not 'two'"),
        ({"answer_at": [0]}, "answer_at must be an integer >= 1, not 0"),
        ({"answer_at": [1], "answers": 2}, "answer_at needs a verifier, and answers above 0"),
        ({"answer_at": [1], "verifier": "exact"}, "answer_at needs a verifier, and answers above 0"),
        ({"answer_at": [1, 3], **JUDGED}, "answer_at must be at most the 2 steps of the run, not 3"),
        ({"answer_at": [3], "epochs": 1, **JUDGED}, "answer_at must be at most the 2 steps of the run, not 3"),
        ({"loss": "DPO(bet=1)"}, "no field 'bet'"),
        ({"threshold": math.nan}, "threshold must be a finite number, not nan"),
        ({"threshold": 1.0}, "threshold belongs to scored completions, and data holds PreferenceSets"),
        ({"data": TRAIN[:1], "eval": None}, "at least 2 prompts"),
    ],
)
def test_a_wrong_argument_is_named_and_leaves_no_output_folder(tune, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        tune(**{"loss": "dpo", **options})
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_a_gpu_that_is_not_there_is_refused(tune):
    with pytest.raises(ValueError, match="torch finds no CUDA GPU"):
        tune(loss="dpo", device="cuda")


def test_a_model_with_a_nan_is_refused_by_the_name_of_its_weights(tmp_path):
    model, _ = load_model(save_tiny(tmp_path / "base"))
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = math.nan
    model.save_pretrained(tmp_path / "base")
    with pytest.raises(ValueError, match=r"weights of the model .*base' must be finite, but .*ln_f\.weight"):
        finetune(loss="dpo", model=tmp_path / "base", output=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_a_verifier_that_is_not_there_is_refused_before_any_work(tune, tmp_path):
    with pytest.raises(ValueError, match="verifier 'no:where' cannot be had"):
        tune(loss="dpo", verifier="no:where")
    assert not (tmp_path / "run").exists()


def test_sets_that_two_processes_cannot_share_are_refused(tune, tmp_path, monkeypatch):
    two = contextlib.nullcontext((0, 2, "cpu", lambda: None))
    monkeypatch.setattr(workplace, "processes_of", lambda device: two)
    with pytest.raises(ValueError, match="sets_per_step must be a multiple of the 2 processes, not 3"):
        tune(loss="dpo", sets_per_step=3)
    assert not (tmp_path / "run").exists()


def test_a_read_only_folder_is_refused_before_any_work(tune, tmp_path, monkeypatch):
    # The superuser may write anywhere, so the answer of the system is replaced.
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(tmp_path))
    with pytest.raises(PermissionError, match=r"output .* cannot be written: .* is read-only for you"):
        tune(loss="dpo")


def test_a_refused_run_leaves_no_folder_on_the_way_to_its_own(tune, tmp_path):
    for options in (
        {"data": "no.jsonl"},
        {"model": tmp_path / "none"},
        {"truncate": "error", "data": [LONG] * 2 + TRAIN},
    ):
        with pytest.raises((OSError, ValueError)):
            tune("down/run", loss="dpo", **options)
        assert list(tmp_path.iterdir()) == []


def test_a_run_in_a_folder_of_a_folder_that_is_not_there_is_refused(tune, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*such' to make dir/run in"):
        tune("no/such/dir/run", loss="dpo")
    assert list(tmp_path.iterdir()) == []


LONG = PreferenceSet("p" * 70, ["a"], ["b"])


def test_a_model_that_is_refused_leaves_no_output_folder(tune, base, tmp_path):
    model = shutil.copytree(base, tmp_path / "model")
    (model / "model.safetensors").unlink()
    with pytest.raises(OSError, match="holds no weights"):
        tune(loss="dpo", model=model)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": DPO}, r"loss must be a loss, not its class: write DPO\(\)"),
        ({"loss": None}, "loss must be a loss, such as .*, not of type NoneType"),
        ({"data": None}, "data: source must be .*, not None"),
        ({"data": PreferenceSet}, "data: source must be"),
        (
            {"data": datasets.DatasetDict(train=TABLE, test=TABLE)},
            r"data must be one table, not several \(train, test\)",
        ),
        ({"eval": {"train": TRAIN}}, "eval must be one table"),
        ({"data": pandas.DataFrame({"prompt": ["p"]})}, r"data must not be a DataFrame: give data\.to_dict"),
        ({"data": iter(())}, "data must be a file, .* not an empty one"),
        ({"data": [*TRAIN, "text"]}, "data must be a file, .* not one with 'text' in it"),
        ({"output": None}, "output must be the name of a folder, not None"),
        ({"output": b"run"}, "output must be the name of a folder, not b'run'"),
        ({"model": 5}, r"model must be the name of a folder, a model .* or a pair \(model, tokenizer\), not 5"),
        ({"answer_at": 3}, "answer_at must be numbers of steps, such as 2,4,8, not 3"),
        ({"verifier": print}, "verifier must be 'world', 'exact' or 'module:function'"),
    ],
)
def test_an_argument_of_another_kind_is_named_in_one_line(tune, tmp_path, options, message):
    with pytest.raises(TypeError, match=message) as caught:
        tune(**{"loss": "dpo", **options})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["data", "eval"])
def test_a_file_that_is_not_there_is_named_with_its_argument(tune, tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"{name} cannot be read: No such file or directory: 'nope.jsonl'"):
        tune(**{"loss": "dpo", name: "nope.jsonl"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [
    {"steps": np.float64(3.0)}, {"steps": "3"}, {"steps": True}, {"seed": None}, {"sets_per_step": None},
    {"lr": "1e-4"}, {"lr": 1j}, {"save_every": 1.5}, {"chat": "yes"}, {"resume": 1}, {"device": None},
    {"precision": ["bf16"]}, {"progress": "no"}, {"checkpointing": 1},
])  # fmt: skip
def test_a_number_or_choice_of_another_kind_is_named(tune, tmp_path, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        tune(**{"loss": "dpo", **options})
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class OneNumber(Loss):
    def value(self, sets, sides):
        return sets.logp.sum()


@dataclass(frozen=True)
class Detached(Loss):
    def value(self, sets, sides):
        return sets.logp.detach().sum(-1)


@dataclass(frozen=True)
class WrongWeights(Loss):
    def value(self, sets, sides):
        return sets.logp.sum(-1)

    def weights(self, sets):
        return 2.0 + 0 * sets.logp


OWN = {
    OneNumber(): r"OneNumber must return one loss for each set, \(2,\), not \(\)$",
    Detached(): "Detached must return a loss with a gradient in logp; detach, item and no_grad cut it off$",
    WrongWeights(): "WrongWeights.weights must return the slopes of its loss in logp: 1 for made-up sets, not 2$",
}


@pytest.mark.parametrize("loss", OWN, ids=repr)
def test_a_loss_of_ones_own_that_cannot_be_trained_is_refused_once_and_leaves_no_output_folder(tune, tmp_path, loss):
    with pytest.raises((TypeError, ValueError), match=f"^{OWN[loss]}") as caught:
        tune(loss=loss)
    assert not hasattr(caught.value, "__notes__")
    assert not (tmp_path / "run").exists()
    with pytest.raises((TypeError, ValueError), match=f"^{OWN[loss]}"):
        rounds(TRAIN, loss=loss, verifier="world", eval=TRAIN, output=tmp_path / "rounds")
    assert not (tmp_path / "rounds").exists()


def test_a_gradient_beyond_its_type_ends_the_run(tune):
    huge = [PreferenceSet(one.prompt, one.positives[:1], one.negatives[:1], scores=[1e25, 0]) for one in TRAIN]
    with pytest.raises(FloatingPointError, match=r"the gradient became inf at step 1 .*: where the sets have scores"):
        tune(loss="rloo", data=huge, eval=huge[:2])
