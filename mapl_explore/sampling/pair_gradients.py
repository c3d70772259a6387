"""The gradient when one pair is drawn: its mean under a strategy of selection, and its spread between draws.

A trainer that reads one pair at a time follows an estimate. A strategy of selection gives each pair a probability, and
so decides both what is estimated (the mean) and how noisy the estimate is (the variance).
"""

import math
from dataclasses import dataclass

import numpy as np

from mapl_explore.files import counted
from mapl_explore.losses import Comparing, ScoredSets, require_reference
from mapl_explore.numerics.arrays import Numbers, to_numpy
from mapl_explore.numerics.smoothing import smooth_max_weights
from mapl_explore.sampling.pairs import Pairs


@dataclass(frozen=True)
class PairGradient:
    """The gradient of a loss in the log-probs as a random variable: one pair is drawn, its two responses are pushed.

    Parameters
    ----------
    mean, spread : array (sets, n)
        The mean and the standard deviation of d loss / d logp of each response.
    noise : float
        The variance, summed over all responses and divided by the squared length of the mean: the number of pairs that
        a step must average for the noise to be no larger than the signal. Infinite if the mean is 0.
    """

    mean: np.ndarray
    spread: np.ndarray
    noise: float

    @property
    def size(self) -> float:
        """Return the length of the mean, per nat."""
        return _length(self.mean)

    def likeness(self, other: "PairGradient") -> float:
        """Return the cosine between the means of two: 1 if they push the same way; 0 where one is 0."""
        sizes = self.size, other.size
        if 0.0 in sizes:
            return 0.0
        return min(1.0, float(np.sum((self.mean / sizes[0]) * (other.mean / sizes[1]))))


def pair_gradient(
    sets: ScoredSets, loss: Comparing, pairs: Pairs, chance: Numbers, *, slopes: Numbers | None = None
) -> PairGradient:
    r"""Return mean and spread of the gradient of a loss when one pair is drawn with given chances.

    .. math:: g = \ell'(m_{ij}) \, (s_i e_i - s_j e_j), \qquad (i, j) \sim q, \qquad s = \partial r / \partial \log\pi

    The NLL that a loss may add is left out: it does not depend on pairs.

    Parameters
    ----------
    sets : ScoredSets
        One set (n,) or several (..., n).
    loss : Comparing
        Its score and link are used, its pair is not.
    pairs : Pairs
        Those that can be drawn, as ``pair_margins`` returns them for these sets and this loss.
    chance : array (pairs,)
        >= 0, proportional to the probability q of each: a kernel's acceptance for rejection sampling, 1 for uniform.
    slopes : array (pairs,), optional
        Slopes to use in place of that of the loss at each pair's own margin.

    Returns
    -------
    PairGradient
        Exact sums over the pairs, without sampling.

    Raises
    ------
    ValueError
        If ``chance`` is not a finite number >= 0 for each pair, or 0 for all; or the loss reads a reference and the
        sets have none.

    Examples
    --------
    >>> from mapl_explore.losses import MaxMin
    >>> from mapl_explore.sampling.pairs import pair_margins
    >>> sets = ScoredSets([-1.0, -4.0, -3.0], [0.0] * 3, [1] * 3, [1, 1, -1])
    >>> gradient = pair_gradient(sets, MaxMin(), pair_margins(sets, MaxMin()), [1, 1])
    >>> gradient.mean, gradient.spread, round(gradient.noise, 4)
    (array([[-0.5, -0.5,  1. ]]), array([[0.5, 0.5, 0. ]]), 0.3333)
    """
    require_reference(loss, sets)
    q = _probabilities(chance, len(pairs))
    own = to_numpy(loss.link_slope(pairs.margin)) if slopes is None else np.asarray(slopes, float)
    rates = np.broadcast_to(to_numpy(loss.score_slope(sets)), sets.label.shape).reshape(-1, sets.label.shape[-1])
    places = [(pairs.set, pairs.positive), (pairs.set, pairs.negative)]
    pushes = [own * rates[places[0]], -own * rates[places[1]]]
    # In units of the largest push: the square of a slope of 1e-200 would be lost.
    unit = max(float(np.max(np.abs(push))) for push in pushes) or 1.0
    mean, variance = _moments(places, [push / unit for push in pushes], q, rates.shape)
    size = _length(mean)
    noise = float(variance.sum()) / size**2 if size else math.inf
    return PairGradient(mean * unit, np.sqrt(variance) * unit, noise)


def smooth_chances(pairs: Pairs, *, tau: float) -> np.ndarray:
    r"""Return the chance of each pair with which drawn pairs push, on average, as the smooth pair does.

    .. math:: w^+_i w^-_j \propto e^{-\tau m_{ij}} \quad\text{within each set}

    The weights of a smooth minimum and a smooth maximum multiply to a softmax of minus the margins. The two pushes are
    equal if all pairs of a set are pushed with one slope, that of the loss at the smooth margin; with the slope at its
    own margin each pair gets a smaller push from a link such as DPO's, whose slope is steepest at small margins.

    Parameters
    ----------
    pairs : Pairs
        All pairs of some sets.
    tau : float
        Inverse temperature > 0, in 1/nats.

    Returns
    -------
    array (pairs,)
        They sum to 1 within each set.

    Examples
    --------
    >>> from mapl_explore.losses import MaxMin
    >>> from mapl_explore.sampling.pairs import pair_margins
    >>> sets = ScoredSets([-1.0, -4.0, -3.0], [0.0] * 3, [1] * 3, [1, 1, -1])
    >>> smooth_chances(pair_margins(sets, MaxMin()), tau=1.0).round(3)
    array([0.047, 0.953])
    """
    if not len(pairs):
        raise ValueError("pairs must hold at least one pair")
    # One row for each set, padded at its end: pairs stand in the order of their sets.
    _, first, row = np.unique(pairs.set, return_index=True, return_inverse=True)
    column = np.arange(len(pairs)) - first[row]
    margins = np.full((first.size, column.max() + 1), math.inf)
    margins[row, column] = pairs.margin
    return to_numpy(smooth_max_weights(-margins, tau=tau))[row, column]


def effective_number(chance: Numbers) -> float:
    """Return how many pairs a sample comes from, in effect: (sum a)^2 / sum a^2.

    Examples
    --------
    >>> effective_number([1.0, 1.0, 0.0])
    2.0
    """
    parts = to_numpy(chance) / np.max(to_numpy(chance))
    return float(parts.sum() ** 2 / np.square(parts).sum())


def _probabilities(chance: Numbers, count: int) -> np.ndarray:
    parts = np.asarray(to_numpy(chance), float)
    if parts.shape != (count,) or not ((parts >= 0) & (parts < math.inf)).all():
        raise ValueError(f"chance must be a finite number >= 0 for each of {counted(count, 'pair')}")
    if not parts.any():
        raise ValueError("chance must be > 0 for at least one pair")
    return parts / parts.sum()


def _moments(places: list, pushes: list, q: np.ndarray, shape: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance (sets, n) of pushes (pairs,) at two places, drawn with probabilities q."""
    mean, variance, touched = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for place, push in zip(places, pushes, strict=True):
        np.add.at(mean, place, q * push)
        np.add.at(touched, place, q)
    # Around the mean, not as E g^2 - (E g)^2, which cancels where one pair has almost all of the chance. A draw that
    # does not touch a response pushes it by 0.
    for place, push in zip(places, pushes, strict=True):
        np.add.at(variance, place, q * np.square(push - mean[place]))
    untouched = 1.0 - touched
    untouched[untouched < q.size * np.finfo(float).eps] = 0.0  # no more than the rounding of its sum
    return mean, variance + untouched * np.square(mean)


def _length(mean: np.ndarray) -> float:
    """Return the length of a vector, without the overflow or underflow of its squares."""
    largest = float(np.max(np.abs(mean)))
    return largest * float(np.linalg.norm(mean / largest)) if largest else 0.0
