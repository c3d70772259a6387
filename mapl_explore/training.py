"""Fine-tuning on preference sets: the loss is an object of ``losses``, the engine is transformers' Trainer.

Every step takes ``sets_per_step`` sets. Their order, over as many rounds as the steps need, is drawn once from the seed
and is itself the training data of the Trainer: one epoch, no remainder, the same after a resume.
"""

import math
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import transformers

from mapl_explore.data import PreferenceSet, read_sets
from mapl_explore.encoding import TRUNCATE, EncodedSet, collate, encode_sets
from mapl_explore.evaluation import HeldOut, estimates, evaluated, intervals
from mapl_explore.losses import Loss, ScoredSets, parse
from mapl_explore.measures import means, measures, side_measures
from mapl_explore.recording import LogRecorder, ProbeRecorder, Progress, steps_of
from mapl_explore.rejection import Question
from mapl_explore.rejection import verifier as judging
from mapl_explore.runs import Run, fingerprint, last_checkpoint, require_new, require_same, write_run
from mapl_explore.scoring import BATCH_TOKENS, SetScorer, context_length, load_model, quiet_transformers, score_encoded

DEVICES = ("auto", "cpu", "cuda")
REPORTS = ("none", "tensorboard")
HELD_OUT = 0.1  # part of the prompts, where no evaluation data are given


@dataclass(frozen=True)
class Example:
    """One encoded set with the reference log-probability of each of its responses, in nats."""

    encoded: EncodedSet
    ref_logp: tuple[float, ...]


@dataclass(frozen=True)
class Finetuned:
    """What :func:`finetune` returns: the run folder, its record, and the model with its tokenizer."""

    folder: Path
    run: Run = field(repr=False)
    model: transformers.PreTrainedModel = field(repr=False)
    tokenizer: transformers.PreTrainedTokenizerBase = field(repr=False)


class PreferenceTrainer(transformers.Trainer):
    """A ``transformers.Trainer`` whose step is the mean of one loss over preference sets.

    The loss, not the model, decides what is minimised; everything else (optimizer, schedule, checkpoints, accumulation,
    several processes, mixed precision) is the Trainer's. Each step logs the means over its sets of :func:`measures` and
    :func:`side_measures`, and how many tokens of prompts and responses, without padding, it took in a second. Dropout
    is off. The sets come in the order of ``train_dataset``.

    Parameters
    ----------
    loss : Loss
        Called with the :class:`ScoredSets` of a batch.
    model
        A causal language model of ``transformers``, trained in place.
    args : transformers.TrainingArguments
        With ``remove_unused_columns=False``: the examples are objects, not columns.
    train_dataset : sequence of Example
        What to train on.
    processing_class
        The tokenizer, saved beside the model.
    **options
        Further arguments of ``transformers.Trainer``.
    """

    def __init__(self, *, loss: Loss, model, args, train_dataset: Sequence[Example], processing_class=None, **options):
        options |= {"train_dataset": train_dataset, "processing_class": processing_class}
        super().__init__(model=SetScorer(model), args=args, data_collator=collate_examples, **options)
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
        loss = self.loss.at(self.state.global_step / self.state.max_steps)  # where a tau anneals
        losses = loss(sets)
        measured = measures(loss, sets, losses) | side_measures(loss, sets)
        measured["tokens"] = inputs["prompt_mask"].sum(-1) + torch.where(sets.label != 0, sets.length, 0).sum(-1)
        self._measured.append(measured)
        return (losses.mean(), {"logp": sets.logp}) if return_outputs else losses.mean()

    def log(self, logs, start_time=None):
        """Log a step with the means of its measures; a loss that is not finite ends the run."""
        if "loss" in logs and self._measured:
            logs |= self._means()
            if not math.isfinite(logs["loss"]):
                raise FloatingPointError(
                    f"the loss became {logs['loss']} at step {self.state.global_step}; if it was finite before,"
                    " try a smaller lr"
                )
        super().log(logs, start_time)

    def _means(self) -> dict[str, float]:
        """Return the means over the sets of a step, of all processes, and the speed of the step."""
        names = list(self._measured[0])
        table = [torch.stack([each[name].double() for name in names], dim=-1) for each in self._measured]
        table = self.accelerator.gather(torch.cat(table))
        logs = means(table, names)
        seconds = time.perf_counter() - self._started
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

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        saved, _ = load_model(resume_from_checkpoint)
        self.model.model.load_state_dict(saved.state_dict())


def finetune(
    *,
    loss: Loss | str,
    data: str | os.PathLike | Sequence[PreferenceSet],
    output: str | os.PathLike,
    model: str | os.PathLike = "tiny",
    eval: str | os.PathLike | Sequence[PreferenceSet] | None = None,
    steps: int = 40,
    seed: int = 0,
    lr: float = 5e-5,
    sets_per_step: int = 4,
    truncate: str = "keep-start",
    device: str = "auto",
    report: str = "none",
    verifier: str | None = None,
    answers: int = 200,
    resume: bool = False,
    progress: bool = True,
) -> Finetuned:
    """Fine-tune a causal language model with a loss on preference sets, and print what changed on held-out ones.

    AdamW without weight decay, its rate rising over a quarter of the steps and then falling linearly to 0, the gradient
    clipped to a norm of 1. The reference is the model as it was loaded; its log-probabilities are computed once. Each
    step is logged in ``run.json`` as it goes.

    Parameters
    ----------
    loss : Loss or str
        A loss, or text that :func:`mapl_explore.losses.parse` reads.
    data : path or sequence of PreferenceSet
        What to train on.
    output : path
        The run folder, new or empty; :mod:`mapl_explore.runs` says what is written. Made only once the data are read.
    model : str or path
        As for :func:`mapl_explore.scoring.load_model`.
    eval : path or sequence of PreferenceSet, optional
        The held-out sets; if not given, those of a tenth of the prompts of ``data``, drawn by the seed.
    steps, sets_per_step : int
        Updates, and sets in each.
    seed : int
        Decides the order of the sets and which are held out. Same seed, same machine: the same bits on a CPU.
    lr : float
        The highest learning rate.
    truncate : {"keep-start", "error"}
        What to do with sets beyond the model's context, see :func:`mapl_explore.encoding.encode_sets`.
    device : {"auto", "cpu", "cuda"}
        ``"auto"`` takes a CUDA GPU where there is one.
    report : {"none", "tensorboard"}
        Where each step is logged besides ``run.json``.
    verifier : {"world", "exact"} or "module:function", optional
        Says whether a greedy answer to a held-out prompt is right, see :func:`mapl_explore.rejection.verifier`;
        ``"exact"`` compares with the positives.
    answers : int
        To how many of the held-out prompts the model gives answers, before and after.
    resume : bool
        Go on with the run in ``output`` from its last whole checkpoint; the arguments must be those it had.
    progress : bool
        Show progress bars, on a terminal.

    Returns
    -------
    Finetuned
        The folder, the record (``run.before``, ``run.after``, ``run.log``, ``run.table``), the model and its tokenizer.

    Raises
    ------
    ValueError, TypeError
        If an argument or a line of the data is wrong; nothing is written.
    OSError
        If ``output`` is not empty, or a file or model cannot be read.
    FloatingPointError
        If the loss stops being finite.

    Examples
    --------
    >>> done = finetune(loss="dpo-smooth", data="train.jsonl", output="runs/first")  # doctest: +SKIP
    >>> done.run.after["hard_margin"] > done.run.before["hard_margin"]  # doctest: +SKIP
    True
    """
    loss = parse(loss) if isinstance(loss, str) else loss
    _check_numbers(lr, steps=(steps, 1), sets_per_step=(sets_per_step, 1), seed=(seed, 0), answers=(answers, 0))
    _check_choices(truncate=(truncate, TRUNCATE), device=(device, DEVICES), report=(report, REPORTS))
    folder, device = Path(output), _found(device)
    if not resume:
        require_new(folder)
    train, held_out = _read_data(data, eval, seed)
    questions = [Question(one.prompt, references=one.positives) for one in held_out[:answers]]
    judge = None if verifier is None else judging(verifier, questions)
    arguments = {"model": os.fspath(model), "steps": steps, "sets_per_step": sets_per_step, "lr": lr, "seed": seed}
    arguments |= {"truncate": truncate, "verifier": verifier, "answers": answers}
    run = Run(loss=repr(loss), arguments=arguments, data={"train": fingerprint(train), "eval": fingerprint(held_out)})
    if resume:
        require_same(folder, run)
    network, tokenizer = load_model(model, device=device)
    encoded = encode_sets(tokenizer, [*train, *held_out], context=context_length(network), truncate=truncate)
    folder.mkdir(parents=True, exist_ok=True)
    write_run(folder, run)
    _say_what_to_expect(loss)

    scorer = SetScorer(network)
    order = _schedule(len(train), steps * sets_per_step, seed)
    ref_logp = _reference(scorer, encoded, {*order, *range(len(train), len(encoded))}, progress)
    held_out = HeldOut(encoded[len(train) :], ref_logp[len(train) :], questions, judge, seed)
    before = evaluated(loss, scorer, tokenizer, held_out, held_out.ref_logp)
    run = replace(run, before=estimates(before))

    examples = [Example(encoded[row], tuple(ref_logp[row, : len(encoded[row].responses)].tolist())) for row in order]
    options = _arguments(folder, run, device, report, _batch_size(encoded, sets_per_step))
    callbacks = [ProbeRecorder(folder, scorer, held_out.encoded, steps), LogRecorder(folder, run)]
    callbacks += [Progress()] * progress
    checkpoint = last_checkpoint(folder) if resume else None
    log = _train(loss, network, tokenizer, examples, options, checkpoint, callbacks)

    logp = score_encoded(scorer, held_out.encoded, progress=progress)
    base = SetScorer(load_model(model, device=device)[0])
    after = evaluated(loss, scorer, tokenizer, held_out, logp, base)
    run = replace(run, after=estimates(after), intervals=intervals(before, after, seed=seed), log=log)
    with quiet_transformers():
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    write_run(folder, run)
    print(run.table)
    return Finetuned(folder, run, network, tokenizer)


def collate_examples(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Return the batch of :func:`mapl_explore.encoding.collate` with a column of reference log-probabilities."""
    batch = collate([each.encoded for each in examples])
    ref_logp = torch.tensor([value for each in examples for value in each.ref_logp], dtype=torch.float64)
    column = torch.zeros(batch["label"].shape, dtype=torch.float64).masked_scatter(batch["label"] != 0, ref_logp)
    return {**batch, "ref_logp": column}


def _train(loss, network, tokenizer, examples, options, checkpoint, callbacks) -> list[dict]:
    """Train in place and return the log of every step."""
    with quiet_transformers():
        trainer = PreferenceTrainer(
            loss=loss, model=network, args=options, train_dataset=examples, processing_class=tokenizer
        )
        trainer.remove_callback(transformers.PrinterCallback)
        for callback in callbacks:
            trainer.add_callback(callback)
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    return steps_of(trainer.state)


def _arguments(folder: Path, run: Run, device: str, report: str, batch_size: int) -> transformers.TrainingArguments:
    steps = run.arguments["steps"]
    options = transformers.TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=run.arguments["sets_per_step"] // batch_size,
        learning_rate=run.arguments["lr"],
        warmup_steps=steps // 4,
        seed=run.arguments["seed"],
        use_cpu=device == "cpu",
        logging_steps=1,
        logging_nan_inf_filter=False,  # it looks at every loss, which waits for a GPU
        save_steps=math.ceil(steps / 4),
        save_total_limit=1,
        report_to=report,
        disable_tqdm=True,
        dataloader_pin_memory=device != "cpu",
        remove_unused_columns=False,
        label_names=[],
        log_level="error",
    )
    # Several GPUs in one process would be fed by DataParallel, which cuts prompts and responses at the same rows.
    options._n_gpu = min(options.n_gpu, 1)
    return options


def _batch_size(encoded: Sequence[EncodedSet], sets_per_step: int) -> int:
    """Return the most sets in one pass that divide a step and keep to the tokens of one pass."""
    largest = max(one.tokens for one in encoded)
    sizes = [size for size in range(1, sets_per_step + 1) if sets_per_step % size == 0]
    return max((size for size in sizes if size * largest <= BATCH_TOKENS), default=1)


def _schedule(count: int, length: int, seed: int) -> list[int]:
    """Return rows 0..count-1 in a new order each round, for as many rounds as make the length."""
    rng, order = random.Random(seed), []
    while len(order) < length:
        order += rng.sample(range(count), count)
    return order[:length]


def _reference(scorer, encoded, rows: set[int], progress: bool) -> torch.Tensor:
    """Return the log-probabilities (all sets, n) with those rows filled in that are needed."""
    rows = sorted(rows)
    part = score_encoded(scorer, [encoded[row] for row in rows], progress=progress)
    table = torch.zeros(len(encoded), part.shape[1], dtype=part.dtype)
    table[rows] = part
    return table


def _read_data(data, eval, seed: int) -> tuple[list[PreferenceSet], list[PreferenceSet]]:
    """Return the sets to train on and those held out."""
    train = _read(data, "data")
    if eval is not None:
        return train, _read(eval, "eval")
    # By prompt, not by set: a prompt that stands in two sets must not be on both sides.
    prompts = sorted({one.prompt for one in train})
    if len(prompts) < 2:
        raise ValueError("data must hold at least 2 prompts to hold one out; or give eval, a file of held-out sets")
    held = set(random.Random(seed).sample(prompts, max(1, round(HELD_OUT * len(prompts)))))
    return [one for one in train if one.prompt not in held], [one for one in train if one.prompt in held]


def _read(source, name: str) -> list[PreferenceSet]:
    if isinstance(source, str | os.PathLike):
        return read_sets(source)
    sets = list(source)
    if not sets or not all(isinstance(one, PreferenceSet) for one in sets):
        raise TypeError(f"{name} must be a file or a list of at least one PreferenceSet")
    return sets


def _check_numbers(lr, **integers) -> None:
    for name, (value, lowest) in integers.items():
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value < 2**32:
            raise ValueError(f"{name} must be an integer from {lowest} to {2**32 - 1}, not {value!r}")
    if not 0 < lr < math.inf:
        raise ValueError(f"lr must be > 0 and finite, not {lr!r}")


def _check_choices(**choices) -> None:
    for name, (value, allowed) in choices.items():
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def _found(device: str) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device must be 'auto' or 'cpu' here, not 'cuda': torch finds no CUDA GPU")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def _say_what_to_expect(loss: Loss) -> None:
    if not getattr(loss, "bounded", True):
        print(f"note: {loss!r} has no lower bound: it falls for as long as one trains, whatever becomes of the answers")
