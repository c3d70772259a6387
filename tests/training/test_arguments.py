"""Any training that transformers knows: further arguments, epochs, early ends, another reference, callbacks."""

import contextlib
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from tiny_models import random_gpt2, save_tiny
from transformers import TrainerCallback
from tuned_runs import EVAL, TRAIN, by_hand, interrupted, timeless, weights

from conftest import assert_close
from mapl_explore.models.encoding import encode_sets
from mapl_explore.models.loading import load_model, weights_checksum
from mapl_explore.notes import Note
from mapl_explore.runs.measured import read_measured
from mapl_explore.runs.probes import read_probes
from mapl_explore.runs.record import read_run
from mapl_explore.training import Settings
from mapl_explore.training.arguments import DECIDED
from mapl_explore.training.schedule import learning_rate

SMALL = {"loss": "dpo", "data": "d", "output": "o"}


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another model with the same tokenizer."""
    return save_tiny(tmp_path_factory.mktemp("other"), seed=7)


class Rates(TrainerCallback):
    """Keeps the learning rate of each step."""

    def __init__(self):
        self.seen = []

    def on_step_end(self, args, state, control, lr_scheduler=None, **kwargs):
        self.seen.append(lr_scheduler.get_last_lr()[0])


def test_arguments_of_the_trainer_decide_the_training_and_are_in_the_record(tune):
    rates = Rates()
    training = {"optim": "sgd", "lr_scheduler_type": "constant", "weight_decay": 0.5}
    done = tune(loss="dpo", steps=3, lr=0.1, training=training, callbacks=[rates])
    assert rates.seen == [0.1, 0.1, 0.1]
    assert read_run(done.folder).arguments["training"] == training
    assert weights(done.folder) != weights(tune("plain", loss="dpo", steps=3, lr=0.1).folder)


def test_arguments_read_as_text_are_those_given_in_python():
    texts = ["weight_decay=0.01", "optim=sgd", "group=True", 'lr_scheduler_kwargs={"num_cycles": 2}', "x=a=b"]
    found = Settings(**SMALL, training=texts).training
    assert found == {
        "weight_decay": 0.01,
        "optim": "sgd",
        "group": True,
        "lr_scheduler_kwargs": {"num_cycles": 2},
        "x": "a=b",
    }
    assert Settings(**SMALL, training=found).training == found


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"learning_rate": 1.0}, "training must not have learning_rate: lr has it"),
        ({"push_to_hub": True}, "nothing is uploaded"),
        ({"weight_deca": 0.1}, "training has 'weight_deca', .* did you mean weight_decay"),
        ({"weight_decay": "much"}, "training: weight_decay must be of the kind float, not 'much'"),
        ({"weight_decay": True}, "training: weight_decay must be of the kind float, not True"),
        ({"eval_accumulation_steps": 1.5}, "must be of the kind int or nothing, not 1.5"),
        ({"adam_beta1": 5.0}, "training: Invalid beta parameter"),
        ({"optim": "no such"}, "training: no such is not a valid OptimizerNames"),
        ({"neftune_noise_alpha": 5.0}, "PreferenceTrainer has no neftune_noise_alpha"),
        ({"report_to": "no_such"}, "training: no_such is not supported"),
        ({"torch_compile": True}, "training must not have torch_compile on a CPU"),
        ({"weight_decay": -1.0}, "training: weight_decay must be >= 0, not -1"),
        ({"eval_strategy": "steps", "eval_steps": -3}, "training: eval_steps must be > 0, not -3"),
        ({"metric_for_best_model": "hard_margn"}, "metric_for_best_model must be one of loss, .*, not 'hard_margn'"),
        ({"load_best_model_at_end": True}, "training: .*load_best_model_at_end requires"),
    ],
)
def test_an_argument_that_does_nothing_or_harm_is_refused_before_any_work(tune, tmp_path, training, said):
    with pytest.raises((ValueError, TypeError), match=said) as caught:
        tune(loss="dpo", training=training)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("metric", "greater", "said"),
    [("eval_hard_margin", None, "hard margin is the largest"), ("negative_tau", False, "negative tau is the smallest")],
)
def test_a_measure_of_the_loss_may_choose_the_best_checkpoint(tune, metric, greater, said):
    training = {"metric_for_best_model": metric} | ({} if greater is None else {"greater_is_better": greater})
    with pytest.warns(Note, match=f"patience: ended .* and kept step ., whose held-out {said}"):
        tune(loss="dpo-smooth", steps=2, save_every=1, patience=1, training=training)


def test_a_rate_that_never_gets_where_it_is_to_go_is_noted(tune):
    with pytest.warns(Note, match="warmup_steps is 50, so that after all steps the rate is 4% of lr"):
        tune(loss="dpo", steps=2, training={"warmup_steps": 50})


@pytest.mark.parametrize("value", [3, "weight_decay=1", ["weight_decay"], {"a": object()}, {"a": float("nan")}])
def test_what_is_no_mapping_of_arguments_is_refused(value):
    with pytest.raises((ValueError, TypeError), match="training"):
        Settings(**SMALL, training=value)


def test_every_argument_that_settings_decide_is_one_of_the_trainer_or_was():
    now = {each.name for each in dataclasses.fields(transformers.TrainingArguments)}
    assert DECIDED.keys() - now <= {"group_by_length", "no_cuda"}  # of transformers before 5.0


def test_epochs_are_as_many_steps_as_they_take(tune):
    done = tune(loss="dpo", epochs=1.5, sets_per_step=2)
    assert len(done.run.log) == done.run.arguments["steps"] == np.ceil(1.5 * len(TRAIN) / 2)


def test_no_checkpoints_where_none_are_wanted(tune):
    done = tune(loss="dpo", steps=2, save_every=0)
    assert not list((done.folder / "checkpoints").glob("checkpoint-*"))
    assert done.run.finished


def test_patience_ends_a_run_that_gets_worse_and_keeps_the_best(tune):
    # A rate at which the held-out loss rises from the first step on.
    options = {"loss": "dpo", "steps": 8, "save_every": 1, "lr": 0.5, "training": {"warmup_steps": 0}}
    done = tune(patience=2, sets_per_step=len(TRAIN), **options)
    losses = [entry["eval_loss"] for entry in done.run.evaluations]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 == len(done.run.log) < 8
    assert done.run.after["loss"] == pytest.approx(losses[best], abs=1e-5)
    assert read_run(done.folder).evaluations == done.run.evaluations
    each = sum(len(ids) for one in encode_sets(done.tokenizer, TRAIN, context=64) for ids in one.responses)
    assert read_measured(done.folder)[1] == len(losses) * each  # not those of the 8 steps that were asked for


def test_an_interrupted_run_with_patience_ends_where_the_uninterrupted_one_ends(tune, monkeypatch):
    options = {"loss": "dpo", "steps": 8, "save_every": 1, "lr": 0.5, "training": {"warmup_steps": 0}, "patience": 2}
    whole = tune("whole", **options)
    interrupted(monkeypatch, len(whole.run.log))
    with pytest.raises(KeyboardInterrupt):
        tune("cut", **options)
    monkeypatch.undo()
    resumed = tune("cut", resume=True, **options)
    assert weights(resumed.folder) == weights(whole.folder)
    assert timeless(resumed.run) == timeless(whole.run)


def test_a_reference_that_lacks_tokens_is_named_before_anything_is_written(tune, tmp_path):
    small = random_gpt2()
    small.resize_token_embeddings(100)
    with pytest.raises(ValueError, match=r"^reference 'GPT2LMHeadModel': .* has embeddings for 100"):
        tune(loss="dpo", reference=small)
    assert not (tmp_path / "run").exists()


def test_another_reference_is_what_log_ratios_and_probes_are_relative_to(tune, base, other):
    done = tune(loss="dpo", reference=other, steps=1, answers=2)
    assert min(done.run.before["kl"], done.run.after["kl"]) > 0.5  # a step moves it by 0.03
    model, tokenizer = load_model(base)
    before, after = by_hand(model, tokenizer, EVAL), by_hand(done.model, tokenizer, EVAL)
    beside = by_hand(load_model(other)[0], tokenizer, EVAL)
    probes = read_probes(done.folder)
    for sets, measured in ((before, done.run.before), (after, done.run.after)):
        change = _chosen(sets) - _chosen(beside)
        assert_close(np.float64(measured["chosen_ratio"]), change, k=0, atol=2e-5)
    assert done.run.arguments["reference"] == str(other)
    assert done.run.reference_checksum == weights_checksum(load_model(other)[0])
    assert float(np.abs(probes.sets.ref_logp[0] - probes.sets.logp[0]).max()) > 0.1


def _chosen(rows):
    return np.float64(np.mean([logp[label > 0].mean() for label, logp in rows]))


def test_a_second_round_keeps_its_kl_to_the_first_base(tune, base):
    first = tune("first", loss="dpo", steps=4, lr=1e-3, answers=8)
    options = {"model": str(first.folder), "steps": 1, "lr": 1e-12, "answers": 8}
    second = tune("second", loss="dpo", reference=base, **options)
    assert second.run.before["kl"] == pytest.approx(first.run.after["kl"], abs=1e-5)
    assert tune("alone", loss="dpo", **options).run.before["kl"] == 0.0


def test_resume_with_another_reference_is_refused(tune, base, other, tmp_path):
    moved = shutil.copytree(other, tmp_path / "reference")
    done = tune(loss="dpo", steps=2, reference=str(moved))
    (done.folder / "model.safetensors").unlink()
    shutil.copy(f"{base}/model.safetensors", moved)
    with pytest.raises(ValueError, match=r"was started with other weights: those of .*reference"):
        tune(loss="dpo", steps=2, reference=str(moved), resume=True)


def test_the_model_in_training_is_no_reference(tune, base):
    model, tokenizer = load_model(base)
    with pytest.raises(ValueError, match="reference must be another model than model"):
        tune(loss="dpo", model=(model, tokenizer), reference=model)


def test_a_set_longer_than_asked_for_is_cut(tune):
    done = tune(loss="dpo", steps=1, max_length=8)
    assert read_run(done.folder).arguments["max_length"] == 8
    assert weights(done.folder) != weights(tune("whole", loss="dpo", steps=1).folder)
    with pytest.raises(ValueError, match=r"does not fit: .*8"):
        tune("refused", loss="dpo", steps=1, max_length=8, truncate="error")


def test_a_record_from_before_these_settings_is_resumed(tune):
    done = tune(loss="dpo", steps=2)
    record = json.loads((done.folder / "run.json").read_text())
    for name in ("reference", "epochs", "max_length", "patience", "training", "lora"):
        del record["arguments"][name]
    for name in ("reference_checksum", "evaluations"):
        del record[name]
    (done.folder / "run.json").write_text(json.dumps(record))
    assert torch.equal(*[run.model.lm_head.weight.detach() for run in (done, tune(loss="dpo", steps=2, resume=True))])


def test_callbacks_that_are_none_are_refused():
    with pytest.raises(TypeError, match="callbacks must be TrainerCallbacks"):
        Settings(**SMALL, callbacks=[print])


@pytest.mark.parametrize(
    ("given", "weights", "adapters", "rate"),
    [
        (None, 10_000_000, False, 8e-5),
        (None, 10_000_001, False, 1e-6),
        (None, 10_000_001, True, 1e-5),
        (None, 1_000, True, 8e-5),
        (0.5, 10_000_001, True, 0.5),
    ],
)
def test_a_rate_that_is_not_given_suits_the_size_of_the_model(given, weights, adapters, rate):
    whose = "adapters on any model" if adapters else "any model"
    noted = pytest.warns(Note, match=f"^lr is {rate:g}, as for {whose} of more")
    said = contextlib.nullcontext() if rate in (8e-5, 0.5) else noted
    with said:
        assert learning_rate(Settings(**SMALL, lr=given), weights, adapters) == rate


def test_the_rate_in_the_record_is_the_one_that_was_used(tune):
    assert tune(loss="dpo", steps=1, lr=None).run.arguments["lr"] == 8e-5
