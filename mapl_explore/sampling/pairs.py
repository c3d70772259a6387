"""Which pairs to train on: the margins of all pairs of a set, and rejection sampling by margin.

A pair is one positive and one negative response to one prompt. Which pairs are best is contested (hardest, easiest,
closest, random), so the strategies stand side by side here.
"""

from dataclasses import dataclass

import numpy as np

from mapl_explore.files import counted, shortened, whole_number
from mapl_explore.losses import Loss, ScoredSets, require_reference
from mapl_explore.losses.loss import require_loss
from mapl_explore.losses.pairs import negatives, positives
from mapl_explore.losses.sets import require_sets
from mapl_explore.numerics.arrays import Numbers, to_numpy
from mapl_explore.sampling.kernels import Kernel, margin_array

MOST_PAIRS = 10_000_000  # of one sample: their texts fill some 10 GB
MOST_PROPOSALS = 1_000_000_000  # of one sample: they take about a minute


@dataclass(frozen=True)
class Pairs:
    """All pairs of some sets, in the order of sets, then positives, then negatives.

    Parameters
    ----------
    set, positive, negative : integer array (pairs,)
        Which set, and which of its responses are compared, from 0.
    margin : array (pairs,)
        Score of the positive minus that of the negative, in nats.
    reward : array (pairs,), optional
        Reward of the positive minus that of the negative, where the sets have rewards.
    """

    set: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    margin: np.ndarray
    reward: np.ndarray | None = None

    def __len__(self) -> int:
        """Return how many pairs there are."""
        return self.margin.size

    def take(self, indices: np.ndarray) -> "Pairs":
        """Return the pairs at these indices, repeated where an index is."""
        given = {name: column for name, column in vars(self).items() if column is not None}
        return Pairs(**{name: column[indices] for name, column in given.items()})


def pair_margins(sets: ScoredSets, loss: Loss) -> Pairs:
    r"""Return every pair of every set with its margin, by the score of a loss, in nats.

    .. math:: m_{ij} = r(y^+_i) - r(y^-_j)

    Parameters
    ----------
    sets : ScoredSets
        One set (n,) or several (..., n), numbered in order.
    loss : Loss
        Whose score r is compared.

    Returns
    -------
    Pairs
        p * q of them for a set of p positives and q negatives, with the differences of their rewards, if any.

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
    >>> graded = ScoredSets(**sets.columns(), reward=[0.5, 3, 1])
    >>> pair_margins(graded, MaxMin()).reward
    array([-0.5,  2. ])
    """
    r, label = _scores_and_labels(sets, loss)
    number, plus, minus = np.nonzero((label[:, :, None] > 0) & (label[:, None, :] < 0))
    return _pairs_of(sets, r, number, plus, minus)


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
        """Return the fraction of the proposals that was accepted."""
        return self.accepted / self.proposals

    def __str__(self) -> str:
        """Return the report in one line."""
        return (
            f"{self.accepted} of {counted(self.proposals, 'proposal')} accepted ({self.rate:.1%},"
            f" expected {self.expected_rate:.1%}), effective sample size"
            f" {self.effective_size:.1f} (the pool is as good as that many equally likely pairs)"
        )


@dataclass(frozen=True)
class RejectionSampler:
    """Draw pairs at random and keep each with the probability that a kernel gives its margin, until enough are kept.

    Parameters
    ----------
    accept : Kernel
        The kernel a(m).

    Examples
    --------
    >>> from mapl_explore import Band
    >>> margins = np.array([-3.0, 0.5, 1.0, 9.0])
    >>> indices, report = RejectionSampler(Band(low=0, high=2)).sample(np.random.default_rng(0), margins, 4)
    >>> sorted(set(indices.tolist()))
    [1, 2]
    """

    accept: Kernel

    def __post_init__(self) -> None:
        if not isinstance(self.accept, Kernel):
            raise TypeError(f"accept must be a kernel, such as Band() or Bell(), not {shortened(self.accept)}")

    def sample(self, rng: np.random.Generator, margins: Numbers, size: int) -> tuple[np.ndarray, Report]:
        """Return indices into the margins, drawn with replacement with probability a(m) / sum a(m), and a report.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where the randomness comes from.
        margins : array (pairs,)
            The pool, in nats, numpy or torch.
        size : int
            How many to draw, from 1 to 10,000,000.

        Returns
        -------
        indices : integer array (size,)
            In the order of acceptance.
        report : Report
            How it went.

        Raises
        ------
        TypeError
            If an argument is of another kind.
        ValueError
            If the kernel accepts none of the margins, saying which there are; so few that ``size`` pairs take more than
            10^9 proposals; a margin is not finite; or ``size`` is out of its range.
        """
        _require_generator(rng)
        size, margins = sample_size(size), margin_array(margins)
        chance = _chances(self.accept, margins)
        _require_end(self.accept, size, float(chance.mean()))
        batches, missing, proposals = [], size, 0
        while missing:
            accepted, count = _accepted(rng, chance, missing)
            batches.append(accepted)
            missing, proposals = missing - accepted.size, proposals + count
        report = Report(proposals, size, float(chance.mean()), float(chance.sum() ** 2 / (chance**2).sum()))
        return np.concatenate(batches), report


def sample_size(size: object) -> int:
    """Return how many pairs to draw, an integer from 1 to 10,000,000; any other size is refused."""
    return whole_number("size", size, 1, MOST_PAIRS)


def _require_generator(rng: object) -> None:
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, as numpy.random.default_rng(0), not {shortened(rng)}")


def _chances(accept: Kernel, margins: np.ndarray) -> np.ndarray:
    chance = to_numpy(accept(margins))
    if chance.shape != margins.shape or not ((chance >= 0) & (chance <= 1)).all():
        raise ValueError(f"{accept!r} must give every margin a probability in [0, 1]")
    # Below 1e-6 a draw takes a million proposals, which looks like a hung program.
    if chance.mean() < 1e-6:
        quantiles = ", ".join(f"{q:.6g}" for q in np.quantile(margins, [0, 0.25, 0.5, 0.75, 1]))
        raise ValueError(
            f"{accept!r} accepts (almost) none of {counted(margins.size, 'margin')}; their quartiles: {quantiles}"
        )
    return chance


def _require_end(accept: Kernel, size: int, rate: float) -> None:
    if size / rate > MOST_PROPOSALS:
        most = int(rate * MOST_PROPOSALS)
        raise ValueError(
            f"size must be at most {most} with {accept!r}, which accepts {rate:.2g} of the pairs, not {size}"
        )


def _accepted(rng: np.random.Generator, chance: np.ndarray, missing: int) -> tuple[np.ndarray, int]:
    """Return pairs accepted at once, no more than are missing, and how many were proposed for them."""
    # As many proposals as are expected to suffice, at most a million.
    batch = int(min(max(missing / chance.mean(), 16), 1_000_000))
    # The kind of an index: where addresses have 32 bits, as in a browser, that is not int64.
    drawn = rng.integers(chance.size, size=batch).astype(np.intp)
    places = np.flatnonzero(rng.random(batch) < chance[drawn])[:missing]
    # Counted up to the last one that was needed: what came after it was never proposed.
    return drawn[places], int(places[-1]) + 1 if places.size == missing else batch


def random_pairs(rng: np.random.Generator, margins: np.ndarray, size: int) -> np.ndarray:
    """Return indices into margins (pairs,) drawn uniformly with replacement, the baseline of every strategy.

    This raises TypeError or ValueError as :meth:`RejectionSampler.sample` does.

    Examples
    --------
    >>> random_pairs(np.random.default_rng(0), [0.5, -1.0, 2.0], 4)
    array([2, 1, 1, 0])
    """
    _require_generator(rng)
    return rng.integers(margin_array(margins).size, size=sample_size(size)).astype(np.intp)


def hardest_pairs(margins: np.ndarray, size: int) -> np.ndarray:
    """Return the indices of the smallest margins: pairs in confidently wrong order, and wrong labels among them."""
    return np.argsort(margin_array(margins), kind="stable")[: sample_size(size)]


def easiest_pairs(margins: np.ndarray, size: int) -> np.ndarray:
    """Return the indices of the largest margins."""
    return np.argsort(-margin_array(margins), kind="stable")[: sample_size(size)]


def closest_pairs(margins: np.ndarray, size: int) -> np.ndarray:
    """Return the indices of the margins nearest to 0, where the model is least sure."""
    return np.argsort(np.abs(margin_array(margins)), kind="stable")[: sample_size(size)]


def maxneg_minpos(sets: ScoredSets, loss: Loss) -> Pairs:
    """Return one pair for each set: its least likely positive and its likeliest negative, the first of each at ties.

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
    low, high = (to_numpy(side).argmax(axis=-1) for side in (positives(-r, label), negatives(r, label)))
    number = np.arange(len(r))
    return _pairs_of(sets, r, number, low, high)


def _pairs_of(sets: ScoredSets, r: np.ndarray, number: np.ndarray, plus: np.ndarray, minus: np.ndarray) -> Pairs:
    """Return pairs by their set and their responses, with what tells the two apart."""
    reward = None if sets.reward is None else to_numpy(sets.reward).reshape(r.shape)
    difference = None if reward is None else reward[number, plus] - reward[number, minus]
    return Pairs(number, plus, minus, r[number, plus] - r[number, minus], difference)


def _scores_and_labels(sets: ScoredSets, loss: Loss) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores and the labels as (sets, n) in numpy, whatever axes the sets had."""
    require_reference(require_loss(loss), require_sets(sets))
    scores, label = to_numpy(loss.score(sets)), to_numpy(sets.label)
    return scores.reshape(-1, scores.shape[-1]), label.reshape(-1, label.shape[-1])
