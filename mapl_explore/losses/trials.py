"""The trial of a class of one's own: once, on made-up numbers, so that a mistake is told and is not trained on.

It runs where the class is used: in the same library and on the same device.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from mapl_explore.losses.sets import ScoredSets
from mapl_explore.notes import Refusal
from mapl_explore.numerics.arrays import Array, autograd, has_graph, is_torch, namespace, to_numpy

STEP, NEAR = 1e-5, 1e-4  # of central differences in float64, good to 1e-10; a slope is wrong from NEAR on


class WrongReturn(Refusal, TypeError):
    """A method returns something of another kind or shape than it must."""


class WrongSlope(Refusal, ValueError):
    """A method returns other slopes than those of its loss."""


def tried_once(trial: Callable) -> Callable:
    """Return a trial of an object, where an array is, that runs once for each class of one's own and each device.

    It looks at numbers, which in every step of a training would wait for the GPU.
    """
    passed: set[tuple] = set()

    @functools.wraps(trial)
    def tried(thing: object, array: Array) -> None:
        kind = type(thing)
        if kind.__module__.startswith("mapl_explore.") or (key := (kind, is_torch(array), array.device)) in passed:
            return
        passed.add(key)  # before the trial: what is tried asks for its trial itself
        try:
            trial(thing, array)
        except BaseException:
            passed.discard(key)
            raise

    return tried


def made_up_sets(array: Array) -> ScoredSets:
    """Return two sets of four positives and four negatives, all of different lengths and rewards, next to an array."""
    logp, ref_logp, reward = np.random.default_rng(0).uniform(-3.0, -0.5, size=(3, 2, 8))
    length = np.arange(1, 17).reshape(2, 8)
    label = np.array([[1, 1, -1, -1, 1, -1, 1, -1], [-1, 1, 1, -1, 1, -1, -1, 1]])
    return ScoredSets.unchecked(*(_next_to(array, one) for one in (logp, ref_logp, length, label, reward + 1.5)))


def made_up_scores(array: Array) -> Array:
    """Return the scores (2, 4) of two sides, one with padding, next to an array."""
    return _next_to(array, np.array([[-1.0, -2.5, -1.75, -4.0], [-np.inf, -3.0, -1.5, -np.inf]]))


def require_shape(returned: Any, shape: tuple[int, ...], rule: str) -> None:
    """Raise WrongReturn with the rule if what a method returned is no array of this shape."""
    shown = tuple(returned.shape) if hasattr(returned, "shape") else returned
    if shown is returned or shown != tuple(shape):
        raise WrongReturn(f"{rule} {tuple(shape)}, not {shown!r}")


def require_numbers(returned: Any, name: str, array: Array) -> None:
    """Raise WrongReturn if what a method of this name returned is of another library than an array, or no floats."""
    if is_torch(returned) != is_torch(array):
        given, other = ("torch", "numpy") if is_torch(array) else ("numpy", "torch")
        raise WrongReturn(f"{name} must return an array of {given} where it is given one, not one of {other}")
    if not namespace(returned).isdtype(returned.dtype, "real floating"):
        kind = str(returned.dtype).removeprefix("torch.")
        raise WrongReturn(f"{name} must return floating-point numbers, not {kind}")


def require_graph(function: Callable, x: Array, name: str) -> None:
    """Raise WrongReturn if, in torch, what a function of x returns has no gradient in it."""
    if is_torch(x) and not has_graph(function, x):
        raise WrongReturn(f"{name} must return a loss with a gradient in logp; detach, item and no_grad cut it off")


def require_slope(returned: Any, function: Callable, x: Array, rule: str) -> None:
    """Raise WrongSlope with the rule if what a method returned is not the slope of a function of x."""
    given, true = np.broadcast_arrays(to_numpy(returned), to_numpy(slopes(function, x)))
    known = np.isfinite(true)
    wrong = known & ~(np.abs(given - true) <= NEAR * max(1e-6, np.max(np.abs(true[known]), initial=0.0)))
    if wrong.any():
        raise WrongSlope(f"{rule}: {true[wrong][0]:.6g} for made-up sets, not {given[wrong][0]:.6g}")


def slopes(function: Callable, x: Array) -> Array:
    """Return the slopes of the sum of a function of x: by autograd in torch, by central differences in numpy."""
    if not isinstance(x, np.ndarray):
        return autograd(function, x)
    steps = STEP * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([np.sum(function(x + step)) - np.sum(function(x - step)) for step in steps]).reshape(x.shape) / (
        2 * STEP
    )


def _next_to(array: Array, numbers: np.ndarray) -> Array:
    """Return made-up numbers in the library and on the device of an array."""
    if not is_torch(array):
        return numbers  # in float64, which differences need
    xp = namespace(array)
    # In torch slopes are exact to some eps: NEAR is 1,000 eps of float32, a half has too few digits, and not every GPU
    # has float64.
    kind = xp.result_type(array.dtype, xp.float32) if numbers.dtype.kind == "f" else xp.int64
    return xp.asarray(numbers, dtype=kind, device=array.device)
