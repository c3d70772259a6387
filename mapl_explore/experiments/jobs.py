"""The runs of a comparison: folders named by what decides them, done once, some at a time, each failing alone."""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mapl_explore.data import PreferenceSet
from mapl_explore.experiments.round_jobs import run_rounds
from mapl_explore.files import atomic_writer, sole_writer
from mapl_explore.runs.record import HELD_OUT, RECORD, REFERENCE, ROUNDS, fingerprint
from mapl_explore.training.settings import Settings

BASES = "bases"  # next to the runs: what their bases make of the data, computed by the first one that needs it
DONE = "done.json"  # written last: a run folder without it is gone on with
ONLY_TO_GO_ON = ("checkpoints", REFERENCE, HELD_OUT)  # removed from a run that is done


@dataclass(frozen=True)
class Job:
    """One run of a comparison.

    Parameters
    ----------
    arm : str
        The name of its arm.
    settings : Settings
        With its seed, its learning rate, its data as they were drawn, and its folder.
    sampling : dict
        How each round samples, with the number of rounds; nothing where it is one training.
    """

    arm: str
    settings: Settings = field(repr=False)
    sampling: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def folder(self) -> Path:
        """Return the run folder."""
        return Path(self.settings.output)

    @property
    def done(self) -> bool:
        """Return whether the run is there, whole."""
        return (self.folder / DONE).exists()

    @property
    def title(self) -> str:
        """Return the job, for people."""
        return f"{self.arm}, lr {self.settings.lr:g}, seed {self.settings.seed}"


@dataclass(frozen=True)
class Failure:
    """A run that failed, and why, in one line."""

    job: Job
    reason: str

    def __str__(self) -> str:
        """Return the line that tells it."""
        return f"{self.job.title} failed: {self.reason} ({self.job.folder})"


@dataclass(frozen=True)
class Done:
    """What ``done.json`` says: seconds, None for a run that was interrupted on its way, and bytes of its folder."""

    seconds: float | None
    bytes: int


def job_of(
    arm: str,
    settings: Settings,
    train: Sequence[PreferenceSet],
    held_out: Sequence[PreferenceSet],
    runs: Path,
    sampling: Mapping[str, Any] | None = None,
) -> Job:
    """Return the job of settings and data; two that agree in all that decides the result have one folder below runs."""
    data = {"train": fingerprint(train), "eval": fingerprint(held_out)}
    sampling = sampling or {}
    decisive = {"loss": repr(settings.loss), **settings.decisive, **sampling, "data": data}
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    return Job(arm, replace(settings, data=list(train), eval=list(held_out), output=runs / digest[:16]), sampling)


def run_all(jobs: Sequence[Job], at_a_time: int, progress: "Progress") -> list[Failure]:
    """Do the jobs that are not done yet, some at a time, and return those that failed.

    One alone is done in this process; several go through joblib, whose other backends reach other machines.
    """
    missing = list({job.folder: job for job in jobs if not job.done}.values())
    outcomes = _outcomes(missing, at_a_time)
    return [outcome for outcome in progress.of(outcomes) if isinstance(outcome, Failure)]


def read_done(folder: Path) -> Done:
    """Return what is known of a run that is done."""
    return Done(**json.loads((folder / DONE).read_text(encoding="utf-8")))


def _outcomes(jobs: Sequence[Job], at_a_time: int) -> Iterable[Job | Failure]:
    if at_a_time == 1:
        return map(outcome_of, jobs)
    import joblib

    parallel = joblib.Parallel(n_jobs=at_a_time, return_as="generator_unordered")
    return parallel(joblib.delayed(outcome_of)(job) for job in jobs)


def outcome_of(job: Job) -> Job | Failure:
    """Do one job, from where it was interrupted, and return it, or its failure."""
    start = time.perf_counter()
    try:
        begun = _begun(job)
        _run(replace(job.settings, resume=begun), job.sampling)
        _settle(job.folder, None if begun else time.perf_counter() - start)
    except Exception as error:  # one arm's fault must not end the others
        return Failure(job, " ".join(str(error).split()) or type(error).__name__)
    return job


def _begun(job: Job) -> bool:
    """Return whether a job was begun; what was killed before its record is no run yet, and is removed."""
    begun = (job.folder / (ROUNDS if job.sampling else RECORD)).exists()
    if not begun:
        with sole_writer(job.folder):  # a worker whose comparison was killed may still be at it
            shutil.rmtree(job.folder, ignore_errors=True)
    return begun


def _run(settings: Settings, sampling: Mapping[str, Any]) -> None:
    if sampling:
        run_rounds(settings, sampling)
        return
    from mapl_explore.training.finetuning import finetune
    from mapl_explore.training.kept import shared_in

    with shared_in(Path(settings.output).parents[1] / BASES):
        finetune(settings)


def _settle(folder: Path, seconds: float | None) -> None:
    """Remove what only an interrupted run needs, and write that the run is done."""
    for path in (path for name in ONLY_TO_GO_ON for path in (folder / name, *folder.glob(f"round-*/{name}"))):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    with atomic_writer(folder / DONE) as file:
        json.dump({"seconds": seconds, "bytes": size}, file)


class Progress:
    """Tell on stderr which run is done, of how many, and how long the others may take.

    Parameters
    ----------
    total : int
        The runs that are to be done, where all is known.
    shown : bool
        Whether anything is told.
    """

    def __init__(self, total: int, shown: bool):
        self.total, self.shown, self.number, self.start = total, shown, 0, time.monotonic()

    def of(self, outcomes: Iterable[Job | Failure]) -> Iterator[Job | Failure]:
        """Hand on the outcomes, and tell of each."""
        for outcome in outcomes:
            self.number += 1
            if self.shown:
                print(self._line(outcome), file=sys.stderr, flush=True)
            yield outcome

    def _line(self, outcome: Job | Failure) -> str:
        left = (time.monotonic() - self.start) / self.number * max(self.total - self.number, 0)
        what = str(outcome) if isinstance(outcome, Failure) else outcome.title
        return f"run {self.number} of {self.total}: {what}; {duration(left)} left"


def duration(seconds: float) -> str:
    """Return a time for people, in whole units.

    >>> duration(42.3), duration(400), duration(9000)
    ('42 s', '7 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
