"""A beta that follows the margins of the batch."""

from dataclasses import dataclass

from mapl_explore.losses.naming import Named, nonnegative, positive
from mapl_explore.numerics.arrays import Array, detach, namespace

LEAST = 1e-3  # the authors' floor


@dataclass(frozen=True)
class DynamicBeta(Named):
    r"""A beta that grows with the mean margin of the batch, in place of a number.

    .. math:: \max\bigl(10^{-3},\; \beta_0 (1 + \alpha (\bar m - m_0))\bigr), \qquad \bar m = \text{mean of } m

    It is for the losses that compare pairs (``DPO``, ``CDPO``, ``RobustDPO``, ``CPO``, ``SimPO``, ``IPO``, ``Hinge``),
    and is a constant to the gradient. The batch is the sets that the loss is called with: where the sets of a step are
    divided among several passes or processes, each part has a beta of its own; a measure has that of all its sets, the
    replay of a run that of one set.

    Two things of the authors' code are left out. The threshold is a moving average of the mean margins there, with
    momentum 0.9; a loss of this library holds no state, and the threshold is a number. They also draw a part of each
    batch, by how near to the threshold its margins are; ``mapl-explore select`` is for that.

    Parameters
    ----------
    beta : float
        beta_0 > 0: beta where the mean margin is the threshold.
    alpha : float
        >= 0, in 1/nats: how fast beta grows. At 0 it is beta_0.
    threshold : float
        m_0, in nats. A smooth pair of n against n starts at a margin of -2 log(n)/tau: m_0 belongs there.

    References
    ----------
    Wu et al. (2024), "beta-DPO: Direct Preference Optimization with Dynamic beta", arXiv:2407.08639.

    Examples
    --------
    >>> from mapl_explore import DPO, ScoredSets
    >>> sets = ScoredSets([[-1.0, -3.0], [-2.0, -3.0]], [[-2.0, -2.0]] * 2, [[4, 4]] * 2, [[1, -1]] * 2)
    >>> DPO(beta=DynamicBeta(beta=0.1, alpha=2.0))(sets).round(4)  # margins 2 and 1, so beta is 0.4
    array([0.3711, 0.513 ])
    """

    beta: float = positive(0.1)
    alpha: float = nonnegative(0.6)
    threshold: float = 0.0

    def of(self, margin: Array) -> Array:
        """Return beta, one number for all margins (...), as a constant."""
        xp, fixed = namespace(margin), detach(margin)
        return xp.clip(self.beta * (1 + self.alpha * (xp.mean(fixed) - self.threshold)), min=LEAST)


def beta_of(beta: float | DynamicBeta, margin: Array) -> float | Array:
    """Return the beta of a number, or of what stands for it, at the margins (...) of a batch."""
    return beta.of(margin) if isinstance(beta, DynamicBeta) else beta
