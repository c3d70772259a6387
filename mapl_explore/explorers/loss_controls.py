"""The controls of a loss: its name in a list, and its numbers on sliders; what it compares, in words."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from mapl_explore.explorers.knobs import KNOBS, Knob
from mapl_explore.explorers.readout import digits
from mapl_explore.files import shortened
from mapl_explore.losses import (
    CDPO,
    GRPO,
    LOSSES,
    RLOO,
    SFT,
    Comparing,
    DynamicBeta,
    First,
    Hardest,
    InfoNCA,
    Loss,
    Mean,
    Mellow,
    OneSided,
    Pair,
    RobustDPO,
    Smooth,
    loss_of,
)
from mapl_explore.losses.graded import Graded
from mapl_explore.losses.loss import Paired

SHARED = ("beta", "tau", "alpha", "epsilon", "share")  # fields that have a slider, in whatever has them
OWN: dict[tuple[type, str], str] = {  # fields of one loss alone, and the sliders that they have
    (CDPO, "smoothing"): "smoothing",
    (RobustDPO, "smoothing"): "smoothing",
    (GRPO, "clip"): "clip",
    (InfoNCA, "alpha"): "reward_alpha",
}
NUMBERS = (*SHARED, *dict.fromkeys(OWN.values()))  # the sliders


def losses_of(losses: Iterable[Loss | str]) -> tuple[Loss, ...]:
    """Return several losses, each given itself or by its name."""
    if isinstance(losses, str | Loss) or not isinstance(losses, Iterable):
        raise TypeError(f"over must be a list of losses, such as ['dpo'], not {shortened(losses)}")
    return tuple(map(_of_a_set, losses))


def text_of(loss: Loss | str) -> str:
    """Return the name of a loss: that of a preset as it is given, else the ``repr``."""
    return loss if isinstance(loss, str) and loss in LOSSES else repr(_of_a_set(loss))


def _of_a_set(loss: Loss | str) -> Loss:
    """Return a loss, given itself or by its name, that a picture of one set can show."""
    one = loss_of(loss)
    beta = getattr(one, "beta", None)
    if isinstance(beta, DynamicBeta):
        raise ValueError(f"loss: beta must be a number to be shown, as a picture has no batch, not {beta!r}")
    return one


def number_knobs(tau: Knob) -> dict[str, Knob]:
    """Return the sliders of the numbers of all losses, of which that of tau is given."""
    alpha = replace(KNOBS["alpha"], label="smoothing α of the pair")  # other losses have an alpha of their own
    knobs = KNOBS | {"tau": tau, "alpha": alpha}
    return {name: knobs[name] for name in NUMBERS}


def numbers_of(loss: Loss) -> dict[str, float]:
    """Return the numbers of a loss, its pair and its rule that have a slider."""
    pair = loss.pair if isinstance(loss, Paired) else None
    parts: list[Any] = [loss, pair, getattr(pair, "tau", None)]
    parts = [one for one in parts if hasattr(one, "__dataclass_fields__")]
    found = [(_slider(part, one.name), getattr(part, one.name)) for part in parts for one in fields(part)]
    return {slider: value for slider, value in found if slider}


def with_numbers(part: Any, settings: Mapping[str, Any]) -> Any:
    """Return a loss (or its pair, or its rule) with the numbers of the sliders."""
    news = {}
    for one in fields(part):
        value, slider = getattr(part, one.name), _slider(part, one.name)
        if slider in settings:
            news[one.name] = settings[slider]
        elif hasattr(value, "__dataclass_fields__"):
            news[one.name] = with_numbers(value, settings)
    return replace(part, **news)


def _slider(part: Any, name: str) -> str:
    """Return the slider of a field of a loss, its pair or its rule, "" if it has none; CPO's alpha is no smoothing."""
    if not isinstance(getattr(part, name), float):
        return ""
    shared = name in SHARED and (name != "alpha" or isinstance(part, Pair))
    return name if shared else OWN.get((type(part), name), "")


# What each pair is called, and what it makes of the positives and of the negatives.
PAIRS: dict[type[Pair], tuple[str, str, str]] = {
    First: ("first", "the first positive", "the first negative"),
    Mean: ("mean", "the mean of the positives", "the mean of the negatives"),
    Hardest: ("hardest", "the hardest positive (least r)", "the hardest negative (largest r)"),
    Smooth: ("smooth", "the smooth minimum of the positives", "the smooth maximum of the negatives"),
    Mellow: (
        "mellow",
        "the smooth minimum of the positives",
        "the smooth maximum of the negatives, both by log-mean-exp",
    ),
}


def labels_of(names: Iterable[str]) -> dict[str, str]:
    """Return what the list shows for the presets among some names: with the pair that each compares.

    Examples
    --------
    >>> labels_of(["dpo", "dpo-hardest", "sft"])
    {'dpo': 'dpo (first pair)', 'dpo-hardest': 'dpo-hardest (hardest pair)', 'sft': 'sft (no pair)'}
    """
    return {name: f"{name} ({_pair_name(LOSSES[name])})" for name in names if name in LOSSES}


def _pair_name(loss: Loss) -> str:
    if not isinstance(loss, Paired):
        return "all responses" if isinstance(loss, Graded) else "no pair"
    return f"{PAIRS[type(loss.pair)][0]} {'negative' if isinstance(loss, OneSided) else 'pair'}"


def compared(loss: Loss) -> str:
    """Return a sentence on what a loss compares, a space before it; empty for one of somebody's own.

    Examples
    --------
    >>> compared(LOSSES["dpo"])
    ' It compares the first positive with the first negative.'
    """
    if isinstance(loss, SFT):
        return " It looks at the positives alone."
    if isinstance(loss, Graded):
        slope = " Its slope takes the advantages as fixed, and so is not that of the curve."
        return f" It compares all responses by their rewards.{slope if isinstance(loss, RLOO) and loss.beta else ''}"
    words = PAIRS.get(type(loss.pair)) if isinstance(loss, Comparing | OneSided) else None
    if words is None:
        return ""
    _, positive, negative = words
    return (
        f" It looks at {negative} alone." if isinstance(loss, OneSided) else f" It compares {positive} with {negative}."
    )


def margins_in_short(margin: float | None, hard: float) -> str:
    """Return both margins in a few words; of a loss without a margin of its own the hard one alone.

    Examples
    --------
    >>> margins_in_short(0.5, 1.0), margins_in_short(None, 1.0)
    ('margin 0.5 (hard 1)', 'hard margin 1')
    """
    return f"hard margin {digits(hard)}" if margin is None else f"margin {digits(margin)} (hard {digits(hard)})"


def margins_said(loss: Loss, margin: float | None, hard: float) -> str:
    """Return a sentence on both margins, a space before it; None is for a loss that has no margin."""
    if margin is None:
        of = "scores" if isinstance(loss, Graded) else "log-probs"
        return f" The hard margin of the {of}, which it does not see, is {digits(hard)} {loss.unit}."
    return f" Its margin is {digits(margin)} {loss.unit}; the hard margin is {digits(hard)}."
