r"""The smoothings of Tsallis' entropy for 1 < alpha <= 2, of which log-sum-exp is the limit: weights and error.

With the distances :math:`x_i = \tau (s_{(1)} - s_i)` to the leader and :math:`c = \alpha - 1` the weights are

.. math:: w_i = q\,[1 - c\,x_i/q^c]_+^{1/c},

where q, the leader's own, makes them add up to 1. With :math:`\sigma = 1 - q` the error is a sum of what is positive,
so that nothing cancels, however small it is:

.. math:: \tau E = \int_0^\sigma t\,(1-t)^{c-1}\,dt + \frac1\alpha \sum_{i \ne (1)} w_i^\alpha

Its slope in q is 0 at the solution: an error in q costs E its square only.

Torch's gradients need :math:`\tau c` above the reciprocal of the largest number of the dtype, 3e-39 in float32 and
6e-309 in float64: near there and below they may be NaN, as :math:`1/(\tau c)` is beyond the dtype.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mapl_explore.numerics.arrays import Array, column, detach, namespace, positions, row_sum

STEPS = 100  # 21 were the most in 600 sets of 30,000 ties next to where they lose their weight
MANY = 16  # of fewer others a line's root makes weights that add up to 1 within 12 eps, of 128 within 660
HALF = 0.5  # of sigma, c*zeta and base: below and above it different forms keep all digits


class Weights(NamedTuple):
    """The weights of the others (..., n), each that of one score; of the leader 1 - q, log q and q^c (...)."""

    others: Array
    rest: Array
    log: Array
    power: Array


@np.errstate(over="ignore", divide="ignore")
def weights(x: Array, count: Array, alpha: float) -> Weights:
    """Return the weights at x = tau * distance (..., n), where ``count`` scores each are, 0 at padding."""
    xp, c, fixed = namespace(x), alpha - 1, detach(x)
    nearest = _nearest(fixed, count)
    zeta, base = _root(fixed, detach(count), nearest, c)
    # With the graph: implicit differentiation, of the first order; the error needs no more for its second derivatives.
    left, slope = _left_over(x, count, nearest, c, zeta, base)
    step = left / detach(slope)
    step = step - detach(step)
    zeta, base = zeta + step, base - c * step
    others, _ = _others(x, count > 0, nearest, c, zeta, base)
    # Many ties make q^c small, and 1 - c*zeta loses it: there it is a sum.
    power = xp.where(c * zeta > HALF, c * nearest + base, 1 - c * zeta)
    log = xp.where(c * zeta > HALF, xp.log(power) / c, log_deformed(zeta, c))
    return Weights(others, -xp.expm1(log), log, power)


def error_with_weights(x: Array, count: Array, alpha: float) -> tuple[Array, Weights]:
    """Return tau times the error (...), and the weights, of the same arguments."""
    found = weights(x, count, alpha)
    return _integral(found, alpha) + row_sum(count * found.others**alpha) / alpha, found


@np.errstate(over="ignore")  # of tau * distance: the weight is 0
def closed_form(scores: Array, tau: Array, alpha: float) -> tuple[Array, Array]:
    """Return the error (...) and all weights (..., n) at alpha 3/2 or 2, in a quarter of the time; without a graph.

    With y = c*x, q^c is base + y of the nearest other, and each other weight [base - z]^(1/c), where z is by how much
    its y is larger: all weights add up to 1 where a line or a parabola in the base is 0.
    """
    xp, c = namespace(scores), alpha - 1
    ordered = xp.sort(scores, axis=-1, descending=True)
    leader, sharp = ordered[..., :1], column(c * tau)
    y = xp.clip(sharp * (leader - ordered), max=1.0)  # from 1 on the weight is 0: q^c is at most 1
    near, z = y[..., :2][..., -1:], y[..., 1:] - y[..., :2][..., -1:]
    base = _line(near, z) if c == 1 else _parabola(near, z)
    others, lost = xp.clip(base - z, min=0.0), (1 - near - base)[..., 0]  # 1 - q^c, which is 1 - q at alpha 2
    if c == 1:
        error = (lost * lost + row_sum(others * others)) / 2
    else:
        error = 2 / 3 * (lost * lost * (3 - lost) + row_sum(others * others * others))
    powers = xp.clip(base + (near - sharp * (leader - scores)), min=0.0)
    return error / tau, powers if c == 1 else powers * powers


def _line(near: Array, z: Array) -> Array:
    """Return the base (..., 1) for the y (..., 1) of the nearest other and how far all lie beyond it, in order."""
    # The sum of [base - z] over all is the largest that one has over the first k, so its root is the least of theirs.
    xp, whole = namespace(z), 1 - near
    candidates = xp.concat([whole, (whole + xp.cumulative_sum(z, axis=-1)) / (1 + _counts(z))], axis=-1)
    base = xp.min(candidates, axis=-1, keepdims=True)
    if z.shape[-1] < MANY:
        return base

    def left(base: Array) -> tuple[Array, Array]:
        above = xp.clip(base - z, min=0.0)
        return row_sum(above) - (whole - base)[..., 0], 1 + row_sum(xp.astype(above > 0, z.dtype))

    return _lowered(base, whole, left, 2 * xp.finfo(z.dtype).eps)


def _parabola(near: Array, z: Array) -> Array:
    """Return the base (..., 1) for the y (..., 1) of the nearest other and how far all lie beyond it, in order."""
    xp, k, whole = namespace(z), 1 + _counts(z), 1 - near
    total, squares = xp.cumulative_sum(z, axis=-1) - near, xp.cumulative_sum(z * z, axis=-1)
    roots = (total + xp.sqrt(xp.clip(total * total + k * (whole * (1 + near) - squares), min=0.0))) / k
    # The least of those with as many as have a weight; they fall with their number.
    base = xp.min(xp.concat([whole, xp.where(roots > z, roots, whole)], axis=-1), axis=-1, keepdims=True)

    def left(base: Array) -> tuple[Array, Array]:
        above, power = xp.clip(base - z, min=0.0), near + base
        others = row_sum(above * above) - ((whole - base) * (1 + power))[..., 0]
        return others, 2 * (row_sum(above) + power[..., 0])

    # The slope has no jumps: after a step of m times the base at most n m^2 times it is left.
    return _lowered(base, whole, left, math.sqrt(xp.finfo(z.dtype).eps / (1 + z.shape[-1])))


def _lowered(base: Array, most: Array, left: Callable[[Array], tuple[Array, Array]], enough: float) -> Array:
    """Return the base (..., 1) after Newton's steps, of what the weights add up to beyond 1 and its slope (...).

    The last step is the first that is at most ``enough`` times the base.
    """
    # It is convex: a step from below the root leads above it, and those from above come down to it. Then rounding leads
    # below it, and a slope without the weights that vanished would lead far back: 650 n eps in what they add up to.
    xp = namespace(base)
    for _ in range(STEPS):
        value, slope = left(base)
        new = xp.clip(xp.minimum(base - column(value / slope), most), min=0.0)
        moved, base, most = xp.abs(new - base), new, new
        if bool(xp.all(moved <= enough * base)):
            return base
    raise RuntimeError(f"no convergence in {STEPS} steps")


def _counts(array: Array) -> Array:
    """Return 1, 2, ..., n along the last axis, in the array's dtype."""
    return namespace(array).astype(1 + positions(array), array.dtype)


def _nearest(x: Array, count: Array) -> Array:
    """Return the least x (...), 0 where there is none."""
    xp = namespace(x)
    nearest = xp.min(xp.where(count > 0, x, math.inf), axis=-1)
    return xp.where(nearest < math.inf, nearest, 0.0)


def _root(x: Array, count: Array, nearest: Array, c: float) -> tuple[Array, Array]:
    """Return zeta = (1 - q^c)/c and base = 1 - c*(nearest + zeta) (...), from which the others' weights come.

    What is left over falls in zeta and is convex: Newton's method climbs to the root. Each of the two numbers keeps
    its digits, where the other one is much larger; where rounding sets them apart, they belong to a tau an eps away.
    """
    xp = namespace(x)
    limits, whole = xp.finfo(x.dtype), xp.clip(1 - c * nearest, min=0.0)
    zeta, base = xp.zeros_like(nearest), whole
    for _ in range(STEPS):
        left, slope = _left_over(x, count, nearest, c, zeta, base)
        # Rounding alone leads beyond the root, and there a slope without the weights that vanished leads far back.
        step = xp.maximum(left / slope, -limits.eps * whole / c)
        zeta, base = xp.clip(zeta + step, min=0.0), xp.maximum(base - c * step, limits.eps * base)
        if bool(xp.all(xp.abs(step) <= 64 * limits.eps * xp.minimum(zeta, base / c) + 4 * limits.smallest_normal)):
            return zeta, base
    raise RuntimeError(f"no convergence in {STEPS} steps")


def _left_over(x: Array, count: Array, nearest: Array, c: float, zeta: Array, base: Array) -> tuple[Array, Array]:
    """Return by how much the others' weights add up to more than 1 - q, and minus its slope in zeta."""
    xp, log = namespace(x), log_deformed(zeta, c)
    value, slope = _others(x, count > 0, nearest, c, zeta, base)
    return row_sum(count * value) + xp.expm1(log), row_sum(count * slope) + xp.exp((1 - c) * log)


def _others(x: Array, there: Array, nearest: Array, c: float, zeta: Array, base: Array) -> tuple[Array, Array]:
    """Return the others' weights (..., n), [base - c*(x - nearest)]_+ ^ (1/c), and minus their slopes in zeta."""
    xp, bases = namespace(x), column(base) - c * (x - column(nearest))
    if c in (HALF, 1.0):
        return _powers(bases, there, c)
    there = there & (bases > 0)
    bases, small = xp.where(there, bases, 1.0), column(base) < HALF
    # For c near 0 all bases are near 1, and their distances from it count.
    log = xp.where(small, xp.log(bases) / c, log_deformed(xp.where(there & ~small, x + column(zeta), 0.0), c))
    value = xp.where(there, xp.exp(log), 0.0)
    return value, value / bases


def deformed(y: Array, there: Array, c: float) -> tuple[Array, Array]:
    """Return [1 - c*y]_+ ^ (1/c), which tends to exp(-y) as c falls to 0, and minus its slope in y."""
    xp, base = namespace(y), 1 - c * y
    if c in (0.5, 1.0):
        return _powers(base, there, c)
    there = there & (base > 0)
    value = xp.exp(log_deformed(xp.where(there, y, 0.0), c))
    return xp.where(there, value, 0.0), xp.where(there, value / xp.where(there, base, 1.0), 0.0)


def _powers(base: Array, there: Array, c: float) -> tuple[Array, Array]:
    """Return [base]_+ ^ (1/c) and its slope times c; both are 0 where nothing is there."""
    xp = namespace(base)
    there = there & (base > 0)
    safe = xp.where(there, base, 1.0)
    slope = xp.ones_like(safe) if c == 1 else safe if c == HALF else safe ** (1 / c - 1)
    return xp.where(there, safe * slope, 0.0), xp.where(there, slope, 0.0)


def log_deformed(y: Array, c: float) -> Array:
    """Return log(1 - c*y)/c."""
    xp = namespace(y)
    # c*y may underflow, and y must not with it: two terms of the series are right to an eps, and so is their curvature.
    small = c * y < xp.finfo(y.dtype).eps
    return xp.where(small, -y * (1 + c * y / 2), xp.log1p(-c * xp.where(small, 0.0, y)) / c)


def _integral(found: Weights, alpha: float) -> Array:
    """Return the integral of t (1-t)^(alpha-2) from 0 to sigma (...)."""
    xp, rest, c = namespace(found.rest), found.rest, alpha - 1
    if alpha == 2:
        return rest * rest / 2
    small = rest < HALF
    low, high, log = xp.where(small, rest, 0.0), xp.where(small, 0.0, rest), xp.where(small, 0.0, found.log)
    series = xp.zeros_like(low)
    for coefficient in reversed(_coefficients(c, float(xp.finfo(rest.dtype).eps))):
        series = series * low + coefficient
    return xp.where(small, low * low * series, -xp.expm1(c * log + xp.log1p(c * high)) / (alpha * c))


def _coefficients(c: float, eps: float) -> list[float]:
    """Return those of 1, sigma, sigma^2, ... in the integral over sigma^2, as many as count at sigma = 1/2."""
    coefficients, factor = [0.5], 1.0
    while coefficients[-1] * HALF ** len(coefficients) > eps / 8:
        k = len(coefficients)
        factor *= (k - c) / k
        coefficients.append(factor / (k + 2))
    return coefficients
