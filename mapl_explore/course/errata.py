"""The formulas of the post that this project started from, as it writes them: to show what is wrong, never for use.

The post is *Learning from Preferences with Stability: A Deep Dive into Marginal-Aware Fine-Tuning*,
https://tptrix29.github.io/Smooth-marginal-aware-preference-learning.
Each function computes what the post prints. Its example shows in numbers that something is wrong; what it is, the
lessons ask, and so comments say it here, which ``help`` does not show.
The right forms are in the modules ``smoothing``, ``bounds`` and ``temperature`` of :mod:`mapl_explore.numerics`.
"""

import numpy as np
from numpy.typing import ArrayLike


def post_smooth_max(scores: ArrayLike, *, tau: float) -> np.float64:
    """Return the post's rewritten smooth maximum, with exp(-tau*delta_i) where delta_i = s_i - max <= 0.

    Examples
    --------
    >>> from mapl_explore.numerics.smoothing import smooth_max
    >>> float(post_smooth_max([0.0, -5.0], tau=1.0).round(3)), float(smooth_max([0.0, -5.0], tau=1.0).round(3))
    (5.007, 0.007)
    """
    # The sign is wrong: the terms grow with the distance to the maximum, where they must vanish.
    ordered = np.sort(np.asarray(scores, float))[::-1]
    delta = ordered[1:] - ordered[0]
    return ordered[0] + np.log(1 + np.sum(np.exp(-tau * delta))) / tau


def post_smooth_margin(positives: ArrayLike, negatives: ArrayLike, *, tau: float) -> np.float64:
    """Return the post's "Smooth MaxNeg-MinPos", which should approximate max(negatives) - min(positives).

    Examples
    --------
    >>> float(post_smooth_margin([-1.0, -4.0], [-3.0, -5.0], tau=50.0).round(3)), max(-3.0, -5.0) - min(-1.0, -4.0)
    (-2.0, 1.0)
    """
    # It subtracts a smooth maximum of the positives in place of their smooth minimum, and is off however large tau is.
    above = np.log(np.sum(np.exp(tau * np.asarray(negatives, float))))
    below = np.log(np.sum(np.exp(tau * np.asarray(positives, float))))
    return (above - below) / tau


def post_tau(*, epsilon: float, n: int, gap: float, rounds: int = 100) -> np.float64:
    """Return the post's tau, the fixed point of tau = log((n-1)/(tau*epsilon))/gap, for a gap above 0.

    Examples
    --------
    >>> from mapl_explore.numerics.bounds import error_upper_bound
    >>> tau = post_tau(epsilon=0.1, n=4, gap=1.0)
    >>> float(tau.round(3)), float(error_upper_bound(n=4, gap=1.0, tau=tau).round(3))
    (2.489, 0.089)
    """
    # It is the root of the asymptote, not of the bound: too large, so that the bound is below epsilon there, where the
    # post requires it above. It is near the root where (n-1) exp(-tau*gap) is small. Near a gap of 0 that is never the
    # case, and at 0 the formula divides by zero.
    tau = np.float64(1.0)
    for _ in range(rounds):
        # Damped in log tau: the plain iteration overshoots and diverges for tau*gap < 1.
        tau = np.sqrt(tau * np.maximum(np.log((n - 1) / (tau * epsilon)) / gap, 1e-6))
    return tau
