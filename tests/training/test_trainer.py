"""The trainer of one's own: evaluations apart from steps, and what TrainingArguments ask for is done or refused."""

import numpy as np
import pytest
import torch
import transformers
from tiny_models import byte_tokenizer, random_gpt2

from mapl_explore.data import PreferenceSet
from mapl_explore.losses import DPO, Anneal, ScoredSets, Smooth
from mapl_explore.losses.measures import measures
from mapl_explore.models.encoding import encode_sets
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_encoded
from mapl_explore.training.trainer import Example, PreferenceTrainer, collate_examples

TOKENIZER = byte_tokenizer()
SETS = [PreferenceSet(f"what is {i}?", [f" {i}"], [" no", " x"][: 1 + i % 2]) for i in range(11)]
LOSS = DPO(beta=0.5, pair=Smooth(tau=1.0))


@pytest.fixture
def made(tmp_path):
    """Make a trainer of six sets and five held-out ones: made(options of TrainingArguments...)."""

    def make(loss=LOSS, **options):
        model, encoded = random_gpt2(), encode_sets(TOKENIZER, SETS)
        ref_logp = score_encoded(SetScorer(random_gpt2(seed=1)), encoded, progress=False)
        examples = [Example.of(*row) for row in zip(encoded, ref_logp, strict=True)]
        options = {"max_steps": 3, "per_device_train_batch_size": 3, "per_device_eval_batch_size": 2} | options
        options |= {
            "logging_steps": 1,
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            "log_level": "error",
        }
        options |= {"remove_unused_columns": False, "output_dir": str(tmp_path), "learning_rate": 1e-2}
        args = transformers.TrainingArguments(**{"save_strategy": "no", **options})
        data = {"train_dataset": examples[:6], "eval_dataset": examples[6:], "processing_class": TOKENIZER}
        trainer = PreferenceTrainer(loss=loss, model=model, args=args, **data)
        trainer.remove_callback(transformers.PrinterCallback)
        return trainer

    return make


def steps(trainer):
    return [
        {name: value for name, value in entry.items() if name not in ("tokens_per_second", "epoch")}
        for entry in trainer.state.log_history
        if "hard_margin" in entry
    ]


def measured(trainer, loss=LOSS):
    """Return the means of the held-out sets, one after another, from what the scorer makes of each alone."""
    found = []
    for one in trainer.eval_dataset:
        batch = collate_examples([one])
        columns = {name: batch.pop(name) for name in ("ref_logp", "length")}
        with torch.no_grad():
            logp = trainer.model(**batch)
        sets = ScoredSets.unchecked(logp=logp, label=batch["label"], **columns)
        found.append({name: value.item() for name, value in measures(loss, sets).items()})
    return {name: np.mean([each[name] for each in found]) for name in found[0]}


def test_an_evaluation_on_the_way_leaves_the_log_of_the_steps_as_it_is(made):
    plain, watched = made(), made(eval_strategy="steps", eval_steps=1)
    plain.train()
    watched.train()
    assert steps(watched) == steps(plain)
    assert len(steps(plain)) == 3


def test_an_evaluation_is_the_mean_over_its_sets_before_and_after_training(made):
    trainer = made()
    for _ in range(2):
        found = trainer.evaluate()
        # Log-probs of 50 nats do not depend on the batch beyond 1e-5.
        for name, value in measured(trainer).items():
            assert abs(found[f"eval_{name}"] - value) <= 1e-5, name
        trainer.train()


def test_an_evaluation_has_the_tau_of_where_the_training_is(made):
    trainer = made(loss=DPO(pair=Smooth(tau=Anneal(start=1.0, stop=4.0))), eval_strategy="steps", eval_steps=1)
    taus = [trainer.evaluate()["eval_negative_tau"]]
    trainer.train()
    taus += [entry["eval_negative_tau"] for entry in trainer.state.log_history if "eval_negative_tau" in entry]
    np.testing.assert_allclose(taus, [1.0, 2.0, 4.0, 4.0], rtol=1e-12)


def test_epochs_in_place_of_steps_train_and_anneal_to_the_end(made):
    trainer = made(loss=DPO(pair=Smooth(tau=Anneal(start=1.0, stop=4.0))), max_steps=-1, num_train_epochs=2)
    trainer.train()
    np.testing.assert_allclose(
        [entry["negative_tau"] for entry in steps(trainer)], 4.0 ** (np.arange(4) / 3), rtol=1e-12
    )


def test_bf16_computes_the_model_in_halves_in_training_and_evaluation(made):
    trainer, full = made(bf16=True), made()
    assert trainer.model.precision == "bf16"
    first, plain = (each.evaluate()["eval_chosen"] for each in (trainer, full))
    assert 1e-4 < abs(first - plain) < 1
    trainer.train()
    full.train()
    assert 1e-4 < abs(steps(trainer)[0]["chosen"] - steps(full)[0]["chosen"]) < 1
    assert {weights.dtype for weights in trainer.model.parameters()} == {torch.float32}


def test_the_best_model_is_the_one_at_the_end_where_that_is_asked_for(made):
    options = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
    options |= {"metric_for_best_model": "chosen", "greater_is_better": False, "load_best_model_at_end": True}
    trainer = made(lr_scheduler_type="constant", **options)
    trainer.train()
    chosen = [entry["eval_chosen"] for entry in trainer.state.log_history if "eval_chosen" in entry]
    assert np.argmin(chosen) != len(chosen) - 1
    assert abs(trainer.evaluate()["eval_chosen"] - min(chosen)) <= 1e-5


def test_halves_without_a_scale_are_refused_before_training(made):
    with pytest.raises(ValueError, match=r"PreferenceTrainer has no fp16: .* use bf16"):
        made(fp16=True)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_checkpointing_of_activations_is_refused_before_training(made):
    with pytest.raises(
        ValueError, match=r"PreferenceTrainer has no (gradient|activation)_checkpointing: transformers has"
    ):
        made(gradient_checkpointing=True)
