"""Who judges an answer: the verifiers, the questions that they are asked about, and what tells two of them apart."""

import functools
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mapl_explore.data import json_record, records, world
from mapl_explore.files import check_text, shortened
from mapl_explore.own_code import imported, own_traceback, source_checksum

VERIFIERS = ("world", "exact")
LATER = {  # what gives no verdict when it is called
    "an async function": inspect.iscoroutinefunction,
    "an async generator": inspect.isasyncgenfunction,
    "a generator": inspect.isgeneratorfunction,
    "a class": inspect.isclass,
}


@dataclass(frozen=True)
class Question:
    """A prompt to sample answers for, with the answers that its record brings along.

    Parameters
    ----------
    prompt : str
        The text.
    references : tuple of str
        What an exact match is compared with.
    positives, negatives : tuple of str
        Answers to fall back on where the model gives none of a kind.
    """

    prompt: str
    references: tuple[str, ...] = ()
    positives: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()


def read_questions(source, *, reference: str | None = None) -> list[Question]:
    """Return the prompts of a file, each once, where it first stands.

    Parameters
    ----------
    source : path, str or datasets.Dataset
        Records with a text ``prompt``, and perhaps ``positives`` and ``negatives`` as answers to fall back on.
    reference : str, optional
        The field of the right answer, a text or a list of texts, which is also an answer to fall back on.

    Raises
    ------
    ValueError
        If there is no prompt, or naming ``file:line``, the field and the rule.
    """
    found = {}
    for place, content in records(source):
        try:
            one = _question(json_record(content), reference)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{place}: {error}") from None
        found.setdefault(one.prompt, one)
    if not found:
        raise ValueError(f"{source}: there is no prompt in it")
    return list(found.values())


def verifier(name: str, questions: Sequence[Question]) -> Callable[[Question, str], bool]:
    """Return the function that says whether an answer to a question is right.

    Parameters
    ----------
    name : str
        ``"world"``, the verifier of the small world; ``"exact"``, equality with a reference but for white space around;
        or ``"module:function"``, a function of prompt and answer, found from this folder.
    questions : sequence of Question
        Those it will be asked about: what it cannot judge is refused before any answer is sampled.

    Raises
    ------
    ValueError
        If there is no such function, or a prompt is none of the small world, or lacks its reference.

    The function itself raises RuntimeError where one of the user's fails, with their own traceback as its note, and
    ValueError where it returns something else than True or False.
    """
    if name == "world":
        for question in questions:
            world.case_of(question.prompt)
        return lambda question, answer: world.is_right(question.prompt, answer)
    if name == "exact":
        for question in questions:
            if not question.references:
                raise ValueError(
                    f"the verifier 'exact' needs a reference (--reference FIELD); {shortened(question.prompt)} has none"
                )
        return lambda question, answer: answer.strip() in {one.strip() for one in question.references}
    function = _function(name)
    return lambda question, answer: _verdict(name, function, question.prompt, answer)


def judge_of(name: str, questions: Sequence[Question]) -> str:
    """Return what tells two verifiers apart: the name, and a checksum of the source and of what it compares with.

    The source is that of its module and of all modules loaded from the same folder; data that it reads are not known.
    """
    module = {"world": world.__name__, "exact": __name__}.get(name)
    module = imported(name.rpartition(":")[0]) if module is None else sys.modules[module]
    references = [one.references for one in questions] if name == "exact" else []
    return f"{name} {texts_checksum([source_checksum(module), references])}"


def texts_checksum(texts: Sequence) -> str:
    """Return the sha256 of texts or token ids, shortened to what a person compares."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def _question(record: dict, reference: str | None) -> Question:
    if "prompt" not in record:
        raise ValueError("the field 'prompt' is missing")
    check_text("prompt", record["prompt"])
    references = _texts(record, reference) if reference else ()
    if reference and not references:
        raise ValueError(f"the field {reference!r} is missing")
    positives, negatives = (_texts(record, side) for side in ("positives", "negatives"))
    return Question(record["prompt"], references, positives or references, negatives)


def _texts(record: dict, name: str) -> tuple[str, ...]:
    texts = record.get(name)
    texts = [] if texts is None else [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list):
        raise ValueError(f"{name} must be a text or a list of texts, not {shortened(texts)}")
    for index, text in enumerate(texts):
        check_text(f"{name}[{index}]", text)
    return tuple(texts)


def _function(name: str) -> Callable:
    module, colon, function = name.rpartition(":")
    if not (module and colon and function):
        raise ValueError(f"verifier must be one of {', '.join(VERIFIERS)} or module:function, not {name!r}")
    try:
        found = getattr(imported(module), function, None)
    except ValueError as error:
        error.args = (f"verifier {name!r} cannot be had: {error}",)
        raise
    if not callable(found):
        raise ValueError(f"verifier {name!r} cannot be had: there is no function {function!r} in {module!r}")
    _require_two(name, found)
    _require_answer_at_once(name, found)
    return found


def _require_two(name: str, function: Callable) -> None:
    """Raise unless a function takes a prompt and an answer."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # some functions of C do not tell theirs
    try:
        signature.bind("prompt", "answer")
    except TypeError as error:
        raise ValueError(f"verifier {name!r} must take a prompt and an answer: {error}") from None


def _require_answer_at_once(name: str, function: Callable) -> None:
    """Raise if a call gives what has not run yet, such as a coroutine or a generator; so may that of a partial."""
    while isinstance(function, functools.partial):
        function = function.func
    for kind, is_kind in LATER.items():
        if is_kind(function) or is_kind(type(function).__call__):
            raise ValueError(f"verifier {name!r} must be a function that returns True or False, not {kind}")


def _verdict(name: str, function: Callable, prompt: str, answer: str) -> bool:
    try:
        verdict = function(prompt, answer)
    except (Exception, SystemExit) as error:  # it is a program of the user's, which may fail in any way
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        failed = RuntimeError(f"the verifier {name} failed on the prompt {shortened(prompt)}: {reason}")
        failed.add_note(own_traceback(error))
        raise failed from None
    if not isinstance(verdict, bool | np.bool_):
        given = f"{shortened(verdict)} on the prompt {shortened(prompt)}"
        raise ValueError(f"the verifier {name} must return True or False, not {given}")
    return bool(verdict)
