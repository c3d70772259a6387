"""Whether recorded results come again, with a few seeds: what the first claim of each plan of experiments/ stands on.

``python release/evidence.py --seeds 3`` runs the arm of this claim and the other one again, at their recorded learning
rates, in a folder that is thrown away; with ``--every`` those of all claims. It prints a line for each, and ends with 1
if the interval of a difference does not overlap the recorded one. A claim on shares of the variance stands on all runs
of its plan and is passed over, and so is a plan of another model, whose runs take hours, without ``--every``.
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


class Asked(NamedTuple):
    """A claim with what was recorded of it, and the runs that it stands on: those of its arm, and of the other one."""

    title: str
    claim: Claim
    recorded: dict
    jobs: list[list[Job]]

    def answered(self) -> Again:
        """Return what came of the runs, which are done."""
        one, *other = map(found_in, self.jobs)
        now = contrast(one, other[0] if other else None, self.claim.rule.measure)
        ends = [_ends(each["difference"], each["difference_interval"]) for each in (self.recorded, asdict(now))]
        return Again(self.title, *ends)


def again(paths: Sequence[Path], folder: Path, seeds: int, *, every: bool = True, jobs: int = 1) -> list[Again]:
    """Run again what the claims of plans stand on; nothing for a plan that has no result yet."""
    asked = [one for path in paths for one in _asked(path, folder, seeds, every)]
    needed = list({job.folder: job for one in asked for some in one.jobs for job in some}.values())
    failures = run_all(needed, jobs, Progress(len(needed), True))
    if failures:
        raise RuntimeError(str(failures[0]))
    return [one.answered() for one in asked]


def _asked(path: Path, folder: Path, seeds: int, every: bool) -> Iterator[Asked]:
    bench = workbench(path, folder)
    result = result_of(path, bench.plan)
    claims = [one for one in bench.plan.claims if one.rule.measure != VARIANCE] if result else []
    for claim in claims if every else claims[:1]:
        rates = {(one["arm"], str(one["cell"])): one["lr"] for one in result["arms"]}
        pair = [_jobs(bench, name, claim, rates, seeds) for name in (claim.rule.arm, claim.rule.than) if name != BASE]
        yield Asked(f"{path.stem}, {claim.id}", claim, result["claims"][claim.id], pair)


def _jobs(bench: Workbench, name: str, claim: Claim, rates: dict, seeds: int) -> list[Job]:
    arm = next(one for one in bench.plan.arms if (one.name, one.cell) == (name, claim.rule.cell))
    return bench.reported_jobs(arm, rates[name, str(arm.cell)])[:seeds]


def _ends(mean: float, interval: Sequence[float] | None) -> tuple[float, float, float]:
    return (mean, *(interval or (mean, mean)))


def takes_part(path: Path, every: bool) -> bool:
    """Return whether a plan is run again; say so where it is not, though it has claims."""
    model = tomllib.loads(path.read_text(encoding="utf-8"))["common"].get("model", TINY)
    if model == TINY:
        return True
    why = "its runs take hours, and --every has them" if not every else f"there is no {model}"
    if not every or not (ROOT / model).exists():
        print(f"{path.stem} is passed over: {why}")
        return False
    return True


def main() -> int:
    """Print what came again, and return 1 if something did not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many of the recorded seeds")
    parser.add_argument("--every", action="store_true", help="all claims, not the first of each plan")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plans = [path for path in plans_in(ROOT / "experiments") if takes_part(path, asked.every)]
        found = again(plans, Path(folder), asked.seeds, every=asked.every, jobs=asked.jobs)
    print("\n".join(map(str, found)) if found else "no claim has a recorded result yet: there is nothing to compare")
    return int(not all(one.agrees for one in found))


if __name__ == "__main__":
    sys.exit(main())
