"""The course of a comparison: learning rates first, then the runs that are reported, then the report."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mapl_explore.experiments.jobs import Done, Failure, Job, Progress, duration, job_of, read_done, run_all
from mapl_explore.experiments.plan import Arm, Plan, read_plan
from mapl_explore.experiments.questions import Questions, drawn, read_questions
from mapl_explore.experiments.report import Results, Row, rows_of, write_report
from mapl_explore.files import counted, sole_writer, whole_number
from mapl_explore.notes import note
from mapl_explore.runs.measured import read_measured
from mapl_explore.runs.record import read_run, require_writable

RUNS, REPORTS = "runs", "reports"


@dataclass(frozen=True)
class Comparison:
    """What came of a plan: a row for each arm, the runs that failed, and the folder of the report."""

    rows: list[Row]
    failures: list[Failure]
    folder: Path
    table: str


@dataclass(frozen=True)
class Workbench:
    """A plan with its data, and where its runs lie."""

    plan: Plan
    questions: Questions
    output: Path

    def rate_jobs(self, arm: Arm) -> list[Job]:
        """Return the runs that choose the learning rate of an arm; they never see a question of the report."""
        rates, seeds = self.plan.lr, self.plan.rate_seeds
        return [self._job(arm, lr, seed, self.questions.validation) for lr in rates for seed in seeds]

    def reported_jobs(self, arm: Arm, lr: float) -> list[Job]:
        """Return the runs of an arm that are reported."""
        return [self._job(arm, lr, seed, self.questions.test) for seed in self.plan.seeds]

    def rate(self, arm: Arm) -> float | None:
        """Return the rate with the highest mean on the validation questions, the lowest of equal ones.

        A rate of which a run failed is not chosen; None where there is no other, or the runs are still to be done.
        """
        if len(self.plan.lr) == 1:
            return self.plan.lr[0]
        jobs = self.rate_jobs(arm)
        means = {lr: self._mean([job for job in jobs if job.settings.lr == lr]) for lr in self.plan.lr}
        known = {lr: mean for lr, mean in means.items() if mean is not None}
        return max(known, key=lambda lr: known[lr]) if known else None

    def _mean(self, jobs: Sequence[Job]) -> float | None:
        if not all(job.done for job in jobs):
            return None
        return float(np.mean([read_measured(job.folder)[0][self.plan.measure].mean() for job in jobs]))

    def _job(self, arm: Arm, lr: float, seed: int, held_out: list) -> Job:
        train = drawn(self.questions.train[arm.name], arm, seed)
        return job_of(arm.name, replace(arm.settings, lr=lr, seed=seed), train, held_out, self.output / RUNS)


def compare(
    plan: str | os.PathLike | Mapping[str, Any], *, output: str | os.PathLike, jobs: int = 1, progress: bool = True
) -> Any:
    """Fine-tune the arms of a plan under several seeds, and compare them question by question.

    Every run is a run folder below ``output/runs``, named by a hash of what decides it: a run that is there is not done
    again, so that plans share runs and an interrupted comparison goes on. Half of the held-out prompts choose each
    arm's learning rate, from one grid and under seeds of their own; the others are reported. The report, with a table,
    ``report.json`` and a forest plot, is written below ``output/reports``.

    Parameters
    ----------
    plan : path or mapping
        A TOML file with ``baseline``, ``seeds``, ``lr``, ``[common]`` and ``[arms.NAME]``, or a mapping of this form.
        ``seeds`` is a number or a list. ``[common]`` and the arms have any setting of :func:`mapl_explore.finetune`,
        and ``sets`` and ``noise``: how many training sets are drawn, and the share of them with exchanged sides.
    output : path
        The folder of the comparison, new or that of others.
    jobs : int
        Runs at a time; more than 1 go through joblib.
    progress : bool
        Whether stderr is told of each run.

    Returns
    -------
    pandas.DataFrame
        A row for each arm: its learning rate, seeds, mean, difference to the baseline, each with the ends of its 95 %
        interval (:func:`mapl_explore.experiments.bootstrap.mean_interval`), verdict and cost. A note tells of each run
        that failed.

    Raises
    ------
    ValueError, TypeError, OSError
        If the plan or its data are wrong, before any work.
    ImportError
        If pandas is not installed.

    Examples
    --------
    >>> arms = {"hardest": {"loss": "dpo-hardest"}, "smooth": {"loss": "DPO(pair=Smooth(tau=1.0))"}}
    >>> common = {"data": "sets.jsonl", "verifier": "world"}
    >>> plan = {"baseline": "hardest", "seeds": 8, "lr": [1e-4, 1e-3], "common": common, "arms": arms}
    >>> compare(plan, output="runs/pairs").verdict["smooth"]  # doctest: +SKIP
    'undecided'
    """
    try:
        import pandas
    except ModuleNotFoundError:
        raise ImportError("compare returns a pandas.DataFrame: pip install 'mapl_explore[lab]'") from None
    found = compared(plan, output=output, jobs=jobs, progress=progress)
    for failure in found.failures:
        note(str(failure))
    return pandas.DataFrame([row.as_record for row in found.rows]).set_index("arm")


def compared(
    plan: str | os.PathLike | Mapping[str, Any], *, output: str | os.PathLike, jobs: int = 1, progress: bool = True
) -> Comparison:
    """Return what comes of a plan, see :func:`compare`."""
    at_a_time = whole_number("jobs", jobs, 1)
    bench = workbench(plan, output)
    bench.output.mkdir(parents=True, exist_ok=True)
    with sole_writer(bench.output):
        (bench.output / RUNS).mkdir(exist_ok=True)
        shown = Progress(len(_missing(bench)), progress)
        failures = run_all(_rate_jobs(bench), at_a_time, shown)
        rates = {arm.name: bench.rate(arm) for arm in bench.plan.arms}
        reported = {arm.name: bench.reported_jobs(arm, lr) for arm in bench.plan.arms if (lr := rates[arm.name])}
        failures += run_all([job for some in reported.values() for job in some], at_a_time, shown)
        return _reported(bench, rates, reported, failures)


def workbench(plan: str | os.PathLike | Mapping[str, Any], output: str | os.PathLike) -> Workbench:
    """Read and check a plan and its data; nothing is written."""
    read = read_plan(plan)
    require_writable(output)
    return Workbench(read, read_questions(read), Path(output))


def outlook(bench: Workbench, jobs: int) -> str:
    """Return how many runs a comparison has, how many of them are there, and what the others need, for people."""
    total, missing = len(_all_jobs(bench)), len(_missing(bench))
    known = [read_done(path.parent) for path in (bench.output / RUNS).glob("*/done.json")]
    seconds = [one.seconds for one in known if one.seconds is not None]
    time = duration(float(np.mean(seconds)) * missing / jobs) if seconds else "unknown until a run is done"
    disk = f"{np.mean([one.bytes for one in known]) * missing / 1e6:.0f} MB" if known else "unknown until a run is done"
    text = f"{counted(total, 'run')}, of which {total - missing} are there and {missing} are to be done"
    return f"{text}\ntime: {time if missing else 'none'}\ndisk: {disk if missing else 'none'}"


def _all_jobs(bench: Workbench) -> list[Job]:
    """Return every run; where a rate is not chosen yet, the lowest stands for it in runs that are still to be done."""
    some = [bench.reported_jobs(arm, bench.rate(arm) or bench.plan.lr[0]) for arm in bench.plan.arms]
    found = [*_rate_jobs(bench), *(job for jobs in some for job in jobs)]
    return list({job.folder: job for job in found}.values())


def _missing(bench: Workbench) -> list[Job]:
    return [job for job in _all_jobs(bench) if not job.done]


def _rate_jobs(bench: Workbench) -> list[Job]:
    return [job for arm in bench.plan.arms for job in bench.rate_jobs(arm)]


def _reported(
    bench: Workbench, rates: Mapping[str, float | None], jobs: Mapping[str, list[Job]], failures: list[Failure]
) -> Comparison:
    """Write the report of the runs that are done, and return it."""
    results = [_results(bench, arm, rates[arm.name], jobs.get(arm.name, [])) for arm in bench.plan.arms]
    _require_same_weights(bench, jobs)
    rows = rows_of(results, bench.plan.baseline)
    folder = bench.output / REPORTS / bench.plan.name
    folder.mkdir(parents=True, exist_ok=True)
    table = write_report(folder, bench.plan, rows, [str(one) for one in failures])
    return Comparison(rows, failures, folder, table)


def _results(bench: Workbench, arm: Arm, lr: float | None, jobs: Sequence[Job]) -> Results:
    done = [job for job in jobs if job.done]
    measured = [read_measured(job.folder) for job in done]
    values = {job.settings.seed: found[bench.plan.measure] for job, (found, _) in zip(done, measured, strict=True)}
    steps = [read_run(job.folder).log[-1]["step"] for job in done]
    known: list[Done] = [read_done(job.folder) for job in done]
    seconds = [one.seconds for one in known if one.seconds is not None]
    return Results(
        arm=arm.name,
        loss=repr(arm.settings.loss),
        lr=lr,
        values=values,
        asked=len(bench.plan.seeds),
        steps=_mean(steps),
        response_tokens=_mean([tokens for _, tokens in measured]),
        seconds=_mean(seconds),
        runs=[job.folder.name for job in done],
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _require_same_weights(bench: Workbench, jobs: Mapping[str, list[Job]]) -> None:
    """Raise where a model has changed under its name between runs."""
    first: dict[str, tuple[str | None, Path]] = {}
    for job in (job for some in jobs.values() for job in some if job.done):
        checksum = read_run(job.folder).weights_checksum
        known, folder = first.setdefault(str(job.settings.model), (checksum, job.folder))
        if known != checksum:
            both = f"{folder} and {job.folder}"
            raise RuntimeError(f"model {job.settings.model!r} had other weights in some runs: see {both}")
