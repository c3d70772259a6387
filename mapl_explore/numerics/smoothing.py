"""The smooth maximum and minimum, their weights, and their error.

The error is the primitive and smooth max = max + error: log-sum-exp minus the maximum would cancel to nothing once the
error is small (``torch.logsumexp`` of (0, -40) is 0.0 in float64 where the truth is 4.2e-18).

The public functions open a door (checks, dtypes); those with a leading underscore are the same without it, for losses.
"""

import math

from mapl_explore.numerics.arrays import Array, Door, column, detach, namespace, positions, row_sum


def smooth_max(scores: Array, *, tau: Array) -> Array:
    r"""Return the smooth maximum (log-sum-exp) of each set of scores, in nats.

    .. math:: \frac1\tau \log \sum_i \exp(\tau s_i) = \max_i s_i + \mathrm{smoothing\_error}(s; \tau)

    Parameters
    ----------
    scores : array (..., n)
        Finite, in nats; ``-inf`` marks padding, which takes no part.
    tau : array (...)
        Inverse temperature > 0, in 1/nats: larger is sharper.

    Returns
    -------
    array (...)
        Never below the maximum, at most log(n)/tau above it. Within 4 eps (1 + tau*gap + log n) of
        abs(max) + error. Its gradient in the scores is :func:`smooth_max_weights`, at ties too; autograd has the
        leader's weight as 1 minus the others, so to a few eps of 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number of its domain; the message names it.

    References
    ----------
    Blanchard, Higham and Higham (2021), "Accurately computing the log-sum-exp and softmax functions",
    IMA J. Numer. Anal. 41(4), doi:10.1093/imanum/draa038: the form that leaves the largest term out.

    Examples
    --------
    >>> smooth_max([1.0, 1.0, 0.0], tau=1.0).round(6)
    np.float64(1.861995)
    """
    door = Door(scores=scores, tau=tau)
    return door.leave(_smooth_max(door.scores(), door.positive("tau")))


def smooth_min(scores: Array, *, tau: Array) -> Array:
    r"""Return the smooth minimum of each set of scores, in nats.

    .. math:: -\frac1\tau \log \sum_i \exp(-\tau s_i)

    Parameters
    ----------
    scores : array (..., n)
        Finite, in nats; ``-inf`` marks padding here as well, which takes no part.
    tau : array (...)
        Inverse temperature > 0, in 1/nats: larger is sharper.

    Returns
    -------
    array (...)
        Never above the minimum, at most log(n)/tau below it; accuracy and gradient as for :func:`smooth_max`
        of the negated scores.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number of its domain; the message names it.

    Examples
    --------
    >>> smooth_min([1.0, 1.0, 0.0], tau=1.0).round(6)
    np.float64(-0.551445)
    """
    door = Door(scores=scores, tau=tau)
    scores, tau = door.scores(), door.positive("tau")
    # Minus padding would be +inf, the smallest of all for a minimum; it stays padding.
    negated = door.xp.where(scores > -math.inf, -scores, scores)
    return door.leave(-_smooth_max(negated, tau))


def smooth_max_weights(scores: Array, *, tau: Array) -> Array:
    r"""Return the weight of each score in the smooth maximum: its gradient, a softmax.

    .. math:: w_i = \exp(\tau s_i) / \sum_j \exp(\tau s_j)

    Parameters
    ----------
    scores : array (..., n)
        Finite, in nats; ``-inf`` marks padding.
    tau : array (...)
        Inverse temperature > 0, in 1/nats.

    Returns
    -------
    array (..., n)
        Weights that sum to 1; exactly 0 at padding. Each within 4 eps (1 + tau*(max - s_i) + log n) of itself, above
        the smallest subnormal number.
        The largest is the leader share, exp(-tau * smoothing_error).

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number of its domain; the message names it.

    Examples
    --------
    >>> smooth_max_weights([1.0, 1.0, 0.0], tau=1.0).round(4)
    array([0.4223, 0.4223, 0.1554])
    """
    door = Door(scores=scores, tau=tau)
    return door.leave(_weights(door.scores(), door.positive("tau")))


def smoothing_error(scores: Array, *, tau: Array) -> Array:
    r"""Return by how much the smooth maximum exceeds the maximum, in nats.

    .. math:: E(s; \tau) = \frac1\tau \log\Bigl(1 + \sum_{i \neq (1)} e^{-\tau (s_{(1)} - s_i)}\Bigr)

    One leader (1) is left out of the sum; scores tied with it stay in.

    Parameters
    ----------
    scores : array (..., n)
        Finite, in nats; ``-inf`` marks padding.
    tau : array (...)
        Inverse temperature > 0, in 1/nats.

    Returns
    -------
    array (...)
        >= 0, and 0 for a set of one. At most 4 eps (1 + tau*gap + log n) in relative error, above
        max(1, 1/tau) of the smallest subnormal number. It falls in tau. At tied maxima the first takes the
        one-sided gradient of a leader.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number of its domain; the message names it.

    References
    ----------
    Blanchard, Higham and Higham (2021), doi:10.1093/imanum/draa038.

    Examples
    --------
    >>> float(smoothing_error([0.0, -40.0], tau=1.0))
    4.248354255291589e-18
    """
    door = Door(scores=scores, tau=tau)
    return door.leave(_smoothing_error(door.scores(), door.positive("tau")))


def top_gap(scores: Array) -> Array:
    r"""Return the gap between the largest and the second largest score of each set, in nats.

    .. math:: \delta = s_{(1)} - s_{(2)} \ge 0

    Parameters
    ----------
    scores : array (..., n)
        Finite, in nats; ``-inf`` marks padding.

    Returns
    -------
    array (...)
        One subtraction, rounded once; 0 at tied maxima, inf for a set of one. Its gradient is +1 at the leader and
        -1 at the second, the first of each where scores tie.

    Raises
    ------
    TypeError, ValueError
        If the scores are not; the message names the rule.

    Examples
    --------
    >>> top_gap([[3.0, 1.0, 2.5], [7.0, -float("inf"), -float("inf")]])
    array([0.5, inf])
    """
    door = Door(scores=scores)
    return door.leave(_top_gap(door.scores()))


def _smooth_max(scores, tau):
    leader, distance, others = _split(scores)
    return leader + _error(distance, others, tau)


def _smoothing_error(scores, tau):
    _, distance, others = _split(scores)
    return _error(distance, others, tau)


def _weights(scores, tau):
    xp = namespace(scores)
    _, distance, _ = _split(scores)
    # The leader's distance to itself is 0, so its term is 1, and the total 1 + S.
    terms = xp.where(scores > -math.inf, xp.exp(-column(tau) * distance), 0.0)
    return terms / column(row_sum(terms))


def _smooth_max_with_weights(scores, tau):
    """Return the smooth maximum (...) and its weights (..., n) from one pass, for use without a graph."""
    xp = namespace(scores)
    place = xp.argmax(scores, axis=-1, keepdims=True)
    leader = xp.take_along_axis(scores, place, axis=-1)
    # 1 at the leader and, without a gradient to spoil, exp(-inf) = 0 at padding.
    terms = xp.exp(-column(tau) * (leader - scores))
    total = row_sum(xp.where(positions(scores) == place, 0.0, terms))
    return leader[..., 0] + xp.log1p(total) / tau, terms / column(1 + total)


def _top_gap(scores):
    xp = namespace(scores)
    _, distance, others = _split(scores)
    # Read through argmin: torch's amin would split the gradient among tied seconds.
    second = xp.argmin(xp.where(others, distance, math.inf), axis=-1, keepdims=True)
    gap = xp.take_along_axis(distance, second, axis=-1)[..., 0]
    return xp.where(xp.any(others, axis=-1), gap, math.inf)


def _split(scores):
    """Return the leader's score (...), the distances to it (..., n), and the mask of the others (..., n)."""
    xp = namespace(scores)
    # One leader, by argmax: torch's amax splits its gradient at ties, which the left-out term does not; (1, 1, 0)
    # then gave (.24, .73, .02) where softmax is (.49, .49, .02).
    place = xp.argmax(scores, axis=-1, keepdims=True)
    leader = xp.take_along_axis(scores, place, axis=-1)
    others = (positions(scores) != place) & (scores > -math.inf)
    # Distances at padding are infinite, and infinity times a zero gradient is NaN: they become 0 before anything else.
    return leader[..., 0], xp.where(others, leader - scores, 0.0), others


def _error(distance, others, tau):
    xp = namespace(distance)
    alone = ~xp.any(others, axis=-1)
    z = _log_sum(distance, others, tau)
    return xp.where(alone, 0.0, exp_over(z, tau, outer=xp.log1p))


def _log_sum(distance, others, tau):
    """Return log of S = the sum over the others of exp(-tau * distance); 0 where there are no others."""
    xp = namespace(distance)
    place, nearest, beyond, terms = _terms(distance, others, tau)
    # The nearest's own term is 1. It enters as expm1, 0 with its gradient, and log1p adds the 1: log(1 + tiny) would
    # round tiny away, and with it the root for a share near 1/2 (8,500 eps at 0.500003).
    own = xp.expm1(-column(tau) * beyond)
    rest = row_sum(xp.where(others & (positions(distance) == place), own, terms))
    return xp.log1p(rest) - tau * nearest


def _terms(distance, others, tau):
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


def exp_over(z: Array, tau: Array, *, outer) -> Array:
    """Return outer(exp(z)) / tau for an outer with outer(y) = y (1 + O(y)), also where exp(z) underflows first."""
    xp = namespace(z)
    # Below this, outer(y) is y to half an eps, and one exp of everything loses nothing on the way. Above it the
    # quotient stays outside: log(tau) is rounded by up to 28 eps, much where 1 + tau*gap + log n is little.
    tiny = z < math.log(xp.finfo(z.dtype).eps)
    quotient = outer(xp.exp(xp.where(tiny, 0.0, z))) / tau
    return xp.where(tiny, xp.exp(xp.where(tiny, z - xp.log(tau), 0.0)), quotient)
