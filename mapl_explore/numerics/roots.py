"""The roots that the public functions of temperature return, without their checks, and how they are found.

Every equation is solved for t = tau*epsilon with a = gap/epsilon, where nothing overflows, in the form "concave and
increasing function of t = 0". Newton's method then climbs to the root from the left without ever passing it, and from
the right it lands on the left after one step.
"""

import math
from functools import partial

import numpy as np

from mapl_explore.numerics.arrays import Array, column, detach, in_blocks, like, namespace, row_sum, to_numpy
from mapl_explore.numerics.unchecked import log_sum, split_off_leader, terms_beyond

STEPS = 100  # 4 were the most for 3,000 random bounds, 5 for the exact root of a million ties


def tau_upper(epsilon: Array, others: Array, gap: Array, method: str = "newton") -> Array:
    """Return the root (...) for the upper bound, others being n - 1; that for the lower bound has one other."""
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


def tau_asymptotic(epsilon: Array, others: Array, gap: Array) -> Array:
    """Return the root (...) for the upper bound's asymptote."""
    return in_blocks(_tau_asymptotic_of_block, epsilon, others, gap)


def _tau_asymptotic_of_block(epsilon, others, gap):
    xp, a = namespace(gap), gap / epsilon
    # (n-1) exp(-W) is W/a, and right at a = 0 as well.
    start = others * xp.exp(-_lambert_w(others * a))
    t = _newton(_asymptotic_equation, (a, others), start)
    return _polished(_asymptotic_equation, (a, others), t) / epsilon


def tau_exact(scores: Array, epsilon: Array, method: str = "newton") -> Array:
    """Return the root (...) for the smoothing error of sets of two scores or more."""
    xp = namespace(scores)
    _, distance, others = split_off_leader(scores)
    distance, others = xp.broadcast_arrays(distance / column(epsilon), others)
    gap, count = detach(_nearest(distance, others)), _count(others, distance)
    one = xp.ones_like(gap)
    low, high = tau_upper(one, one, gap), tau_upper(one, count, gap)
    return _root(_exact_equation, (distance, others), low, (low, high), method) / epsilon


def tau_share(share: Array, gap: Array) -> Array:
    """Return the largest tau (...) at which the leader's share is certain to be at most this; inf at a gap of 0."""
    xp = namespace(gap)
    return xp.where(gap > 0, _log_odds(share) / xp.where(gap > 0, gap, 1.0), math.inf)


def tau_share_exact(scores: Array, share: Array, method: str = "newton") -> Array:
    """Return the tau (...) at which the leader's share is this, for two scores or more; inf at ties."""
    xp = namespace(scores)
    _, distance, others = split_off_leader(scores)
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
    return xp.log(grown) - log_sum(distance, others, t), t * (1 + 1 / grown) + t * _mean_distance(distance, others, t)


def _share_equation(tau, distance, others, log_odds):
    """Return -log(S(tau)) - log(share/(1-share)), and its slope in log tau."""
    return -log_sum(distance, others, tau) - log_odds, tau * _mean_distance(distance, others, tau)


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

    result = find_root(residual, ends, args=(np.arange(ends[0].size),))
    # Where gap/epsilon overflows the equation has no numbers, and the root finder calls its end of the bracket a root.
    if not np.all(result.success & np.isfinite(result.f_x)):
        raise RuntimeError("no convergence of the bracketing root finder; is gap/epsilon beyond the range of float64?")
    return like(result.x.reshape(tuple(low.shape)), low)


def _flat(parameter, leading):
    array = to_numpy(parameter)
    return array.reshape((-1, *array.shape[leading:]))


def _mean_distance(distance, others, tau):
    """Return the mean distance to the leader under the weights of the others: minus the slope of log S in tau."""
    _, nearest, beyond, terms = terms_beyond(distance, others, tau)
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
