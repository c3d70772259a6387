"""Which pairs to train on: the margins of all pairs of a set, and rejection sampling by margin.

A pair is one positive and one negative response to one prompt. Which pairs are best is contested (hardest, easiest,
closest, random), so the strategies stand side by side here.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from mapl_explore.files import counted
from mapl_explore.losses import Loss, ScoredSets, require_reference
from mapl_explore.losses.naming import Named, positive
from mapl_explore.losses.pairs import negatives, positives
from mapl_explore.losses.parsing import read_as
from mapl_explore.numerics.arrays import to_numpy


@dataclass(frozen=True)
class Pairs:
    """All pairs of some sets, in the order of sets, then positives, then negatives.

    Parameters
    ----------
    set, positive, negative : integer array (pairs,)
        Which set, and which of its responses are compared, from 0.
    margin : array (pairs,)
        Score of the positive minus that of the negative, in nats.
    """

    set: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    margin: np.ndarray

    def __len__(self) -> int:
        """Return how many pairs there are."""
        return self.margin.size

    def take(self, indices: np.ndarray) -> "Pairs":
        """Return the pairs at these indices, repeated where an index is."""
        return Pairs(self.set[indices], self.positive[indices], self.negative[indices], self.margin[indices])


def pair_margins(sets: ScoredSets, loss: Loss) -> Pairs:
    r"""Return every pair of every set with its margin, by the score of a loss, in nats.

    .. math:: m_{ij} = r(y^+_i) - r(y^-_j)

    Parameters
    ----------
    sets : ScoredSets
        One set (n,) or several (..., n), which are counted through.
    loss : Loss
        Whose score r is compared.

    Returns
    -------
    Pairs
        p * q of them for a set of p positives and q negatives.

    Raises
    ------
    ValueError
        If the loss reads a reference and the sets have none.

    Examples
    --------
    >>> from mapl_explore.losses import MaxMin
    >>> sets = ScoredSets([-1.0, -4.0, -3.0], [0.0] * 3, [1] * 3, [1, 1, -1])
    >>> pair_margins(sets, MaxMin()).margin
    array([ 2., -1.])
    """
    r, label = _scores_and_labels(sets, loss)
    number, plus, minus = np.nonzero((label[:, :, None] > 0) & (label[:, None, :] < 0))
    return Pairs(number, plus, minus, r[number, plus] - r[number, minus])


class Kernel(Named, ABC):
    """How willingly a pair is accepted, by its margin: a(m) in [0, 1]."""

    @abstractmethod
    def __call__(self, margins: np.ndarray) -> np.ndarray:
        """Return the probability of acceptance (pairs,)."""

    def fitted(self, margins: np.ndarray) -> "Kernel":
        """Return the kernel in nats for a pool of margins: itself, where it is in nats already."""
        return self


@dataclass(frozen=True)
class Band(Kernel):
    """Accept the margins from ``low`` to ``high``, and no others.

    Parameters
    ----------
    low, high : float
        In nats, both ends included.

    Examples
    --------
    >>> Band(low=0, high=2)(np.array([-1.0, 0.0, 1.5, 3.0]))
    array([0., 1., 1., 0.])
    """

    low: float = 0.0
    high: float = 2.0

    def __post_init__(self):
        super().__post_init__()
        if self.low > self.high:
            raise ValueError(f"Band: low must be <= high, not {self.low} > {self.high}")

    def __call__(self, margins):
        return ((margins >= self.low) & (margins <= self.high)).astype(float)


@dataclass(frozen=True)
class Bell(Kernel):
    r"""Accept margins the more willingly, the nearer they are to ``center``.

    .. math:: a(m) = \exp\Bigl(-\tfrac12 \bigl(\tfrac{m - \text{center}}{\text{width}}\bigr)^2\Bigr)

    Parameters
    ----------
    center, width : float
        In nats, width > 0.

    Examples
    --------
    >>> Bell(center=0, width=1)(np.array([0.0, 1.0, 3.0])).round(3)
    array([1.   , 0.607, 0.011])
    """

    center: float = 0.0
    width: float = positive(1.0)

    def __call__(self, margins):
        return np.exp(-0.5 * ((margins - self.center) / self.width) ** 2)


@dataclass(frozen=True)
class QuantileBand(Kernel):
    """A :class:`Band` whose ends are quantiles of the pool.

    Parameters
    ----------
    low, high : float
        In [0, 1].

    Examples
    --------
    >>> QuantileBand(low=0.25, high=0.75).fitted(np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    Band(low=1.0, high=3.0)
    """

    low: float = 0.25
    high: float = 0.75

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"QuantileBand: 0 <= low <= high <= 1 must hold, not low={self.low}, high={self.high}")

    def fitted(self, margins):
        return Band(*np.quantile(margins, [self.low, self.high]))

    def __call__(self, margins):
        return self.fitted(margins)(margins)


@dataclass(frozen=True)
class QuantileBell(Kernel):
    """A :class:`Bell` around a quantile of the pool, with a width in parts of its interquartile range.

    Parameters
    ----------
    center : float
        In [0, 1].
    width : float
        > 0; 1 is the pool's interquartile range.

    Examples
    --------
    >>> QuantileBell(center=0.5, width=0.5).fitted(np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    Bell(center=2.0, width=1.0)
    """

    center: float = 0.5
    width: float = positive(0.5)

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.center <= 1:
            raise ValueError(f"QuantileBell: center must be in [0, 1], not {self.center}")

    def fitted(self, margins):
        low, high = np.quantile(margins, [0.25, 0.75])
        if low == high:
            raise ValueError(f"QuantileBell: half of the margins are {low:.6g} nats, so their range gives no width")
        return Bell(center=np.quantile(margins, self.center), width=self.width * (high - low))

    def __call__(self, margins):
        return self.fitted(margins)(margins)


def parse_kernel(text: str) -> Kernel:
    """Return the kernel that a text names as its ``repr`` would; nothing is evaluated.

    Raises
    ------
    ValueError
        Pointing at the place, and naming what there is.

    Examples
    --------
    >>> parse_kernel("Band(low=0, high=2)")
    Band(low=0.0, high=2.0)
    """
    return read_as(Kernel, text)


@dataclass(frozen=True)
class Report:
    """What a rejection sampler did.

    Parameters
    ----------
    proposals : int
        Pairs drawn, accepted or not.
    accepted : int
        Pairs kept.
    expected_rate : float
        The mean of a(m) over the pool: what ``accepted / proposals`` tends to.
    effective_size : float
        (sum a)^2 / sum a^2: how many pairs of the pool the sample comes from, in effect.
    """

    proposals: int
    accepted: int
    expected_rate: float
    effective_size: float

    @property
    def rate(self) -> float:
        """Return the part of the proposals that was accepted."""
        return self.accepted / self.proposals

    def __str__(self) -> str:
        """Return the report in a line."""
        return (
            f"{self.accepted} of {counted(self.proposals, 'proposal')} accepted ({self.rate:.1%},"
            f" expected {self.expected_rate:.1%}), effective sample size"
            f" {self.effective_size:.1f} (the pool is as good as that many equally likely pairs)"
        )


@dataclass(frozen=True)
class RejectionSampler:
    """Draw pairs at random and keep each with the probability its margin has in a kernel, until enough are kept.

    Parameters
    ----------
    accept : Kernel
        The kernel a(m).

    Examples
    --------
    >>> margins = np.array([-3.0, 0.5, 1.0, 9.0])
    >>> indices, report = RejectionSampler(Band(low=0, high=2)).sample(np.random.default_rng(0), margins, 4)
    >>> sorted(set(indices.tolist()))
    [1, 2]
    """

    accept: Kernel

    def sample(self, rng: np.random.Generator, margins: np.ndarray, size: int) -> tuple[np.ndarray, Report]:
        """Return indices into the margins, drawn with replacement with probability a(m) / sum a(m), and a report.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where the randomness comes from.
        margins : array (pairs,)
            The pool, in nats.
        size : int
            How many to draw, >= 1.

        Returns
        -------
        indices : integer array (size,)
            In the order of acceptance.
        report : Report
            How it went.

        Raises
        ------
        ValueError
            If the kernel accepts none of the margins, saying which there are; or size < 1.
        """
        margins = np.asarray(margins, dtype=float)
        if size < 1:
            raise ValueError(f"size must be >= 1, not {size}")
        chance = _chances(self.accept, margins)
        kept, proposals = [], 0
        while len(kept) < size:
            # As many proposals at one stroke as should do, at most a million.
            batch = int(min(max((size - len(kept)) / chance.mean(), 16), 1_000_000))
            drawn = rng.integers(margins.size, size=batch)
            places = np.flatnonzero(rng.random(batch) < chance[drawn])[: size - len(kept)]
            kept += drawn[places].tolist()
            # Counted up to the last one that was needed: what came after it was never proposed.
            proposals += int(places[-1]) + 1 if len(kept) == size else batch
        report = Report(proposals, size, float(chance.mean()), float(chance.sum() ** 2 / (chance**2).sum()))
        return np.array(kept), report


def _chances(accept: Kernel, margins: np.ndarray) -> np.ndarray:
    if margins.size == 0 or not np.isfinite(margins).all():
        raise ValueError(f"margins must be finite and at least one, not {margins.size} with NaN or infinity")
    chance = accept(margins)
    # Below 1e-6 a draw takes a million proposals, which is to hang rather than to sample.
    if chance.mean() < 1e-6:
        quantiles = ", ".join(f"{q:.6g}" for q in np.quantile(margins, [0, 0.25, 0.5, 0.75, 1]))
        raise ValueError(
            f"{accept!r} accepts (almost) none of {counted(margins.size, 'margin')}; their quartiles: {quantiles}"
        )
    return chance


def random_pairs(rng: np.random.Generator, margins: np.ndarray, size: int) -> np.ndarray:
    """Return indices drawn uniformly with replacement, the baseline of every strategy."""
    return rng.integers(np.size(margins), size=size)


def hardest_pairs(margins: np.ndarray, size: int) -> np.ndarray:
    """Return the indices of the least margins: of confident wrong order, noise among them."""
    return np.argsort(margins, kind="stable")[:size]


def easiest_pairs(margins: np.ndarray, size: int) -> np.ndarray:
    """Return the indices of the largest margins."""
    return np.argsort(-np.asarray(margins), kind="stable")[:size]


def closest_pairs(margins: np.ndarray, size: int) -> np.ndarray:
    """Return the indices of the margins nearest to 0, where the model is least sure."""
    return np.argsort(np.abs(margins), kind="stable")[:size]


def maxneg_minpos(sets: ScoredSets, loss: Loss) -> Pairs:
    """Return one pair a set: its least likely positive and its likeliest negative, the first of each at ties.

    This raises ValueError if the loss reads a reference and the sets have none.

    Examples
    --------
    >>> from mapl_explore.losses import MaxMin
    >>> sets = ScoredSets([[-1.0, -4.0, -3.0, -9.0]], [[0.0] * 4], [[1] * 4], [[1, 1, -1, -1]])
    >>> pair = maxneg_minpos(sets, MaxMin())
    >>> (pair.positive.tolist(), pair.negative.tolist(), pair.margin.tolist())
    ([1], [2], [-1.0])
    """
    r, label = _scores_and_labels(sets, loss)
    low, high = positives(-r, label).argmax(axis=-1), negatives(r, label).argmax(axis=-1)
    number = np.arange(len(r))
    return Pairs(number, low, high, r[number, low] - r[number, high])


def _scores_and_labels(sets: ScoredSets, loss: Loss) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores and the labels as (sets, n) in numpy, whatever axes the sets had."""
    require_reference(loss, sets)
    columns = to_numpy(loss.score(sets)), to_numpy(sets.label)
    return tuple(column.reshape(-1, column.shape[-1]) for column in columns)
