"""Which process of a launch (``torchrun``, ``accelerate launch``) this is, of how many, and which speaks for all."""

import contextlib
import datetime
import os
import sys
from collections.abc import Iterator

FAILED = "mapl_explore/failed"  # counts, in the store that the processes share, those that have failed
STORE = datetime.timedelta(seconds=10)  # it is there, or it ended with the process that held it


def launched() -> tuple[int, int]:
    """Return which process this is, of how many, as a launcher says it; (0, 1) without one."""
    try:
        number, count = int(os.environ.get("RANK", "0")), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return 0, 1
    return (number, count) if count > 1 else (0, 1)


def is_first() -> bool:
    """Return whether this process is the one that writes and prints: the first of a launch, or one alone."""
    return launched()[0] == 0


@contextlib.contextmanager
def first_heard() -> Iterator[None]:
    """Silence what processes other than the first one print."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(sys.stdout if is_first() else nowhere):
        yield


def fails_first() -> bool:
    """Return whether no other process of the launch has failed before: the others fail for the same reason, or end."""
    number, count = launched()
    if count == 1:
        return True
    import torch

    try:
        store, *_ = next(torch.distributed.rendezvous("env://", number, count, timeout=STORE))
        return bool(store.add(FAILED, 1) == 1)
    except (OSError, RuntimeError, ValueError):  # there is no store, or none any more
        return True
