"""What the public functions of smoothing and bounds compute, without their checks: for losses, which run at every step.

Arrays are of one library and dtype, scores are (..., n) with -inf at padding, parameters are (...) and in their domain.
alpha says which smoothing: 1 is log-sum-exp, computed here; above it is :mod:`~mapl_explore.numerics.tsallis`.
"""

import math
from collections.abc import Callable

import numpy as np

from mapl_explore.numerics import tsallis
from mapl_explore.numerics.arrays import Array, column, detach, namespace, positions, row_sum


def smooth_max(scores: Array, tau: Array, alpha: float = 1.0) -> Array:
    """Return the smooth maximum (...)."""
    leader, distance, others = split_off_leader(scores)
    return leader + _error(distance, others, tau, alpha)


def smoothing_error(scores: Array, tau: Array, alpha: float = 1.0) -> Array:
    """Return by how much the smooth maximum exceeds the maximum (...)."""
    _, distance, others = split_off_leader(scores)
    return _error(distance, others, tau, alpha)


@np.errstate(over="ignore")
def smooth_max_weights(scores: Array, tau: Array, alpha: float = 1.0) -> Array:
    """Return the gradient of the smooth maximum in the scores (..., n): at alpha = 1 the softmax of tau * scores."""
    xp = namespace(scores)
    _, distance, others = split_off_leader(scores)
    if alpha > 1:
        found = tsallis.weights(column(tau) * distance, xp.astype(others, distance.dtype), alpha)
        leader = positions(scores) == xp.argmax(scores, axis=-1, keepdims=True)
        return xp.where(leader, column(xp.exp(found.log)), found.others)
    # The leader's distance to itself is 0, so its term is 1, and the total 1 + S.
    terms = xp.where(scores > -math.inf, xp.exp(-column(tau) * distance), 0.0)
    return terms / column(row_sum(terms))


@np.errstate(over="ignore")  # of distances: their terms are 0
def smooth_max_with_weights(scores: Array, tau: Array, alpha: float = 1.0) -> tuple[Array, Array]:
    """Return the smooth maximum (...) and its weights (..., n) from one pass, for use without a graph."""
    xp = namespace(scores)
    if alpha in (1.5, 2):
        error, weights = tsallis.closed_form(scores, tau, alpha)
        return xp.max(scores, axis=-1) + error, weights
    place = xp.argmax(scores, axis=-1, keepdims=True)
    leader = xp.take_along_axis(scores, place, axis=-1)
    if alpha > 1:
        _, distance, others = split_off_leader(scores)
        count = xp.astype(others, distance.dtype)
        error, found = tsallis.error_with_weights(column(tau) * distance, count, alpha)
        weights = xp.where(positions(scores) == place, column(xp.exp(found.log)), found.others)
        return leader[..., 0] + error / tau, weights
    # 1 at the leader and, without a gradient to spoil, exp(-inf) = 0 at padding.
    terms = xp.exp(-column(tau) * (leader - scores))
    total = row_sum(xp.where(positions(scores) == place, 0.0, terms))
    return leader[..., 0] + xp.log1p(total) / tau, terms / column(1 + total)


def top_gap(scores: Array) -> Array:
    """Return the largest minus the second largest score (...), inf where there is no second."""
    xp = namespace(scores)
    leader, _, others = split_off_leader(scores)
    # Read through argmax: torch's amax would split the gradient among tied seconds.
    second = xp.argmax(xp.where(others, scores, -math.inf), axis=-1, keepdims=True)
    with np.errstate(over="ignore"):  # scores of both signs can lie further apart than the dtype reaches: inf
        gap = leader - xp.take_along_axis(scores, second, axis=-1)[..., 0]
    return xp.where(xp.any(others, axis=-1), gap, math.inf)


def split_off_leader(scores: Array) -> tuple[Array, Array, Array]:
    """Return the leader's score (...), the distances to it (..., n), and the mask of the others (..., n)."""
    xp = namespace(scores)
    # One leader, by argmax: torch's amax splits its gradient at ties, which the left-out term does not; (1, 1, 0)
    # then gave (.24, .73, .02) where softmax is (.49, .49, .02).
    place = xp.argmax(scores, axis=-1, keepdims=True)
    leader = xp.take_along_axis(scores, place, axis=-1)
    others = (positions(scores) != place) & (scores > -math.inf)
    with np.errstate(over="ignore"):
        distance = leader - scores
    # Distances at padding are infinite, and infinity times a zero gradient is NaN: they become 0 before anything else,
    # and one that overflows, as that of 1e308 and -1e308, becomes the largest number there is.
    distance = xp.where(others, xp.clip(distance, max=xp.finfo(distance.dtype).max), 0.0)
    return leader[..., 0], distance, others


@np.errstate(over="ignore")  # of tau * distance: the weight is 0
def _error(distance: Array, others: Array, tau: Array, alpha: float) -> Array:
    xp = namespace(distance)
    if alpha > 1:
        error, _ = tsallis.error_with_weights(column(tau) * distance, xp.astype(others, distance.dtype), alpha)
        return error / tau
    alone = ~xp.any(others, axis=-1)
    z = log_sum(distance, others, tau)
    return xp.where(alone, 0.0, exp_over(z, tau, outer=xp.log1p))


@np.errstate(over="ignore")  # of tau * distance: the term is 0
def log_sum(distance: Array, others: Array, tau: Array) -> Array:
    """Return log of S = the sum over the others of exp(-tau * distance); 0 where there are no others."""
    xp = namespace(distance)
    place, nearest, beyond, terms = terms_beyond(distance, others, tau)
    # The nearest's own term is 1. It enters as expm1, 0 with its gradient, and log1p adds the 1: log(1 + tiny) would
    # round tiny away, and with it the root for a share near 1/2 (8,500 eps at 0.500003).
    own = xp.expm1(-column(tau) * beyond)
    rest = row_sum(xp.where(positions(distance) == place, own, terms))
    return xp.log1p(rest) - tau * nearest


@np.errstate(over="ignore")
def terms_beyond(distance: Array, others: Array, tau: Array) -> tuple[Array, Array, Array, Array]:
    """Return the nearest other's place and distance, how far all lie beyond it, and exp(-tau * beyond), 0 elsewhere."""
    xp = namespace(distance)
    # With the nearest factored out nothing underflows that matters; the plain sum loses 74,000 eps in float32 on its
    # way to 0. It cancels from the sum, so it is a constant to the gradient.
    fixed = xp.where(others, detach(distance), math.inf)
    place = xp.argmin(fixed, axis=-1, keepdims=True)
    nearest = xp.take_along_axis(fixed, place, axis=-1)
    nearest = xp.where(nearest < math.inf, nearest, 0.0)
    beyond = xp.where(others, distance - nearest, 0.0)
    return place, nearest[..., 0], beyond, xp.where(others, xp.exp(-column(tau) * beyond), 0.0)


def exp_over(z: Array, tau: Array, *, outer: Callable[[Array], Array]) -> Array:
    """Return outer(exp(z)) / tau for an outer with outer(y) = y (1 + O(y)), also where exp(z) underflows first."""
    xp = namespace(z)
    # Below this, outer(y) is y to half an eps, and one exp of everything loses nothing on the way. Above it the
    # quotient stays outside: log(tau) is rounded by up to 28 eps, much where 1 + tau*gap + log n is little.
    tiny = z < math.log(xp.finfo(z.dtype).eps)
    quotient = outer(xp.exp(xp.where(tiny, 0.0, z))) / tau
    return xp.where(tiny, xp.exp(xp.where(tiny, z - xp.log(tau), 0.0)), quotient)


@np.errstate(over="ignore")  # of tau * gap: the weight is 0
def upper_bound(others: Array, gap: Array, tau: Array, alpha: float = 1.0) -> Array:
    """Return the upper bound on the error (...), others being n - 1; the lower bound is that of one other."""
    if alpha > 1:
        xp, paired = namespace(gap), gap < math.inf
        x, count = xp.broadcast_arrays(xp.where(paired, gap, 0.0) * tau, xp.where(paired, others, 0.0))
        error, _ = tsallis.error_with_weights(column(x), column(count), alpha)
        return error / tau
    return _through_exp(others, gap, tau, outer=namespace(gap).log1p)


def asymptote(others: Array, gap: Array, tau: Array) -> Array:
    """Return the upper bound's asymptote for large tau (...)."""
    return _through_exp(others, gap, tau, outer=lambda y: y)


def _through_exp(others: Array, gap: Array, tau: Array, *, outer: Callable[[Array], Array]) -> Array:
    z, paired = _exponent(others, gap, tau)
    return namespace(gap).where(paired, exp_over(z, tau, outer=outer), 0.0)


@np.errstate(over="ignore")
def _exponent(others: Array, gap: Array, tau: Array) -> tuple[Array, Array]:
    """Return log(others) - tau*gap, made finite where there is no other score, and where there is one."""
    xp = namespace(gap)
    paired = (others > 0) & (gap < math.inf)
    # An infinite gap would turn the gradient in tau into inf * 0.
    gap = xp.where(paired, gap, 0.0)
    # log(n-1) joins the exponent: (n-1) * exp(-tau*gap) loses up to 74,000 eps in float32 as exp underflows.
    return xp.log(xp.where(paired, others, 1.0)) - tau * gap, paired
