"""Scores of preference sets under a model, kept from one command to the next, so that the next one loads no model.

A file holds the columns of :class:`ScoredSets` and the notes of the scoring, and no text of the sets. Its name is a
hash of all that decides the numbers: the files of the model, the sets, the way of showing prompts, the kind of device,
the type of the weights, and the versions of the packages.
"""

import contextlib
import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from mapl_explore.data import PreferenceSet
from mapl_explore.files import atomic_writer, read_arrays
from mapl_explore.launch import is_first
from mapl_explore.losses import ScoredSets
from mapl_explore.models.checking import require_finite, require_known_tokens
from mapl_explore.models.choices import FLOAT32, Chat
from mapl_explore.models.encoding import sides
from mapl_explore.models.loading import folders_of, load_model, load_outline, weights_type
from mapl_explore.models.processes import processes_of, require_device, told_by_first
from mapl_explore.models.scoring import encoded_for, score_sets
from mapl_explore.notes import Note, heard, note

VARIABLE = "MAPL_CACHE"  # names the folder in place of the usual one; where it is empty, nothing is kept
MOST = 256  # files: some 10 kB for 100 sets each
PACKAGES = ("mapl_explore", "torch", "transformers", "tokenizers")
NOTES = "notes"


def scores_by_name(
    name: str,
    sets: Sequence[PreferenceSet],
    *,
    chat: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    precision: str = FLOAT32,
    fresh: bool = False,
    before: Callable[[], None] = lambda: None,
) -> ScoredSets:
    """Return what :func:`score_sets` makes of sets under a model, kept by an earlier command or computed now.

    The processes of a launch share the work, and the first one reads and keeps.

    Parameters
    ----------
    name : str
        As :func:`mapl_explore.load_model` reads it.
    sets : sequence of PreferenceSet
        What to score.
    chat : {"auto", "always", "never"}
        Which prompts the chat template writes.
    device : {"auto", "cpu", "cuda"}
        Where to compute.
    batch_size : int, optional
        The most sets in one pass.
    precision : {"float32", "bf16-weights"}
        Of which type the weights are.
    fresh : bool
        Compute, whatever was kept, and keep that.
    before : function
        Called before a model is loaded, and not where the scores are kept ones.

    Returns
    -------
    ScoredSets of numpy arrays (sets, n)
        The same bits as those that were computed. A :class:`~mapl_explore.notes.Note` says where they are kept ones.
    """
    require_device(device)
    with processes_of(device) as (*_, place, _wait):
        # One process reads the file and tells the others: if each read it, one could find the file and another one not.
        file = _file(name, sets, chat, str(place).partition(":")[0], precision) if is_first() else None
        kept = told_by_first(None if fresh or file is None else _read(file))
        if kept is not None:
            return kept
        before()
        with heard() as notes:
            model, tokenizer = load_model(name, device=place, dtype=weights_type(precision))
            require_finite(model, name)
            scored = score_sets(model, tokenizer, sets, chat=chat, batch_size=batch_size, shared=True)
    if file is not None:
        _write(file, scored, notes)
    return scored


def lengths_by_name(name: str, sets: Sequence[PreferenceSet], chat: Chat) -> list[list[int]]:
    """Return the lengths that :func:`scores_by_name` would, without the weights of the model, and raise what it would.

    It says nothing: the notes come with the scores.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Note)
        model, tokenizer = load_outline(name)
        encoded = encoded_for(model, tokenizer, sets, chat=chat)
    require_known_tokens(model, encoded)
    return sides(encoded)["length"].tolist()


def _file(name: str, sets: Sequence[PreferenceSet], chat: str, device: str, precision: str) -> Path | None:
    """Return where the scores are kept, None where they are not."""
    home = _home()
    folders = [] if home is None else folders_of(name)
    if home is None or not folders:
        return None
    versions = [metadata.version(package) for package in PACKAGES]
    digest = hashlib.sha256(repr((versions, chat, device, precision)).encode())
    for path in (path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()):
        with open(path, "rb") as file:
            digest.update(repr((path.name, hashlib.file_digest(file, "sha256").hexdigest())).encode())
    for one in sets:
        digest.update(repr((one.prompt, one.positives, one.negatives, one.scores)).encode())
    return home / f"{digest.hexdigest()}.npz"


def _home() -> Path | None:
    """Return the folder of all kept scores, None where nothing is to be kept."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named) if named else None
    usual = os.environ.get("XDG_CACHE_HOME")
    return (Path(usual) if usual else Path.home() / ".cache") / "mapl_explore" / "scores"


def _read(file: Path) -> ScoredSets | None:
    """Return kept scores and say so, with the notes of when they were computed; None if there are none to be read."""
    try:
        columns = read_arrays(file)
    except (OSError, ValueError):
        return None
    for text in columns.pop(NOTES).tolist():
        note(text)
    note(
        "the log-probs are those of an earlier command with the same model files and sets (--fresh computes them again)"
    )
    return ScoredSets(**columns)


def _write(file: Path, scored: ScoredSets, notes: Sequence[str]) -> None:
    """Keep scores, and as many as there may be; a folder that cannot be written keeps none."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(file, binary=True) as out:
            columns: dict[str, Any] = scored.columns() | {NOTES: np.array(notes, dtype=np.str_)}
            np.savez(out, **columns)
        oldest = sorted(file.parent.glob("*.npz"), key=os.path.getmtime)[:-MOST]
        for each in oldest:
            each.unlink(missing_ok=True)
