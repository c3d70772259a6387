"""What a loss does with each response of a set, in numbers and in words."""

from dataclasses import dataclass, replace

import numpy as np

from mapl_explore.losses.graded import Graded
from mapl_explore.losses.loss import Loss, require_loss
from mapl_explore.losses.sets import ScoredSets, require_reference
from mapl_explore.numerics.arrays import to_numpy


@dataclass(frozen=True)
class Explained:
    """One response in the eyes of a loss.

    Parameters
    ----------
    set, response : int
        Which set, and which response of it, from 0.
    label : int
        +1 for a positive, -1 for a negative.
    score : float
        The number r that the loss compares, in nats.
    rank : int
        1 for the hardest of its side: the positive with the least score, the negative with the largest. Equal scores
        have the same rank.
    weight : float
        d loss / d logp: below 0 the response is pushed up, above 0 down.
    share : float
        Its part of what its side gets: ``|weight|`` over the sum of those; 0 where the side gets nothing.
    why : str
        The same in a sentence; for a loss of rewards, the place of its reward in the set. Rewards that differ only by
        rounding count as different.
    reward : float, optional
        How good the response is, where the sets say so.
    """

    set: int
    response: int
    label: int
    score: float
    rank: int
    weight: float
    share: float
    why: str
    reward: float | None = None


def explain(loss: Loss, sets: ScoredSets) -> list[Explained]:
    """Return, for every response, its score, its rank on its side, its weight, and one sentence why.

    Parameters
    ----------
    loss : Loss
        The loss.
    sets : ScoredSets
        One set (n,) or several (..., n), which are counted through.

    Returns
    -------
    list of Explained
        In the order of the responses, without the padding.

    Raises
    ------
    ValueError
        If the loss reads a reference and the sets have none (:func:`require_reference`).

    Examples
    --------
    >>> from mapl_explore.losses import DPO, Smooth
    >>> sets = ScoredSets([-1.0, -4.0, -3.0, -9.0], [-2.0] * 4, [5] * 4, [1, 1, -1, -1])
    >>> for row in explain(DPO(beta=1.0, pair=Smooth(tau=1.0)), sets):
    ...     print(f"{row.weight:+.3f}  {row.why}")
    -0.035  pushed up with 4.7% of what its side gets: positive 2 of 2, hardest first
    -0.706  pushed up with 95% of what its side gets: the hardest positive
    +0.739  pushed down with over 99% of what its side gets: the hardest negative
    +0.002  pushed down with 0.25% of what its side gets: negative 2 of 2, hardest first

    Where the sets have rewards, so have the rows:

    >>> [row.reward for row in explain(DPO(), ScoredSets([-1.0, -4.0], [-2.0] * 2, [5] * 2, [1, -1], reward=[0.5, -2]))]
    [0.5, -2.0]
    >>> from mapl_explore.losses import InfoNCA
    >>> [row.why for row in explain(InfoNCA(), ScoredSets([-1.0, -4.0], [-2.0] * 2, [5] * 2, [1, -1]))]
    ['pushed up: reward 1, 1 of 2 by reward', 'pushed down: reward 0, 2 of 2 by reward']
    """
    require_reference(require_loss(loss), sets)
    return explain_unchecked(loss, sets)


def explain_unchecked(loss: Loss, sets: ScoredSets) -> list[Explained]:
    """Return what :func:`explain` does, without its checks: for sets that passed them once and were then moved."""
    columns = [to_numpy(array) for array in (loss.score(sets), loss.weights(sets), sets.label)]
    n = columns[0].shape[-1]
    rows = []
    for number, (score, weight, label) in enumerate(zip(*(column.reshape(-1, n) for column in columns), strict=True)):
        rows += _explained(number, score, weight, label)
    rewards = to_numpy(sets.rewards).reshape(-1, n)
    if isinstance(loss, Graded):
        there = columns[2].reshape(-1, n) != 0
        rows = [replace(row, why=_by_reward(row, rewards[row.set][there[row.set]], rewards)) for row in rows]
    if sets.reward is None:
        return rows
    return [replace(row, reward=float(rewards[row.set, row.response])) for row in rows]


def _by_reward(row: Explained, of_set: np.ndarray, rewards: np.ndarray) -> str:
    """Return why a loss of rewards pushes a response: the place of its reward among those of its set."""
    reward = rewards[row.set, row.response]
    way = "left alone" if row.weight == 0 else "pushed up" if row.weight < 0 else "pushed down"
    ties = int((of_set == reward).sum()) - 1
    tied = f", as {ties} other{'s' if ties > 1 else ''}" if ties else ""
    return f"{way}: reward {reward:g}, {1 + int((of_set > reward).sum())} of {of_set.size} by reward{tied}"


def _explained(number: int, score: np.ndarray, weight: np.ndarray, label: np.ndarray) -> list[Explained]:
    """Return the rows of one set."""
    # Low is hard for a positive, high for a negative.
    hardness = {sign: _ranks(np.where(label == sign, sign * score, np.inf)) for sign in (1, -1)}
    rows = []
    for response in np.flatnonzero(label):
        sign = int(label[response])
        rank, total = int(hardness[sign][response]), np.abs(weight[label == sign]).sum()
        share = abs(float(weight[response])) / total if total else 0.0
        ties = int((hardness[sign][label == sign] == rank).sum()) - 1
        place = _place(sign, rank, int((label == sign).sum()), ties)
        why = _why(sign, place, weight[response], share, bool(total))
        row = Explained(number, int(response), sign, float(score[response]), rank, float(weight[response]), share, why)
        rows.append(row)
    return rows


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return 1 and how many values are smaller."""
    return 1 + np.searchsorted(np.sort(values), values)


def _place(sign: int, rank: int, count: int, ties: int) -> str:
    side = "positive" if sign > 0 else "negative"
    tied = f", tied with {ties} other{'s' if ties > 1 else ''}" if ties else ""
    if rank == 1:
        return f"the only {side}" if count == 1 else f"the hardest {side}{tied}"
    return f"{side} {rank} of {count}, hardest first{tied}"


def _why(sign: int, place: str, weight: float, share: float, any_push: bool) -> str:
    if not any_push:
        return f"left alone, like all {'positive' if sign > 0 else 'negative'}s of this set: {place}"
    if weight == 0:
        return f"left alone, the others of its side get everything: {place}"
    return f"pushed {'up' if weight < 0 else 'down'} with {_percent(share)} of what its side gets: {place}"


def _percent(share: float) -> str:
    if 0.995 <= share < 1:
        return "over 99%"
    return f"{100 * share:.2g}%" if share < 0.095 else f"{share:.0%}"
