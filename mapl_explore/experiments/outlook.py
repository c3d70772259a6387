"""What a comparison still needs, said before it is done: runs, time, disk."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from mapl_explore.data import PreferenceSet
from mapl_explore.experiments.comparison import RUNS, Workbench
from mapl_explore.experiments.jobs import DONE, Done, Job, duration, read_done
from mapl_explore.experiments.round_jobs import SAMPLING
from mapl_explore.files import counted
from mapl_explore.runs.record import UNSAID, Run, read_run

# What the time and the disk of a run depend on; the loss changes them little, next to the passes through the model.
COSTS = (
    *("model", "reference", "sets_per_step", "precision", "max_length", "answer_tokens", "answer_at"),
    *("lora", "training"),
)
ALIKE = 1.5  # the halves of the held-out prompts, which choose the rate and are reported, may differ by one


class Size(NamedTuple):
    """What the cost of a run depends on: settings as text, held-out sets, and how many of them get a response."""

    kind: str
    held_out: int
    asked: int

    def is_like(self, other: "Size") -> bool:
        """Return whether the cost of one tells that of the other."""
        pairs = ((self.held_out, other.held_out), (self.asked, other.asked))
        return self.kind == other.kind and all(max(pair) <= ALIKE * min(pair) for pair in pairs)


Known = Sequence[tuple[Size, float]]


def outlook(bench: Workbench, jobs: int) -> str:
    """Return how many runs a comparison has, how many of them are there, and what the others need, for people.

    Time and disk are those of runs of the same size, of any plan, that are done in the same folder; nothing is
    guessed of others.
    """
    total, missing = len(bench.all_jobs), bench.missing
    text = f"{counted(total, 'run')}, of which {total - len(missing)} are there and {len(missing)} are to be done"
    if not missing:
        return f"{text}\ntime: none\ndisk: none"
    done = list(_done_before(bench.output / RUNS))
    sizes = Counter(map(_size_of_job, missing))
    seconds, untimed = _sum(sizes, [(size, one.seconds) for size, one in done if one.seconds is not None])
    bytes_, unsized = _sum(sizes, [(size, one.bytes) for size, one in done])
    time, disk = duration(seconds / jobs), f"{bytes_ / 1e6:.0f} MB"
    return f"{text}\ntime: {_told(time, untimed, len(missing))}\ndisk: {_told(disk, unsized, len(missing))}"


def _told(text: str, unknown: int, missing: int) -> str:
    """Return a sum over the runs to be done, and of how many it is not known."""
    if unknown == missing:
        return "unknown: no run of this size is done in this folder; one will tell"
    rest = f" for {missing - unknown} of them; unknown for {unknown} until one of their size is done"
    return f"about {text}{rest if unknown else ''}"


def _sum(sizes: Mapping[Size, int], known: Known) -> tuple[float, int]:
    """Return the sum over runs of these sizes, by the mean of those that are known, and how many have none."""
    found = {size: [value for other, value in known if size.is_like(other)] for size in sizes}
    total = sum(count * sum(found[size]) / len(found[size]) for size, count in sizes.items() if found[size])
    return total, sum(count for size, count in sizes.items() if not found[size])


def _done_before(runs: Path) -> Iterator[tuple[Size, Done]]:
    for path in runs.glob(f"*/{DONE}"):
        yield _size_of_run(read_run(path.parent)), read_done(path.parent)


def _size_of_job(job: Job) -> Size:
    train, held_out = (cast(list[PreferenceSet], one) for one in (job.settings.data, job.settings.eval))
    return _size({**UNSAID, **job.settings.decisive, **job.sampling}, len(train), len(held_out))


def _size_of_run(run: Run) -> Size:
    return _size(UNSAID | run.arguments, run.data["train"]["sets"], run.data["eval"]["sets"])


def _size(arguments: Mapping[str, Any], train: int, held_out: int) -> Size:
    steps, epochs = arguments["steps"], arguments["epochs"]
    updates = steps if epochs is None else math.ceil(epochs * train / arguments["sets_per_step"])
    costs = {"updates": updates, **{name: arguments[name] for name in COSTS}}
    costs |= {name: arguments.get(name) for name in SAMPLING}
    return Size(json.dumps(costs, sort_keys=True, default=str), held_out, min(arguments["answers"], held_out))
