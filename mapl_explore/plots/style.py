"""How everything is drawn: sizes for the back of a room, one look for each idea.

The colours are Okabe and Ito's, which stay apart for every kind of colour vision; each line also has a
style of its own, and each bar a hatch.
"""

from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.markers import CARETLEFTBASE, CARETRIGHTBASE, CARETUP

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
BLACK, ORANGE, BLUE, GREEN, PURPLE, GREY = "#000000", "#d55e00", "#0072b2", "#009e73", "#b65c91", "#c8d3dc"
SKY, DARK_GREEN, AMBER, DARK_GREY = "#56b4e9", "#006b4e", "#e69f00", "#767676"
DARK_ORANGE = "#a34700"  # for words, which need more contrast than lines
DASHED, DASH_DOT, DOTTED, LONG = (0, (5, 2)), (0, (6, 2, 1.5, 2)), (0, (1, 1.5)), (0, (9, 3))

# The look of each idea, in the picture and in the table next to it.
LINES: dict[str, Look] = {
    "upper": {"color": ORANGE, "linestyle": DASHED, "label": "upper bound"},
    "exact": {"color": BLACK, "linestyle": "-", "label": "these scores"},
    "lower": {"color": BLUE, "linestyle": DASH_DOT, "label": "lower bound"},
    "asymptote": {"color": PURPLE, "linestyle": DOTTED, "label": "large-τ form"},
    "share": {"color": DARK_GREEN, "linestyle": LONG, "label": "leader share"},
}
# The triangles touch the root from three sides, so that roots a hair apart show side by side: the lower bound's lies to
# the left, where the error is surely at least the target, the upper bound's to the right, where it is surely at most.
MARKS = {
    "upper": (CARETRIGHTBASE, "▶"),
    "exact": ("o", "●"),
    "lower": (CARETLEFTBASE, "◀"),
    "asymptote": (CARETUP, "▲"),
}
# The same lines drawn in text.
STROKES = {"upper": "╌╌", "exact": "━━", "lower": "─·", "asymptote": "····", "share": "— —"}
# The ring: you are here.
HERE: Look = {"color": "white", "markersize": 11, "markeredgecolor": GREEN, "markeredgewidth": 3}


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


def ring(axes: Axes) -> Line2D:
    """Return the ring that shows where the settings are, drawn whole at the edge of the picture too."""
    (here,) = axes.plot([], [], "o", clip_on=False, **HERE)
    here.set_in_layout(False)
    return here
