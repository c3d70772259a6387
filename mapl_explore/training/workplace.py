"""Where a run works: its folder, held against other runs; the device; and which process this is, of how many."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from mapl_explore.files import sole_writer
from mapl_explore.launch import first_heard
from mapl_explore.models.processes import processes_of, require_device
from mapl_explore.runs.run_folder import require_writable, way_on
from mapl_explore.training.disk import disk_errors
from mapl_explore.training.settings import Settings


@dataclass(frozen=True)
class Workplace:
    """Where a run works.

    Parameters
    ----------
    folder : Path
        The run folder.
    device : str or torch.device
        Where this process computes.
    process, processes : int
        Which process this is, of how many; only the first one writes.
    wait : function
        Returns once all processes have called it.
    """

    folder: Path
    device: str | torch.device
    process: int
    processes: int
    wait: Callable[[], None]

    @property
    def first(self) -> bool:
        """Return whether this process is the one that writes."""
        return self.process == 0

    @property
    def on_cpu(self) -> bool:
        """Return whether the CPU computes."""
        return torch.device(self.device).type == "cpu"


@contextlib.contextmanager
def workplace(settings: Settings) -> Iterator[Workplace]:
    """Hold the run folder while the block runs; a full disk then is one error, and only the first process prints."""
    folder = Path(settings.output)
    require_device(settings.device)
    with (
        disk_errors(folder, lambda: _when_there_is_room(folder)),
        processes_of(settings.device) as (process, processes, device, wait),
        first_heard(),
        _held(folder, process),
    ):
        yield Workplace(folder, device, process, processes, wait)


@contextlib.contextmanager
def _held(folder: Path, process: int) -> Iterator[None]:
    """Hold the run folder against other runs, and leave no folder behind that nothing was written into."""
    require_writable(folder)
    if process:  # of several the first one holds it; where it is refused, they all end
        yield
        return
    parent = folder.absolute().parent
    made = not parent.exists()
    try:
        with sole_writer(folder):
            yield
    finally:
        if made:
            with contextlib.suppress(OSError):
                parent.rmdir()


def _when_there_is_room(folder: Path) -> str:
    way = way_on(folder)
    return way and f"; when there is room, {way}"
