"""The inverse temperature that a target asks for, over the gap, and what the others then get of the gradient."""

from collections.abc import Mapping

import numpy as np

from mapl_explore.plots.looks import LINES, NOW, said
from mapl_explore.plots.panels import Axis, Band, Curve, Drag, Mark, Panel, Rule, Style, above, here, word
from mapl_explore.words import _

SPAN = (1e-3, 1e3)  # 1/nats
SHARES = (1e-5, 1.0)
PERCENTS = [(1.0, "100%"), (0.1, "10%"), (0.01, "1%"), (1e-3, "0.1%"), (1e-4, "0.01%"), (1e-5, "0.001%")]


def roots_panel(*, gaps: np.ndarray, curves: Mapping[str, np.ndarray], gap: float, tau: float) -> Panel:
    """Return which tau meets a target, over the gap; beyond the bounds' roots a promise holds, between them it depends.

    Parameters
    ----------
    gaps : array (k,)
        In nats.
    curves : mapping of arrays (k,)
        The tau of each rule, in 1/nats: ``upper``, ``exact``, ``lower``, ``share``, and ``asymptote`` where there is
        one; NaN for one score.
    gap, tau : float
        Where the settings are: the gap, and the tau of the rule in use, NaN where it has none.

    Examples
    --------
    >>> gaps = np.array([0.1, 1.0, 10.0])
    >>> curves = dict.fromkeys(("upper", "exact", "lower", "asymptote", "share"), 2 / gaps)
    >>> panel = roots_panel(gaps=gaps, curves=curves, gap=1.0, tau=2.0)
    >>> panel["here"].y, panel["now"].drags[0].knob
    (array([2.]), 'wide_gap')
    """
    x, y = Axis(_("gap δ (nats)"), gaps[0], gaps[-1], "log"), Axis(_("τ (1/nats)"), *SPAN, "log")
    bottom, top = (np.full(gaps.size, end) for end in SPAN)
    most, least = Style("orange", opacity=0.1), Style("blue", opacity=0.1)
    return Panel(
        name=_("the inverse temperature for a target, over the gap"),
        x=x,
        y=y,
        share=1.35,
        marks=[
            Band(name="surely at most", style=most, x=gaps, low=curves["upper"], high=top),
            Band(name="surely at least", style=least, x=gaps, low=bottom, high=curves["lower"]),
            Band(
                name="it depends", style=Style("grey", opacity=0.75), x=gaps, low=curves["lower"], high=curves["upper"]
            ),
            *_curves(gaps, curves),
            word(
                _("E surely ≤ ε"), x.at(0.98), y.at(0.97), "dark-orange", name="most", across="right", upright="below"
            ),
            word(_("E surely ≥ ε"), x.at(0.02), y.at(0.03), "blue", name="least", across="left", upright="above"),
            _now(x, gap),
            here(x, y, gap, tau),
        ],
    )


def others_panel(
    *, gaps: np.ndarray, curves: Mapping[str, np.ndarray], gap: float, others: float, share: float
) -> Panel:
    """Return the share of the gradient that all but the leader get, over the gap, at the tau of each rule.

    Parameters
    ----------
    gaps, curves, gap
        As for :func:`roots_panel`, the curves being those shares.
    others : float
        Their share at the rule in use, NaN where it has no tau.
    share : float
        The leader's share that is the target: a line to drag lies at what it leaves to the others.

    Examples
    --------
    >>> gaps = np.array([0.1, 1.0, 10.0])
    >>> curves = dict.fromkeys(("upper", "exact", "lower", "asymptote", "share"), gaps / 100)
    >>> others_panel(gaps=gaps, curves=curves, gap=1.0, others=0.01, share=0.75)["target"].at
    0.25
    """
    x = Axis(_("gap δ (nats)"), gaps[0], gaps[-1], "log")
    y = Axis(_("share of the others"), *SHARES, "log", ticks=PERCENTS)
    return Panel(
        name=_("the share of the others, over the gap"),
        x=x,
        y=y,
        marks=[
            Rule(name="target", style=NOW, at=1 - share, along="y", drags=(Drag("share", "y", -1.0, 1.0),)),
            *_curves(gaps, curves),
            above(_("target"), x, y, 1 - share, name="target's name"),
            _now(x, gap),
            here(x, y, gap, others),
        ],
    )


def _curves(gaps: np.ndarray, curves: Mapping[str, np.ndarray]) -> list[Mark]:
    """Return the curves, that of the scores below the thinner ones."""
    return [Curve(name=name, x=gaps, y=curves[name], **said(look)) for name, look in LINES.items() if name in curves]


def _now(x: Axis, gap: float) -> Rule:
    """Return the line at the gap; a tie, or a gap beyond the picture, rests on its edge."""
    return Rule(name="now", style=NOW, at=x.inside(gap), along="x", drags=(Drag("wide_gap", "x"),))
