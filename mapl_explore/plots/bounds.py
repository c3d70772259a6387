"""The smoothing error between its bounds, against the inverse temperature or against the gap."""

from collections.abc import Mapping

import numpy as np
<<<<<<< HEAD

from mapl_explore.plots.looks import BAND, FINE, LINES, MARKS, NOW
from mapl_explore.plots.panels import Axis, Band, Curve, Drag, Panel, Points, Rule, Style, Words, here

BOUNDS = ("exact", "upper", "lower", "asymptote")
POST = {"style": Style("sky", FINE), "label": "the post's"}
BOTTOM = 5e-5  # nats, the lower end of the vertical axis
AXES = {"tau": ("inverse temperature τ (1/nats)", "log"), "gap": ("gap δ (nats)", "linear")}
SIZES = {"exact": 8.0}  # points, of the mark of a root; the others are larger and lie around it
=======
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mapl_explore.plots.style import GREEN, GREY, LINES, MARKS, SKY, Look, ring

BOUNDS = ("upper", "exact", "lower", "asymptote")
POST: Look = {"color": SKY, "linestyle": (0, (3, 1, 1, 1)), "label": "the post's"}
AXES: dict[str, Look] = {
    "tau": {"xscale": "log", "xlabel": "inverse temperature τ (1/nats)"},
    "gap": {"xscale": "linear", "xlabel": "gap δ (nats)"},
}
>>>>>>> main


def error_panel(
    *,
    places: np.ndarray,
    curves: Mapping[str, np.ndarray],
    roots: Mapping[str, float],
    now: float,
    epsilon: float,
    error: float,
    against: str = "tau",
    top: float = 1e2,
) -> Panel:
    """Return the smoothing error, its bounds and its large-tau form over tau or the gap, with the target and its roots.

    Parameters
    ----------
    places : array (k,)
        Where the curves are computed, of tau (1/nats) or of the gap (nats); they span the horizontal axis.
    curves : mapping of arrays (k,)
        ``exact``, ``upper``, ``lower``, ``asymptote``, in nats, and ``post`` where it is shown.
    roots : mapping of float
        The tau at which each is ``epsilon``; shown against tau only.
    now, epsilon, error : float
        Where the settings are: on the horizontal axis, the target, and the error there, in nats.
    against : {"tau", "gap"}
        What the horizontal axis shows.
    top : float
        The upper end of the vertical axis, in nats.

    Examples
    --------
    >>> places = np.array([0.1, 1.0, 10.0])
    >>> curves = dict.fromkeys(("exact", "upper", "lower", "asymptote"), 1 / places)
    >>> panel = error_panel(places=places, curves=curves, roots={"exact": 2.0}, now=5.0, epsilon=0.5, error=0.2)
    >>> panel["exact root"].x
    array([2.])
    """
<<<<<<< HEAD
    label, scale = AXES[against]
    x, y = Axis(label, places[0], places[-1], scale), Axis("smoothing error E (nats)", BOTTOM, top, "log")
    looks = {name: LINES[name] for name in BOUNDS} | ({"post": POST} if "post" in curves else {})
    return Panel(
        name="the smoothing error and its bounds",
        x=x,
        y=y,
        share=2.6,
        marks=[
            Band(name="between the bounds", style=BAND, x=places, low=curves["lower"], high=curves["upper"]),
            *(Curve(name=name, x=places, y=curves[name], **look) for name, look in looks.items()),
            Rule(name="target", style=NOW, at=epsilon, along="y", drags=(Drag("epsilon", "y"),)),
            Rule(name="now", style=NOW, at=now, along="x", drags=(Drag(against, "x"),)),
            *(_root(name, tau, epsilon) for name, tau in roots.items() if against == "tau"),
            here(x, y, now, error),
            _target_name(x, y, epsilon, now),
            _place_name(x, y, now, "τ" if against == "tau" else "δ"),
        ],
    )


def _root(name: str, tau: float, epsilon: float) -> Points:
    style = Style(LINES[name]["style"].color, width=SIZES.get(name, 11.0))
    return Points(name=f"{name} root", style=style, x=np.array([tau]), y=np.array([epsilon]), shape=MARKS[name][0])


def _target_name(x: Axis, y: Axis, epsilon: float, now: float) -> Words:
    """Name the target above its line, below where that is near the top, at the end that the curves leave free."""
    upright = "above" if y.fraction(epsilon) < 0.85 else "below"
    return Words(
        name="target's name",
        style=Style("green", width=16),
        x=np.array([x.at(0.985)]),
        y=np.array([y.at(y.fraction(epsilon) + (0.015 if upright == "above" else -0.015))]),
        texts=["target ε"],
        across="right",
        upright=upright,
    )


def _place_name(x: Axis, y: Axis, now: float, text: str) -> Words:
    """Name the line at the settings, on the side that has room."""
    at_left = x.fraction(now) < 0.5
    place = x.at(float(x.fraction(now)) + (0.01 if at_left else -0.01))
    across = "left" if at_left else "right"
    style = Style("green", width=16)
    return Words(
        name="place's name", style=style, x=np.array([place]), y=np.array([y.at(0.93)]), texts=[text], across=across
    )
=======

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
>>>>>>> main
