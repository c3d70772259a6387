"""The losses that are not logistic, each with the slopes of what it adds, and the presets ``LOSSES`` of all."""

from dataclasses import dataclass
from typing import cast

from mapl_explore.losses.dynamic_beta import DynamicBeta, beta_of
from mapl_explore.losses.graded import GRPO, RLOO, InfoNCA, PlackettLuce
from mapl_explore.losses.logistic import CDPO, CPO, DPO, ORPO, RobustDPO, SimPO
from mapl_explore.losses.loss import Comparing, Loss, Paired, mean_nll, mean_nll_slopes
from mapl_explore.losses.naming import nonnegative, positive
from mapl_explore.losses.pairs import First, Hardest, Mellow, Pair, Side, Sides, Smooth, negatives, side_of
from mapl_explore.losses.rules import LeaderShare, LowerBound, UpperBound
from mapl_explore.losses.sets import ScoredSets, require_sets
from mapl_explore.numerics.arrays import Array, detach, namespace, with_gradient


@dataclass(frozen=True)
class MaxMin(Comparing):
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

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp

    def link(self, margin: Array) -> Array:
        return -margin

    def link_slope(self, margin: Array) -> Array:
        return -namespace(margin).ones_like(margin)


@dataclass(frozen=True)
class OneSided(Paired):
    r"""The largest score of the negatives, to be pushed down: the post's "ORPO". The positives have no part.

    .. math:: \max_{A^-} r, \qquad r = \log\pi - \lambda \log\pi_0

    It is unbounded below. The reference has no gradient: it chooses which negative is pushed down, and keeps none of
    them near. Its :meth:`margin` is the hard margin of the log-probs, which the loss itself does not see.

    Parameters
    ----------
    lam : float
        How much of the reference's log-prob is taken off, >= 0.
    pair : Pair
        How the negatives become one number.

    Examples
    --------
    >>> OneSided(pair=Smooth(tau=2))
    OneSided(lam=1.0, pair=Smooth(tau=2.0))
    """

    lam: float = nonnegative(1.0)
    pair: Pair = Hardest()
    bounded = False

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp - self.lam * sets.ref_logp

    def hard_margin(self, sets: ScoredSets) -> Array:
        return Hardest().margin(require_sets(sets).logp, sets.label)

    def sides(self, sets: ScoredSets) -> Sides:
        return Sides(None, self._side(detach(self.score(require_sets(sets))), sets.label))

    def value(self, sets: ScoredSets, sides: Sides) -> Array:
        high, slopes_of = cast(Side, sides.negative), lambda r, label: self._side(r, label).weights
        return with_gradient(high.value, high.weights, slopes_of, self.score(sets), sets.label)

    def weights(self, sets: ScoredSets) -> Array:
        return cast(Side, self.sides(sets).negative).weights

    def _side(self, r: Array, label: Array) -> Side:
        return side_of(self.pair, negatives(r, label))


@dataclass(frozen=True)
class IPO(Comparing):
    r"""Identity Preference Optimization: a square around the margin 1/(2 beta), which is not to be overshot.

    .. math:: \bigl(m - \tfrac{1}{2\beta}\bigr)^2, \qquad r = \log\pi - \log\pi_0

    r is a sum over tokens, as in the paper; TRL takes the mean per token.

    Parameters
    ----------
    beta : float or DynamicBeta
        > 0; the larger, the nearer the target margin.
    pair : Pair
        How the set becomes a pair.

    References
    ----------
    Azar et al. (2023), eq. 17 (tau there is beta here), arXiv:2310.12036.

    Examples
    --------
    >>> IPO()
    IPO(beta=0.1, pair=Hardest())
    """

    beta: float | DynamicBeta = positive(0.1)
    pair: Pair = Hardest()

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp - sets.ref_logp

    def link(self, margin: Array) -> Array:
        return (margin - 0.5 / beta_of(self.beta, margin)) ** 2

    def link_slope(self, margin: Array) -> Array:
        return 2 * (margin - 0.5 / beta_of(self.beta, margin))


@dataclass(frozen=True)
class Hinge(Comparing):
    r"""The hinge of SLiC-HF's rank term, times beta, without its regulariser.

    .. math:: \max(0, 1 - \beta m), \qquad r = \log\pi

    At beta*m = 1, its kink, the slope is 0.

    Parameters
    ----------
    beta : float or DynamicBeta
        > 0; the margin asked for is 1/beta.
    pair : Pair
        How the set becomes a pair.

    References
    ----------
    Zhao et al. (2023), "SLiC-HF", eq. 1, arXiv:2305.10425.

    Examples
    --------
    >>> Hinge()
    Hinge(beta=0.1, pair=Hardest())
    """

    beta: float | DynamicBeta = positive(0.1)
    pair: Pair = Hardest()

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp

    def link(self, margin: Array) -> Array:
        short = 1 - beta_of(self.beta, margin) * margin
        return namespace(margin).where(short > 0, short, 0.0)

    def link_slope(self, margin: Array) -> Array:
        xp, beta = namespace(margin), beta_of(self.beta, margin)
        return xp.where(1 - beta * margin > 0, -beta, xp.zeros_like(margin))


@dataclass(frozen=True)
class SFT(Loss):
    r"""Supervised fine-tuning, the baseline: the NLL of the positives alone, the mean of -logp/length.

    .. math:: \mathrm{NLL} = \frac{1}{|A^+|} \sum_{A^+} -\log\pi / \text{length}

    Its :meth:`margin` is the hard margin of the log-probs, which the loss itself does not see.

    Examples
    --------
    >>> SFT()
    SFT()
    """

    def value(self, sets: ScoredSets, sides: Sides) -> Array:
        return mean_nll(sets)

    def weights(self, sets: ScoredSets) -> Array:
        return mean_nll_slopes(sets)


LOSSES = {
    "dpo": DPO(pair=First()),
    "cdpo": CDPO(pair=First()),
    "robust-dpo": RobustDPO(pair=First()),
    "cpo": CPO(pair=First()),
    "orpo": ORPO(pair=First()),
    "simpo": SimPO(pair=First()),
    "ipo": IPO(pair=First()),
    "hinge": Hinge(pair=First()),
    "sft": SFT(),
    "infonca": InfoNCA(),
    "plackett-luce": PlackettLuce(),
    "rloo": RLOO(),
    "grpo": GRPO(),
    "s-dpo": DPO(beta=0.1, pair=Smooth(tau=0.1)),
    "post-cpo": MaxMin(pair=Hardest()),
    "post-orpo": OneSided(lam=1.0, pair=Hardest()),
    "maxneg-minpos": MaxMin(pair=Hardest()),
    "smooth-maxneg-minpos": MaxMin(pair=Smooth(tau=1.0)),
    "dpo-hardest": DPO(pair=Hardest()),
    "dpo-smooth": DPO(pair=Smooth(tau=1.0)),
    "dpo-mellow": DPO(pair=Mellow(tau=1.0)),
    "cpo-smooth": CPO(pair=Smooth(tau=1.0)),
    "orpo-smooth": ORPO(pair=Smooth(tau=1.0)),
    "dpo-upper": DPO(pair=Smooth(tau=UpperBound(epsilon=0.1))),
    "dpo-lower": DPO(pair=Smooth(tau=LowerBound(epsilon=0.1))),
    "dpo-share": DPO(pair=Smooth(tau=LeaderShare(share=0.9))),
}
