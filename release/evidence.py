"""Whether recorded results come again, with a few seeds: what each claim of experiments/ stands on, and nothing else.

``python release/evidence.py --seeds 3`` runs the arm of each claim and its baseline again, at their recorded learning
rates, in a folder that is thrown away. It prints a line for each claim, and ends with 1 if the interval of a difference
does not overlap the recorded one. A claim on shares of the variance stands on all runs of its plan and is passed over.
"""

import argparse
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from mapl_explore.experiments.claims import BASE, Claim
from mapl_explore.experiments.comparison import Workbench, found_in, workbench
from mapl_explore.experiments.jobs import Job, Progress, run_all
from mapl_explore.experiments.ledger import plans_in, result_of
from mapl_explore.experiments.reaching import Found
from mapl_explore.experiments.report import contrast, with_interval
from mapl_explore.experiments.shares import VARIANCE

ROOT = Path(__file__).parents[1]
TINY = "tiny"


class Again(NamedTuple):
    """A difference as it was recorded, and as it came again; each a mean with the ends of its interval."""

    title: str
    recorded: tuple[float, float, float]
    found: tuple[float, float, float]

    @property
    def agrees(self) -> bool:
        """Return whether the two intervals overlap."""
        return self.recorded[1] <= self.found[2] and self.found[1] <= self.recorded[2]

    def __str__(self) -> str:
        """Return the line that tells it."""
        old, new = (with_interval(mean, (low, high), "+") for mean, low, high in (self.recorded, self.found))
        return f"{self.title}: recorded {old}, now {new}{'' if self.agrees else ': THEY DO NOT OVERLAP'}"


def again(path: Path, folder: Path, seeds: int) -> Iterator[Again]:
    """Run again what the claims of a plan stand on; nothing for a plan that has no result yet."""
    bench = workbench(path, folder)
    result = result_of(path, bench.plan)
    for claim in (one for one in bench.plan.claims if result and one.rule.measure != VARIANCE):
        known = result["claims"][claim.id]
        rates = {(one["arm"], str(one["cell"])): one["lr"] for one in result["arms"]}
        pair = [_jobs(bench, name, claim, rates, seeds) for name in (claim.rule.arm, claim.rule.than) if name != BASE]
        one, *other = map(_found, pair)
        now = contrast(one, other[0] if other else None, claim.rule.measure)
        ends = [_ends(each["difference"], each["difference_interval"]) for each in (known, asdict(now))]
        yield Again(f"{path.stem}, {claim.id}", *ends)


def _jobs(bench: Workbench, name: str, claim: Claim, rates: dict, seeds: int) -> list[Job]:
    arm = next(one for one in bench.plan.arms if (one.name, one.cell) == (name, claim.rule.cell))
    return bench.reported_jobs(arm, rates[name, str(arm.cell)])[:seeds]


def _found(jobs: Sequence[Job]) -> Found:
    """Do what is not done, and return what was measured, by seed."""
    failures = run_all(jobs, 1, Progress(len(jobs), True))
    if failures:
        raise RuntimeError(str(failures[0]))
    return found_in(jobs)


def _ends(mean: float, interval: Sequence[float] | None) -> tuple[float, float, float]:
    return (mean, *(interval or (mean, mean)))


def has_model(path: Path) -> bool:
    """Return whether the model of a plan is at hand; say so where it is not."""
    model = tomllib.loads(path.read_text(encoding="utf-8"))["common"].get("model", TINY)
    if model != TINY and not (ROOT / model).exists():
        print(f"{path.stem} is passed over: there is no {model}")
        return False
    return True


def main() -> int:
    """Print what came again, and return 1 if something did not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many of the recorded seeds")
    with tempfile.TemporaryDirectory() as folder:
        seeds = parser.parse_args().seeds
        plans = [path for path in plans_in(ROOT / "experiments") if has_model(path)]
        found = [one for path in plans for one in again(path, Path(folder), seeds)]
    print("\n".join(map(str, found)) if found else "no claim has a recorded result yet: there is nothing to compare")
    return int(not all(one.agrees for one in found))


if __name__ == "__main__":
    sys.exit(main())
