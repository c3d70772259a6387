"""The reward of each response as a cell of a shade, by which rewards are compared at a glance."""

import numpy as np

from mapl_explore.plots.panels import Boxes, Mark, Style, Words
from mapl_explore.words import _


def reward_cells(
    rewards: np.ndarray, left: np.ndarray, right: np.ndarray, low: np.ndarray, high: np.ndarray, numbered: bool = True
) -> list[Mark]:
    """Return a cell for each reward (n,) between these edges, shaded from the least of them to the largest.

    Parameters
    ----------
    rewards : array (n,)
        Finite.
    left, right, low, high : array (n,)
        The edges of the cells.
    numbered : bool
        Whether each cell has its number in it, to two digits.

    Examples
    --------
    >>> edges = np.arange(3.0)
    >>> cells, numbers = reward_cells(np.array([0.5, 2.0, 1.25]), edges, edges + 1, 0 * edges, 0 * edges + 1)
    >>> cells.shade, numbers.texts, cells.label
    (array([-1.,  1.,  0.]), ['0.5', '2', '1.2'], 'reward 0.5 to 2')
    """
    cells = Boxes(
        name="rewards",
        label=_key(float(rewards.min()), float(rewards.max())),
        left=left,
        right=right,
        bottom=low,
        top=high,
        shade=_shades(rewards),
        scale="rewards",
    )
    if not numbered:
        return [cells]
    middle = {"x": (left + right) / 2, "y": (low + high) / 2}
    texts = [_written(reward, 2) for reward in rewards]
    return [cells, Words(name="their numbers", style=Style(width=12), texts=texts, **middle)]


def _shades(rewards: np.ndarray) -> np.ndarray:
    """Return -1 for the least reward and 1 for the largest, evenly between; 0 where all are equal."""
    scaled = rewards / (np.abs(rewards).max() or 1.0)  # the span of the largest floats is beyond them
    span = float(np.ptp(scaled))
    return 2 * (scaled - scaled.min()) / span - 1 if span else np.zeros(rewards.size)


def _key(least: float, most: float) -> str:
    low, high = _written(least, 3), _written(most, 3)
    return (_("reward {low} to {high}") if least < most else _("reward {high}")).format(low=low, high=high)


def _written(reward: float, places: int) -> str:
    return f"{reward:.{places}g}".replace("-", "−")
