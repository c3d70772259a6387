"""An answer as it is given: an array of numbers, words or truth values; what keeps it from being compared."""

from collections.abc import Sequence

import numpy as np

from mapl_explore.words import N_, _

NUMBER, STRING, BOOL = N_("a number"), N_("a string"), N_("True or False")
KINDS = {"i": NUMBER, "u": NUMBER, "f": NUMBER, "U": STRING, "b": BOOL}  # by numpy's letter for a dtype


def as_array(value: object) -> np.ndarray:
    """Return any object as an array; one that numpy cannot read becomes a single object."""
    detach = getattr(value, "detach", None)  # a torch tensor within a graph
    try:
        return np.asarray(value if detach is None else detach())
    except (TypeError, ValueError, RuntimeError):  # a ragged list, a tensor on a GPU or of bfloat16
        return np.asarray(None)


def kind(array: np.ndarray) -> str | None:
    """Return what an array holds, as people call it; None for anything that :func:`check` does not know."""
    return KINDS.get(array.dtype.kind) if array.size else None


def folded(words: np.ndarray) -> np.ndarray:
    """Return words without their case and the space around them."""
    return np.vectorize(lambda word: word.casefold().strip(), otypes=[str])(words)


def fault_of(answer: np.ndarray, expected: str | None, shape: Sequence[int], choices: Sequence[str] = ()) -> str | None:
    """Return why an answer cannot be compared at all with one of a kind and a shape, or is none of the choices."""
    one = _("each element") if shape else _("the answer")
    if expected == NUMBER and kind(answer) == STRING:
        return _("{what} should be a number, such as 3.5, not a text").format(what=one)
    if kind(answer) != expected:
        return _("{what} should be {kind}").format(what=one, kind=_(str(expected)))
    if answer.shape != tuple(shape):
        told = _("the answer should be {shape}, not {other}")
        return told.format(shape=_shape(shape), other=_shape(answer.shape))
    if expected == NUMBER and np.isnan(answer).any():
        return _("{what} should be a number, not nan").format(what=one)
    if choices and not np.isin(folded(answer), folded(np.asarray(choices))).all():
        return _("{what} should be one of these: {choices}").format(what=one, choices=", ".join(choices))
    return None


def _shape(shape: Sequence[int]) -> str:
    if not shape:
        return _("a single value")
    if len(shape) == 1:
        return _("a list of {count}").format(count=shape[0])
    return _("an array of shape {shape}").format(shape=tuple(shape))
