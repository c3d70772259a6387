"""Verifiers: functions that judge whether a response is right, their questions, and how two of them are told apart."""

import functools
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import TypeAlias

import numpy as np

from mapl_explore.data import PreferenceSet, Prompt, asked_text, json_record, records, world
from mapl_explore.data.formats import stated_prompt
from mapl_explore.data.messages import checked_prompt, named_prompt
from mapl_explore.data.records import Source
from mapl_explore.data.sets import checked_score
from mapl_explore.files import check_text, shortened
from mapl_explore.own_code import imported, imported_name, note_own_traceback, source_checksum

LATER: dict[str, Callable[[object], bool]] = {  # kinds of callables that return no verdict when they are called
    "an async function": inspect.iscoroutinefunction,
    "an async generator": inspect.isasyncgenfunction,
    "a generator": inspect.isgeneratorfunction,
    "a class": inspect.isclass,
}


@dataclass(frozen=True)
class Question:
    """A prompt to sample responses for, with the responses that its record has.

    Parameters
    ----------
    prompt : str or tuple of Message
        A text, or a conversation.
    references : tuple of str
        The texts that ``"exact"`` compares a response with.
    positives, negatives : tuple of str
        Responses to fall back on where the model gives no right one, or no wrong one.
    place : str
        Where the prompt first stands, ``file:line``; empty where it is from no file.
    """

    prompt: Prompt
    references: tuple[str, ...] = ()
    positives: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()
    place: str = field(default="", compare=False)

    @classmethod
    def of(cls, one: PreferenceSet) -> "Question":
        """Return the question of a preference set, whose positives are right."""
        return cls(one.prompt, references=one.positives, place=one.place)

    @property
    def asked(self) -> str:
        """Return what a verifier judges responses by, see :func:`mapl_explore.data.asked_text`."""
        return asked_text(self.prompt)

    @property
    def named(self) -> str:
        """Return the prompt as an error names it."""
        return named_prompt(self.prompt, self.place)

    def blamed(self, rule: str) -> ValueError:
        """Return the error of a rule that this question breaks, with its place."""
        return ValueError(f"{self.place}: {rule}" if self.place else f"{rule}; the prompt is {shortened(self.asked)}")


Judge: TypeAlias = Callable[[Question, str], bool]  # whether a response to a question is right
Grader: TypeAlias = Callable[[Question, str], float]  # how good it is


def read_questions(source: Source, *, reference: str | None = None) -> list[Question]:
    """Return the prompts of a file, each once, where it first stands.

    Parameters
    ----------
    source : path, str or datasets.Dataset
        Records with a ``prompt``, a text or a list of messages, or with OpenAI's ``messages`` or Alpaca's
        ``instruction``, or pairs that say it otherwise; and perhaps ``positives`` and ``negatives`` as responses to
        fall back on.
    reference : str, optional
        The field of the right response, a text or a list of texts, which is also one to fall back on.

    Raises
    ------
    ValueError
        If there is no prompt, or a record is malformed: the error names ``file:line``, the field and the rule.
    """
    questions: dict[Prompt, Question] = {}
    for place, content in records(source):
        try:
            one = _question(json_record(content), reference)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{place}: {error}") from None
        questions.setdefault(one.prompt, replace(one, place=place))
    if not questions:
        raise ValueError(f"{source}: there is no prompt in it")
    return list(questions.values())


def grader(name: str | Callable, questions: Sequence[Question]) -> Grader:
    """Return the function that says how good a response to a question is, by a verifier that returns numbers.

    Its arguments and errors are those of :func:`verifier`; ``"world"`` and ``"exact"`` are refused, since they say
    right or wrong, and so is what is no finite number when it is returned.
    """
    require_verifier(name)
    if isinstance(name, str) and name in VERIFIERS:
        raise ValueError(f"threshold belongs to a verifier that returns numbers, and {name!r} says right or wrong")
    function, name = _own(name)
    return lambda question, answer: _score(name, function, question, answer)


def verifier(name: str | Callable, questions: Sequence[Question]) -> Judge:
    """Return the function that says whether a response to a question is right.

    Parameters
    ----------
    name : str or callable
        ``"world"``, the verifier of the small world; ``"exact"``, equality with a reference except for white space
        around it; ``"module:function"``, a function of prompt and response, found from this folder; or the function.
        Of a conversation, the prompt that it gets is the text of the last message of the user.
    questions : sequence of Question
        All that it will judge: one that it cannot judge is refused before any response is sampled.

    Raises
    ------
    TypeError
        If the verifier is neither text nor a function.
    ValueError
        If there is no such function, a prompt is not one of the small world, or a reference is missing.

    The function itself raises RuntimeError if the user's own function fails, with its traceback as a note, and
    ValueError if that returns something other than True or False.
    """
    require_verifier(name)
    if isinstance(name, str) and name in VERIFIERS:
        check, judge = VERIFIERS[name]
        for question in questions:
            check(question)
        return judge
    function, name = _own(name)
    return lambda question, answer: _verdict(name, function, question, answer)


def require_verifier(verifier: object) -> None:
    """Raise unless this is a name or a function; whether there is a function of that name is not checked."""
    if not isinstance(verifier, str) and not callable(verifier):
        names = ", ".join(map(repr, VERIFIERS))
        raise TypeError(f"verifier must be {names}, 'module:function' or a function, not {shortened(verifier)}")


def judge_of(verifier: str | Callable, questions: Sequence[Question], threshold: float | None = None) -> str:
    """Return what tells two verifiers apart: the name, and a checksum of the source and of what it compares with.

    The threshold of one that returns numbers is part of it.
    The source is that of its module and of all modules loaded from the same folder; data that it reads are not known.
    The values that a function, given itself, takes from around it are not known either.
    """
    references = [one.references for one in questions] if verifier == "exact" else []
    at = "" if threshold is None else f" at {threshold!r}"
    return f"{_name(verifier)} {texts_checksum([_source(verifier), references])}{at}"


def _name(verifier: str | Callable) -> str:
    if isinstance(verifier, str):
        return verifier
    kind = verifier if hasattr(verifier, "__qualname__") else type(verifier)
    return f"{kind.__module__}:{kind.__qualname__}"


def _source(verifier: str | Callable) -> str:
    """Return a checksum of the source of a verifier's module, with its own if it was given itself."""
    if isinstance(verifier, str):
        ours = {"world": world.__name__, "exact": __name__}.get(verifier)
        return source_checksum(imported(verifier.rpartition(":")[0]) if ours is None else sys.modules[ours])
    function = verifier if hasattr(verifier, "__qualname__") else type(verifier)
    module = sys.modules.get(function.__module__)
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):  # it was typed in, or is written in C
        text = ""
    return texts_checksum([text, source_checksum(module) if module else ""])


def _check_world(question: Question) -> None:
    try:
        world.case_of(question.asked)
    except ValueError as error:
        raise ValueError(f"{question.place}: {error}" if question.place else str(error)) from None


def _check_reference(question: Question) -> None:
    if not question.references:
        raise question.blamed("the verifier 'exact' needs a reference (--reference FIELD)")


def _is_right(question: Question, answer: str) -> bool:
    return world.is_right(question.asked, answer)


def _is_reference(question: Question, answer: str) -> bool:
    return answer.strip() in {one.strip() for one in question.references}


def texts_checksum(texts: Sequence) -> str:
    """Return the sha256 of texts or token ids, shortened to what a person compares."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def _question(record: dict, reference: str | None) -> Question:
    # Where a table has texts and conversations, these have a column of their own.
    own_column = "prompt" in record and record["prompt"] is None and record.get("messages") is not None
    prompt = checked_prompt(record["messages"]) if own_column else stated_prompt(record)
    references = _texts(record, reference) if reference else ()
    if reference and not references:
        raise ValueError(f"the field {reference!r} is {'empty' if reference in record else 'missing'}")
    positives, negatives = (_texts(record, side) for side in ("positives", "negatives"))
    return Question(prompt, references, positives or references, negatives)


def _texts(record: dict, name: str) -> tuple[str, ...]:
    texts = record.get(name)
    texts = [] if texts is None else [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list):
        raise ValueError(f"{name} must be a text or a list of texts, not {shortened(texts)}")
    for index, text in enumerate(texts):
        check_text(f"{name}[{index}]", text)
    return tuple(texts)


def _own(name: str | Callable) -> tuple[Callable, str]:
    """Return a user's function, which gives its verdict at once, and its name."""
    function, name = name if callable(name) else _function(name), _name(name)
    _require_two(name, function)
    _require_verdict_at_once(name, function)
    return function, name


def _function(name: str) -> Callable:
    module, colon, function = name.rpartition(":")
    if not (module and colon and function):
        raise ValueError(f"verifier must be one of {', '.join(VERIFIERS)} or module:function, not {name!r}")
    try:
        given = imported_name(module, function)
    except ValueError as error:
        error.args = (f"verifier {name!r} cannot be had: {error}",)
        raise
    if not callable(given):
        raise ValueError(f"verifier {name!r} cannot be had: there is no function {function!r} in {module!r}")
    return given


def _require_two(name: str, function: Callable) -> None:
    """Raise unless a function takes a prompt and a response."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # some functions written in C have none
    try:
        signature.bind("prompt", "response")
    except TypeError as error:
        raise ValueError(f"verifier {name!r} must take a prompt and a response: {error}") from None


def _require_verdict_at_once(name: str, function: Callable) -> None:
    """Raise if a call returns what has not run yet, such as a coroutine; a partial is judged by its function."""
    while isinstance(function, functools.partial):
        function = function.func
    for kind, is_kind in LATER.items():
        if is_kind(function) or is_kind(type(function).__call__):
            raise ValueError(f"verifier {name!r} must be a function that returns True or False, not {kind}")


def _score(name: str, function: Callable, question: Question, answer: str) -> float:
    score = _returned(name, function, question, answer)
    try:
        return checked_score("score", score)
    except (TypeError, ValueError):
        given = f"{shortened(score)} on {question.named}"
        raise ValueError(f"with a threshold the verifier {name} must return a finite number, not {given}") from None


def _verdict(name: str, function: Callable, question: Question, answer: str) -> bool:
    verdict = _returned(name, function, question, answer)
    if not isinstance(verdict, bool | np.bool_):
        given = f"{shortened(verdict)} on {question.named}"
        hint = "; sample takes numbers with a threshold" * isinstance(verdict, Real)
        raise ValueError(f"the verifier {name} must return True or False, not {given}{hint}")
    return bool(verdict)


def _returned(name: str, function: Callable, question: Question, answer: str) -> object:
    """Return what a user's function returns; it may fail in any way, which raises RuntimeError."""
    try:
        return function(question.asked, answer)
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        failed = RuntimeError(f"the verifier {name} failed on {question.named}: {reason}")
        note_own_traceback(failed, error)
        raise failed from None


VERIFIERS = {"world": (_check_world, _is_right), "exact": (_check_reference, _is_reference)}  # by name: check, judge
