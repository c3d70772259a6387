"""What pairs and losses share: a frozen dataclass whose ``repr`` is its name."""

import math
from dataclasses import field, fields
from numbers import Real

KINDS = {}  # every class that parse knows, by its name


RULES = {
    "positive": ("> 0 and finite", lambda value: 0 < value < math.inf),
    "nonnegative": (">= 0 and finite", lambda value: 0 <= value < math.inf),
    "share": ("strictly between 1/2 and 1", lambda value: 0.5 < value < 1),
    "finite": ("finite", math.isfinite),
}


def positive(default: float) -> float:
    """Return a dataclass field for a number > 0."""
    return field(default=default, metadata={"rule": "positive"})


def nonnegative(default: float) -> float:
    """Return a dataclass field for a number >= 0."""
    return field(default=default, metadata={"rule": "nonnegative"})


def share(default: float) -> float:
    """Return a dataclass field for a number strictly between 1/2 and 1."""
    return field(default=default, metadata={"rule": "share"})


class Named:
    """A frozen dataclass that registers its class by name, checks its fields, and holds numbers as floats.

    With floats only, equal values have equal names: ``DPO(beta=1)`` is called ``DPO(beta=1.0, ...)``. The name of a
    class of this library is taken; of two others the name means the later one, as in a notebook whose cell runs again.

    Raises
    ------
    ValueError
        When a class is defined under a name that is taken.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        taken = KINDS.get(cls.__name__, cls)
        if taken.__module__.startswith("mapl_explore.") and taken.__module__ != cls.__module__:
            raise ValueError(f"the name {cls.__name__} is taken by {taken.__module__}: give the class another")
        KINDS[cls.__name__] = cls

    def __post_init__(self):
        for one in fields(self):
            value = _checked(type(self).__name__, one, getattr(self, one.name))
            object.__setattr__(self, one.name, value)


def _checked(owner: str, one, value):
    if isinstance(value, Real) and not isinstance(value, bool):
        value = _as_float(owner, one.name, value)
        rule, holds = RULES[one.metadata.get("rule", "finite")]
        if not holds(value):
            raise ValueError(f"{owner}: {one.name} must be {rule}, not {value}")
    # Where annotations are strings (from __future__ import annotations) there is no type to hold the value to.
    if not isinstance(one.type, str) and not isinstance(value, one.type):
        raise TypeError(f"{owner}: {one.name} must be a {_type_name(one.type)}, not {value!r}")
    return value


def _as_float(owner: str, name: str, value) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{owner}: {name} must be a number that a float can hold") from None


def _type_name(kind) -> str:
    return getattr(kind, "__name__", None) or " or a ".join(_type_name(one) for one in kind.__args__)


def short(part) -> str:
    """Return the name of a loss, a rule or the like without the limits of rules where they are the usual ones.

    >>> short("DPO(pair=Smooth(tau=LeaderShare(share=0.9, low=0.001, high=1000.0)))")
    'DPO(pair=Smooth(tau=LeaderShare(share=0.9)))'
    """
    return (part if isinstance(part, str) else repr(part)).replace(", low=0.001, high=1000.0", "")
