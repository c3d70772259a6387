"""The losses: each a score per response and a link of the margin, with the slopes of both."""

from dataclasses import dataclass
from typing import cast

from mapl_explore.losses.loss import Comparing, Loss, Paired, lengths, mean_nll, mean_nll_slopes
from mapl_explore.losses.naming import nonnegative, positive
from mapl_explore.losses.pairs import First, Hardest, Mellow, Pair, Side, Sides, Smooth, negatives, side_of
from mapl_explore.losses.rules import LeaderShare, LowerBound, UpperBound
from mapl_explore.losses.sets import ScoredSets, require_sets
from mapl_explore.numerics.arrays import Array, detach, namespace, sigmoid, softplus, with_gradient

ODDS_FLOOR = -1e-12  # nats a token; nearer to 0 the odds of ORPO are continued by their tangent


class Logistic(Comparing):
    r"""A loss whose link is minus a log-sigmoid of a line in the margin.

    .. math:: -\lambda \log\sigma(\beta m - \gamma) = \lambda \log(1 + e^{\gamma - \beta m})
    """

    beta: float

    def line(self) -> tuple[float, float, float]:
        """Return lambda, beta and gamma."""
        return 1.0, self.beta, 0.0

    def link(self, margin: Array) -> Array:
        lam, beta, gamma = self.line()
        return lam * softplus(gamma - beta * margin)

    def link_slope(self, margin: Array) -> Array:
        lam, beta, gamma = self.line()
        return -lam * beta * sigmoid(gamma - beta * margin)


@dataclass(frozen=True)
class DPO(Logistic):
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

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp - sets.ref_logp


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
class CPO(Logistic):
    r"""Contrastive Preference Optimization (Xu et al.): DPO without a reference, plus the NLL of the positives.

    .. math:: -\log\sigma(\beta m) + \alpha \, \mathrm{NLL}, \qquad r = \log\pi

    The NLL is the mean over the positives of -logp/length, as TRL's is on a single pair; the paper sums over tokens.

    Parameters
    ----------
    beta : float
        > 0; how steeply the loss turns with the margin.
    alpha : float
        >= 0; how much of the NLL is added.
    pair : Pair
        How the set becomes a pair.

    References
    ----------
    Xu et al. (2024), "Contrastive Preference Optimization", eqs. 4 and 5, arXiv:2401.08417.

    Examples
    --------
    >>> CPO()
    CPO(beta=0.1, alpha=1.0, pair=Hardest())
    """

    beta: float = positive(0.1)
    alpha: float = nonnegative(1.0)
    pair: Pair = Hardest()

    @property
    def nll(self) -> float:
        return self.alpha

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp


@dataclass(frozen=True)
class ORPO(Logistic):
    r"""Odds Ratio Preference Optimization (Hong et al.): the NLL of the positives and an odds-ratio term.

    .. math:: \mathrm{NLL} - \lambda \log\sigma(m), \qquad
              r = \log\frac{p}{1-p}, \quad p = \exp(\log\pi / \text{length})

    The NLL covers the responses alone; TRL's covers the prompt as well. At p = 1 the odds are infinite. From -1e-12
    nats a token upward, r goes on along its tangent, so that value and gradient stay finite and monotone. The slope
    there is 1e12 a nat; in float16 it saturates.

    Parameters
    ----------
    lam : float
        >= 0; the weight of the odds-ratio term.
    pair : Pair
        How the set becomes a pair.

    References
    ----------
    Hong, Lee and Thorne (2024), "ORPO: Monolithic Preference Optimization without Reference Model", eqs. 4 to 7,
    arXiv:2403.07691.

    Examples
    --------
    >>> ORPO()
    ORPO(lam=0.1, pair=Hardest())
    """

    lam: float = nonnegative(0.1)
    pair: Pair = Hardest()

    @property
    def nll(self) -> float:
        return 1.0

    def score(self, sets: ScoredSets) -> Array:
        xp, mean = namespace(sets.logp), sets.logp / lengths(sets)
        # log(1 - p) by expm1: log1p(-exp(mean)) is -inf, and its gradient NaN, from -3e-8 on in float32.
        safe = xp.where(mean < ODDS_FLOOR, mean, ODDS_FLOOR)
        return safe - xp.log(-xp.expm1(safe)) + xp.where(mean < ODDS_FLOOR, 0.0, (mean - ODDS_FLOOR) / -ODDS_FLOOR)

    def score_slope(self, sets: ScoredSets) -> Array:
        xp, mean = namespace(sets.logp), sets.logp / lengths(sets)
        return 1 / (-xp.expm1(xp.where(mean < ODDS_FLOOR, mean, ODDS_FLOOR)) * lengths(sets))

    def line(self) -> tuple[float, float, float]:
        return self.lam, 1.0, 0.0


@dataclass(frozen=True)
class SimPO(Logistic):
    r"""Simple Preference Optimization: DPO on the mean log-prob per token, with a target margin and no reference.

    .. math:: -\log\sigma(\beta m - \gamma), \qquad r = \log\pi / \text{length}

    Parameters
    ----------
    beta : float
        > 0; how steeply the loss turns with the margin.
    gamma : float
        The target: beta times the margin at which the loss is log 2.
    pair : Pair
        How the set becomes a pair.

    References
    ----------
    Meng, Xia and Chen (2024), eq. 6, arXiv:2405.14734.

    Examples
    --------
    >>> SimPO()
    SimPO(beta=2.0, gamma=1.0, pair=Hardest())
    """

    beta: float = positive(2.0)
    gamma: float = 1.0
    pair: Pair = Hardest()

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp / lengths(sets)

    def score_slope(self, sets: ScoredSets) -> Array:
        return 1 / lengths(sets)

    def line(self) -> tuple[float, float, float]:
        return 1.0, self.beta, self.gamma


@dataclass(frozen=True)
class IPO(Comparing):
    r"""Identity Preference Optimization: a square around the margin 1/(2 beta), which is not to be overshot.

    .. math:: \bigl(m - \tfrac{1}{2\beta}\bigr)^2, \qquad r = \log\pi - \log\pi_0

    r is a sum over tokens, as in the paper; TRL takes the mean per token.

    Parameters
    ----------
    beta : float
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

    beta: float = positive(0.1)
    pair: Pair = Hardest()

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp - sets.ref_logp

    def link(self, margin: Array) -> Array:
        return (margin - 0.5 / self.beta) ** 2

    def link_slope(self, margin: Array) -> Array:
        return 2 * (margin - 0.5 / self.beta)


@dataclass(frozen=True)
class Hinge(Comparing):
    r"""The hinge of SLiC-HF's rank term, times beta, without its regulariser.

    .. math:: \max(0, 1 - \beta m), \qquad r = \log\pi

    At beta*m = 1, its kink, the slope is 0.

    Parameters
    ----------
    beta : float
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

    beta: float = positive(0.1)
    pair: Pair = Hardest()

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp

    def link(self, margin: Array) -> Array:
        short = 1 - self.beta * margin
        return namespace(margin).where(short > 0, short, 0.0)

    def link_slope(self, margin: Array) -> Array:
        return namespace(margin).where(1 - self.beta * margin > 0, -self.beta, namespace(margin).zeros_like(margin))


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
    "cpo": CPO(pair=First()),
    "orpo": ORPO(pair=First()),
    "simpo": SimPO(pair=First()),
    "ipo": IPO(pair=First()),
    "hinge": Hinge(pair=First()),
    "sft": SFT(),
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
