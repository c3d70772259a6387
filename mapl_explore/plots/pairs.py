"""The pairs of a set: their margins as a map, the pairs that are taken, and the gradient."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from mapl_explore.plots.axis_limits import round_up
from mapl_explore.plots.style import BLACK, BLUE, DASHED, GREY, ORANGE, Look
from mapl_explore.plots.weights import PushPanel

# Wrong order to right order. White at 0, and lighter ends than those of the palette: black words are read on all of it.
SHADES = LinearSegmentedColormap.from_list("margins", ["#f0883e", "#ffffff", "#5aa9dd"])
LARGEST = 12  # responses on a side that are named, and whose margins are written out


class GridPanel:
    """The margin of every positive against every negative, the hardest pair at the top left; a bar where one is taken.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    positives, negatives : sequence of str
        What the responses are called, hardest first.
    reach : float
        The margin, in nats, at which the colours end.
    """

    def __init__(self, axes: Axes, positives: Sequence[str], negatives: Sequence[str], reach: float):
        """Draw the scenery: a row for each positive, a column for each negative."""
        rows, columns = len(positives), len(negatives)
        axes.set(xlabel="negatives, hardest first", ylabel="positives, hardest first")
        axes.grid(visible=False)
        empty = np.zeros((rows, columns))
        look: Look = {"cmap": SHADES, "vmin": -reach, "vmax": reach, "aspect": "auto", "interpolation": "nearest"}
        self.map = axes.imshow(empty, **look)
        for axis, names in ((axes.xaxis, negatives), (axes.yaxis, positives)):
            axis.set_ticks(range(len(names)) if len(names) <= LARGEST else [], names if len(names) <= LARGEST else [])
            axis.set_tick_params(length=0)
        self.places = np.indices((rows, columns)).reshape(2, -1)[::-1].T
        # Below the middle of its cell, where the number is not.
        self.taken = axes.hlines([], [], [], color=BLACK, linewidth=5 if rows <= 8 else 3)
        written = rows <= LARGEST and columns <= LARGEST
        words: Look = {
            "ha": "center",
            "va": "center",
            "fontsize": 15 if max(rows, columns) <= 5 else min(10, 80 / columns),
            "clip_on": True,
        }
        self.words = [axes.text(x, y, "", **words) for x, y in self.places] if written else []
        self.moving = [self.map, self.taken, *self.words]

    def move(self, margins: np.ndarray, taken: np.ndarray) -> None:
        """Show margins (rows, columns) in nats, and how likely each pair is taken, the likeliest being 1."""
        self.map.set_data(margins)
        self.taken.set_segments(
            [
                [(x - 0.4, y + 0.36), (x - 0.4 + 0.8 * q, y + 0.36)]
                for (x, y), q in zip(self.places, taken.ravel(), strict=True)
            ]
        )
        for word, margin in zip(self.words, margins.ravel(), strict=False):
            word.set_text(_written(margin))


class MarginsPanel:
    """How the margins are spread, what a strategy takes of them, and how steep the loss is at each margin.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    span : (float, float)
        The ends of the horizontal axis, in nats.
    """

    BINS = 60

    def __init__(self, axes: Axes, span: tuple[float, float]):
        """Draw the scenery."""
        axes.set(xlim=span, ylim=(0, 1.06), xlabel="margin of a pair (nats)", ylabel="share of the largest")
        self.edges = _edges(span, self.BINS)
        none = np.zeros(self.edges.size - 1)
        self.all = axes.stairs(none, self.edges, fill=True, color=GREY, label="pairs")
        hatched: Look = {"fill": True, "facecolor": BLUE, "edgecolor": "white", "hatch": "\\\\"}
        self.kept = axes.stairs(none, self.edges, label="taken", **hatched)
        (self.kernel,) = axes.plot([], [], color=BLACK, linewidth=3, label="chance")
        (self.slope,) = axes.plot([], [], color=ORANGE, linestyle=DASHED, label="slope")
        self.moving = [self.all, self.kept, self.kernel, self.slope]

    def move(
        self, margins: np.ndarray, chance: np.ndarray, places: np.ndarray, kernel: np.ndarray | None, slope: np.ndarray
    ) -> None:
        """Show margins (pairs,), the chance of each, and over ``places`` the kernel, if there is one, and the slope."""
        counts = np.histogram(margins, self.edges)[0]
        self.all.set_data(counts / counts.max())
        self.kept.set_data(np.histogram(margins, self.edges, weights=chance)[0] / counts.max())
        self.kernel.set_data((places, kernel) if kernel is not None else ([], []))
        self.slope.set_data(places, slope)


class DrawPanel(PushPanel):
    """The gradient when one pair is drawn: bars for its mean, whiskers for the spread of a single draw.

    Parameters
    ----------
    axes, names, reach
        As for :class:`PushPanel`.
    """

    def __init__(self, axes: Axes, names: Sequence[str], reach: float):
        """Draw the scenery, and the whiskers over the bars."""
        super().__init__(axes, names, reach)
        axes.set_ylabel("gradient of a drawn pair")
        self.whiskers = axes.vlines([], [], [], color=BLACK, linewidth=2, label="spread of one draw")
        self.moving.insert(3, self.whiskers)

    def move(  # type: ignore[override]  # each panel is moved by what it shows
        self, mean: np.ndarray, spread: np.ndarray, compared: np.ndarray
    ) -> None:
        """Show the mean and the spread of each response, and the mean of another strategy as strokes."""
        super().move([mean, compared])
        places = (np.arange(mean.size) + 0.5) / mean.size
        ends = np.stack([mean - spread, mean + spread], axis=-1)
        self.whiskers.set_segments([np.column_stack([[x, x], pair]) for x, pair in zip(places, ends, strict=True)])


def _edges(span: tuple[float, float], most: int) -> np.ndarray:
    """Return edges of at most about so many bins over a span, each around a multiple of a round width.

    A band ends at round margins, and a pair at its end counts as taken: its bin must not lie on the other side.

    >>> _edges((-1.0, 2.0), 6)
    array([-1.25, -0.75, -0.25,  0.25,  0.75,  1.25,  1.75,  2.25])
    """
    width = round_up((span[1] - span[0]) / most)
    first, last = math.floor(span[0] / width), math.ceil(span[1] / width)
    return (np.arange(first, last + 2) - 0.5) * width


def _written(margin: float) -> str:
    """Return a margin in four places or fewer, so that twelve stand side by side."""
    return (f"{margin:.0f}" if abs(margin) >= 9.95 else f"{round(margin, 1) + 0.0:.1f}").replace("-", "−")
