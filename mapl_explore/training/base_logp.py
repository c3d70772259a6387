"""The base's log-probabilities of the data: computed once, by all processes together, and kept with the run."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather_object

from mapl_explore.files import atomic_writer
from mapl_explore.models.encoding import EncodedSet
from mapl_explore.models.loading import weights_checksum
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_encoded
from mapl_explore.runs.checkpoints import UNREADABLE


def reference_logp(
    scorer: SetScorer,
    encoded: Sequence[EncodedSet],
    rows: Sequence[int],
    kept: Path,
    *,
    checksum: str | None = None,
    process: int = 0,
    processes: int = 1,
    progress: bool = True,
) -> torch.Tensor:
    """Return the log-probabilities (all sets, n) under the base, 0 in rows that are not asked for.

    Parameters
    ----------
    scorer : SetScorer
        Of the base.
    encoded : sequence of EncodedSet
        All sets.
    rows : sequence of int
        Which of them are needed.
    kept : path
        A file to read them from, if it holds those of this very model, precision and data; else they are written there.
    checksum : str, optional
        That of the base's weights, where it is known already: for a large model it takes a second.
    process, processes : int
        Which process this is, of how many: each computes a part.
    progress : bool
        Show a progress bar, on a terminal.
    """
    rows, key = list(rows), _key(scorer, encoded, rows, checksum) if process == 0 else ""
    # One process looks, and tells the others: were each to look for itself, one could find the file and one not.
    [part] = broadcast_object_list([_read(kept, key) if process == 0 else None])
    if part is None:
        width = max(len(one.responses) for one in encoded)
        mine = rows[process::processes]
        found = score_encoded(scorer, [encoded[row] for row in mine], progress=progress and process == 0)
        found = torch.nn.functional.pad(found, (0, width - found.shape[1]))
        shared = gather_object([(mine, found.numpy())])
        part = np.zeros((len(encoded), width))
        for some, values in shared:
            part[some] = values
        if process == 0:
            _write(kept, key, part)
    return torch.from_numpy(part)


def _key(scorer: SetScorer, encoded: Sequence[EncodedSet], rows: list[int], checksum: str | None) -> str:
    """Return the sha256 of all that decides the numbers."""
    digest = hashlib.sha256(repr((scorer.precision, rows, checksum or weights_checksum(scorer.model))).encode())
    for one in encoded:
        digest.update(repr((one.prompt, one.responses)).encode())
    return digest.hexdigest()


def _read(kept: Path, key: str) -> np.ndarray | None:
    """Return what is kept, None where there is nothing, or nothing that can be read, or it is of something else."""
    try:
        with np.load(kept, allow_pickle=False) as arrays:
            return arrays["logp"] if str(arrays["key"]) == key else None
    except UNREADABLE:
        return None


def _write(kept: Path, key: str, logp: np.ndarray) -> None:
    with atomic_writer(kept, binary=True) as file:
        np.savez(file, key=np.array(key), logp=logp)
