"""What a loss is, one number for each set; and what most losses are: a score, a pair, and a link of the margin."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np

from mapl_explore.losses.naming import Named
from mapl_explore.losses.pairs import Hardest, Mean, Pair, Sides
from mapl_explore.losses.sets import ScoredSets, require_sets
from mapl_explore.losses.trials import (
    made_up_sets,
    require_graph,
    require_numbers,
    require_shape,
    require_slope,
    tried_once,
)
from mapl_explore.numerics.arrays import Array, autograd, column, detach, is_torch, namespace, row_sum
from mapl_explore.words import N_

PER_TOKEN = N_("nats a token")  # the unit of losses that divide by the length


class Loss(Named, ABC):
    """One number for each set of responses, and its slopes in the log-probs.

    Most losses compare positives with negatives: subclass :class:`Comparing` for those. Any other is a frozen
    dataclass, with a default for every field, that defines ``value`` and, for use with numpy, ``weights``.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from mapl_explore import Loss, ScoredSets, namespace
    >>> @dataclass(frozen=True)
    ... class Sparing(Loss):
    ...     def value(self, sets, sides):
    ...         return namespace(sets.logp).sum(abs(sets.logp), axis=-1)
    >>> Sparing()(ScoredSets([-1.0, -2.0], [0.0, 0.0], [1, 1], [1, -1]))
    np.float64(3.0)
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register the class; one with a link of its own compares, also where it names ``Loss`` as its base."""
        super().__init_subclass__(**kwargs)
        # A link is of use to Comparing alone. Losses of one's own that name Loss as their base go on working: the four
        # methods of a loss that compares are the same under either name.
        if "link" in vars(cls):
            cls.__bases__ = tuple(Comparing if base is Loss else base for base in cls.__bases__)

    @property
    def bounded(self) -> bool:
        """Whether the loss is bounded below; training with one that is not goes on for ever."""
        return True

    @property
    def unit(self) -> str:
        """What its scores and margins are measured in; a score that divides by the length counts in nats a token."""
        return "nats"

    @abstractmethod
    def value(self, sets: ScoredSets, sides: Sides) -> Array:
        """Return the loss (...) of each set, from its :meth:`sides`: no tau is solved again."""

    def weights(self, sets: ScoredSets) -> Array:
        """Return d loss / d logp (..., n): below 0 at what is pushed up, above 0 at what is pushed down."""
        if not is_torch(sets.logp):
            raise TypeError(f"{type(self).__name__} needs weights(sets) for numpy arrays; torch tensors do without")
        return autograd(lambda logp: self(sets.with_logp(logp)), sets.logp)

    def score(self, sets: ScoredSets) -> Array:
        """Return the number (..., n) by which responses are ranked: their log-probs, unless a class has another."""
        return sets.logp

    def margin(self, sets: ScoredSets) -> Array:
        """Return the margin (...), in nats; a loss that compares nothing has that of :meth:`hard_margin`."""
        return self.hard_margin(sets)

    def hard_margin(self, sets: ScoredSets) -> Array:
        """Return the lowest score of the positives minus the highest score of the negatives (...)."""
        return Hardest().margin(self.score(require_sets(sets)), sets.label)

    def sides(self, sets: ScoredSets) -> Sides:
        """Return what the loss makes of each side, without a graph; a loss that compares nothing uses none."""
        try_loss(self, require_sets(sets).logp)
        return Sides(None, None)

    def at(self, progress: float) -> Self:
        """Return the loss at a point of training, from 0 to 1: the same, except for a tau that anneals."""
        return self

    def _try_weights(self, sets: ScoredSets) -> None:
        """Raise ValueError if weights of one's own are not the slopes of the loss on made-up sets."""
        if type(self).weights is not Loss.weights:
            require_weights(self, made_up_sets(np.empty(0)), self, sets)  # they are for numpy: torch does without

    def __call__(self, sets: ScoredSets) -> Array:
        """Return the loss (...) of each set; lower is better."""
        return self.value(require_sets(sets), self.sides(sets))


class Paired(Loss):
    """A loss with a field ``pair``, by which the responses of a side become one number."""

    NEEDS = ("pair",)
    pair: Pair

    def at(self, progress: float) -> Self:
        """Return the loss at a point of training, from 0 to 1: the same, except for a tau that anneals."""
        return replace(self, pair=self.pair.at(progress))

    def _try_weights(self, sets: ScoredSets) -> None:
        # On the mean pair: a tau that a rule chooses is a constant to slopes, and not to differences.
        Loss._try_weights(replace(self, pair=Mean()), sets)


class Comparing(Paired):
    """A loss that compares the two sides of a set: a score per response, a pair made of the set, a link of the margin.

    A subclass is a frozen dataclass with a field ``pair`` and a default for every field, that defines

    * ``score(sets)``: the number r (..., n) of each response, in nats;
    * ``link(margin)``: the loss (...) of a margin (...);
    * ``link_slope(margin)`` and ``score_slope(sets)``: their slopes, for numpy arrays; torch does without, and where
      the score is logp plus what does not depend on it, so does numpy without the second.

    :func:`parse` and so the command line know it by the name of its class, which must not be one of this library. At
    its first use it is tried once on made-up sets: wrong shapes raise TypeError, wrong slopes ValueError.

    Examples
    --------
    The exponential loss on the log-ratio to the reference:

    >>> from dataclasses import dataclass
    >>> from mapl_explore import Comparing, Hardest, Pair, namespace, parse
    >>> @dataclass(frozen=True)
    ... class Exponential(Comparing):
    ...     pair: Pair = Hardest()
    ...     def score(self, sets):
    ...         return sets.logp - sets.ref_logp
    ...     def link(self, margin):
    ...         return namespace(margin).exp(-margin)
    ...     def link_slope(self, margin):
    ...         return -namespace(margin).exp(-margin)
    >>> parse("Exponential(pair=Mean())")
    Exponential(pair=Mean())
    """

    @abstractmethod
    def score(self, sets: ScoredSets) -> Array:
        """Return the score r (..., n) of each response, in nats."""

    @abstractmethod
    def link(self, margin: Array) -> Array:
        """Return the loss (...) of a margin (...)."""

    def link_slope(self, margin: Array) -> Array:
        """Return d link / d margin (...); in torch it need not be defined."""
        if not is_torch(margin):
            raise TypeError(f"{type(self).__name__} needs link_slope(margin), the slope of its link, for numpy arrays")
        return autograd(self.link, margin)

    def score_slope(self, sets: ScoredSets) -> Array | float:
        """Return d score / d logp, (..., n) or one number; in torch, and where it is 1, it need not be defined."""
        if is_torch(sets.logp):
            return autograd(lambda logp: self.score(sets.with_logp(logp)), sets.logp)
        try_slope_of_one(self, sets.logp)
        return 1.0

    @property
    def nll(self) -> float:
        """How much of the mean negative log-likelihood per token of the positives is added."""
        return 0.0

    def margin(self, sets: ScoredSets) -> Array:
        """Return the margin (...), in nats: that of the pair."""
        try_loss(self, require_sets(sets).logp)
        return self.pair.margin(self.score(sets), sets.label)

    def sides(self, sets: ScoredSets) -> Sides:
        """Return what the pair makes of each side, without a graph: the loss and its measures come from the same."""
        try_loss(self, require_sets(sets).logp)
        return self.pair.sides(detach(self.score(sets)), sets.label)

    def value(self, sets: ScoredSets, sides: Sides) -> Array:
        """Return the loss (...) of each set, from its :meth:`sides`: no tau is solved again."""
        value = self.link(self.pair.margin(self.score(sets), sets.label, sides))
        return value + self.nll * mean_nll(sets) if self.nll else value

    def weights(self, sets: ScoredSets) -> Array:
        """Return d loss / d logp (..., n), by the chain rule."""
        try_slopes(self, require_sets(sets).logp)
        sides = self.sides(sets)
        weights = column(self.link_slope(sides.margin)) * sides.slopes * self.score_slope(sets)
        return weights + self.nll * mean_nll_slopes(sets) if self.nll else weights

    def _try_weights(self, sets: ScoredSets) -> None:
        """Leave the slopes to the trial of their first use: in torch they need not be defined."""


@tried_once
def try_loss(loss: Loss, array: Array) -> None:
    """Raise TypeError if a method of the loss returns no such array as it must, ValueError if weights are no slopes."""
    name, sets = type(loss).__name__, made_up_sets(array)
    score = loss.score(sets)
    require_shape(score, sets.logp.shape, f"{name}.score must return the shape of logp")
    require_numbers(score, f"{name}.score", array)
    if isinstance(loss, Comparing):
        margin = sets.logp[:, 0]
        link = loss.link(margin)
        require_shape(link, margin.shape, f"{name}.link must return the shape of the margin")
        require_numbers(link, f"{name}.link", array)
    value = loss(sets)
    require_shape(value, sets.logp.shape[:-1], f"{name} must return one loss for each set,")
    require_numbers(value, name, array)
    require_graph(lambda logp: loss(sets.with_logp(logp)), sets.logp, name)
    loss._try_weights(sets)


@tried_once
def try_slopes(loss: Comparing, array: Array) -> None:
    """Raise ValueError if the slopes of a loss that compares are not those of its link, its score and its value."""
    # On the mean pair: a tau that a rule chooses is a constant to slopes, and not to differences.
    name, sets, loss = type(loss).__name__, made_up_sets(array), replace(loss, pair=Mean())
    margin = loss.margin(sets)
    slope = loss.link_slope(margin)
    require_shape(slope, margin.shape, f"{name}.link_slope must return the shape of the margin")
    require_slope(slope, loss.link, margin, f"{name}.link_slope must return the slope of link")
    rule = f"{name}.score_slope must return the slope of score in logp"
    require_slope(loss.score_slope(sets), lambda logp: loss.score(sets.with_logp(logp)), sets.logp, rule)
    require_weights(loss, sets, loss, sets)


@tried_once
def try_slope_of_one(loss: Comparing, array: Array) -> None:
    """Raise ValueError if the slope of the score is not 1, for a loss that does not define it."""
    sets = made_up_sets(array)
    rule = f"{type(loss).__name__} needs score_slope(sets), the slope of its score in logp, for numpy arrays"
    require_slope(1.0 + 0 * sets.logp, lambda logp: loss.score(sets.with_logp(logp)), sets.logp, rule)


def require_weights(loss: Loss, given: ScoredSets, value: Callable[[ScoredSets], Array], sets: ScoredSets) -> None:
    """Raise ValueError if the weights of some sets are not the slopes of a value of the same sets, in any library."""
    name, weights = f"{type(loss).__name__}.weights", loss.weights(given)
    require_shape(weights, sets.logp.shape, f"{name} must return the shape of logp")
    rule = f"{name} must return the slopes of its loss in logp"
    require_slope(weights, lambda logp: value(sets.with_logp(logp)), sets.logp, rule)


def has_margin(loss: Loss) -> bool:
    """Return whether a loss has a margin of its own; what compares nothing, and a loss of rewards, has none."""
    return type(loss).margin is not Loss.margin


def margin(sets: ScoredSets, loss: Loss) -> Array:
    """Return the margin (...) that a loss sees in each set, in nats: positive side minus negative side.

    Parameters
    ----------
    sets : ScoredSets
        The sets.
    loss : Loss
        Its score and its pair; for losses of rewards, which have no pair, the hard margin of their scores; for OneSided
        and SFT, which compare nothing, that of the log-probs.

    Returns
    -------
    array (...)
        What training makes large; above 0 where even the pair's least likely positive beats its likeliest negative.

    Raises
    ------
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> from mapl_explore import MaxMin, Mean, ScoredSets, margin
    >>> sets = ScoredSets([-1.0, -4.0, -3.0, -5.0], [0.0] * 4, [1] * 4, [1, 1, -1, -1])
    >>> margin(sets, MaxMin()), margin(sets, MaxMin(pair=Mean()))
    (np.float64(-1.0), np.float64(1.5))
    """
    require_loss(loss)
    return loss.margin(require_sets(sets))


def require_loss(loss: object) -> Loss:
    """Return a loss; anything else, such as its name or its class, raises TypeError."""
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, type) and issubclass(loss, Loss):
        raise TypeError(f"loss must be a loss, not its class: write {loss.__name__}()")
    if isinstance(loss, str):
        raise TypeError(f"loss must be a loss, not a text: write parse({loss!r})")
    if isinstance(loss, ScoredSets):
        raise TypeError("loss must be a loss, not ScoredSets: give the two in the other order")
    raise TypeError(f"loss must be a loss, such as DPO(), not of type {type(loss).__name__}")


def mean_nll(sets: ScoredSets) -> Array:
    """Return the mean over the positives of -logp/length (...), in nats a token."""
    xp, chosen = namespace(sets.logp), sets.label > 0
    return row_sum(xp.where(chosen, -sets.logp / lengths(sets), 0.0)) / _chosen_count(sets)


def mean_nll_slopes(sets: ScoredSets) -> Array:
    """Return d mean_nll / d logp (..., n)."""
    xp, chosen = namespace(sets.logp), sets.label > 0
    return xp.where(chosen, -1 / (lengths(sets) * column(_chosen_count(sets))), 0.0)


def lengths(sets: ScoredSets) -> Array:
    """Return the tokens of each response (..., n), as numbers of the log-probs' type."""
    return namespace(sets.logp).astype(sets.length, sets.logp.dtype)


def _chosen_count(sets: ScoredSets) -> Array:
    xp = namespace(sets.logp)
    return row_sum(xp.astype(sets.label > 0, sets.logp.dtype))
