"""Numpy and torch behind one interface: what differs between the two array libraries.

A public function opens a :class:`Door` with its arguments, asks it for each of them, converted and checked, computes
with the standard functions of ``namespace(...)``, and hands the result to :meth:`Door.leave`. The door decides:

* the library: numpy or torch, never both; numbers and lists join the arrays they come with, else numpy;
* the dtype of the result: that of ``scores`` where they are an array, else the widest among the arrays that are not
  ``integers``, else float64;
* the dtype inside: float16 and bfloat16 are computed in float32 and rounded once, on leaving.
"""

import functools
import math
from collections.abc import Callable, Collection
from fractions import Fraction
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import array_api_compat
import numpy as np
from array_api_compat import is_numpy_array, is_torch_array
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import torch

    Array: TypeAlias = np.ndarray | torch.Tensor
else:
    Array = Any  # torch need not be installed

Numbers: TypeAlias = ArrayLike | Array  # what a public function takes: a number, (nested) lists of numbers, an array
DType: TypeAlias = Any  # of numpy or of torch, which share no type
HALVES = ("float16", "bfloat16")
FLOATS = (*HALVES, "float32", "float64")
TYPES = f"{', '.join(FLOATS[:-1])} or {FLOATS[-1]}, in the machine's byte order"
BLOCK = 16_384  # elements whose temporaries stay in the cache; those of a longer array do not, at any step of numpy


class Door:
    """The arguments of one public call, brought to one library, dtype and device, checked as they are asked for."""

    def __init__(self, *, integers: Collection[str] = (), follow: Collection[str] = (), **arguments: Numbers) -> None:
        """Choose the library, the device and the dtypes; check that the shapes fit together.

        ``integers`` names the arguments that are counts or signs: they are integers, and do not decide the dtype.
        ``follow`` names those that are integers or floats, and take the dtype that the others decide.
        """
        self.integers, self.follow = integers, follow
        arrays: dict[str, Any] = {name: value for name, value in arguments.items() if _is_array(value)}
        # Among arrays a numpy scalar is a number like any other; alone, its dtype decides.
        arrays = arrays or {name: value for name, value in arguments.items() if isinstance(value, np.generic)}
        plain = {name: value for name, value in arguments.items() if name not in arrays}
        given = arrays | {name: _from_plain(name, value, name in integers) for name, value in plain.items()}
        for name, value in arrays.items():
            _check_dtype(name, value, name in integers or (name in follow and _holds_integers(value)))
        self.values: dict[str, Array] = {name: given[name] for name in arguments}
        self.xp = _one_namespace(arrays)
        self.device = array_api_compat.device(next(iter(arrays.values()))) if arrays else None
        self.dtype = self._result_dtype(arrays)
        self.inside = self.xp.float32 if _name(self.dtype) in HALVES else self.dtype
        _check_shapes(self.values)

    def scores(self) -> Array:
        """Return the scores (..., n): n >= 1, none NaN or +inf, one at least finite in every set."""
        scores, xp = self._cast("scores"), self.xp
        if scores.ndim == 0 or scores.shape[-1] == 0:
            raise ValueError(f"scores must hold at least one score on their last axis, not shape {tuple(scores.shape)}")
        self._require("scores", scores, scores < math.inf, "finite, or -inf for padding")
        scored = xp.reshape(xp.any(scores > -math.inf, axis=-1), (-1,))
        if not bool(xp.all(scored)):
            number = int(xp.argmin(xp.astype(scored, xp.int8)))
            raise ValueError(f"scores must hold a finite score in every set; set {number} holds only -inf")
        return scores

    def positive(self, name: str) -> Array:
        """Return a parameter that is > 0 and finite."""
        value = self._cast(name)
        return self._require(name, value, (value > 0) & (value < math.inf), "> 0 and finite")

    def gap(self) -> Array:
        """Return the gap: >= 0; inf means that there is no second score."""
        value = self._cast("gap")
        return self._require("gap", value, value >= 0, ">= 0")

    def share(self) -> Array:
        """Return the share: strictly between 1/2 and 1."""
        value = self._cast("share")
        return self._require("share", value, (value > 0.5) & (value < 1), "strictly between 1/2 and 1")

    def alpha(self, alpha: float) -> float:
        """Return alpha, one number from 1 to 2 that says which smoothing."""
        number = isinstance(alpha, int | float | np.integer | np.floating) and not isinstance(alpha, bool)
        if not number or not 1 <= alpha <= 2:
            error = ValueError if number else TypeError
            raise error(f"alpha must be one number from 1 (log-sum-exp) to 2 (sparsemax), not {_shown(alpha)}")
        return float(alpha)

    def others(self) -> Array:
        """Return n - 1 in floating point, n being a count >= 1."""
        count = self.values["n"]
        self._require("n", count, count >= 1, ">= 1")
        return self._to_inside(count - 1)

    def finite(self, name: str, where: Array) -> Array:
        """Return a floating-point argument that is finite wherever it counts, and 0 elsewhere."""
        value = self.xp.where(where, self._cast(name), 0.0)
        return self._require(name, value, self.xp.isfinite(value), "finite")

    def integer(self, name: str, low: int, high: float, where: Array | None = None) -> Array:
        """Return an integer argument from low to high wherever it counts, and the nearest of them to 0 elsewhere."""
        value = self.xp.asarray(self.values[name], device=self.device)
        value = value if where is None else self.xp.where(where, value, max(low, 0))
        rule = f"an integer >= {low}" if high == math.inf else f"an integer from {low} to {high}"
        return self._require(name, value, (value >= low) & (value <= high), rule)

    def leave(self, result: Array) -> Array:
        """Return a result in the dtype of the call; a numpy result without axes becomes a scalar."""
        with np.errstate(over="ignore"):  # beyond float16 is inf, as in torch
            result = self.xp.astype(result, self.dtype, copy=False)
        return result[()] if is_numpy_array(result) else result

    def _result_dtype(self, arrays: dict[str, Array]) -> DType:
        if "scores" in arrays:
            return arrays["scores"].dtype
        dtypes = [value.dtype for name, value in arrays.items() if name not in {*self.integers, *self.follow}]
        return self.xp.result_type(*dtypes) if dtypes else self.xp.float64

    def _cast(self, name: str) -> Array:
        return self._to_inside(self.values[name])

    def _to_inside(self, value: Array) -> Array:
        if isinstance(value, np.ndarray | np.generic):
            with np.errstate(over="ignore"):  # what is too large becomes inf, and is refused as that
                return self.xp.asarray(value, dtype=self.inside, device=self.device)
        inside = self.xp.astype(value, self.inside, copy=False)
        if is_torch_array(inside) and inside.requires_grad and _name(value.dtype) in HALVES:
            # A slope that is finite here may be beyond the half it goes back to: there it saturates, and is not inf.
            largest = self.xp.finfo(value.dtype).max
            inside.register_hook(lambda gradient: gradient.clamp(-largest, largest))
        return inside

    def _require(self, name: str, value: Array, good: Array, rule: str) -> Array:
        if not bool(self.xp.all(good) if is_torch_array(good) else np.all(good)):
            bad = value[~good].reshape(-1)[0] if value.ndim else value
            where = "" if name in self.integers or self.inside == self.xp.float64 else f" in {_name(self.inside)}"
            raise ValueError(f"{name} must be {rule}{where}, not {bad.item()!r}")
        return value


def namespace(*arrays: Array) -> ModuleType:
    """Return the functions of the library of one or several arrays, numpy or torch, by their standard names.

    Examples
    --------
    >>> namespace(np.zeros(2)).exp(np.zeros(2))
    array([1., 1.])
    """
    return array_api_compat.array_namespace(*arrays)


def is_torch(array: Array) -> bool:
    """Return whether an array is a tensor of torch."""
    return is_torch_array(array)


def detach(array: Array) -> Array:
    """Return the same numbers, cut from torch's graph."""
    return array.detach() if is_torch_array(array) else array


def column(array: Array) -> Array:
    """Return a parameter (...) as (..., 1), to go with sets (..., n)."""
    return array[..., None]


def positions(array: Array) -> Array:
    """Return 0, 1, ..., n - 1 along the last axis, on the array's device."""
    return namespace(array).arange(array.shape[-1], device=array_api_compat.device(array))


def constant(number: float, array: Array) -> Array:
    """Return a number as an array without axes, in an array's library, dtype and on its device."""
    return namespace(array).full((), number, dtype=array.dtype, device=array_api_compat.device(array))


def held(name: str, number: float, array: Array, low: float = 0.0, high: float = math.inf) -> Array:
    """Return a number as :func:`constant` does; in the array's dtype, too, it must lie strictly between two others.

    Raises
    ------
    ValueError
        If it does not: 1e-46, say, is 0 in float32.
    """
    kind = _name(array.dtype)
    if not low < _rounded(number, kind) < high:
        rule = "> 0 and finite" if low == 0 else f"strictly between {Fraction(low)} and {high:g}"
        raise ValueError(f"{name} must be {rule} in {kind}, not {_rounded(number, kind)!r}")
    return constant(number, array)


@functools.cache
def _rounded(number: float, kind: str) -> float:
    """Return a number as a dtype holds it; bfloat16 has the range of float32."""
    if kind not in FLOATS:
        raise TypeError(f"scores must be a floating-point array, not one of {kind}: {TYPES}")
    with np.errstate(over="ignore", under="ignore"):
        return float(np.dtype(kind.replace("bfloat16", "float32")).type(number))


def softplus(x: Array) -> Array:
    """Return log(1 + exp(x)) of an array, which is -log sigmoid(-x).

    Examples
    --------
    >>> softplus(np.array([-1000.0, 0.0, 20.0])).round(4)
    array([ 0.    ,  0.6931, 20.    ])
    """
    # Not logaddexp, whose second derivative in torch is NaN from 89 on in float32. And not from abs: with these two
    # halves the slope at 0, where a run with policy = reference starts, is 1/2, and the second one 1/4.
    xp, positive = namespace(x), x > 0
    above, below = xp.where(positive, x, 0.0), xp.where(positive, 0.0, x)
    return above + xp.log1p(xp.exp(below - above))


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) of an array, the slope of :func:`softplus`.

    Examples
    --------
    >>> sigmoid(np.array([-2.0, 0.0, 2.0])).round(4)
    array([0.1192, 0.5   , 0.8808])
    """
    return namespace(x).exp(-softplus(-x))


def in_blocks(function: Callable[..., Array], *arrays: Array) -> Array:
    """Return an elementwise function of arrays that broadcast, computed block by block where numpy gains from it."""
    arrays = namespace(*arrays).broadcast_arrays(*arrays)
    if not is_numpy_array(arrays[0]) or arrays[0].size <= BLOCK:
        return function(*arrays)
    flat = [array.reshape(-1) for array in arrays]
    starts = range(0, len(flat[0]), BLOCK)
    blocks = [function(*(array[start : start + BLOCK] for array in flat)) for start in starts]
    return np.concatenate(blocks).reshape(arrays[0].shape)


def autograd(function: Callable[[Any], Array], x: Array) -> Array:
    """Return the slopes of the sum of a function of a tensor x, by torch's autograd; without a graph."""
    import torch

    with torch.enable_grad():
        leaf = cast(torch.Tensor, x).detach().requires_grad_()
        total = cast(torch.Tensor, function(leaf)).sum()
    if not total.requires_grad:
        return torch.zeros_like(leaf)
    return torch.autograd.grad(total, leaf, materialize_grads=True)[0]


def has_graph(function: Callable[[Any], Array], x: Array) -> bool:
    """Return whether what a function of a tensor x returns can be differentiated in x."""
    import torch

    with torch.enable_grad():
        return cast(torch.Tensor, function(cast(torch.Tensor, x).detach().requires_grad_())).requires_grad


def with_gradient(value: Array, slopes: Array, slopes_of: Callable[..., Array], x: Array, *constants: Array) -> Array:
    """Return a value (...) that was computed without a graph, with the gradient ``slopes`` (..., n) in x (..., n).

    ``slopes_of(x, *constants)`` returns the slopes again, with their graph: a second derivative is theirs.
    """
    if not (is_torch_array(x) and x.requires_grad):
        return value
    return _closed_form().apply(value, slopes, slopes_of, x, *constants)


@functools.cache
def _closed_form() -> "type[torch.autograd.Function]":
    """Return the function of torch's graph whose gradient is given; made on first use, as it needs torch."""
    import torch
    from torch import Tensor

    class ClosedForm(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(
            value: Tensor, slopes: Tensor, slopes_of: Callable[..., Tensor], x: Tensor, *constants: Tensor
        ) -> Tensor:
            return value.clone()

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
            _, slopes, ctx.slopes_of, *rest = inputs
            ctx.save_for_backward(slopes, *rest)
            ctx.save_for_forward(slopes, *rest)

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Array | None, ...]:
            return None, None, None, column(grad) * _slopes(ctx), *[None] * (len(ctx.saved_tensors) - 2)

        @staticmethod
        def jvp(ctx: Any, value: None, slopes: None, slopes_of: None, x: Tensor, *constants: None) -> Tensor:
            return (_slopes(ctx) * x).sum(dim=-1)

    def _slopes(ctx: Any) -> Tensor:
        slopes, *rest = ctx.saved_tensors
        # Where the gradient gets a graph of its own, so must the slopes: as constants they are lost to the Hessian.
        return ctx.slopes_of(*rest) if torch.is_grad_enabled() else slopes

    return ClosedForm


def row_sum(array: Array) -> Array:
    """Return the sums over the last axis, rounded pairwise."""
    # NumPy adds a strided last axis one by one: 391 eps at n = 1e5 in float32, where a contiguous one keeps to 50.
    array = np.ascontiguousarray(array) if is_numpy_array(array) else array.contiguous()
    return namespace(array).sum(array, axis=-1)


def to_numpy(array: Numbers) -> np.ndarray:
    """Return the values as a numpy array, off any device and graph, floating-point ones in float64."""
    if is_torch_array(array):
        array = array.detach().cpu()
        array = (array.double() if array.is_floating_point() else array).numpy()  # numpy has no bfloat16
    array = np.asarray(array)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def like(numbers: np.ndarray, array: Array) -> Array:
    """Return numpy numbers in the library, dtype and on the device of an array."""
    return namespace(array).asarray(numbers, dtype=array.dtype, device=array_api_compat.device(array))


def _is_array(value: object) -> bool:
    return is_torch_array(value) or (isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray))


def _from_plain(name: str, value: Any, integer: bool) -> np.ndarray:
    rule = f"{name} must be numbers, (nested) lists of numbers, a numpy array or a torch tensor"
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if hasattr(value, "to_numpy"):
        raise TypeError(f"{rule}, not a {type(value).__name__}: give its .to_numpy()")
    if not number and not isinstance(value, list | tuple):
        raise TypeError(f"{rule}, not {_shown(value)}")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError):
        raise TypeError(f"{rule} of one length, not {_shown(value)}") from None
    if array.dtype.kind == "O" and number:
        raise ValueError(f"{name} must be a number that a float or an int64 can hold, not {_shown(value)}")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{rule}, not {_shown(value)}")
    if integer and array.dtype.kind == "f" and array.size:
        raise TypeError(f"{name} must be an integer or integers, not {_shown(value)}")
    return array if integer and array.size else array.astype(np.float64)


def _holds_integers(value: Array) -> bool:
    return _name(value.dtype).startswith(("int", "uint"))


def _check_dtype(name: str, value: Array, integer: bool) -> None:
    kind = _name(value.dtype)
    if integer and not _holds_integers(value):
        raise TypeError(f"{name} must be an integer or integers, not {_shown(value)}")
    if not integer and kind not in FLOATS:
        raise TypeError(f"{name} must be a floating-point array, not one of {kind}: {TYPES}")


def _one_namespace(arrays: dict[str, Array]) -> ModuleType:
    libraries = {"torch" if is_torch_array(value) else "numpy" for value in arrays.values()}
    if len(libraries) > 1:
        kinds = ", ".join(f"{name} is {'torch' if is_torch_array(v) else 'numpy'}" for name, v in arrays.items())
        raise TypeError(f"arguments must come from one array library, but {kinds}")
    return namespace(*(arrays.values() or [np.zeros(())]))


def _check_shapes(values: dict[str, Array]) -> None:
    shapes = {name: tuple(value.shape) for name, value in values.items()}
    leading = {name: shape[:-1] if name == "scores" else shape for name, shape in shapes.items()}
    try:
        np.broadcast_shapes(*leading.values())
    except ValueError:
        shown = ", ".join(f"{name} has shape {shape}" for name, shape in shapes.items())
        note = " (parameters meet the axes of scores before the last)" if "scores" in shapes else ""
        raise ValueError(f"arguments must broadcast, but {shown}{note}") from None


def _name(dtype: DType) -> str:
    return str(dtype).removeprefix("torch.")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
