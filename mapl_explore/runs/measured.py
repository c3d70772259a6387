"""``measured.npz`` of a run: what each held-out set adds to the measures after training, and what the training read."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mapl_explore.files import atomic_writer, read_arrays

MEASURED = "measured.npz"
# The measures that are kept set by set; the last two are those of one response, a token.
BY_SET = ("right", "hard_margin", "accuracy", "chosen_ratio", "rejected_ratio", "kl", "entropy")
TOKENS = "response_tokens"
SETS_READ, ALONG = "sets_read", "{}_along"  # the learning curve, of a run with ``answer_at``
CURVE = ("right", "kl")  # which measures it has
RIGHT_ALONG, KL_ALONG = map(ALONG.format, CURVE)
SAMPLES = "samples"  # how many responses were drawn, of rounds


def write_measured(folder: str | os.PathLike, by_set: Mapping[str, np.ndarray], response_tokens: int) -> None:
    """Write the measures of each held-out set, in the order of the sets, whole or not at all.

    Parameters
    ----------
    folder : path
        An existing folder.
    by_set : mapping of arrays (sets,)
        Those of ``BY_SET`` that were measured, after training. ``right``, ``kl`` and ``entropy``, which need responses
        of the model's own, have a value for each question that it was asked. Also the :func:`learning_curve`, if any.
    response_tokens : int
        The tokens of all responses that the training read; a set that was read twice counts twice.
    """
    with atomic_writer(Path(folder) / MEASURED, binary=True) as file:
        arrays: dict[str, Any] = {TOKENS: np.array(response_tokens), **by_set}
        np.savez(file, **arrays)


def learning_curve(points: Mapping[int, Mapping[str, Sequence[float]]], sets_per_step: int) -> dict[str, np.ndarray]:
    """Return ``sets_read`` (points,), ``right_along`` and ``kl_along`` (points, questions), from both by step.

    Examples
    --------
    >>> learning_curve({0: {"right": [0, 1], "kl": [0, 0]}, 2: {"right": [1, 1], "kl": [0.5, 0.25]}}, 16)
    {'sets_read': array([ 0, 32]), 'right_along': array([[0., 1.],
           [1., 1.]]), 'kl_along': array([[0.  , 0.  ],
           [0.5 , 0.25]])}
    """
    found = {ALONG.format(name): np.array([one[name] for one in points.values()], float) for name in CURVE}
    return {SETS_READ: np.array([*points]) * sets_per_step} | found


def read_measured(folder: str | os.PathLike) -> tuple[dict[str, np.ndarray], int]:
    """Return the measures of each held-out set of a finished run, and the response tokens that its training read.

    Raises
    ------
    ValueError
        If the file is damaged.
    OSError
        If there is none, or it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> write_measured(folder, {"right": np.array([1.0, 0.0])}, 96)
    >>> read_measured(folder)
    ({'right': array([1., 0.])}, 96)
    """
    path = Path(folder) / MEASURED
    try:
        found = read_arrays(path)
        return found, int(found.pop(TOKENS))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the measures of a run ({error})") from None
