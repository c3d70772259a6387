"""Where learning curves reach 80 % of right responses: how many sets an arm has read, how far it is from the base."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mapl_explore.experiments.bootstrap import interval_of, resampled_means
from mapl_explore.runs.measured import KL_ALONG, RIGHT_ALONG, SETS_READ

SETS_TO_80, KL_AT_80 = "sets_to_80", "kl_at_80"
GOAL = 0.8
LABELS = {
    SETS_TO_80: "sets read until 80 % of greedy responses are right",
    KL_AT_80: "KL to the base (nats a token) where 80 % of greedy responses are right",
}

Interval = tuple[float, float] | None
Found = Mapping[int, Mapping[str, np.ndarray]]  # by seed, the measures of each test question, and the learning curve


@dataclass(frozen=True)
class Reached:
    """Where the mean learning curve of an arm reaches 80 %, in sets; None stands for more than ``most``, its last.

    ``interval`` is the 95 % interval, over seeds and questions as for a mean; it has none for a single seed, and
    where all resamples agree.
    """

    sets: float | None
    interval: tuple[float | None, float | None] | None
    most: int

    def __str__(self) -> str:
        """Return it for people."""
        number, *ends = (f"more than {self.most:,}" if one is None else f"{one:,.0f}" for one in self._numbers)
        return f"{number} [{', '.join(ends)}]" if self.interval else number

    @property
    def columns(self) -> dict[str, float | None]:
        """Return the number and the ends of its interval for a table of numbers: infinite beyond the last point."""
        names = (SETS_TO_80, f"{SETS_TO_80}_low", f"{SETS_TO_80}_high")
        known = [math.inf if one is None else one for one in self._numbers]
        return dict(zip(names, known, strict=False)) | ({} if self.interval else dict.fromkeys(names[1:]))

    @property
    def _numbers(self) -> tuple[float | None, ...]:
        return (self.sets, *(self.interval or ()))


def crossing(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the values where curves of shares (points, ...) first reach 80 %; inf where they do not.

    Both are linear between their points. The values are (points,) for all curves, or of the shape of the shares.

    Examples
    --------
    >>> crossing(np.array([0, 16, 32]), np.array([[0.5, 0.9, 0.5], [0.7, 0.9, 0.6], [0.9, 0.7, 0.7]]))
    array([24.,  0., inf])
    """
    if values.ndim < shares.ndim:
        values = np.broadcast_to(values.reshape(-1, *[1] * (shares.ndim - 1)), shares.shape)
    over = shares >= GOAL
    first = over.argmax(0)
    places = np.maximum(first - 1, 0), first
    low, high, start, end = (np.take_along_axis(each, at[None], 0)[0] for each in (shares, values) for at in places)
    part = np.divide(GOAL - low, high - low, where=first > 0, out=np.zeros_like(low))
    return np.where(over.any(0), start + part * (end - start), np.inf)


def reached(found: Found) -> Reached | None:
    """Return where the mean curve of an arm reaches 80 %; None without curves."""
    if not any(SETS_READ in one for one in found.values()):
        return None
    sets, [right] = _sets(found), _curves(found, sorted(found), RIGHT_ALONG)
    most, seeds = int(sets[-1]), right.shape[1]
    at = float(crossing(sets, right.mean((1, 2))))
    if seeds < 2:
        return Reached(_within(at, most), None, most)
    draws = crossing(sets, resampled_means(right, np.random.default_rng(0)))
    # Twice the last point stands for beyond it: a quantile between two infinities would be NaN.
    ends = interval_of(np.minimum(draws, 2 * most), seeds)
    return Reached(_within(at, most), ends and (_within(ends[0], most), _within(ends[1], most)), most)


def kl_at_80(found: Found) -> tuple[float | None, Interval]:
    """Return the KL to the base where the mean curve of an arm reaches 80 %, in nats a token, with its interval.

    There is no KL where the curve does not reach it, or without curves. A resampled curve that does not reach it counts
    as beyond either end of the interval (:func:`mapl_explore.experiments.bootstrap.interval_of`).
    """
    if not any(KL_ALONG in one for one in found.values()):
        return None, None
    return _estimated(_curves(found, sorted(found), RIGHT_ALONG, KL_ALONG), lambda means: crossing(means[1], means[0]))


def difference(measure: str, one: Found, other: Found, seeds: Sequence[int]) -> tuple[float | None, Interval]:
    """Return what one arm has more than another one where each reaches 80 %, under the same seeds, with its interval.

    Of ``sets_to_80``, where an arm does not reach it, the last point that both curves have counts: the difference is
    then nearer to 0. Of ``kl_at_80`` there is then no difference, as :func:`kl_at_80` says.
    """
    sets = [_sets(each) for each in (one, other)]
    most = min(each[-1] for each in sets)
    names = (RIGHT_ALONG,) if measure == SETS_TO_80 else (RIGHT_ALONG, KL_ALONG)

    def more(means: np.ndarray) -> np.ndarray:
        if measure == SETS_TO_80:
            first, second = (np.minimum(crossing(*each), most) for each in zip(sets, means[:, 0], strict=True))
        else:
            first, second = (crossing(kl, right) for right, kl in means)
        return first - second

    # In one go, so that both arms have the same draws of seeds and questions.
    return _estimated(np.stack([_curves(each, seeds, *names) for each in (one, other)]), more)


def _estimated(values: np.ndarray, of: Callable[[np.ndarray], np.ndarray]) -> tuple[float | None, Interval]:
    """Return a number that is made of means of values (..., seeds, questions), with its interval; None if not known."""
    seeds = values.shape[-2]
    with np.errstate(invalid="ignore"):  # two arms that do not get there: inf - inf
        number = float(of(values.mean((-2, -1))))
        draws = of(resampled_means(values, np.random.default_rng(0))) if seeds > 1 else np.array([])
    if not math.isfinite(number):
        return None, None
    return number, interval_of(np.where(np.isinf(draws), np.nan, draws), seeds) if seeds > 1 else None


def _sets(found: Found) -> np.ndarray:
    """Return the sets that were read at each point: the same under all seeds."""
    return next(iter(found.values()))[SETS_READ]


def _curves(found: Found, seeds: Sequence[int], *names: str) -> np.ndarray:
    """Return what each question adds to the points of learning curves (curves, points, seeds, questions)."""
    lacking = [name for name in names for seed in seeds if name not in found[seed]]
    if lacking:
        again = "remove these run folders, and the same comparison does them again"
        raise RuntimeError(f"the learning curves of an earlier version lack {lacking[0]}: {again}")
    return np.stack([np.stack([found[seed][name] for seed in seeds], axis=1) for name in names])


def _within(sets: float, most: int) -> float | None:
    return sets if sets <= most else None
