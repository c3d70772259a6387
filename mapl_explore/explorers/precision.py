"""Where a formula that is right on paper goes wrong in floats: the smoothing error in four types."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mapl_explore.course.naive_formulas import (
    DTYPES,
    FORMULAS,
    held_error,
    library_error,
    naive_error,
    numpy_dtype,
    right_digits,
    true_error,
)
from mapl_explore.explorers.knobs import KNOBS, Choice
from mapl_explore.explorers.readout import digits, minus, positive, sign, table
from mapl_explore.explorers.sources import Shaped
from mapl_explore.explorers.stage import Stage
from mapl_explore.losses import DPO, Smooth
from mapl_explore.numerics.arrays import to_numpy
from mapl_explore.plots.panels import Panel
from mapl_explore.plots.precision import MOST, TYPES, digits_panel, naive_panel
from mapl_explore.words import N_, _, ngettext

FORMULA = Choice(
    "formula", N_("obvious way"), FORMULAS, FORMULAS[1], N_("How one would compute the smoothing error at first.")
)
PRESETS: dict[str, dict[str, Any]] = {
    N_("near zero"): {"level": -1.0},
    N_("exp of everything"): {"formula": FORMULAS[0], "tau": 3.0},
    N_("small error"): {"gap": 1.5, "tau": 8.0, "level": -1.0},
    N_("leaders tie"): {"gap": 0.0, "level": -1000.0},
}
LEAST = 1e-307  # nats; a float64 has fewer digits below
WRONG = 0.1  # a relative error from which a curve counts as wrong


@dataclass(frozen=True)
class PrecisionReading:
    """What a :class:`PrecisionExplorer` shows at one setting.

    Parameters
    ----------
    scores : array (n,)
        Best first, in nats.
    tau : float
        Inverse temperature, in 1/nats.
    truth : float
        The smoothing error of these scores, in nats.
    held : dict of arrays (n,)
        By type: the scores as that type holds them.
    truths : dict of float
        By type: the smoothing error of the scores and the tau as that type holds them, in nats.
    naive, ours : dict of float
        By type: the error computed the obvious way, and by the library, in nats.
    naive_digits, our_digits : dict of float
        By type: how many decimal digits of it are right, for the scores as that type holds them.
    curve : array (k,)
        The error over the explorer's taus.
    curves : dict of arrays (k,)
        By type: the obvious way's; NaN where it is not above 0.
    lies : dict of int or None
        By type: the first of the taus at which it is off by a tenth or more.
    """

    scores: np.ndarray
    tau: float
    truth: float
    held: dict[str, np.ndarray]
    truths: dict[str, float]
    naive: dict[str, float]
    ours: dict[str, float]
    naive_digits: dict[str, float]
    our_digits: dict[str, float]
    curve: np.ndarray
    curves: dict[str, np.ndarray]
    lies: dict[str, int | None]


class PrecisionExplorer(Stage):
    """Show what each floating-point type makes of the smoothing error: the obvious way, and this library's.

    The set is that of the bounds explorer, with its leader at the level. A cross marks where a type is first wrong by a
    tenth; a line ends where the computed error is 0, negative or not a number.

    Parameters
    ----------
    **settings : float, int or str
        Where the controls start: ``tau``, ``level``, ``n``, ``gap``, ``spread``, ``formula``.

    Raises
    ------
    TypeError, ValueError
        If a setting is no control here or off it; the message names it.

    Examples
    --------
    >>> PrecisionExplorer(tau=5.0, level=-100.0)  # doctest: +NORMALIZE_WHITESPACE
    PrecisionExplorer(tau=5, level=-100, n=8, gap=0.5, spread=1, formula='shifted log-sum-exp'): true smoothing error
    0.027 nats
    (of the scores as held: bfloat16 0.034, float16 0.0267, float32 0.027, float64 0.027); right digits, obvious way and
    library: bfloat16 0 and 2, float16 0 and 3, float32 4 and 7, float64 12 and 15
    """

    def __init__(self, **settings: float | str):
        """Make the sliders."""
        self._source = Shaped()
        self._taus = np.geomspace(KNOBS["tau"].low, KNOBS["tau"].high, 201)
        super().__init__(
            [KNOBS["tau"], KNOBS["level"], *self._source.knobs, FORMULA], PRESETS, {"level": -100.0} | settings
        )

    @property
    def loss(self) -> DPO:
        """The loss as set: DPO on the smooth hardest pair at the slider's tau."""
        return DPO(pair=Smooth(tau=self.settings["tau"]))

    def idle(self, settings: dict) -> set[str]:
        """Return the sliders of the set that move nothing: one score has no gap, and two have no spread."""
        return self._source.idle(settings)

    def panels(self, reading: PrecisionReading) -> list[Panel]:
        curves: dict[str, Any] = {"truth": reading.curve, "curves": reading.curves, "lies": reading.lies}
        errors = naive_panel(taus=self._taus, **curves, tau=reading.tau, error=reading.truth)
        return [errors, digits_panel(reading.our_digits, reading.naive_digits)]

    def read(self, settings: dict) -> PrecisionReading:
        scores, tau, formula = self._source.scores(settings) + settings["level"], settings["tau"], settings["formula"]
        naive = {dtype: float(naive_error(scores, tau=tau, formula=formula, dtype=dtype)) for dtype in DTYPES}
        ours = {dtype: float(library_error(scores, tau=tau, dtype=dtype)) for dtype in DTYPES}
        truths = {dtype: true_error(scores, tau=tau, dtype=dtype) for dtype in DTYPES}
        curves = {dtype: naive_error(scores, tau=self._taus, formula=formula, dtype=dtype) for dtype in DTYPES}
        return PrecisionReading(
            scores=scores,
            tau=tau,
            truth=float(truths["float64"]),
            held={dtype: scores.astype(numpy_dtype(dtype)).astype(np.float64) for dtype in DTYPES},
            truths={dtype: float(truth) for dtype, truth in truths.items()},
            naive=naive,
            ours=ours,
            naive_digits={dtype: right_digits(naive[dtype], truths[dtype]) for dtype in DTYPES},
            our_digits={dtype: right_digits(ours[dtype], truths[dtype]) for dtype in DTYPES},
            curve=to_numpy(library_error(scores, tau=self._taus, dtype="float64")),
            curves={dtype: np.where(curve > 0, curve, np.nan) for dtype, curve in curves.items()},
            lies={dtype: self._first_lie(scores, dtype, curve) for dtype, curve in curves.items()},
        )

    def _first_lie(self, scores: np.ndarray, dtype: str, curve: np.ndarray) -> int | None:
        """Return the first place at which a curve is off by a tenth of the error of the scores that its type holds."""
        held = held_error(scores, tau=self._taus, dtype=dtype)
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(curve - held) <= WRONG * held)  # so that NaN is wrong
        return int(np.argmax(wrong)) if wrong.any() else None

    def text(self, reading: PrecisionReading) -> str:
        if reading.scores.size == 1:
            return _("one score: the true smoothing error is 0")
        held = ", ".join(f"{dtype} {positive(truth, LEAST)}" for dtype, truth in reading.truths.items())
        both = _("{dtype} {naive} and {ours}")
        each = ", ".join(
            both.format(dtype=d, naive=_count(reading.naive_digits[d]), ours=_count(reading.our_digits[d]))
            for d in DTYPES
        )
        true = _("true smoothing error {error} nats (of the scores as held: {held})")
        right = _("right digits, obvious way and library: {each}").format(each=each)
        return f"{true.format(error=positive(reading.truth, LEAST), held=held)}; {right}"

    def html(self, reading: PrecisionReading) -> str:
        if reading.scores.size == 1:
            now = _("One score: the true smoothing error is 0, and there is no digit to be right.")
            return f"<p>{now}{self._source.why_idle(1)}</p>"
        rows = [
            (
                f"{sign(TYPES[dtype].color, '━')} {dtype}",
                _first(reading.held[dtype]),
                positive(reading.truths[dtype], LEAST),
                _value(reading.naive[dtype], reading.naive_digits[dtype]),
                _value(reading.ours[dtype], reading.our_digits[dtype]),
            )
            for dtype in DTYPES
        ]
        head = (_("type"), _("holds the scores as"), _("true E"), _("obvious way"), _("library"))
        caption = _(
            "Each row has the true E, in nats, of the scores as its type holds them; in brackets, right digits."
        )
        naive, ours = (_count(right["float32"]) for right in (reading.naive_digits, reading.our_digits))
        true = _("At τ = {tau} the true smoothing error E is <b>{error}</b> nats.")
        true = true.format(tau=digits(reading.tau), error=positive(reading.truth, LEAST))
        right = ngettext(
            "In float32 the obvious way has {naive} right digit, this library {ours}.",
            "In float32 the obvious way has {naive} right digits, this library {ours}.",
            int(naive),
        ).format(naive=naive, ours=ours)
        missing = "" if "bfloat16" in DTYPES else " " + _("bfloat16 is not here: it needs the package ml_dtypes.")
        why = self._source.why_idle(reading.scores.size)
        return f"<p>{true} {right}{missing}{why}</p>{table(caption, rows, head)}"

    def headline(self, reading: PrecisionReading) -> dict[str, float]:
        return {_("true E"): reading.truth}

    def columns(self, reading: PrecisionReading) -> dict[str, Any]:
        """Return the curves as columns, one row a tau (1/nats): the true error and each type's, in nats."""
        return {"tau": self._taus, "true": reading.curve, **reading.curves}


def _first(scores: np.ndarray) -> str:
    """Return the first three scores, with the digits that tell the types apart."""
    shown = ", ".join(minus(f"{score:.6g}") for score in scores[:3])
    return f"{shown}, …" if scores.size > 3 else shown


def _value(error: float, right: float) -> str:
    return f"{digits(error, least=0.0)} ({_count(right)})"


def _count(right: float) -> str:
    return f"{int(min(right, MOST))}"  # whole ones: the rest depends on the processor's exp
