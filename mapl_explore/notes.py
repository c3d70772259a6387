"""Notes on results that are right but that a user should know more about, and what is refused in one line."""

import contextlib
import warnings
from collections.abc import Iterator

_listening: list[list[str]] = []


class Note(UserWarning):
    """A warning that tells what was done, where nothing has failed; the command line prints it as a line."""


class Refusal(Exception):
    """An error that is whole without a traceback: its line says what of a user's is refused, and why."""


def note(text: str) -> None:
    """Warn with a :class:`Note`; Python shows each text once."""
    for texts in _listening:
        texts.append(text)
    warnings.warn(text, Note, stacklevel=2)


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """Collect the texts of the notes of a block, which are shown all the same."""
    texts: list[str] = []
    _listening.append(texts)
    try:
        yield texts
    finally:
        _listening.remove(texts)
