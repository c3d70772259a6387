"""Who gets the gradient: one bar for each response."""

from collections.abc import Sequence

import numpy as np

from mapl_explore.plots.panels import Axis, Panel, Style, Words, bars

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


def _ticks(names: Sequence[str]) -> list[tuple[float, str]]:
    return [((place + 0.5) / len(names), name) for place, name in enumerate(names)]
