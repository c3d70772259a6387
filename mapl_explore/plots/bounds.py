"""The smoothing error between its bounds, against the inverse temperature or against the gap."""

from collections.abc import Mapping

import numpy as np

from mapl_explore.plots.looks import BAND, FINE, LINES, MARKS, NOW, Look, said
from mapl_explore.plots.panels import (
    Axis,
    Band,
    Curve,
    Drag,
    Panel,
    Points,
    Rule,
    Scale,
    Style,
    Words,
    above,
    here,
    word,
)
from mapl_explore.words import N_, _

BOUNDS = ("exact", "upper", "lower", "asymptote")
POST: Look = {"style": Style("amber", FINE), "label": N_("the post's formula")}
BOTTOM = 5e-5  # nats, the lower end of the vertical axis
AXES: dict[str, tuple[str, Scale]] = {
    "tau": (N_("inverse temperature τ (1/nats)"), "log"),
    "gap": (N_("gap δ (nats)"), "linear"),
}
SIZES = {"exact": 8.0}  # points, of the mark of a root; the others are larger and lie around it


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
        ``exact``, ``upper``, ``lower``, in nats, and ``asymptote`` and ``post`` where they are shown.
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
    label, scale = AXES[against]
    x, y = Axis(_(label), places[0], places[-1], scale), Axis(_("smoothing error E (nats)"), BOTTOM, top, "log")
    looks = {
        name: look for name, look in ({name: LINES[name] for name in BOUNDS} | {"post": POST}).items() if name in curves
    }
    return Panel(
        name=_("the smoothing error and its bounds"),
        x=x,
        y=y,
        share=2.2,
        marks=[
            Band(name="between the bounds", style=BAND, x=places, low=curves["lower"], high=curves["upper"]),
            *(Curve(name=name, x=places, y=curves[name], **said(look)) for name, look in looks.items()),
            Rule(name="target", style=NOW, at=epsilon, along="y", drags=(Drag("epsilon", "y"),)),
            Rule(name="now", style=NOW, at=now, along="x", drags=(Drag(against, "x"),)),
            *(_root(name, tau, epsilon) for name, tau in roots.items() if against == "tau"),
            here(x, y, now, error),
            above(_("target ε"), x, y, epsilon, name="target's name"),
            _place_name(x, y, now, "τ" if against == "tau" else "δ"),
        ],
    )


def _root(name: str, tau: float, epsilon: float) -> Points:
    style = Style(LINES[name]["style"].color, width=SIZES.get(name, 11.0))
    return Points(name=f"{name} root", style=style, x=np.array([tau]), y=np.array([epsilon]), shape=MARKS[name][0])


def _place_name(x: Axis, y: Axis, now: float, text: str) -> Words:
    """Name the line at the settings, on the side that has room."""
    at_left = x.fraction(now) < 0.5
    place = x.at(float(x.fraction(now)) + (0.01 if at_left else -0.01))
    return word(text, place, y.at(0.93), "green", name="place's name", across="left" if at_left else "right")
