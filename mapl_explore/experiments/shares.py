"""Shares of the variance: how much of the scatter of results is due to the learning rate, and how much to the loss."""

from collections.abc import Mapping, Sequence

import numpy as np

from mapl_explore.experiments.bootstrap import interval_of, resampled_means

VARIANCE = "variance"
RATE, LOSS = "lr", "loss"  # what such a rule compares in place of two arms
LABEL = "share of the variance"

Tried = Mapping[str, np.ndarray]  # by learning rate, what each validation question gives under each seed that chose


def shares(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which shares of the variance of means (losses, rates, ...) the rate alone and the loss alone explain.

    They are the main effects of a table in which each loss has each rate once, over the whole sum of squares; what they
    leave is the interaction: another rate suits another loss. Where all means are equal, both shares are 0.

    Examples
    --------
    >>> rate, loss = shares(np.array([[0.1, 0.5], [0.3, 0.7]]))  # the rate adds 0.4, the loss 0.2
    >>> round(float(rate), 3), round(float(loss), 3)
    (0.8, 0.2)
    """
    whole = means.mean((0, 1))
    total = ((means - whole) ** 2).mean((0, 1))
    rate, loss = (((means.mean(axis) - whole) ** 2).mean(0) for axis in (0, 1))
    scattered = total > 1e-24 * (means**2).mean((0, 1))  # else it is the rounding of float64, a relative 1e-16
    rate, loss = (np.where(scattered, part, 0.0) / np.where(scattered, total, 1.0) for part in (rate, loss))
    return rate, loss


def rate_less_loss(arms: Sequence[Tried]) -> tuple[float, tuple[float, float] | None, int]:
    """Return the share of the rate less that of the loss, its 95 % interval over seeds and questions, and the seeds."""
    values = np.array([[arm[rate] for rate in arm] for arm in arms])  # losses, rates, seeds, questions
    seeds = values.shape[2]

    def less(means: np.ndarray) -> np.ndarray:
        rate, loss = shares(means)
        return rate - loss

    change = float(less(values.mean((2, 3))))
    if seeds < 2:
        return change, None, seeds
    return change, interval_of(less(resampled_means(values, np.random.default_rng(0))), seeds), seeds
