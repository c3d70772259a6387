"""What a lesson asks of its reader: a guess before the reveal, and an answer that is marked."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np

# Blue and vermilion differ for every kind of colour vision, and each has a contrast above 5 to 1 on white; the white
# goes along, for a dark theme.
COLORS = {True: "#005a9c", False: "#b03a00", None: "#555555"}
SIGNS = {True: "✓", False: "✗", None: "…"}
NUMBER, STRING, BOOL = "a number", "a string", "True or False"
KINDS = {"i": NUMBER, "u": NUMBER, "f": NUMBER, "U": STRING, "b": BOOL}  # by numpy's letter for a dtype
# ipywidgets gives an option one line of 20 pixels, whatever it holds, and puts the button after it; ours may wrap, with
# the button at the first line. Wide windows are projectors.
LOOK = """<style>
.mapl-predict .widget-radio-box label { height: auto; line-height: 1.4; margin: 0.15em 0 }
.mapl-predict .widget-radio-box label { display: flex; flex-direction: row-reverse; justify-content: flex-end }
.mapl-predict .widget-radio-box input { flex: none; height: 1.4em; margin: 0 0.6em 0 1px }
.mapl-predict .widget-html-content { line-height: 1.4; font-size: var(--jp-widgets-font-size) }
.mapl-predict { --jp-widgets-font-size: 15px }
@media (min-width: 1600px) { .mapl-predict { --jp-widgets-font-size: 18px } }
</style>"""


def predict(question: str, options: Sequence[str], answer: str, why: str = "") -> "Prediction":
    """Ask for a guess, and reveal the answer once there is one.

    Parameters
    ----------
    question : str
        Shown as it is given.
    options : sequence of str
        The choices, at least two, shown as they are given.
    answer : str
        The option that is right.
    why : str
        The reason, shown with the answer; it may hold HTML such as ``<i>`` and ``<sub>``.

    Returns
    -------
    Prediction
        The last line of a cell shows it as a question; ``guess`` is the option that was chosen.

    Raises
    ------
    TypeError, ValueError
        If a text is no string, there are fewer than two options, two are alike, or the answer is none of them.

    Examples
    --------
    >>> predict("As tau grows, the error ...", ["grows", "falls"], "falls", why="Its slope is -H(w)/tau<sup>2</sup>.")
    predict: As tau grows, the error ... [grows | falls]
    """
    return Prediction(question, options, answer, why)


class Prediction:
    """A question with one right option, shown as radio buttons and a button that reveals; made by :func:`predict`.

    ``guess`` is the option that was chosen when the answer was revealed, ``right`` whether it was right; None before.
    """

    def __init__(self, question: str, options: Sequence[str], answer: str, why: str):
        """Check the question and make the widgets."""
        self.question, self.options, self.answer, self.why = question, _options(options), answer, why
        _check_texts(question=question, answer=answer, why=why)
        if answer not in self.options:
            raise ValueError(f"answer must be one of {', '.join(map(repr, self.options))}, not {answer!r}")
        self.guess: str | None = None
        self._lock = threading.RLock()  # widget callbacks run on threads of their own
        self._radio = widgets.RadioButtons(options=self.options, value=None, layout=widgets.Layout(width="auto"))
        self._button = widgets.Button(
            description="Reveal", tooltip="Show the answer, once an option is chosen", disabled=True
        )
        self._verdict = widgets.HTML()
        self._radio.observe(self._chosen, "value")
        self._button.on_click(self._reveal)
        asked = widgets.HTML(f"{LOOK}<b>Predict.</b> {escape(question)}")
        self.widget = widgets.VBox([asked, self._radio, self._button, self._verdict])
        self.widget.add_class("mapl-predict")

    @property
    def right(self) -> bool | None:
        """Whether the guess was right; None before the answer was revealed."""
        return None if self.guess is None else self.guess == self.answer

    def __repr__(self) -> str:
        """Return the question and the options, without the answer."""
        return f"predict: {self.question} [{' | '.join(self.options)}]"

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """Return the widget for a live notebook, a folded answer for a printed one, the question for any other."""
        return self.widget._repr_mimebundle_() | {"text/plain": repr(self), "text/html": self._html()}

    def _html(self) -> str:
        items = "".join(f"<li>{escape(option)}</li>" for option in self.options)
        answer = f"<p><b>{escape(self.answer)}</b></p>{_paragraph(self.why)}"
        folded = f"<details><summary>Answer</summary>{answer}</details>"
        return f"<div><p><b>Predict.</b> {escape(self.question)}</p><ul>{items}</ul>{folded}</div>"

    def _chosen(self, _: object) -> None:
        with self._lock:
            if self.guess is not None:
                # A click that arrives after the answer does not change the guess.
                self._radio.value = self.guess
            self._button.disabled = self._radio.value is None or self.guess is not None

    def _reveal(self, _: object) -> None:
        with self._lock:
            if self.guess is None and self._radio.value is not None:
                self.guess = self._radio.value
                self._radio.disabled = self._button.disabled = True
                said = "Your guess is right" if self.right else f"You guessed: {self.guess}. Right is"
                verdict = _signed(self.right, f"{said}: {self.answer}")
                self._verdict.value = f'<div role="alert">{verdict}{_paragraph(self.why)}</div>'


def check(
    exercise: str, given: object, expected: object, *, rtol: float = 0.01, hint: str = "", low: str = "", high: str = ""
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
        The right answer, of the same kind.
    rtol : float
        The tolerance, >= 0.
    hint : str
        What to say of a wrong answer.
    low, high : str
        What to say instead of a single number that is too small or too large.

    Returns
    -------
    Mark
        The last line of a cell shows it as a sentence; ``right`` is a bool.

    Raises
    ------
    TypeError, ValueError
        If ``expected`` is none of these kinds or holds NaN, or ``rtol`` is no number >= 0.

    Examples
    --------
    >>> check("A", None, 0.37)
    A: no answer yet
    >>> check("A", 0.3, 0.37, low="the bound is further up")
    A: not yet, the bound is further up
    >>> check("A", 0.368, 0.37)
    A is right
    """
    target = _as_array(expected)
    if _kind(target) is None or (_kind(target) == NUMBER and np.isnan(target).any()):
        raise TypeError(f"expected must be a number, a string, a bool or a list of these, not {expected!r}")
    if not rtol >= 0:
        raise ValueError(f"rtol must be >= 0, not {rtol!r}")
    if given is None:
        return Mark(exercise, None, "no answer yet")
    answer = _as_array(given)
    fault = _fault(answer, target)
    if fault is None and _close(answer, target, rtol).all():
        return Mark(exercise, True, "")
    advice = fault or _advice(answer, target, hint, low, high)
    return Mark(exercise, False, f"not yet, {advice}" if advice else "not yet")


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
    """

    exercise: str
    state: bool | None
    words: str

    @property
    def right(self) -> bool:
        """Whether there is an answer and it is right."""
        return self.state is True

    def __repr__(self) -> str:
        """Return the mark as a sentence."""
        return f"{self.exercise} is right" if self.right else f"{self.exercise}: {self.words}"

    def _repr_html_(self) -> str:
        return _signed(self.state, repr(self))


def _options(options: Sequence[str]) -> tuple[str, ...]:
    """Return the options of a question, checked."""
    if isinstance(options, str) or not all(isinstance(option, str) for option in options):
        raise TypeError(f"options must be a list of strings, not {options!r}")
    if len(options) < 2:
        raise ValueError(f"options must be at least two, not {len(options)}")
    twice = [option for i, option in enumerate(options) if option in options[:i]]
    if twice:
        raise ValueError(f"options must differ, and {twice[0]!r} is there twice")
    return tuple(options)


def _check_texts(**texts: object) -> None:
    for name, text in texts.items():
        if not isinstance(text, str):
            raise TypeError(f"{name} must be a string, not {text!r}")


def _paragraph(html: str) -> str:
    return f"<p>{html}</p>" if html else ""


def _signed(state: bool | None, text: str) -> str:
    """Return a text with the sign and the colour of right, wrong or neither."""
    look = f"color: {COLORS[state]}; background: #ffffff; padding: 0.1em 0.4em; font-weight: bold"
    return f'<span style="{look}">{SIGNS[state]} {escape(text)}</span>'


def _as_array(value: object) -> np.ndarray:
    """Return any object as an array; one that numpy cannot read becomes a single object."""
    detach = getattr(value, "detach", None)  # a torch tensor within a graph
    try:
        return np.asarray(value if detach is None else detach())
    except (TypeError, ValueError, RuntimeError):  # a ragged list, a tensor on a GPU or of bfloat16
        return np.asarray(None)


def _kind(array: np.ndarray) -> str | None:
    """Return what an array holds, as people call it; None for anything that :func:`check` does not know."""
    return KINDS.get(array.dtype.kind) if array.size else None


def _fault(answer: np.ndarray, target: np.ndarray) -> str | None:
    """Return why an answer cannot be compared at all."""
    one = "the answer" if target.ndim == 0 else "each element"
    if _kind(answer) != _kind(target):
        return f"{one} should be {_kind(target)}"
    if answer.shape != target.shape:
        return f"the answer should be {_shape(target)}, not {_shape(answer)}"
    if _kind(target) == NUMBER and np.isnan(answer).any():
        return f"{one} should be a number, not nan"
    return None


def _shape(array: np.ndarray) -> str:
    if array.ndim == 0:
        return "a single value"
    return f"a list of {array.size}" if array.ndim == 1 else f"an array of shape {array.shape}"


def _close(answer: np.ndarray, target: np.ndarray, rtol: float) -> np.ndarray:
    """Return which elements are right."""
    if _kind(target) == STRING:
        return np.asarray(np.char.strip(_folded(answer)) == np.char.strip(_folded(target)))
    if _kind(target) == BOOL:
        return answer == target
    answer, target = answer.astype(np.float64), target.astype(np.float64)
    # A relative 1e-12 more: 1.01 - 1 is 0.010000000000000009 in floats, and 1.01 is within a hundredth of 1.
    allowed = rtol * (1 + 1e-12) * np.where(target == 0, 1.0, np.abs(target))
    with np.errstate(invalid="ignore"):  # inf - inf
        near = np.abs(answer - target) <= allowed
    # To an infinite target everything finite would be near.
    return (answer == target) | (near & np.isfinite(target))


def _folded(words: np.ndarray) -> np.ndarray:
    return np.vectorize(str.casefold, otypes=[str])(words)


def _advice(answer: np.ndarray, target: np.ndarray, hint: str, low: str, high: str) -> str:
    """Return what to say of a wrong answer that can be compared."""
    if _kind(target) != NUMBER or target.ndim > 0:
        return hint
    return (low if answer < target else high) or hint
