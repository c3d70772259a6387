"""Arrays that the base makes of the data: kept with a run that may go on, and next to others that begin like it."""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from mapl_explore.files import atomic_writer, read_arrays

KEY = "key"
_SHARED: ContextVar[Path | None] = ContextVar("_SHARED", default=None)


@contextlib.contextmanager
def shared_in(folder: Path) -> Iterator[None]:
    """Keep what is kept inside a block in a folder, too, where every later block with the same folder finds it."""
    before = _SHARED.set(folder)
    try:
        yield
    finally:
        _SHARED.reset(before)


def read_kept(key: str, own: Path | None = None) -> dict[str, np.ndarray] | None:
    """Return the arrays that were kept under a key, a hash of all that decides them; None where there are none."""
    return next((found for path in _places(key, own) if (found := _read(path, key)) is not None), None)


def keep(key: str, arrays: Mapping[str, np.ndarray], own: Path | None = None) -> None:
    """Keep arrays under a key, in a file of the run if it has one for them, and where runs share them."""
    columns: dict[str, Any] = {KEY: np.array(key), **arrays}
    for path in _places(key, own):
        path.parent.mkdir(exist_ok=True)
        with atomic_writer(path, binary=True) as file:
            np.savez(file, **columns)


def _places(key: str, own: Path | None) -> list[Path]:
    shared = _SHARED.get()
    return ([] if own is None else [own]) + ([] if shared is None else [shared / f"{key}.npz"])


def _read(path: Path, key: str) -> dict[str, np.ndarray] | None:
    """Return the arrays in a file, None if they are of something else, or there is no file to be read."""
    try:
        arrays = read_arrays(path)
        return arrays if str(arrays.pop(KEY)) == key else None
    except (OSError, ValueError, KeyError):
        return None
