"""Losses, or their slopes, over a log-prob that is moved: several over each other."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from mapl_explore.plots.style import BLACK, BLUE, DASH_DOT, DASHED, DOTTED, GREEN, LONG, ORANGE, PURPLE, SKY, Look, ring

LOOKS: tuple[Look, ...] = (
    {"color": BLACK, "linestyle": "-", "linewidth": 4},
    {"color": ORANGE, "linestyle": DASHED},
    {"color": BLUE, "linestyle": DASH_DOT},
    {"color": PURPLE, "linestyle": DOTTED, "linewidth": 3.5},
    {"color": SKY, "linestyle": LONG},
)

STYLES = ("-", DASHED, DOTTED, DASH_DOT, LONG)  # of the responses of a side, in turn


def response_looks(names: Sequence[str]) -> list[dict]:
    """Return the looks of the curves of responses: a colour for each side, a line style for each number."""
    colors = {"+": BLUE, "−": ORANGE}
    return [
        {"color": colors[name[0]], "linestyle": STYLES[(int(name[1:]) - 1) % len(STYLES)], "label": name}
        for name in names
    ]


class CurvesPanel:
    """One curve for each loss or response, and a ring on the first.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    span : (float, float)
        The ends of the horizontal axis.
    reach : (float, float)
        The ends of the vertical axis.
    xlabel, ylabel : str
        What is moved, and what is shown.
    looks : sequence of dict
        One for each curve there can be.
    """

    def __init__(self, axes: Axes, span: tuple, reach: tuple, xlabel: str, ylabel: str, looks: Sequence[dict] = LOOKS):
        """Draw the scenery: scales, labels, a line at 0."""
        axes.set(xlim=span, ylim=reach, xlabel=xlabel, ylabel=ylabel)
        axes.axhline(0, color=BLACK, linewidth=1, zorder=1)
        self.reach = reach
        self.curves = [axes.plot([], [], **look)[0] for look in looks]
        self.curves[0].set_zorder(1.9)  # wide and underneath: where two agree one sees both
        self.now = axes.axvline(span[0], color=GREEN, linewidth=1.5)
        self.here = ring(axes)
        self.moving = [*self.curves, self.now, self.here]

    def move(self, places: np.ndarray, curves: Sequence[np.ndarray], now: float, here: float | None) -> None:
        """Show the curves, each over ``places``, and a ring at one place of the first, if there is to be one."""
        for number, line in enumerate(self.curves):
            line.set_data((places, curves[number]) if number < len(curves) else ([], []))
        self.now.set_xdata([now, now])
        self.here.set_data(([now], [np.clip(here, *self.reach)]) if here is not None else ([], []))
