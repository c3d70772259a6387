"""The inverse temperature that meets a target: for the smoothing error, for its bounds, for the leader share.

tau_lower  <=  tau_exact  <=  tau_upper  <=  tau_asymptotic                    (one epsilon, one set)

tau <= tau_lower: the error is at least epsilon, whatever the other scores are.
tau >= tau_upper: the error is at most epsilon, whatever the other scores are.

alpha says of which smoothing, as in :func:`~mapl_explore.smooth_max`; the order above holds for each.
"""

import math
from types import ModuleType

import numpy as np

from mapl_explore.numerics import roots, unchecked
from mapl_explore.numerics.arrays import Array, Door, Numbers


def solve_tau_upper(*, epsilon: Numbers, n: Numbers, gap: Numbers, method: str = "newton", alpha: float = 1.0) -> Array:
    r"""Return the inverse temperature at which the upper bound on the smoothing error is epsilon, in 1/nats.

    .. math:: \frac1\tau \log\bigl(1 + (n-1) e^{-\tau\delta}\bigr) = \varepsilon

    at alpha = 1. At this tau and above, no n scores with this gap have an error of more than epsilon.

    Parameters
    ----------
    epsilon : array (...)
        Target > 0, in nats.
    n : int or integer array (...)
        Number of finite scores, >= 2.
    gap : array (...)
        Largest minus second largest score, >= 0 and finite, in nats.
    method : {"newton", "bracket"}
        ``"bracket"`` is SciPy's ``optimize.elementwise.find_root`` between proven bounds, which is slower; only for
        alpha = 1.
    alpha : float
        From 1 to 2, as for :func:`~mapl_explore.smooth_max`.

    Returns
    -------
    array (...)
        Within 4 eps of the root, which is the only one. It falls as epsilon grows and as gap grows, and rises with n.
        Above alpha = 1 it is at most 1/((alpha - 1) gap), from where on the error is 0, except for their rounding.
        Differentiable in torch, by implicit differentiation, twice.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number of its domain, there is no root (n = 1, infinite gap: the bound is 0), or
        gap/epsilon is beyond the range of the dtype.
    RuntimeError
        If the iteration does not converge.

    Examples
    --------
    >>> solve_tau_upper(epsilon=0.1, n=4, gap=1.0).round(3)
    np.float64(2.402)
    >>> solve_tau_upper(epsilon=0.1, n=4, gap=1.0, alpha=2.0).round(3)
    np.float64(0.6)
    """
    door = Door(epsilon=epsilon, n=n, gap=gap, integers=["n"])
    epsilon, others, gap = door.positive("epsilon"), door.others(), door.gap()
    _require_root(door.xp, (others > 0) & (gap < math.inf))
    _require_ratio(door, gap, epsilon)
    return door.leave(roots.tau_upper(epsilon, others, gap, method, door.alpha(alpha)))


def solve_tau_lower(*, epsilon: Numbers, gap: Numbers, method: str = "newton", alpha: float = 1.0) -> Array:
    r"""Return the inverse temperature at which the lower bound on the smoothing error is epsilon, in 1/nats.

    .. math:: \frac1\tau \log\bigl(1 + e^{-\tau\delta}\bigr) = \varepsilon

    at alpha = 1. At this tau and below, no scores with this gap have an error of less than epsilon.

    Parameters
    ----------
    epsilon : array (...)
        Target > 0, in nats.
    gap : array (...)
        Largest minus second largest score, >= 0 and finite, in nats.
    method, alpha : {"newton", "bracket"}, float
        As for :func:`solve_tau_upper`.

    Returns
    -------
    array (...)
        Within 4 eps of the root, which is the only one; differentiable in torch, twice.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As for :func:`solve_tau_upper`.

    Examples
    --------
    >>> solve_tau_lower(epsilon=0.1, gap=1.0).round(3)
    np.float64(1.691)
    """
    door = Door(epsilon=epsilon, gap=gap)
    epsilon, gap = door.positive("epsilon"), door.gap()
    _require_root(door.xp, gap < math.inf)
    _require_ratio(door, gap, epsilon)
    return door.leave(roots.tau_upper(epsilon, door.xp.ones_like(gap), gap, method, door.alpha(alpha)))


def solve_tau_asymptotic(*, epsilon: Numbers, n: Numbers, gap: Numbers) -> Array:
    r"""Return the inverse temperature at which the upper bound's asymptote is epsilon, in 1/nats.

    .. math:: \tau_W = W_0\bigl((n-1)\,\delta/\varepsilon\bigr) / \delta, \quad (n-1)/\varepsilon \text{ at } \delta = 0

    It overshoots: the upper bound is below epsilon there, so the error is at most epsilon with room to spare. At n = 4
    it is 3.6 % above the root of the bound for (gap, epsilon) = (1, 0.1) and 2.16 times as large at gap 0.

    Parameters
    ----------
    epsilon : array (...)
        Target > 0, in nats.
    n : int or integer array (...)
        Number of finite scores, >= 2.
    gap : array (...)
        Largest minus second largest score, >= 0 and finite, in nats.

    Returns
    -------
    array (...)
        Within 4 eps; differentiable in torch, twice.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As for :func:`solve_tau_upper`.

    References
    ----------
    Corless et al. (1996), "On the Lambert W function", Adv. Comput. Math. 5, doi:10.1007/BF02124750.

    Examples
    --------
    >>> solve_tau_asymptotic(epsilon=0.1, n=4, gap=1.0).round(3)
    np.float64(2.489)
    """
    door = Door(epsilon=epsilon, n=n, gap=gap, integers=["n"])
    epsilon, others, gap = door.positive("epsilon"), door.others(), door.gap()
    _require_root(door.xp, (others > 0) & (gap < math.inf))
    _require_ratio(door, gap, epsilon)
    return door.leave(roots.tau_asymptotic(epsilon, others, gap))


def solve_tau_exact(scores: Numbers, *, epsilon: Numbers, method: str = "newton", alpha: float = 1.0) -> Array:
    r"""Return the inverse temperature at which the smoothing error of these scores is epsilon, in 1/nats.

    .. math:: \mathrm{smoothing\_error}(s; \tau) = \varepsilon

    Parameters
    ----------
    scores : array (..., n)
        Finite, in nats, at least two in every set; ``-inf`` marks padding.
    epsilon : array (...)
        Target > 0, in nats.
    method, alpha : {"newton", "bracket"}, float
        As for :func:`solve_tau_upper`.

    Returns
    -------
    array (...)
        Within 4 eps of the root, which is the only one, also at tied maxima. It lies between
        :func:`solve_tau_lower` and :func:`solve_tau_upper`, except for their rounding.
        Differentiable in torch, twice.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As for :func:`solve_tau_upper`.

    Examples
    --------
    >>> solve_tau_exact([1.0, 1.0, 0.0], epsilon=0.1).round(5)
    np.float64(6.93633)
    """
    door = Door(scores=scores, epsilon=epsilon)
    scores, epsilon = door.scores(), door.positive("epsilon")
    gap = unchecked.top_gap(scores)
    _require_root(door.xp, gap < math.inf)
    _require_ratio(door, gap, epsilon)
    return door.leave(roots.tau_exact(scores, epsilon, method, door.alpha(alpha)))


def solve_tau_share(*, share: Numbers, gap: Numbers, alpha: float = 1.0) -> Array:
    r"""Return the largest inverse temperature at which a leader share of at most ``share`` is certain, in 1/nats.

    .. math:: \tau = \log\frac{\text{share}}{1 - \text{share}} \Big/ \delta, \qquad
              \frac{\text{share}^c - (1 - \text{share})^c}{c\,\delta} \text{ for } c = \alpha - 1 > 0

    The leader's weight in the smooth maximum is then at most ``share``, so at least 1 - share of the gradient reaches
    the others, however many there are. With a single other score the leader has exactly ``share``.

    Parameters
    ----------
    share : array (...)
        Target, strictly between 1/2 and 1.
    gap : array (...)
        Largest minus second largest score, >= 0 and finite, in nats.
    alpha : float
        From 1 to 2, as for :func:`~mapl_explore.smooth_max`.

    Returns
    -------
    array (...)
        Within 4 eps; inf at a gap of 0, where tied leaders keep each other at 1/2 or less at every tau.
        Differentiable in torch where it is finite.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number of its domain, or the gap is inf (a set of one: its share is 1 at every tau).

    Examples
    --------
    >>> solve_tau_share(share=0.9, gap=[0.1, 1.0, 100.0]).round(4)
    array([21.9722,  2.1972,  0.022 ])
    """
    door = Door(share=share, gap=gap)
    share, gap = door.share(), door.gap()
    _require_share(door.xp, gap < math.inf)
    return door.leave(roots.tau_share(share, gap, door.alpha(alpha)))


def solve_tau_share_exact(scores: Numbers, *, share: Numbers, method: str = "newton", alpha: float = 1.0) -> Array:
    r"""Return the inverse temperature at which the leader share of these scores is ``share``, in 1/nats.

    .. math:: \sum_{i \neq (1)} e^{-\tau (s_{(1)} - s_i)} = \frac{1 - \text{share}}{\text{share}}

    That is the equation for alpha = 1; in general the leader's weight is share.

    Parameters
    ----------
    scores : array (..., n)
        Finite, in nats, at least two in every set; ``-inf`` marks padding.
    share : array (...)
        Target, strictly between 1/2 and 1.
    method, alpha : {"newton", "bracket"}, float
        As for :func:`solve_tau_upper`.

    Returns
    -------
    array (...)
        Within 4 eps of the root; inf where the maximum is tied, which keeps the share at 1/2 or less at every tau.
        Never below :func:`solve_tau_share`. Differentiable in torch where it is finite, twice.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As for :func:`solve_tau_share`, or if the iteration does not converge.

    Examples
    --------
    >>> solve_tau_share_exact([0.0, -1.0, -1.0, -3.0], share=0.9).round(4)
    np.float64(2.8919)
    """
    door = Door(scores=scores, share=share)
    scores, share = door.scores(), door.share()
    _require_share(door.xp, unchecked.top_gap(scores) < math.inf)
    return door.leave(roots.tau_share_exact(scores, share, method, door.alpha(alpha)))


def _require_root(xp: ModuleType, exists: Array) -> None:
    if not bool(xp.all(exists)):
        raise ValueError("no tau exists for n = 1 or an infinite gap: they have error 0 at every tau")


def _require_ratio(door: Door, gap: Array, epsilon: Array) -> None:
    with np.errstate(over="ignore"):
        ratio = gap / epsilon
    if not bool(door.xp.all(ratio < math.inf)):
        gap, epsilon, ratio = (array.reshape(-1) for array in door.xp.broadcast_arrays(gap, epsilon, ratio))
        place = int(door.xp.argmax(ratio))
        largest = door.xp.finfo(ratio.dtype).max
        raise ValueError(f"gap/epsilon must be <= {largest:.2g}, not {float(gap[place])!r}/{float(epsilon[place])!r}")


def _require_share(xp: ModuleType, exists: Array) -> None:
    if not bool(xp.all(exists)):
        raise ValueError("no tau exists for n = 1 or an infinite gap: the leader has share 1 at every tau")
