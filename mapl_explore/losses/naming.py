"""What pairs and losses share: a frozen dataclass whose ``repr`` is its name."""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields
from numbers import Real
from typing import Any, ClassVar

KINDS: dict[str, type["Named"]] = {}  # every class that parse knows, by its name


RULES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "positive": ("> 0 and finite", lambda value: 0 < value < math.inf),
    "nonnegative": (">= 0 and finite", lambda value: 0 <= value < math.inf),
    "divisor": ("from 1e-30 to 1e30", lambda value: 1e-30 <= value <= 1e30),
    "share": ("strictly between 1/2 and 1", lambda value: 0.5 < value < 1),
    "alpha": ("from 1 to 2", lambda value: 1 <= value <= 2),
    "flips": (">= 0 and below 1/2", lambda value: 0 <= value < 0.5),
    "finite": ("finite", math.isfinite),
}


def positive(default: float) -> float:
    """Return a dataclass field for a number > 0."""
    return field(default=default, metadata={"rule": "positive"})


def nonnegative(default: float) -> float:
    """Return a dataclass field for a number >= 0."""
    return field(default=default, metadata={"rule": "nonnegative"})


def divisor(default: float) -> float:
    """Return a dataclass field for a number that is divided by: with its inverse it is one that float32 holds."""
    return field(default=default, metadata={"rule": "divisor"})


def share(default: float) -> float:
    """Return a dataclass field for a number strictly between 1/2 and 1."""
    return field(default=default, metadata={"rule": "share"})


def alpha(default: float) -> float:
    """Return a dataclass field for the alpha of a smoothing."""
    return field(default=default, metadata={"rule": "alpha"})


def flips(default: float) -> float:
    """Return a dataclass field for a number from 0 to below 1/2."""
    return field(default=default, metadata={"rule": "flips"})


class Named:
    """A frozen dataclass that registers its class by name, checks its fields, and holds numbers as floats.

    With floats only, equal values have equal names: ``DPO(beta=1)`` is called ``DPO(beta=1.0, ...)``. The name of a
    class of this library is taken; of two others the name means the later one, as in a notebook whose cell runs again.

    Raises
    ------
    ValueError
        When a class is defined under a name that is taken.
    """

    NEEDS: ClassVar[tuple[str, ...]] = ()  # the fields that a class must have
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        taken = KINDS.get(cls.__name__, cls)
        if taken.__module__.startswith("mapl_explore.") and taken.__module__ != cls.__module__:
            raise ValueError(f"the name {cls.__name__} is taken by {taken.__module__}: give the class another")
        KINDS[cls.__name__] = cls

    def __init__(self, *values: object, **named: object) -> None:
        """Refuse what is no dataclass; a dataclass has an ``__init__`` of its own."""
        require_form(type(self))

    def __post_init__(self) -> None:
        require_form(type(self))
        for one in fields(self):
            value = _checked(type(self).__name__, one, getattr(self, one.name))
            object.__setattr__(self, one.name, value)


def require_form(kind: type[Any]) -> None:
    """Raise TypeError if a class is no frozen dataclass with a default for every field and all fields that it needs."""
    name, made = kind.__name__, getattr(kind, "__dataclass_params__", None)
    if made is None or ("__dataclass_params__" not in vars(kind) and inspect.get_annotations(kind)):
        raise TypeError(f"{name} must be a frozen dataclass: write @dataclass(frozen=True) above class {name}")
    if not made.frozen:
        raise TypeError(f"{name} must be a frozen dataclass: write @dataclass(frozen=True), not @dataclass")
    for one in fields(kind):
        if one.default is MISSING and one.default_factory is MISSING:
            raise TypeError(f"{name}: the field {one.name} must have a default")
    for needed in set(kind.NEEDS) - {one.name for one in fields(kind)}:
        raise TypeError(f"{name} must have a field {needed}, as in {needed}: {needed.capitalize()} = Hardest()")


def _checked(owner: str, one: Field[Any], value: object) -> object:
    number = _number_kind(one.type)
    if number and isinstance(value, Real) and not isinstance(value, bool):
        value = _as_number(owner, one.name, value, number)
        rule, holds = RULES[one.metadata.get("rule", "finite")]
        if not holds(value):
            raise ValueError(f"{owner}: {one.name} must be {rule}, not {value}")
    if not _is_of(value, one.type) or (number and isinstance(value, bool) and "bool" not in str(one.type)):
        raise TypeError(f"{owner}: {one.name} must be {_type_name(one.type)}, not {value!r}")
    return value


def _number_kind(annotation: object) -> type | None:
    """Return float or int, as a field is annotated, None where it holds no number; floats go before ints."""
    text = annotation if isinstance(annotation, str) else repr(annotation)
    words = re.findall(r"\w+", text)
    return float if "float" in words else int if "int" in words else None


def _as_number(owner: str, name: str, value: Any, kind: type) -> float | int:
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{owner}: {name} must be a number that a float can hold") from None
    if kind is float:
        return number
    if not number.is_integer():
        raise ValueError(f"{owner}: {name} must be an int, not {value!r}")
    return int(value)


def _is_of(value: object, annotation: Any) -> bool:
    """Return whether a value is of the type of a field, so far as that can be told: not of a text or ``list[int]``."""
    try:
        return isinstance(annotation, str) or isinstance(value, annotation)
    except TypeError:
        return True


def _type_name(kind: Any) -> str:
    if hasattr(kind, "__args__"):
        return " or ".join(_type_name(one) for one in kind.__args__)
    name = kind.__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def short(part: object) -> str:
    """Return the name of a loss, a rule or the like without the limits of rules where they are the usual ones.

    >>> short("DPO(pair=Smooth(tau=LeaderShare(share=0.9, low=0.001, high=1000.0)))")
    'DPO(pair=Smooth(tau=LeaderShare(share=0.9)))'
    """
    return (part if isinstance(part, str) else repr(part)).replace(", low=0.001, high=1000.0", "")
