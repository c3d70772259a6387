"""Rejection sampling, the part without a model: who judges an answer, what is kept of a prompt, and what was finished.

An answer is a candidate; a verifier says whether it is right; a prompt is kept where it has right and wrong answers.
"""

import hashlib
import importlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mapl_explore.data import PreferenceSet, json_record, records
from mapl_explore.files import check_text, shortened
from mapl_explore.world import case_of, is_right

VERIFIERS = ("world", "exact")


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

    def __str__(self) -> str:
        """Return the counts, a line each."""
        total = sum(self.outcomes.values())
        rows = [f"{count:>6} of {total} prompts {what}" for what, count in sorted(self.outcomes.items(), reverse=True)]
        return "\n".join(
            [
                *rows,
                f"{self.answers:>6} different answers, {self.right} of them right",
                f"{self.duplicates:>6} answers dropped: the prompt had them already",
                f"{self.unfinished:>6} answers dropped: not ended within the tokens allowed",
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
    """
    if name == "world":
        for question in questions:
            case_of(question.prompt)
        return lambda question, answer: is_right(question.prompt, answer)
    if name == "exact":
        for question in questions:
            if not question.references:
                raise ValueError(
                    f"the verifier 'exact' needs a reference (--reference FIELD); {shortened(question.prompt)} has none"
                )
        return lambda question, answer: answer.strip() in {one.strip() for one in question.references}
    function = _function(name)
    return lambda question, answer: _verdict(name, function, question.prompt, answer)


def kept_set(question: Question, answered: Answered, *, fallback: bool) -> tuple[PreferenceSet | None, str]:
    """Return the preference set of a prompt, or None, and the outcome in words.

    With ``fallback``, a kind that the model did not give is taken from the record, but for texts of the other kind.
    """
    if answered.too_long:
        return None, "dropped: no room for an answer in the model's context"
    verdicts = list(zip(answered.answers, answered.right, strict=True))
    positives, negatives = ([text for text, right in verdicts if right is kind] for kind in (True, False))
    lacking = not positives or not negatives
    if lacking and fallback:
        positives = positives or [text for text in question.positives if text not in negatives]
        negatives = negatives or [text for text in question.negatives if text not in positives]
    if not positives or not negatives:
        kind = "right or wrong" if not positives and not negatives else "wrong" if positives else "right"
        return None, f"dropped: no {kind} answer"
    return PreferenceSet(question.prompt, positives, negatives), "kept" + ", with answers of the file" * lacking


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

    Each process of a run writes a file of its own beside the output; all of them are read at the start, so that a run
    may go on with another number of processes.

    Parameters
    ----------
    output : path
        The file that the run will write in the end.
    settings : dict
        What decides the answers. A journal of other settings is refused.
    process : int
        Which process this is, from 0.
    """

    def __init__(self, output: str | os.PathLike, settings: dict, process: int = 0):
        output = Path(output)
        self.path = output.with_name(f"{output.name}.progress-{process}")
        self.paths = lambda: sorted(output.parent.glob(f"{output.name}.progress-*"))
        self.settings = json.loads(json.dumps(settings))

    def finished(self) -> dict[int, Answered]:
        """Return what is finished, by the number of the prompt."""
        return dict(item for path in self.paths() for item in self._read(path))

    def add(self, items: Sequence[tuple[int, Answered]]) -> None:
        """Write finished prompts to disk."""
        with open(self.path, "ab") as file:
            if file.tell() == 0:
                file.write(_line(self.settings))
            file.write(b"".join(_line({"prompt": number, **asdict(one)}) for number, one in items))
            file.flush()
            os.fsync(file.fileno())

    def mend(self) -> None:
        """Cut off a last line that was not written to its end, so that the next one does not join it."""
        if self.path.exists():
            whole = self.path.read_bytes().rpartition(b"\n")
            os.truncate(self.path, len(whole[0]) + len(whole[1]))

    def remove(self) -> None:
        """Remove the files of all processes: the output is written."""
        for path in self.paths():
            path.unlink()

    def _read(self, path: Path) -> Iterator[tuple[int, Answered]]:
        *lines, _ = path.read_bytes().split(b"\n")  # what stands behind the last line break was not finished
        if not lines:
            return
        found, *items = map(json.loads, lines)
        for name, value in self.settings.items():
            if found.get(name) != value:
                raise ValueError(
                    f"{path} holds what was finished with {name} {found.get(name)!r}, not {value!r}:"
                    " give that again, or remove the file to begin anew"
                )
        for item in items:
            number = item.pop("prompt")
            yield number, Answered(**{name: tuple(v) if isinstance(v, list) else v for name, v in item.items()})


def prompts_hash(questions: Sequence[Question]) -> str:
    """Return the sha256 of the questions with all they bring along."""
    return hashlib.sha256(json.dumps([asdict(one) for one in questions]).encode()).hexdigest()


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
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise ValueError(f"verifier must be one of {', '.join(VERIFIERS)} or module:function, not {name!r}")
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"verifier {name!r} cannot be had: {error}") from None


def _verdict(name: str, function: Callable, prompt: str, answer: str) -> bool:
    try:
        verdict = function(prompt, answer)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise RuntimeError(f"the verifier {name} failed on the prompt {shortened(prompt)}: {reason}") from error
    if verdict not in (True, False):
        raise ValueError(f"the verifier {name} must return True or False, not {shortened(verdict)}")
    return bool(verdict)


def _line(record: dict) -> bytes:
    return json.dumps(record).encode() + b"\n"
