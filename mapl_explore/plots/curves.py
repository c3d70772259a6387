"""Curves over an axis along which one goes: losses over a shift, responses over the steps of a training."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from mapl_explore.plots.looks import NOW, ZERO
from mapl_explore.plots.panels import Axis, Band, Curve, Drag, Panel, Points, Rule, Style


def curves_of(
    places: np.ndarray, names: Sequence[str], values: Iterable[np.ndarray], styles: Sequence[Style], named: bool = True
) -> list[Curve]:
    """Return a curve for each name over the same places (k,); they stand in the key if they are ``named`` there."""
    return [
        Curve(name=name, label=name if named else "", style=style, x=places, y=value)
        for name, value, style in zip(names, values, styles, strict=False)
    ]


def bands_of(places: np.ndarray, bounds: Iterable[tuple[str, Style, np.ndarray, np.ndarray]]) -> list[Band]:
    """Return a pale band for each name, style, lower and upper bound over the same places (k,)."""
    return [
        Band(name=f"bounds of {name}", style=replace(style, opacity=0.18), x=places, low=low, high=high)
        for name, style, low, high in bounds
    ]


def curves_panel(
    name: str,
    x: Axis,
    y: Axis,
    curves: Sequence[Curve],
    *,
    knob: str,
    now: float,
    rings: Sequence[float],
    bands: Sequence[Band] = (),
    own_key: bool = False,
) -> Panel:
    """Return curves, over their bands, with a line where one is, which is dragged, and rings on curves there.

    Parameters
    ----------
    name : str
        What the panel shows.
    x, y : Axis
        What lies along the horizontal axis is what the knob sets.
    curves : sequence of Curve
        The later ones above.
    knob : str
        The knob that the line moves.
    now : float
        Where it is, on the horizontal axis.
    rings : sequence of float
        On the vertical axis, the values of curves there; one beyond its ends has no ring.
    bands : sequence of Band
        The regions under the curves.
    own_key : bool
        As for :class:`Panel`.

    Examples
    --------
    >>> curves = curves_of(np.array([0.0, 1.0]), ["loss"], [np.array([0.7, 0.3])], [Style()])
    >>> x, y = Axis("shift", 0, 1), Axis("loss", 0, 1)
    >>> panel = curves_panel("a loss", x, y, curves, knob="shift", now=1.0, rings=[0.3])
    >>> panel["rings"].y
    array([0.3])
    """
    values = np.asarray(rings, float)
    values = np.where((values >= y.low) & (values <= y.high), values, np.nan)
    style = Style("green", width=11 if values.size == 1 else 8)
    zero = [Rule(name="zero", style=ZERO, at=0.0, along="y")] if y.scale == "linear" else []
    line = Rule(name="now", style=NOW, at=now, along="x", drags=(Drag(knob, "x"),))
    here = Points(name="rings", style=style, shape="ring", x=np.full(values.size, float(now)), y=values)
    return Panel(name=name, x=x, y=y, share=1.2, own_key=own_key, marks=[*bands, *zero, *curves, line, here])
