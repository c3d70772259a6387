"""What pairs and losses share: a frozen dataclass whose ``repr`` is its name."""

import math
from dataclasses import field, fields
from numbers import Real

KINDS = {}  # every class that parse knows, by its name


def positive(default: float) -> float:
    """Return a dataclass field for a number > 0."""
    return field(default=default, metadata={"positive": True})


class Named:
    """A frozen dataclass that registers its class by name, checks its fields, and holds numbers as floats.

    With floats only, equal values have equal names: ``DPO(beta=1)`` is called ``DPO(beta=1.0, ...)``.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        KINDS[cls.__name__] = cls

    def __post_init__(self):
        for one in fields(self):
            value = _checked(type(self).__name__, one, getattr(self, one.name))
            object.__setattr__(self, one.name, value)


def _checked(owner: str, one, value):
    if isinstance(value, Real) and not isinstance(value, bool):
        value = float(value)
        if not math.isfinite(value) or (one.metadata.get("positive") and value <= 0):
            rule = "> 0 and finite" if one.metadata.get("positive") else "finite"
            raise ValueError(f"{owner}: {one.name} must be {rule}, not {value}")
    # Where annotations are strings (from __future__ import annotations) there is no type to hold the value to.
    if not isinstance(one.type, str) and not isinstance(value, one.type):
        raise TypeError(f"{owner}: {one.name} must be a {one.type.__name__}, not {value!r}")
    return value
