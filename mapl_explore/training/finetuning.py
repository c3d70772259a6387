"""Fine-tuning on preference sets: the loss is an object of ``losses``, the engine is transformers' Trainer."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mapl_explore.runs.record import Run
from mapl_explore.training.baseline import measure
from mapl_explore.training.own_loss import kind_of
from mapl_explore.training.preparing import prepare
from mapl_explore.training.settings import Settings, takes_settings
from mapl_explore.training.steps import finish, train
from mapl_explore.training.workplace import workplace


@dataclass(frozen=True)
class Finetuned:
    """What :func:`finetune` returns: the run folder, its record, and the model with its tokenizer.

    A model with adapters that are not merged is peft's ``PeftModel``.
    """

    folder: Path
    run: Run = field(repr=False)
    model: PreTrainedModel = field(repr=False)
    tokenizer: PreTrainedTokenizerBase = field(repr=False)


@takes_settings(Settings)
def finetune(settings: Settings | None = None, /, **arguments: Any) -> Finetuned:
    """Fine-tune a causal language model with a loss on preference sets, and measure what changed on held-out ones.

    The optimizer is AdamW without weight decay. Its rate rises over a quarter of the steps, from 0 in the first one
    where there are at least four, and then falls linearly to 0, and the gradient is clipped to a norm of 1. The base is
    the model as it was given; its log-probabilities are computed once, and where responses are sampled a copy of the
    weights that are trained is kept on the CPU, to compare with. Each step is logged in ``run.json`` as it goes;
    :mod:`mapl_explore.runs.record` says what else is in the run folder. It is made only once data and model are read.
    While the run works, a file with ``.lock`` added to the name of its folder keeps other runs out.

    A model that is given itself is trained in place, as transformers' own Trainer does it: it is moved to the device,
    left in evaluation mode, and returned. If the run fails on its way, it has the weights of that moment. To go on with
    such a run by ``resume``, give the model as it was before the run.

    Under ``torchrun`` or ``accelerate launch`` the processes share each step's sets; the first one writes.

    Parameters
    ----------
    settings : Settings, optional
        All arguments together. They can also be given by keyword, or both: then those by keyword hold.

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
    asked = _settings(settings, arguments)
    with workplace(asked) as place:
        prepared = prepare(asked, place)
        baseline = measure(prepared)
        trained, state = train(prepared, baseline)
        run, model = finish(trained, baseline, state)
    return Finetuned(place.folder, run, model, prepared.tokenizer)


def _settings(settings: Settings | None, arguments: dict[str, Any]) -> Settings:
    """Return the settings that are given as such, by keyword, or both."""
    if settings is None:
        return Settings(**arguments)
    if isinstance(settings, Settings):
        return replace(settings, **arguments)
    raise TypeError(f"finetune takes Settings, or arguments by keyword, not {kind_of(settings)}")
