"""How matplotlib draws a picture: sizes for the back of a room, whatever the user has set."""

from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

Look: TypeAlias = dict[str, Any]  # keywords of matplotlib's artists
STYLE = {
    "font.size": 16,
    "axes.labelsize": 17,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "lines.linewidth": 2.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
}


def styled_figure(width: float, height: float, *, pad: float | None = None) -> Figure:
    """Return an empty figure of this size, with this pad around each panel, in inches, on an Agg canvas of its own."""
    # With this wspace, a ring at the edge of a panel stays off its neighbour's label.
    layout = ConstrainedLayoutEngine(h_pad=pad, w_pad=pad, wspace=0.05)
    figure = Figure(figsize=(width, height), dpi=100, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def drawing_style() -> AbstractContextManager[None]:
    """Return the context in which scenery is made: ours, whatever the user has set in ``rcParams``."""
    return matplotlib.style.context(["default", STYLE])
