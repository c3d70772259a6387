"""What became of the responses of a set, or of its two sides, over the steps of a training."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from mapl_explore.plots.style import BLACK, BLUE, DASHED, GREEN, HERE, ORANGE

SIDES = {
    "positives": {"color": BLUE, "linestyle": "-"},
    "negatives": {"color": ORANGE, "linestyle": DASHED},
}
MARGINS = {
    "hard": {"color": BLACK, "linestyle": "-", "linewidth": 4, "label": "hard margin"},
    "own": {"color": BLUE, "linestyle": DASHED, "label": "the loss's own"},
}


class HistoryPanel:
    """Curves over the steps of a training, and rings on them at the step that is looked at.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    step : array (S,)
        The steps that were recorded.
    curves : sequence of arrays (S,)
        The values at these steps.
    looks : sequence of dict
        One for each curve; those with a ``label`` are named in a legend.
    ylabel : str
        What the curves are.
    scale : {"linear", "log"}
        Of the vertical axis.
    bands : sequence of (dict, array (S,), array (S,))
        Regions to shade: their look, lower and upper edge.
    """

    def __init__(
        self,
        axes: Axes,
        step: np.ndarray,
        curves: Sequence[np.ndarray],
        looks: Sequence[Mapping],
        ylabel: str,
        scale: str = "linear",
        bands: Sequence[tuple] = (),
    ):
        """Draw everything except the rings: the curves do not depend on the step that is looked at."""
        # A run of which one step was recorded has no span; half a step on either side shows it in the middle.
        room = 0.5 if step[0] == step[-1] else 0
        axes.set(xlim=(step[0] - room, step[-1] + room), xlabel="step", ylabel=ylabel, yscale=scale)
        axes.locator_params(axis="x", integer=True)
        self.step, self.curves = step, np.stack(list(curves))
        if scale == "log":
            axes.set_ylim(_decades(np.concatenate([self.curves, *(edges for _, *edges in bands)], axis=None)))
            # A log axis has no place for an error of 0: a line leaves it out, and a band ends at the bottom.
            self.curves = np.where(self.curves >= axes.get_ylim()[0], self.curves, np.nan)
        else:
            axes.axhline(0, color=BLACK, linewidth=1, zorder=1)
        for look, *edges in bands:
            low, high = np.maximum(edges, axes.get_ylim()[0])
            axes.fill_between(step, low, high, color=look["color"], alpha=0.18, linewidth=0)
        self.lines = [axes.plot(step, curve, **look)[0] for curve, look in zip(self.curves, looks, strict=True)]
        self.now = axes.axvline(step[0], color=GREEN, linewidth=1.5)
        (self.here,) = axes.plot([], [], "o", clip_on=False, **HERE | {"markersize": 8, "markeredgewidth": 2.5})
        self.here.set_in_layout(False)
        self.moving: list[Artist] = [self.now, self.here]
        if any("label" in look for look in looks):
            # It lies above what moves, so it is drawn again after it.
            self.moving.append(axes.legend(loc="best", fontsize=13, frameon=True, framealpha=0.8, edgecolor="none"))

    def move(self, place: int) -> None:
        """Show the step at this place among the recorded ones."""
        self.now.set_xdata([self.step[place]] * 2)
        self.here.set_data([self.step[place]] * len(self.curves), self.curves[:, place])


def _decades(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of a logarithmic axis for the values above 0: at least a decade, at most eight."""
    positive = values[values > 0]
    if positive.size == 0:
        return 0.1, 10.0
    high = float(positive.max())
    low = max(float(positive.min()), high / 1e8)
    room = max(1.5, math.sqrt(10 * low / high))
    return low / room, high * room
