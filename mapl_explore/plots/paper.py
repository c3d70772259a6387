"""Panels drawn with matplotlib: the picture that a notebook stores, and the one for a paper."""

import io
import math
from collections.abc import Sequence
from functools import singledispatch

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.markers import CARETDOWN, CARETLEFT, CARETRIGHT, CARETUP
from matplotlib.patches import Rectangle
from PIL import Image

from mapl_explore.plots.looks import PALETTE, SCALES
from mapl_explore.plots.panels import (
    Band,
    Boxes,
    Curve,
    Mark,
    Panel,
    Points,
    Rule,
    Segments,
    Style,
    Words,
    key_of,
    own_key_of,
)
from mapl_explore.plots.style import Look, drawing_style, styled_figure

SHAPES = {
    "circle": "o",
    "ring": "o",
    "diamond": "D",
    "cross": "X",
    "left": CARETLEFT,
    "right": CARETRIGHT,
    "up": CARETUP,
    "down": CARETDOWN,
}
UPRIGHT = {"above": "bottom", "middle": "center", "below": "top"}
ACROSS = {"left": "left", "middle": "center", "right": "right"}
MAPS = {name: LinearSegmentedColormap.from_list(name, [light for light, _ in tones]) for name, tones in SCALES.items()}
STEPS = np.linspace(0, 1, 4)  # of a scale in a key


def figure_of(panels: Sequence[Panel], width: float = 13.0, height: float = 4.4) -> Figure:
    """Return the panels side by side on a figure of this size in inches, on a canvas of its own.

    Examples
    --------
    >>> from mapl_explore.plots.panels import Axis, Curve, Panel
    >>> line = Curve(name="line", x=np.array([0.0, 1.0]), y=np.array([0.0, 1.0]))
    >>> len(figure_of([Panel("a line", Axis("x", 0, 1), Axis("y", 0, 1), [line])]).axes)
    1
    """
    with drawing_style():
        figure = styled_figure(width, height)
        shares = [panel.share for panel in panels]
        for axes, panel in zip(
            figure.subplots(1, len(panels), width_ratios=shares, squeeze=False)[0], panels, strict=True
        ):
            _draw_panel(axes, panel)
        _draw_key(figure, panels)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    axes.set(xlim=(panel.x.low, panel.x.high), xscale=panel.x.scale, xlabel=panel.x.label)
    axes.set(ylim=(panel.y.low, panel.y.high), yscale=panel.y.scale, ylabel=panel.y.label)
    for axis, ticks in ((axes.xaxis, panel.x.ticks), (axes.yaxis, panel.y.ticks)):
        axis.set_ticks([place for place, _ in ticks], [text for _, text in ticks])
        axis.set_ticks([], minor=True)
    axes.xaxis.grid("x" in panel.grid)
    axes.yaxis.grid("y" in panel.grid)
    if panel.title:
        axes.set_title(panel.title, fontsize=16)
    for layer, mark in enumerate(panel.marks):
        for artist in artists_of(mark, axes):
            artist.set(gid=mark.name, zorder=2 + layer / len(panel.marks), in_layout=False)
    own = own_key_of(panel)
    if own:
        look: Look = {"fontsize": 13, "frameon": True, "framealpha": 0.8, "edgecolor": "none"}
        axes.legend(*_samples(axes, own), loc="best", ncols=1 + len(own) // 4, **look)


def _draw_key(figure: Figure, panels: Sequence[Panel]) -> None:
    marks = key_of(panels)
    if marks:
        most = 8 if max(len(mark.label) for mark in marks) <= 4 else 6
        columns = math.ceil(len(marks) / math.ceil(len(marks) / most))
        samples = _samples(figure, marks)
        look: Look = {"handlelength": 2.2, "columnspacing": 1.3, "handler_map": {tuple: HandlerTuple(None, pad=0)}}
        figure.legend(*samples, loc="outside upper left", ncols=columns, **look)


def _samples(where: Axes | Figure, marks: Sequence[Mark]) -> tuple[list, list[str]]:
    """Return the first artist of each mark, or the steps of its scale, and the labels, for a key."""
    named = {artist.get_gid(): artist for artist in reversed(where.findobj())}
    scales = {name: tuple(Rectangle((0, 0), 1, 1, color=tone) for tone in MAPS[name](STEPS)) for name in MAPS}
    samples = [scales.get(getattr(mark, "scale", ""), named[mark.name]) for mark in marks]
    return samples, [mark.label for mark in marks]


@singledispatch
def artists_of(mark: Mark, axes: Axes) -> list:
    """Add a mark to the axes, and return its artists."""
    raise TypeError(f"mark must be one of mapl_explore.plots.panels, not {type(mark).__name__}")


@artists_of.register
def _(mark: Curve, axes: Axes) -> list:
    return axes.plot(mark.x, mark.y, **_line(mark.style))


@artists_of.register
def _(mark: Band, axes: Axes) -> list:
    return [axes.fill_between(mark.x, mark.low, mark.high, **_fill(mark.style))]


@artists_of.register
def _(mark: Boxes, axes: Axes) -> list:
    left, right, bottom, top = np.broadcast_arrays(mark.left, mark.right, mark.bottom, mark.top)
    corners = [np.stack(corner, axis=-1) for corner in ((left, bottom), (right, bottom), (right, top), (left, top))]
    boxes = PolyCollection(list(np.stack(corners, axis=1)), **_fill(mark.style))
    if mark.shade is not None:
        boxes.set_facecolor(MAPS[mark.scale]((np.clip(mark.shade, -1, 1) + 1) / 2))
    return [axes.add_collection(boxes, autolim=False)]


@artists_of.register
def _(mark: Points, axes: Axes) -> list:
    color, ring = _color(mark.style), mark.shape == "ring"
    edge: Look = {"markeredgecolor": color, "markeredgewidth": 3} if ring else {"markeredgecolor": "white"}
    face: Look = {"color": "white" if ring else color, "markersize": mark.style.width, "alpha": mark.style.opacity}
    marker: Look = {"marker": SHAPES[mark.shape], "linestyle": "none", "clip_on": False}
    return axes.plot(mark.x, mark.y, **marker | face | edge)


@artists_of.register
def _(mark: Segments, axes: Axes) -> list:
    ends = np.broadcast_arrays(mark.x, mark.y, mark.to_x, mark.to_y)
    look: Look = {"colors": _color(mark.style), "linewidths": mark.style.width, "alpha": mark.style.opacity}
    collection = LineCollection(list(np.stack(ends, axis=-1).reshape(-1, 2, 2)), **look)
    return [axes.add_collection(collection, autolim=False)]


@artists_of.register
def _(mark: Rule, axes: Axes) -> list:
    draw = axes.axvline if mark.along == "x" else axes.axhline
    return [draw(mark.at, **_line(mark.style))]


@artists_of.register
def _(mark: Words, axes: Axes) -> list:
    look: Look = {"color": _color(mark.style), "fontsize": mark.style.width, "alpha": mark.style.opacity}
    look |= {"fontweight": "bold", "ha": ACROSS[mark.across], "va": UPRIGHT[mark.upright]}
    return [axes.text(x, y, text, **look) for x, y, text in zip(mark.x, mark.y, mark.texts, strict=True)]


def pixels_of(figure: Figure) -> np.ndarray:
    """Return red, green and blue of a figure, (height, width, 3) of uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def png_of(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    png = io.BytesIO()
    Image.fromarray(pixels_of(figure)).save(png, format="png")
    return png.getvalue()


def _color(style: Style) -> str:
    return PALETTE[style.color][0]


def _line(style: Style) -> Look:
    dash = (0, style.dash) if style.dash else "-"
    return {"color": _color(style), "linestyle": dash, "linewidth": style.width, "alpha": style.opacity}


def _fill(style: Style) -> Look:
    color = _color(style)
    if not style.hatch:
        return {"facecolor": color, "alpha": style.opacity, "linewidth": 0}
    return {"facecolor": color, "edgecolor": "white", "alpha": style.opacity, "hatch": 2 * style.hatch}
