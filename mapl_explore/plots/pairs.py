"""The pairs of a set: their margins as a map, how margins are spread, and what is taken of them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mapl_explore.plots.axis_limits import round_up
from mapl_explore.plots.looks import DASHED, NOW, UP
from mapl_explore.plots.panels import Axis, Boxes, Curve, Drag, Mark, Panel, Rule, Segments, Style, Words, named_ticks
from mapl_explore.plots.rewards import reward_cells
from mapl_explore.plots.weights import push_panel, strokes
from mapl_explore.words import N_, _

LARGEST = 12  # responses on a side whose margins are written out
BINS = 60


def grid_panel(
    margins: np.ndarray,
    taken: np.ndarray,
    positives: Sequence[str],
    negatives: Sequence[str],
    reach: float,
    rewards: np.ndarray | None = None,
) -> Panel:
    """Return the margin of each pair, the hardest at the top left, with a bar where one is taken.

    Parameters
    ----------
    margins : array (rows, columns)
        In nats: a row for each positive, a column for each negative.
    taken : array (rows, columns)
        How likely each pair is taken, the likeliest being 1.
    positives, negatives : sequence of str
        What the responses are called, hardest first.
    reach : float
        The margin, in nats, at which the colours end.
    rewards : array (rows + columns,), optional
        Of the positives and then of the negatives, shown in cells at the left of the rows and below the columns.

    Examples
    --------
    >>> panel = grid_panel(np.array([[-1.0, 2.0]]), np.array([[1.0, 0.5]]), ["p1"], ["n2", "n1"], 4.0)
    >>> panel["margins"].texts, panel["map"].shade
    (['−1.0', '2.0'], array([-0.25,  0.5 ]))
    """
    rows, columns = margins.shape
    y, x = (place.ravel() for place in np.indices(margins.shape))
    cells: dict[str, Any] = {"left": x + 0.01, "right": x + 0.99, "bottom": y + 0.99, "top": y + 0.01}
    # Below the middle of its cell, where the number is not.
    bar: dict[str, Any] = {"x": x + 0.1, "to_x": x + 0.1 + 0.8 * taken.ravel(), "y": y + 0.86, "to_y": y + 0.86}
    type_size = 16 if max(rows, columns) <= 5 else min(10, 80 / columns)
    texts = [_written(margin) for margin in margins.ravel()] if max(rows, columns) <= LARGEST else []
    wide, high = (0.0, 0.0) if rewards is None else (max(0.6, columns / 8), max(0.4, rows / 10))
    return Panel(
        name=_("the margin of each pair"),
        x=Axis(_("negatives, hardest first"), -wide, columns, ticks=named_ticks(negatives, columns)),
        y=Axis(_("positives, hardest first"), rows + high, 0.0, ticks=named_ticks(positives, rows)),
        share=1.1,
        grid="",
        marks=[
            Boxes(name="map", shade=margins.ravel() / reach, scale="margins", **cells),
            Segments(name="bars", style=Style(width=5 if rows <= 8 else 3), **bar),
            Words(
                name="margins",
                style=Style(width=type_size),
                x=x[: len(texts)] + 0.5,
                y=y[: len(texts)] + 0.5,
                texts=texts,
            ),
            *([] if rewards is None else _at_the_edges(rewards, rows, columns, wide, high)),
        ],
    )


def margins_panel(
    margins: np.ndarray,
    chance: np.ndarray,
    *,
    places: np.ndarray,
    slope: np.ndarray,
    kernel: np.ndarray | None = None,
    center: float = 0.0,
    width: float = 0.0,
) -> Panel:
    """Return how margins are spread, what is taken of them, and how steep the loss is at each margin.

    Parameters
    ----------
    margins, chance : array (pairs,)
        In nats, and how likely each pair is taken.
    places : array (k,)
        Margins in nats; they span the horizontal axis.
    slope : array (k,)
        The size of the slope of the loss at the places, over the largest.
    kernel : array (k,), optional
        The chance by margin; its middle and its edges are dragged.
    center, width : float
        The middle of the kernel, and how far its edges lie from it, in nats.

    Examples
    --------
    >>> places = np.array([-2.0, 0.0, 4.0])
    >>> chance, ones = np.array([1.0, 0.5, 0.0]), np.ones(3)
    >>> panel = margins_panel(places, chance, places=places, slope=ones, kernel=ones, width=1.0)
    >>> panel["right edge"].at, panel["right edge"].drags[0].knob
    (1.0, 'width')
    """
    x = Axis(_("margin of a pair (nats)"), places[0], places[-1])
    edges = _edges((places[0], places[-1]), BINS)
    counts = np.histogram(margins, edges)[0]
    kept = np.histogram(margins, edges, weights=chance)[0]
    bins: dict[str, Any] = {"left": edges[:-1], "right": edges[1:], "bottom": np.zeros(counts.size)}
    return Panel(
        name=_("how the margins are spread"),
        x=x,
        y=Axis(_("height (1 = largest)"), 0.0, 1.06),
        share=1.2,
        marks=[
            Boxes(name="pairs", label=_("pairs"), style=Style("grey"), top=counts / counts.max(), **bins),
            Boxes(name="taken", label=_("taken"), style=UP, top=kept / counts.max(), **bins),
            Curve(name="slope", label=_("slope"), style=Style("orange", DASHED), x=places, y=slope),
            *([] if kernel is None else _kernel(x, places, kernel, center, width)),
        ],
    )


def drawn_panel(
    gradient: np.ndarray,
    compared: np.ndarray,
    names: Sequence[str],
    most: float,
    rewards: np.ndarray | None = None,
) -> Panel:
    """Return the gradient when one pair is drawn: bars for its mean, whiskers for the spread of a single draw.

    Parameters
    ----------
    gradient : array (2, n)
        Its mean and its spread, per response.
    compared : array (n,)
        The mean of random pairs, shown as strokes.
    names, most, rewards
        As for :func:`push_panel`.

    Examples
    --------
    >>> panel = drawn_panel(np.array([[-0.5, 0.5], [0.25, 0.5]]), np.zeros(2), ["p1", "n1"], 1.0)
    >>> panel["spread"].y, panel["spread"].to_y
    (array([-0.75,  0.  ]), array([-0.25,  1.  ]))
    """
    mean, spread = gradient
    middle = (np.arange(mean.size) + 0.5) / mean.size
    ends: dict[str, Any] = {"x": middle, "to_x": middle, "y": mean - spread, "to_y": mean + spread}
    others = [
        Segments(name="spread", label=_("spread of one draw"), style=Style(width=2), **ends),
        strokes("random", compared, Style("purple"), _("random pairs")),
    ]
    return push_panel(mean, names, most, others, N_("gradient of a drawn pair"), rewards)


def _at_the_edges(rewards: np.ndarray, rows: int, columns: int, wide: float, high: float) -> list[Mark]:
    """Return the cells of rewards: of each row to the left of the map, of each column below it."""
    left = np.concatenate([np.full(rows, -wide), np.arange(columns) + 0.01])
    right = np.concatenate([np.full(rows, -0.1 * wide), np.arange(columns) + 0.99])
    top = np.concatenate([np.arange(rows) + 0.01, np.full(columns, rows + 0.1 * high)])
    bottom = np.concatenate([np.arange(rows) + 0.99, np.full(columns, rows + high)])
    return reward_cells(rewards, left, right, bottom, top, numbered=max(rows, columns) <= 8)


def _kernel(x: Axis, places: np.ndarray, kernel: np.ndarray, center: float, width: float) -> list[Mark]:
    """Return its curve and the lines by which it is dragged; one beyond the axis is taken hold of at its end."""
    drags = {
        "middle": (center, Drag("center", "x")),
        "left edge": (center - width, Drag("width", "x", -1.0, center)),
        "right edge": (center + width, Drag("width", "x", 1.0, -center)),
    }
    rules = [
        Rule(name=name, style=NOW, at=x.inside(place), along="x", drags=(drag,))
        for name, (place, drag) in drags.items()
    ]
    return [Curve(name="chance", label=_("chance"), style=Style(width=3), x=places, y=kernel), *rules]


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
