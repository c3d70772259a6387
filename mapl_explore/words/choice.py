"""How the language of explorers and lessons is chosen, kept by what was made in it, and read from its catalogue."""

import gettext
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CATALOGUES = Path(__file__).parent
VARIABLE = "MAPL_LANGUAGE"  # of the environment: the language of a process that chooses none
ENGLISH = "en"


@dataclass(frozen=True)
class Language:
    """A language: its name, such as ``de``, and its words."""

    name: str
    words: gettext.NullTranslations


# What is shown keeps the language that it was made in, also on the threads that answer a browser.
_kept: ContextVar[Language | None] = ContextVar("kept", default=None)
_chosen: Language | None = None


def language(name: str | None = None) -> str:
    """Choose the language of explorers and lessons that are made from now on, and return it.

    Losses, code that is copied and the command line stay English. The variable ``MAPL_LANGUAGE`` of the environment
    chooses, too, before the first word is shown.

    Parameters
    ----------
    name : str, optional
        ``"en"``, or a language that has a catalogue, such as ``"de"``; the one in force stays if not given.

    Raises
    ------
    TypeError, ValueError
        If there is no such language; the message has those that there are.
    ImportError
        If babel, which reads catalogues, is missing.

    Examples
    --------
    >>> from mapl_explore import BoundsExplorer
    >>> language("de")
    'de'
    >>> BoundsExplorer(n=1)  # doctest: +NORMALIZE_WHITESPACE
    BoundsExplorer(tau=5, epsilon=0.05, n=1, against='tau', post='hide'): ein Score: Der Glättungsfehler ist bei jedem
    tau 0
    >>> language("en")
    'en'
    """
    global _chosen
    if name is not None:
        _chosen = _language(name, "language")
    return spoken().name


def languages() -> list[str]:
    """Return the languages that there are."""
    return sorted({ENGLISH, *(path.stem for path in CATALOGUES.glob("*.[pm]o"))})


def spoken() -> Language:
    """Return the language in force: that of what is being shown, or the one that was chosen last."""
    global _chosen
    kept = _kept.get()
    if kept is not None:
        return kept
    if _chosen is None:
        _chosen = _language(os.environ.get(VARIABLE) or ENGLISH, VARIABLE)
    return _chosen


@contextmanager
def speaking(one: Language) -> Iterator[None]:
    """Have a language in force for a while, on this thread."""
    token = _kept.set(one)
    try:
        yield
    finally:
        _kept.reset(token)


def _(text: str) -> str:
    """Return a text in the language in force."""
    return text and spoken().words.gettext(text)  # the empty id is the head of a catalogue


def ngettext(one: str, several: str, count: int) -> str:
    """Return the text for one or for several, in the language in force."""
    return spoken().words.ngettext(one, several, count)


def N_(text: str) -> str:  # the name that gettext's tools know
    """Mark a constant for catalogues, and return it as it is."""
    return text


def _language(name: str, said: str) -> Language:
    if not isinstance(name, str):
        raise TypeError(f"{said} must be a string, such as 'de', not {name!r}")
    if name not in languages():
        raise ValueError(f"{said} must be one of {', '.join(languages())}, not {name!r}")
    return Language(name, _catalogue(name))


@cache
def _catalogue(name: str) -> gettext.NullTranslations:
    """Return the words of a catalogue; one that is compiled already, as for a browser, is read without babel."""
    if name == ENGLISH:
        return gettext.NullTranslations()
    compiled = CATALOGUES / f"{name}.mo"
    return gettext.GNUTranslations(io.BytesIO(compiled.read_bytes() if compiled.exists() else compiled_words(name)))


def compiled_words(name: str) -> bytes:
    """Return a catalogue as gettext reads it."""
    try:
        from babel.messages.mofile import write_mo
        from babel.messages.pofile import read_po
    except ModuleNotFoundError as error:
        raise ImportError(f"language {name!r} needs {error.name}: pip install 'mapl_explore[lab]'") from error
    binary = io.BytesIO()
    with open(CATALOGUES / f"{name}.po", encoding="utf-8") as file:
        write_mo(binary, read_po(file, locale=name))
    return binary.getvalue()
