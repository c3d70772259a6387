"""Which folder a run may begin in, and which run may go on in it."""

import os
from pathlib import Path

from mapl_explore.notes import note
from mapl_explore.runs.card import data_lines
from mapl_explore.runs.checkpoints import last_checkpoint
from mapl_explore.runs.record import RECORD, ROUNDS, UNSAID, Run, read_run


def require_new(folder: str | os.PathLike) -> None:
    """Raise unless the folder is new or empty, and at most the folder above it is missing too.

    A run never mixes with other files, and a mistyped path makes no tree of folders.
    """
    folder = Path(folder)
    require_writable(folder)
    home = folder.absolute().parent
    if not home.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(home.parent)!r} to make {home.name}/{folder.name} in")
    if folder.is_dir() and any(folder.iterdir()):
        begun = any((folder / name).exists() for name in (RECORD, ROUNDS))
        hint = "; --resume goes on with what is begun in it" if begun else ""
        raise FileExistsError(f"output {str(folder)!r} is not empty: name a new folder{hint}")


def require_writable(folder: str | os.PathLike) -> None:
    """Raise OSError if a folder is a file, or it or the existing one to make it in may not be written into."""
    if Path(folder).is_file():
        raise FileExistsError(f"output {str(folder)!r} is a file, not a folder")
    existing = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
    if not existing.is_dir() and existing != Path(folder).absolute():
        raise NotADirectoryError(f"output {str(folder)!r} cannot be made: {str(existing)!r} is a file")
    if existing.is_dir() and not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(f"output {str(folder)!r} cannot be written: {str(existing)!r} is read-only for you")


def require_same(folder: str | os.PathLike, run: Run) -> Run:
    """Return the record in the folder; raise ValueError unless it was started with the same loss, arguments and data.

    The name of the model may differ: :func:`require_same_weights` compares the weights. Where the record has no
    checksum of them, the names are compared.
    """
    if not (Path(folder) / RECORD).exists():
        raise FileNotFoundError(f"there is no run in {str(folder)!r} to go on with")
    before = read_run(folder)
    old, new = (UNSAID | {"loss": each.loss, **each.arguments, **data_lines(each)} for each in (before, run))
    for name in new:
        if name in ("model", "reference") and _checksum_of(before, name):
            continue
        if old.get(name) != new[name]:
            raise ValueError(f"the run in {str(folder)!r} was started with {name} {old.get(name)}, not {new[name]}")
    return before


def require_same_weights(folder: str | os.PathLike, before: Run, run: Run) -> None:
    """Raise ValueError if a run began with other weights than it is to go on with; note it if that is unknown."""
    if before.weights_checksum is None:
        # An earlier version wrote it. Most such runs go on with the same weights, so they are not refused.
        note(f"{RECORD} has no checksum of the model's weights: whether they are the same is unknown")
        return
    for name in ("model", "reference"):
        old, new = (_checksum_of(each, name) for each in (before, run))
        if old != new:
            raise ValueError(
                f"the run in {str(folder)!r} was started with other weights: those of {before.arguments.get(name)!r}"
                f" had sha256 {str(old)[:12]}..., those of {run.arguments.get(name)!r} have {str(new)[:12]}..."
            )


def _checksum_of(run: Run, name: str) -> str | None:
    return run.weights_checksum if name == "model" else run.reference_checksum


def way_on(folder: str | os.PathLike) -> str:
    """Return how to go on with an interrupted run, for people; "" where no run has begun."""
    if not (Path(folder) / RECORD).exists():
        return ""
    checkpoint = last_checkpoint(folder)
    start = f"from {checkpoint.name}" if checkpoint else "from the beginning, there being no checkpoint yet"
    return f"the same command with --resume goes on {start}"
