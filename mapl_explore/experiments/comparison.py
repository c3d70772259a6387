"""The course of a comparison: learning rates first, then the runs that are reported, then the report."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mapl_explore.experiments.claims import OTHERS
from mapl_explore.experiments.jobs import Done, Failure, Job, Progress, job_of, read_done, run_all
from mapl_explore.experiments.plan import Arm, Plan, read_plan
from mapl_explore.experiments.questions import Questions, drawn, read_questions
from mapl_explore.experiments.reaching import Found
from mapl_explore.experiments.report import Results, Row, write_report
from mapl_explore.files import sole_writer, whole_number
from mapl_explore.notes import note
from mapl_explore.runs.measured import SAMPLES, read_measured
from mapl_explore.runs.record import Run, read_run
from mapl_explore.runs.run_folder import require_writable

RUNS, REPORTS = "runs", "reports"


@dataclass(frozen=True)
class Comparison:
    """What came of a plan: a row for each arm in each cell, the runs that failed, and the folder of the report."""

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
        quiet = replace(arm, settings=replace(arm.settings, answer_at=()))  # only the end of a run chooses
        return [self._job(quiet, lr, seed, self.questions.validation) for lr in rates for seed in seeds]

    def reported_jobs(self, arm: Arm, lr: float) -> list[Job]:
        """Return the runs of an arm that are reported."""
        return [self._job(arm, lr, seed, self.questions.test) for seed in self.plan.seeds]

    @property
    def all_rate_jobs(self) -> list[Job]:
        """Return the runs that choose the learning rates of all arms."""
        return [job for arm in self.plan.arms for job in self.rate_jobs(arm)]

    @property
    def all_jobs(self) -> list[Job]:
        """Return every run once; where a rate is not chosen yet, the lowest stands for it."""
        some = [self.reported_jobs(arm, self.rate(arm) or self.plan.lr[0]) for arm in self.plan.arms]
        found = [*self.all_rate_jobs, *(job for jobs in some for job in jobs)]
        return list({job.folder: job for job in found}.values())

    @property
    def missing(self) -> list[Job]:
        """Return the runs that are still to be done."""
        return [job for job in self.all_jobs if not job.done]

    def rate(self, arm: Arm) -> float | None:
        """Return the rate with the highest mean on the validation questions, the lowest of equal ones.

        A rate of which a run failed is not chosen; None where there is no other, or the runs are still to be done.
        """
        if len(self.plan.lr) == 1:
            return self.plan.lr[0]
        known = self.tried(arm)
        return max(known, key=lambda lr: np.mean(known[lr])) if known else None

    def tried(self, arm: Arm) -> dict[float, np.ndarray]:
        """Return what each rate of an arm gives (seeds, validation questions), where all its runs are done."""
        jobs = self.rate_jobs(arm)
        by_rate = {lr: [job for job in jobs if job.settings.lr == lr] for lr in self.plan.lr}
        done = {lr: some for lr, some in by_rate.items() if some and all(job.done for job in some)}
        return {lr: np.array([self._measured(job) for job in some]) for lr, some in done.items()}

    def _measured(self, job: Job) -> np.ndarray:
        return read_measured(job.folder)[0][self.plan.measure]

    def _job(self, arm: Arm, lr: float, seed: int, held_out: list) -> Job:
        train = drawn(self.questions.train[str(arm.settings.data)], arm, seed)
        settings, runs = replace(arm.settings, lr=lr, seed=seed), self.output / RUNS
        return job_of(arm.title, settings, train, held_out, runs, arm.sampling)


def compare(
    plan: str | os.PathLike | Mapping[str, Any],
    *,
    output: str | os.PathLike,
    jobs: int = 1,
    device: str | None = None,
    batch_size: int | None = None,
    progress: bool = True,
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
        and ``sets``, ``noise`` and ``exploded``: how many training sets are drawn, the share of them with exchanged
        sides, and whether each is taken apart into all its pairs.
        An arm with ``rounds`` is trained by :func:`mapl_explore.rounds`: ``prompts`` is how many are drawn, and it may
        have ``k``, ``temperature`` and ``max_tokens``.
        ``[grid]`` has a list of values for some of what an arm may have: every arm is run in every cell, the product
        of the lists, with a learning rate of its own there, and compared with the baseline in the same cell.
    output : path
        The folder of the comparison, new or that of others.
    jobs : int
        Runs at a time; more than 1 go through joblib.
    device, batch_size : optional
        Where all runs compute, and how many sets in one pass, see :func:`mapl_explore.finetune`, in place of what the
        plan says.
    progress : bool
        Whether stderr is told of each run.

    Returns
    -------
    pandas.DataFrame
        A row for each arm in each cell of the grid, whose factors are columns: its learning rate, seeds, mean,
        difference to the baseline, each with the ends of its 95 % interval
        (:func:`mapl_explore.experiments.bootstrap.mean_interval`), verdict and cost. With ``answer_at``, also
        ``sets_to_80`` with its interval (:mod:`mapl_explore.experiments.reaching`), infinite beyond the last of these
        steps, and ``kl_at_80``, the KL to the base there, then unknown. A note tells of each run that failed.

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
    found = compared(plan, output=output, jobs=jobs, device=device, batch_size=batch_size, progress=progress)
    for failure in found.failures:
        note(str(failure))
    return pandas.DataFrame([row.as_record for row in found.rows]).set_index("arm")


def compared(
    plan: str | os.PathLike | Mapping[str, Any],
    *,
    output: str | os.PathLike,
    jobs: int = 1,
    progress: bool = True,
    **place: Any,
) -> Comparison:
    """Return what comes of a plan, see :func:`compare`."""
    at_a_time = whole_number("jobs", jobs, 1)
    bench = workbench(plan, output, **place)
    bench.output.mkdir(parents=True, exist_ok=True)
    with sole_writer(bench.output):
        (bench.output / RUNS).mkdir(exist_ok=True)
        shown = Progress(len(bench.missing), progress)
        failures = run_all(bench.all_rate_jobs, at_a_time, shown)
        rates = [bench.rate(arm) for arm in bench.plan.arms]
        reported = [bench.reported_jobs(arm, lr) if lr else [] for arm, lr in zip(bench.plan.arms, rates, strict=True)]
        failures += run_all([job for some in reported for job in some], at_a_time, shown)
        return _reported(bench, rates, reported, failures)


def workbench(plan: str | os.PathLike | Mapping[str, Any], output: str | os.PathLike, **place: Any) -> Workbench:
    """Read and check a plan and its data, for this device and this batch size; nothing is written."""
    read, given = read_plan(plan), {name: value for name, value in place.items() if value is not None}
    arms = tuple(replace(arm, settings=replace(arm.settings, **given)) for arm in read.arms)
    read = replace(read, arms=arms)
    require_writable(output)
    bench = Workbench(read, read_questions(read), Path(output))
    _require_models(bench.missing)
    return bench


def _require_models(jobs: Sequence[Job]) -> None:
    """Raise OSError where a model that these jobs begin with cannot be read: each of them would fail for it."""
    names = {str(job.settings.model) for job in jobs}
    names |= {str(job.settings.reference) for job in jobs if job.settings.reference and not job.sampling}
    if names:
        from mapl_explore.models.loading import load_outline  # 2 s for a plan of which every run is there

        for name in sorted(names):
            load_outline(name)


def _reported(
    bench: Workbench, rates: Sequence[float | None], jobs: Sequence[list[Job]], failures: list[Failure]
) -> Comparison:
    """Write the report of the runs that are done, and return it."""
    done = [[job for job in some if job.done] for some in jobs]
    _require_same_weights(done)
    results = [_results(bench, *one) for one in zip(bench.plan.arms, rates, done, strict=True)]
    folder = bench.output / REPORTS / bench.plan.name
    folder.mkdir(parents=True, exist_ok=True)
    rows, table = write_report(folder, bench.plan, results, [str(one) for one in failures], _versions(done))
    return Comparison(rows, failures, folder, table)


def _results(bench: Workbench, arm: Arm, lr: float | None, done: Sequence[Job]) -> Results:
    measured, found = [read_measured(job.folder) for job in done], found_in(done)
    steps = [read_run(job.folder).log[-1]["step"] for job in done]
    known: list[Done] = [read_done(job.folder) for job in done]
    seconds = [one.seconds for one in known if one.seconds is not None]
    return Results(
        arm=arm.name,
        cell=arm.cell,
        loss=repr(arm.settings.loss),
        lr=lr,
        found=found,
        asked=len(bench.plan.seeds),
        steps=_mean(steps),
        response_tokens=_mean([tokens for _, tokens in measured]),
        seconds=_mean(seconds),
        samples=_mean([float(found[SAMPLES]) for found, _ in measured if SAMPLES in found]),
        runs=[job.folder.name for job in done],
        tried={f"{rate:g}": values for rate, values in bench.tried(arm).items()},
    )


def found_in(jobs: Sequence[Job]) -> Found:
    """Return what the runs of an arm have measured, by seed: at their end, and over the training, one number a run."""
    return {job.settings.seed: read_measured(job.folder)[0] | _along(read_run(job.folder)) for job in jobs}


def _along(run: Run) -> dict[str, np.ndarray]:
    return {} if run.others is None else {OTHERS: np.array([run.others])}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _versions(done: Sequence[list[Job]]) -> dict[str, str]:
    """Return the versions of all runs; where they differ, each one."""
    found: dict[str, set[str]] = {}
    for job in (job for some in done for job in some):
        for name, version in read_run(job.folder).versions.items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(some)) for name, some in found.items()}


def _require_same_weights(done: Sequence[list[Job]]) -> None:
    """Raise where a model has changed under its name between runs."""
    first: dict[str, tuple[str | None, Path]] = {}
    for job in (job for some in done for job in some):
        checksum = read_run(job.folder).weights_checksum
        known, folder = first.setdefault(str(job.settings.model), (checksum, job.folder))
        if known != checksum:
            both = f"{folder} and {job.folder}"
            raise RuntimeError(f"model {job.settings.model!r} had other weights in some runs: see {both}")
