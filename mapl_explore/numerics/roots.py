"""The roots that the public functions of temperature return, without their checks, and how they are found.

Every equation is solved for t = tau*epsilon with a = gap/epsilon, where nothing overflows, in the form "concave and
increasing function of t = 0". Newton's method then climbs to the root from the left without ever passing it, and from
the right it lands on the left after one step. Roots for an alpha above 1, other equations, are those of
:mod:`~mapl_explore.numerics.tsallis_roots`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from mapl_explore.numerics import tsallis_roots
from mapl_explore.numerics.arrays import Array, column, detach, in_blocks, like, namespace, row_sum, softplus, to_numpy
from mapl_explore.numerics.unchecked import log_sum, split_off_leader, terms_beyond

Parameter: TypeAlias = Array | float
Parameters: TypeAlias = Sequence[Parameter]
Residual: TypeAlias = tuple[Array, Array]  # what an equation leaves over at a tau, and the slope of that in log tau
Equation: TypeAlias = Callable[..., Residual]  # of tau and the parameters
STEPS = 100  # 4 were the most for 3,000 random bounds, 5 for the exact root of a million ties


def tau_upper(epsilon: Array, others: Array, gap: Array, method: str = "newton", alpha: float = 1.0) -> Array:
    """Return the root (...) for the upper bound, others being n - 1; that for the lower bound has one other."""
    if _is_tsallis(alpha, method):
        xp = namespace(gap)
        epsilon, others, gap = xp.broadcast_arrays(epsilon, xp.astype(others, gap.dtype), gap)
        return tsallis_roots.tau_error(epsilon, column(gap), column(others), alpha)
    return in_blocks(partial(_tau_upper_of_block, method), epsilon, others, gap)


def _tau_upper_of_block(method: str, epsilon: Array, others: Array, gap: Array) -> Array:
    xp, a = namespace(gap), gap / epsilon
    log_n = xp.log1p(others)
    # Two upper brackets: the root at gap 0, and the root once log(expm1(t)) is replaced by its lower bound
    # log(t) + t/2, which leaves a Lambert W; its approximation makes the second a start value only.
    start = xp.minimum(log_n, _lambert_w(xp.log(others) + xp.log(a + 0.5)) / (a + 0.5))
    # The tangent of the convex log(1 + others*exp(-a*t)) at t = 0 meets t below the root.
    low = log_n / (1 + a * (others / (1 + others)))
    tau = _root(_upper_equation, (1.0, a, xp.log(others)), start, (low, log_n), method) / detach(epsilon)
    return _with_gradient(_upper_equation, (epsilon, gap, xp.log(others)), tau)


def tau_asymptotic(epsilon: Array, others: Array, gap: Array) -> Array:
    """Return the root (...) for the upper bound's asymptote."""
    return in_blocks(_tau_asymptotic_of_block, epsilon, others, gap)


def _tau_asymptotic_of_block(epsilon: Array, others: Array, gap: Array) -> Array:
    xp, a = namespace(gap), gap / epsilon
    with np.errstate(divide="ignore"):  # by a gap of 0, where W is 0
        log_a = xp.log(a)
    # (n-1) exp(-W) is W/a, and right at a = 0 as well.
    start = others * xp.exp(-_lambert_w(xp.log(others) + log_a))
    tau = _root(_asymptotic_equation, (1.0, a, others), start, None, "newton") / detach(epsilon)
    return _with_gradient(_asymptotic_equation, (epsilon, gap, others), tau)


def tau_exact(scores: Array, epsilon: Array, method: str = "newton", alpha: float = 1.0) -> Array:
    """Return the root (...) for the smoothing error of sets of two scores or more."""
    xp = namespace(scores)
    _, distance, others = split_off_leader(scores)
    if _is_tsallis(alpha, method):
        return tsallis_roots.tau_error(epsilon, distance, xp.astype(others, distance.dtype), alpha)
    distance, others, spread = xp.broadcast_arrays(distance, others, column(epsilon))
    with np.errstate(over="ignore"):  # of a far score: its term is 0
        scaled = xp.clip(detach(distance / spread), max=xp.finfo(distance.dtype).max)
    gap, count = _nearest(scaled, others), _count(others, distance)
    one = xp.ones_like(gap)
    low, high = tau_upper(one, one, gap), tau_upper(one, count, gap)
    tau = _root(_exact_equation, (1.0, scaled, others), low, (low, high), method) / detach(epsilon)
    return _with_gradient(_exact_equation, (epsilon, distance, others), tau)


def tau_share(share: Array, gap: Array, alpha: float = 1.0) -> Array:
    """Return the largest tau (...) at which the leader's share is certain to be at most this; inf at a gap of 0."""
    xp, log_odds = namespace(gap), _log_odds(share)
    times_gap = tsallis_roots.share_distance(share, log_odds, alpha) if alpha > 1 else log_odds
    return xp.where(gap > 0, times_gap / xp.where(gap > 0, gap, 1.0), math.inf)


def tau_share_exact(scores: Array, share: Array, method: str = "newton", alpha: float = 1.0) -> Array:
    """Return the tau (...) at which the leader's share is this, for two scores or more; inf at ties."""
    xp = namespace(scores)
    _, distance, others = split_off_leader(scores)
    tied = xp.any(others & (distance == 0), axis=-1)
    # A tied set has no root: it solves a harmless equation along with the rest, and is told apart at the end.
    distance = xp.where(column(tied), 1.0, distance)
    log_odds = _log_odds(share)
    if _is_tsallis(alpha, method):
        count = xp.astype(others, distance.dtype)
        return xp.where(tied, math.inf, tsallis_roots.tau_share_exact(share, log_odds, distance, count, alpha))
    distance, others, odds_column = xp.broadcast_arrays(distance, others, column(log_odds))
    log_odds = odds_column[..., 0]
    gap = _nearest(distance, others)
    low, high = log_odds / gap, (log_odds + xp.log(_count(others, distance))) / gap
    parameters = distance, others, log_odds
    tau = _with_gradient(_share_equation, parameters, _root(_share_equation, parameters, low, (low, high), method))
    return xp.where(tied, math.inf, tau)


def _is_tsallis(alpha: float, method: str) -> bool:
    """Return whether alpha is above 1; that has one method, which is Newton's within a bracket."""
    if alpha > 1 and method != "newton":
        raise ValueError(f"method must be 'newton' where alpha is above 1, not {method!r}")
    return alpha > 1


def _upper_equation(tau: Array, epsilon: Parameter, gap: Array, log_others: Array) -> Residual:
    """Return log(expm1(tau*epsilon)) + tau*gap - log(n-1), and its slope in log tau."""
    t, xp = tau * epsilon, namespace(tau)
    grown = xp.expm1(t)
    return xp.log(grown) + tau * gap - log_others, t * (1 + 1 / grown) + tau * gap


def _asymptotic_equation(tau: Array, epsilon: Parameter, gap: Array, others: Array) -> Residual:
    """Return log(tau*epsilon/(n-1)) + tau*gap, and its slope in log tau."""
    t, xp = tau * epsilon, namespace(tau)
    # One log of the quotient where t is large: at a small gap log(t) - log(n-1) cancels, and was 8 eps off. Where t is
    # small the two have one sign, and the quotient may be below the dtype.
    large = t > 1
    log = xp.log(xp.where(large, t, 1.0) / others) + xp.log(xp.where(large, 1.0, t))
    return log + tau * gap, 1 + tau * gap


def _exact_equation(tau: Array, epsilon: Parameter, distance: Array, others: Array) -> Residual:
    """Return log(expm1(tau*epsilon)) - log(S(tau)), and its slope in log tau."""
    t, xp = tau * epsilon, namespace(tau)
    grown = xp.expm1(t)
    slope = t * (1 + 1 / grown) + tau * _mean_distance(distance, others, tau)
    return xp.log(grown) - log_sum(distance, others, tau), slope


def _share_equation(tau: Array, distance: Array, others: Array, log_odds: Array) -> Residual:
    """Return -log(S(tau)) - log(share/(1-share)), and its slope in log tau."""
    return -log_sum(distance, others, tau) - log_odds, tau * _mean_distance(distance, others, tau)


def _root(
    equation: Equation, parameters: Parameters, start: Array, bracket: tuple[Array, Array] | None, method: str
) -> Array:
    """Return the root without a graph, after one step more than it takes to converge."""
    if method not in ("newton", "bracket"):
        raise ValueError(f"method must be 'newton' or 'bracket', not {method!r}")
    parameters = [one if isinstance(one, float) else detach(one) for one in parameters]
    root = (
        _bracketed(equation, parameters, *bracket)
        if bracket and method == "bracket"
        else _newton(equation, parameters, detach(start))
    )
    return _stepped(equation, parameters, root)


def _newton(equation: Equation, parameters: Parameters, root: Array) -> Array:
    xp = namespace(root)
    # 8 eps: in float32 a step of 2 eps may never come. The last step leaves an error of the order of its square.
    near = 8 * xp.finfo(root.dtype).eps
    for _ in range(STEPS):
        residual, slope = equation(root, *parameters)
        step = residual / slope
        root = root * (1 - step)
        if bool(xp.all(xp.abs(step) <= near)):
            return root
    raise RuntimeError(f"no convergence in {STEPS} steps, as where gap/epsilon is beyond the range of {root.dtype}")


def _with_gradient(equation: Equation, parameters: Parameters, root: Array) -> Array:
    """Return a root with the gradients of the parameters of its equation: implicit differentiation."""
    # In tau itself, not in t = tau*epsilon: the slope of gap/epsilon overflows float32 from epsilon = 1e-19 down.
    once = _stepped(equation, parameters, root)
    if not getattr(once, "requires_grad", False):
        return root
    # Through one step the first derivatives are exact; the second ones are exact through one more step.
    twice = _stepped(equation, parameters, once)
    return root + (twice - detach(twice))


def _stepped(equation: Equation, parameters: Parameters, root: Array) -> Array:
    residual, slope = equation(root, *parameters)
    return root * (1 - residual / detach(slope))


def _bracketed(equation: Equation, parameters: Parameters, low: Array, high: Array) -> Array:
    from scipy.optimize.elementwise import find_root  # takes 0.5 s, and nothing else needs it

    # A proven bracket may miss by an ulp in floats; four ulps of its own dtype put that right.
    margin = 4 * float(namespace(low).finfo(low.dtype).eps)
    flat = [_flat(parameter, low) for parameter in parameters]
    ends = _flat(low, low) * (1 - margin), _flat(high, low) * (1 + margin)

    @np.errstate(over="ignore", divide="ignore", invalid="ignore")  # at an end of the bracket: inf, with the right sign
    def residual(t: np.ndarray, row: np.ndarray) -> Array:
        return equation(t, *(parameter[row] for parameter in flat))[0]

    # Roots are as small as numbers get: only a relative tolerance keeps their digits.
    result = find_root(residual, ends, args=(np.arange(ends[0].size),), tolerances={"xatol": 0.0})
    if not np.all(result.success):
        raise RuntimeError("no convergence of the bracketing root finder")
    return like(result.x.reshape(tuple(low.shape)), low)


def _flat(parameter: Parameter, root: Array) -> np.ndarray:
    """Return a parameter (..., *rest) as (roots, *rest), in float64 numpy."""
    array = np.broadcast_to(parameter, tuple(root.shape)) if isinstance(parameter, float) else to_numpy(parameter)
    return array.reshape((-1, *array.shape[root.ndim :]))


def _mean_distance(distance: Array, others: Array, tau: Array) -> Array:
    """Return the mean distance to the leader under the weights of the others: minus the slope of log S in tau."""
    _, nearest, beyond, terms = terms_beyond(distance, others, tau)
    return nearest + row_sum(terms * beyond) / row_sum(terms)


def _nearest(distance: Array, others: Array) -> Array:
    xp = namespace(distance)
    return xp.min(xp.where(others, distance, math.inf), axis=-1)


def _count(others: Array, array: Array) -> Array:
    xp = namespace(array)
    return row_sum(xp.astype(others, array.dtype))


def _log_odds(share: Array) -> Array:
    # share/(1-share) - 1 = (2*share - 1)/(1 - share), whose numerator is exact: no cancellation near 1/2.
    return namespace(share).log1p((2 * share - 1) / (1 - share))


def _lambert_w(log_x: Array) -> Array:
    """Return W0(x) for x >= 0 to 2 percent, a start value (Iacono and Boyd 2017, doi:10.1007/s10444-017-9530-3)."""
    # From its log: (n-1) times the largest gap/epsilon is beyond the dtype.
    log = softplus(log_x)
    return log * (1 - namespace(log).log1p(log) / (2 + log))
