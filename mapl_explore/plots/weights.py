"""Who gets the gradient: one bar for each response."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from mapl_explore.plots.losses import LOOKS
from mapl_explore.plots.style import BLACK, BLUE, DARK_ORANGE, ORANGE, Look


class WeightsPanel:
    """The weight of each response in a smooth maximum or minimum.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    names : sequence of str
        The names of the responses; without names, the best one comes first.
    """

    def __init__(self, axes: Axes, names: Sequence[str] = ()):
        """Draw the scenery: one bar for each response, together as wide as the picture."""
        axes.set(xlim=(0, 1), ylim=(0, 1.3), yticks=np.linspace(0, 1, 6), ylabel="share of the gradient")
        axes.set_xticks((np.arange(len(names)) + 0.5) / max(len(names), 1), names)
        axes.set_xlabel("response" if len(names) else "responses, best first")
        axes.grid(axis="x", visible=False)
        self.leader = axes.stairs([0], [0, 1], fill=True, color=BLACK)
        self.others = axes.stairs([0], [0, 1], fill=True, facecolor=ORANGE, edgecolor="white", hatch="//")
        self.title = axes.text(0.5, 0.98, "", ha="center", va="top", transform=axes.transAxes)
        self.moving = [self.leader, self.others, self.title]

    def move(self, weights: np.ndarray, leader: int = 0) -> None:
        """Show these weights in their order; the bar of the leader is black."""
        edges, heights = _bars(weights)
        others = np.where(np.arange(heights.size) == 2 * leader, 0.0, heights)
        self.leader.set_data(heights[2 * leader : 2 * leader + 1], edges[2 * leader : 2 * leader + 2])
        self.others.set_data(others, edges)
        self.title.set_text(f"leader {weights[leader]:.0%}\nothers {100 * np.delete(weights, leader).sum():.2g}%")


class PushPanel:
    """The weight of each response in a loss, d loss / d logp: positives are pushed up, negatives down.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    names : sequence of str
        What each response is called, in order.
    reach : float
        The largest weight that fits.
    """

    def __init__(self, axes: Axes, names: Sequence[str], reach: float):
        """Draw the scenery: a line at 0, one place for each response."""
        axes.set(xlim=(0, 1), ylim=(-1.25 * reach, 1.25 * reach), ylabel="weight ∂loss/∂log π")
        few = len(names) <= 8
        places = (np.arange(len(names)) + 0.5) / len(names)
        axes.set_xticks(places if few else [], names if few else [])
        axes.set_xlabel("response" if few else "positives, then negatives")
        axes.tick_params(axis="x", labelsize=16 if len(names) <= 6 else 13)
        axes.grid(axis="x", visible=False)
        zero = axes.axhline(0, color=BLACK, linewidth=1)
        self.ups = axes.stairs([0], [0, 1], fill=True, facecolor=BLUE, edgecolor="white", hatch="\\\\")
        self.downs = axes.stairs([0], [0, 1], fill=True, facecolor=ORANGE, edgecolor="white", hatch="//")
        words: Look = {"ha": "right", "transform": axes.transAxes}
        titles = [
            axes.text(0.99, 0.98, "pushed down", va="top", color=DARK_ORANGE, **words),
            axes.text(0.99, 0.02, "pushed up", color=BLUE, **words),
        ]
        wide = min(30.0, 160.0 / len(names))  # points, about the width of a bar
        others: Look = {"linestyle": "none", "marker": "_", "markersize": wide, "markeredgewidth": 3.5}
        self.others = [axes.plot([], [], color=look["color"], zorder=3, **others)[0] for look in LOOKS[1:]]
        self.moving = [self.ups, self.downs, zero, *self.others, *titles]

    def move(self, weights: list[np.ndarray]) -> None:
        """Show the weights of the first loss as bars, positives first, and those of others as strokes."""
        edges, heights = _bars(weights[0])
        self.ups.set_data(np.minimum(heights, 0), edges)
        self.downs.set_data(np.maximum(heights, 0), edges)
        places = (np.arange(weights[0].size) + 0.5) / weights[0].size
        for number, strokes in enumerate(self.others, start=1):
            strokes.set_data((places, weights[number]) if number < len(weights) else ([], []))


def _bars(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return edges (2n,) and heights (2n - 1,) of n bars with gaps between them, over the width from 0 to 1."""
    place = np.arange(weights.size)
    edges = np.ravel([place + 0.08, place + 0.92], order="F") / weights.size
    heights = np.zeros(edges.size - 1)
    heights[::2] = weights
    return edges, heights
