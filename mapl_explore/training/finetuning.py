"""Fine-tuning on preference sets: the loss is an object of ``losses``, the engine is transformers' Trainer.

Every step takes ``sets_per_step`` sets. Their order, over as many rounds as the steps need, is drawn once from the seed
and is itself the training data of the Trainer: one epoch, no remainder, the same after a resume.
"""

import contextlib
import math
import numbers
import os
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import transformers
from accelerate.utils import broadcast_object_list
from transformers.integrations import TensorBoardCallback

from mapl_explore.data import PreferenceSet, read_sets
from mapl_explore.files import make_readable, shortened, sole_writer
from mapl_explore.losses import Loss, loss_of
from mapl_explore.models.checking import context_length
from mapl_explore.models.encoding import TRUNCATE, EncodedSet, encode_sets, end_tokens, table_shapes
from mapl_explore.models.loading import load_model, quiet_transformers, weights_checksum
from mapl_explore.models.passes import BATCH_TOKENS
from mapl_explore.models.processes import processes_of
from mapl_explore.models.scorer import PRECISIONS, SetScorer
from mapl_explore.models.scoring import score_encoded
from mapl_explore.notes import note
from mapl_explore.runs.checkpoints import broken_checkpoints, has_finite_weights, last_checkpoint
from mapl_explore.runs.record import (
    REFERENCE,
    Run,
    fingerprint,
    require_new,
    require_same,
    require_same_weights,
    require_writable,
    way_on,
    write_run,
)
from mapl_explore.sampling.verifiers import Question
from mapl_explore.sampling.verifiers import verifier as judging
from mapl_explore.training.base_logp import reference_logp
from mapl_explore.training.callbacks import LogRecorder, ProbeRecorder, Progress, steps_of
from mapl_explore.training.disk import disk_errors
from mapl_explore.training.evaluation import HeldOut, estimates, evaluated, intervals
from mapl_explore.training.own_loss import kind_of
from mapl_explore.training.trainer import Example, PreferenceTrainer, first_not_finite

DEVICES = ("auto", "cpu", "cuda")
REPORTS = ("none", "tensorboard")
FLAGS = (False, True)
HELD_OUT = 0.1  # part of the prompts, where no evaluation data are given


@dataclass(frozen=True)
class Finetuned:
    """What :func:`finetune` returns: the run folder, its record, and the model with its tokenizer."""

    folder: Path
    run: Run = field(repr=False)
    model: transformers.PreTrainedModel = field(repr=False)
    tokenizer: transformers.PreTrainedTokenizerBase = field(repr=False)


def finetune(
    *,
    loss: Loss | str,
    data: str | os.PathLike | Sequence[PreferenceSet],
    output: str | os.PathLike,
    model: str | os.PathLike = "tiny",
    eval: str | os.PathLike | Sequence[PreferenceSet] | None = None,
    steps: int = 24,
    seed: int = 0,
    lr: float = 8e-5,
    sets_per_step: int = 16,
    truncate: str = "keep-start",
    device: str = "auto",
    precision: str = "float32",
    save_every: int | None = None,
    report: str = "none",
    verifier: str | None = None,
    answers: int = 400,
    answer_tokens: int | None = None,
    chat: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> Finetuned:
    """Fine-tune a causal language model with a loss on preference sets, and measure what changed on held-out ones.

    AdamW without weight decay, its rate rising over a quarter of the steps and then falling linearly to 0, the gradient
    clipped to a norm of 1. The reference is the model as it was loaded; its log-probabilities are computed once. Each
    step is logged in ``run.json`` as it goes.

    Under ``torchrun`` or ``accelerate launch`` the processes share each step's sets; the first one writes.

    Parameters
    ----------
    loss : Loss or str
        A loss, or text that :func:`mapl_explore.losses.parse` reads.
    data : path, datasets.Dataset or iterable of PreferenceSet
        What to train on; :func:`mapl_explore.data.read_sets` says what a file or a table may hold.
    output : path
        The run folder, new or empty; :mod:`mapl_explore.runs.record` says what is written. Made only once data and
        model are read. While the run works, a file with ``.lock`` added to its name keeps other runs out.
    model : str or path
        As for :func:`mapl_explore.models.loading.load_model`.
    eval : path, datasets.Dataset or iterable of PreferenceSet, optional
        The held-out sets; if not given, those of a tenth of the prompts of ``data``, drawn by the seed.
    steps, sets_per_step : int
        Updates, and sets in each.
    seed : int
        Decides the order of the sets and which are held out. Same seed, same machine: the same bits on a CPU.
    lr : float
        The highest learning rate.
    truncate : {"keep-start", "error"}
        What to do with sets beyond the model's context, see :func:`mapl_explore.models.encoding.encode_sets`.
    device : {"auto", "cpu", "cuda"}
        ``"auto"`` takes a CUDA GPU where there is one.
    precision : {"float32", "bf16"}
        In which the model computes; log-probs and loss are float32 or better in either case, and so are the weights.
    save_every : int, optional
        Steps from checkpoint to checkpoint; a quarter of them all if not given. The last two are kept.
    report : {"none", "tensorboard"}
        ``"tensorboard"`` logs each step there too, in ``tensorboard`` in the run folder.
    verifier : {"world", "exact"} or "module:function", optional
        Says whether a greedy answer to a held-out prompt is right, see
        :func:`mapl_explore.sampling.verifiers.verifier`; ``"exact"`` compares with the positives.
    answers : int
        To how many of the held-out prompts the model gives answers, before and after.
    answer_tokens : int, optional
        The most tokens of an answer; :func:`mapl_explore.models.generating.answer_room` says what holds if not given.
    chat : bool
        Write prompts by the model's chat template, see :func:`mapl_explore.models.encoding.encode_sets`. The verifier
        is asked about the prompt as the data have it.
    resume : bool
        Go on with the run in ``output`` from its last whole checkpoint; arguments, data and the weights of the model
        must be those it had.
    progress : bool
        Show progress on stderr: bars on a terminal, a few lines elsewhere.

    Returns
    -------
    Finetuned
        The folder, the record (``run.before``, ``run.after``, ``run.log``, ``run.table``), the model and its tokenizer.

    Raises
    ------
    ValueError, TypeError
        If an argument or a line of the data is wrong, or a weight of the model is not finite; nothing is written.
    OSError
        If ``output`` is not empty, another run works there (``BlockingIOError``), a file or model cannot be read, or
        the disk takes no more: then the message says from which checkpoint ``resume`` goes on.
    FloatingPointError
        If the loss stops being finite.

    Examples
    --------
    >>> done = finetune(loss="dpo-smooth", data="train.jsonl", output="runs/first")  # doctest: +SKIP
    >>> done.run.after["hard_margin"] > done.run.before["hard_margin"]  # doctest: +SKIP
    True
    """
    loss = loss_of(loss)
    steps, sets_per_step = _integer("steps", steps, 1), _integer("sets_per_step", sets_per_step, 1)
    seed, answers = _integer("seed", seed, 0), _integer("answers", answers, 0)
    every = math.ceil(steps / 4) if save_every is None else _integer("save_every", save_every, 1)
    _check_choices(truncate=(truncate, TRUNCATE), device=(device, DEVICES), report=(report, REPORTS))
    _check_choices(precision=(precision, PRECISIONS), chat=(chat, FLAGS), resume=(resume, FLAGS))
    _check_choices(progress=(progress, FLAGS))
    arguments = {"model": _path("model", model), "steps": steps, "sets_per_step": sets_per_step, "lr": _rate(lr)}
    arguments |= {"seed": seed, "truncate": truncate, "precision": precision, "verifier": _checked_verifier(verifier)}
    room = None if answer_tokens is None else _integer("answer_tokens", answer_tokens, 1)
    arguments |= {"answers": answers, "answer_tokens": room, "chat": chat}
    folder = Path(_path("output", output))
    with (
        disk_errors(folder, lambda: _when_there_is_room(folder)),
        processes_of(_found(device)) as (process, processes, device, wait),
        _heard(process),
        _held(folder, process),
    ):
        if sets_per_step % processes:
            raise ValueError(f"sets_per_step must be a multiple of the {processes} processes, not {sets_per_step}")
        if not resume:
            require_new(folder)
        train, held_out = _read_data(data, eval, seed)
        questions = [Question(one.prompt, references=one.positives) for one in held_out[:answers]]
        judge = None if verifier is None else judging(verifier, questions)
        run = Run(
            loss=repr(loss), arguments=arguments, data={"train": fingerprint(train), "eval": fingerprint(held_out)}
        )
        begun = require_same(folder, run) if resume else run
        network, tokenizer = load_model(model, device=device)
        _require_finite(network, model)
        run = replace(run, weights_checksum=weights_checksum(network), log=begun.log)
        if resume:
            require_same_weights(folder, begun, run)
        scorer = SetScorer(network, precision=precision)
        options = {"context": context_length(network), "truncate": truncate, "chat": chat}
        encoded = encode_sets(tokenizer, [*train, *held_out], ends=end_tokens(tokenizer, network, chat=chat), **options)
        checkpoint = _found_checkpoint(folder) if resume else None
        wait()  # all have seen the folder as it was before the first process writes into it
        first = process == 0
        if first:
            folder.mkdir(parents=True, exist_ok=True)
            write_run(folder, run)
        _say_what_to_expect(loss)

        order = _schedule(len(train), steps * sets_per_step, seed)
        rows = sorted({*order, *range(len(train), len(encoded))})
        shared = {"checksum": run.weights_checksum, "process": process, "processes": processes, "progress": progress}
        ref_logp = reference_logp(scorer, encoded, rows, folder / REFERENCE, **shared)
        held_out = HeldOut(encoded[len(train) :], ref_logp[len(train) :], questions, judge, seed, room, chat)

        examples = [Example.of(encoded[row], ref_logp[row]) for row in order]
        batch_size = _batch_size(encoded, sets_per_step // processes, scorer.share_prompt)
        options = _arguments(folder, run, device, every, batch_size, processes)
        callbacks = []
        if first:
            _tell(progress, f"measuring {len(held_out.encoded)} held-out sets before training")
            before = evaluated(loss.at(0), scorer, tokenizer, held_out, held_out.ref_logp)
            run = replace(run, before=estimates(before))
            callbacks = [ProbeRecorder(folder, scorer, held_out.encoded, steps), LogRecorder(folder, run)]
            callbacks += _shown(folder, report, progress)
        log = _train(loss, scorer, tokenizer, examples, options, checkpoint, callbacks)

        if first:
            _tell(progress, "measuring them after training")
            logp = score_encoded(scorer, held_out.encoded, progress=progress)
            base = SetScorer(_base(run, folder, device), precision=precision)
            after = evaluated(loss.at(1), scorer, tokenizer, held_out, logp, base)
            run = replace(run, after=estimates(after), intervals=intervals(before, after, seed=seed), log=log)
            _save(folder, run, network, tokenizer)
        [run] = broadcast_object_list([run])
    return Finetuned(folder, run, network, tokenizer)


def _base(run: Run, folder: Path, device):
    """Return the model that the run began with, read again."""
    network, _ = load_model(run.arguments["model"], device=device)
    if weights_checksum(network) != run.weights_checksum:
        raise ValueError(
            f"the weights of the model {run.arguments['model']!r} have changed since the run began, so there is nothing"
            f" to compare with: put them back, and {way_on(folder)}"
        )
    return network


def _save(folder: Path, run: Run, network, tokenizer) -> None:
    """Write the model, and then the record, which says that all is there."""
    with quiet_transformers():
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):  # safetensors leaves them private
        make_readable(weights)
    write_run(folder, run)


def _train(loss, scorer, tokenizer, examples, options, checkpoint, callbacks) -> list[dict]:
    """Train in place and return the log of every step."""
    with quiet_transformers():
        trainer = PreferenceTrainer(
            loss=loss, model=scorer, args=options, train_dataset=examples, processing_class=tokenizer
        )
        trainer.remove_callback(transformers.PrinterCallback)
        for callback in callbacks:
            trainer.add_callback(callback)
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    return steps_of(trainer.state)


def _arguments(folder: Path, run: Run, device, every: int, batch_size: int, processes: int):
    """Return the ``TrainingArguments`` of a run."""
    steps, on_cpu = run.arguments["steps"], torch.device(device).type == "cpu"
    options = transformers.TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=run.arguments["sets_per_step"] // (batch_size * processes),
        learning_rate=run.arguments["lr"],
        warmup_steps=steps // 4,
        seed=run.arguments["seed"],
        use_cpu=on_cpu,
        logging_steps=1,
        logging_nan_inf_filter=False,  # it looks at every loss, which waits for a GPU
        save_steps=every,
        save_total_limit=2,  # one that was whole before, should the newest be damaged
        report_to="none",
        ddp_find_unused_parameters=False,
        disable_tqdm=True,
        dataloader_pin_memory=not on_cpu,
        remove_unused_columns=False,
        label_names=[],
        log_level="error",
    )
    # Several GPUs in one process would be fed by DataParallel, which cuts prompts and responses at the same rows.
    options._n_gpu = min(options.n_gpu, 1)
    return options


def _batch_size(encoded: Sequence[EncodedSet], sets_per_step: int, share_prompt: bool) -> int:
    """Return the most sets in one pass that divide a step and keep to the tokens of one pass, padding included."""
    rows = max(rows for one in encoded for rows, _ in table_shapes([one], share_prompt=share_prompt))
    *_, (_, columns) = table_shapes(encoded, share_prompt=share_prompt)
    largest = rows * columns
    sizes = [size for size in range(1, sets_per_step + 1) if sets_per_step % size == 0]
    return max((size for size in sizes if size * largest <= BATCH_TOKENS), default=1)


def _schedule(count: int, length: int, seed: int) -> list[int]:
    """Return rows 0..count-1 in a new order each round, for as many rounds as make the length."""
    rng, order = random.Random(seed), []
    while len(order) < length:
        order += rng.sample(range(count), count)
    return order[:length]


def _found_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint to go on from, and say which."""
    for broken in broken_checkpoints(folder):
        note(f"{broken.name} was not written to its end, or is damaged: it is passed over")
    checkpoint = last_checkpoint(folder)
    if checkpoint and not has_finite_weights(checkpoint):
        raise ValueError(
            f"the weights in {str(checkpoint)!r} are not finite, so the run cannot go on: begin another one, with a"
            " smaller lr, or remove that checkpoint to go on from the one before"
        )
    note(f"going on from {checkpoint.name if checkpoint else 'the beginning: there is no whole checkpoint'}")
    return checkpoint


def _shown(folder: Path, report: str, progress: bool) -> list[transformers.TrainerCallback]:
    """Return what shows the steps to those who watch."""
    callbacks = [Progress()] if progress else []
    if report == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter

        callbacks.append(TensorBoardCallback(SummaryWriter(folder / "tensorboard")))
    return callbacks


@contextlib.contextmanager
def _held(folder: Path, process: int) -> Iterator[None]:
    """Hold the run folder against other runs, and leave no folder behind that nothing was written into."""
    require_writable(folder)
    if process:  # of several the first one holds it; where it is refused, they all end
        yield
        return
    parent = folder.absolute().parent
    made = not parent.exists()
    try:
        with sole_writer(folder):
            yield
    finally:
        if made:
            with contextlib.suppress(OSError):
                parent.rmdir()


def _when_there_is_room(folder: Path) -> str:
    way = way_on(folder)
    return way and f"; when there is room, {way}"


@contextlib.contextmanager
def _heard(process: int) -> Iterator[None]:
    """Silence what processes other than the first one print."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere if process else sys.stdout):
        yield


def _require_finite(network, name) -> None:
    wrong = first_not_finite(network)
    if wrong is not None:
        raise ValueError(
            f"the weights of the model {os.fspath(name)!r} must be finite, but {wrong[0]} holds a NaN or inf"
        )


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
    """Return the sets of a file, of a table, or of what yields them; a generator is read once."""
    if isinstance(source, Mapping):  # a DatasetDict
        splits = ", ".join(map(str, source))
        raise TypeError(f"{name} must be one table, not several ({splits}): name a split, as in data['train']")
    if isinstance(source, str | os.PathLike) or not _yields_sets(source):
        return _read_table(source, name)
    sets = list(source)
    if sets and all(isinstance(one, Mapping) for one in sets):
        return _read_table(sets, name)
    wrong = [one for one in sets if not isinstance(one, PreferenceSet)]
    if wrong or not sets:
        found = f"one with {kind_of(wrong[0])} in it" if wrong else "an empty one"
        raise TypeError(
            f"{name} must be a file, a datasets.Dataset or a list of at least one PreferenceSet, not {found}"
        )
    return sets


def _yields_sets(source) -> bool:
    return isinstance(source, Iterable) and not hasattr(source, "column_names") and not hasattr(source, "iloc")


def _read_table(source, name: str) -> list[PreferenceSet]:
    if hasattr(source, "to_dict") and hasattr(source, "iloc"):  # a DataFrame, of which pandas need not be there
        raise TypeError(f"{name} must not be a {type(source).__name__}: give {name}.to_dict('records')")
    try:
        return read_sets(source)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    except OSError as error:
        if error.errno is None:
            raise OSError(f"{name}: {error}") from None
        raise type(error)(error.errno, f"{name} cannot be read: {error.strerror}", error.filename) from None


def _checked_verifier(verifier: str | None) -> str | None:
    if verifier is None or isinstance(verifier, str):
        return verifier
    # A run is gone on with by what its record says, which can name a function and not hold one.
    raise TypeError(f"verifier must be 'world', 'exact' or 'module:function', not {kind_of(verifier)}")


def _path(name: str, value) -> str:
    if isinstance(value, str | os.PathLike) and isinstance(os.fspath(value), str) and os.fspath(value):
        return os.fspath(value)
    hint = ": save it by save_pretrained, and name its folder" if hasattr(value, "save_pretrained") else ""
    raise TypeError(f"{name} must be the name of a folder, not {kind_of(value)}{hint}")


def _integer(name: str, value, lowest: int) -> int:
    """Return a whole number of any kind, numpy's too, as an int."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not lowest <= value < 2**32:
        raise ValueError(f"{name} must be an integer from {lowest} to {2**32 - 1}, not {shortened(value)}")
    return int(value)


def _rate(lr) -> float:
    if not isinstance(lr, numbers.Real) or isinstance(lr, bool) or not 0 < lr < math.inf:
        raise ValueError(f"lr must be > 0 and finite, not {shortened(lr)}")
    return float(lr)


def _check_choices(**choices) -> None:
    for name, (value, allowed) in choices.items():
        if not any(value is one or (isinstance(value, str) and value == one) for one in allowed):
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {shortened(value)}")


def _found(device: str) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device must be 'auto' or 'cpu' here, not 'cuda': torch finds no CUDA GPU")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def _tell(progress: bool, text: str) -> None:
    if progress:
        print(text, file=sys.stderr, flush=True)


def _say_what_to_expect(loss: Loss) -> None:
    if not getattr(loss, "bounded", True):
        note(f"{loss!r} has no lower bound: it falls for as long as one trains, whatever becomes of the responses")
