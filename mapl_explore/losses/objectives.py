"""The losses: each a score per response, a link of the margin, and the slopes of both."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from mapl_explore.arrays import Array, column, namespace, sigmoid, softplus
from mapl_explore.losses.naming import Named, positive
from mapl_explore.losses.pairs import First, Hardest, Mellow, Pair, Smooth
from mapl_explore.losses.sets import ScoredSets


class Loss(Named, ABC):
    """A preference loss: a score per response, a link of the margin, and the slopes of both.

    A subclass is a frozen dataclass with a field ``pair``; its fields have defaults. :func:`parse` and so the command
    line know it by the name of its class.

    Examples
    --------
    A loss of one's own, here the exponential loss of boosting on the log-ratio to the reference:

    >>> from mapl_explore.losses import Mean, parse
    >>> @dataclass(frozen=True)
    ... class Boosting(Loss):
    ...     pair: Pair = Hardest()
    ...     def score(self, sets):
    ...         return sets.logp - sets.ref_logp
    ...     def link(self, margin):
    ...         return namespace(margin).exp(-margin)
    ...     def link_slope(self, margin):
    ...         return -namespace(margin).exp(-margin)
    >>> parse("Boosting(pair=Mean())")
    Boosting(pair=Mean())
    """

    bounded = True  # below; training with a loss that is not goes on for ever
    pair: Pair

    @abstractmethod
    def score(self, sets: ScoredSets) -> Array:
        """Return the score r (..., n) of each response, in nats."""

    def score_slope(self, sets: ScoredSets) -> Array | float:
        """Return d score / d logp, (..., n) or one number."""
        return 1.0

    @abstractmethod
    def link(self, margin: Array) -> Array:
        """Return the loss (...) of a margin (...)."""

    @abstractmethod
    def link_slope(self, margin: Array) -> Array:
        """Return d link / d margin (...)."""

    def __call__(self, sets: ScoredSets) -> Array:
        """Return the loss (...) of each set; lower is better."""
        return self.link(margin(sets, self))

    def weights(self, sets: ScoredSets) -> Array:
        """Return d loss / d logp (..., n): below 0 at what is pushed up, above 0 at what is pushed down."""
        positives, negatives = _sides(self.score(sets), sets.label)
        slopes = self.pair.top_weights(positives) - self.pair.top_weights(negatives)
        return column(self.link_slope(margin(sets, self))) * slopes * self.score_slope(sets)


@dataclass(frozen=True)
class DPO(Loss):
    r"""Direct Preference Optimization on the pair that a set becomes.

    .. math:: -\log\sigma(\beta m), \qquad r = \log\pi - \log\pi_0

    Parameters
    ----------
    beta : float
        > 0; how steeply the loss turns with the margin. The post takes 1.
    pair : Pair
        How the set becomes a pair. ``Smooth(tau=beta)`` gives S-DPO where there is one positive.

    References
    ----------
    Rafailov et al. (2023), eq. 7, arXiv:2305.18290; Chen et al. (2024), S-DPO, arXiv:2406.09215; Sun et al. (2020),
    circle loss, eq. 1, arXiv:2002.10857, whose unified form it is with ``Smooth(tau=beta)``.

    Examples
    --------
    >>> DPO()
    DPO(beta=0.1, pair=Hardest())
    """

    beta: float = positive(0.1)
    pair: Pair = Hardest()

    def score(self, sets):
        return sets.logp - sets.ref_logp

    def link(self, margin):
        return softplus(-self.beta * margin)

    def link_slope(self, margin):
        return -self.beta * sigmoid(-self.beta * margin)


@dataclass(frozen=True)
class MaxMin(Loss):
    r"""Minus the margin of the log-probs: the post's "CPO" with the hard pair.

    .. math:: -m, \qquad r = \log\pi

    It is unbounded below: pushing a negative down pays without end, so stop it by steps.

    Parameters
    ----------
    pair : Pair
        How the set becomes a pair.

    Examples
    --------
    >>> MaxMin(pair=Smooth(tau=5))
    MaxMin(pair=Smooth(tau=5.0))
    """

    pair: Pair = Hardest()
    bounded = False

    def score(self, sets):
        return sets.logp

    def link(self, margin):
        return -margin

    def link_slope(self, margin):
        return -namespace(margin).ones_like(margin)


LOSSES = {
    "dpo": DPO(pair=First()),
    "dpo-hardest": DPO(pair=Hardest()),
    "dpo-smooth": DPO(pair=Smooth()),
    "dpo-mellow": DPO(pair=Mellow()),
    "s-dpo": DPO(beta=0.1, pair=Smooth(tau=0.1)),
    "post-cpo": MaxMin(pair=Hardest()),
    "maxneg-minpos": MaxMin(pair=Hardest()),
    "smooth-maxneg-minpos": MaxMin(pair=Smooth()),
}


def margin(sets: ScoredSets, loss: Loss) -> Array:
    """Return the margin (...) that a loss sees in each set, in nats: positive side minus negative side.

    Parameters
    ----------
    sets : ScoredSets
        The sets.
    loss : Loss
        Its score and its pair.

    Returns
    -------
    array (...)
        What training makes large; above 0 where even the pair's least likely positive beats its likeliest negative.

    Examples
    --------
    >>> from mapl_explore.losses import Mean
    >>> sets = ScoredSets([-1.0, -4.0, -3.0, -5.0], [0.0] * 4, [1] * 4, [1, 1, -1, -1])
    >>> margin(sets, MaxMin()), margin(sets, MaxMin(pair=Mean()))
    (np.float64(-1.0), np.float64(1.5))
    """
    positives, negatives = _sides(loss.score(sets), sets.label)
    return -loss.pair.top(positives) - loss.pair.top(negatives)


def _sides(r, label):
    """Return minus the scores of the positives, and those of the negatives, with -inf at all else."""
    xp = namespace(r)
    return xp.where(label > 0, -r, -math.inf), xp.where(label < 0, r, -math.inf)
