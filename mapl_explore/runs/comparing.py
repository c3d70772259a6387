"""Runs side by side: their results as a table, and their logs as curves."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mapl_explore.files import atomic_writer
from mapl_explore.losses.naming import short
from mapl_explore.runs.arms import Arm, arms_of, differing
from mapl_explore.runs.record import RECORD, Run, label_of, read_run
from mapl_explore.words import N_, _

# The columns of a comparison; those that no run has are left out. MEASURES in runs/record.py explains them.
COLUMNS = {
    "right": "right responses",
    "hard_margin": "hard margin",
    "chosen": "chosen",
    "rejected": "rejected",
    "kl": "KL to base",
}
NOTE = """After training, on held-out sets (and the change since before); nats, KL a token. The hard margin is that of
the scores of each loss (a token for SimPO and GRPO; log-probs for OneSided and SFT): it compares between runs with one
score; the others always do."""
ARMS = """Means after training of runs that differ in the seed alone, from 3 seeds on with 95 % intervals over seeds by
Student's t."""
UNMEASURED = "Nothing was measured on the held-out sets: the run has not got that far, or it was ended before."
OTHER_SETS = "The held-out sets are not the same in all runs."
# What the log has beside MEASURES, or as of one step.
LOGGED = {
    "grad_norm": N_("norm of the gradient"),
    "beta": N_("β of a step (1/nats)"),
    "negative_tau": N_("τ of the negatives (1/nats)"),
    "negative_leader": N_("share of the leading negative"),
}
# The measures of the log that are drawn, for the runs that have them.
PANELS = ("loss", "margin", "grad_norm", "hard_margin", "accuracy", "right", "chosen", "rejected", *list(LOGGED)[1:])
ONE_LOSS = ("loss", "margin", "grad_norm")  # cannot be compared between different losses: drawn where all runs have one
LOG = ("negative_tau",)
FORMATS = ("png", "pdf", "svg")
DPI = 100


def read_runs(names: Sequence[str | os.PathLike[str]]) -> tuple[list[tuple[str, Run]], list[str]]:
    """Return the name and record of each run, and a line about each name that is not a run.

    Parameters
    ----------
    names : sequence of path
        Run folders; other names may be among them, as with ``runs/*``.

    Raises
    ------
    ValueError, OSError
        If none is a run; the error says what is wrong with the only one, or names all.

    Examples
    --------
    >>> read_runs(["no/run"])
    Traceback (most recent call last):
    FileNotFoundError: 'no/run' is no run: there is no run.json in it
    """
    runs, faults = [], []
    for name in [os.fspath(one) for one in names]:
        try:
            runs.append((name.rstrip("/") or name, read_run(name)))
        except (OSError, ValueError) as error:
            faults.append(_no_run(name, error))
    if not runs:
        raise faults[0] if len(faults) == 1 else ValueError(f"none of these is a run: {', '.join(map(str, names))}")
    return runs, [str(fault) for fault in faults]


def _no_run(name: str, error: Exception) -> Exception:
    """Return the error of a name that is no run, in one line."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return FileNotFoundError(f"{name!r} is no run: there is no {RECORD} in it")
    return error


def runs_table(runs: Sequence[tuple[str, Run]]) -> str:
    """Return the results of runs: the whole table of a single run, or a row for each and in what they differ.

    Of several runs that differ in the seed alone, the means follow, see :func:`mapl_explore.runs.arms.arms_of`.

    Parameters
    ----------
    runs : sequence of (str, Run)
        Name and record of each.

    Returns
    -------
    str
        Lines for people.

    Examples
    --------
    >>> before, after = {"chosen": -3.0, "rejected": -3.0}, {"chosen": -2.5, "rejected": -4.0}
    >>> data = {"eval": {"sets": 8, "sha256": "abc"}}
    >>> run = Run(loss="MaxMin()", arguments={"steps": 2}, data=data, before=before, after=after, log=[{"step": 2}])
    >>> print(runs_table([("a", run), ("b", run)]).split("After")[0].rstrip())
    run  steps          chosen        rejected
    a      2/2   -2.50 (+0.50)   -4.00 (-1.00)
    b      2/2   -2.50 (+0.50)   -4.00 (-1.00)
    <BLANKLINE>
    a    MaxMin()
    b    MaxMin()
    """
    if len(runs) == 1:
        ((name, run),) = runs
        settings = ", ".join(f"{key} {value}" for key, value in run.arguments.items())
        return f"{name}: {run.loss}, {_steps(run)} steps\n{settings}\n{run.table if run.before else UNMEASURED}"
    wide = max(len("run"), *(len(name) for name, _ in runs))
    columns = [name for name in COLUMNS if any(name in (run.before or {}) for _, run in runs)]
    head = f"{'run':<{wide}}  steps{''.join(f'{COLUMNS[name]:>16}' for name in columns)}"
    lines = [f"{name:<{wide}}  {_steps(run):>5}{_cells(run, columns)}" for name, run in runs]
    losses = [f"{name:<{wide}}  {short(run.loss)}" for name, run in runs]
    held_out = {run.data.get("eval", {}).get("sha256") for _, run in runs}
    more = [*_differences(runs), *_of_arms(runs, columns)]
    return "\n".join([head, *lines, "", *losses, *more, "", NOTE, *([OTHER_SETS] if len(held_out) > 1 else [])])


def runs_record(runs: Sequence[tuple[str, Run]]) -> dict[str, Any]:
    """Return what :func:`runs_table` tells, for JSON: each run without its log, differences, and arms.

    Parameters
    ----------
    runs : sequence of (str, Run)
        Name and record of each.
    """
    parts = ("loss", "arguments", "data", "versions", "before", "after", "intervals", "right_along")
    told = [
        {"run": name, "steps": _made(run), "finished": run.finished, **{part: getattr(run, part) for part in parts}}
        for name, run in runs
    ]
    return {"runs": told, "differ": differing(runs), "arms": [asdict(arm) for arm in arms_of(runs)]}


def _differences(runs: Sequence[tuple[str, Run]]) -> list[str]:
    """Return a table of the arguments in which runs differ, no line where there are none."""
    found = {name: values for name, values in differing(runs).items() if name != "eval"}  # that has a line of its own
    if not found:
        return []
    columns = [["run", *(name for name, _ in runs)], *([name, *map(_value, some)] for name, some in found.items())]
    widths = [max(map(len, column)) for column in columns]
    lines = zip(*columns, strict=True)
    return [
        "",
        *("  ".join(f"{cell:<{wide}}" for cell, wide in zip(line, widths, strict=True)).rstrip() for line in lines),
    ]


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else "-" if value is None else str(value)


def _of_arms(runs: Sequence[tuple[str, Run]], columns: Sequence[str]) -> list[str]:
    """Return the means of runs that differ in the seed alone, no line where there are none."""
    arms = arms_of(runs)
    return [line for arm in arms for line in ("", *_of_arm(arm, columns))] + ["", ARMS] * bool(arms)


def _of_arm(arm: Arm, columns: Sequence[str]) -> list[str]:
    head = f"{', '.join(arm.runs)}: seeds {', '.join(map(str, arm.seeds))}"
    cells = {COLUMNS[name]: (arm.mean[name], arm.interval.get(name)) for name in columns if name in arm.mean}
    return [head, *(f"  {label:<17}{mean:.3f}{_ends(ends)}" for label, (mean, ends) in cells.items())]


def _ends(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"


def save_curves(path: str | os.PathLike, runs: Sequence[tuple[str, Run]]) -> None:
    """Draw the logs of runs, one panel for each measure, and write the picture whole or not at all.

    The loss, its own margin and its gradient are drawn where all runs have one loss.

    Parameters
    ----------
    path : path
        A ``.png``, ``.pdf`` or ``.svg`` file; an existing one is replaced.
    runs : sequence of (str, Run)
        Name and record of each, at most 30.

    Raises
    ------
    ValueError
        If the path has another ending, or no run has logged a step.
    OSError
        If the file cannot be written.
    """
    from mapl_explore.plots import RunCurves, run_figure

    path = Path(path)
    ending = path.suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        raise ValueError(f"out must end in {', '.join('.' + one for one in FORMATS)}, not {str(path)!r}")
    if not any(run.log for _, run in runs):
        raise ValueError(f"no step is logged in {', '.join(name for name, _ in runs)}: there is nothing to draw")
    losses = [run.loss for _, run in runs]
    one_loss = len(set(losses)) == 1
    drawn = [name for name in PANELS if one_loss or name not in ONE_LOSS]
    labels = {name: _(LOGGED[name]) if name in LOGGED else label_of(name, *losses, words=_) for name in drawn}
    curves = [RunCurves(f"{name}: {short(run.loss)}", *_logged(run), _held_out(run)) for name, run in runs]
    figure = run_figure(curves, labels, log=LOG)
    with atomic_writer(path, binary=True) as file:
        figure.savefig(file, format=ending, dpi=DPI)


def _logged(run: Run) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the steps of the log and each measure at them, NaN where a step lacks one."""
    step = np.array([entry["step"] for entry in run.log], int)
    names = {name: None for entry in run.log for name in entry}  # in the order of the log
    return step, {name: np.array([_as_number(entry.get(name)) for entry in run.log]) for name in names}


def _held_out(run: Run) -> dict[str, tuple[float, float]]:
    before, after = run.before or {}, run.after or {}
    return {name: (_as_number(before.get(name)), _as_number(after.get(name))) for name in {*before, *after}}


def _as_number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def _steps(run: Run) -> str:
    """Return how many of its steps a run has made."""
    return f"{_made(run)}/{run.arguments.get('steps', '?')}"


def _made(run: Run) -> int:
    return run.log[-1]["step"] if run.log else 0


def _cells(run: Run, columns: Sequence[str]) -> str:
    before, after = run.before or {}, run.after or {}
    return "".join(f"{_cell(before.get(name), after.get(name)):>16}" for name in columns)


def _cell(before: float | None, after: float | None) -> str:
    """Return a result and its change since before the training."""
    if after is None:
        return "-"
    return f"{after:.2f}" if before is None else f"{after:.2f} ({after - before:+.2f})"
