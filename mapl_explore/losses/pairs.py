"""How a set becomes one pair: the first responses, their mean, the hardest, or a smooth version of the hardest."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import NamedTuple, Self, cast

from mapl_explore.losses.naming import Named, alpha, positive
from mapl_explore.losses.rules import ErrorRule, TauRule, tau_at, tau_of
from mapl_explore.losses.trials import made_up_scores, require_shape, tried_once
from mapl_explore.numerics.arrays import Array, Door, column, detach, namespace, positions, row_sum, with_gradient
from mapl_explore.numerics.unchecked import smooth_max_weights, smooth_max_with_weights, split_off_leader


class Side(NamedTuple):
    """What a pair makes of one side of each set: one number (...), its gradient (..., n), and the tau (...) behind it.

    The tau is None where the pair has none.
    """

    value: Array
    weights: Array
    tau: Array | None = None


class Sides(NamedTuple):
    """What a pair makes of the positives, from minus their scores, and of the negatives; None for an unused side."""

    positive: Side | None
    negative: Side | None

    @property
    def margin(self) -> Array:
        """The positive side minus the negative side (...), in nats."""
        positive, negative = self._both()
        return -positive.value - negative.value

    @property
    def slopes(self) -> Array:
        """The gradient (..., n) of the margin in the scores."""
        positive, negative = self._both()
        return positive.weights - negative.weights

    def _both(self) -> tuple[Side, Side]:
        """Return the sides of a pair, which makes something of both."""
        return cast(tuple[Side, Side], self)


class Pair(Named, ABC):
    """How one side of a set becomes one number: for the negatives their ``top``, for the positives minus that of -r."""

    @abstractmethod
    def side(self, scores: Array) -> Side:
        """Return one number (...) for the scores (..., n) of a side, -inf at all else, its gradient, and its tau.

        A plain tuple of the first two will do where there is no tau.
        """

    def top(self, scores: Array) -> Array:
        """Return the number (...) alone; the scores are checked."""
        door = Door(scores=scores)
        return door.leave(side_of(self, door.scores()).value)

    def sides(self, r: Array, label: Array) -> Sides:
        """Return what becomes of the scores r (..., n) of both sides."""
        return Sides(side_of(self, positives(-r, label)), side_of(self, negatives(r, label)))

    def margin(self, r: Array, label: Array, sides: Sides | None = None) -> Array:
        """Return the margin (...), differentiable in r at fixed tau; from its sides if they are given."""
        sides = sides or self.sides(detach(r), label)
        return with_gradient(sides.margin, sides.slopes, self._slopes, r, label)

    def _slopes(self, r: Array, label: Array) -> Array:
        return self.sides(r, label).slopes

    def at(self, progress: float) -> Self:
        """Return the pair at a point of training, from 0 to 1: the same, except for a tau that anneals."""
        return self


@dataclass(frozen=True)
class First(Pair):
    """The first response of each side, as if a set were its first pair.

    Examples
    --------
    >>> First().side(np.array([-np.inf, 1.0, 2.0]))[1]
    array([0., 1., 0.])
    """

    def side(self, scores: Array) -> Side:
        xp = namespace(scores)
        return _picked(scores, xp.argmax(xp.astype(scores > -math.inf, xp.int8), axis=-1, keepdims=True))


@dataclass(frozen=True)
class Mean(Pair):
    """The mean over each side.

    Examples
    --------
    >>> Mean().top(np.array([-np.inf, 1.0, 2.0]))
    np.float64(1.5)
    """

    def side(self, scores: Array) -> Side:
        xp, scored, count = namespace(scores), scores > -math.inf, _count(scores)
        return Side(row_sum(xp.where(scored, scores, 0.0)) / count, xp.astype(scored, scores.dtype) / column(count))


@dataclass(frozen=True)
class Hardest(Pair):
    """The least likely positive and the likeliest negative (MaxNeg-MinPos); at ties the first of them.

    Examples
    --------
    >>> float(Hardest().top(np.array([-np.inf, 1.0, 2.0])))
    2.0
    """

    def side(self, scores: Array) -> Side:
        return _picked(scores, namespace(scores).argmax(scores, axis=-1, keepdims=True))


@dataclass(frozen=True)
class Smooth(Pair):
    r"""The smooth minimum of the positives and the smooth maximum of the negatives.

    .. math:: m = -\tfrac1\tau \log\sum_{A^+} e^{-\tau r} - \tfrac1\tau \log\sum_{A^-} e^{\tau r}

    That is for alpha = 1; in general each side is a :func:`~mapl_explore.smooth_max`.

    Parameters
    ----------
    tau : float or TauRule
        Inverse temperature > 0, in 1/nats, or the rule that chooses it for each side of each set. The margin is
        below that of :class:`Hardest` by the smoothing errors of both sides.
    alpha : float
        From 1, where every response has a share of the gradient, to 2 (sparsemax). Above 1 the hardest response of a
        side has all of it once tau*gap reaches 1/(alpha - 1). The repr leaves it out at 1.

    Examples
    --------
    >>> Smooth(tau=2.0).top(np.array([-np.inf, 1.0, 2.0])).round(6)
    np.float64(2.063464)
    >>> Smooth(tau=2.0, alpha=2.0).top(np.array([-np.inf, 1.0, 2.0]))
    np.float64(2.0)
    """

    tau: float | TauRule = positive(1.0)
    alpha: float = alpha(1.0)

    def __repr__(self) -> str:
        shown = "" if self.alpha == 1 else f", alpha={self.alpha!r}"
        return f"Smooth(tau={self.tau!r}{shown})"

    def side(self, scores: Array) -> Side:
        tau = tau_of(self.tau, scores, self.alpha)
        return Side(*smooth_max_with_weights(scores, tau, self.alpha), tau)

    def at(self, progress: float) -> Self:
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.tau, ErrorRule):
            raise ValueError(f"Mellow: tau must not aim at an error, which need not have a root here, as {self.tau!r}")

    def side(self, scores: Array) -> Side:
        xp, tau = namespace(scores), tau_of(self.tau, scores)
        leader, distance, _ = split_off_leader(scores)
        # log mean exp = log1p(mean expm1): smooth_max - log(n)/tau would cancel at small tau, where this is the mean.
        mean = row_sum(xp.expm1(-column(tau) * distance)) / _count(scores)
        return Side(leader + xp.log1p(mean) / tau, smooth_max_weights(scores, tau), tau)

    def at(self, progress: float) -> Self:
        return replace(self, tau=tau_at(self.tau, progress))


def side_of(pair: Pair, scores: Array) -> Side:
    """Return what a pair makes of the scores (..., n) of a side; one that returns a plain tuple has no tau."""
    try_pair(pair, scores)
    return Side(*pair.side(scores))


@tried_once
def try_pair(pair: Pair, array: Array) -> None:
    """Raise TypeError if a pair does not return one number for each side and its gradient."""
    scores, name = made_up_scores(array), f"{type(pair).__name__}.side"
    returned = pair.side(scores)
    if not isinstance(returned, tuple) or len(returned) not in (2, 3):
        raise TypeError(f"{name} must return (value, weights) or (value, weights, tau), not {returned!r}")
    require_shape(returned[0], scores.shape[:-1], f"{name} must return one number for each side,")
    require_shape(returned[1], scores.shape, f"{name} must return weights of the shape of the scores")


def positives(r: Array, label: Array) -> Array:
    """Return the scores of the positives, with -inf at all else."""
    return namespace(r).where(label > 0, r, -math.inf)


def negatives(r: Array, label: Array) -> Array:
    """Return the scores of the negatives, with -inf at all else."""
    return namespace(r).where(label < 0, r, -math.inf)


def _picked(scores: Array, place: Array) -> Side:
    """Return the score at a place of each set, and 1 there and 0 at all else."""
    xp = namespace(scores)
    picked = xp.take_along_axis(scores, place, axis=-1)[..., 0]
    return Side(picked, xp.astype(positions(scores) == place, scores.dtype))


def _count(scores: Array) -> Array:
    xp = namespace(scores)
    return row_sum(xp.astype(scores > -math.inf, scores.dtype))
