"""The engine of fine-tuning: transformers' Trainer with a loss of ``losses`` on preference sets."""

import copy
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from mapl_explore.files import shortened
from mapl_explore.losses import Loss, ScoredSets, loss_of
from mapl_explore.losses.measures import losses_and_sides, means, measures, side_measures
from mapl_explore.models.adapters import is_wrapped, obstacle, read_adapters, save_weights
from mapl_explore.models.checking import first_not_finite
from mapl_explore.models.choices import BF16
from mapl_explore.models.loading import load_model
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.sharded import take_weights
from mapl_explore.runs.record import progress_at
from mapl_explore.training.examples import Example, collate_examples, require_examples
from mapl_explore.training.own_loss import blamed_on, kind_of

# What the Trainer would take and then not do, or do to other weights than those meant.
UNSUPPORTED = {
    "fp16": "without a scale of the loss, which the scorer has no place for, small gradients would be 0; use bf16",
    "label_smoothing_factor": "it belongs to cross-entropy, and here the loss decides",
    "neftune_noise_alpha": "the reference has no noise in its embeddings",
    "compute_loss_func": "the argument loss decides what is minimised",
    "data_collator": "examples become batches by collate_examples",
    "compute_metrics": "an evaluation gives the means of the measures of the loss",
    "preprocess_logits_for_metrics": "an evaluation keeps log-probs, not logits",
    "model_init": "the reference log-probs belong to one model; give model",
}
# Options of checkpointing, in the two spellings of transformers (before 5.23 and from there on); each layer is computed
# again, on the device that it is on.
CHECKPOINTING = ("gradient_checkpointing_kwargs", "activation_checkpointing_kwargs")


class PreferenceTrainer(transformers.Trainer):
    """A ``transformers.Trainer`` whose step is the mean of one loss over preference sets.

    The loss, not the model, decides what is minimised; everything else (optimizer, schedule, checkpoints, accumulation,
    several processes) is the Trainer's. Each step logs the means over its sets of :func:`measures` and
    :func:`side_measures`, and how many tokens, without padding, the model read in a second; an evaluation logs the same
    means over its sets, as ``eval_loss`` and so on. Dropout is off. The sets come in the order of ``train_dataset``.
    Where a tau anneals, it goes from ``start`` in the first step to ``stop`` in the last one.

    Parameters
    ----------
    loss : Loss or str
        Called with the :class:`ScoredSets` of a batch; or text that :func:`mapl_explore.losses.parse` reads.
    model
        A causal language model of ``transformers``, or a ``SetScorer`` of one; trained in place. Of one with LoRA, as
        ``get_peft_model`` of peft returns it, the adapters are trained, and saved alone.
    args : transformers.TrainingArguments
        With ``remove_unused_columns=False``: the examples are objects, not columns. ``bf16=True`` is the ``"bf16"`` of
        ``SetScorer``: the model computes in halves, loss and weights do not. ``gradient_checkpointing=True`` is its
        ``checkpointing``.
    train_dataset : sequence of Example
        What to train on, as :func:`training_examples` makes it; an ``eval_dataset`` is the same.
    processing_class
        The tokenizer, saved with the model.
    **options
        Further arguments of ``transformers.Trainer``.

    Raises
    ------
    ValueError
        If ``args`` or ``options`` ask for what would be passed over without a word: see ``UNSUPPORTED``; or if a data
        set is empty.
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> import tempfile, transformers
    >>> from mapl_explore import DPO, PreferenceSet, PreferenceTrainer, load_model, training_examples
    >>> model, tokenizer = load_model("tiny")
    >>> sets = [PreferenceSet("2 + 2 =", [" 4"], [" 5", " 22"]), PreferenceSet("1 + 2 =", [" 3"], [" 4"])]
    >>> options = {"max_steps": 2, "remove_unused_columns": False, "disable_tqdm": True, "report_to": "none"}
    >>> args = transformers.TrainingArguments(tempfile.mkdtemp(), use_cpu=True, save_strategy="no", **options)
    >>> examples = training_examples(model, tokenizer, sets)
    >>> trainer = PreferenceTrainer(loss=DPO(), model=model, args=args, train_dataset=examples)
    >>> trainer.remove_callback(transformers.PrinterCallback)
    >>> trainer.train().global_step
    2
    """

    def __init__(
        self,
        *,
        loss: Loss | str,
        model: PreTrainedModel | SetScorer,
        args: TrainingArguments | None,
        train_dataset: Sequence[Example],
        processing_class: PreTrainedTokenizerBase | None = None,
        **options: Any,
    ):
        self.loss = loss_of(loss)
        _require_arguments(args)
        require_supported(args, options)
        _require_model(model)
        require_examples("train_dataset", train_dataset)
        require_examples("eval_dataset", options.get("eval_dataset"))
        options |= {"train_dataset": train_dataset, "processing_class": processing_class}
        scorer = _scorer_for(args, model)
        options["data_collator"] = partial(collate_examples, share_prompt=scorer.share_prompt)
        super().__init__(model=scorer, args=args, **options)
        self._measured: list[torch.Tensor] = []
        self._started = 0.0  # when the step under way began, 0 between two steps
        self._usual = 0.0  # sets of a batch of the step under way, on average
        self._share = 1.0  # of the batch in its step, relative to that of a batch of the usual size

    def get_batch_samples(self, *args: Any, **options: Any) -> tuple[list, Any]:
        """Return the batches of a step, and count their sets: the last one of an epoch may have fewer."""
        batches, items = super().get_batch_samples(*args, **options)
        self._usual = sum(len(each["label"]) for each in batches) / max(1, len(batches))
        return batches, items

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """Return the loss of a batch, its gradient added; the first batch of a step starts the clock."""
        self._started = self._started or time.perf_counter()
        self._share = len(inputs["label"]) / (self._usual or len(inputs["label"]))
        try:
            return super().training_step(model, inputs, num_items_in_batch)
        finally:  # an interrupted step must not weigh what is measured after it
            self._share = 1.0

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the mean loss of a batch, by its share; the Trainer divides it by the batches of a step."""
        columns = {name: inputs.pop(name) for name in ("ref_logp", "length", "reward") if name in inputs}
        sets = ScoredSets.unchecked(logp=model(**inputs), label=inputs["label"], **columns)
        with blamed_on(self.loss):
            loss = self.loss.at(progress_at(self.state.global_step, self.state.max_steps))  # where a tau anneals
            losses, sides = losses_and_sides(loss, sets)  # each tau is solved once
            measured = measures(loss, sets, losses, sides) | side_measures(loss, sets, sides)
        measured["tokens"] = (inputs["owner"] >= 0).sum().expand(len(losses)) / len(losses)
        self._names = list(measured)
        self._measured.append(torch.stack([torch.as_tensor(each).double() for each in measured.values()], dim=-1))
        loss_of_batch = losses.mean() * self._share
        return (loss_of_batch, {"logp": sets.logp}) if return_outputs else loss_of_batch

    def prediction_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Any, Any, Any]:
        """Return loss, log-probs and labels of a batch that is not trained on."""
        batch = self._prepare_inputs(inputs)
        with torch.no_grad(), self.model.measuring():  # type: ignore[union-attr, operator]  # it is a SetScorer
            loss, outputs = self.compute_loss(model, batch, return_outputs=True)
        # Of all processes, without the sets that only fill up the last batch.
        self._measured[-1] = self.accelerator.gather_for_metrics(self._measured[-1])
        return (loss, None, None) if prediction_loss_only else (loss, outputs["logp"], batch["label"])

    def evaluation_loop(
        self,
        dataloader: torch.utils.data.DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> Any:
        """Measure sets that are not trained on, apart from those of the step under way."""
        under_way, self._measured = self._measured, []
        try:
            asked = dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            output: Any = super().evaluation_loop(*asked)
            found = means(torch.cat(self._measured).cpu(), self._names)
        finally:
            self._measured = under_way
        del found["tokens"]
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in found.items()})
        return output

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a step with the means of its measures; a loss or a weight that is not finite ends the run."""
        if "loss" in logs and self._measured:
            logs |= self._of_step()
            if not math.isfinite(logs["loss"]):
                raise FloatingPointError(
                    f"the loss became {logs['loss']} at step {self.state.global_step}; if it was finite before,"
                    " try a smaller lr"
                )
            self._require_finite()  # before the step's checkpoint is written
            if not math.isfinite(logs.get("grad_norm", 0.0)):  # clipping would make 0 of it, and no step teach anything
                raise FloatingPointError(
                    f"the gradient became {logs['grad_norm']} at step {self.state.global_step} under {self.loss!r}:"
                    " where the sets have scores, divide them; else take a loss with smaller gradients"
                )
        super().log(logs, start_time)

    @property
    def _scorer(self) -> SetScorer:
        """Return the model as a scorer."""
        scorer: Any = self.model
        return scorer

    def _require_finite(self) -> None:
        """Raise FloatingPointError if the last update made a weight NaN or infinite."""
        wrong = first_not_finite(self._scorer.model)
        if wrong is not None:
            raise FloatingPointError(
                f"the weights became {'NaN' if wrong[1].isnan().any() else 'infinite'} at step {self.state.global_step}"
                f" under {self.loss!r}, first {wrong[0]}: try a smaller lr, a loss with smaller gradients, or smaller"
                " scores of the sets"
            )

    def _of_step(self) -> dict[str, float]:
        """Return the means over the sets of a step, and its speed."""
        table = self.accelerator.gather(torch.cat(self._measured)).cpu()  # once: each number would wait for a GPU
        logs, seconds = means(table, self._names), time.perf_counter() - self._started
        self._measured, self._started = [], 0.0
        return logs | {"tokens_per_second": logs.pop("tokens") * len(table) / seconds}

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler:
        examples: Any = self.train_dataset
        return torch.utils.data.SequentialSampler(examples)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # The Trainer's own would write the scorer's weights under names no model has, and its arguments as a pickle.
        if not self.args.should_save:  # where weights are sharded, it is called in every process
            return
        folder: Any = output_dir or self.args.output_dir
        if state_dict is None:
            self._require_finite()
        named = state_dict and {name.removeprefix("model."): value for name, value in state_dict.items()}
        save_weights(self._scorer.given, folder, named)
        if self.processing_class is not None:
            self.processing_class.save_pretrained(folder)

    def _load_best_model(self) -> None:
        # The Trainer's own would look for weights under the scorer's names, find none, and go on.
        best: Any = self.state.best_model_checkpoint
        self._load_from_checkpoint(best)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if is_wrapped(given := self._scorer.given):
            read_adapters(given, resume_from_checkpoint)
            return
        saved, _ = load_model(resume_from_checkpoint)
        take_weights(given, saved.state_dict())


def _require_arguments(args: Any) -> None:
    if args is not None and not isinstance(args, transformers.TrainingArguments):
        hint = ": TrainingArguments(**args)" if isinstance(args, Mapping) else ""
        raise TypeError(f"args must be a transformers.TrainingArguments, not {kind_of(args)}{hint}")


def require_supported(args: TrainingArguments | None, options: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Raise ValueError if the arguments ask for what does not work here."""
    for name, reason in UNSUPPORTED.items():
        if getattr(args, name, None) or options.get(name) is not None:
            raise ValueError(f"PreferenceTrainer has no {name}: {reason}")
    for name in CHECKPOINTING:
        given = getattr(args, name, None) or {}
        if given not in ({}, {"use_reentrant": False}):
            raise ValueError(f"{name} must be None or {{'use_reentrant': False}}, not {shortened(given)}")


def _scorer_for(args: TrainingArguments | None, model: PreTrainedModel | SetScorer) -> SetScorer:
    """Return a scorer that does what the arguments ask of it; one that was given stays as it is."""
    scorer = copy.copy(model) if isinstance(model, SetScorer) else SetScorer(model)
    if args is not None and args.bf16:  # the Trainer's own autocast ends where the scorer's begins
        scorer.precision = BF16
    if args is not None and args.gradient_checkpointing:  # transformers 5.23 has kept this name next to its new one
        scorer.activation_checkpointing_enable()
    return scorer


def _require_model(model: Any) -> None:
    if not isinstance(model, torch.nn.Module):
        hint = ": load_model returns a pair (model, tokenizer)" if isinstance(model, tuple | str) else ""
        given = "a tuple" if isinstance(model, tuple) else kind_of(model)
        raise TypeError(f"model must be a causal language model or a SetScorer, not {given}{hint}")
    whole = model.given if isinstance(model, SetScorer) else model
    if reason := obstacle(whole):
        raise ValueError(f"model must be one that can be trained, and this {type(whole).__name__} {reason}")
