"""The report of a comparison: a row for each arm, as a table, as JSON and as a forest plot."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mapl_explore.experiments.bootstrap import mean_interval
from mapl_explore.experiments.claims import Rule
from mapl_explore.experiments.grid import shown, title_of
from mapl_explore.experiments.plan import Plan
from mapl_explore.experiments.reaching import (
    KL_AT_80,
    LABELS,
    SETS_TO_80,
    Found,
    Interval,
    Reached,
    difference,
    kl_at_80,
    reached,
)
from mapl_explore.experiments.shares import VARIANCE, Tried, rate_less_loss
from mapl_explore.files import atomic_writer, counted
from mapl_explore.notes import note
from mapl_explore.rounding import known
from mapl_explore.runs.record import label_of
from mapl_explore.words import _

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_SEEDS = 8  # for a claim
TOO_FEW = "too few seeds for a claim"
COLUMNS = ("lr", "seeds", "mean [95 %]", "difference [95 %]", "verdict", "steps", "tokens", "seconds")
TO_80, AT_80 = "sets to 80 % [95 %]", "KL at 80 % [95 %]"
NOTES = """Mean over seeds and held-out test questions; difference to {baseline}{where}, question by question,
under the seeds that both have. 95 % intervals by resampling seeds, then questions, each comparison for itself.
{rates} Steps, response tokens read, seconds: means over the runs."""
CHOSEN = "The learning rates were chosen on other questions and under other seeds."
ONE_RATE = "All arms have the one learning rate of the plan."
CURVES = """Sets to 80 %: how many an arm has read where the mean share first reaches 80 %, linear between the steps of
answer_at; and the KL to the base there, in nats a token."""
REPORT = "report.json"
PICTURES = ("svg", "png")


@dataclass(frozen=True, eq=False)
class Results:
    """What the runs of an arm have given in a cell.

    Parameters
    ----------
    arm, loss : str
        Its name, and its loss.
    cell : dict
        The values of the factors of the grid.
    lr : float or None
        The chosen rate.
    found : dict of dict of arrays
        By seed, the measures of each test question, and the learning curve where there is one.
    asked : int
        The seeds that were to be run.
    steps, response_tokens, seconds, samples : float or None
        Means over the runs; samples are the responses that rounds have drawn.
    runs : list of str
        The names of the run folders.
    tried : dict of arrays (seeds, validation questions)
        By learning rate, as text, what each question gives under each seed that chose among the rates.
    """

    arm: str
    cell: Mapping[str, Any]
    loss: str
    lr: float | None
    found: Found
    asked: int
    steps: float | None
    response_tokens: float | None
    seconds: float | None
    runs: list[str]
    samples: float | None = None
    tried: Tried = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """An arm in a cell of the report; what is not known is None."""

    arm: str
    cell: Mapping[str, Any]
    loss: str
    lr: float | None
    seeds: int
    asked: int
    mean: float | None
    interval: Interval
    difference: float | None
    difference_interval: Interval
    verdict: str
    steps: float | None
    response_tokens: float | None
    seconds: float | None
    runs: list[str]
    sets_to_80: Reached | None = None
    kl_at_80: float | None = None
    kl_at_80_interval: Interval = None
    samples: float | None = None
    tried: Mapping[str, list[float]] = field(default_factory=dict)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "Row":
        """Return the row that a report or a recorded result holds."""
        known = record.get(SETS_TO_80)
        return cls(**{"runs": [], **record, SETS_TO_80: Reached(**known) if known else None})

    @property
    def as_record(self) -> dict[str, Any]:
        """Return one value for each column of a table of numbers."""
        record = asdict(self)
        record = {"arm": record.pop("arm"), **record.pop("cell")} | record
        for name in ("", "difference_", f"{KL_AT_80}_"):
            ends = record.pop(f"{name}interval") or (None, None)
            record |= dict(zip((f"{name}low", f"{name}high"), ends, strict=True))
        hidden = [] if self.sets_to_80 else [name for name in record if name.startswith(KL_AT_80)]
        columns = {name: value for name, value in record.items() if name not in ("runs", "tried", SETS_TO_80, *hidden)}
        return columns | (self.sets_to_80.columns if self.sets_to_80 else {})

    @property
    def cells(self) -> list[str]:
        """Return the row as it is printed."""
        seeds = str(self.seeds) if self.seeds == self.asked else f"{self.seeds} of {self.asked}"
        costs = [known(value, ",.0f") for value in (self.steps, self.response_tokens)]
        means = [with_interval(self.mean, self.interval, ""), with_interval(*self._change, "+")]
        place = [*map(shown, self.cell.values()), self.arm]
        return [*place, known(self.lr, "g"), seeds, *means, self.verdict, *costs, known(self.seconds, ".1f")]

    @property
    def _change(self) -> tuple[float | None, Interval]:
        return self.difference, self.difference_interval


@dataclass(frozen=True)
class Contrast:
    """A measure of an arm less that of another one, under the seeds that both have, question by question."""

    difference: float | None
    difference_interval: Interval
    seeds: int
    verdict: str


def rows_of(results: Sequence[Results], baseline: str, measure: str) -> list[Row]:
    """Return a row for each arm in each cell, compared with the baseline in the same cell."""
    bases = [one for one in results if one.arm == baseline]
    return [_row(one, next(base for base in bases if base.cell == one.cell), measure) for one in results]


def contrast_of(rule: Rule, results: Sequence[Results]) -> Contrast:
    """Return the contrast by which a claim is decided."""
    if rule.measure == VARIANCE:
        return _contrast_of_shares([one.tried for one in results if one.cell == rule.cell])
    arms = {one.arm: one.found for one in results if one.cell == rule.cell}
    return contrast(arms[rule.arm], arms.get(rule.than), rule.measure)


def contrast(one: Found, other: Found | None, measure: str) -> Contrast:
    """Return how a measure differs; without another arm from 0, which it is before training."""
    seeds = sorted(one.keys() & (one if other is None else other).keys())
    if not seeds:
        return Contrast(None, None, 0, verdict_of(None, 0))
    if measure in LABELS and other is not None:
        change, interval = difference(measure, one, other, seeds)
    else:
        changes = np.array([one[s][measure] - (0.0 if other is None else other[s][measure]) for s in seeds])
        change, interval = float(changes.mean()), mean_interval(changes)
    return Contrast(change, interval, len(seeds), verdict_of(interval, len(seeds)))


def _contrast_of_shares(arms: Sequence[Tried]) -> Contrast:
    """Return how the shares of the variance differ; unknown where an arm lacks a rate."""
    if not arms[0] or any(arm.keys() != arms[0].keys() for arm in arms):
        return Contrast(None, None, 0, verdict_of(None, 0))
    change, interval, seeds = rate_less_loss(arms)
    return Contrast(change, interval, seeds, verdict_of(interval, seeds))


def verdict_of(interval: Interval, seeds: int) -> str:
    """Return what may be said of a difference.

    >>> verdict_of((0.1, 0.2), 8), verdict_of((0.0, 0.2), 8), verdict_of((0.1, 0.2), 7)
    ('higher', 'undecided', 'too few seeds for a claim')
    """
    if seeds < LEAST_SEEDS:
        return TOO_FEW
    if interval is None or interval[0] <= 0 <= interval[1]:
        return "undecided"
    return "higher" if interval[0] > 0 else "lower"


def table_of(rows: Sequence[Row], plan: Plan) -> str:
    """Return the rows for people."""
    cells = [[*plan.grid, "arm", *COLUMNS], *(row.cells for row in rows)]
    if plan.has_curves:
        cells = _with(cells, TO_80, [str(row.sets_to_80 or "-") for row in rows])
        cells = _with(cells, AT_80, [with_interval(row.kl_at_80, row.kl_at_80_interval, "") for row in rows])
    if any(arm.sampling for arm in plan.arms):
        cells = _with(cells, "samples", [known(row.samples, ",.0f") for row in rows])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    losses = dict.fromkeys(f"{row.arm}: {row.loss}" for row in rows)
    where, rates = " in the same cell" if plan.grid else "", CHOSEN if len(plan.lr) > 1 else ONE_RATE
    notes = NOTES.format(baseline=plan.baseline, where=where, rates=rates)
    notes += f" {CURVES}" if plan.has_curves else ""
    return "\n".join([label_of(plan.measure, *(row.loss for row in rows)), *lines, "", *losses, "", notes])


def _with(cells: Sequence[list[str]], head: str, column: Sequence[str]) -> list[list[str]]:
    """Return the cells of a table with a column more."""
    return [[*line, cell] for line, cell in zip(cells, [head, *column], strict=True)]


def write_report(
    folder: Path, plan: Plan, results: Sequence[Results], failures: Sequence[str], versions: Mapping[str, str]
) -> tuple[list[Row], str]:
    """Write ``report.json``, ``table.txt`` and ``forest.svg`` and ``.png``, and return the rows and the table."""
    rows = rows_of(results, plan.baseline, plan.measure)
    failed = ["", f"{counted(len(failures), 'run')} failed:", *failures] if failures else []
    table = "\n".join([table_of(rows, plan), *failed])
    report = {"plan": plan.as_record, "arms": [asdict(row) for row in rows], "failures": list(failures)}
    rules = {claim.id: claim.rule for claim in plan.claims}
    report |= {"claims": {name: one.compared | asdict(contrast_of(one, results)) for name, one in rules.items()}}
    report |= {"versions": versions, "date": datetime.now(UTC).date().isoformat()}
    for name, text in ((REPORT, json.dumps(report, indent=1, default=str)), ("table.txt", table)):
        with atomic_writer(folder / name) as file:
            file.write(text + "\n")
    if any(row.mean is not None for row in rows):
        _draw(folder, plan, rows)
    return rows, table


def _row(one: Results, base: Results, measure: str) -> Row:
    values = np.array([one.found[seed][measure] for seed in sorted(one.found)])
    kl, kl_interval = kl_at_80(one.found)
    against = Contrast(None, None, 0, "baseline") if one is base else contrast(one.found, base.found, measure)
    return Row(
        arm=one.arm,
        cell=one.cell,
        loss=one.loss,
        lr=one.lr,
        seeds=len(values),
        asked=one.asked,
        mean=float(values.mean()) if len(values) else None,
        interval=mean_interval(values) if len(values) else None,
        difference=against.difference,
        difference_interval=against.difference_interval,
        verdict=against.verdict,
        steps=one.steps,
        response_tokens=one.response_tokens,
        seconds=one.seconds,
        runs=one.runs,
        sets_to_80=reached(one.found),
        kl_at_80=kl,
        kl_at_80_interval=kl_interval,
        samples=one.samples,
        tried={rate: values.mean(1).tolist() for rate, values in one.tried.items()},
    )


def _draw(folder: Path, plan: Plan, rows: Sequence[Row]) -> None:
    """Draw the forest plot, where matplotlib is installed."""
    try:
        figure = forest_of(plan, rows)
    except ModuleNotFoundError as error:
        note(f"the forest plot is not drawn: {error.name} is not installed (pip install 'mapl_explore[lab]')")
        return
    for ending in PICTURES:
        with atomic_writer(folder / f"forest.{ending}", binary=True) as file:
            figure.savefig(file, format=ending, bbox_inches="tight")


def forest_of(plan: Plan, rows: Sequence[Row]) -> "Figure":
    """Return the forest plot of the rows of a plan; matplotlib draws it."""
    from mapl_explore.plots.forest import Estimate, forest_figure

    means: list[Estimate] = []
    changes: list[Estimate] = []
    for cell, some in itertools.groupby(rows, lambda row: row.cell):
        heading = [Estimate(title_of(cell), None, None, heading=True)] if cell else []
        arms = list(some)
        means += heading + [Estimate(row.arm, row.mean, row.interval) for row in arms]
        changes += heading + [Estimate(row.arm, row.difference, row.difference_interval) for row in arms]
    label = label_of(plan.measure, *(row.loss for row in rows), words=_)
    return forest_figure(means, changes, label, _("difference to {baseline}").format(baseline=plan.baseline))


def with_interval(value: float | None, interval: Interval, sign: str) -> str:
    """Return a number with its interval, for people."""
    text = known(value, f"{sign}.3f")
    return text if interval is None else f"{text} [{', '.join(f'{end:{sign}.3f}' for end in interval)}]"
