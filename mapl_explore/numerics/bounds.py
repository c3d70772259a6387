"""Bounds on the smoothing error that need only the size of the set and its gap.

lower  log1p(exp(-tau*gap)) / tau            attained when only one other score is finite
upper  log1p((n-1) exp(-tau*gap)) / tau      attained when all others tie
lower <= smoothing_error <= upper <= min(log(n)/tau, asymptote)

The formulas are those of alpha = 1; the order holds for each alpha, as its errors are at most those of alpha = 1.
"""

from mapl_explore.numerics import unchecked
from mapl_explore.numerics.arrays import Array, Door, Numbers


def error_upper_bound(*, n: Numbers, gap: Numbers, tau: Numbers, alpha: float = 1.0) -> Array:
    r"""Return the largest smoothing error that n scores with this gap can have, in nats.

    .. math:: D(\tau; n, \delta) = \frac1\tau \log\bigl(1 + (n-1) e^{-\tau\delta}\bigr)

    at alpha = 1. Attained when all scores but the leader tie; 0 for alpha > 1 where tau*gap >= 1/(alpha - 1).

    Parameters
    ----------
    n : int or integer array (...)
        Number of finite scores, >= 1.
    gap : array (...)
        Largest minus second largest score, >= 0, in nats; inf where there is no second.
    tau : array (...)
        Inverse temperature > 0, in 1/nats.
    alpha : float
        Which smoothing, from 1 (log-sum-exp) to 2 (sparsemax); see :func:`~mapl_explore.smooth_max`.

    Returns
    -------
    array (...)
        >= 0; at alpha = 1 within 4 eps (1 + tau*gap + log n) of itself, above max(1, 1/tau) of the smallest subnormal
        number. Above it the condition is 1 + (1 - w)*gap/bound + log n, where w is the leader's weight.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number of its domain; the message names it.

    Examples
    --------
    >>> error_upper_bound(n=4, gap=1.0, tau=2.402).round(4)
    np.float64(0.1)
    >>> error_upper_bound(n=4, gap=0.25, tau=2.0, alpha=2.0).round(6)
    np.float64(0.046875)
    """
    door = Door(n=n, gap=gap, tau=tau, integers=["n"])
    return door.leave(unchecked.upper_bound(door.others(), door.gap(), door.positive("tau"), door.alpha(alpha)))


def error_lower_bound(*, gap: Numbers, tau: Numbers, alpha: float = 1.0) -> Array:
    r"""Return the smallest smoothing error that scores with this gap can have, in nats.

    .. math:: L(\tau; \delta) = \frac1\tau \log\bigl(1 + e^{-\tau\delta}\bigr)

    at alpha = 1. Attained when no score but the leader and one other is finite; 0 for alpha > 1 where tau*gap >=
    1/(alpha - 1).

    Parameters
    ----------
    gap : array (...)
        Largest minus second largest score, >= 0, in nats; inf where there is no second.
    tau : array (...)
        Inverse temperature > 0, in 1/nats.
    alpha : float
        Which smoothing, from 1 (log-sum-exp) to 2 (sparsemax); see :func:`~mapl_explore.smooth_max`.

    Returns
    -------
    array (...)
        >= 0; at alpha = 1 within 4 eps (1 + tau*gap + log 2) of itself, above max(1, 1/tau) of the smallest subnormal
        number. Above it the condition is 1 + (1 - w)*gap/bound + log 2, where w is the leader's weight.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number of its domain; the message names it.

    Examples
    --------
    >>> error_lower_bound(gap=0.0, tau=1.0).round(6)
    np.float64(0.693147)
    """
    door = Door(gap=gap, tau=tau)
    gap = door.gap()
    return door.leave(unchecked.upper_bound(door.xp.ones_like(gap), gap, door.positive("tau"), door.alpha(alpha)))


def error_asymptote(*, n: Numbers, gap: Numbers, tau: Numbers) -> Array:
    r"""Return the upper bound's asymptote for large tau, in nats: a looser upper bound at every tau.

    .. math:: \frac{n-1}{\tau} e^{-\tau\delta} \ge D(\tau; n, \delta)

    It is close to D where (n-1) exp(-tau*gap) is small; a large tau*gap alone is not enough.

    Parameters
    ----------
    n : int or integer array (...)
        Number of finite scores, >= 1.
    gap : array (...)
        Largest minus second largest score, >= 0, in nats; inf where there is no second.
    tau : array (...)
        Inverse temperature > 0, in 1/nats.

    Returns
    -------
    array (...)
        >= 0; within 4 eps (1 + tau*gap + log n) of itself, above max(1, 1/tau) of the smallest subnormal number.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number of its domain; the message names it.

    Examples
    --------
    At a gap of 0 it is (n-1)/tau, where the upper bound is log(n)/tau:

    >>> error_asymptote(n=4, gap=0.0, tau=1.0).round(6), error_upper_bound(n=4, gap=0.0, tau=1.0).round(6)
    (np.float64(3.0), np.float64(1.386294))
    """
    door = Door(n=n, gap=gap, tau=tau, integers=["n"])
    return door.leave(unchecked.asymptote(door.others(), door.gap(), door.positive("tau")))
