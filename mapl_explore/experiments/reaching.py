"""Sets to 80 %: how many sets an arm has read when so many questions are answered right, from its learning curves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mapl_explore.experiments.bootstrap import interval_of, resampled_means
from mapl_explore.runs.measured import RIGHT_ALONG, SETS_READ

SETS_TO_80 = "sets_to_80"
GOAL = 0.8
LABEL = "sets read until 80 % of greedy responses are right"

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


def crossing(sets: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return where curves of shares (points, ...) first reach 80 %, linear between their points; inf where they do not.

    Examples
    --------
    >>> crossing(np.array([0, 16, 32]), np.array([[0.5, 0.9, 0.5], [0.7, 0.9, 0.6], [0.9, 0.7, 0.7]]))
    array([24.,  0., inf])
    """
    over = shares >= GOAL
    first = over.argmax(0)
    before = np.maximum(first - 1, 0)
    low, high = (np.take_along_axis(shares, place[None], 0)[0] for place in (before, first))
    part = np.divide(GOAL - low, high - low, where=first > 0, out=np.zeros_like(low))
    return np.where(over.any(0), sets[before] + part * (sets[first] - sets[before]), np.inf)


def reached(found: Found) -> Reached | None:
    """Return where the mean curve of an arm reaches 80 %; None without curves."""
    if not any(SETS_READ in one for one in found.values()):
        return None
    sets, right = _curves(found, sorted(found))
    most, seeds = int(sets[-1]), right.shape[1]
    at = float(crossing(sets, right.mean((1, 2))))
    if seeds < 2:
        return Reached(_within(at, most), None, most)
    draws = crossing(sets, resampled_means(right, np.random.default_rng(0)))
    # Twice the last point stands for beyond it: a quantile between two infinities would be NaN.
    ends = interval_of(np.minimum(draws, 2 * most), seeds)
    return Reached(_within(at, most), ends and (_within(ends[0], most), _within(ends[1], most)), most)


def difference(one: Found, other: Found, seeds: Sequence[int]) -> tuple[float, tuple[float, float] | None]:
    """Return by how many sets later one arm reaches 80 % than another one under the same seeds, with its interval.

    Where an arm does not reach it, the last point that both curves have counts: the difference is then nearer to 0.
    """
    curves = [_curves(each, seeds) for each in (one, other)]
    most = min(sets[-1] for sets, _ in curves)

    def later(*shares: np.ndarray) -> np.ndarray:
        first, second = (np.minimum(crossing(sets, each), most) for (sets, _), each in zip(curves, shares, strict=True))
        return first - second

    points = len(curves[0][0])
    change = float(later(*(right.mean((1, 2)) for _, right in curves)))
    if len(seeds) < 2:
        return change, None
    # In one go, so that both arms have the same draws of seeds and questions.
    means = resampled_means(np.concatenate([right for _, right in curves]), np.random.default_rng(0))
    return change, interval_of(later(means[:points], means[points:]), len(seeds))


def _curves(found: Found, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the sets read (points,), and what was right then (points, seeds, questions)."""
    return found[seeds[0]][SETS_READ], np.stack([found[seed][RIGHT_ALONG] for seed in seeds], axis=1)


def _within(sets: float, most: int) -> float | None:
    return sets if sets <= most else None
