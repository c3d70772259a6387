"""What is left of the smoothing error when it is computed the obvious way, in each floating-point type."""

import numpy as np
from matplotlib.axes import Axes

from mapl_explore.plots.style import BLUE, DASH_DOT, DASHED, DOTTED, GREEN, GREY, ORANGE, PURPLE, SKY, Look, ring

DTYPES: dict[str, Look] = {
    "bfloat16": {"color": SKY, "linestyle": DOTTED, "linewidth": 3.5},
    "float16": {"color": ORANGE, "linestyle": DASHED},
    "float32": {"color": BLUE, "linestyle": DASH_DOT},
    "float64": {"color": PURPLE, "linestyle": "-"},
}


class NaivePanel:
    """The smoothing error as each type computes it the obvious way, over the true one, against tau.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    taus : array (k,)
        Where the curves are computed, in 1/nats.
    """

    ERRORS = (1e-20, 1e2)

    def __init__(self, axes: Axes, taus: np.ndarray):
        """Draw the scenery: scales, labels, legend."""
        axes.set(xscale="log", yscale="log", xlim=(taus[0], taus[-1]), ylim=self.ERRORS)
        axes.set(xlabel="inverse temperature τ (1/nats)", ylabel="smoothing error E (nats)")
        self.taus = taus
        (self.truth,) = axes.plot([], [], color=GREY, linewidth=11, label="true smoothing error", solid_capstyle="butt")
        self.curves = {name: axes.plot([], [], label=name, **look)[0] for name, look in DTYPES.items()}
        self.lies = {
            name: axes.plot([], [], "X", color=look["color"], markersize=13, markeredgecolor="white")[0]
            for name, look in DTYPES.items()
        }
        self.now = axes.axvline(taus[-1], color=GREEN, linewidth=1.5)
        self.here = ring(axes)
        axes.figure.legend(handles=[self.truth, *self.curves.values()], loc="outside upper left", ncols=5)
        self.moving = [self.truth, *self.curves.values(), *self.lies.values(), self.now, self.here]

    def move(self, *, truth: np.ndarray, curves: dict, lies: dict, tau: float, error: float) -> None:
        """Show the true error and each type's over ``taus``, and where each is first off by a tenth."""
        self.truth.set_data(self.taus, truth)
        for name, line in self.curves.items():
            line.set_data(self.taus, curves[name])
            place = lies[name]
            self.lies[name].set_data(([self.taus[place]], [truth[place]]) if place is not None else ([], []))
        self.now.set_xdata([tau, tau])
        self.here.set_data([tau], [np.clip(error, *self.ERRORS)])


class DigitsPanel:
    """How many decimal digits are right, for each type: computed the obvious way, and by this library.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    """

    MOST = 17

    def __init__(self, axes: Axes):
        """Draw the scenery: two bars a type."""
        axes.set(xlim=(0, self.MOST), ylim=(len(DTYPES) - 0.4, -1.15), xlabel="right digits", xticks=range(0, 17, 4))
        axes.set_yticks(range(len(DTYPES)), DTYPES)
        axes.grid(axis="y", visible=False)
        place = np.arange(len(DTYPES))
        none = np.zeros(len(DTYPES))
        self.ours = axes.barh(place - 0.2, none, 0.36, color=BLUE, label="this library")
        self.naive = axes.barh(
            place + 0.2, none, 0.36, color=ORANGE, hatch="//", edgecolor="white", label="obvious way"
        )
        axes.legend(loc="upper right", ncols=2, borderpad=0, handlelength=1.2, columnspacing=1, borderaxespad=0)
        self.moving = [*self.ours, *self.naive]

    def move(self, ours: dict, naive: dict) -> None:
        """Show the digits, by type."""
        for bars, digits in ((self.ours, ours), (self.naive, naive)):
            for bar, name in zip(bars, DTYPES, strict=True):
                bar.set_width(min(digits[name], self.MOST))
