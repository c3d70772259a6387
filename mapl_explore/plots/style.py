"""How everything is drawn: sizes for the back of a room, one look for each idea.

The colours are Okabe and Ito's, which stay apart for every kind of colour vision; each line also has a
style of its own, and each bar a hatch.
"""

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.markers import CARETLEFTBASE, CARETRIGHTBASE, CARETUP

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
LINES = {
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
HERE = {"color": "white", "markersize": 11, "markeredgecolor": GREEN, "markeredgewidth": 3}  # the ring: you are here


def styled_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, on an Agg canvas of its own."""
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    figure.get_layout_engine().set(wspace=0.05)  # a ring at the edge of a panel stays off its neighbour's label
    FigureCanvasAgg(figure)
    return figure


def drawing_style():
    """Return the context in which scenery is made: ours, whatever the user has set in ``rcParams``."""
    return matplotlib.style.context(["default", STYLE])


def ring(axes):
    """Return the ring that shows where the settings are, drawn whole at the edge of the picture too."""
    (here,) = axes.plot([], [], "o", clip_on=False, **HERE)
    here.set_in_layout(False)
    return here
