"""The arguments of transformers' Trainer: those that follow from the settings, and those that a user adds to them."""

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

import torch
import transformers
from transformers.integrations import get_reporting_integration_callbacks

from mapl_explore.files import shortened
from mapl_explore.losses import Loss, loss_of
from mapl_explore.losses.measures import measures, side_measures
from mapl_explore.losses.trials import made_up_sets
from mapl_explore.notes import Refusal, note
from mapl_explore.training.settings import Settings
from mapl_explore.training.trainer import require_supported
from mapl_explore.training.workplace import Workplace

ORDER = "the order of the sets is drawn once, by seed"
SIZE = "batch_size is the most sets of a pass, and a step has as many passes as sets_per_step needs"
UPLOAD = "nothing is uploaded: 'hf upload' does it when the run is over"
WAY = "each step is logged"
ENGINE = "accelerate launch --config_file FILE has it"
# What the settings decide, and which of them.
DECIDED = {
    "output_dir": "output is the run folder",
    "max_steps": "steps has it",
    "num_train_epochs": "epochs has it",
    "learning_rate": "lr has it",
    "per_device_train_batch_size": SIZE,
    "gradient_accumulation_steps": SIZE,
    "auto_find_batch_size": SIZE,
    "seed": "seed has it",
    "data_seed": ORDER,
    "group_by_length": ORDER,
    "train_sampling_strategy": ORDER,
    "use_cpu": "device has it",
    "fsdp": ENGINE,
    "fsdp_config": ENGINE,
    "deepspeed": ENGINE,
    "no_cuda": "device has it",
    "bf16": "precision has it",
    "save_strategy": "save_every has it",
    "save_steps": "save_every has it",
    "save_only_model": "resume needs the state of the optimizer",
    "resume_from_checkpoint": "resume has it",
    "logging_strategy": WAY,
    "logging_steps": WAY,
    "disable_tqdm": "progress has it",
    "remove_unused_columns": "the sets have no columns",
    "label_names": "the sets have no columns",
    "push_to_hub": UPLOAD,
    "hub_model_id": UPLOAD,
    "hub_token": UPLOAD,
}


class WrongKindError(Refusal, TypeError):
    """An argument of the Trainer has a value of another kind than its own."""


def training_arguments(settings: Settings, place: Workplace, batch_size: int) -> transformers.TrainingArguments:
    """Return the arguments of the Trainer of a run, which takes ``batch_size`` sets in one pass.

    Raises
    ------
    ValueError, TypeError
        If ``settings.training`` has an argument that is not one of the Trainer, is decided by another setting, is of
        another kind, or does not go together with the others.
    """
    added = dict(settings.training or {})
    _require_free(added)
    arguments = _ours(settings, place, batch_size) | _evaluating(settings) | added
    if "warmup_ratio" in added:
        del arguments["warmup_steps"]
    try:
        made = transformers.TrainingArguments(**arguments)
    except (ValueError, ImportError) as error:
        raise ValueError(f"training: {' '.join(str(error).split())}") from error
    # Several GPUs in one process would be fed by DataParallel, which cuts prompts and responses at the same rows.
    made._n_gpu = min(made.n_gpu, 1)
    return made


def require_arguments(settings: Settings, place: Workplace) -> None:
    """Raise, before any work, where the Trainer could not do what ``settings.training`` asks for."""
    arguments = training_arguments(replace(settings, lr=settings.lr or 1.0), place, 1)  # whichever it will be
    require_supported(arguments)
    _require_in_range(arguments)
    if arguments.torch_compile and place.on_cpu:
        raise ValueError("training must not have torch_compile on a CPU: embeddings have a sparse gradient there")
    _require_metric(arguments.metric_for_best_model, loss_of(settings.loss))
    try:
        optimizer, options = transformers.Trainer.get_optimizer_cls_and_kwargs(arguments)
        if optimizer.__module__.startswith("torch.optim"):  # others may ask for the model
            optimizer([torch.nn.Parameter(torch.zeros(1))], **options)
        for reporter in get_reporting_integration_callbacks(arguments.report_to):
            reporter()
    except (ValueError, ImportError, RuntimeError) as error:
        raise ValueError(f"training: {' '.join(str(error).split())}") from error


def _require_in_range(arguments: transformers.TrainingArguments) -> None:
    """Raise where a number is one that the Trainer takes and that makes no sense; note a rate that never gets there."""
    if arguments.weight_decay < 0:
        raise ValueError(f"training: weight_decay must be >= 0, not {arguments.weight_decay:g}")
    if arguments.eval_steps is not None and arguments.eval_steps <= 0:
        raise ValueError(f"training: eval_steps must be > 0, not {arguments.eval_steps:g}")
    warmup = arguments.get_warmup_steps(arguments.max_steps)
    if warmup > arguments.max_steps:
        reached = arguments.max_steps / warmup
        note(f"training: warmup_steps is {warmup}, so that after all steps the rate is {reached:.0%} of lr")


def _require_metric(name: str | None, loss: Loss) -> None:
    """Raise unless the measure that is to choose the best checkpoint is one that an evaluation gives."""
    sets = made_up_sets(torch.empty(0))
    known = [*measures(loss, sets), *side_measures(loss, sets)]
    if name is not None and name.removeprefix("eval_") not in known:
        raise ValueError(f"training: metric_for_best_model must be one of {', '.join(known)}, not {name!r}")


def _ours(settings: Settings, place: Workplace, batch_size: int) -> dict[str, Any]:
    return {
        "output_dir": str(place.folder / "checkpoints"),
        "max_steps": settings.steps,
        "per_device_train_batch_size": batch_size,
        "per_device_eval_batch_size": batch_size,
        "gradient_accumulation_steps": settings.sets_per_step // (batch_size * place.processes),
        "learning_rate": settings.lr,
        "warmup_steps": settings.steps // 4,
        "seed": settings.seed,
        "use_cpu": place.on_cpu,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it looks at every loss, which waits for a GPU
        "save_strategy": "steps" if settings.every else "no",
        "save_steps": settings.every or 1,
        "save_total_limit": 2,  # one that was whole before, should the newest be damaged
        "report_to": "none",
        "ddp_find_unused_parameters": False,
        "disable_tqdm": True,
        "dataloader_pin_memory": not place.on_cpu,
        "remove_unused_columns": False,
        "label_names": [],
        "log_level": "error",
    }


def _evaluating(settings: Settings) -> dict[str, Any]:
    """Return how the held-out sets are measured on the way, where the run may end early."""
    if settings.patience is None:
        return {}
    if not settings.every:
        raise ValueError("patience needs checkpoints, of which the best is kept: save_every must not be 0")
    measured = {"eval_strategy": "steps", "eval_steps": settings.every, "metric_for_best_model": "loss"}
    return measured | {"load_best_model_at_end": True, "restore_callback_states_from_checkpoint": True}


def _require_free(added: Mapping[str, Any]) -> None:
    """Raise unless each argument is one of the Trainer, of its kind, and not decided by another setting."""
    kinds = typing.get_type_hints(transformers.TrainingArguments)
    known = [each.name for each in fields(transformers.TrainingArguments) if each.init]
    for name, value in added.items():
        if name in DECIDED:
            raise ValueError(f"training must not have {name}: {DECIDED[name]}")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2)
            advice = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"training has {name!r}, which TrainingArguments has not{advice}")
        if not _is(value, parts := _parts(kinds[name])):
            raise WrongKindError(f"training: {name} must be of the kind {_said(parts)}, not {shortened(value)}")


def _is(value: Any, kinds: set[Any]) -> bool:
    """Return whether a value is of one of the kinds, as far as numbers are concerned: all else transformers reads."""
    if isinstance(value, bool) or value is None:
        return type(value) in kinds
    if isinstance(value, int | float):
        return float in kinds or (int in kinds and float(value).is_integer())
    return bool(kinds - {int, float, bool, type(None)})


def _parts(kind: Any) -> set[Any]:
    """Return the kinds that a union is made of, without what they hold."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return set[Any]().union(*map(_parts, typing.get_args(kind)))
    return {typing.get_origin(kind) or kind}


def _said(kinds: Iterable[Any]) -> str:
    return " or ".join(sorted("nothing" if kind is type(None) else kind.__name__ for kind in kinds))
