"""Tables of a TOML file: what they may hold, and errors that begin with their place."""

import contextlib
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mapl_explore.files import check_text, shortened


@contextlib.contextmanager
def placed(place: str) -> Iterator[None]:
    """Let every error in the block begin with its place."""
    try:
        yield
    except TypeError as error:
        raise TypeError(f"{place}{error}") from None
    except ValueError as error:
        raise ValueError(f"{place}{error}") from None


def require_known(table: Mapping[str, Any], known: Iterable[str], place: str) -> None:
    """Raise where a table has a key that is not known."""
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(str(key), list(known), n=1)
            raise ValueError(f"{place} has no key {key!r}{f'; did you mean {near[0]}?' if near else ''}")


def table_in(table: Mapping[str, Any], key: str, default: Any = None, place: str = "") -> Mapping[str, Any]:
    """Return the table that stands under a key of another one."""
    value = table.get(key, default)
    if value is None:
        raise ValueError(f"{key} is missing")
    if not isinstance(value, Mapping):
        raise TypeError(f"{place}{key} must be a table, not {shortened(value)}")
    return value


def several(name: str, values: list | tuple, rule: Callable[[str, Any], Any]) -> tuple[Any, ...]:
    """Return at least one value, each by its rule and all different."""
    found = tuple(rule(name, one) for one in values)
    if not found or any(one in found[:place] for place, one in enumerate(found)):
        raise ValueError(f"{name} must hold at least one value, all different, not {shortened(list(values))}")
    return found


def text_of(table: Mapping[str, Any], key: str) -> str:
    """Return a text that must be given, its lines joined."""
    if key not in table:
        raise ValueError(f"{key} is missing")
    check_text(key, table[key])
    if not table[key].strip():
        raise ValueError(f"{key} must not be empty")
    return " ".join(table[key].split())
