"""An answer, marked: right, or wrong with a word on why, or not yet there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mapl_explore.course.given import BOOL, NUMBER, STRING, as_array, fault_of, folded, kind
from mapl_explore.course.marks import keep, kept
from mapl_explore.course.sealed import opened_text, sealed_answer, verdict
from mapl_explore.words import _

# Of the bar before the words, which themselves are in the page's colour: blue and vermilion differ for every kind of
# colour vision, and each has a contrast above 3 to 1 on white and on a dark page.
COLORS = {True: "#0072b2", False: "#d55e00", None: "#767676"}
SIGNS = {True: "✓", False: "✗", None: "…"}


def check(
    exercise: str,
    given: object,
    expected: object = None,
    *,
    rtol: float = 0.01,
    choices: Sequence[str] = (),
    hint: str = "",
    low: str = "",
    high: str = "",
    key: str | None = None,
) -> "Mark":
    """Mark the answer to an exercise; a wrong one, of any kind, is marked and raises no error.

    Numbers are right within ``rtol`` times the size of the expected one, or within ``rtol`` of an expected 0; words
    are compared without their case and the space around them; True and False must be equal. An array or list
    is right if it has the expected shape and each of its elements is right.

    Parameters
    ----------
    exercise : str
        Its label, such as "A".
    given
        The answer: a number, a string, a bool, or an array or list of these; None if there is none yet.
    expected
        The right answer, of the same kind; not given in a student's copy.
    rtol : float
        The tolerance, >= 0.
    choices : sequence of str
        The words that the exercise lets choose from; an answer that is none of them is told them.
    hint : str
        What to say of a wrong answer.
    low, high : str
        What to say instead of a single number that is too small or too large.
    key : str, optional
        The question's name in a student's copy: the answer is compared with the hidden one of ``answers.json``, which
        also has the tolerance and what is said, and is kept in ``marks.json``, both next to the notebook.

    Returns
    -------
    Mark
        The last line of a cell shows it as a sentence; ``right`` is a bool.

    Raises
    ------
    TypeError, ValueError
        If ``expected`` is none of these kinds, holds NaN or is no choice, or ``rtol`` is no number >= 0.
    OSError, LookupError
        If there is no ``answers.json``, or the key is not in it.

    Examples
    --------
    >>> check("A", None, 0.37)
    A: no answer yet
    >>> check("A", 0.3, 0.37, low="the bound is further up")
    A: not yet, the bound is further up
    >>> check("A", 0.368, 0.37)
    A is right
    >>> check("B", "cold", "red", choices=["red", "blue"])
    B: not yet, the answer should be one of these: red, blue
    """
    if key is not None:
        return _checked_by_key(exercise, given, key)
    target = as_array(expected)
    if kind(target) is None or (kind(target) == NUMBER and np.isnan(target).any()):
        raise TypeError(f"expected must be a number, a string, a bool or a list of these, not {expected!r}")
    if not rtol >= 0:
        raise ValueError(f"rtol must be >= 0, not {rtol!r}")
    if choices and fault_of(target, STRING, target.shape, choices):
        raise ValueError(f"expected must be one of the choices {list(choices)}, not {expected!r}")
    if given is None:
        return Mark(exercise, None, _("no answer yet"))
    answer = as_array(given)
    fault = fault_of(answer, kind(target), target.shape, choices)
    if fault is None and _close(answer, target, rtol).all():
        return Mark(exercise, True, "")
    advice = fault or _advice(answer, target, hint, low, high)
    return Mark(exercise, False, _not_yet(advice))


def _checked_by_key(exercise: str, given: object, key: str) -> "Mark":
    """Mark an answer by the hidden one, and keep it; without one, tell what was kept before."""
    folder = Path.cwd()
    entry = sealed_answer(key, folder)
    if given is None:
        return _kept_mark(exercise, key, folder)
    answer = as_array(given)
    fault = fault_of(answer, entry["kind"], entry["shape"], entry.get("choices", ()))
    said = None if fault else verdict(entry, answer)
    right, before = said == "right", kept(key, folder)
    words = "" if right else _not_yet(fault or _hidden_advice(entry, said))
    stays = _("your right answer from before still counts") if before and before["right"] and not right else ""
    return Mark(exercise, right, words, note=keep(key, given, right, folder) or stays)


def _hidden_advice(entry: dict[str, Any], side: str | None) -> str:
    """Return what to say of a wrong answer that is too low, too high or neither."""
    # Students' copies of version 0.1.0 have it as it is.
    texts = json.loads(opened_text(entry["advice"])) if "advice" in entry else entry
    return str(texts[side or "hint"] or texts["hint"])


def _kept_mark(exercise: str, key: str, folder: Path) -> "Mark":
    old = kept(key, folder)
    if old is None:
        return Mark(exercise, None, _("no answer yet"))
    before = _("your answer from before: {given}").format(given=old["given"])
    return Mark(exercise, old["right"], _("not yet"), note=before)


def _not_yet(advice: str) -> str:
    return _("not yet, {advice}").format(advice=advice) if advice else _("not yet")


@dataclass(frozen=True)
class Mark:
    """Whether an answer is right, and what is said of it; made by :func:`check`.

    Parameters
    ----------
    exercise : str
        Its label.
    state : bool or None
        Whether the answer is right; None without one.
    words : str
        What is said of an answer that is not right.
    note : str
        What else is said: which answer this is about, if not the one in the cell, or why it could not be kept.
    """

    exercise: str
    state: bool | None
    words: str
    note: str = ""

    @property
    def right(self) -> bool:
        """Whether there is an answer and it is right."""
        return self.state is True

    def __repr__(self) -> str:
        """Return the mark as a sentence."""
        right = _("{exercise} is right").format(exercise=self.exercise)
        said = right if self.right else f"{self.exercise}: {self.words}"
        return f"{said} ({self.note})" if self.note else said

    def _repr_html_(self) -> str:
        return signed(self.state, repr(self))


def signed(state: bool | None, text: str) -> str:
    """Return a text with the sign and the colour of right, wrong or neither."""
    look = f"display: inline-block; border-left: 0.3em solid {COLORS[state]}; padding: 0.1em 0.5em; font-weight: bold"
    return f'<span style="{look}">{SIGNS[state]} {escape(text)}</span>'


def _close(answer: np.ndarray, target: np.ndarray, rtol: float) -> np.ndarray:
    """Return which elements are right."""
    if kind(target) == STRING:
        return np.asarray(folded(answer) == folded(target))
    if kind(target) == BOOL:
        return answer == target
    answer, target = answer.astype(np.float64), target.astype(np.float64)
    # A relative 1e-12 more: 1.01 - 1 is 0.010000000000000009 in floats, and 1.01 is within a hundredth of 1.
    allowed = rtol * (1 + 1e-12) * np.where(target == 0, 1.0, np.abs(target))
    with np.errstate(invalid="ignore"):  # inf - inf
        near = np.abs(answer - target) <= allowed
    # To an infinite target everything finite would be near.
    return (answer == target) | (near & np.isfinite(target))


def _advice(answer: np.ndarray, target: np.ndarray, hint: str, low: str, high: str) -> str:
    """Return what to say of a wrong answer that can be compared."""
    if kind(target) != NUMBER or target.ndim > 0:
        return hint
    return (low if answer < target else high) or hint
