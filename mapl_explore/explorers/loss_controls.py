"""The controls of a loss: its name in a list, and its numbers on sliders; what it compares, in words."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from mapl_explore.explorers.knobs import KNOBS, Knob
from mapl_explore.explorers.readout import digits, percent, signed
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
from mapl_explore.losses.explaining import Explained
from mapl_explore.losses.graded import Graded
from mapl_explore.losses.loss import Paired
from mapl_explore.words import N_, _

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
    alpha = replace(KNOBS["alpha"], label=N_("smoothing α of the pair"))  # other losses have an alpha of their own
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
    First: (N_("first pair"), N_("the first positive"), N_("the first negative")),
    Mean: (N_("mean pair"), N_("the mean of the positives"), N_("the mean of the negatives")),
    Hardest: (N_("hardest pair"), N_("the hardest positive (least r)"), N_("the hardest negative (largest r)")),
    Smooth: (
        N_("smooth pair"),
        N_("the smooth minimum of the positives"),
        N_("the smooth maximum of the negatives"),
    ),
    Mellow: (
        N_("mellow pair"),
        N_("the smooth minimum of the positives"),
        N_("the smooth maximum of the negatives, both by log-mean-exp"),
    ),
}
# What the pair of a loss of the negatives alone is called.
ONE_SIDED: dict[type[Pair], str] = {
    First: N_("first negative"),
    Mean: N_("mean negative"),
    Hardest: N_("hardest negative"),
    Smooth: N_("smooth negative"),
    Mellow: N_("mellow negative"),
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
        return _("all responses") if isinstance(loss, Graded) else _("no pair")
    return _(ONE_SIDED[type(loss.pair)] if isinstance(loss, OneSided) else PAIRS[type(loss.pair)][0])


def compared(loss: Loss) -> str:
    """Return a sentence on what a loss compares, a space before it; empty for one of somebody's own.

    Examples
    --------
    >>> compared(LOSSES["dpo"])
    ' It compares the first positive with the first negative.'
    """
    if isinstance(loss, SFT):
        return " " + _("It looks at the positives alone.")
    if isinstance(loss, Graded):
        slope = _("Its slope takes the advantages as fixed, and so is not that of the curve.")
        by = _("It compares all responses by their rewards.")
        return f" {by} {slope}" if isinstance(loss, RLOO) and loss.beta else f" {by}"
    words = PAIRS.get(type(loss.pair)) if isinstance(loss, Comparing | OneSided) else None
    if words is None:
        return ""
    said = {"positive": _(words[1]), "negative": _(words[2])}
    if isinstance(loss, OneSided):
        return " " + _("It looks at {negative} alone.").format(**said)
    return " " + _("It compares {positive} with {negative}.").format(**said)


def margins_in_short(margin: float | None, hard: float) -> str:
    """Return both margins in a few words; of a loss without a margin of its own the hard one alone.

    Examples
    --------
    >>> margins_in_short(0.5, 1.0), margins_in_short(None, 1.0)
    ('margin 0.5 (hard 1)', 'hard margin 1')
    """
    if margin is None:
        return _("hard margin {hard}").format(hard=digits(hard))
    return _("margin {margin} (hard {hard})").format(margin=digits(margin), hard=digits(hard))


def margins_said(loss: Loss, margin: float | None, hard: float) -> str:
    """Return a sentence on both margins, a space before it; None is for a loss that has no margin."""
    said = {"hard": digits(hard), "unit": _(loss.unit)}
    if margin is not None:
        both = _("Its margin is {margin} {unit}; the hard margin is {hard}.")
        return f" {both.format(margin=digits(margin), **said)}"
    alone = _("The hard margin of the log-probs, which it does not see, is {hard} {unit}.")
    if isinstance(loss, Graded):
        alone = _("The hard margin of the scores, which it does not see, is {hard} {unit}.")
    return f" {alone.format(**said)}"


def response_row(name: str, row: Explained, named: list[tuple[str, Explained]]) -> tuple:
    """Return a line of the table of responses."""
    way = _("nowhere") if row.weight == 0 else _("up") if row.weight < 0 else _("down")
    side = [(other, its) for other, its in named if its.label == row.label]
    tied = [other for other, its in side if its.rank == row.rank and other != name]
    place = _("hardest") if row.rank == 1 else _("{rank} of {count}").format(rank=row.rank, count=len(side))
    place += _(", tied with {names}").format(names=" ".join(tied)) if tied else ""
    reward = () if row.reward is None else (row.reward,)
    return name, row.score, signed(row.weight, "+.3g"), way, percent(row.share), place, *reward
