"""Rejection sampling, the part without a model: who judges an answer, what is kept of a prompt, and what was finished.

An answer is a candidate; a verifier says whether it is right; a prompt is kept where it has right and wrong answers.
"""

import functools
import glob
import hashlib
import inspect
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from mapl_explore import world
from mapl_explore.data import PreferenceSet, json_record, records
from mapl_explore.files import check_text, counted, shortened
from mapl_explore.own_code import imported, own_traceback, source_checksum

VERIFIERS = ("world", "exact")
LATER = {  # what gives no verdict when it is called
    "an async function": inspect.iscoroutinefunction,
    "an async generator": inspect.isasyncgenfunction,
    "a generator": inspect.isgeneratorfunction,
    "a class": inspect.isclass,
}
AGAIN = "remove the file to begin anew"


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


@dataclass(frozen=True)
class Answered:
    """What a model said to one prompt: the different answers it ended, whether each is right, and what was dropped."""

    answers: tuple[str, ...]
    right: tuple[bool, ...]
    duplicates: int = 0
    unfinished: int = 0
    too_long: bool = False


@dataclass(frozen=True)
class SampleReport:
    """What became of the prompts and of their answers.

    Parameters
    ----------
    outcomes : Counter
        How many prompts were kept, or dropped and why.
    answers, right : int
        How many different answers there were, and how many of them are right.
    duplicates, unfinished : int
        How many answers were dropped, because their prompt had them already, or had not ended in the room given.
    """

    outcomes: Counter = field(default_factory=Counter)
    answers: int = 0
    right: int = 0
    duplicates: int = 0
    unfinished: int = 0

    @property
    def _cut(self) -> float:
        return self.unfinished / max(1, self.answers + self.duplicates + self.unfinished)

    def __str__(self) -> str:
        """Return the counts, a line each."""
        total = counted(sum(self.outcomes.values()), "prompt")
        rows = [f"{count:>6} of {total} {what}" for what, count in sorted(self.outcomes.items(), reverse=True)]
        return "\n".join(
            [
                *rows,
                f"{counted(self.answers, 'different response', '>6')}, {self.right} of them right",
                f"{counted(self.duplicates, 'response', '>6')} dropped: the prompt had them already",
                f"{counted(self.unfinished, 'response', '>6')} dropped: cut off, {self._cut:.0%} of all"
                " (--max-tokens is their room)",
            ]
        )


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


def kept_set(question: Question, answered: Answered, *, fallback: bool) -> tuple[PreferenceSet | None, str]:
    """Return the preference set of a prompt, or None, and the outcome in words.

    With ``fallback``, a kind that the model did not give is taken from the record, but for texts of the other kind.
    """
    if answered.too_long:
        return None, "dropped: no room for a response in the model's context"
    verdicts = list(zip(answered.answers, answered.right, strict=True))
    positives, negatives = ([text for text, right in verdicts if right is kind] for kind in (True, False))
    lacking = not positives or not negatives
    if lacking and fallback:
        positives = positives or [text for text in question.positives if text not in negatives]
        negatives = negatives or [text for text in question.negatives if text not in positives]
    if not positives or not negatives:
        kind = "right or wrong" if not positives and not negatives else "wrong" if positives else "right"
        return None, f"dropped: no {kind} response"
    return PreferenceSet(question.prompt, positives, negatives), "kept" + ", with responses of the file" * lacking


def reported(
    questions: Sequence[Question], answered: Sequence[Answered], *, fallback: bool
) -> tuple[list[PreferenceSet], SampleReport]:
    """Return the sets that are kept, in the order of the prompts, and what became of the rest."""
    kept = [kept_set(*both, fallback=fallback) for both in zip(questions, answered, strict=True)]
    report = SampleReport(
        outcomes=Counter(outcome for _, outcome in kept),
        answers=sum(len(one.answers) for one in answered),
        right=sum(sum(one.right) for one in answered),
        duplicates=sum(one.duplicates for one in answered),
        unfinished=sum(one.unfinished for one in answered),
    )
    return [one for one, _ in kept if one is not None], report


class Journal:
    """What is finished of a sampling run, a line a prompt, on disk as soon as it is known.

    Each process of a run writes a file of its own next to the output; all of them are read at the start, so that a run
    may go on with another number of processes.

    Parameters
    ----------
    output : path
        The file that the run will write in the end.
    settings : dict
        What decides the answers. A journal of other settings is refused.
    process : int
        Which process this is, from 0.
    judge : str
        Who gives the verdicts. Answers that another one judged are kept, their verdicts are not.
    """

    def __init__(self, output: str | os.PathLike, settings: dict, process: int = 0, *, judge: str = ""):
        output = Path(output)
        self.path = output.with_name(f"{output.name}.progress-{process}")
        self.paths = lambda: sorted(output.parent.glob(f"{glob.escape(output.name)}.progress-*"))
        self.settings, self.judge = json.loads(json.dumps(settings)), judge

    def finished(self) -> dict[int, Answered]:
        """Return what is finished, by the number of the prompt."""
        return {number: one for judge, number, one in self._items() if judge == self.judge}

    def stale(self) -> dict[int, Answered]:
        """Return the answers that are there and that another judge has judged, by the number of the prompt."""
        finished = self.finished()
        return {number: one for _, number, one in self._items() if number not in finished}

    def add(self, items: Sequence[tuple[int, Answered]]) -> None:
        """Write finished prompts to disk.

        Raises
        ------
        OSError
            If that fails, such as on a full disk, naming the file; what was there before stays.
        """
        try:
            with open(self.path, "ab") as file:
                if file.tell() == 0:
                    file.write(_line(self.settings))
                file.write(b"".join(_line({"prompt": n, "judge": self.judge, **asdict(one)}) for n, one in items))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            reason = f"{os.strerror(error.errno)}: once that is mended, the same command goes on where it was"
            raise OSError(error.errno, reason, os.fspath(self.path)) from error

    def mend(self) -> None:
        """Cut off a last line that was not written to its end, so that the next one does not join it."""
        if self.path.exists():
            whole = self.path.read_bytes().rpartition(b"\n")
            os.truncate(self.path, len(whole[0]) + len(whole[1]))

    def remove(self) -> None:
        """Remove the files of all processes: the output is written."""
        for path in self.paths():
            path.unlink()

    def _items(self) -> Iterator[tuple[str, int, Answered]]:
        """Yield the judge, the number of the prompt, and what is finished of it."""
        for path in self.paths():
            *lines, _ = path.read_bytes().split(b"\n")  # what stands behind the last line break was not finished
            if lines:
                yield from self._read(path, lines)

    def _read(self, path: Path, lines: Sequence[bytes]) -> Iterator[tuple[str, int, Answered]]:
        try:
            found, *items = map(json.loads, lines)
            self._require_same(path, found)
            yield from ((item.pop("judge"), item.pop("prompt"), _answered(item)) for item in items)
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path} cannot be read as what sample had finished: {AGAIN}") from None

    def _require_same(self, path: Path, found: dict) -> None:
        if not self.settings.keys() <= found.keys():
            raise ValueError(f"{path} was written by another version of sample: {AGAIN}")
        for name, value in self.settings.items():
            if found[name] != value:
                raise ValueError(
                    f"{path} holds what was finished with {name} {found[name]!r}, not {value!r}: give that again, or"
                    f" {AGAIN}"
                )


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


def _answered(item: dict) -> Answered:
    return Answered(**{name: tuple(v) if isinstance(v, list) else v for name, v in item.items()})


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


def _line(record: dict) -> bytes:
    return json.dumps(record).encode() + b"\n"
