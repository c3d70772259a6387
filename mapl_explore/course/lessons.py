"""What a lesson asks of its reader: a guess before the reveal, words of one's own, and an answer that is marked."""

import threading
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from mapl_explore.course.marking import Mark, check, signed
from mapl_explore.course.marks import hand_in, keep, kept, sign
from mapl_explore.course.progress import course_map
from mapl_explore.course.sealed import opened_choice, opened_text, sealed_answer
from mapl_explore.words import _, speaking, spoken

__all__ = ["Mark", "OwnWords", "Prediction", "check", "course_map", "hand_in", "own_words", "predict", "sign"]

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


def predict(
    question: str, options: Sequence[str], answer: str | None = None, why: str = "", *, key: str | None = None
) -> "Prediction":
    """Ask for a guess, and reveal the answer once there is one.

    Parameters
    ----------
    question : str
        Shown as it is given.
    options : sequence of str
        The choices, at least two, shown as they are given.
    answer : str
        The option that is right; not given in a student's copy.
    why : str
        The reason, shown with the answer; it may hold HTML such as ``<i>`` and ``<sub>``.
    key : str, optional
        The question's name in a student's copy: answer and reason are the hidden ones of ``answers.json``, and the
        guess is kept in ``marks.json``, both next to the notebook.

    Returns
    -------
    Prediction
        The last line of a cell shows it as a question; ``guess`` is the option that was chosen.

    Raises
    ------
    TypeError, ValueError
        If a text is no string, there are fewer than two options, two are alike, or the answer is none of them.
    OSError, LookupError
        If there is no ``answers.json``, or the key is not in it.

    Examples
    --------
    >>> predict("As tau grows, the error ...", ["grows", "falls"], "falls", why="Its slope is -H(w)/tau<sup>2</sup>.")
    predict: As tau grows, the error ... [grows | falls]
    """
    return Prediction(question, options, answer, why, key)


def own_words(asked: str, *, key: str) -> "OwnWords":
    """Ask for an answer in words of one's own, keep it, and then show what the course says.

    Parameters
    ----------
    asked : str
        What is asked, such as "What is wrong?".
    key : str
        The question's name: the text is the hidden one of ``answers.json`` next to the notebook.

    Raises
    ------
    OSError, LookupError
        If there is no ``answers.json``, or the key is not in it.
    """
    return OwnWords(asked, key)


class Prediction:
    """A question with one right option, shown as radio buttons and a button that reveals; made by :func:`predict`.

    ``guess`` is the option that was chosen when the answer was revealed, ``right`` whether it was right; None before.
    """

    def __init__(self, question: str, options: Sequence[str], answer: str | None, why: str, key: str | None = None):
        """Check the question, make the widgets, and show the guess that was made before."""
        self.question, self.options, self.answer, self.why = question, _options(options), answer, why
        self._key, self._folder, self._language = key, Path.cwd(), spoken()
        _check_texts(question=question, why=why, **({} if key else {"answer": answer}))
        if key:
            sealed_answer(key, self._folder)
        elif answer not in self.options:
            raise ValueError(f"answer must be one of {', '.join(map(repr, self.options))}, not {answer!r}")
        self.guess: str | None = None
        self._lock = threading.RLock()  # widget callbacks run on threads of their own
        self._make_widgets()
        self._show_kept()

    def _make_widgets(self) -> None:
        self._radio = widgets.RadioButtons(options=self.options, value=None, layout=widgets.Layout(width="auto"))
        self._button = widgets.Button(
            description=_("Reveal"), tooltip=_("Show the answer, once an option is chosen"), disabled=True
        )
        self._verdict = widgets.HTML()
        self._radio.observe(self._chosen, "value")
        self._button.on_click(self._reveal)
        asked = widgets.HTML(LOOK + self._asked())
        self.widget = widgets.VBox([asked, self._radio, self._button, self._verdict])
        self.widget.add_class("mapl-predict")

    @property
    def right(self) -> bool | None:
        """Whether the guess was right; None before the answer was revealed."""
        return None if self.guess is None else self.guess == self.answer

    def __repr__(self) -> str:
        """Return the question and the options, without the answer."""
        return f"predict: {self.question} [{' | '.join(self.options)}]"

    def _repr_mimebundle_(self, **options: object) -> dict[str, Any]:
        """Return the widget for a live notebook, a folded answer for a printed one, the question for any other."""
        with speaking(self._language):
            return self.widget._repr_mimebundle_() | {"text/plain": repr(self), "text/html": self._html()}

    def _html(self) -> str:
        items = "".join(f"<li>{escape(option)}</li>" for option in self.options)
        asked = f"<p>{self._asked()}</p><ul>{items}</ul>"
        if self._key:  # a student's copy, whose exports must not tell either
            return f"<div>{asked}</div>"
        answer = f"<p><b>{escape(self.answer or '')}</b></p>{_paragraph(self.why)}"
        summary = _("Answer")
        return f"<div>{asked}<details><summary>{summary}</summary>{answer}</details></div>"

    def _asked(self) -> str:
        head = _("Predict.")
        return f"<b>{head}</b> {escape(self.question)}"

    def _chosen(self, change: object) -> None:
        with self._lock:
            if self.guess is not None:
                # A click that arrives after the answer does not change the guess.
                self._radio.value = self.guess
            self._button.disabled = self._radio.value is None or self.guess is not None

    def _reveal(self, button: object) -> None:
        with self._lock, speaking(self._language):
            if self.guess is None and self._radio.value is not None:
                self._show(self._radio.value)
                if self._key:
                    note = keep(self._key, self.guess, self.right, self._folder, first=True)
                    self._verdict.value += _paragraph(escape(note))

    def _show_kept(self) -> None:
        """Show the guess that was made before, in another window or before a restart."""
        old = kept(self._key, self._folder) if self._key else None
        if old and old["given"] in self.options:
            self._radio.value = old["given"]
            self._show(old["given"])

    def _show(self, guess: str) -> None:
        if self._key:
            found = opened_choice(sealed_answer(self._key, self._folder), self.options)
            self.answer, self.why = found or (
                _("none of these: answers.json is of another version of this notebook"),
                "",
            )
        self.guess = guess
        self._radio.disabled = self._button.disabled = True
        said = _("Your guess is right: “{answer}”") if self.right else _("You guessed “{guess}”. Right is “{answer}”")
        verdict = signed(self.right, said.format(guess=self.guess, answer=self.answer))
        self._verdict.value = f'<div role="alert">{verdict}{_paragraph(self.why)}</div>'


class OwnWords:
    """A question to answer in words of one's own before the course answers; made by :func:`own_words`."""

    def __init__(self, asked: str, key: str):
        """Make the widgets, and show the words that were written before."""
        _check_texts(asked=asked, key=key)
        self.asked, self._key, self._folder, self._language = asked, key, Path.cwd(), spoken()
        sealed_answer(key, self._folder)
        self._lock = threading.RLock()
        self._make_widgets()
        if old := kept(key, self._folder):
            self._text.value = str(old["given"])
            self._answer.value = self._told()

    def _make_widgets(self) -> None:
        self._text = widgets.Textarea(
            placeholder=_("A sentence of your own"), layout=widgets.Layout(width="calc(min(100%, 50em) - 4px)")
        )
        self._button = widgets.Button(
            description=_("Show"), tooltip=_("Show the answer, once you have written"), disabled=True
        )
        self._answer = widgets.HTMLMath()
        self._text.observe(self._written, "value")
        self._button.on_click(self._show)
        asked = escape(_(self.asked))  # one of the lines over a folded answer, or another text
        head = widgets.HTML(f"{LOOK}<b>{asked}</b> " + _("Say it in your own words, then compare."))
        self.widget = widgets.VBox([head, self._text, self._button, self._answer])
        self.widget.add_class("mapl-predict")

    def __repr__(self) -> str:
        """Return the question, without the answer."""
        return f"own words: {self.asked}"

    def _repr_mimebundle_(self, **options: object) -> dict[str, Any]:
        return self.widget._repr_mimebundle_() | {"text/plain": repr(self)}

    def _written(self, change: object) -> None:
        self._button.disabled = not self._text.value.strip()

    def _show(self, button: object) -> None:
        with self._lock, speaking(self._language):
            note = keep(self._key, self._text.value.strip(), None, self._folder)
            self._answer.value = self._told() + _paragraph(escape(note))

    def _told(self) -> str:
        return f'<div role="alert">{opened_text(sealed_answer(self._key, self._folder))}</div>'


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
