"""Several runs: in which arguments they differ, and those taken together that differ in the seed alone."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from mapl_explore.runs.record import UNSAID, Run

LEAST_FOR_T = 3  # seeds: the interval of two is 9 standard deviations long, on either side
LEVEL = 0.95

Named = tuple[str, Run]


@dataclass(frozen=True)
class Arm:
    """Finished runs that differ in the seed alone, and in what it draws of the data.

    Parameters
    ----------
    runs : list of str
        Their names.
    seeds : list of int
        Of these runs, all different.
    mean : dict
        Of each measure after the training.
    interval : dict
        Low and high of the 95 % interval of each mean over seeds; none for fewer than 3 seeds or equal values.
    """

    runs: list[str]
    seeds: list[int]
    mean: dict[str, float]
    interval: dict[str, tuple[float, float]]


def differing(runs: Sequence[Named]) -> dict[str, list[Any]]:
    """Return the arguments in which runs differ, data among them, with the value that each run has.

    Examples
    --------
    >>> one, other = (Run(loss="SFT()", arguments={"steps": steps, "lr": 1e-3}, data={}) for steps in (2, 4))
    >>> differing([("a", one), ("b", other)])
    {'steps': [2, 4]}
    """
    tables = [_arguments(run) for _, run in runs]
    names = dict.fromkeys(name for table in tables for name in table)
    values = {name: [table.get(name) for table in tables] for name in names}
    return {name: some for name, some in values.items() if any(one != some[0] for one in some)}


def arms_of(runs: Sequence[Named]) -> list[Arm]:
    """Return the runs that differ in the seed alone, at least two each, taken together.

    The seed may also have drawn the data: the sets of such runs are equal in number, not in content. Where two runs of
    one seed were trained on other data, it is not the seed alone, and none of them are taken together.
    """
    groups: dict[str, list[Named]] = {}
    for name, run in runs:
        if run.finished:
            groups.setdefault(_all_but_seed(run), []).append((name, run))
    return [_arm(some) for some in groups.values() if len(some) == len({_seed(run) for _, run in some}) > 1]


def t_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean by Student's t, None for fewer than 3 values or for equal ones.

    Examples
    --------
    >>> low, high = t_interval([1.0, 2.0, 3.0])
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    if len(values) < LEAST_FOR_T or len(set(values)) == 1:
        return None
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def _arm(runs: Sequence[Named]) -> Arm:
    after = [run.after or {} for _, run in runs]
    values = {name: [one[name] for one in after] for name in after[0] if all(name in one for one in after)}
    intervals = {name: ends for name, some in values.items() if (ends := t_interval(some)) is not None}
    means = {name: float(np.mean(some)) for name, some in values.items()}
    return Arm([name for name, _ in runs], [_seed(run) for _, run in runs], means, intervals)


def _seed(run: Run) -> int:
    return run.arguments.get("seed", 0)


def _all_but_seed(run: Run) -> str:
    """Return what decides a run as text, without the seed and what it draws."""
    table = {name: value for name, value in _arguments(run).items() if name not in ("seed", "data", "eval")}
    sets = {name: part.get("sets") for name, part in run.data.items()}
    return json.dumps([run.loss, table, sets], sort_keys=True, default=str)


def _arguments(run: Run) -> dict[str, Any]:
    return UNSAID | run.arguments | {NAMES.get(part, part): _data(found) for part, found in run.data.items()}


def _data(part: Mapping[str, Any]) -> str:
    return f"{part.get('sets')} sets, {str(part.get('sha256'))[:8]}"


NAMES = {"train": "data"}  # parts of the data by the argument that gives them
