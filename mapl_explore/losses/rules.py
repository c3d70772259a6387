"""Rules that choose the inverse temperature from the scores of one side of a set, each time the loss sees it.

Each side has its own number of scores and its own gap. A rule's tau is a constant to the gradient: with the tau of
:class:`ExactError` left in the graph, smooth max = max + constant, and its gradient would be the hard one.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from mapl_explore.losses.naming import Named, positive, share
from mapl_explore.losses.trials import made_up_scores, require_shape, tried_once
from mapl_explore.numerics import roots
from mapl_explore.numerics.arrays import Array, Door, column, detach, held, namespace, positions, row_sum, to_numpy
from mapl_explore.numerics.unchecked import top_gap


class TauRule(Named, ABC):
    """What can stand for a number as the tau of a pair: a frozen dataclass, with defaults, that defines ``tau``.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from mapl_explore import DPO, Smooth, TauRule, top_gap
    >>> @dataclass(frozen=True)
    ... class OneOverGap(TauRule):
    ...     def tau(self, scores):
    ...         return 1 / (0.1 + top_gap(scores))
    >>> DPO(pair=Smooth(tau=OneOverGap()))
    DPO(beta=0.1, pair=Smooth(tau=OneOverGap()))
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register the class; one that brings a ``tau`` of its own is asked for that alone."""
        super().__init_subclass__(**kwargs)
        if "tau" in vars(cls) and "unchecked" not in vars(cls):
            cls.unchecked = TauRule.unchecked  # type: ignore[method-assign]

    @abstractmethod
    def tau(self, scores: Array) -> Array:
        """Return tau (...) > 0 for the scores (..., n) of one side, -inf at all except the side."""

    def unchecked(self, scores: Array, alpha: float = 1.0) -> Array:
        """Return tau without checks of the scores, for a smoothing: what a pair asks for at every step.

        A rule of one's own has the same tau for every smoothing.
        """
        return self.tau(scores)

    def at(self, progress: float) -> "float | TauRule":
        """Return the rule, or its number, at a point of training from 0 to 1."""
        return self


class _OfLibrary(TauRule):
    """A rule of this library, whose ``tau`` checks the scores."""

    def tau(self, scores: Array, *, alpha: float = 1.0) -> Array:
        door = Door(scores=scores)
        return door.leave(self.unchecked(door.scores(), door.alpha(alpha)))

    @abstractmethod
    def unchecked(self, scores: Array, alpha: float = 1.0) -> Array: ...


class _Solved(_OfLibrary):
    """A rule with an equation, whose root is kept within ``low`` and ``high``, the fields of every such rule."""

    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise ValueError(f"{type(self).__name__}: low must be <= high, not {self.low} > {self.high}")

    def unchecked(self, scores: Array, alpha: float = 1.0) -> Array:
        xp, scores = namespace(scores), detach(scores)
        alone = top_gap(scores) == math.inf
        # A side of one has no root and no error: it takes the sharp end. Meanwhile it solves for scores 0, -1, -2...
        stand_in = xp.astype(-positions(scores), scores.dtype)
        root = self.root(xp.where(column(alone), stand_in, scores), alpha)
        return xp.where(alone, self.high, xp.clip(root, self.low, self.high))

    @abstractmethod
    def root(self, scores: Array, alpha: float) -> Array:
        """Return the root (...), before clamping, for sides of at least two."""


class ErrorRule(_Solved):
    """A rule that aims at a smoothing error."""


@dataclass(frozen=True)
class UpperBound(ErrorRule):
    """The least tau that keeps the error at most epsilon whatever the scores below the gap are.

    Parameters
    ----------
    epsilon : float
        Target for the upper bound on the smoothing error, > 0, in nats.
    low, high : float
        Clamp of tau, in 1/nats. A side with one response takes ``high``.

    Examples
    --------
    >>> UpperBound(epsilon=0.1).tau(np.array([0.0, -1.0, -1.0, -5.0])).round(3)
    np.float64(2.402)
    """

    epsilon: float = positive(0.1)
    low: float = positive(0.001)
    high: float = positive(1000.0)

    def root(self, scores: Array, alpha: float) -> Array:
        count = row_sum(namespace(scores).astype(scores > -math.inf, scores.dtype))
        return roots.tau_upper(held("epsilon", self.epsilon, scores), count - 1, top_gap(scores), alpha=alpha)


@dataclass(frozen=True)
class LowerBound(ErrorRule):
    """The largest tau that keeps the error at least epsilon whatever the scores below the gap are.

    Parameters
    ----------
    epsilon : float
        Target for the lower bound on the smoothing error, > 0, in nats.
    low, high : float
        Clamp of tau, in 1/nats. A side with one response takes ``high``.

    Examples
    --------
    >>> LowerBound(epsilon=0.1).tau(np.array([0.0, -1.0, -1.0, -5.0])).round(3)
    np.float64(1.691)
    """

    epsilon: float = positive(0.1)
    low: float = positive(0.001)
    high: float = positive(1000.0)

    def root(self, scores: Array, alpha: float) -> Array:
        gap = top_gap(scores)
        one = namespace(gap).ones_like(gap)
        return roots.tau_upper(held("epsilon", self.epsilon, scores), one, gap, alpha=alpha)


@dataclass(frozen=True)
class ExactError(ErrorRule):
    """The tau at which the smoothing error of these very scores is epsilon.

    Parameters
    ----------
    epsilon : float
        Target for the smoothing error, > 0, in nats.
    low, high : float
        Clamp of tau, in 1/nats. A side with one response takes ``high``.

    Examples
    --------
    >>> ExactError(epsilon=0.1).tau(np.array([1.0, 1.0, 0.0])).round(3)
    np.float64(6.936)
    """

    epsilon: float = positive(0.1)
    low: float = positive(0.001)
    high: float = positive(1000.0)

    def root(self, scores: Array, alpha: float) -> Array:
        return roots.tau_exact(scores, held("epsilon", self.epsilon, scores), alpha=alpha)


@dataclass(frozen=True)
class LeaderShare(_Solved):
    """The tau at which the leader takes just this share of the gradient, and the others the rest.

    Parameters
    ----------
    share : float
        Target for the leader's weight, strictly between 1/2 and 1.
    low, high : float
        Clamp of tau, in 1/nats. A side with one response takes ``high``, and so does one whose leaders tie.

    Examples
    --------
    >>> LeaderShare(share=0.9).tau(np.array([[0.0, -1.0], [0.0, -100.0]])).round(4)
    array([2.1972, 0.022 ])
    """

    share: float = share(0.9)
    low: float = positive(0.001)
    high: float = positive(1000.0)

    def root(self, scores: Array, alpha: float) -> Array:
        share = held("share", self.share, scores, low=0.5, high=1.0)
        return roots.tau_share_exact(scores, share, alpha=alpha)


@dataclass(frozen=True)
class Anneal(_OfLibrary):
    """A tau that moves from ``start`` to ``stop`` over training, through :meth:`Loss.at`; ``start`` before that.

    Parameters
    ----------
    start, stop : float
        > 0, in 1/nats.
    shape : {"linear", "cosine", "geometric"}
        Straight, slow at both ends, or straight in log tau.

    Examples
    --------
    >>> [round(Anneal(start=1.0, stop=100.0).at(progress), 6) for progress in (0.0, 0.5, 1.0)]
    [1.0, 10.0, 100.0]
    """

    start: float = positive(0.5)
    stop: float = positive(50.0)
    shape: str = "geometric"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shape not in SHAPES:
            raise ValueError(f"Anneal: shape must be one of {', '.join(SHAPES)}, not {self.shape!r}")

    def unchecked(self, scores: Array, alpha: float = 1.0) -> Array:
        return held("start", self.start, scores)

    def at(self, progress: float) -> float:
        if not 0 <= progress <= 1:
            raise ValueError(f"progress must be in [0, 1], not {progress}")
        return SHAPES[self.shape](self.start, self.stop, progress)


SHAPES = {
    "linear": lambda start, stop, progress: start + (stop - start) * progress,
    "cosine": lambda start, stop, progress: start + (stop - start) * (1 - math.cos(math.pi * progress)) / 2,
    "geometric": lambda start, stop, progress: start ** (1 - progress) * stop**progress,
}


def tau_of(tau: float | TauRule, scores: Array, alpha: float = 1.0) -> Array:
    """Return the tau (...) of a number or a rule for the scores (..., n) of one side, and for a smoothing."""
    if not isinstance(tau, TauRule):
        return held("tau", tau, scores)
    try_rule(tau, scores)
    return tau.unchecked(scores, alpha)


@tried_once
def try_rule(rule: TauRule, array: Array) -> None:
    """Raise if a rule does not return one tau > 0 for each side, or one for all."""
    scores = made_up_scores(array)
    tau, words = rule.unchecked(scores), f"{type(rule).__name__}.tau must return one tau for each side,"
    require_shape(tau, () if getattr(tau, "shape", None) == () else scores.shape[:-1], words)
    bad = [one for one in to_numpy(tau).reshape(-1).tolist() if not 0 < one < math.inf]
    if bad:
        raise ValueError(f"{type(rule).__name__}.tau must return numbers > 0 and finite, not {bad[0]!r}")


def tau_at(tau: float | TauRule, progress: float) -> float | TauRule:
    """Return a number or a rule at a point of training."""
    return tau.at(progress) if isinstance(tau, TauRule) else tau
