"""A forest plot: the estimate of each arm with its interval, and its difference to the baseline next to it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from mapl_explore.plots.panels import Axis, Mark, Panel, Points, Rule, Segments, Style
from mapl_explore.plots.paper import figure_of

ZERO = Style("orange", (5, 2), width=2)
INTERVAL = Style("blue", width=3)
ESTIMATE = Style("blue", width=11)
HEADING = Style("grey", width=2)


@dataclass(frozen=True)
class Estimate:
    """A number of an arm with its interval, either of which may be missing; or the heading of those below it."""

    name: str
    value: float | None
    interval: tuple[float, float] | None
    heading: bool = False


def forest_figure(
    means: Sequence[Estimate], differences: Sequence[Estimate], label: str, difference_label: str
) -> Figure:
    """Return the forest plot of arms: their means on the left, their differences to the baseline on the right.

    Parameters
    ----------
    means, differences : sequence of Estimate
        One for each arm or heading, in the same order; the first one stands at the top.
    label, difference_label : str
        Of the two horizontal axes.

    Examples
    --------
    >>> means = [Estimate("a", 0.5, (0.4, 0.6)), Estimate("b", 0.7, (0.6, 0.8))]
    >>> changes = [Estimate("a", None, None), Estimate("b", 0.2, (0.1, 0.3))]
    >>> len(forest_figure(means, changes, "share right", "difference to a").axes)
    2
    """
    panels = [
        _panel(means, label, []),
        _panel(differences, difference_label, [Rule(name="zero", style=ZERO, at=0, along="x")]),
    ]
    return figure_of(panels, width=14.0, height=1.8 + 0.6 * len(means))


def _panel(estimates: Sequence[Estimate], label: str, marks: list[Mark]) -> Panel:
    known = [(row, one.value, one.interval) for row, one in enumerate(estimates) if one.value is not None]
    ends = [(row, *interval) for row, _, interval in known if interval is not None]
    places = [value for _, value, _ in known] + [end for _, *both in ends for end in both] + [0.0] * bool(marks)
    rows, low, high = (np.array(column, float) for column in zip(*ends, strict=True)) if ends else np.zeros((3, 0))
    across = Axis(label, *_reach(places))
    heads = [row - 0.5 for row, one in enumerate(estimates) if one.heading and row]
    between = [Rule(name=f"group {at}", style=HEADING, at=at, along="y") for at in heads]
    names = tuple((float(row), one.name) for row, one in enumerate(estimates))
    down = Axis("", len(estimates) - 0.5, -0.5, ticks=names)
    at = np.array([value for _, value, _ in known], float), np.array([row for row, _, _ in known], float)
    strokes = Segments(name="intervals", style=INTERVAL, x=low, y=rows, to_x=high, to_y=rows)
    dots = Points(name="estimates", style=ESTIMATE, x=at[0], y=at[1])
    return Panel(label, across, down, [*between, *marks, strokes, dots], grid="x")


def _reach(places: Sequence[float]) -> tuple[float, float]:
    """Return two ends with room around all places."""
    low, high = (min(places), max(places)) if places else (0.0, 1.0)
    room = 0.08 * (high - low) or max(0.1 * math.fabs(high), 0.1)
    return low - room, high + room
