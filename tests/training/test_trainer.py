"""The trainer of one's own: evaluations apart from steps, and what TrainingArguments ask for is done or refused."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from tiny_models import byte_tokenizer, random_gpt2

from mapl_explore.data import PreferenceSet
from mapl_explore.losses import DPO, LOSSES, Anneal, Hardest, Pair, ScoredSets, Smooth
from mapl_explore.losses.loss import try_loss
from mapl_explore.losses.measures import measures
from mapl_explore.models.encoding import encode_sets
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_encoded
from mapl_explore.training.examples import Example, collate_examples, training_examples
from mapl_explore.training.trainer import PreferenceTrainer

TOKENIZER = byte_tokenizer()
SETS = [PreferenceSet(f"what is {i}?", [f" {i}"], [" no", " x"][: 1 + i % 2]) for i in range(11)]
LOSS = DPO(beta=0.5, pair=Smooth(tau=1.0))


@pytest.fixture
def made(tmp_path):
    """Make a trainer of six sets and five held-out ones: made(options of TrainingArguments...)."""

    def make(loss=LOSS, given=(), **options):
        model, encoded = random_gpt2(), encode_sets(TOKENIZER, SETS)
        ref_logp = score_encoded(SetScorer(random_gpt2(seed=1)), encoded, progress=False)
        examples = [Example.of(*row) for row in zip(encoded, ref_logp, strict=True)]
        options = {"max_steps": 3, "per_device_train_batch_size": 3, "per_device_eval_batch_size": 2} | options
        options = {"logging_steps": 1} | options
        options |= {
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            "log_level": "error",
        }
        options |= {"remove_unused_columns": False, "output_dir": str(tmp_path), "learning_rate": 1e-2}
        args = transformers.TrainingArguments(**{"save_strategy": "no", **options})
        data = {"train_dataset": examples[:6], "eval_dataset": examples[6:], "processing_class": TOKENIZER}
        trainer = PreferenceTrainer(**{"loss": loss, "model": model, "args": args, **data, **dict(given)})
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


@pytest.mark.parametrize("logged", [1, 3])
def test_an_evaluation_on_the_way_leaves_the_log_of_the_steps_as_it_is(made, logged):
    plain, watched = (made(logging_steps=logged, **more) for more in ({}, {"eval_strategy": "steps", "eval_steps": 1}))
    plain.train()
    watched.train()
    assert steps(watched) == steps(plain)
    assert len(steps(plain)) == 3 // logged


def test_an_evaluation_is_the_mean_over_its_sets_before_and_after_training(made):
    trainer = made()
    for _ in range(2):
        found = trainer.evaluate()
        # Log-probs of 50 nats do not depend on the batch beyond 1e-5.
        for name, value in measured(trainer).items():
            assert abs(found[f"eval_{name}"] - value) <= 1e-5, name
        assert "eval_tokens" not in found  # a step counts what it reads; an evaluation is no step
        trainer.train()


def test_a_step_follows_the_mean_over_its_sets(made):
    trainer = made()
    several = trainer.train_dataset[:3]
    alone = [trainer.compute_loss(trainer.model, collate_examples([one])).item() for one in several]
    found = trainer.compute_loss(trainer.model, collate_examples(several)).item()
    assert abs(found - np.mean(alone)) <= 1e-5  # as above


def test_a_step_of_batches_of_different_sizes_is_the_mean_over_its_sets(made):
    found = []
    for size, batches in ((5, 1), (2, 3)):
        trainer = made(given={"train_dataset": made().train_dataset[:5]}, max_steps=1,
                       per_device_train_batch_size=size, gradient_accumulation_steps=batches)  # fmt: skip
        trainer.train()
        [step] = steps(trainer)
        found.append({name: step[name] for name in ("loss", "hard_margin", "grad_norm")})
    # Gradients in float32 of other batches, relative to norms of 1 to 100.
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_the_speed_of_a_step_is_that_of_all_its_batches_alone(made, monkeypatch):
    trainer, clock = made(max_steps=2, per_device_train_batch_size=2, gradient_accumulation_steps=3), [1.0]
    compute = trainer.compute_loss

    def in_a_second(*args, **options):
        clock[0] += 1
        return compute(*args, **options)

    monkeypatch.setattr(trainer, "compute_loss", in_a_second)
    monkeypatch.setattr("mapl_explore.training.trainer.time", SimpleNamespace(perf_counter=lambda: clock[0]))
    trainer.train()
    batches = [collate_examples(trainer.train_dataset[first : first + 2]) for first in (0, 2, 4)]
    read = sum(int((batch["owner"] >= 0).sum()) for batch in batches)
    speeds = [entry["tokens_per_second"] for entry in trainer.state.log_history if "hard_margin" in entry]
    assert speeds == pytest.approx([read / 3] * 2)


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


def test_bf16_computes_the_model_in_halves_in_training_alone(made):
    trainer, full = made(bf16=True), made()
    assert trainer.model.precision == "bf16"
    first, plain = (each.evaluate()["eval_chosen"] for each in (trainer, full))
    assert first == plain
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


RENAMED = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")


@RENAMED
@pytest.mark.parametrize("options", [None, {"use_reentrant": False}])
def test_checkpointing_trains_to_the_same_bits_and_leaves_a_given_scorer_as_it_is(made, options):
    plain, scorer = made(), SetScorer(random_gpt2())
    again = made(given={"model": scorer}, gradient_checkpointing=True, gradient_checkpointing_kwargs=options)
    for each in (plain, again):
        each.train()
    assert again.model.checkpointing
    assert not scorer.checkpointing
    assert steps(again) == steps(plain)
    for mine, theirs in zip(again.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@RENAMED
def test_checkpointing_in_another_way_is_refused_before_training(made):
    line = r"^(gradient|activation)_checkpointing_kwargs must be None or {'use_reentrant': False}, not {'use_reentra"
    with pytest.raises(ValueError, match=line):
        made(gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": True})


@pytest.mark.filterwarnings("ignore:.*(label_smoothing|neftune).*")
@pytest.mark.parametrize("option", [{"label_smoothing_factor": 0.1}, {"neftune_noise_alpha": 5.0}])
def test_arguments_that_the_step_would_not_obey_are_refused(made, option):
    with pytest.raises(ValueError, match=f"PreferenceTrainer has no {next(iter(option))}: "):
        made(**option)


@pytest.mark.parametrize("name", ["compute_loss_func", "compute_metrics", "data_collator", "model_init"])
def test_functions_that_would_never_be_called_are_refused(made, name):
    with pytest.raises(ValueError, match=f"PreferenceTrainer has no {name}: "):
        made(given={name: print})


EXAMPLE = training_examples(random_gpt2(), TOKENIZER, SETS[:1])[0]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"loss": 3}, TypeError, "loss must be a loss, such as .*, not of type int"),
        ({"loss": DPO}, TypeError, r"not its class: write DPO\(\)"),
        ({"model": (random_gpt2(), TOKENIZER)}, TypeError, r"model must be .* not a tuple: load_model returns a pair"),
        ({"model": None}, TypeError, "model must be a causal language model or a SetScorer, not None"),
        (
            {"args": {"max_steps": 1}},
            TypeError,
            r"args must be a transformers.TrainingArguments, not .*: Tr",
        ),
        ({"train_dataset": []}, ValueError, "train_dataset must hold at least one Example, and is empty"),
        ({"train_dataset": SETS}, TypeError, r"train_dataset must hold Examples, not PreferenceSet.*: training_exampl"),
        ({"train_dataset": [EXAMPLE, 3]}, TypeError, "train_dataset must hold Examples, not 3"),
        ({"train_dataset": iter([EXAMPLE])}, TypeError, "train_dataset must be a sequence of Example"),
        ({"eval_dataset": {"one": SETS}}, TypeError, r"eval_dataset\['one'\] must hold Examples"),
        ({"eval_dataset": []}, ValueError, "eval_dataset must hold at least one Example"),
    ],
)
def test_an_argument_of_another_kind_is_named_before_training(made, given, error, message):
    with pytest.raises(error, match=message) as caught:
        made(given=given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ref_logp", "message"),
    [
        ([-1.0], "ref_logp must hold one log-prob for each of 2 responses, not 1 number"),
        ([-1.0, -2.0, -3.0], "for each of 2 responses, not 3 numbers"),
        ([-1.0, float("nan")], "ref_logp must be finite"),
    ],
)
def test_an_example_has_one_finite_reference_log_prob_for_each_response(ref_logp, message):
    with pytest.raises(ValueError, match=message):
        Example(EXAMPLE.encoded, ref_logp)


def test_a_loss_may_be_a_text(made):
    assert made(loss="dpo").loss == LOSSES["dpo"]


def test_training_examples_have_the_log_probs_of_the_reference_model():
    encoded = encode_sets(TOKENIZER, SETS, context=64)
    expected = score_encoded(SetScorer(random_gpt2()), encoded, progress=False)
    examples = training_examples(random_gpt2(), TOKENIZER, SETS, progress=False)
    assert [one.encoded.responses for one in examples] == [one.responses for one in encoded]
    assert [list(one.ref_logp) for one in examples] == [
        row[: len(one.responses)].tolist() for row, one in zip(expected, encoded, strict=True)
    ]


SEEN = []


@dataclass(frozen=True)
class Seen(DPO):
    pair: Pair = Hardest()

    def score(self, sets):
        SEEN.append(sets)
        return sets.logp


@pytest.mark.parametrize("graded", [True, False])
def test_a_loss_sees_a_reward_where_the_sets_have_scores(made, graded):
    sets = [replace(one, scores=[float(i), *[-1.0] * len(one.negatives)]) for i, one in enumerate(SETS)]
    examples = training_examples(random_gpt2(), TOKENIZER, sets if graded else SETS, progress=False)
    trainer = made(loss=Seen(), given={"train_dataset": examples[:6], "eval_dataset": examples[6:]})
    try_loss(Seen(), torch.empty(0))  # its trial has rewards in any case
    SEEN.clear()
    trainer.train()
    first = next(one for one in SEEN if one.logp.requires_grad)
    if graded:
        assert first.reward.tolist() == [[0.0, -1.0, 0.0], [1.0, -1.0, -1.0], [2.0, -1.0, 0.0]]
        assert first.reward.device == first.logp.device
    else:
        assert first.reward is None


def test_examples_of_which_only_some_have_scores_are_refused_before_training(made):
    sets = [replace(SETS[0], scores=[1.0, 0.0]), SETS[1]]
    examples = [one for each in sets for one in training_examples(random_gpt2(), TOKENIZER, [each], progress=False)]
    line = "^scores must stand in all sets or in none: 1 of 2 has none, first train_dataset\\[1\\]$"
    with pytest.raises(ValueError, match=line):
        made(given={"train_dataset": examples})


@dataclass(frozen=True)
class Raise(DPO):
    pair: Pair = Hardest()

    def score(self, sets):
        raise RuntimeError("mine\ntwo")


def test_a_failure_in_the_code_of_a_loss_names_the_loss_its_words_and_its_line(made):
    with pytest.raises(RuntimeError, match=r"^the loss Raise\(.*\) failed: RuntimeError: mine two\n") as caught:
        made(loss=Raise()).train()
    assert 'raise RuntimeError("mine\\ntwo")' in caught.value.__notes__[0]
    assert "test_trainer.py" in caught.value.__notes__[0]


@pytest.mark.parametrize("save", [{"logging_steps": 1}, {"logging_steps": 9}])
def test_weights_that_become_nan_end_the_training_before_a_checkpoint(made, tmp_path, save):
    trainer = made(loss=DPO(beta=1e300), save_strategy="steps", save_steps=1, **save)
    with pytest.raises(FloatingPointError, match=r"the weights became NaN at step 1 under DPO\(beta=1e\+300, "):
        trainer.train()
    assert not list(tmp_path.glob("checkpoint-*/*.safetensors"))
