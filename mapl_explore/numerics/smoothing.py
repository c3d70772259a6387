"""The smooth maximum and minimum, their weights, and their error.

The error is the primitive and smooth max = max + error: log-sum-exp minus the maximum would cancel to nothing once the
error is small (``torch.logsumexp`` of (0, -40) is 0.0 in float64 where the truth is 4.2e-18).

Each function checks its arguments by a ``Door`` and computes with the function of the same name in ``unchecked``.
"""

import math

from mapl_explore.numerics import unchecked
from mapl_explore.numerics.arrays import Array, Door, Numbers


def smooth_max(scores: Numbers, *, tau: Numbers) -> Array:
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
    return door.leave(unchecked.smooth_max(door.scores(), door.positive("tau")))


def smooth_min(scores: Numbers, *, tau: Numbers) -> Array:
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
    return door.leave(-unchecked.smooth_max(negated, tau))


def smooth_max_weights(scores: Numbers, *, tau: Numbers) -> Array:
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
    return door.leave(unchecked.smooth_max_weights(door.scores(), door.positive("tau")))


def smoothing_error(scores: Numbers, *, tau: Numbers) -> Array:
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
    return door.leave(unchecked.smoothing_error(door.scores(), door.positive("tau")))


def top_gap(scores: Numbers) -> Array:
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
        If the scores are not numbers of their domain; the message names the rule.

    Examples
    --------
    >>> top_gap([[3.0, 1.0, 2.5], [7.0, -float("inf"), -float("inf")]])
    array([0.5, inf])
    """
    door = Door(scores=scores)
    return door.leave(unchecked.top_gap(door.scores()))
