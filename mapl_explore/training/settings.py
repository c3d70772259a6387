"""The arguments of a fine-tuning: the default, the rule and the meaning of each, once. Loads without torch.

:func:`mapl_explore.finetune`, its help, and the command line take them from the fields of :class:`Settings`.
"""

import inspect
import math
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar

from mapl_explore.data import PreferenceSet
from mapl_explore.data.sets import checked_score
from mapl_explore.files import shortened, whole_number
from mapl_explore.losses import Loss, loss_of
from mapl_explore.models.choices import CHATS, DEVICES, PRECISIONS, TRUNCATE, chat_choice
from mapl_explore.training.options import above_zero, lora_options, some_steps, trainer_arguments
from mapl_explore.training.own_loss import kind_of

REPORTS = ("none", "tensorboard")
LARGEST = 2**32 - 1  # the largest seed of numpy's older generators, which transformers sets
SMALL = 10_000_000  # weights: a model of up to so many is one like the tiny one, of one million
# What the tiny model was tried with; what the authors of DPO trained with (arXiv:2305.18290, appendix B); and ten times
# that for adapters, see the help of lora.
RATES = {"small": 8e-5, "large": 1e-6, "adapters": 1e-5}
DECISIVE = (
    *("model", "reference", "steps", "epochs", "sets_per_step", "lr", "seed", "truncate", "max_length", "precision"),
    *("verifier", "answers", "answer_tokens", "chat", "threshold", "patience", "training", "lora"),
)  # what decides the result, next to loss and data
# The same, but named only where it is given: the names of run folders, which are hashes of it, are older than these.
LATER = ("answer_at",)

Rule = Callable[[str, Any], Any]  # takes name and value of an argument; returns the value as it is used, or raises
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def whole(low: int) -> Rule:
    """Return the rule of a whole number of at least ``low``."""
    return lambda name, value: whole_number(name, value, low, LARGEST)


def optional(rule: Rule) -> Rule:
    """Return the rule of what need not be given."""
    return lambda name, value: None if value is None else rule(name, value)


def one_of(*choices: str | bool) -> Rule:
    """Return the rule of a few values. True is one, 1 is not."""

    def chosen(name: str, value: Any) -> Any:
        if not any(value is one or (isinstance(value, str) and value == one) for one in choices):
            raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {shortened(value)}")
        return value

    return chosen


def trainer_callbacks(name: str, value: Any) -> tuple[Any, ...]:
    """Return callbacks of transformers' Trainer, or their classes."""
    value = tuple(value)
    if not value:
        return ()
    from transformers import TrainerCallback  # who has one has waited for it

    wrong = [one for one in value if not isinstance(one, TrainerCallback) and not _is_class(one, TrainerCallback)]
    if wrong:
        raise TypeError(f"{name} must be TrainerCallbacks of transformers, not {kind_of(wrong[0])}")
    return value


def _is_class(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base)


def folder(name: str, value: Any) -> str:
    """Return the name of a folder as text."""
    if isinstance(value, str | os.PathLike) and isinstance(os.fspath(value), str) and os.fspath(value):
        return os.fspath(value)
    raise TypeError(f"{name} must be the name of a folder, not {kind_of(value)}")


def name_or_model(name: str, value: Any) -> Any:
    """Return the name of a model as text, and a model itself, alone or with its tokenizer, as it is."""
    if isinstance(value, str | bytes | os.PathLike):
        return folder(name, value)
    return value  # judged with the precision


def reference_name_or_model(name: str, value: Any) -> Any:
    """Return the name of a model as text, and a model itself as it is."""
    if isinstance(value, str | bytes | os.PathLike):
        return folder(name, value)
    from mapl_explore.models.checking import require_model  # who has a model has waited for torch

    require_model(name, value)
    return value


def verifier_name(name: str, value: Any) -> str:
    """Return the name of a verifier: a run goes on by what its record says, which cannot hold a function."""
    if isinstance(value, str):
        return value
    raise TypeError(f"{name} must be 'world', 'exact' or 'module:function', not {kind_of(value)}")


def setting(text: str, rule: Rule, default: Any = MISSING, *, python: str = "", shown: bool = True, **more: Any) -> Any:
    """Return the field of an argument.

    Parameters
    ----------
    text : str
        What the argument is, for the help of the command line and of Python.
    rule : function
        Of name and value, see ``Rule``.
    default : object
        Without one the argument must be given.
    python : str
        What is to be said in Python alone.
    shown : bool
        Whether the ``repr`` of the settings shows it.
    **more
        For the command line: ``choices``; ``metavar``, the name of the value in its help; ``several``, if it takes
        more than one; ``bare``, the value of the option alone; and ``command``, false if it does not have this one.
    """
    return field(default=default, repr=shown, metadata={"help": text, "rule": rule, "python": python, **more})


def choice(text: str, choices: tuple[str, ...], **more: Any) -> Any:
    """Return the field of an argument with a few values, of which the first is the default."""
    return setting(text, one_of(*choices), choices[0], choices=choices, **more)


def switch(text: str, default: bool = False) -> Any:
    """Return the field of an argument that is true or false."""
    return setting(text, one_of(False, True), default)


def as_given(name: str, value: Any) -> Any:
    """Return a value as it is: data are judged by who reads them."""
    return value


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All arguments of a fine-tuning, which :func:`mapl_explore.finetune` takes together or by keyword.

    Raises
    ------
    ValueError, TypeError
        If one is outside its domain or of another kind, in one line with its name, the rule and the value. What can
        only be known from files (data, names of models, verifiers) is judged when they are read.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from mapl_explore import Settings
    >>> settings = Settings(loss="dpo-smooth", data="train.jsonl", output="runs/first", steps=40)
    >>> settings.loss, settings.every
    (DPO(beta=0.1, pair=Smooth(tau=1.0)), 10)
    >>> replace(settings, output="runs/second", seed=1).steps
    40
    """

    loss: Loss | str = setting(
        "a preset such as dpo-smooth, or a loss such as 'DPO(beta=0.1)'",
        lambda name, value: loss_of(value),
        python="given itself or as text that mapl_explore.parse reads",
        metavar="TEXT",
    )
    data: str | os.PathLike | Iterable[PreferenceSet] = setting(
        "the preference sets to train on, in any format that 'data check' reads",
        as_given,
        python="a file, a datasets.Dataset, dicts or PreferenceSets",
        metavar="FILE",
        shown=False,
    )
    output: str | os.PathLike = setting("the run folder, new or empty", folder, metavar="DIR")
    model: str | os.PathLike | Any = setting(
        "name of a model: tiny, a folder, or one on the Hugging Face hub",
        name_or_model,
        "tiny",
        python="or a model of transformers in float32, alone or in a pair (model, tokenizer), which is itself trained;"
        " in bfloat16 with precision 'bf16-weights'",
        shown=False,
    )
    reference: str | os.PathLike | Any | None = setting(
        "name of a model that log-ratios and the KL are relative to, in place of the model before its training",
        optional(reference_name_or_model),
        None,
        python="or a model of transformers; one with the same tokenizer",
        metavar="MODEL",
        shown=False,
    )
    eval: str | os.PathLike | Iterable[PreferenceSet] | None = setting(
        "held-out sets; without them, those of a tenth of the prompts of the data, drawn by the seed",
        as_given,
        None,
        metavar="FILE",
        shown=False,
    )
    threshold: float | None = setting(
        "of scored completions the least score of a positive; without it the best are positives, the worst negatives",
        optional(checked_score),
        None,
        metavar="SCORE",
    )
    steps: int = setting("updates of the weights", whole(1), 24)
    epochs: float | None = setting(
        "rounds through the data, in place of steps: as many updates as they take",
        optional(above_zero),
        None,
        metavar="N",
    )
    sets_per_step: int = setting("preference sets in each update", whole(1), 16)
    lr: float | None = setting(
        "highest learning rate; if not given, 8e-5 for a model of up to ten million weights, and for a larger one 1e-6,"
        " or 1e-5 for its adapters",
        optional(above_zero),
        None,
    )
    seed: int = setting(
        "decides the order of the sets and which are held out",
        whole(0),
        0,
        python="the same seed on the same machine gives the same bits on a CPU",
    )
    truncate: str = choice(
        "cut sets beyond the model's context at the end of their responses, or refuse them", TRUNCATE
    )
    max_length: int | None = setting(
        "the most tokens of a prompt and a response together; the model's context if not given",
        optional(whole(2)),
        None,
        metavar="N",
    )
    device: str = choice("where to compute; auto takes a CUDA GPU where there is one", DEVICES)
    batch_size: int | None = setting(
        "most sets, or prompts to respond to, in one pass; as many as make 8,192 tokens if not given",
        optional(whole(1)),
        None,
        metavar="N",
    )
    precision: str = choice(
        "in which the model computes where it learns; the loss and all that is measured stay in float32, and so do the"
        " weights, except with bf16-weights: half the memory, but a weight moves by at least a 256th of itself or not"
        " at all, so that small updates are lost; adapters stay in float32",
        PRECISIONS,
    )
    checkpointing: bool = switch(
        "recompute activations in the backward pass: less memory, about a third more time, the same gradients"
    )
    save_every: int | None = setting(
        "steps between checkpoints, of which the last two are kept; a quarter of all steps if not given, none for 0",
        optional(whole(0)),
        None,
        metavar="N",
    )
    patience: int | None = setting(
        "measure the held-out sets at each checkpoint, end after so many without a smaller loss than the best, and keep"
        " the best",
        optional(whole(1)),
        None,
        metavar="N",
    )
    lora: Mapping[str, Any] | str | None = setting(
        "train adapters of low rank (LoRA) in place of all weights, such as r=16,alpha=32,targets=q_proj+v_proj or"
        " r=16 alone, with rslora=true or dora=true if need be; they take some ten times the rate that all weights do"
        " (Schulman et al., LoRA Without Regret, 2025)",
        optional(lora_options),
        None,
        metavar="r=N,alpha=X",
    )
    merge: bool = switch("write the model with its adapters merged into it, in place of the adapters alone")
    training: Mapping[str, Any] | None = setting(
        "a further argument of transformers' TrainingArguments, such as weight_decay=0.01; several times if need be",
        trainer_arguments,
        None,
        python="a mapping of such arguments",
        metavar="KEY=VALUE",
        several=True,
    )
    callbacks: Iterable[Any] = setting(
        "callbacks of transformers' Trainer, or their classes", trainer_callbacks, (), shown=False, command=False
    )
    report: str = choice("log of each step in addition to run.json", REPORTS)
    verifier: str | None = setting(
        "who judges greedy responses to held-out prompts: world, exact or module:function",
        optional(verifier_name),
        None,
        metavar="WHICH",
    )
    answers: int = setting("how many of the held-out prompts get responses, before and after", whole(0), 400)
    answer_at: Sequence[int] = setting(
        "steps after which they get responses, too, such as 2,4,8: learning curves of what is right and of the KL",
        some_steps,
        (),
        metavar="N,N",
    )
    answer_tokens: int | None = setting(
        "most tokens of a response, which counts as wrong if it is cut off; 256, or what the model's generation_config"
        " names, if not given",
        optional(whole(1)),
        None,
        metavar="N",
    )
    chat: str | bool = setting(
        "which prompts the model's chat template writes: auto, those that are messages; always, all, a plain text as a"
        " user's message; never, none, and messages become a transcript",
        chat_choice,
        CHATS[0],
        python="True is 'always', False 'never'",
        choices=CHATS,
        bare="always",
    )
    resume: bool = switch("go on with the run in the output folder from its last whole checkpoint")
    progress: bool = switch("show progress on stderr: bars on a terminal, a few lines elsewhere", True)

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, each.metadata["rule"](each.name, getattr(self, each.name)))
        if not isinstance(self.model, str):
            from mapl_explore.training.base_model import require_trainable  # who has a model has waited for torch

            require_trainable(self.model, self.precision)
        if self.merge and self.lora is None:
            raise ValueError("merge needs lora: without it there are no adapters to merge")
        if self.answer_at and not (self.verifier and self.answers):
            raise ValueError("answer_at needs a verifier, and answers above 0: it is their share that is right")
        if self.epochs is None:  # else the data decide how many steps there are
            self.require_reached()

    def require_reached(self) -> None:
        """Raise unless the training gets as far as each step of ``answer_at``."""
        if self.answer_at and self.answer_at[-1] > self.steps:
            raise ValueError(f"answer_at must be at most the {self.steps} steps of the run, not {self.answer_at[-1]}")

    @property
    def decisive(self) -> dict[str, Any]:
        """Return what decides the result, other than loss and data, as the record of a run has it."""
        named = {"model": name_of(self.model), "reference": name_of(self.reference)}
        later = {name: [*getattr(self, name)] for name in LATER if getattr(self, name)}
        return {name: getattr(self, name) for name in DECISIVE} | named | later

    @property
    def every(self) -> int:
        """Return the steps from checkpoint to checkpoint, 0 where there are to be none."""
        return math.ceil(self.steps / 4) if self.save_every is None else self.save_every


def name_of(model: Any) -> str | None:
    """Return the name of a model; that of a model given itself is where it was read from, or nothing."""
    model = model[0] if isinstance(model, tuple) else model
    return model if model is None or isinstance(model, str) else model.name_or_path


def takes_settings(kind: type[Settings], *first: str) -> Callable[[Decorated], Decorated]:
    """Let ``help`` and editors show the fields of settings as the arguments of a function, by keyword but the first."""

    def shown(function: Any) -> Any:
        given = inspect.signature(kind).parameters
        ahead = [given[name].replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in first]
        others = [one for name, one in given.items() if name not in first]
        function.__signature__ = inspect.Signature(
            [*ahead, *others], return_annotation=function.__annotations__["return"]
        )
        document(function, kind)
        return function

    return shown


def document(thing: Any, kind: type) -> None:
    """Add the fields of settings to the parameters in a docstring."""
    before, *after = re.split(r"\n\n(?=Returns|Raises)", inspect.getdoc(thing) or "", maxsplit=1)
    heading = "" if "\nParameters\n" in before else "\n\nParameters\n----------"
    thing.__doc__ = "\n\n".join(
        [before + heading + "".join(_paragraph(each) for each in fields(kind) if each.init), *after]
    )


def _paragraph(each: Field) -> str:
    """Return the name, the kind, the default and the meaning of a field, as numpydoc has them."""
    choices = each.metadata.get("choices")
    kind = re.sub(r"\w+\.(?=\w)", "", inspect.formatannotation(each.type))
    kind = f"{{{', '.join(map(repr, choices))}}}" if choices else kind
    default = "" if each.default is MISSING else f", default {each.default!r}"
    meaning = "; ".join(filter(None, [each.metadata["help"], each.metadata["python"]]))
    lines = textwrap.wrap(f"{meaning[0].upper()}{meaning[1:]}.", 112)
    return f"\n{each.name} : {kind}{default}\n" + textwrap.indent("\n".join(lines), "    ")


document(Settings, Settings)
