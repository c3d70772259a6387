"""A picture as data: axes and marks, which :mod:`~mapl_explore.plots.paper` and the browser draw alike.

Each explorer describes its picture with these, once. All coordinates are those of the axes; a renderer turns them into
pixels and computes nothing else.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

Scale = Literal["linear", "log"]
Along = Literal["x", "y"]
Shape = Literal["circle", "ring", "diamond", "cross", "left", "right", "up", "down"]
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
PLAIN = (1e-5, 1e5)  # outside, a power of ten is written as one


@dataclass(frozen=True)
class Axis:
    """One axis: its label, its two ends, its scale and its ticks.

    Parameters
    ----------
    label : str
        With the unit.
    low, high : float
        The ends; ``low`` may be the larger one, the axis then runs the other way.
    scale : {"linear", "log"}
        A logarithmic axis has both ends above 0.
    ticks : sequence of (float, str), optional
        Places and their labels; round numbers if not given.

    Raises
    ------
    ValueError
        If the ends are equal or not finite, or not above 0 on a logarithmic axis.

    Examples
    --------
    >>> Axis("gap δ (nats)", 0.0, 10.0).ticks
    ((0.0, '0'), (2.0, '2'), (4.0, '4'), (6.0, '6'), (8.0, '8'), (10.0, '10'))
    >>> round(float(Axis("τ (1/nats)", 0.1, 100.0, "log").fraction(10.0)), 3)
    0.667
    """

    label: str
    low: float
    high: float
    scale: Scale = "linear"
    ticks: Sequence[tuple[float, str]] = None  # type: ignore[assignment]  # None until they are chosen

    def __post_init__(self) -> None:
        """Check the ends, and choose the ticks where none are given."""
        ends = (self.low, self.high)
        if not all(map(math.isfinite, ends)) or self.low == self.high or (self.scale == "log" and min(ends) <= 0):
            raise ValueError(f"low and high must be two ends of a {self.scale} axis, not {self.low} and {self.high}")
        if self.ticks is None:
            object.__setattr__(self, "ticks", _ticks(min(ends), max(ends), self.scale))

    def fraction(self, values: ArrayLike) -> np.ndarray:
        """Return how far along the axis values lie: 0 at ``low``, 1 at ``high``."""
        low, high, values = (self._straight(np.asarray(one, float)) for one in (self.low, self.high, values))
        return (values - low) / (high - low)

    def with_room_for(self, other: "Axis") -> "Axis":
        """Return an axis from end to end of both; one of them if it has room for the other."""
        places = (self.low, self.high, other.low, other.high)
        reach = (min(places), max(places))
        for axis in (self, other):
            if {axis.low, axis.high} == set(reach):
                return axis
        return Axis(self.label, *(reach if self.low < self.high else reach[::-1]), self.scale)

    def inside(self, value: float) -> float:
        """Return a value, or the end of the axis that it lies beyond."""
        return min(max(float(value), min(self.low, self.high)), max(self.low, self.high))

    def at(self, fraction: float) -> float:
        """Return the value at a fraction of the axis, the inverse of :meth:`fraction`."""
        low, high = (float(self._straight(np.asarray(end, float))) for end in (self.low, self.high))
        place = low + fraction * (high - low)
        return 10.0**place if self.scale == "log" else place

    def _straight(self, values: np.ndarray) -> np.ndarray:
        if self.scale == "linear":
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log10(values)


@dataclass(frozen=True)
class Style:
    r"""How a mark looks.

    Parameters
    ----------
    color : str
        A name of ``PALETTE``, which has a tone for light and one for dark pages.
    dash : tuple of float
        Lengths of strokes and gaps, in line widths; empty for a solid line.
    width : float
        Of a line, or across a point, in points.
    opacity : float
        From 0 to 1.
    hatch : {"", "/", "\\"}
        The strokes over a filled shape, by which bars are told apart without colour.
    """

    color: str = "ink"
    dash: tuple[float, ...] = ()
    width: float = 2.5
    opacity: float = 1.0
    hatch: Literal["", "/", "\\"] = ""


@dataclass(frozen=True)
class Drag:
    """Which knob a mark moves when it is dragged: its value is ``factor * coordinate + offset``.

    Parameters
    ----------
    knob : str
        The name of the knob.
    along : {"x", "y"}
        The axis along which the mark goes.
    factor, offset : float
        From the coordinate on that axis to the knob.
    """

    knob: str
    along: Along
    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Mark:
    """What all marks have: a name within the panel, a style, and a text in the key."""

    name: str
    style: Style = field(default_factory=Style)
    label: str = ""
    drags: tuple[Drag | None, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve(Mark):
    """A line through points (k,); NaN breaks it."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Band(Mark):
    """The region between two curves over the same places (k,)."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Boxes(Mark):
    """Filled rectangles (k,): bars, a histogram, a region, the cells of a map.

    ``shade`` (k,), from -1 to 1, gives each its own colour on a ``scale`` of ``SCALES``.
    """

    left: np.ndarray
    right: np.ndarray
    bottom: np.ndarray
    top: np.ndarray
    shade: np.ndarray | None = None
    scale: Literal["", "margins", "rewards"] = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Points(Mark):
    """Marks at points (k,), each dragged by the knob at its place in ``drags``.

    The tip of a triangle is the point.
    """

    x: np.ndarray
    y: np.ndarray
    shape: Shape = "circle"


@dataclass(frozen=True, eq=False, kw_only=True)
class Segments(Mark):
    """Straight strokes (k,) from one point to another."""

    x: np.ndarray
    y: np.ndarray
    to_x: np.ndarray
    to_y: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Rule(Mark):
    """A line across the whole panel, at a coordinate of the axis that ``along`` names."""

    at: float
    along: Along


@dataclass(frozen=True, eq=False, kw_only=True)
class Words(Mark):
    """Texts at points (k,); ``width`` of the style is the size of the type, in points."""

    x: np.ndarray
    y: np.ndarray
    texts: Sequence[str]
    across: Literal["left", "middle", "right"] = "middle"
    upright: Literal["above", "middle", "below"] = "middle"


@dataclass(frozen=True, eq=False)
class Panel:
    """Two axes and the marks on them, the later ones above.

    Parameters
    ----------
    name : str
        What the panel shows, for those who cannot see it.
    x, y : Axis
        The axes.
    marks : sequence of Mark
        Their names are all different.
    share : float
        Of the width of the picture, next to the other panels' shares.
    title : str
        Above the panel; empty for none.
    grid : str
        The axes whose ticks have lines across the panel: "xy", "x", "y" or "".
    own_key : bool
        Whether its labels stand in a key of its own, not in that of the picture.
    """

    name: str
    x: Axis
    y: Axis
    marks: Sequence[Mark]
    share: float = 1.0
    title: str = ""
    grid: str = "xy"
    own_key: bool = False

    def __post_init__(self) -> None:
        """Check that a name finds one mark."""
        object.__setattr__(
            self, "marks", [within(m, self.x, self.y) if isinstance(m, Points) else m for m in self.marks]
        )
        names = [mark.name for mark in self.marks]
        if len(set(names)) < len(names):
            raise ValueError(f"the marks of a panel must have different names, not {names}")

    def __getitem__(self, name: str) -> Mark:
        """Return the mark of a name."""
        return next(mark for mark in self.marks if mark.name == name)


def key_of(panels: Sequence[Panel]) -> list[Mark]:
    """Return the marks that stand in the key of a picture, one for each label."""
    return list(_labelled(mark for panel in panels if not panel.own_key for mark in panel.marks))


def own_key_of(panel: Panel) -> list[Mark]:
    """Return the marks that stand in the key of a panel itself."""
    return list(_labelled(panel.marks)) if panel.own_key else []


def whole_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Return ticks at whole numbers.

    Examples
    --------
    >>> whole_ticks(0, 2)
    ((0.0, '0'), (1.0, '1'), (2.0, '2'))
    """
    return _labelled_places(_rounds(low, high, least=1.0))


def named_ticks(names: Sequence[str], width: float = 1.0) -> tuple[tuple[float, str], ...]:
    """Return the names of things side by side over a width, each under its own; of many every second, third, ...

    So many letters fit under a panel that is a third of the picture: 20.

    Examples
    --------
    >>> named_ticks(["p1", "n1"])
    ((0.25, 'p1'), (0.75, 'n1'))
    """
    places = (np.arange(len(names)) + 0.5) * width / max(len(names), 1)
    letters = max(map(len, names), default=1) * len(names)
    return tuple(zip(places.tolist(), names, strict=True))[:: math.ceil(letters / 20) or 1]


def here(axis_x: Axis, axis_y: Axis, x: float, y: float, **mark: Any) -> Points:
    """Return the ring that shows where the settings are; beyond the picture, an arrow at its edge."""
    inside = axis_x.inside(x), axis_y.inside(y)
    shape: Shape = "ring" if inside == (x, y) else _arrow(x - inside[0], y - inside[1])
    style = Style("green", width=11)
    return Points(name="here", style=style, x=np.array([inside[0]]), y=np.array([inside[1]]), shape=shape, **mark)


def word(text: str, x: float, y: float, color: str = "ink", **mark: Any) -> Words:
    """Return one text at a point, in the type of the axes."""
    return Words(texts=[text], x=np.array([x]), y=np.array([y]), style=Style(color, width=16), **mark)


def above(text: str, x: Axis, y: Axis, at: float, **mark: Any) -> Words:
    """Return the name of a line along x, at its right end: above it, below where it is near the top."""
    upright, room = ("above", 0.015) if y.fraction(at) < 0.85 else ("below", -0.015)
    place = y.at(float(y.fraction(at)) + room)
    return word(text, x.at(0.985), place, "green", across="right", upright=upright, **mark)


def ghost(mark: Mark) -> Mark:
    """Return a mark as it is left behind by a pin: pale, without a label, and not to be dragged."""
    style = replace(mark.style, opacity=0.4 * mark.style.opacity)
    return replace(mark, name=f"pinned {mark.name}", style=style, label="", drags=())


def within(points: Points, x: Axis, y: Axis) -> Points:
    """Return points without those that lie beyond the axes, where they would lie on what is beside the panel."""
    places = (axis.fraction(values) for axis, values in ((x, points.x), (y, points.y)))
    inside = np.all([(place >= -1e-9) & (place <= 1 + 1e-9) for place in places], axis=0)
    return replace(points, x=np.where(inside, points.x, np.nan))


def bars(heights: np.ndarray, **mark: Any) -> Boxes:
    """Return bars with gaps between them, side by side over the width from 0 to 1."""
    place, heights = np.arange(len(heights)), np.asarray(heights, float)
    left, right = (place + 0.08) / place.size, (place + 0.92) / place.size
    return Boxes(left=left, right=right, bottom=np.minimum(heights, 0), top=np.maximum(heights, 0), **mark)


def _labelled(marks: Iterator[Mark] | Sequence[Mark]) -> Iterator[Mark]:
    seen = set()
    for mark in marks:
        if mark.label and mark.label not in seen:
            seen.add(mark.label)
            yield mark


def _arrow(dx: float, dy: float) -> Shape:
    if dy:
        return "up" if dy > 0 else "down"
    return "right" if dx > 0 else "left"


def _ticks(low: float, high: float, scale: Scale) -> tuple[tuple[float, str], ...]:
    return _labelled_places(_decades(low, high) if scale == "log" else _rounds(low, high))


def _labelled_places(places: Sequence[float]) -> tuple[tuple[float, str], ...]:
    return tuple((float(place), _written(place)) for place in places)


def _decades(low: float, high: float) -> list[float]:
    """Return the powers of ten between two ends, every second or third where there are many, and 2 and 5 where few."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = 1 + (last - first) // 7
    powers = [10.0**power for power in range(first, last + 1) if power % step == 0]
    if len(powers) > 2:
        return powers
    places = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5)]
    return [place for place in places if low * (1 - 1e-9) <= place <= high * (1 + 1e-9)]


def _rounds(low: float, high: float, least: float = 0.0) -> list[float]:
    """Return three to seven multiples of 1, 2 or 5 times a power of ten between two ends, so far apart at least."""
    least = max((high - low) / 6, least)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-12))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step + 0.0 for number in range(first, last + 1)]


def _written(place: float) -> str:
    """Return a tick's number as people read it; a power of ten far from 1 as one."""
    if place and not PLAIN[0] <= abs(place) <= PLAIN[1]:
        power = math.floor(math.log10(abs(place)) + 1e-9)
        factor = place / 10.0**power
        front = "" if math.isclose(factor, 1) else f"{factor:.3g}·"
        return f"{front}10{str(power).translate(SUPERSCRIPTS)}"
    return f"{place:.6g}".replace("-", "−")
