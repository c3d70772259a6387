"""The scores of a set with their hard and their smooth maximum or minimum, and how the smooth one comes near."""

from collections.abc import Sequence

import numpy as np

from mapl_explore.plots.looks import BAND, DASHED, NOW
from mapl_explore.plots.panels import Axis, Band, Boxes, Curve, Drag, Panel, Points, Rule, Style, Words, here, word
from mapl_explore.words import _

HARD, SOFT = Style("ink"), Style("blue", DASHED, width=3.5)
ROOM = 0.47  # of the width, for the names of the lines
GAP, LINE = 0.012, 0.1  # of the height: from a line to its name, and of a name with the gaps around it


def smooth(side: str) -> str:
    """Return what the smooth maximum or minimum is called."""
    return _("smooth {of}").format(of=side)


def scores_panel(
    *, names: Sequence[str], scores: np.ndarray, leader: int, soft: float, span: tuple[float, float], side: str = "max"
) -> Panel:
    """Return one mark a response, to be dragged, the hard and the smooth maximum or minimum, and the error between.

    Parameters
    ----------
    names : sequence of str
        Of the responses, which are those of their knobs.
    scores : array (n,)
        In nats.
    leader : int
        The place of the maximum or minimum.
    soft : float
        The smooth one, in nats; beyond the picture, its name stays at the edge with an arrow.
    span : (float, float)
        The ends of the vertical axis, in nats.
    side : {"max", "min"}
        Which of the two.

    Examples
    --------
    >>> panel = scores_panel(names=["s1", "s2"], scores=np.array([-1.0, -2.0]), leader=0, soft=-0.7, span=(-4.0, 2.0))
    >>> panel["hard's name"].texts, panel["soft's name"].texts
    (['max −1'], ['smooth max −0.7'])
    """
    n, hard = len(names), float(scores[leader])
    x = Axis(_("response"), 0.4, 0.4 + (n + 0.2) / (1 - ROOM), ticks=[(k + 1.0, name) for k, name in enumerate(names)])
    y, places = Axis(_("score (nats)"), *span), np.arange(1.0, n + 1)
    left, right, bottom, top = np.array([[x.low], [x.high], *sorted([[hard], [y.inside(soft)]])])
    return Panel(
        name=_("the scores and their smooth maximum") if side == "max" else _("the scores and their smooth minimum"),
        x=x,
        y=y,
        share=1.25,
        grid="y",
        marks=[
            Boxes(name="error", style=BAND, label=_("smoothing error"), left=left, right=right, bottom=bottom, top=top),
            Rule(name="hard", style=HARD, at=hard, along="y"),
            Rule(name="soft", style=SOFT, at=soft, along="y"),
            Points(
                name="scores",
                style=Style("orange", width=13),
                x=places,
                y=scores,
                shape="diamond",
                drags=tuple(Drag(name, "y") for name in names),
            ),
            Points(name="leader", style=Style("ink", width=16), x=places[[leader]], y=scores[[leader]]),
            *_names(x, y, hard, soft, side),
        ],
    )


def approach_panel(
    *, taus: np.ndarray, curve: np.ndarray, hard: float, tau: float, soft: float, span: tuple[float, float], side: str
) -> Panel:
    """Return the smooth maximum or minimum over tau, which comes near to the hard one, with a ring at tau.

    Parameters
    ----------
    taus, curve : arrays (k,)
        The smooth one, in nats, at each inverse temperature, in 1/nats.
    hard, soft : float
        The maximum or minimum, and the smooth one at ``tau``, in nats.
    tau : float
        Where the settings are, in 1/nats.
    span, side
        As for :func:`scores_panel`.

    Examples
    --------
    >>> curve = {"taus": np.array([0.1, 10.0]), "curve": np.array([5.9, -1.0])}
    >>> panel = approach_panel(**curve, hard=-1.0, tau=1.0, soft=-0.7, span=(-4.0, 2.0), side="max")
    >>> panel["here"].x, panel["here"].y
    (array([1.]), array([-0.7]))
    """
    x = Axis(_("inverse temperature τ (1/nats)"), taus[0], taus[-1], "log")
    nats = _("nats")
    y = Axis(f"{smooth(side)} ({nats})", *span)
    return Panel(
        name=_("the smooth maximum over the inverse temperature")
        if side == "max"
        else _("the smooth minimum over the inverse temperature"),
        x=x,
        y=y,
        share=1.25,
        marks=[
            Band(name="error", style=BAND, x=taus, low=np.full(taus.size, hard), high=curve),
            Rule(name="hard", style=HARD, at=hard, along="y", label=side),
            Curve(name="soft", style=SOFT, x=taus, y=curve, label=smooth(side)),
            Rule(name="now", style=NOW, at=tau, along="x", drags=(Drag("tau", "x"),)),
            here(x, y, tau, soft),
        ],
    )


def _names(x: Axis, y: Axis, hard: float, soft: float, side: str) -> list[Words]:
    """Name both lines on their far sides: the smooth one lies beyond the hard one, so their names never meet."""
    (near, far), way, arrow = (("below", "above"), 1, " ↑") if side == "max" else (("above", "below"), -1, " ↓")
    gap, seen = way * GAP * (y.high - y.low), y.inside(soft)
    edge = y.at(0.5 + way * (0.5 - LINE))
    at = min(soft, edge) if side == "max" else max(soft, edge)
    texts = [f"{side} {hard:.3g}", f"{smooth(side)} {soft:.3g}{'' if seen == soft else arrow}"]
    hard_text, soft_text = (text.replace("-", "−") for text in texts)
    right = x.at(0.99)
    return [
        word(hard_text, right, hard - gap, name="hard's name", across="right", upright=near),
        word(soft_text, right, at + gap, "blue", name="soft's name", across="right", upright=far),
    ]
