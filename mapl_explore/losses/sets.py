"""Sets of responses as numbers: all that a loss sees of a model and its data."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from mapl_explore.numerics.arrays import Array, Door, namespace, to_numpy

if TYPE_CHECKING:
    from mapl_explore.losses.loss import Loss
else:
    Loss = Any  # that file imports this one


@dataclass(frozen=True, eq=False)
class ScoredSets:
    """The log-probs, lengths, labels and, where they are graded, rewards of the responses of one or many sets.

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
    reward : array (..., n), optional
        How good each response is: any real number, of any sign; integers, too, also in an array. It becomes of the
        dtype of the log-probs, and need not agree with the label, by which positives and negatives are told.

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
    >>> len(sets), sets[0].logp
    (1, array([-1., -3.]))
    >>> ScoredSets([-1.0, -3.0], [-2.0, -2.0], [4, 5], [1, -1], reward=[0.8, -2]).rewards
    array([ 0.8, -2. ])
    """

    logp: Array
    ref_logp: Array
    length: Array
    label: Array
    reward: Array | None = None

    def __post_init__(self) -> None:
        """Check the arrays and clear the padding."""
        door = Door(**self.columns(), integers=["length", "label"], follow=["reward"])
        _require_one_shape(door.values)
        label = door.integer("label", -1, 1)
        _require_both_sides(door.xp, label)
        there = label != 0
        length = door.integer("length", 1, math.inf, where=there)
        reals = {name: door.finite(name, there) for name in ("logp", "ref_logp", "reward") if name in door.values}
        self._fill(**reals, length=length, label=label)

    @classmethod
    def unchecked(
        cls, logp: Array, ref_logp: Array, length: Array, label: Array, reward: Array | None = None
    ) -> "ScoredSets":
        """Return sets of arrays as they are: in a training step, looking at values would wait for the GPU."""
        return object.__new__(cls)._fill(logp=logp, ref_logp=ref_logp, length=length, label=label, reward=reward)

    def columns(self) -> dict[str, Array]:
        """Return the arrays by their names, without a reward where there is none."""
        return {name: value for name in SET_FIELDS if (value := getattr(self, name)) is not None}

    def mapped(self, function: Callable[[Array], Array]) -> "ScoredSets":
        """Return the sets that a function makes of every array, without checks."""
        return ScoredSets.unchecked(**{name: function(value) for name, value in self.columns().items()})

    def with_logp(self, logp: Array) -> "ScoredSets":
        """Return the same sets with other log-probs under the policy, without checks."""
        return ScoredSets.unchecked(**self.columns() | {"logp": logp})

    @property
    def rewards(self) -> Array:
        """The reward (..., n); where none is given the verdict: 1 for positives, 0 for negatives and padding."""
        if self.reward is not None:
            return self.reward
        return namespace(self.logp).astype(self.label > 0, self.logp.dtype)

    def __len__(self) -> int:
        """Return how many sets there are along the first axis; a single one, (n,), has no length."""
        if self.label.ndim < 2:
            raise TypeError("these are the responses of one set, which is no list of sets")
        return self.label.shape[0]

    def __iter__(self) -> Iterator["ScoredSets"]:
        """Return each of the sets along the first axis; a single one, (n,), raises TypeError."""
        return (self[number] for number in range(len(self)))

    def __getitem__(self, index: Any) -> "ScoredSets":
        """Return some of the sets, or of their responses, as the same index picks them in every array.

        The labels of the responses picked are not checked again.
        """
        if self.label[index].ndim < 1:
            raise IndexError(f"the index {index!r} picks one response; a set keeps its last axis")
        return self.mapped(lambda array: array[index])

    def _fill(self, **arrays: Array | None) -> "ScoredSets":
        for name, value in arrays.items():
            object.__setattr__(self, name, value)
        return self


SET_FIELDS = tuple(field.name for field in fields(ScoredSets))


def require_sets(sets: object) -> ScoredSets:
    """Return scored sets, of which there is at least one; anything else raises TypeError or ValueError."""
    if not isinstance(sets, ScoredSets):
        raise TypeError(f"sets must be ScoredSets, as score_sets returns them, not of type {type(sets).__name__}")
    if 0 in sets.label.shape:
        raise ValueError(f"sets must hold at least one set, not arrays of shape {tuple(sets.label.shape)}")
    return sets


def reads_reference(loss: "Loss") -> bool:
    """Return whether the scores or the value of a loss change with the log-probs of the reference.

    Both are computed for made-up sets under two references, so any class of loss can be asked, before any data.

    Examples
    --------
    >>> from mapl_explore.losses import CPO, DPO, OneSided
    >>> [reads_reference(loss) for loss in (DPO(), CPO(), OneSided(lam=1.0), OneSided(lam=0.0))]
    [True, False, True, False]
    """
    try:
        return _changes_with_reference(loss, np.asarray)
    except (TypeError, AttributeError):  # a user's loss that is written for torch alone
        import torch

        return _changes_with_reference(loss, torch.as_tensor)


def require_reference(loss: "Loss", sets: ScoredSets) -> None:
    """Refuse sets whose reference gives the log-probs of the model, where a loss reads the reference.

    All log-ratios of such sets are 0: they were scored without a reference, or with the model as its own.

    Raises
    ------
    TypeError, ValueError
        If the sets are no ScoredSets, or none at all.
    ValueError
        If :func:`reads_reference`, and ``ref_logp`` equals ``logp`` at every response of every set.

    Examples
    --------
    >>> from mapl_explore.losses import CPO, DPO
    >>> sets = ScoredSets([-1.0, -3.0], [-1.0, -3.0], [4, 5], [1, -1])
    >>> require_reference(CPO(), sets)
    >>> require_reference(DPO(), sets)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: DPO compares log-ratios to a reference, and in these sets ref_logp equals logp at every response...
    """
    if are_own_reference(require_sets(sets)) and reads_reference(loss):
        raise ValueError(
            f"{type(loss).__name__} compares log-ratios to a reference, and in these sets ref_logp equals logp at every"
            " response, as without a reference or with the model as its own: all ratios are 0. Give score_sets another"
            " model as reference=MODEL (on the command line, --reference MODEL), or take a loss without a reference,"
            " such as cpo"
        )


def are_own_reference(sets: ScoredSets) -> bool:
    """Return whether ``ref_logp`` equals ``logp`` at every response, so that all log-ratios are 0."""
    there = to_numpy(sets.label) != 0
    return np.array_equal(to_numpy(sets.logp)[there], to_numpy(sets.ref_logp)[there])


def _changes_with_reference(loss: "Loss", library: Callable[[np.ndarray], Array]) -> bool:
    # From far below the model's log-probs to far above them: a loss may look at one side of them alone.
    logp, near, far = np.random.default_rng(0).uniform(-20.0, -0.1, size=(3, 8, 4)) * [[[1.0]], [[1.0]], [[3.0]]]
    length, label = np.full(logp.shape, 5), np.tile([1, 1, -1, -1], (len(logp), 1))
    reward = logp[:, ::-1] + 10.0
    first, second = (ScoredSets(*map(library, (logp, ref, length, label, reward))) for ref in (near, far))
    pairs = (loss.score(first), loss.score(second)), (loss(first), loss(second))
    return not all(np.array_equal(to_numpy(one), to_numpy(other), equal_nan=True) for one, other in pairs)


def _require_one_shape(values: dict[str, Array]) -> None:
    shapes = {name: tuple(value.shape) for name, value in values.items()}
    if len(set(shapes.values())) > 1 or () in shapes.values():
        shown = ", ".join(f"{name} has {shape}" for name, shape in shapes.items())
        raise ValueError(f"the arrays of ScoredSets must have one shape (..., n), but {shown}")


def _require_both_sides(xp: Any, label: Array) -> None:
    for side, sign in (("positive", 1), ("negative", -1)):
        if not bool(xp.all(xp.any(label == sign, axis=-1))):
            raise ValueError(f"label must hold at least one {side} ({sign:+d}) in every set")
