"""Which process this is, of how many, where it computes, and how it waits for the others."""

import contextlib
import datetime
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from accelerate import PartialState

from mapl_explore.files import shortened
from mapl_explore.models.choices import DEVICES

PATIENCE = datetime.timedelta(days=30)  # one process may have longer responses to sample than another


class Processes(NamedTuple):
    """Which process this is, of how many, where it computes, and what waits for the others."""

    number: int
    total: int
    device: str | torch.device
    wait: Callable[[], None]


def launched() -> tuple[int, int]:
    """Return which process this is, of how many, as a launcher says it; (0, 1) without one."""
    try:
        number, count = int(os.environ.get("RANK", "0")), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return 0, 1
    return (number, count) if count > 1 else (0, 1)


def require_device(device: object) -> None:
    """Raise unless a device is "auto", "cpu", or "cuda" on a machine that has one."""
    if not isinstance(device, str) or device not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(map(repr, DEVICES))}, not {shortened(device)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device must be 'auto' or 'cpu' here, not 'cuda': torch finds no CUDA GPU")


@contextlib.contextmanager
def processes_of(device: str) -> Iterator[Processes]:
    """Yield which process this is; afterwards the group of several processes is ended."""
    if launched() == (0, 1):
        if "WORLD_SIZE" in os.environ:
            os.environ["WORLD_SIZE"] = "1"  # accelerate fails on one that is no number
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        yield Processes(0, 1, device, lambda: None)
        return
    # Unless it is told, accelerate looks for a GPU, and where it finds none each process believes that it is alone.
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    state = PartialState(cpu=on_cpu, timeout=PATIENCE)
    yield Processes(state.process_index, state.num_processes, state.device, state.wait_for_everyone)
    state.wait_for_everyone()
    state.destroy_process_group()
