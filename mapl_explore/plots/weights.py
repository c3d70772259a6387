"""The scores of a set below its leader, and who gets the gradient, best first."""

from collections.abc import Sequence

import numpy as np

from mapl_explore.plots.panels import Axis, Drag, Panel, Points, Style, Words, bars

WIDEST = -20.5  # nats: the picture stands still while the scores are dragged, each by at most 10
LEADER, OTHERS = Style("ink"), Style("orange", hatch="/")


def weights_panel(weights: np.ndarray, leader: int = 0, names: Sequence[str] = ()) -> Panel:
    """Return the weight of each response in a smooth maximum or minimum; the bar of the leader is solid.

    Parameters
    ----------
    weights : array (n,)
        In order; they add up to 1.
    leader : int
        The place of the largest or smallest score.
    names : sequence of str
        The names of the responses; without names, the best one comes first.

    Examples
    --------
    >>> weights_panel(np.array([0.75, 0.25]))["shares"].texts
    ['leader 75%', 'others 25%']
    """
    places = np.arange(weights.size)
    alone, rest = np.where(places == leader, weights, 0.0), np.where(places == leader, 0.0, weights)
    shares = [f"leader {weights[leader]:.0%}", f"others {100 * rest.sum():.2g}%"]
    return Panel(
        name="the share of the gradient of each response",
        x=Axis("response" if names else "responses, best first", 0.0, 1.0, ticks=_ticks(names)),
        y=Axis("share of the gradient", 0.0, 1.3, ticks=[(0.2 * n, f"{0.2 * n:.1f}") for n in range(6)]),
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
    drags = [None] * scores.size
    if scores.size > 2:
        drags[-1] = Drag("spread", "y", -1.0, float(below[1]))
    if scores.size > 1:
        drags[1] = Drag("gap", "y", -1.0)
    places = (np.arange(scores.size) + 0.5) / scores.size
    style = Style("orange", width=10)
    return Panel(
        name="the scores, from the leader down",
        x=Axis("responses, best first", 0.0, 1.0, ticks=()),
        y=Axis("score − leader (nats)", WIDEST if below[-1] > WIDEST else 1.05 * float(below[-1]), 1.0),
        grid="y",
        marks=[
            Points(name="scores", style=style, x=places, y=below, shape="diamond", drags=tuple(drags)),
            Points(name="leader", style=Style("ink", width=12), x=places[:1], y=below[:1]),
        ],
    )


def _ticks(names: Sequence[str]) -> list[tuple[float, str]]:
    return [((place + 0.5) / len(names), name) for place, name in enumerate(names)]
