"""The scores of a set below its leader, and who gets the gradient, best first."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mapl_explore.plots.looks import DOWN, UP, ZERO
from mapl_explore.plots.panels import (
    Axis,
    Drag,
    Mark,
    Panel,
    Points,
    Rule,
    Segments,
    Style,
    Words,
    bars,
    named_ticks,
    word,
)
from mapl_explore.plots.rewards import reward_cells
from mapl_explore.words import N_, _

WIDEST = -20.5  # nats: the picture stands still while the scores are dragged, each by at most 10
WEIGHT = N_("weight (loss per nat)")
LEADER, OTHERS = Style("ink"), Style("orange", hatch="/")


def weights_panel(weights: np.ndarray, leader: int = 0, names: Sequence[str] = (), alpha: float = 1.0) -> Panel:
    """Return the weight of each response in a smooth maximum or minimum; the bar of the leader is solid.

    Parameters
    ----------
    weights : array (n,)
        In order; they add up to 1.
    leader : int
        The place of the largest or smallest score.
    names : sequence of str
        The names of the responses; without names, the best one comes first.
    alpha : float
        Of the smoothing: above 1, one of several may have all, and others nothing.

    Examples
    --------
    >>> weights_panel(np.array([0.75, 0.25]))["shares"].texts
    ['leader 75%', 'others 25%']
    """
    places = np.arange(weights.size)
    alone, rest = np.where(places == leader, weights, 0.0), np.where(places == leader, 0.0, weights)
    parted = weights.size > 1 and (alpha == 1 or bool(rest.any()))
    shares = [
        _("leader {share}").format(share=_leading(weights[leader], parted)),
        _("others {share}").format(share=_percent(rest.sum(), parted)),
    ]
    return Panel(
        name=_("the share of the gradient of each response"),
        x=Axis(_("response") if names else _("best first"), 0.0, 1.0, ticks=named_ticks(names)),
        y=Axis(_("share of the gradient"), 0.0, 1.3, ticks=[(0.2 * n, f"{0.2 * n:.1f}") for n in range(6)]),
        grid="y",
        marks=[
            bars(alone, name="leader", style=LEADER),
            bars(rest, name="others", style=OTHERS),
            Words(name="shares", style=Style(width=16), x=np.full(2, 0.5), y=np.array([1.22, 1.1]), texts=shares),
        ],
    )


def gaps_panel(scores: np.ndarray) -> Panel:
    """Return the scores of a set below its leader; the second is dragged to set the gap, the last to set the spread.

    Parameters
    ----------
    scores : array (n,)
        Best first, in nats.

    Examples
    --------
    >>> panel = gaps_panel(np.array([0.0, -1.0, -3.0]))
    >>> [drag and drag.knob for drag in panel["scores"].drags], panel["scores"].y
    ([None, 'gap', 'spread'], array([ 0., -1., -3.]))
    """
    below = scores - scores[0]
    drags: list[Drag | None] = [None] * scores.size
    if scores.size > 2:
        drags[-1] = Drag("spread", "y", -1.0, float(below[1]))
    if scores.size > 1:
        drags[1] = Drag("gap", "y", -1.0)
    places = (np.arange(scores.size) + 0.5) / scores.size
    style = Style("orange", width=10)
    return Panel(
        name=_("the scores, from the leader down"),
        x=Axis(_("best first"), 0.0, 1.0, ticks=()),
        y=Axis(_("score − leader (nats)"), WIDEST if below[-1] > WIDEST else 1.05 * float(below[-1]), 1.0),
        grid="y",
        marks=[
            Points(name="scores", style=style, x=places, y=below, shape="diamond", drags=tuple(drags)),
            Points(name="leader", style=Style("ink", width=12), x=places[:1], y=below[:1]),
        ],
    )


def push_panel(
    weights: np.ndarray,
    names: Sequence[str],
    most: float,
    others: Sequence[Mark] = (),
    label: str = WEIGHT,
    rewards: np.ndarray | None = None,
) -> Panel:
    """Return the weight of each response in a loss, d loss / d logp: positives are pushed up, negatives down.

    Parameters
    ----------
    weights : array (n,)
        In the order of the names.
    names : sequence of str
        What each response is called.
    most : float
        The largest weight that fits; 0 if all are.
    others : sequence of Mark
        What lies over the bars, such as :func:`strokes`.
    label : str
        Of the vertical axis.
    rewards : array (n,), optional
        Shown in a row of cells under the bars, with their numbers if there are at most eight.

    Examples
    --------
    >>> push_panel(np.array([-0.5, 0.5]), ["p1", "n1"], 0.5)["pushed up"].bottom
    array([-0.5,  0. ])
    """
    end = 1.25 * (most or 1.0)
    down = word(_("pushed down"), 0.99, 0.92 * end, "dark-orange", name="down", across="right")
    up = word(_("pushed up"), 0.99, -0.92 * end, "blue", name="up", across="right")
    y, cells = Axis(_(label), -end, end), []
    if rewards is not None:
        cells = _under(rewards, -1.28 * end, -1.06 * end)
        y = Axis(_(label), -1.3 * end, end, ticks=(*y.ticks, (-1.17 * end, _("reward"))))
    return Panel(
        name=_("for each response, the {what}").format(what=_(label).partition(" (")[0]),
        x=Axis(_("response"), 0.0, 1.0, ticks=named_ticks(names)),
        y=y,
        grid="y",
        marks=[
            *cells,
            bars(np.minimum(weights, 0.0), name="pushed up", style=UP),
            bars(np.maximum(weights, 0.0), name="pushed down", style=DOWN),
            Rule(name="zero", style=ZERO, at=0.0, along="y"),
            *others,
            down,
            up,
        ],
    )


def strokes(name: str, weights: np.ndarray, style: Style, label: str = "") -> Segments:
    """Return a short stroke at each weight (n,), over the bars that it is compared with."""
    style = replace(style, dash=(), width=3.5)  # too short for a dash
    left, right = ((np.arange(weights.size) + end) / weights.size for end in (0.2, 0.8))
    return Segments(name=name, style=style, label=label, x=left, to_x=right, y=weights, to_y=weights)


def _under(rewards: np.ndarray, low: float, high: float) -> list[Mark]:
    """Return a cell for each reward between two heights; they hide the line of the tick behind them."""
    places, row = np.arange(rewards.size), np.ones(rewards.size)
    left, right = (places + 0.01) / rewards.size, (places + 0.99) / rewards.size
    return reward_cells(rewards, left, right, low * row, high * row, numbered=rewards.size <= 8)


def _leading(share: float, parted: bool) -> str:
    """Return the share of the leader; it is below 1 where others have a part, however small."""
    return _("over {bound}").format(bound="99%") if parted and share >= 0.995 else f"{share:.0%}"


def _percent(share: float, parted: bool) -> str:
    """Return the share of the others; it is above 0 where they have a part, however small."""
    return "< 0.001%" if parted and share < 1e-5 else f"{100 * share:.2g}%"
