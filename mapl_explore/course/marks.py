"""What a student has answered, kept in ``marks.json`` next to the notebooks: written at once, found again later.

{"format": 1, "name": "Ada", "answers": {"01-A": {"given": 3.5, "right": false, "tries": 2, "when": "2026-..."}}}
"""

import base64
import contextlib
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mapl_explore.course.given import as_array, kind
from mapl_explore.files import require_folder, shortened, write_json
from mapl_explore.words import _, ngettext

FILE, LOCK = "marks.json", ".marks.lock"
PATIENCE = 10  # seconds that a window waits for another one: a file of 40 answers is written in a few milliseconds
LARGEST = 1_000_000  # bytes; 40 answers with words of one's own take less than 100,000
EMPTY: dict[str, Any] = {"format": 1, "name": "", "answers": {}}


def kept(key: str, folder: Path) -> dict[str, Any] | None:
    """Return what was answered to a question; None if there is nothing, or nothing that can be read."""
    return _written(folder)["answers"].get(key)


def keep(key: str, given: object, right: bool | None, folder: Path, *, first: bool = False) -> str:
    """Keep an answer; return "", or why it could not be kept.

    What was right stays, and counts no more tries; of a guess, the ``first`` stays. A cell that is run again with the
    same answer is no other try. Other windows may write as well.
    """

    def added(marks: dict[str, Any]) -> None:
        old, answer = marks["answers"].get(key, {"tries": 0, "right": None}), _plain(given)
        if old["right"] is True or (old["tries"] and (old["given"], old["right"]) == (answer, right)):
            return
        now = datetime.now(UTC).isoformat(timespec="seconds")
        new = old if old["tries"] and first else {"given": answer, "right": right, "when": now}
        marks["answers"][key] = new | {"tries": old["tries"] + 1}

    return _changed(folder, added)


def sign(name: str) -> str:
    """Keep the name of the student for the class's table; say what was kept.

    Examples
    --------
    >>> sign("")
    'no name yet: the table of the class has the name of the folder'
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {shortened(name)}")
    name = name.strip()
    fault = _changed(Path.cwd(), lambda marks: marks.update(name=name)) if name else ""
    name = name or _written(Path.cwd())["name"]
    if not name:
        return _("no name yet: the table of the class has the name of the folder")
    kept_as = _("your marks are kept in {file}, as those of {name}")
    return fault or kept_as.format(file=FILE, name=name)


@dataclass(frozen=True)
class HandIn:
    """A link that saves ``marks.json``, as it is now, from a page that has no other way to it; made by :func:`hand_in`.

    Parameters
    ----------
    marks : str
        The content of the file; empty where there is none.
    answers : int
        How many answers it has.
    """

    marks: str
    answers: int

    def __repr__(self) -> str:
        """Return what there is to hand in."""
        if not self.marks:
            return _("there is nothing to hand in yet")
        said = ngettext("{file} with {count} answer", "{file} with {count} answers", self.answers)
        return said.format(file=FILE, count=self.answers)

    def _repr_html_(self) -> str:
        if not self.marks:
            return escape(repr(self))
        content = base64.b64encode(self.marks.encode()).decode()
        label = _("save {what}").format(what=repr(self))
        return f'<a download="{FILE}" href="data:application/json;base64,{content}">{escape(label)}</a>'


def hand_in() -> HandIn:
    """Return a link that saves the marks of this folder as a file, with the answers up to now.

    Raises
    ------
    OSError, ValueError
        If they cannot be read.

    Examples
    --------
    >>> hand_in()
    there is nothing to hand in yet
    """
    path = Path.cwd() / FILE
    if not path.exists():
        return HandIn("", 0)
    marks = read_marks(path)
    return HandIn(json.dumps(marks, ensure_ascii=False), len(marks["answers"]))


def read_marks(path: Path) -> dict[str, Any]:
    """Return the marks of a file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is not of the form above; the message names the file and the rule.
    """
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: must be smaller than {LARGEST:,} bytes")
    try:
        marks = json.loads(path.read_text(encoding="utf-8-sig"))  # Windows' editors put a mark before the text
        json.dumps(marks, ensure_ascii=False).encode()  # half a character of UTF-16 has no place in a table
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: must be JSON in UTF-8: {error}") from None
    for fault in _faults(marks):
        raise ValueError(f"{path}: {fault}")
    return marks


def _faults(marks: Any) -> Iterator[str]:
    """Yield each rule that the content of a file breaks."""
    if not isinstance(marks, dict) or marks.get("format") != 1:
        known = isinstance(marks, dict) and isinstance(marks.get("format"), int)
        other = f", not {marks['format']}, which is of another version of mapl_explore" if known else ""
        yield f'must be an object with "format": 1{other}'
        return
    if not isinstance(marks.get("name"), str):
        yield f'"name" must be a string, not {shortened(marks.get("name"))}'
    if not isinstance(marks.get("answers"), dict):
        yield f'"answers" must be an object, not {shortened(marks.get("answers"))}'
        return
    for key, answer in marks["answers"].items():
        if not isinstance(answer, dict) or "given" not in answer or answer.get("right") not in (True, False, None):
            yield f'the answer {key!a} must have "given", and "right" as true, false or null'
        elif type(answer.get("tries")) is not int or answer["tries"] < 1:
            yield f'"tries" of {key!a} must be a whole number >= 1, not {shortened(answer.get("tries"))}'


def _changed(folder: Path, change: Any) -> str:
    """Change the marks of a folder while no other window does; return why it failed, or ""."""
    path = folder / FILE
    try:
        require_folder(path)
        with _alone(folder):
            marks = read_marks(path) if path.exists() else json.loads(json.dumps(EMPTY))
            change(marks)
            write_json(path, marks)
    except (OSError, ValueError) as error:
        return _("not kept: {error}").format(error=error)
    return ""


def _written(folder: Path) -> dict[str, Any]:
    """Return the marks in a folder; empty ones if there are none, or none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        return read_marks(folder / FILE)
    return EMPTY


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process writes here; the file of the lock stays, as removing it would let two in."""
    if sys.platform == "emscripten":  # a page of a browser is alone with its files, and has no locks
        yield
        return
    import filelock

    try:
        with filelock.FileLock(folder / LOCK, timeout=PATIENCE):
            yield
    except filelock.Timeout:
        busy = _("another window has been writing {file} for {count} seconds")
        raise BlockingIOError(busy.format(file=FILE, count=PATIENCE)) from None


def _plain(given: object) -> Any:
    """Return an answer as JSON has it: what it cannot hold, as the words that Python has for it."""
    array = as_array(given)
    if kind(array) is None or array.size > 1000:
        return shortened(given)
    values = [x if not isinstance(x, float) or math.isfinite(x) else str(x) for x in array.ravel().tolist()]
    return values[0] if array.ndim == 0 else np.array(values, dtype=object).reshape(array.shape).tolist()
