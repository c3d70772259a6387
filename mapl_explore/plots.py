"""What the explorers draw: panels on matplotlib axes, without widgets and without pyplot's global state.

A panel draws its scenery once, when it is made, and then moves its artists to each new reading. The colours are
Okabe and Ito's, which stay apart for every kind of colour vision; each line has a style of its own besides.
"""

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
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

# What one idea looks like, in the picture and in the table beside it.
LINES = {
    "upper": {"color": ORANGE, "linestyle": (0, (5, 2)), "label": "upper bound"},
    "exact": {"color": BLACK, "linestyle": "-", "label": "these scores"},
    "lower": {"color": BLUE, "linestyle": (0, (6, 2, 1.5, 2)), "label": "lower bound"},
    "asymptote": {"color": PURPLE, "linestyle": (0, (1, 1.5)), "label": "large-τ form"},
}
# The triangles touch the root from three sides, so that roots a hair apart show side by side: the lower bound's lies to
# the left, where the error is surely at least the target, the upper bound's to the right, where it is surely at most.
MARKS = {
    "upper": (CARETRIGHTBASE, "▶"),
    "exact": ("o", "●"),
    "lower": (CARETLEFTBASE, "◀"),
    "asymptote": (CARETUP, "▲"),
}


def styled_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, on an Agg canvas of its own."""
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def drawing_style():
    """Return the context in which scenery is made: ours, whatever the user has set in ``rcParams``."""
    return matplotlib.style.context(["default", STYLE])


class ErrorPanel:
    """The smoothing error against tau, between its bounds, with the roots for a target.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    taus : array (k,)
        Where the curves are computed, in 1/nats; they span the horizontal axis.
    """

    ERRORS = (5e-5, 1e2)

    def __init__(self, axes: Axes, taus: np.ndarray):
        """Draw the scenery: scales, labels, legend."""
        axes.set(xscale="log", yscale="log", xlim=(taus[0], taus[-1]), ylim=self.ERRORS)
        axes.set(xlabel="inverse temperature τ (1/nats)", ylabel="smoothing error (nats)")
        self.taus = taus
        (self.band,) = axes.fill([], [], color=GREY, alpha=0.6, linewidth=0)
        self.curves = {name: axes.plot([], [], **look)[0] for name, look in LINES.items()}
        # Wide and underneath: where a bound is attained one sees both.
        self.curves["exact"].set(linewidth=5, zorder=1.9)
        self.target = axes.axhline(1.0, color=GREEN, linewidth=1.5)
        self.now = axes.axvline(1.0, color=GREEN, linewidth=1.5)
        self.here = axes.plot([], [], "o", color="white", markersize=11, markeredgecolor=GREEN, markeredgewidth=3)[0]
        self.here.set(clip_on=False, in_layout=False)
        self.roots = {name: self._mark(axes, name) for name in LINES}
        bold = {"color": GREEN, "fontweight": "bold", "clip_on": True}
        self.names = [axes.text(0, 0, "target ε", ha="right", **bold), axes.text(0, 0, "τ", **bold)]
        axes.figure.legend(handles=list(self.curves.values()), loc="outside upper left", ncols=4)
        lines = [self.band, *self.curves.values(), self.target, self.now]
        self.moving = [*lines, self.here, *self.roots.values(), *self.names]

    @staticmethod
    def _mark(axes, name):
        size, layer = {"exact": (8, 4.1), "asymptote": (15, 3.9)}.get(name, (15, 4))
        look = {"color": LINES[name]["color"], "markersize": size, "markeredgecolor": "white", "zorder": layer}
        return axes.plot([], [], linestyle="none", marker=MARKS[name][0], **look)[0]

    def move(self, *, curves: dict, roots: dict, tau: float, epsilon: float, error: float) -> None:
        """Show the curves (each over ``taus``), the roots there are, the target, and a ring at tau and its error."""
        for name, line in self.curves.items():
            line.set_data(self.taus, curves[name])
        there = np.concatenate([self.taus, self.taus[::-1]])
        self.band.set_xy(np.column_stack([there, np.concatenate([curves["lower"], curves["upper"][::-1]])]))
        for name, mark in self.roots.items():
            mark.set_data(([roots[name]], [epsilon]) if name in roots else ([], []))
        self.target.set_ydata([epsilon, epsilon])
        self.now.set_xdata([tau, tau])
        # A ring below the picture rests on its edge.
        self.here.set_data([tau], [max(error, self.ERRORS[0])])
        self.names[0].set_position((self.taus[-1], epsilon * 1.2))
        at_left = tau < np.sqrt(self.taus[0] * self.taus[-1])
        self.names[1].set(x=tau * (1.1 if at_left else 0.9), y=self.ERRORS[1] / 3, ha="left" if at_left else "right")


class WeightsPanel:
    """The weight of each response, best first: who gets the gradient.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    """

    def __init__(self, axes: Axes):
        """Draw the scenery: one bar a response, whatever their number, over the whole width."""
        axes.set(xlim=(0, 1), ylim=(0, 1.3), xticks=[], yticks=np.linspace(0, 1, 6))
        axes.set(xlabel="responses, best first", ylabel="share of the gradient")
        self.leader = axes.stairs([0], [0, 1], fill=True, color=BLACK)
        self.others = axes.stairs([0], [0, 1], fill=True, facecolor=ORANGE, edgecolor="white", hatch="//")
        self.title = axes.text(0.5, 0.98, "", ha="center", va="top", transform=axes.transAxes)
        self.moving = [self.leader, self.others, self.title]

    def move(self, weights: np.ndarray) -> None:
        """Show these weights, best score first."""
        place = np.arange(weights.size)
        edges = np.ravel([place + 0.08, place + 0.92], order="F") / weights.size
        heights = np.zeros(edges.size - 1)
        heights[::2] = weights
        self.leader.set_data(heights[:1], edges[:2])
        self.others.set_data(np.where(edges[:-1] == edges[0], 0.0, heights), edges)
        self.title.set_text(f"leader {weights[0]:.0%}\nothers {100 * weights[1:].sum():.2g}%")
