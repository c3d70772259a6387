"""Several processes of a launch: where each computes, how they wait, and how they share and gather work."""

import contextlib
import datetime
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from mapl_explore.files import shortened, sole_writer
from mapl_explore.launch import is_first, launched
from mapl_explore.models.choices import DEVICES

PATIENCE = datetime.timedelta(days=30)  # one process may have longer responses to sample than another
WorkT = TypeVar("WorkT")


class Processes(NamedTuple):
    """Which process this is, of how many, where it computes, and what waits for the others."""

    number: int
    total: int
    device: str | torch.device
    wait: Callable[[], None]


_joined: list[Processes] = []


def require_device(device: object) -> None:
    """Raise unless a device is "auto", "cpu", or "cuda" on a machine that has one."""
    if not isinstance(device, str) or device not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(map(repr, DEVICES))}, not {shortened(device)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device must be 'auto' or 'cpu' here, not 'cuda': torch finds no CUDA GPU")


@contextlib.contextmanager
def processes_of(device: str) -> Iterator[Processes]:
    """Yield which process this is; the outermost block of several processes ends their group as all leave it."""
    if launched() == (0, 1):
        if "WORLD_SIZE" in os.environ:
            os.environ["WORLD_SIZE"] = "1"  # accelerate fails on one that is no number
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        yield Processes(0, 1, device, lambda: None)
    elif _joined:  # a group that has ended cannot be made again
        yield _joined[-1]
    else:
        yield from _group(device)


def _group(device: str) -> Iterator[Processes]:
    # Unless it is told, accelerate looks for a GPU, and where it finds none each process believes that it is alone.
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    state = PartialState(cpu=on_cpu, timeout=PATIENCE)
    _joined.append(Processes(state.process_index, state.num_processes, state.device, state.wait_for_everyone))
    try:
        yield _joined[-1]
    finally:
        _joined.clear()
    state.wait_for_everyone()
    state.destroy_process_group()


@contextlib.contextmanager
def reserved(path: str | os.PathLike) -> Iterator[None]:
    """Keep other launches from writing to a file or a folder; of several processes the first one holds it."""
    with sole_writer(path) if is_first() else contextlib.nullcontext():
        yield


def my_share(work: Iterable[WorkT], costs: Sequence[float]) -> list[WorkT]:
    """Return this process's part of some work: each item goes to the process that has the least until then.

    Every process must ask for the same work. The items are not divided: what is computed together in one process is
    so in several, to the same bits.
    """
    number, total = launched()
    loads, mine = [0.0] * total, []
    for item, cost in zip(work, costs, strict=True):
        least = loads.index(min(loads))
        loads[least] += cost
        mine += [item] * (least == number)
    return mine


def gathered(found: list[WorkT]) -> list[WorkT]:
    """Return what all processes have found, to each of them."""
    return found if launched()[1] == 1 else gather_object(found)


def told_by_first(value: Any) -> Any:
    """Return the value that the first process has, to each of them."""
    return value if launched()[1] == 1 else broadcast_object_list([value])[0]
