r"""The inverse temperatures that meet a target where alpha is above 1: for the error, its bounds, the leader share.

The error is a maximum over weights, so its root is one as well, over the same weights:

.. math:: \tau = \max_w \frac{H_\alpha(w)}{\varepsilon + \sum_i w_i d_i}, \qquad d_i = s_{(1)} - s_i

Near the root the weights at a tau give the root to the square of their distance from it. Distances are (..., n), of
``count`` scores each, which is 0 at padding.
"""

import math
from collections.abc import Callable

import numpy as np

from mapl_explore.numerics.arrays import Array, column, detach, namespace, positions, row_sum
from mapl_explore.numerics.tsallis import deformed, error_with_weights, log_deformed

STEPS = 100  # 21 were the most in 3,000 random sets, where epsilon was 1e-13 of a gap at alpha = 1.9


def tau_error(epsilon: Array, distance: Array, count: Array, alpha: float) -> Array:
    """Return the root (...) for the error; the bounds are errors of equal distances."""
    xp = namespace(distance)
    with np.errstate(over="ignore"):  # of a far score, whose weight is 0
        scaled = xp.clip(detach(distance / column(epsilon)), max=xp.finfo(distance.dtype).max)
    tau = _root(_bracket(scaled, detach(count), alpha), _error_step(scaled, detach(count), alpha)) / detach(epsilon)
    # Through one step first derivatives are exact; second ones are exact through one more.
    for _ in range(2):
        tau = _stepped(tau, epsilon, distance, count, alpha)
    return tau


def share_distance(share: Array, log_odds: Array, alpha: float) -> Array:
    """Return tau times the gap (...) at which the leader and a single other share so."""
    xp, c = namespace(share), alpha - 1
    # share^c - (1-share)^c, without its cancellation near 1/2 and for c near 0.
    return xp.exp(c * xp.log(share)) * -xp.expm1(-c * log_odds) / c


def tau_share_exact(share: Array, log_odds: Array, distance: Array, count: Array, alpha: float) -> Array:
    """Return the tau (...) at which the leader has this share; all distances are above 0."""
    xp, c = namespace(distance), alpha - 1
    power, nearest = xp.exp(c * xp.log(share)), _nearest(distance, count)
    # In y = tau / share^c the sum of the others' weights over the leader's, to the power c, is convex and falls: it is
    # a norm of what is linear in y. So Newton's steps climb to the root from the nearest other's, which lies below it.
    fixed = detach(distance), detach(log_odds), count, detach(nearest)
    start = detach(share_distance(share, log_odds, alpha) / (power * nearest))
    y = _root((start, xp.full_like(start, math.inf)), lambda y: _share_step(y, *fixed, c))
    for _ in range(2):
        # A root within an ulp of 1/((alpha - 1) gap) may round to where the leader has all: it moves as that does.
        there = detach(y * nearest) / nearest
        y = xp.where(c * there * nearest < 1, y + _share_step(y, distance, log_odds, count, nearest, c), there)
    return y * power


def _share_step(y: Array, distance: Array, log_odds: Array, count: Array, nearest: Array, c: float) -> Array:
    """Return Newton's step, 0 where rounding leaves the others no weight."""
    xp, own = namespace(distance), y * nearest
    some = c * own < 1
    value, slope = deformed(column(y) * distance, count > 0, c)
    # The nearest's own term enters as its log: near a share of 1/2 all others vanish, and log(1 + tiny) is 0.
    place = xp.argmin(xp.where(count > 0, distance, math.inf), axis=-1, keepdims=True)
    log = log_deformed(xp.where(some, own, 0.0), c)
    log = log + xp.log1p(row_sum(xp.where(positions(distance) == place, 0.0, count * value)) / xp.exp(log))
    fall = xp.where(some, c * detach(row_sum(count * slope * distance)), 1.0)
    return xp.where(some, xp.exp(log) * -xp.expm1(-c * (log + log_odds)) / fall, 0.0)


@np.errstate(divide="ignore")  # by a gap of 0: ties have an error at every tau
def _bracket(scaled: Array, count: Array, alpha: float) -> tuple[Array, Array]:
    """Return two tau (...) around the root for an epsilon of 1."""
    xp, whole = namespace(scaled), row_sum(count)
    mean = row_sum(count / column(1 + whole) * xp.where(count > 0, scaled, 0.0))
    nearest = xp.abs(_nearest(scaled, count))  # -0.0 minus 0.0 is -0.0, of which the quotient would be -inf
    alike, two = _uniform(1 + whole, alpha), _uniform(xp.full_like(whole, 2.0), alpha)
    # Below: any weights do, those of all scores alike, or of the leader and the nearest. Above: the error is at most
    # that of ties, and 0 from 1/((alpha - 1) gap) on.
    return xp.maximum(alike / (1 + mean), two / (1 + nearest / 2)), xp.minimum(alike, 1 / ((alpha - 1) * nearest))


def _uniform(n: Array, alpha: float) -> Array:
    """Return the entropy of n equal weights (...)."""
    xp, c = namespace(n), alpha - 1
    return -xp.expm1(-c * xp.log(n)) / (alpha * c)


def _nearest(distance: Array, count: Array) -> Array:
    xp = namespace(distance)
    return xp.min(xp.where(count > 0, distance, math.inf), axis=-1)


def _error_step(distance: Array, count: Array, alpha: float) -> Callable[[Array], Array]:
    """Return Newton's step for an epsilon of 1, of (alpha tau E)^k with k = (alpha - 1)/alpha.

    That is nearly straight in tau where E is small, up to where it is 0, and tends to log(tau E) as alpha falls to 1.
    """
    xp, k = namespace(distance), (alpha - 1) / alpha

    def step(tau: Array) -> Array:
        error, spread = _error_and_spread(tau, distance, count, alpha)
        positive = error > 0
        log = xp.log(xp.where(positive, error / tau, 1.0))
        rise = xp.where(positive, xp.expm1(k * log) / k, -1 / k)
        return tau * rise / (1 + xp.where(positive, xp.exp((k - 1) * log), 0.0) * spread)

    return step


def _stepped(tau: Array, epsilon: Array, distance: Array, count: Array, alpha: float) -> Array:
    error, spread = _error_and_spread(tau, distance, count, alpha)
    # A root within an ulp of 1/((alpha - 1) gap) may round to where the leader has all: it moves as that does.
    nearest = _nearest(distance, count)
    there = detach(tau * nearest) / namespace(tau).where(nearest > 0, nearest, 1.0)
    # The slope has no graph: next to where the error ends it moves by 1e7 times as much as the distances, and times a
    # residual of an eps that was five times the gradient.
    return namespace(tau).where(error > 0, tau + (error - tau * epsilon) / detach(epsilon + spread), there)


def _error_and_spread(tau: Array, distance: Array, count: Array, alpha: float) -> tuple[Array, Array]:
    """Return tau times the error, and the mean distance to the leader under the weights (...)."""
    error, found = error_with_weights(column(tau) * distance, count, alpha)
    return error, row_sum(count * found.others * distance)


@np.errstate(over="ignore", divide="ignore")
def _root(bracket: tuple[Array, Array], step_at: Callable[[Array], Array]) -> Array:
    """Return the root (...) without a graph: Newton's steps from its left, or halving where one leaves the bracket."""
    xp, (low, high) = namespace(bracket[0]), bracket
    near, tau = 64 * xp.finfo(low.dtype).eps, low
    for _ in range(STEPS):
        step = step_at(tau)
        low, high = xp.where(step >= 0, tau, low), xp.where(step < 0, tau, high)
        # Next to where the error ends, a step may lead beyond neighbouring floats, and the bracket alone comes to rest.
        done = (xp.abs(step) <= near * tau) | (high - low <= near / 16 * tau)
        if bool(xp.all(done)):
            return xp.minimum(xp.maximum(tau + step, low), high)
        new = tau + step
        tau = xp.where(done | ((new > low) & (new < high)), new, low + (high - low) / 2)
    raise RuntimeError(f"no convergence in {STEPS} steps")
