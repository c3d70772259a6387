"""What is left of the smoothing error when it is computed the obvious way, in each floating-point type."""

import math
from collections.abc import Mapping

import numpy as np

from mapl_explore.plots.looks import DASH_DOT, DASHED, DOTTED, NOW, Look, said
from mapl_explore.plots.panels import Axis, Boxes, Curve, Drag, Panel, Points, Rule, Style, here
from mapl_explore.words import N_, _

TYPES = {
    "bfloat16": Style("sky", DOTTED, width=3.5),
    "float16": Style("orange", DASHED),
    "float32": Style("blue", DASH_DOT),
    "float64": Style("purple"),
}
TRUTH: Look = {"style": Style("grey", width=11), "label": N_("true smoothing error")}
ERRORS = (1e-20, 1e2)  # nats
MOST = 17  # decimal digits, as many as a float64 has


def naive_panel(
    *,
    taus: np.ndarray,
    truth: np.ndarray,
    curves: Mapping[str, np.ndarray],
    lies: Mapping[str, int | None],
    tau: float,
    error: float,
) -> Panel:
    """Return the smoothing error as each type computes it the obvious way, over the true one, against tau.

    Parameters
    ----------
    taus, truth : arrays (k,)
        Inverse temperatures (1/nats), and the true error (nats) there.
    curves : mapping of arrays (k,)
        Each type's, in nats; NaN breaks the line.
    lies : mapping of int or None
        The first place at which each type is off by a tenth, which gets a cross.
    tau, error : float
        Where the settings are, in 1/nats and nats.

    Examples
    --------
    >>> taus, truth = np.array([1.0, 10.0]), np.array([0.4, 1e-3])
    >>> lies = {"bfloat16": 1, "float64": None}
    >>> panel = naive_panel(taus=taus, truth=truth, curves=dict.fromkeys(lies, truth), lies=lies, tau=2.0, error=0.2)
    >>> panel["bfloat16 is off"].x
    array([10.])
    """
    x = Axis(_("inverse temperature τ (1/nats)"), taus[0], taus[-1], "log")
    y = Axis(_("smoothing error E (nats)"), *ERRORS, "log")
    return Panel(
        name=_("the smoothing error as each type computes it"),
        x=x,
        y=y,
        share=1.7,
        marks=[
            Curve(name="true", x=taus, y=truth, **said(TRUTH)),
            *(Curve(name=name, x=taus, y=curve, style=TYPES[name], label=name) for name, curve in curves.items()),
            *(_cross(name, taus, truth, place) for name, place in lies.items()),
            Rule(name="now", style=NOW, at=tau, along="x", drags=(Drag("tau", "x"),)),
            here(x, y, tau, error),
        ],
    )


def digits_panel(ours: Mapping[str, float], naive: Mapping[str, float]) -> Panel:
    """Return how many decimal digits are right, for each type: computed the obvious way, and by this library.

    Examples
    --------
    >>> panel = digits_panel({"float32": 7.2, "float64": np.inf}, {"float32": 4.1, "float64": 12.3})
    >>> panel["this library"].right, panel["obvious way"].right
    (array([ 7.2, 17. ]), array([ 4.1, 12.3]))
    """
    places = [(float(place), name) for place, name in enumerate(ours)]
    return Panel(
        name=_("the right digits of each type"),
        x=Axis(_("right digits"), 0.0, MOST, ticks=[(float(count), str(count)) for count in range(0, MOST, 4)]),
        y=Axis("", len(places) - 0.4, -1.15, ticks=places),
        grid="x",
        own_key=True,
        marks=[
            _lying(ours, -0.38, name=N_("this library"), style=Style("blue")),
            _lying(naive, 0.02, name=N_("obvious way"), style=Style("orange", hatch="/")),
        ],
    )


def _cross(name: str, taus: np.ndarray, truth: np.ndarray, place: int | None) -> Points:
    x, y = (np.array([math.nan if place is None else line[place]]) for line in (taus, truth))
    return Points(name=f"{name} is off", style=Style(TYPES[name].color, width=13), x=x, y=y, shape="cross")


def _lying(lengths: Mapping[str, float], shift: float, *, name: str, style: Style) -> Boxes:
    """Return lying bars from 0, one at each whole place of the vertical axis, moved down by the shift."""
    right, bottom = np.minimum(list(lengths.values()), MOST), np.arange(len(lengths)) + shift
    return Boxes(name=name, style=style, label=_(name), left=0 * right, right=right, bottom=bottom, top=bottom + 0.36)
