"""The engine of fine-tuning: transformers' Trainer with a loss of ``losses`` on preference sets."""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import transformers

from mapl_explore.losses import Loss, ScoredSets
from mapl_explore.losses.measures import losses_and_sides, means, measures, side_measures
from mapl_explore.models.encoding import EncodedSet, collate, sides
from mapl_explore.models.loading import load_model
from mapl_explore.models.scorer import SetScorer
from mapl_explore.runs.record import progress_at

# What the Trainer would take and then not do, or do to other weights than those meant.
UNSUPPORTED = {
    "fp16": "without a scale of the loss, which the scorer has no place for, small gradients would be 0; use bf16",
    "gradient_checkpointing": (EVALUATION := "transformers has it in training mode only, and here dropout is off"),
    "activation_checkpointing": EVALUATION,  # its name from transformers 5.23 on
}


@dataclass(frozen=True)
class Example:
    """One encoded set with the reference log-probability of each of its responses, in nats."""

    encoded: EncodedSet
    ref_logp: tuple[float, ...]

    @classmethod
    def of(cls, encoded: EncodedSet, ref_logp: torch.Tensor) -> "Example":
        """Return the example of a row (n,) of log-probabilities, padded at its end."""
        return cls(encoded, tuple(ref_logp[: len(encoded.responses)].tolist()))


class PreferenceTrainer(transformers.Trainer):
    """A ``transformers.Trainer`` whose step is the mean of one loss over preference sets.

    The loss, not the model, decides what is minimised; everything else (optimizer, schedule, checkpoints, accumulation,
    several processes) is the Trainer's. Each step logs the means over its sets of :func:`measures` and
    :func:`side_measures`, and how many tokens, without padding, the model read in a second; an evaluation logs the same
    means over its sets, as ``eval_loss`` and so on. Dropout is off. The sets come in the order of ``train_dataset``.
    Where a tau anneals, it goes from ``start`` in the first step to ``stop`` in the last one.

    Parameters
    ----------
    loss : Loss
        Called with the :class:`ScoredSets` of a batch.
    model
        A causal language model of ``transformers``, or a ``SetScorer`` of one; trained in place.
    args : transformers.TrainingArguments
        With ``remove_unused_columns=False``: the examples are objects, not columns. ``bf16=True`` is the ``"bf16"`` of
        ``SetScorer``: the model computes in halves, loss and weights do not.
    train_dataset : sequence of Example
        What to train on; an ``eval_dataset`` is the same.
    processing_class
        The tokenizer, saved beside the model.
    **options
        Further arguments of ``transformers.Trainer``.

    Raises
    ------
    ValueError
        If ``args`` asks for what would be passed over without a word: see ``UNSUPPORTED``.
    """

    def __init__(self, *, loss: Loss, model, args, train_dataset: Sequence[Example], processing_class=None, **options):
        options |= {"train_dataset": train_dataset, "processing_class": processing_class}
        _require_supported(args)
        scorer = model if isinstance(model, SetScorer) else SetScorer(model)
        if args is not None and args.bf16:  # the Trainer's own autocast ends where the scorer's begins
            scorer = copy.copy(scorer)
            scorer.precision = "bf16"
        options["data_collator"] = partial(collate_examples, share_prompt=scorer.share_prompt)
        super().__init__(model=scorer, args=args, **options)
        self.loss = loss
        self._measured, self._started = [], None

    def training_step(self, model, inputs, num_items_in_batch=None):
        """Return the loss of a batch, its gradient added; the first batch of a step starts the clock."""
        self._started = self._started or time.perf_counter()
        return super().training_step(model, inputs, num_items_in_batch)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return the mean loss of a batch; the Trainer divides it by the batches of a step."""
        columns = {name: inputs.pop(name) for name in ("ref_logp", "length")}
        sets = ScoredSets.unchecked(logp=model(**inputs), label=inputs["label"], **columns)
        loss = self.loss.at(progress_at(self.state.global_step, self.state.max_steps))  # where a tau anneals
        losses, sides = losses_and_sides(loss, sets)  # each tau is solved once
        measured = measures(loss, sets, losses, sides) | side_measures(loss, sets, sides)
        measured["tokens"] = (inputs["owner"] >= 0).sum() / len(losses) + torch.zeros_like(losses)
        self._names, columns = list(measured), [values.double() for values in measured.values()]
        self._measured.append(torch.stack(columns, dim=-1))
        return (losses.mean(), {"logp": sets.logp}) if return_outputs else losses.mean()

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """Return loss, log-probs and labels of a batch that is not trained on."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        # Of all processes, without the sets that only fill up the last batch.
        self._measured[-1] = self.accelerator.gather_for_metrics(self._measured[-1])
        return (loss, None, None) if prediction_loss_only else (loss, outputs["logp"], inputs["label"])

    def evaluation_loop(self, *args, metric_key_prefix="eval", **options):
        """Measure sets that are not trained on, apart from those of the step under way."""
        under_way, self._measured = self._measured, []
        try:
            output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **options)
            found = means(torch.cat(self._measured).cpu(), self._names)
        finally:
            self._measured = under_way
        del found["tokens"]
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in found.items()})
        return output

    def log(self, logs, start_time=None):
        """Log a step with the means of its measures; a loss that is not finite ends the run."""
        if "loss" in logs and self._measured:
            logs |= self._of_step()
            if not math.isfinite(logs["loss"]):
                raise FloatingPointError(
                    f"the loss became {logs['loss']} at step {self.state.global_step}; if it was finite before,"
                    " try a smaller lr"
                )
        super().log(logs, start_time)

    def _of_step(self) -> dict[str, float]:
        """Return the means over the sets of a step, and its speed."""
        table = self.accelerator.gather(torch.cat(self._measured)).cpu()  # once: each number would wait for a GPU
        logs, seconds = means(table, self._names), time.perf_counter() - self._started
        self._measured, self._started = [], None
        return logs | {"tokens_per_second": logs.pop("tokens") * len(table) / seconds}

    def _get_train_sampler(self, train_dataset=None):
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def _save(self, output_dir=None, state_dict=None):
        # The Trainer's own would write the scorer's weights under names no model has, and its arguments as a pickle.
        output_dir = output_dir or self.args.output_dir
        self.model.model.save_pretrained(output_dir)
        if self.processing_class is not None:
            self.processing_class.save_pretrained(output_dir)

    def _load_best_model(self):
        # The Trainer's own would look for weights under the scorer's names, find none, and go on.
        self._load_from_checkpoint(self.state.best_model_checkpoint)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        saved, _ = load_model(resume_from_checkpoint)
        self.model.model.load_state_dict(saved.state_dict())


def _require_supported(args: transformers.TrainingArguments | None) -> None:
    """Raise ValueError if the arguments ask for what does not work here."""
    for name, reason in UNSUPPORTED.items():
        if getattr(args, name, False):
            raise ValueError(f"PreferenceTrainer has no {name}: {reason}")


def collate_examples(examples: Sequence[Example], share_prompt: bool = True) -> dict[str, torch.Tensor]:
    """Return the batch of a scorer with lengths and reference log-probabilities (sets, n)."""
    encoded = [each.encoded for each in examples]
    batch = collate(encoded, share_prompt=share_prompt) | sides(encoded)
    ref_logp = torch.tensor([value for each in examples for value in each.ref_logp], dtype=torch.float64)
    column = torch.zeros(batch["label"].shape, dtype=torch.float64).masked_scatter(batch["label"] != 0, ref_logp)
    return {**batch, "ref_logp": column}
