"""The smooth maximum and minimum, their weights, and their error.

The error is the primitive and smooth max = max + error: log-sum-exp minus the maximum would cancel to nothing once the
error is small (``torch.logsumexp`` of (0, -40) is 0.0 in float64 where the truth is 4.2e-18).

Each function checks its arguments by a ``Door`` and computes with the function of the same name in ``unchecked``.
"""

import math

from mapl_explore.numerics import unchecked
from mapl_explore.numerics.arrays import Array, Door, Numbers


def smooth_max(scores: Numbers, *, tau: Numbers, alpha: float = 1.0) -> Array:
    r"""Return the smooth maximum of each set of scores, in nats: by default log-sum-exp.

    .. math:: \max_w \; \langle w, s \rangle + H_\alpha(w)/\tau = \max_i s_i + \mathrm{smoothing\_error}(s; \tau)

    over weights w that sum to 1, with Tsallis' entropy :math:`H_\alpha(w) = (1 - \sum w_i^\alpha) / (\alpha (\alpha -
    1))`. At alpha = 1 that is Shannon's, and the smooth maximum :math:`\frac1\tau \log \sum_i \exp(\tau s_i)`.

    Parameters
    ----------
    scores : array (..., n)
        Finite, in nats; ``-inf`` marks padding, which takes no part.
    tau : array (...)
        Inverse temperature > 0, in 1/nats: larger is sharper.
    alpha : float
        From 1 to 2. At 1 (log-sum-exp) every score has a weight; above 1 scores far below the leader have none, and
        from tau*gap = 1/(alpha - 1) on the leader has all, so that smooth max and max are the same. 1.5 and 2 have the
        weights of 1.5-entmax and sparsemax.

    Returns
    -------
    array (...)
        Never below the maximum, at most log(n)/tau above it. Within 4 eps (1 + tau*gap + log n) of
        abs(max) + error at alpha = 1; above it within 4 eps of abs(max) beside what :func:`smoothing_error` says. Its
        gradient in the scores is :func:`smooth_max_weights`, at ties too; autograd has the leader's weight as 1 minus
        the others, so to a few eps of 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number of its domain; the message names it.

    References
    ----------
    Blanchard, Higham and Higham (2021), "Accurately computing the log-sum-exp and softmax functions",
    IMA J. Numer. Anal. 41(4), doi:10.1093/imanum/draa038: the form that leaves the largest term out. Blondel, Martins
    and Niculae (2020), "Learning with Fenchel-Young losses", JMLR 21(35), arXiv:1901.02324: the family. Martins and
    Astudillo (2016), arXiv:1602.02068: sparsemax. Peters, Niculae and Martins (2019), arXiv:1905.05702: entmax.

    Examples
    --------
    >>> smooth_max([1.0, 1.0, 0.0], tau=1.0).round(6)
    np.float64(1.861995)
    >>> smooth_max([1.0, 1.0, 0.0], tau=1.0, alpha=2.0)
    np.float64(1.25)
    """
    door = Door(scores=scores, tau=tau)
    return door.leave(unchecked.smooth_max(door.scores(), door.positive("tau"), door.alpha(alpha)))


def smooth_min(scores: Numbers, *, tau: Numbers, alpha: float = 1.0) -> Array:
    r"""Return the smooth minimum of each set of scores, in nats.

    .. math:: -\frac1\tau \log \sum_i \exp(-\tau s_i)

    at alpha = 1; for every alpha it is minus the :func:`smooth_max` of the negated scores.

    Parameters
    ----------
    scores : array (..., n)
        Finite, in nats; ``-inf`` marks padding here as well, which takes no part.
    tau : array (...)
        Inverse temperature > 0, in 1/nats: larger is sharper.
    alpha : float
        Which smoothing: 1 is log-sum-exp, 2 sparsemax, those between them lie between; see :func:`smooth_max`.

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
    return door.leave(-unchecked.smooth_max(negated, tau, door.alpha(alpha)))


def smooth_max_weights(scores: Numbers, *, tau: Numbers, alpha: float = 1.0) -> Array:
    r"""Return the weight of each score in the smooth maximum: its gradient, at alpha = 1 a softmax.

    .. math:: w_i = \exp(\tau s_i) / \sum_j \exp(\tau s_j), \quad
        w_i = [(\alpha - 1)\,\tau s_i - \theta]_+^{1/(\alpha - 1)} \text{ for } \alpha > 1

    Parameters
    ----------
    scores : array (..., n)
        Finite, in nats; ``-inf`` marks padding.
    tau : array (...)
        Inverse temperature > 0, in 1/nats.
    alpha : float
        Which smoothing: 1 is log-sum-exp, 2 sparsemax, those between them lie between; see :func:`smooth_max`.

    Returns
    -------
    array (..., n)
        Weights that sum to 1, within 4 n eps; exactly 0 at padding. Each within 4 eps (1 + tau*(max - s_i) + log n) of
        itself, above the smallest subnormal number; for alpha > 1 tau*(max - s_i) + log n counts w_i^(1 - alpha) times:
        a weight near 0 is as exact as the distance that makes it so.
        The largest is the leader share, at alpha = 1 exp(-tau * smoothing_error).

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number of its domain; the message names it.

    Examples
    --------
    >>> smooth_max_weights([1.0, 1.0, 0.0], tau=1.0).round(4)
    array([0.4223, 0.4223, 0.1554])
    >>> smooth_max_weights([1.0, 1.0, 0.0], tau=1.0, alpha=2.0)
    array([0.5, 0.5, 0. ])
    """
    door = Door(scores=scores, tau=tau)
    return door.leave(unchecked.smooth_max_weights(door.scores(), door.positive("tau"), door.alpha(alpha)))


def smoothing_error(scores: Numbers, *, tau: Numbers, alpha: float = 1.0) -> Array:
    r"""Return by how much the smooth maximum exceeds the maximum, in nats.

    .. math:: E(s; \tau) = \frac1\tau \log\Bigl(1 + \sum_{i \neq (1)} e^{-\tau (s_{(1)} - s_i)}\Bigr)

    at alpha = 1. One leader (1) is left out of the sum; scores tied with it stay in. For alpha > 1 the sum is another
    (``numerics/tsallis.py`` has it), and the error is 0 where tau*gap >= 1/(alpha - 1).

    Parameters
    ----------
    scores : array (..., n)
        Finite, in nats; ``-inf`` marks padding.
    tau : array (...)
        Inverse temperature > 0, in 1/nats.
    alpha : float
        Which smoothing: 1 is log-sum-exp, 2 sparsemax, those between them lie between; see :func:`smooth_max`.

    Returns
    -------
    array (...)
        >= 0, and 0 for a set of one. At most 4 eps (1 + tau*gap + log n) in relative error, above
        max(1, 1/tau) of the smallest subnormal number. It falls in tau. At tied maxima the first takes the
        one-sided gradient of a leader. For alpha > 1 the factor is its condition, 1 + sum(w_i (max - s_i))/E + log n:
        the error is as sharp as 1/(alpha - 1) - tau*gap.

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
    return door.leave(unchecked.smoothing_error(door.scores(), door.positive("tau"), door.alpha(alpha)))


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
