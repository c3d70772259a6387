"""Where an axis ends: round numbers, so that it stays where it is while a curve moves a little."""

import math
from collections.abc import Sequence

import numpy as np


def ends_around(curves: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return round ends that hold every curve and 0."""
    low, high = min(float(np.min(c)) for c in curves), max(float(np.max(c)) for c in curves)
    top, bottom = round_up(max(high, 0.0)), round_up(max(-low, 0.0))
    # A twentieth of the other side, where a side is empty: the line at 0 stays inside.
    return -(bottom or 0.05 * (top or 1.0)), top or 0.05 * (bottom or 1.0)


def ends_with(main: np.ndarray, *others: np.ndarray) -> tuple[float, float]:
    """Return ends that hold the main curve and 0, and the others as far as three times its span: it stays readable."""
    low, high = ends_around([main])
    bottom, top = min(map(np.min, (main, *others))), max(map(np.max, (main, *others)))
    return min(low, max(float(bottom), 2 * low - high)), max(high, min(float(top), 2 * high - low))


def round_up(value: float) -> float:
    """Return the least of 1, 1.5, 2, 3, 5, 7 times a power of ten that is not below a value; 0 for 0."""
    if value == 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 1.5, 2, 3, 5, 7) if step * power >= value * (1 - 1e-12)), 10 * power)


def decades(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of a logarithmic axis for the values above 0: at least a decade, at most eight."""
    positive = values[values > 0]
    if positive.size == 0:
        return 0.1, 10.0
    high = float(positive.max())
    low = max(float(positive.min()), high / 1e8)
    room = max(1.5, math.sqrt(10 * low / high))
    return low / room, high * room
