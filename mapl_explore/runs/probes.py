"""The probes of a run: a few held-out sets, scored at some steps of the training."""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mapl_explore.files import read_arrays
from mapl_explore.losses import ScoredSets
from mapl_explore.runs.record import PROBES

OPTIONAL = ("reward",)  # of sets with scores; older files have none
SHAPES = {  # of each array in the file
    "step": ("S",),
    "logp": ("S", "sets", "n"),
    "ref_logp": ("sets", "n"),
    "length": ("sets", "n"),
    "label": ("sets", "n"),
    "reward": ("sets", "n"),
}


@dataclass(frozen=True, eq=False)
class Probes:
    """Held-out sets as the model scored them at some steps of its training.

    Parameters
    ----------
    step : integer array (S,)
        The number of updates of the weights at each recording; it rises.
    sets : ScoredSets
        Arrays (S, sets, n); reference, lengths, labels and rewards are the same at every step.
    """

    step: np.ndarray
    sets: ScoredSets


def read_probes(run: str | os.PathLike) -> Probes:
    """Return the probes of a run folder, or of a file ``probes.npz``.

    The file holds ``step`` (S,), ``logp`` (S, sets, n), ``ref_logp``, ``length``, ``label`` and perhaps ``reward``
    (sets, n), in the units and with the padding of :class:`mapl_explore.losses.ScoredSets`.

    Parameters
    ----------
    run : path
        A run folder, or the file itself.

    Returns
    -------
    Probes
        In float64; a loss of ``sets`` is an array (S, sets).

    Raises
    ------
    ValueError
        If the file is no such archive, lacks an array, or an array has a wrong shape or value; the message names the
        file and the array. Nothing is unpickled.
    OSError
        If there is no such file, or it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> arrays = {"step": [0, 1], "logp": [[[-3.0, -2.0]], [[-2.5, -4.0]]], "ref_logp": [[-3.0, -2.0]]}
    >>> path = Path(tempfile.mkdtemp()) / "probes.npz"
    >>> np.savez(path, **arrays, length=[[4, 4]], label=[[1, -1]])
    >>> probes = read_probes(path)
    >>> from mapl_explore.losses import DPO
    >>> probes.step, DPO(beta=1.0).margin(probes.sets)[:, 0]
    (array([0, 1]), array([0. , 2.5]))
    """
    path = Path(run)
    path = path / PROBES if path.is_dir() else path
    arrays = _arrays(path)
    try:
        _check(arrays)
        shape = arrays["logp"].shape
        sets = ScoredSets(**{name: np.broadcast_to(one, shape) for name, one in arrays.items() if name != "step"})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    return Probes(arrays["step"], sets)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the file by name, log-probs in float64."""
    if path.exists() and not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not the probes of a run (no .npz archive)")
    try:
        found = read_arrays(path)
    except ValueError as error:
        raise ValueError(f"{path}: the archive is broken ({error})") from None
    arrays = {name: found[name] for name in SHAPES if name in found}
    if missing := [name for name in SHAPES if name not in (*OPTIONAL, *arrays)]:
        raise ValueError(f"{path}: not the probes of a run ({missing[0]} is missing)")
    # Some files hold float32, from a GPU, others float64: what is shown is computed in float64 in any case.
    kinds = {name: np.float64 for name in ("logp", "ref_logp") if arrays[name].dtype.kind == "f"}
    return {name: array.astype(kinds.get(name, array.dtype)) for name, array in arrays.items()}


def _check(arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError unless the arrays fit together and the steps rise; ScoredSets checks what they hold."""
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        axes = SHAPES[name]
        fits = array.ndim == len(axes) and all(
            sizes.setdefault(axis, size) == size > 0 for axis, size in zip(axes, array.shape, strict=True)
        )
        if not fits:
            known = ", ".join(f"{axis} = {sizes[axis]}" for axis in axes if axis in sizes)
            raise ValueError(f"{name} must have shape ({', '.join(axes)}), not {array.shape} ({known})")
    step = arrays["step"]
    if step.dtype.kind not in "iu" or step[0] < 0 or (np.diff(step.astype(np.int64)) <= 0).any():
        raise ValueError(f"step must be whole numbers >= 0 that rise, not {step.tolist()}")
