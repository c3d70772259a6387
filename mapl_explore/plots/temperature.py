"""The inverse temperature that a target asks for, over the gap, and what the others then get of the gradient."""

import numpy as np
from matplotlib.axes import Axes

from mapl_explore.plots.style import BLUE, DARK_ORANGE, GREEN, GREY, LINES, ORANGE, Look, ring

RULES = ("upper", "exact", "lower", "asymptote", "share")


class RootsPanel:
    """Which tau meets a target, over the gap; beyond the bounds' roots a promise holds, between them it depends.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    gaps : array (k,)
        Where the curves are computed, in nats.
    span : (float, float)
        The ends of the vertical axis, in 1/nats.
    """

    def __init__(self, axes: Axes, gaps: np.ndarray, span: tuple[float, float]):
        """Draw the scenery: scales, labels, legend."""
        axes.set(xscale="log", yscale="log", xlim=(gaps[0], gaps[-1]), ylim=span)
        axes.set(xlabel="gap δ (nats)", ylabel="τ (1/nats)")
        self.gaps, self.span = gaps, span
        fills = {"most": (ORANGE, 0.10), "least": (BLUE, 0.10), "open": (GREY, 0.75)}
        self.regions = {
            name: axes.fill([], [], color=color, alpha=alpha, linewidth=0)[0] for name, (color, alpha) in fills.items()
        }
        self.curves = {name: axes.plot([], [], **LINES[name])[0] for name in RULES}
        self.curves["exact"].set(linewidth=5, zorder=1.9)
        self.now = axes.axvline(gaps[-1], color=GREEN, linewidth=1.5)
        self.here = ring(axes)
        words: Look = {"transform": axes.transAxes, "fontweight": "bold"}
        # They do not move, but lie above what does.
        self.words = [
            axes.text(0.98, 0.97, "E surely ≤ ε", color=DARK_ORANGE, ha="right", va="top", **words),
            axes.text(0.02, 0.03, "E surely ≥ ε", color=BLUE, **words),
        ]
        axes.figure.legend(handles=list(self.curves.values()), loc="outside upper left", ncols=5)
        self.moving = [*self.regions.values(), *self.curves.values(), *self.words, self.now, self.here]

    def move(self, *, curves: dict, gap: float, here: float | None) -> None:
        """Show the curves (each over ``gaps``) and a ring at the rule in use."""
        for name, line in self.curves.items():
            line.set_data(self.gaps, curves[name])
        bottom, top = (np.full(self.gaps.size, end) for end in self.span)
        self._fill("most", curves["upper"], top)
        self._fill("least", bottom, curves["lower"])
        self._fill("open", curves["lower"], curves["upper"])
        self.now.set_xdata([gap, gap])
        self.here.set_data(([gap], [np.clip(here, *self.span)]) if here is not None else ([], []))

    def _fill(self, name: str, low: np.ndarray, high: np.ndarray) -> None:
        outline = np.concatenate([self.gaps, self.gaps[::-1]])
        edge = np.concatenate([low, high[::-1]])
        # A polygon of NaN draws nothing: there is no root anywhere in a set of one.
        self.regions[name].set_xy(np.column_stack([outline, edge]))


class OthersPanel:
    """The share of the gradient that all but the leader get, over the gap, at the tau of each rule.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    gaps : array (k,)
        Where the curves are computed, in nats.
    """

    BOTTOM = 1e-5

    def __init__(self, axes: Axes, gaps: np.ndarray):
        """Draw the scenery: both scales logarithmic, since the shares fall over decades."""
        axes.set(xscale="log", yscale="log", xlim=(gaps[0], gaps[-1]), ylim=(self.BOTTOM, 1.0))
        axes.set(xlabel="gap δ (nats)", ylabel="share of the others")
        axes.set_yticks([1, 0.1, 0.01, 1e-3, 1e-4, 1e-5], ["100%", "10%", "1%", "0.1%", "0.01%", "0.001%"])
        self.gaps = gaps
        self.curves = {name: axes.plot([], [], **LINES[name])[0] for name in RULES}
        self.curves["exact"].set(linewidth=5, zorder=1.9)
        self.now = axes.axvline(gaps[-1], color=GREEN, linewidth=1.5)
        self.here = ring(axes)
        self.moving = [*self.curves.values(), self.now, self.here]

    def move(self, *, curves: dict, gap: float, here: float | None) -> None:
        """Show the curves (each over ``gaps``) and a ring at the rule in use."""
        for name, line in self.curves.items():
            line.set_data(self.gaps, curves[name])
        self.now.set_xdata([gap, gap])
        self.here.set_data(([gap], [np.clip(here, self.BOTTOM, 1)]) if here is not None else ([], []))
