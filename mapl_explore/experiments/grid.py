"""The cells of a plan: every combination of the values of its factors."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any


def cells_of(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination of the values of the factors, one cell without factors where there are none.

    Examples
    --------
    >>> cells_of({"sets": [32, 128], "noise": [0.3]})
    [{'sets': 32, 'noise': 0.3}, {'sets': 128, 'noise': 0.3}]
    >>> cells_of({})
    [{}]
    """
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def title_of(cell: Mapping[str, Any]) -> str:
    """Return the values of a cell, for people.

    Examples
    --------
    >>> title_of({"sets": 32, "noise": 0.3})
    'sets 32, noise 0.3'
    """
    return ", ".join(f"{name} {shown(value)}" for name, value in cell.items())


def shown(value: Any) -> str:
    """Return the value of a factor, for people: numbers short, as 0.3 or 1e-05."""
    return f"{value:g}" if isinstance(value, float) else str(value)
