"""Kernels of rejection sampling: the probability that a pair is accepted, by its margin."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from mapl_explore.files import shortened
from mapl_explore.losses.naming import Named, positive
from mapl_explore.losses.parsing import read_as
from mapl_explore.numerics.arrays import Numbers, to_numpy


class Kernel(Named, ABC):
    """The probability that a pair is accepted, by its margin: a(m) in [0, 1].

    A kernel of your own is a frozen dataclass that inherits from this class and has a ``__call__``.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from mapl_explore import RejectionSampler
    >>> @dataclass(frozen=True)
    ... class Above(Kernel):
    ...     low: float = 0.0
    ...     def __call__(self, margins):
    ...         return (margins > self.low).astype(float)
    >>> RejectionSampler(Above(low=1)).sample(np.random.default_rng(0), [0.0, 2.0], 3)[0]
    array([1, 1, 1])
    """

    @abstractmethod
    def __call__(self, margins: np.ndarray) -> np.ndarray:
        """Return the probability of acceptance (pairs,)."""

    def fitted(self, margins: np.ndarray) -> "Kernel":
        """Return the kernel in nats for a pool of margins (pairs,): itself, if it is in nats already."""
        return self


@dataclass(frozen=True)
class Band(Kernel):
    """Accept the margins from ``low`` to ``high``, and no others.

    Parameters
    ----------
    low, high : float
        In nats, both ends included.

    Examples
    --------
    >>> Band(low=0, high=2)(np.array([-1.0, 0.0, 1.5, 3.0]))
    array([0., 1., 1., 0.])
    """

    low: float = 0.0
    high: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise ValueError(f"Band: low must be <= high, not {self.low} > {self.high}")

    def __call__(self, margins: Numbers) -> np.ndarray:
        margins = margin_array(margins)
        return ((margins >= self.low) & (margins <= self.high)).astype(float)


@dataclass(frozen=True)
class Bell(Kernel):
    r"""Accept a margin with a probability that falls with its distance from ``center``.

    .. math:: a(m) = \exp\Bigl(-\tfrac12 \bigl(\tfrac{m - \text{center}}{\text{width}}\bigr)^2\Bigr)

    Parameters
    ----------
    center, width : float
        In nats, width > 0.

    Examples
    --------
    >>> Bell(center=0, width=1)(np.array([0.0, 1.0, 3.0])).round(3)
    array([1.   , 0.607, 0.011])
    """

    center: float = 0.0
    width: float = positive(1.0)

    def __call__(self, margins: Numbers) -> np.ndarray:
        return np.exp(-0.5 * ((margin_array(margins) - self.center) / self.width) ** 2)


@dataclass(frozen=True)
class QuantileBand(Kernel):
    """A :class:`Band` whose ends are quantiles of the pool.

    Parameters
    ----------
    low, high : float
        In [0, 1].

    Examples
    --------
    >>> QuantileBand(low=0.25, high=0.75).fitted(np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    Band(low=1.0, high=3.0)
    """

    low: float = 0.25
    high: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"QuantileBand: 0 <= low <= high <= 1 must hold, not low={self.low}, high={self.high}")

    def fitted(self, margins: Numbers) -> Band:
        return Band(*np.quantile(margin_array(margins), [self.low, self.high]))

    def __call__(self, margins: Numbers) -> np.ndarray:
        return self.fitted(margins)(margins)


@dataclass(frozen=True)
class QuantileBell(Kernel):
    """A :class:`Bell` around a quantile of the pool, with a width in parts of its interquartile range.

    Parameters
    ----------
    center : float
        In [0, 1].
    width : float
        > 0; 1 is the pool's interquartile range.

    Examples
    --------
    >>> QuantileBell(center=0.5, width=0.5).fitted(np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    Bell(center=2.0, width=1.0)
    """

    center: float = 0.5
    width: float = positive(0.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.center <= 1:
            raise ValueError(f"QuantileBell: center must be in [0, 1], not {self.center}")

    def fitted(self, margins: Numbers) -> Bell:
        margins = margin_array(margins)
        low, high = np.quantile(margins, [0.25, 0.75])
        if low == high:
            raise ValueError(f"QuantileBell: half of the margins are {low:.6g} nats, so their range gives no width")
        return Bell(center=np.quantile(margins, self.center), width=self.width * (high - low))

    def __call__(self, margins: Numbers) -> np.ndarray:
        return self.fitted(margins)(margins)


def parse_kernel(text: str) -> Kernel:
    """Return the kernel that a text names as its ``repr`` would; nothing is evaluated.

    Raises
    ------
    ValueError
        If it names none; the error points at the place and lists the kernels.

    Examples
    --------
    >>> parse_kernel("Band(low=0, high=2)")
    Band(low=0.0, high=2.0)
    """
    return read_as(Kernel, text)


def margin_array(margins: Numbers) -> np.ndarray:
    """Return margins (pairs,), given in numpy, torch or a list, as numpy float64.

    Raises
    ------
    TypeError
        If they are not numbers.
    ValueError
        If there is none, one is NaN or infinite, or they have more than one axis.
    """
    array = _number_array(margins)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"margins must be (pairs,), at least one, not of shape {array.shape}")
    bad = array.size - np.isfinite(array).sum()
    if bad:
        raise ValueError(f"margins must be finite, but {bad} of {array.size} {'is' if bad == 1 else 'are'} not")
    return array.astype(float)


def _number_array(margins: Numbers) -> np.ndarray:
    try:
        array = to_numpy(margins)
    except (TypeError, ValueError):  # a list of lists of different lengths, a sparse tensor
        array = np.array(None)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"margins must be numbers, an array (pairs,), not {shortened(margins)}")
    return array
