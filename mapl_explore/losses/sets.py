"""Sets of responses as numbers: all that a loss sees of a model and its data."""

import math
from dataclasses import dataclass, fields

from mapl_explore.arrays import Array, Door


@dataclass(frozen=True, eq=False)
class ScoredSets:
    """The log-probs, lengths and labels of the responses of one or many sets.

    Parameters
    ----------
    logp : array (..., n)
        Sum of the log-probs of each response's tokens under the policy, in nats. Halves are widened to float32.
    ref_logp : array (..., n)
        The same under the reference model.
    length : integer array (..., n)
        Tokens in each response, >= 1.
    label : integer array (..., n)
        +1 for a positive, -1 for a negative, 0 for padding; at least one of each sign in every set.

    Raises
    ------
    TypeError, ValueError
        If the arrays are of two libraries or two shapes, a value is out of its domain, or a set lacks a side. What
        stands at padding is not looked at, and becomes 0 (1 for a length).

    Examples
    --------
    >>> sets = ScoredSets(logp=[[-1.0, -3.0]], ref_logp=[[-2.0, -2.0]], length=[[4, 5]], label=[[1, -1]])
    >>> from mapl_explore.losses import DPO
    >>> DPO(beta=1.0)(sets).round(6)
    array([0.126928])
    """

    logp: Array
    ref_logp: Array
    length: Array
    label: Array

    def __post_init__(self):
        """Check the arrays and clear the padding."""
        named = {name: getattr(self, name) for name in SET_FIELDS}
        door = Door(**named)
        _require_one_shape(door.values)
        label = door.integer("label", -1, 1)
        _require_both_sides(door.xp, label)
        there = label != 0
        length = door.integer("length", 1, math.inf, where=there)
        self._fill(door.finite("logp", there), door.finite("ref_logp", there), length, label)

    @classmethod
    def unchecked(cls, logp: Array, ref_logp: Array, length: Array, label: Array) -> "ScoredSets":
        """Return sets of arrays as they are: in a training step, looking at values would wait for the GPU."""
        return object.__new__(cls)._fill(logp, ref_logp, length, label)

    def _fill(self, *arrays):
        for name, value in zip(SET_FIELDS, arrays, strict=True):
            object.__setattr__(self, name, value)
        return self


SET_FIELDS = tuple(field.name for field in fields(ScoredSets))


def _require_one_shape(values):
    shapes = {name: tuple(value.shape) for name, value in values.items()}
    if len(set(shapes.values())) > 1 or () in shapes.values():
        shown = ", ".join(f"{name} has {shape}" for name, shape in shapes.items())
        raise ValueError(f"the arrays of ScoredSets must have one shape (..., n), but {shown}")


def _require_both_sides(xp, label):
    for side, sign in (("positive", 1), ("negative", -1)):
        if not bool(xp.all(xp.any(label == sign, axis=-1))):
            raise ValueError(f"label must hold at least one {side} ({sign:+d}) in every set")
