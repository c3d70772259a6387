"""The scores that an explorer shows: from sliders, from an array, or from preference sets."""

import abc
import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from mapl_explore.explorers.knobs import KNOBS, Choice, Knob
from mapl_explore.losses import LOSSES, Loss, MaxMin, ScoredSets, reads_reference
from mapl_explore.losses.sets import are_own_reference, require_sets
from mapl_explore.numerics.arrays import Door, Numbers, to_numpy
from mapl_explore.words import N_, _

LARGEST = 1e100  # nats from 0: the square of a difference, which IPO computes, is then finite
WHY_IDLE = {
    1: N_("One score has no gap and no spread: their sliders are off."),
    2: N_("Two scores have no spread: its slider is off."),
}
SIDE = Choice(
    "side",
    N_("side of the set"),
    (N_("negatives"), N_("positives")),
    "negatives",
    N_("The responses that are compared."),
)


class Source(abc.ABC):
    """Scores at given settings, best first, and the controls that choose them."""

    knobs: tuple[Knob | Choice, ...] = ()
    widest = 0.0  # the largest finite gap that the source can show, in nats

    @abc.abstractmethod
    def scores(self, settings: dict) -> np.ndarray:
        """Return the scores (n,) at these settings, best first, in nats."""

    def idle(self, settings: dict) -> set[str]:
        """Return the names of the controls that move nothing at these settings."""
        return set()

    def why_idle(self, n: int) -> str:
        """Return a sentence, a space before it, that says so of n scores; empty where all controls move something."""
        return ""

    def led_by(self, settings: dict, gaps: np.ndarray) -> np.ndarray:
        """Return the set under leaders at these gaps (k,) above its second, (k, n); one score has no second."""
        # The others lie below a second at 0, whatever the gap is: to the gap and back would not return the gap.
        scores = self.scores(settings | {"gap": 0.0, "wide_gap": 0.0})
        below = np.tile(scores[1:] - scores[1:2], (gaps.size, 1))
        return np.concatenate([gaps[:, None] if scores.size > 1 else 0.0 * gaps[:, None], below], axis=-1)

    def tau(self) -> Knob:
        """Return the knob of tau; at its low end, tau times the widest gap is at most 1."""
        low = KNOBS["tau"].low
        if self.widest * low > 1:
            low = 10.0 ** math.floor(-math.log10(self.widest))
        return replace(KNOBS["tau"], low=low)


class Shaped(Source):
    """A leader at 0, a second at minus the gap, the others evenly spaced from there down by the spread.

    Parameters
    ----------
    gap : {"gap", "wide_gap"}
        Which knob sets the gap.
    """

    def __init__(self, gap: str = "gap"):
        """Take the knob of the gap."""
        self.gap = gap
        self.knobs = (KNOBS["n"], KNOBS[gap], KNOBS["spread"])

    def idle(self, settings: dict) -> set[str]:
        return {1: {self.gap, "spread"}, 2: {"spread"}}.get(settings["n"], set())

    def why_idle(self, n: int) -> str:
        return f" {_(WHY_IDLE[n])}" if n in WHY_IDLE else ""

    def scores(self, settings: dict) -> np.ndarray:
        gap, spread = settings[self.gap], settings["spread"]
        return np.concatenate([[0.0], np.linspace(-gap, -gap - spread, settings["n"] - 1)])


class Own(Source):
    """One set, as an array of its scores.

    Parameters
    ----------
    scores : array (n,)
        In nats; ``-inf`` marks padding.
    """

    def __init__(self, scores: Numbers):
        """Check and sort the scores."""
        scores = held(scores)
        if scores.ndim != 1:
            raise ValueError(f"scores must be one set, an array (n,), not shape {scores.shape}")
        self._scores = best_first(scores)
        self.widest = finite_gap(self._scores)

    def scores(self, settings: dict) -> np.ndarray:
        return self._scores


class Sides(Source):
    """The positives or the negatives of one of several preference sets, ranked by the score that a loss compares.

    The negatives are ranked by their score, the positives by minus their score: the leader is the hardest of its side.

    Parameters
    ----------
    sets : ScoredSets
        One set (n,) or several (k, n).
    loss : Loss, optional
        Whose score is compared; the log-prob if not given.
    """

    def __init__(self, sets: ScoredSets, loss: Loss | None = None):
        """Score all responses."""
        require_shown(sets)
        label = to_numpy(sets.label)
        scores = to_numpy((loss or MaxMin()).score(sets)).reshape(-1, label.shape[-1])
        label = label.reshape(scores.shape)
        self._sides = {
            side: [best_first(sign * row[own == sign_of]) for row, own in zip(scores, label, strict=True)]
            for side, sign, sign_of in (("negatives", 1, -1), ("positives", -1, 1))
        }
        self.knobs = (set_knob(len(scores)), SIDE)
        self.widest = max(finite_gap(one) for side in self._sides.values() for one in side)

    def scores(self, settings: dict) -> np.ndarray:
        return self._sides[settings["side"]][settings["set"] - 1]


def source_of(scores: Numbers | ScoredSets | None, gap: str = "gap") -> Source:
    """Return the source for the first argument of an explorer: sliders for None, else an array or ScoredSets."""
    if scores is None:
        return Shaped(gap)
    return Sides(scores) if isinstance(scores, ScoredSets) else Own(scores)


def set_knob(count: int) -> Knob:
    """Return the knob that chooses one of several sets."""
    return Knob("set", N_("preference set"), "", 1, count, 1, "integer", N_("Which of the sets, from 1."))


def held(scores: Numbers) -> np.ndarray:
    """Return scores in float64; those that :func:`smooth_max` refuses raise its errors."""
    scores = to_numpy(Door(scores=scores).scores())
    _require_near("scores", scores[scores > -math.inf])
    return scores


def require_shown(sets: ScoredSets) -> None:
    """Refuse what is no ScoredSets, holds no set, or holds a log-prob too large for a picture."""
    there = to_numpy(require_sets(sets).label) != 0
    for name in ("logp", "ref_logp"):
        _require_near(name, to_numpy(getattr(sets, name))[there])


def _require_near(name: str, numbers: np.ndarray) -> None:
    largest = np.max(np.abs(numbers), initial=0.0)
    if largest > LARGEST:
        raise ValueError(f"{name} must lie within {LARGEST:g} nats of 0 to be shown, not at a distance of {largest:g}")


def best_first(scores: np.ndarray) -> np.ndarray:
    """Return the scores that are no padding, sorted."""
    return np.sort(scores[scores > -math.inf])[::-1].copy()


def finite_gap(scores: np.ndarray) -> float:
    """Return the gap of sorted scores, 0 where there is no second."""
    return float(scores[0] - scores[1]) if scores.size > 1 else 0.0


def arranged(sets: ScoredSets) -> ScoredSets:
    """Return the sets as (k, n) in float64: the positives of each first, then its negatives, then padding."""
    require_shown(sets)
    flat = sets.mapped(lambda array: to_numpy(array).reshape(-1, array.shape[-1]))
    order = np.argsort(np.where(flat.label == 0, 2, -flat.label), axis=-1, kind="stable")
    return flat[np.arange(len(flat))[:, None], order]


def rows_of(sets: ScoredSets) -> list[ScoredSets]:
    """Return each of the :func:`arranged` sets on its own (n,), without padding."""
    return [one[one.label != 0] for one in arranged(sets)]


def rewards_of(one: ScoredSets) -> np.ndarray | None:
    """Return the rewards (n,) of the responses of a set, None where it has none."""
    return None if one.reward is None else to_numpy(one.reward)


def names_of(one: ScoredSets) -> list[str]:
    """Return what the responses of such a set are called: p1, p2, ... the positives and n1, n2, ... the negatives."""
    count = int((one.label > 0).sum())
    return [f"p{number}" for number in range(1, count + 1)] + [f"n{n}" for n in range(1, len(one.label) - count + 1)]


def fitting(names: Iterable[str], sets: ScoredSets) -> tuple[str, ...]:
    """Return those of the presets that the sets can be used with: one that reads a reference needs sets with one."""
    return tuple(name for name in names if not (are_own_reference(sets) and reads_reference(LOSSES[name])))
