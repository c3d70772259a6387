"""How a set becomes one pair: the first responses, their mean, the hardest, or a smooth version of the hardest."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

from mapl_explore.arrays import Array, column, namespace, positions, row_sum
from mapl_explore.losses.naming import Named, positive
from mapl_explore.losses.rules import ErrorRule, TauRule, tau_at, tau_of
from mapl_explore.smoothing import _smooth_max, _split, _weights


class Pair(Named, ABC):
    """How one side of a set becomes one number: for the negatives their ``top``, for the positives minus that of -r."""

    @abstractmethod
    def top(self, scores: Array) -> Array:
        """Return one number (...) for the scores (..., n) of a side, where -inf stands at all but the side."""

    @abstractmethod
    def top_weights(self, scores: Array) -> Array:
        """Return the gradient (..., n) of :meth:`top`."""

    def margin(self, r: Array, label: Array) -> Array:
        """Return the positive side minus the negative side (...)."""
        return -self.top(positives(-r, label)) - self.top(negatives(r, label))

    def margin_slopes(self, r: Array, label: Array) -> Array:
        """Return d margin / d r (..., n)."""
        return self.top_weights(positives(-r, label)) - self.top_weights(negatives(r, label))

    def at(self, progress: float) -> "Pair":
        """Return the pair at a point of training, from 0 to 1: the same, but for a tau that anneals."""
        return self


@dataclass(frozen=True)
class First(Pair):
    """The first response of each side, as if a set were its first pair.

    Examples
    --------
    >>> First().top_weights(np.array([-np.inf, 1.0, 2.0]))
    array([0., 1., 0.])
    """

    def top(self, scores):
        return _read(scores, self._place(scores))

    def top_weights(self, scores):
        return _one_hot(scores, self._place(scores))

    def _place(self, scores):
        xp = namespace(scores)
        return xp.argmax(xp.astype(scores > -math.inf, xp.int8), axis=-1, keepdims=True)


@dataclass(frozen=True)
class Mean(Pair):
    """The mean over each side.

    Examples
    --------
    >>> Mean().top(np.array([-np.inf, 1.0, 2.0]))
    np.float64(1.5)
    """

    def top(self, scores):
        xp = namespace(scores)
        return row_sum(xp.where(scores > -math.inf, scores, 0.0)) / _count(scores)

    def top_weights(self, scores):
        xp = namespace(scores)
        return xp.where(scores > -math.inf, 1.0, xp.zeros_like(scores)) / column(_count(scores))


@dataclass(frozen=True)
class Hardest(Pair):
    """The least likely positive and the likeliest negative (MaxNeg-MinPos); at ties the first of them.

    Examples
    --------
    >>> float(Hardest().top(np.array([-np.inf, 1.0, 2.0])))
    2.0
    """

    def top(self, scores):
        return _read(scores, _leader(scores))

    def top_weights(self, scores):
        return _one_hot(scores, _leader(scores))


@dataclass(frozen=True)
class Smooth(Pair):
    r"""The smooth minimum of the positives and the smooth maximum of the negatives.

    .. math:: m = -\tfrac1\tau \log\sum_{A^+} e^{-\tau r} - \tfrac1\tau \log\sum_{A^-} e^{\tau r}

    Parameters
    ----------
    tau : float or TauRule
        Inverse temperature > 0, in 1/nats, or the rule that chooses it for each side of each set. The margin is
        below that of :class:`Hardest` by the smoothing errors of both sides.

    Examples
    --------
    >>> Smooth(tau=2.0).top(np.array([-np.inf, 1.0, 2.0])).round(6)
    np.float64(2.063464)
    """

    tau: float | TauRule = positive(1.0)

    def top(self, scores):
        return _smooth_max(scores, tau_of(self.tau, scores))

    def top_weights(self, scores):
        return _weights(scores, tau_of(self.tau, scores))

    def at(self, progress):
        return replace(self, tau=tau_at(self.tau, progress))


@dataclass(frozen=True)
class Mellow(Pair):
    r"""The mean version of :class:`Smooth` (mellowmax), which does not grow with the size of the set.

    .. math:: \tfrac1\tau \log \tfrac1n \sum_i e^{\tau s_i}, \qquad \text{between the mean and the maximum}

    Parameters
    ----------
    tau : float or TauRule
        Inverse temperature > 0, in 1/nats. Of the rules, ``LeaderShare`` and ``Anneal``: those that aim at an error are
        refused, because the error of this pair, at most maximum minus mean, need not reach it.

    Raises
    ------
    ValueError
        If the rule aims at an error.

    References
    ----------
    Asadi and Littman (2017), "An Alternative Softmax Operator for Reinforcement Learning", arXiv:1612.05628.

    Examples
    --------
    >>> Mellow(tau=2.0).top(np.array([3.0, 3.0, 3.0]))
    np.float64(3.0)
    """

    tau: float | TauRule = positive(1.0)

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.tau, ErrorRule):
            raise ValueError(f"Mellow: tau must not aim at an error, which need not have a root here, as {self.tau!r}")

    def top(self, scores):
        xp, tau = namespace(scores), tau_of(self.tau, scores)
        leader, distance, _ = _split(scores)
        # log mean exp = log1p(mean expm1): smooth_max - log(n)/tau would cancel at small tau, where this is the mean.
        return leader + xp.log1p(row_sum(xp.expm1(-tau * distance)) / _count(scores)) / tau

    def top_weights(self, scores):
        return _weights(scores, tau_of(self.tau, scores))

    def at(self, progress):
        return replace(self, tau=tau_at(self.tau, progress))


def positives(r: Array, label: Array) -> Array:
    """Return the scores of the positives, with -inf at all else."""
    return namespace(r).where(label > 0, r, -math.inf)


def negatives(r: Array, label: Array) -> Array:
    """Return the scores of the negatives, with -inf at all else."""
    return namespace(r).where(label < 0, r, -math.inf)


def _leader(scores):
    return namespace(scores).argmax(scores, axis=-1, keepdims=True)


def _read(scores, place):
    return namespace(scores).take_along_axis(scores, place, axis=-1)[..., 0]


def _one_hot(scores, place):
    xp = namespace(scores)
    return xp.astype(positions(scores) == place, scores.dtype)


def _count(scores):
    xp = namespace(scores)
    return row_sum(xp.astype(scores > -math.inf, scores.dtype))
