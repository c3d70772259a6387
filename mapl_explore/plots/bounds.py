"""The smoothing error between its bounds, against the inverse temperature or against the gap."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mapl_explore.plots.style import GREEN, GREY, LINES, MARKS, SKY, Look, ring

BOUNDS = ("upper", "exact", "lower", "asymptote")
POST: Look = {"color": SKY, "linestyle": (0, (3, 1, 1, 1)), "label": "the post's"}
AXES: dict[str, Look] = {
    "tau": {"xscale": "log", "xlabel": "inverse temperature τ (1/nats)"},
    "gap": {"xscale": "linear", "xlabel": "gap δ (nats)"},
}


class ErrorPanel:
    """The smoothing error, its bounds and its large-tau form; against tau also the roots for a target.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    places : array (k,)
        Where the curves are computed, of tau (1/nats) or of the gap (nats); they span the horizontal axis.
    against : {"tau", "gap"}
        Which of the two.
    post : bool
        Whether the post's formula is shown as well.
    top : float
        The upper end of the vertical axis, in nats.
    """

    BOTTOM = 5e-5

    def __init__(self, axes: Axes, places: np.ndarray, against: str = "tau", post: bool = False, top: float = 1e2):
        """Draw the scenery: scales, labels, legend."""
        axes.set(yscale="log", xlim=(places[0], places[-1]), ylim=(self.BOTTOM, top), **AXES[against])
        axes.set(ylabel="smoothing error E (nats)")
        self.places, self.against, self.top = places, against, top
        (self.band,) = axes.fill([], [], color=GREY, alpha=0.6, linewidth=0)
        looks = {name: LINES[name] for name in BOUNDS} | ({"post": POST} if post else {})
        self.curves = {name: axes.plot([], [], **look)[0] for name, look in looks.items()}
        # Wide and underneath: where a bound is attained one sees both.
        self.curves["exact"].set(linewidth=5, zorder=1.9)
        self.target = axes.axhline(1.0, color=GREEN, linewidth=1.5)
        self.now = axes.axvline(places[-1], color=GREEN, linewidth=1.5)
        self.here = ring(axes)
        self.roots = {name: root_mark(axes, name) for name in BOUNDS} if against == "tau" else {}
        bold: Look = {"color": GREEN, "fontweight": "bold", "clip_on": True}
        here = "τ" if against == "tau" else "δ"
        self.names = [axes.text(places[-1], 1, "target ε", ha="right", **bold), axes.text(places[-1], 1, here, **bold)]
        axes.figure.legend(handles=list(self.curves.values()), loc="outside upper left", ncols=len(looks))
        lines = [self.band, *self.curves.values(), self.target, self.now]
        self.moving = [*lines, self.here, *self.roots.values(), *self.names]

    def move(self, *, curves: dict, roots: dict, now: float, epsilon: float, error: float) -> None:
        """Show the curves (each over ``places``), the roots there are, the target, and a ring where we are."""
        for name, line in self.curves.items():
            line.set_data(self.places, curves[name])
        outline = np.concatenate([self.places, self.places[::-1]])
        self.band.set_xy(np.column_stack([outline, np.concatenate([curves["lower"], curves["upper"][::-1]])]))
        for name, mark in self.roots.items():
            mark.set_data(([roots[name]], [epsilon]) if name in roots else ([], []))
        self.target.set_ydata([epsilon, epsilon])
        self.now.set_xdata([now, now])
        # A ring beyond the picture rests on its edge.
        self.here.set_data([now], [min(max(error, self.BOTTOM), self.top)])
        # By its lower right end; where the target is near the top, below its line.
        self.names[0].set(y=epsilon * 1.2 if epsilon < self.top / 4 else epsilon / 2.2)
        self._name_place(now)

    def _name_place(self, now: float) -> None:
        """Write the name of the place next to its line, on the side that has room."""
        first, last = self.places[0], self.places[-1]
        if self.against == "tau":
            at_left = now < np.sqrt(first * last)
            x = now * (1.1 if at_left else 0.9)
        else:
            at_left = now < (first + last) / 2
            x = now + (0.01 if at_left else -0.01) * (last - first)
        self.names[1].set(x=x, y=self.top / 3, ha="left" if at_left else "right")


def root_mark(axes: Axes, name: str) -> Line2D:
    """Return the mark of a root, in the colour and shape of its idea."""
    size, layer = {"exact": (8, 4.1), "asymptote": (15, 3.9)}.get(name, (15, 4))
    look = {"color": LINES[name]["color"], "markersize": size, "markeredgecolor": "white", "zorder": layer}
    return axes.plot([], [], linestyle="none", marker=MARKS[name][0], **look)[0]
