"""The log-probabilities of the data under the base: computed once, by all processes together, and kept with the run."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mapl_explore.files import counted
from mapl_explore.launch import is_first
from mapl_explore.models.encoding import EncodedSet
from mapl_explore.models.loading import weights_checksum
from mapl_explore.models.processes import told_by_first
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_encoded
from mapl_explore.training.kept import keep, read_kept


def reference_logp(
    scorer: SetScorer,
    encoded: Sequence[EncodedSet],
    rows: Sequence[int],
    kept: Path,
    *,
    checksum: str | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> torch.Tensor:
    """Return the log-probabilities (all sets, n) under the base; rows that are not needed are 0.

    Parameters
    ----------
    scorer : SetScorer
        Of the base.
    encoded : sequence of EncodedSet
        All sets.
    rows : sequence of int
        Which of them are needed.
    kept : path
        The file to read them from, if it holds those of this very model, precision and data. Otherwise they are
        computed and written there, see :mod:`mapl_explore.training.kept`.
    checksum : str, optional
        That of the base's weights, if it is known already: for a large model it takes a second.
    batch_size : int, optional
        The most sets in one pass.
    progress : bool
        Say how many sets are scored, and on a terminal show a progress bar.
    """
    key = _key(scorer, encoded, rows, checksum) if is_first() else ""
    # One process reads the file and tells the others: if each read it, one could find the file and another one not.
    known = told_by_first(read_kept(key, kept) if is_first() else None)
    if known is not None:
        return torch.from_numpy(known["logp"])
    if progress and is_first():
        print(f"scoring {counted(len(rows), 'set')} under the base", file=sys.stderr, flush=True)
    found = score_encoded(scorer, [encoded[row] for row in rows], batch_size=batch_size, progress=progress, shared=True)
    logp = np.zeros((len(encoded), max(len(one.responses) for one in encoded)))
    logp[list(rows), : found.shape[1]] = found.numpy()
    if is_first():
        keep(key, {"logp": logp}, kept)
    return torch.from_numpy(logp)


def _key(scorer: SetScorer, encoded: Sequence[EncodedSet], rows: Sequence[int], checksum: str | None) -> str:
    """Return the sha256 of all that decides the numbers."""
    digest = hashlib.sha256(repr((scorer.precision, list(rows), checksum or weights_checksum(scorer.model))).encode())
    for one in encoded:
        digest.update(repr((one.prompt, one.responses)).encode())
    return digest.hexdigest()
