"""The logistic losses: minus a log-sigmoid of a line in the margin, and what some of them add."""

from abc import abstractmethod
from dataclasses import dataclass

from mapl_explore.losses.dynamic_beta import DynamicBeta, beta_of
from mapl_explore.losses.loss import PER_TOKEN, Comparing, lengths
from mapl_explore.losses.naming import flips, nonnegative, positive
from mapl_explore.losses.pairs import Hardest, Pair
from mapl_explore.losses.sets import ScoredSets
from mapl_explore.numerics.arrays import Array, namespace, sigmoid, softplus

ODDS_FLOOR = -1e-12  # nats a token; nearer to 0 the odds of ORPO are continued by their tangent


class Logistic(Comparing):
    r"""A loss whose link is minus a log-sigmoid of a line in the margin.

    .. math:: -\lambda \log\sigma(\beta m - \gamma) = \lambda \log(1 + e^{\gamma - \beta m})
    """

    beta: float | DynamicBeta

    def line(self) -> tuple[float, float | DynamicBeta, float]:
        """Return lambda, beta and gamma."""
        return 1.0, self.beta, 0.0

    def link(self, margin: Array) -> Array:
        lam, beta, gamma = self.line()
        return lam * softplus(gamma - beta_of(beta, margin) * margin)

    def link_slope(self, margin: Array) -> Array:
        lam, line, gamma = self.line()
        beta = beta_of(line, margin)
        return -lam * beta * sigmoid(gamma - beta * margin)


@dataclass(frozen=True)
class DPO(Logistic):
    r"""Direct Preference Optimization on the pair that a set becomes.

    .. math:: -\log\sigma(\beta m), \qquad r = \log\pi - \log\pi_0

    Parameters
    ----------
    beta : float or DynamicBeta
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

    beta: float | DynamicBeta = positive(0.1)
    pair: Pair = Hardest()

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp - sets.ref_logp


class Flipped(Logistic):
    r"""DPO for pairs whose two sides may have been swapped: it adds a line to DPO's link.

    .. math:: -\log\sigma(\beta m) + t \beta m, \qquad r = \log\pi - \log\pi_0
    """

    @property
    @abstractmethod
    def tilt(self) -> float:
        """The slope t of the line, in units of beta."""

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp - sets.ref_logp

    def link(self, margin: Array) -> Array:
        return super().link(margin) + self.tilt * beta_of(self.beta, margin) * margin

    def link_slope(self, margin: Array) -> Array:
        return super().link_slope(margin) + self.tilt * beta_of(self.beta, margin)


@dataclass(frozen=True)
class CDPO(Flipped):
    r"""Conservative DPO: the loss to be expected if a part s of the pairs were swapped.

    .. math:: -(1-s) \log\sigma(\beta m) - s \log\sigma(-\beta m), \qquad r = \log\pi - \log\pi_0

    It is computed as :math:`-\log\sigma(\beta m) + s \beta m`, which is the same. Where s > 0 it is least at
    :math:`\beta m = \log\frac{1-s}{s}` and rises beyond: margins are not driven on without end, as DPO's are.

    Parameters
    ----------
    beta : float or DynamicBeta
        > 0; how steeply the loss turns with the margin.
    smoothing : float
        s, >= 0 and below 1/2. At 0 the loss is DPO.
    pair : Pair
        How the set becomes a pair.

    References
    ----------
    Mitchell (2023), "A note on DPO with noisy preferences & relationship to IPO"; called cDPO in Chowdhury, Kini and
    Natarajan (2024), arXiv:2403.00409.

    Examples
    --------
    >>> CDPO()
    CDPO(beta=0.1, smoothing=0.1, pair=Hardest())
    """

    beta: float | DynamicBeta = positive(0.1)
    smoothing: float = flips(0.1)
    pair: Pair = Hardest()

    @property
    def tilt(self) -> float:
        return self.smoothing


@dataclass(frozen=True)
class RobustDPO(Flipped):
    r"""Robust DPO: over pairs of which a part s was swapped, its mean is DPO's loss on the pairs as they were.

    .. math:: \frac{-(1-s) \log\sigma(\beta m) + s \log\sigma(-\beta m)}{1-2s}, \qquad r = \log\pi - \log\pi_0

    It is computed as :math:`-\log\sigma(\beta m) - \frac{s}{1-2s} \beta m`, which is the same. Where s > 0 it is
    unbounded below: its slope in the margin is :math:`-\beta s / (1-2s)` even at the largest margins, so a set that
    the model has right is pushed on without end, and training must be stopped by steps.

    Parameters
    ----------
    beta : float or DynamicBeta
        > 0; how steeply the loss turns with the margin.
    smoothing : float
        s, >= 0 and below 1/2: the part of the pairs that is taken to be swapped. At 0 the loss is DPO.
    pair : Pair
        How the set becomes a pair. In a set of two, swapping the sides makes m into -m, and the mean over swaps is
        DPO's loss. In a larger set that holds only for ``First`` and ``Mean``.

    References
    ----------
    Chowdhury, Kini and Natarajan (2024), "Provably Robust DPO: Aligning Language Models with Noisy Feedback",
    arXiv:2403.00409.

    Examples
    --------
    >>> RobustDPO(), RobustDPO().bounded
    (RobustDPO(beta=0.1, smoothing=0.1, pair=Hardest()), False)
    """

    beta: float | DynamicBeta = positive(0.1)
    smoothing: float = flips(0.1)
    pair: Pair = Hardest()

    @property
    def bounded(self) -> bool:
        """Whether the loss is bounded below: only where it is DPO."""
        return self.smoothing == 0

    @property
    def tilt(self) -> float:
        return -self.smoothing / (1 - 2 * self.smoothing)


@dataclass(frozen=True)
class CPO(Logistic):
    r"""Contrastive Preference Optimization (Xu et al.): DPO without a reference, plus the NLL of the positives.

    .. math:: -\log\sigma(\beta m) + \alpha \, \mathrm{NLL}, \qquad r = \log\pi

    The NLL is the mean over the positives of -logp/length, as TRL's is on a single pair; the paper sums over tokens.

    Parameters
    ----------
    beta : float or DynamicBeta
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

    beta: float | DynamicBeta = positive(0.1)
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
    beta : float or DynamicBeta
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

    beta: float | DynamicBeta = positive(2.0)
    gamma: float = 1.0
    pair: Pair = Hardest()

    @property
    def unit(self) -> str:
        return PER_TOKEN

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp / lengths(sets)

    def score_slope(self, sets: ScoredSets) -> Array:
        return 1 / lengths(sets)

    def line(self) -> tuple[float, float | DynamicBeta, float]:
        return 1.0, self.beta, self.gamma
