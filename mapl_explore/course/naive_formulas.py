"""The smoothing error by the formulas that one writes first, in any floating-point type, and to fifty digits.

    exp of everything      log(sum exp(tau s)) / tau - max s              exp overflows or underflows
    shifted log-sum-exp    (tau max s + log sum exp(tau s - tau max s)) / tau - max s          the small part cancels

What the library computes instead is in :mod:`mapl_explore.numerics.smoothing`.
"""

import decimal
import math
from importlib.util import find_spec

import numpy as np
from numpy.typing import ArrayLike

from mapl_explore.numerics.arrays import Array
from mapl_explore.numerics.smoothing import smoothing_error
from mapl_explore.words import N_

FORMULAS = (N_("exp of everything"), N_("shifted log-sum-exp"))
# The browser has no ml_dtypes, and so no bfloat16.
DTYPES = (*(["bfloat16"] if find_spec("ml_dtypes") else []), "float16", "float32", "float64")
FIFTY = decimal.Context(prec=50, Emin=-999_999, Emax=999_999)


def numpy_dtype(name: str) -> np.dtype:
    """Return a floating-point type by its name; bfloat16, which numpy lacks, from the package ml_dtypes.

    Examples
    --------
    >>> numpy_dtype("float16")
    dtype('float16')
    """
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


def naive_error(scores: ArrayLike, *, tau: ArrayLike, formula: str, dtype: str) -> np.ndarray:
    """Return the smoothing error by a formula that one writes first, every step of it in the given type, in nats.

    Parameters
    ----------
    scores : array (n,)
        Finite, in nats.
    tau : array (...)
        Inverse temperature > 0, in 1/nats.
    formula : str
        One of ``FORMULAS``.
    dtype : str
        One of ``DTYPES``.

    Returns
    -------
    array (...) of float64
        The result of the type's arithmetic, right or wrong; it may be 0, below 0, infinite or NaN.

    Examples
    --------
    Every exponential is 0 in single precision, and its logarithm infinite; shifted, the sum is 1 and its logarithm 0:

    >>> scores = [-100.0, -104.0]
    >>> [float(naive_error(scores, tau=5.0, formula=formula, dtype="float32")) for formula in FORMULAS]
    [-inf, 0.0]
    >>> f"{smoothing_error(scores, tau=5.0):.3e}"
    '4.122e-10'
    """
    kind = numpy_dtype(dtype)
    scores, tau = np.asarray(scores).astype(kind), np.asarray(tau).astype(kind)
    with np.errstate(all="ignore"):
        largest, scaled = scores.max(), tau[..., None] * scores
        if formula == "exp of everything":
            return (np.log(np.sum(np.exp(scaled), axis=-1)) / tau - largest).astype(np.float64)
        top = tau * largest
        total = np.log(np.sum(np.exp(scaled - top[..., None]), axis=-1))
        return ((top + total) / tau - largest).astype(np.float64)


def library_error(scores: ArrayLike, *, tau: ArrayLike, dtype: str) -> Array:
    """Return the library's smoothing error (...), with arguments and result in the given type.

    Examples
    --------
    >>> float(library_error([-3.0, -3.5, -7.0], tau=5.0, dtype="float16"))
    0.015777587890625
    """
    kind = numpy_dtype(dtype)
    return smoothing_error(np.asarray(scores).astype(kind), tau=np.asarray(tau).astype(kind))


def held_error(scores: ArrayLike, *, tau: ArrayLike, dtype: str) -> Array:
    """Return the error (...) in float64 of the scores and the tau as the given type holds them.

    Examples
    --------
    Half precision rounds -1000.3 to -1000.5, which makes another gap:

    >>> held_error([-1000.0, -1000.3], tau=1.0, dtype="float16").round(4)
    np.float64(0.4741)
    """
    kind = numpy_dtype(dtype)
    held = np.asarray(scores).astype(kind).astype(np.float64)
    return smoothing_error(held, tau=np.asarray(tau).astype(kind).astype(np.float64))


def true_error(scores: ArrayLike, *, tau: ArrayLike, dtype: str) -> decimal.Decimal:
    """Return the smoothing error, to fifty digits, of the scores and the tau as the given type holds them.

    Parameters
    ----------
    scores : array (n,)
        Finite, in nats.
    tau : float
        Inverse temperature > 0, in 1/nats.
    dtype : str
        One of ``DTYPES``: rounding the numbers that go in is not the formula's fault.

    Examples
    --------
    >>> f"{true_error([0.0, -40.0], tau=1.0, dtype='float64'):.20e}"
    '4.24835425529158898630e-18'
    """
    kind = numpy_dtype(dtype)
    held = sorted((decimal.Decimal(float(score)) for score in np.asarray(scores).astype(kind)), reverse=True)
    held_tau = decimal.Decimal(float(np.asarray(tau).astype(kind)))
    with decimal.localcontext(FIFTY):
        total = sum((((score - held[0]) * held_tau).exp() for score in held[1:]), decimal.Decimal())
        return _log1p(total) / held_tau


def right_digits(value: float, truth: decimal.Decimal) -> float:
    """Return how many decimal digits of a value are right: minus log10 of its relative error, 0 where it is 1 or more.

    Examples
    --------
    >>> round(right_digits(0.1001, decimal.Decimal("0.1")), 6), right_digits(math.inf, decimal.Decimal("0.1"))
    (3.0, 0.0)
    """
    if not math.isfinite(value):
        return 0.0
    with decimal.localcontext(FIFTY):
        difference = abs(decimal.Decimal(float(value)) - truth)
        if difference == 0:
            return math.inf
        return 0.0 if difference >= truth else float(-(difference / truth).log10())


def _log1p(total: decimal.Decimal) -> decimal.Decimal:
    """Return log(1 + total), below 1e-20 by three terms of its series: the fourth is below the fiftieth digit."""
    if total < decimal.Decimal("1e-20"):
        return total - total * total / 2 + total * total * total / 3
    return (1 + total).ln()
