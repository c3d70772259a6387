"""The last result of a function, for curves that stay where they are while a point moves on them."""

from collections.abc import Callable
from typing import Any

import numpy as np


class Kept:
    """A function that is computed again only when its arguments, arrays or numbers, differ from those of last time.

    Parameters
    ----------
    function : callable
        Of positional arguments; nobody may write into what it returns.

    Examples
    --------
    >>> total = Kept(lambda array: print("computed") or array.sum())
    >>> total(np.array([1.0, 2.0])), total(np.array([1.0, 2.0]))
    computed
    (np.float64(3.0), np.float64(3.0))
    """

    def __init__(self, function: Callable):
        """Keep nothing yet."""
        self._function = function
        self._last: tuple[list, Any] = ([], None)

    def __call__(self, *arguments: Any) -> Any:
        """Return the function's result."""
        now = [(one.shape, one.tobytes()) if isinstance(one, np.ndarray) else one for one in arguments]
        last, result = self._last  # at once: another thread may put a pair in its place
        if now != last:
            result = self._function(*arguments)
            self._last = now, result
        return result
