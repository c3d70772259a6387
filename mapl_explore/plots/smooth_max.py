"""The scores of a set with their hard and their smooth maximum or minimum, and how the smooth one comes near."""

import numpy as np
from matplotlib.axes import Axes

from mapl_explore.plots.style import BLACK, BLUE, DASHED, GREEN, GREY, ORANGE, Look, ring

HARD: Look = {"color": BLACK, "linestyle": "-", "linewidth": 2.5}
SOFT: Look = {"color": BLUE, "linestyle": DASHED, "linewidth": 3.5}


class ScoresPanel:
    """One mark a response, the hard and the smooth maximum as lines, the smoothing error shaded between them.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    n : int
        How many responses.
    span : (float, float)
        The ends of the vertical axis, in nats.
    side : {"max", "min"}
        Which of the two.
    """

    ROOM = 3.4  # places

    def __init__(self, axes: Axes, n: int, span: tuple[float, float], side: str):
        """Draw the scenery: one place a response, and room to the right for the names of the lines."""
        axes.set(xlim=(0.4, n + self.ROOM), ylim=span, xlabel="response", ylabel="score (nats)")
        axes.set_xticks(range(1, n + 1), [f"s{number}" for number in range(1, n + 1)])
        axes.grid(axis="x", visible=False)
        self.places, self.span, self.side = np.arange(1, n + 1), span, side
        self.error = axes.axhspan(0, 1, color=GREY, alpha=0.8, linewidth=0)
        self.hard, self.soft = axes.axhline(0, **HARD), axes.axhline(0, **SOFT)
        look: Look = {"linestyle": "none", "markersize": 13, "markeredgecolor": "white"}
        (self.scores,) = axes.plot([], [], "D", color=ORANGE, **look)
        (self.leader,) = axes.plot([], [], "o", color=BLACK, **look | {"markersize": 15})
        words: Look = {"ha": "right", "fontweight": "bold", "x": n + self.ROOM - 0.05}
        self.names = [axes.text(y=0, s="", color=BLACK, **words), axes.text(y=0, s="", color=BLUE, **words)]
        self.moving = [self.error, self.hard, self.soft, self.scores, self.leader, *self.names]

    def move(self, scores: np.ndarray, leader: int, soft: float) -> None:
        """Show these scores, which of them leads, and their smooth maximum or minimum."""
        hard, sharp = scores[leader], 1 if self.side == "max" else -1
        self.scores.set_data(self.places, scores)
        self.leader.set_data([self.places[leader]], [hard])
        seen = np.clip(soft, *self.span)
        self.error.set(y=min(hard, seen), height=abs(seen - hard))
        self.hard.set_ydata([hard, hard])
        self.soft.set_ydata([soft, soft])
        # The smooth one lies beyond the hard one, so their names never meet; one beyond the picture stays at its edge.
        room = 0.015 * (self.span[1] - self.span[0])
        inside = np.clip(soft, self.span[0] + 6 * room, self.span[1] - 6 * room)
        beyond = "" if seen == soft else " ↑" if sharp > 0 else " ↓"
        self.names[0].set(y=hard - sharp * room, va="top" if sharp > 0 else "bottom")
        self.names[1].set(y=inside + sharp * room, va="bottom" if sharp > 0 else "top")
        self.names[0].set_text(f"{self.side} {hard:.3g}".replace("-", "−"))
        self.names[1].set_text(f"smooth {self.side} {soft:.3g}{beyond}".replace("-", "−"))


class ApproachPanel:
    """The smooth maximum or minimum against tau, on the same vertical axis as the scores.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw; it shares its vertical axis with a :class:`ScoresPanel`.
    taus : array (k,)
        Where the curve is computed, in 1/nats.
    """

    def __init__(self, axes: Axes, taus: np.ndarray):
        """Draw the scenery."""
        axes.set(xscale="log", xlim=(taus[0], taus[-1]), xlabel="inverse temperature τ (1/nats)")
        axes.set_title("shaded: the smoothing error", fontsize=16)
        axes.tick_params(labelleft=False)
        self.axes, self.taus = axes, taus
        (self.band,) = axes.fill([], [], color=GREY, alpha=0.8, linewidth=0)
        self.hard = axes.axhline(0, **HARD)
        (self.soft,) = axes.plot([], [], **SOFT)
        self.now = axes.axvline(taus[0], color=GREEN, linewidth=1.5)
        self.here = ring(axes)
        self.moving = [self.band, self.hard, self.soft, self.now, self.here]

    def move(self, hard: float, curve: np.ndarray, tau: float, soft: float) -> None:
        """Show the curve over ``taus``, what it comes near to, and a ring at tau."""
        self.hard.set_ydata([hard, hard])
        self.soft.set_data(self.taus, curve)
        outline = np.concatenate([self.taus, self.taus[::-1]])
        self.band.set_xy(np.column_stack([outline, np.concatenate([curve, np.full(curve.size, hard)])]))
        self.now.set_xdata([tau, tau])
        self.here.set_data([tau], [np.clip(soft, *self.axes.get_ylim())])
