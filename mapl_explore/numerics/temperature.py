"""The inverse temperature that meets a target: for the smoothing error, for its bounds, for the leader share.

    tau_lower  <=  tau_exact  <=  tau_upper  <=  tau_asymptotic                    (one epsilon, one set)

    tau <= tau_lower: the error is at least epsilon, whatever the other scores are.
    tau >= tau_upper: the error is at most epsilon, whatever the other scores are.

Every equation is solved for t = tau*epsilon with a = gap/epsilon, where nothing overflows, in the form "concave and
increasing function of t = 0". Newton's method then climbs to the root from the left without ever passing it, and from
the right it lands on the left after one step.
"""

import math
from functools import partial

import numpy as np

from mapl_explore.numerics.arrays import Array, Door, column, detach, in_blocks, like, namespace, row_sum, to_numpy
from mapl_explore.numerics.smoothing import _log_sum, _split, _terms, _top_gap

STEPS = 100  # 4 were the most for 3,000 random bounds, 5 for the exact root of a million ties


def solve_tau_upper(*, epsilon: Array, n: Array, gap: Array, method: str = "newton") -> Array:
    r"""Return the inverse temperature at which the upper bound on the smoothing error is epsilon, in 1/nats.

    .. math:: \frac1\tau \log\bigl(1 + (n-1) e^{-\tau\delta}\bigr) = \varepsilon

    At this tau and above, no n scores with this gap have an error of more than epsilon.

    Parameters
    ----------
    epsilon : array (...)
        Target > 0, in nats.
    n : int or integer array (...)
        Number of finite scores, >= 2.
    gap : array (...)
        Largest minus second largest score, >= 0 and finite, in nats.
    method : {"newton", "bracket"}
        ``"bracket"`` is SciPy's ``optimize.elementwise.find_root`` between proven bounds, some 12 times slower.

    Returns
    -------
    array (...)
        Within 4 eps of the root, which is the only one. It falls as epsilon grows and as gap grows, and rises with n.
        Differentiable in torch, by implicit differentiation, twice.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number of its domain, or there is no root (n = 1, infinite gap: the bound is 0).
    RuntimeError
        If the iteration does not converge, as when gap/epsilon overflows.

    Examples
    --------
    >>> solve_tau_upper(epsilon=0.1, n=4, gap=1.0).round(3)
    np.float64(2.402)
    """
    door = Door(epsilon=epsilon, n=n, gap=gap)
    epsilon, others, gap = door.positive("epsilon"), door.others(), door.gap()
    _require_root(door.xp, (others > 0) & (gap < math.inf))
    return door.leave(_tau_upper(epsilon, others, gap, method))


def solve_tau_lower(*, epsilon: Array, gap: Array, method: str = "newton") -> Array:
    r"""Return the inverse temperature at which the lower bound on the smoothing error is epsilon, in 1/nats.

    .. math:: \frac1\tau \log\bigl(1 + e^{-\tau\delta}\bigr) = \varepsilon

    At this tau and below, no scores with this gap have an error of less than epsilon.

    Parameters
    ----------
    epsilon : array (...)
        Target > 0, in nats.
    gap : array (...)
        Largest minus second largest score, >= 0 and finite, in nats.
    method : {"newton", "bracket"}
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
    return door.leave(_tau_upper(epsilon, door.xp.ones_like(gap), gap, method))


def solve_tau_asymptotic(*, epsilon: Array, n: Array, gap: Array) -> Array:
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
    door = Door(epsilon=epsilon, n=n, gap=gap)
    epsilon, others, gap = door.positive("epsilon"), door.others(), door.gap()
    _require_root(door.xp, (others > 0) & (gap < math.inf))
    return door.leave(_tau_asymptotic(epsilon, others, gap))


def solve_tau_exact(scores: Array, *, epsilon: Array, method: str = "newton") -> Array:
    r"""Return the inverse temperature at which the smoothing error of these scores is epsilon, in 1/nats.

    .. math:: \mathrm{smoothing\_error}(s; \tau) = \varepsilon

    Parameters
    ----------
    scores : array (..., n)
        Finite, in nats, at least two in every set; ``-inf`` marks padding.
    epsilon : array (...)
        Target > 0, in nats.
    method : {"newton", "bracket"}
        As for :func:`solve_tau_upper`.

    Returns
    -------
    array (...)
        Within 4 eps of the root, which is the only one, also at tied maxima. It lies between
        :func:`solve_tau_lower` and :func:`solve_tau_upper`, but for their rounding.
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
    _require_root(door.xp, _top_gap(scores) < math.inf)
    return door.leave(_tau_exact(scores, epsilon, method))


def solve_tau_share(*, share: Array, gap: Array) -> Array:
    r"""Return the largest inverse temperature at which a leader share of at most ``share`` is certain, in 1/nats.

    .. math:: \tau = \log\frac{\text{share}}{1 - \text{share}} \Big/ \delta

    The leader's weight in the smooth maximum is then at most ``share``, so at least 1 - share of the gradient reaches
    the others, however many there are. With a single other score the leader has exactly ``share``.

    Parameters
    ----------
    share : array (...)
        Target, strictly between 1/2 and 1.
    gap : array (...)
        Largest minus second largest score, >= 0 and finite, in nats.

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
    return door.leave(_tau_share(share, gap))


def solve_tau_share_exact(scores: Array, *, share: Array, method: str = "newton") -> Array:
    r"""Return the inverse temperature at which the leader share of these scores is ``share``, in 1/nats.

    .. math:: \sum_{i \neq (1)} e^{-\tau (s_{(1)} - s_i)} = \frac{1 - \text{share}}{\text{share}}

    Parameters
    ----------
    scores : array (..., n)
        Finite, in nats, at least two in every set; ``-inf`` marks padding.
    share : array (...)
        Target, strictly between 1/2 and 1.
    method : {"newton", "bracket"}
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
    _require_share(door.xp, _top_gap(scores) < math.inf)
    return door.leave(_tau_share_exact(scores, share, method))


def _tau_upper(epsilon, others, gap, method="newton"):
    return in_blocks(partial(_tau_upper_of_block, method), epsilon, others, gap)


def _tau_upper_of_block(method, epsilon, others, gap):
    xp, a = namespace(gap), gap / epsilon
    log_n = xp.log1p(others)
    # Two upper brackets: the root at gap 0, and the root once log(expm1(t)) is replaced by its lower bound
    # log(t) + t/2, which leaves a Lambert W; its approximation makes the second a start value only.
    start = xp.minimum(log_n, _lambert_w(others * (a + 0.5)) / (a + 0.5))
    # The tangent of the convex log(1 + others*exp(-a*t)) at t = 0 meets t below the root.
    low = log_n / (1 + a * others / (1 + others))
    return _root(_upper_equation, (a, xp.log(others)), start, (low, log_n), method) / epsilon


def _tau_asymptotic(epsilon, others, gap):
    return in_blocks(_tau_asymptotic_of_block, epsilon, others, gap)


def _tau_asymptotic_of_block(epsilon, others, gap):
    xp, a = namespace(gap), gap / epsilon
    # (n-1) exp(-W) is W/a, and right at a = 0 as well.
    start = others * xp.exp(-_lambert_w(others * a))
    t = _newton(_asymptotic_equation, (a, others), start)
    return _polished(_asymptotic_equation, (a, others), t) / epsilon


def _tau_exact(scores, epsilon, method="newton"):
    xp = namespace(scores)
    _, distance, others = _split(scores)
    distance, others = xp.broadcast_arrays(distance / column(epsilon), others)
    gap, count = detach(_nearest(distance, others)), _count(others, distance)
    one = xp.ones_like(gap)
    low, high = _tau_upper(one, one, gap), _tau_upper(one, count, gap)
    return _root(_exact_equation, (distance, others), low, (low, high), method) / epsilon


def _tau_share(share, gap):
    xp = namespace(gap)
    return xp.where(gap > 0, _log_odds(share) / xp.where(gap > 0, gap, 1.0), math.inf)


def _tau_share_exact(scores, share, method="newton"):
    xp = namespace(scores)
    _, distance, others = _split(scores)
    tied = xp.any(others & (distance == 0), axis=-1)
    # A tied set has no root: it solves a harmless equation along with the rest, and is told apart at the end.
    distance = xp.where(column(tied), 1.0, distance)
    log_odds = _log_odds(share)
    distance, others, odds_column = xp.broadcast_arrays(distance, others, column(log_odds))
    log_odds = odds_column[..., 0]
    gap = _nearest(distance, others)
    low, high = log_odds / gap, (log_odds + xp.log(_count(others, distance))) / gap
    tau = _root(_share_equation, (distance, others, log_odds), low, (low, high), method)
    return xp.where(tied, math.inf, tau)


def _upper_equation(t, a, log_others):
    """Return log(expm1(t)) + a*t - log(n-1), and its slope in log t."""
    xp = namespace(t)
    grown = xp.expm1(t)
    return xp.log(grown) + a * t - log_others, t * (1 + 1 / grown) + a * t


def _asymptotic_equation(t, a, others):
    """Return log(t/(n-1)) + a*t, and its slope in log t."""
    # One log of the quotient: at a small gap log(t) - log(n-1) cancels, and was 8 eps off.
    return namespace(t).log(t / others) + a * t, 1 + a * t


def _exact_equation(t, distance, others):
    """Return log(expm1(t)) - log(S(t)), and its slope in log t."""
    xp = namespace(t)
    grown = xp.expm1(t)
    return xp.log(grown) - _log_sum(distance, others, t), t * (1 + 1 / grown) + t * _mean_distance(distance, others, t)


def _share_equation(tau, distance, others, log_odds):
    """Return -log(S(tau)) - log(share/(1-share)), and its slope in log tau."""
    return -_log_sum(distance, others, tau) - log_odds, tau * _mean_distance(distance, others, tau)


def _root(equation, parameters, start, bracket, method):
    if method not in ("newton", "bracket"):
        raise ValueError(f"method must be 'newton' or 'bracket', not {method!r}")
    t = _newton(equation, parameters, start) if method == "newton" else _bracketed(equation, parameters, *bracket)
    return _polished(equation, parameters, t)


def _newton(equation, parameters, start):
    parameters, t = [detach(parameter) for parameter in parameters], detach(start)
    xp = namespace(t)
    # 8 eps: in float32 a step of 2 eps may never come. The last step leaves an error of the order of its square.
    near = 8 * xp.finfo(t.dtype).eps
    for _ in range(STEPS):
        residual, slope = equation(t, *parameters)
        step = residual / slope
        t = t * (1 - step)
        if bool(xp.all(xp.abs(step) <= near)):
            return t
    raise RuntimeError(f"no convergence in {STEPS} steps; is gap/epsilon beyond the range of {t.dtype}?")


def _polished(equation, parameters, t):
    """Return t after one more step, through which the gradients of the parameters flow: implicit differentiation."""
    once = _stepped(equation, parameters, t)
    if not getattr(once, "requires_grad", False):
        return once
    # Through one step the first derivatives are exact; the second ones are, through a step from where it led.
    twice = _stepped(equation, parameters, once)
    return detach(once) + (twice - detach(twice))


def _stepped(equation, parameters, t):
    residual, slope = equation(t, *parameters)
    return t * (1 - residual / detach(slope))


def _bracketed(equation, parameters, low, high):
    from scipy.optimize.elementwise import find_root  # 0.5 s, of which nothing else has need

    # A proven bracket may miss by an ulp in floats; four ulps of its own dtype put that right.
    margin = 4 * float(namespace(low).finfo(low.dtype).eps)
    flat = [_flat(parameter, low.ndim) for parameter in parameters]
    ends = _flat(low, low.ndim) * (1 - margin), _flat(high, low.ndim) * (1 + margin)

    def residual(t, row):
        return equation(t, *(parameter[row] for parameter in flat))[0]

    found = find_root(residual, ends, args=(np.arange(ends[0].size),))
    # Where gap/epsilon overflows the equation has no numbers, and the root finder calls its end of the bracket a root.
    if not np.all(found.success & np.isfinite(found.f_x)):
        raise RuntimeError("no convergence of the bracketing root finder; is gap/epsilon beyond the range of float64?")
    return like(found.x.reshape(tuple(low.shape)), low)


def _flat(parameter, leading):
    array = to_numpy(parameter)
    return array.reshape((-1, *array.shape[leading:]))


def _mean_distance(distance, others, tau):
    """Return the mean distance to the leader under the weights of the others: minus the slope of log S in tau."""
    _, nearest, beyond, terms = _terms(distance, others, tau)
    return nearest + row_sum(terms * beyond) / row_sum(terms)


def _nearest(distance, others):
    xp = namespace(distance)
    return xp.min(xp.where(others, distance, math.inf), axis=-1)


def _count(others, array):
    xp = namespace(array)
    return row_sum(xp.astype(others, array.dtype))


def _log_odds(share):
    # share/(1-share) - 1 = (2*share - 1)/(1 - share), whose numerator is exact: no cancellation near 1/2.
    return namespace(share).log1p((2 * share - 1) / (1 - share))


def _lambert_w(x):
    """Return W0(x) for x >= 0 to 2 percent, a start value (Iacono and Boyd 2017, doi:10.1007/s10444-017-9530-3)."""
    xp = namespace(x)
    log = xp.log1p(x)
    return log * (1 - xp.log1p(log) / (2 + log))


def _require_root(xp, exists):
    if not bool(xp.all(exists)):
        raise ValueError("no tau exists for n = 1 or an infinite gap: they have error 0 at every tau")


def _require_share(xp, exists):
    if not bool(xp.all(exists)):
        raise ValueError("no tau exists for n = 1 or an infinite gap: the leader has share 1 at every tau")
