"""The inverse temperatures that meet a target for the smoothing error, for the explorers that show them."""

import numpy as np

from mapl_explore.explorers.readout import Figure, digits, promised
from mapl_explore.numerics.arrays import to_numpy
from mapl_explore.numerics.smoothing import top_gap
from mapl_explore.numerics.temperature import solve_tau_asymptotic, solve_tau_exact, solve_tau_lower, solve_tau_upper

# The side on which the promise of a root lies: up where it holds at every larger tau, down where at every smaller one.
SIDES = {"upper": True, "asymptote": True, "lower": False, "certain": False}


def error_roots(scores: np.ndarray, epsilon: float, alpha: float = 1.0) -> dict[str, np.ndarray]:
    """Return the tau at which the error, its bounds and its large-tau form are epsilon; none for one score.

    The large-tau form is of log-sum-exp, alpha = 1, alone.

    Parameters
    ----------
    scores : array (..., n)
        One or several sets, best first, in nats.
    epsilon : float
        The target, in nats.
    alpha : float
        Which smoothing, from 1 to 2.

    Examples
    --------
    >>> {name: round(float(tau), 2) for name, tau in error_roots(np.array([0.0, -1.0, -1.0]), 0.1).items()}
    {'lower': 1.69, 'exact': 2.13, 'upper': 2.13, 'asymptote': 2.21}
    """
    n, gap = scores.shape[-1], top_gap(scores)
    if n == 1:
        return {}
    taus = {
        "lower": solve_tau_lower(epsilon=epsilon, gap=gap, alpha=alpha),
        "exact": solve_tau_exact(scores, epsilon=epsilon, alpha=alpha),
        "upper": solve_tau_upper(epsilon=epsilon, n=n, gap=gap, alpha=alpha),
    }
    if alpha == 1:
        taus["asymptote"] = solve_tau_asymptotic(epsilon=epsilon, n=n, gap=gap)
    return {name: to_numpy(tau) for name, tau in taus.items()}


def shown_root(name: str, tau: float) -> Figure:
    """Return a root in four digits; one that promises something is rounded to the side on which it keeps its word.

    Examples
    --------
    >>> shown_root("upper", 2.40231), shown_root("lower", 1.69139), shown_root("exact", 2.13456)
    ('2.403', '1.691', '2.135')
    """
    # All in as many digits: in three, that of the scores could read as larger than that of the upper bound.
    return promised(tau, up=SIDES[name]) if name in SIDES else Figure(digits(tau, most=4))
