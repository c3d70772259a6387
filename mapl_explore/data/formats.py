r"""The formats that preference data come in, each as a function from one record to one preference set.

==========  ============================================================================================================
sets        ours: ``prompt``, ``positives``, ``negatives``
trl         ``prompt``, ``chosen``, ``rejected``: texts, or lists of messages ``{"role": str, "content": str}``; the
            prompt may be left out where ``chosen`` and ``rejected`` are conversations that begin alike
hh-rlhf     ``chosen``, ``rejected``: transcripts that begin alike, up to a ``\n\nAssistant:``
scored      ``prompt`` (or ``instruction``) and ``completions``: objects with ``response`` (or ``text``, ``content``)
            and a score, as UltraFeedback has them, or texts beside a list ``scores``
==========  ============================================================================================================

A conversation becomes text: a single message its content alone, several a transcript as hh-rlhf writes them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mapl_explore.data.sets import PreferenceSet
from mapl_explore.files import check_text, shortened

TURN = "\n\nAssistant:"
SPEAKERS = {"user": "Human", "assistant": "Assistant", "system": "System"}
PROMPTS = ("prompt", "instruction")
TEXTS = ("response", "text", "content")
SCORES = ("score", "overall_score", "fine-grained_score")  # the last two are UltraFeedback's names


@dataclass(frozen=True)
class Format:
    """How records of one format are told, and read.

    Parameters
    ----------
    fits : callable
        From a record to whether its fields are those of this format.
    read : callable
        From a record and the threshold of scores to a set, or to None where it has no two sides.
    pairs : bool
        Whether a record is one pair of several that a prompt may have.
    """

    fits: Callable[[dict], bool]
    read: Callable[[dict, float | None], PreferenceSet | None]
    pairs: bool = False


def format_of(record: dict) -> str:
    """Return the name of the format whose fields a record has.

    Raises
    ------
    ValueError
        If it has the fields of none.

    Examples
    --------
    >>> format_of({"prompt": "2 + 2 =", "chosen": "4", "rejected": "5"})
    'trl'
    """
    for name, form in FORMATS.items():
        if form.fits(record):
            return name
    fields = ", ".join(map(shortened, record)) or "none"
    raise ValueError(f"no format ({', '.join(FORMATS)}) has these fields: {fields}")


def _from_sets(record: dict, threshold: float | None) -> PreferenceSet:
    return PreferenceSet(*(_field(record, name) for name in ("prompt", "positives", "negatives")))


def _from_trl(record: dict, threshold: float | None) -> PreferenceSet:
    chosen, rejected = (_field(record, name) for name in ("chosen", "rejected"))
    if isinstance(chosen, str) or isinstance(rejected, str):
        prompt = _field(record, "prompt")
        check_text("prompt", prompt)
        return _pair(prompt, chosen, rejected)
    chosen, rejected = _messages("chosen", chosen), _messages("rejected", rejected)
    shared = _alike(chosen[:-1], rejected[:-1])
    prompt = record.get("prompt")
    if isinstance(prompt, str):
        # Beside conversations that bring their own beginning, a prompt in words only repeats it.
        prompt = [] if shared else [("user", prompt)]
    else:
        prompt = [] if prompt is None else _messages("prompt", prompt)
    prompt += chosen[:shared]
    if not prompt:
        raise ValueError("the field 'prompt' is missing, and chosen and rejected do not begin alike")
    single = len(prompt) == 1 and len(chosen) == len(rejected) == shared + 1
    written = _content if single else _transcript
    ending = "" if single else TURN
    return _pair(written(prompt) + ending, *(_answer(side[shared:], single) for side in (chosen, rejected)))


def _from_transcripts(record: dict, threshold: float | None) -> PreferenceSet:
    sides = [_field(record, name) for name in ("chosen", "rejected")]
    for name, side in zip(("chosen", "rejected"), sides, strict=True):
        check_text(name, side)
    end = sides[0][: _alike(*sides)].rfind(TURN)
    if end < 0:
        raise ValueError(f"chosen and rejected must begin alike, up to {TURN!r}")
    end += len(TURN)
    return _pair(sides[0][:end], *(side[end:] for side in sides))


def _from_scores(record: dict, threshold: float | None) -> PreferenceSet | None:
    prompt = _field(record, *PROMPTS)
    completions, scores = _scored(record)
    best, worst = max(scores), min(scores)
    if threshold is None and best == worst:
        return None
    high, low = (best, worst) if threshold is None else (threshold, math.nextafter(threshold, -math.inf))
    positives = [text for text, score in zip(completions, scores, strict=True) if score >= high]
    negatives = [text for text, score in zip(completions, scores, strict=True) if score <= low]
    return PreferenceSet(prompt, positives, negatives) if positives and negatives else None


def _scored(record: dict) -> tuple[list, list[float]]:
    completions = _field(record, "completions")
    if not isinstance(completions, Sequence) or isinstance(completions, str) or not completions:
        raise ValueError(f"completions must be a list with at least one completion, not {shortened(completions)}")
    if record.get("scores") is not None:
        scores = record["scores"]
        if not isinstance(scores, Sequence) or len(scores) != len(completions):
            raise ValueError(f"scores must be a list as long as completions, not {shortened(scores)}")
        return list(completions), [_number(f"scores[{i}]", score) for i, score in enumerate(scores)]
    for i, one in enumerate(completions):
        if not isinstance(one, dict):
            raise ValueError(f"completions[{i}] must be an object with text and score, not {shortened(one)}")
    places = [f"completions[{i}]." for i in range(len(completions))]
    texts = [_field(one, *TEXTS, place=place) for one, place in zip(completions, places, strict=True)]
    scores = [_field(one, *SCORES, place=place) for one, place in zip(completions, places, strict=True)]
    return texts, [_number(f"{place}score", score) for place, score in zip(places, scores, strict=True)]


def _number(name: str, score) -> float:
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise ValueError(f"{name} must be a finite number, not {shortened(score)}")
    return float(score)


def _field(record: dict, *names: str, place: str = ""):
    """Return the first of these fields that the record has."""
    for name in names:
        if record.get(name) is not None:
            return record[name]
    raise ValueError(f"the field {' or '.join(repr(place + name) for name in names)} is missing")


def _pair(prompt: str, chosen, rejected) -> PreferenceSet:
    check_text("chosen", chosen)
    check_text("rejected", rejected)
    if chosen == rejected:
        raise ValueError(f"chosen and rejected must not be the same text; both are {shortened(chosen)}")
    return PreferenceSet(prompt, [chosen], [rejected])


def _messages(name: str, messages) -> list[tuple[str, str]]:
    if isinstance(messages, str) or not isinstance(messages, Sequence) or not messages:
        raise ValueError(f"{name} must be a list of messages with at least one, not {shortened(messages)}")
    for i, one in enumerate(messages):
        if not isinstance(one, dict) or one.get("role") not in SPEAKERS:
            raise ValueError(f"{name}[{i}] must have a role of {', '.join(SPEAKERS)}, not {shortened(one)}")
        check_text(f"{name}[{i}].content", one.get("content"))
    return [(one["role"], one["content"]) for one in messages]


def _content(messages: list[tuple[str, str]]) -> str:
    return messages[0][1]


def _transcript(messages: list[tuple[str, str]]) -> str:
    return "".join(f"\n\n{SPEAKERS[role]}: {content}" for role, content in messages)


def _answer(messages: list[tuple[str, str]], single: bool) -> str:
    # In a transcript the prompt ends with the assistant's turn, which the answer therefore does not repeat.
    return _content(messages) if single else _transcript(messages).removeprefix(TURN)


def _alike(one: Sequence, other: Sequence) -> int:
    """Return how many items two sequences have in common from their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _is_transcript(text) -> bool:
    return isinstance(text, str) and TURN in text


FORMATS = {
    "sets": Format(lambda record: "positives" in record or "negatives" in record, _from_sets),
    "scored": Format(lambda record: "completions" in record, _from_scores),
    "hh-rlhf": Format(
        lambda record: "prompt" not in record and any(_is_transcript(record.get(f)) for f in ("chosen", "rejected")),
        _from_transcripts,
        pairs=True,
    ),
    "trl": Format(lambda record: "chosen" in record or "rejected" in record, _from_trl, pairs=True),
}
