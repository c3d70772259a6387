"""The losses of graded responses: all responses of a set at once, each with its reward; no pair is made of the set."""

from abc import abstractmethod
from dataclasses import dataclass

from mapl_explore.losses.loss import PER_TOKEN, Loss, lengths, require_weights
from mapl_explore.losses.naming import divisor, nonnegative, positive
from mapl_explore.losses.pairs import Sides
from mapl_explore.losses.sets import ScoredSets
from mapl_explore.numerics.arrays import (
    Array,
    column,
    constant,
    detach,
    held,
    is_torch,
    namespace,
    positions,
    row_sum,
    with_gradient,
)
from mapl_explore.numerics.unchecked import smooth_max_weights, smoothing_error

FAR = 64.0  # nats a token; from here on GRPO continues exp by a logarithm, which is finite for every float
ROOM = 2.0**-40  # products with a power of two are exact; sums of 2**38 numbers that were made so small are finite


class Graded(Loss):
    """A loss of all responses of a set at once, each with its reward; the label counts where there is no reward.

    A subclass defines ``formula``, the value without a graph, and ``weights``, from which torch has its gradient.
    """

    @abstractmethod
    def formula(self, sets: ScoredSets) -> Array:
        """Return the loss (...) of each set, without a graph."""

    @abstractmethod
    def weights(self, sets: ScoredSets) -> Array: ...

    def value(self, sets: ScoredSets, sides: Sides) -> Array:
        fixed = sets.with_logp(detach(sets.logp))
        constants = (sets.ref_logp, sets.length, sets.label, sets.rewards)
        return with_gradient(self.formula(fixed), self.weights(fixed), self._slopes, sets.logp, *constants)

    def _try_weights(self, sets: ScoredSets) -> None:
        # By autograd alone: differences do not know what a formula takes as constant, as RLOO its advantages.
        if is_torch(sets.logp):
            require_weights(self, sets, self.formula, sets)

    def _slopes(self, *columns: Array) -> Array:
        return self.weights(ScoredSets.unchecked(*columns))


@dataclass(frozen=True)
class InfoNCA(Graded):
    r"""InfoNCA: the cross-entropy of a softmax of log-ratios against a softmax of rewards.

    .. math:: -\sum_i p_i \log q_i, \qquad p = \mathrm{softmax}(\text{reward} / \alpha), \quad
              q = \mathrm{softmax}(\beta r), \quad r = \log\pi - \log\pi_0

    The weights are :math:`\beta (q - p)`. With one positive, no rewards but the labels, and a small alpha, it is S-DPO.

    Parameters
    ----------
    beta : float
        > 0; how steeply the loss turns with the log-ratios.
    alpha : float
        > 0, in the unit of the rewards; the smaller, the more the best reward counts. It divides the rewards as in the
        authors' code, whose default is 1e-3. From 1e-30 to 1e30, so that float32 holds 1/alpha.

    References
    ----------
    Chen et al. (2024), "Noise Contrastive Alignment of Language Models with Explicit Rewards", arXiv:2402.05369.

    Examples
    --------
    >>> sets = ScoredSets([-1.0, -3.0, -2.0], [-2.0] * 3, [4] * 3, [1, -1, -1], reward=[0.9, 0.1, 0.5])
    >>> InfoNCA(alpha=0.1)(sets).round(4), InfoNCA(alpha=0.1).weights(sets).round(4)
    (np.float64(1.0038), array([-0.0615,  0.03  ,  0.0314]))
    """

    beta: float = positive(0.1)
    alpha: float = divisor(1.0)

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp - sets.ref_logp

    def formula(self, sets: ScoredSets) -> Array:
        # -log q is beta times the distance to the leader and the smoothing error: no difference of large numbers.
        r, beta, xp = _present(self.score(sets), sets), held("beta", self.beta, sets.logp), namespace(sets.logp)
        distance = xp.where(sets.label != 0, xp.max(r, axis=-1, keepdims=True) - r, 0.0)
        return beta * (row_sum(self._target(sets) * distance) + smoothing_error(r, beta))

    def weights(self, sets: ScoredSets) -> Array:
        beta = held("beta", self.beta, sets.logp)
        return self.beta * (smooth_max_weights(_present(self.score(sets), sets), beta) - self._target(sets))

    def _target(self, sets: ScoredSets) -> Array:
        return smooth_max_weights(_present(sets.rewards, sets), held("1/alpha", 1 / self.alpha, sets.logp))


@dataclass(frozen=True)
class PlackettLuce(Graded):
    r"""DPO of a ranking: each response against all that have a lower reward.

    .. math:: -\sum_i \log \frac{e^{\beta r_i}}{e^{\beta r_i} + \sum_{j:\, \text{reward}_j < \text{reward}_i}
              e^{\beta r_j}}, \qquad r = \log\pi - \log\pi_0

    Where all rewards differ, it is the paper's loss; the term of the lowest is 0. Responses with the same reward are
    not compared with each other; rewards that differ only by rounding count as different. Two responses with different
    rewards give DPO; one positive, without rewards, S-DPO. It holds n x n numbers for each set: in float64 2 kB for 16
    responses, 8 MB for 1,000.

    Parameters
    ----------
    beta : float
        > 0; how steeply the loss turns with the log-ratios.

    References
    ----------
    Rafailov et al. (2023), appendix A.3, eq. 20, arXiv:2305.18290.

    Examples
    --------
    >>> sets = ScoredSets([-1.0, -3.0, -2.0], [-2.0] * 3, [4] * 3, [1, -1, -1], reward=[0.9, 0.1, 0.5])
    >>> PlackettLuce()(sets).round(4), PlackettLuce().weights(sets).round(4)
    (np.float64(1.6463), array([-0.0633,  0.0776, -0.0143]))
    """

    beta: float = positive(0.1)

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp - sets.ref_logp

    def formula(self, sets: ScoredSets) -> Array:
        r, against = self.score(sets), self._against(sets)
        beta = held("beta", self.beta, r)
        ahead = namespace(r).max(against, axis=-1) - r
        return beta * row_sum(ahead + smoothing_error(against, beta))

    def weights(self, sets: ScoredSets) -> Array:
        xp, against = namespace(sets.logp), self._against(sets)
        # Without the responses themselves: 1 minus a softmax next to 1 would have no digits left.
        others = xp.where(_diagonal(sets.logp), 0.0, smooth_max_weights(against, held("beta", self.beta, against)))
        return self.beta * (xp.sum(others, axis=-2) - row_sum(others))

    def _against(self, sets: ScoredSets) -> Array:
        """Return in row i (..., n, n) the score of response i and those of all with a lower reward, else -inf."""
        r, rewards, there = self.score(sets), sets.rewards, sets.label != 0
        lower = (column(rewards) > rewards[..., None, :]) & column(there) & there[..., None, :]
        return namespace(r).where(lower | _diagonal(r), r[..., None, :], float("-inf"))


@dataclass(frozen=True)
class RLOO(Graded):
    r"""REINFORCE Leave-One-Out: the policy gradient, with the mean of the other responses as the baseline.

    .. math:: -\frac1K \sum_i A_i \log\pi_i, \qquad A_i = R_i - \frac{1}{K-1} \sum_{j \ne i} R_j, \quad
              R = \text{reward} - \beta (\log\pi - \log\pi_0)

    Its weights :math:`-A_i / K` add up to 0. A is a constant to the gradient, as in the paper, and so second
    derivatives are 0, and the loss as a curve has other slopes than the weights where beta > 0. It is unbounded below.
    The estimate is that of the policy that drew the responses: on the fixed sets of a file it holds at the first step
    only, if they are the model's own. The weights hold for rewards of any size; a value beyond 1e-12 of the dtype's
    largest number, 2e296 in float64, is held there, so that the mean over sets is finite.

    Parameters
    ----------
    beta : float
        >= 0; how much of the log-ratio to the reference is taken off the reward, in reward a nat.

    References
    ----------
    Ahmadian et al. (2024), "Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback
    in LLMs", arXiv:2402.14740.

    Examples
    --------
    >>> sets = ScoredSets([-1.0, -3.0, -2.0], [-2.0] * 3, [4] * 3, [1, -1, -1], reward=[0.9, 0.1, 0.5])
    >>> RLOO().weights(sets).round(4)
    array([-0.15,  0.15, -0.  ])
    """

    beta: float = nonnegative(0.1)
    bounded = False

    def score(self, sets: ScoredSets) -> Array:
        return sets.logp - sets.ref_logp if self.beta else sets.logp  # without beta no reference is asked for

    def formula(self, sets: ScoredSets) -> Array:
        return _held_sum(self.weights(sets), sets.logp)

    def weights(self, sets: ScoredSets) -> Array:
        ratio = self.beta * detach(sets.logp - sets.ref_logp)
        room = _room(sets.rewards, ratio)
        return -_from_mean(room * sets.rewards - room * ratio, sets) / column(_count(sets) - 1) / room


@dataclass(frozen=True)
class GRPO(Graded):
    r"""Group Relative Policy Optimization: a clipped policy gradient, and a penalty that keeps near the reference.

    .. math:: -\frac1K \sum_i \bigl[\min\bigl(\rho_i A_i,\; \mathrm{clip}(\rho_i, 1-c, 1+c)\, A_i\bigr)
              - \beta (e^{-r_i} + r_i - 1)\bigr], \qquad \rho = e^r

    .. math:: r = \frac{\log\pi - \log\pi_0}{\text{length}}, \qquad
              A = \frac{\text{reward} - \text{mean}}{\text{std}}

    The reference is the model that drew the responses. Sets hold sums of log-probs, so there is one ratio for each
    response, the mean over its tokens, where the paper has one for each token; at ratio 1, where a run starts, both
    have the gradient :math:`-A_i / (K \cdot \text{length}_i)`. (The ratio is that of GSPO, and of TRL's
    ``importance_sampling_level="sequence"``.) Mean and standard deviation are those of the set, over its K responses:
    where all rewards are equal, A is 0. TRL divides by K - 1 in the standard deviation, and adds 1e-4 to it.

    Beyond 64 nats a token, a ratio of 6e27, exp goes on as exp(64) (1 + log(1 + r - 64)), so that value and gradient
    stay finite. At ratios 1 - c and 1 + c, the kinks, the slope is that of the clipped side.

    Parameters
    ----------
    clip : float
        c > 0: how far a ratio is followed from 1.
    beta : float
        >= 0; how much of the penalty is added.

    References
    ----------
    Shao et al. (2024), "DeepSeekMath", eqs. 3 and 4, arXiv:2402.03300; Zheng et al. (2025), "Group Sequence Policy
    Optimization", arXiv:2507.18071, for the ratio of a sequence.

    Examples
    --------
    >>> sets = ScoredSets([-2.0] * 3, [-2.0] * 3, [4] * 3, [1, -1, -1], reward=[0.9, 0.1, 0.5])
    >>> GRPO().weights(sets).round(4)
    array([-0.1021,  0.1021, -0.    ])
    """

    clip: float = positive(0.2)
    beta: float = nonnegative(0.04)

    @property
    def unit(self) -> str:
        return PER_TOKEN

    def score(self, sets: ScoredSets) -> Array:
        return (sets.logp - sets.ref_logp) / lengths(sets)

    def formula(self, sets: ScoredSets) -> Array:
        r, gain, xp = self.score(sets), _standardised(sets), namespace(sets.logp)
        ratio = xp.exp(xp.clip(r, max=FAR)) * (1 + xp.log1p(xp.clip(r - FAR, min=0.0)))
        low, high = xp.clip(ratio, min=1 - self.clip), xp.clip(ratio, max=1 + self.clip)
        return row_sum((self.beta * _penalty(r) - gain * xp.where(gain > 0, high, low)) / column(_count(sets)))

    def weights(self, sets: ScoredSets) -> Array:
        r, gain, xp = self.score(sets), _standardised(sets), namespace(sets.logp)
        ratio = xp.exp(xp.clip(r, max=FAR))
        followed = xp.where(gain > 0, ratio < 1 + self.clip, ratio > 1 - self.clip)
        rises = xp.where(followed, ratio, 0.0) / (1 + xp.clip(r - FAR, min=0.0))
        slope = self.beta * _penalty_slope(r) - gain * rises
        return slope / (column(_count(sets)) * lengths(sets))


def _present(values: Array, sets: ScoredSets) -> Array:
    """Return values (..., n), -inf at padding."""
    return namespace(values).where(sets.label != 0, values, float("-inf"))


def _diagonal(array: Array) -> Array:
    """Return where a response meets itself, (n, n)."""
    place = positions(array)
    return namespace(array).equal(column(place), place)


def _count(sets: ScoredSets) -> Array:
    """Return K, how many responses each set has (...)."""
    return row_sum(namespace(sets.logp).astype(sets.label != 0, sets.logp.dtype))


def _from_mean(values: Array, sets: ScoredSets) -> Array:
    """Return values minus their mean over the set (..., n); 0 at padding, and exactly 0 where all are equal."""
    # The mean of three times 0.1 is not 0.1: GRPO would divide what is left by its own size, and push by 1.
    xp, there = namespace(values), sets.label != 0
    below = xp.where(there, values - xp.max(_present(values, sets), axis=-1, keepdims=True), 0.0)
    return xp.where(there, below - column(row_sum(below) / _count(sets)), 0.0)


def _room(*columns: Array) -> Array:
    """Return by what (..., 1) to multiply numbers (..., n) so that their differences and sums over a set are finite."""
    # Small ones stay as they are: 1e-30 times 2**-40 would have no digits left in float32.
    xp = namespace(*columns)
    widest = sum(xp.max(xp.abs(one * ROOM), axis=-1, keepdims=True) for one in columns)
    return xp.where(widest > ROOM, constant(ROOM, columns[0]), constant(1.0, columns[0]))


def _held_sum(weights: Array, values: Array) -> Array:
    """Return the sum of products (...), held where it is beyond the dtype: so far inside that a mean over sets is."""
    xp, n = namespace(weights), weights.shape[-1]
    one, other = (xp.clip(xp.max(xp.abs(each), axis=-1), min=1.0) for each in (weights, values))
    mean = row_sum(weights / column(one) * (values / column(other))) / n * one
    end = ROOM * xp.finfo(weights.dtype).max / n / other
    return xp.clip(mean, min=-end, max=end) * other * n


def _standardised(sets: ScoredSets) -> Array:
    """Return the rewards minus their mean, over their standard deviation (..., n); 0 where all are equal."""
    gain = _from_mean(sets.rewards * _room(sets.rewards), sets)
    xp = namespace(gain)
    widest = xp.max(xp.abs(gain), axis=-1, keepdims=True)  # its square can be beyond the dtype, or below it
    scaled = gain / xp.where(widest > 0, widest, 1.0)
    deviation = xp.sqrt(row_sum(scaled**2) / _count(sets))
    return scaled / column(xp.where(deviation > 0, deviation, 1.0))


def _penalty(r: Array) -> Array:
    """Return exp(-r) + r - 1 of an array, >= 0, with all its digits; exp goes on as a logarithm from FAR on."""
    xp, x = namespace(r), -r
    near = xp.abs(x) < 1
    # Next to 0, expm1(x) - x is a difference of equals: its series, to x**19/19!, 2e-17 of it at 1.
    small, series = xp.where(near, x, 0.0), 1.0
    for power in range(19, 2, -1):
        series = 1 + small / power * series
    wide = xp.expm1(xp.clip(x, max=FAR)) - x + xp.exp(xp.clip(x, max=FAR)) * xp.log1p(xp.clip(x - FAR, min=0.0))
    return xp.where(near, small**2 / 2 * series, wide)


def _penalty_slope(r: Array) -> Array:
    """Return d :func:`_penalty` / dr of an array, 1 - exp(-r) up to FAR."""
    xp = namespace(r)
    near = -xp.expm1(xp.clip(-r, max=FAR))
    return xp.where(r < -FAR, 1 + (near - 1) / (1 + xp.clip(-r - FAR, min=0.0)), near)
