"""Records whose responses have scores: completions with a score each, and pairs with one on either side."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from mapl_explore.data.messages import asking_messages, refuse_beside, unasked
from mapl_explore.data.sets import PreferenceSet, checked_score
from mapl_explore.files import shortened

PROMPTS = ("prompt", "instruction")
LISTS = ("completions", "responses")
TEXTS = ("response", "text", "content")
SCORES = ("score", "overall_score", "fine-grained_score")  # the last two are UltraFeedback's names
OF_PAIRS = ("score_chosen", "score_rejected")  # those of UltraFeedback as pairs
Read = Callable[[dict, float | None], PreferenceSet | None]


def has_scores(record: dict) -> bool:
    """Return whether a record is one of scored completions; ``responses`` are, where ``scores`` stand next to them."""
    return "completions" in record or {"responses", "scores"} <= record.keys()


def from_completions(record: dict, threshold: float | None) -> PreferenceSet | None:
    """Return the set of scored completions, None where their scores make no two sides."""
    named = any(record.get(name) is not None for name in PROMPTS)
    prompt = (None if named else asking_messages(record)) or named_field(record, *PROMPTS)[1]
    given = completions(record)
    known = ratings(given)
    graded = [(text, mean_score(known[_key(text)])) for text, _ in given]
    best, worst = (end(score for _, score in graded) for end in (max, min))
    if threshold is None and best == worst:
        return None
    high, low = (best, worst) if threshold is None else (threshold, math.nextafter(threshold, -math.inf))
    sides = [one for one in graded if one[1] >= high], [one for one in graded if one[1] <= low]
    if not all(sides):
        return None
    positives, negatives = ([text for text, _ in side] for side in sides)
    return PreferenceSet(prompt, positives, negatives, scores=[score for side in sides for _, score in side])


def completions(record: dict) -> list[tuple[Any, float]]:
    """Return each completion of a record with its score, in their order.

    Raises
    ------
    ValueError, TypeError
        If there is none, or not a finite score for each; the line names the record's own field.

    Examples
    --------
    >>> completions({"responses": ["4", "5"], "scores": [1, 0]})
    [('4', 1.0), ('5', 0.0)]
    """
    name, listed = named_field(record, *LISTS)
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        raise ValueError(f"{name} must be a list with at least one completion, not {shortened(listed)}")
    if record.get("scores") is None:
        return _scored(name, listed)
    scores = record["scores"]
    if not isinstance(scores, Sequence) or len(scores) != len(listed):
        raise ValueError(f"scores must be a list as long as {name}, not {shortened(scores)}")
    return [(one, checked_score(f"scores[{i}]", scores[i])) for i, one in enumerate(listed)]


def ratings(graded: Iterable[tuple[Any, float]]) -> dict[str, set[float]]:
    """Return the different scores of each text.

    Examples
    --------
    >>> ratings([("4", 1.0), ("5", 0.0), ("4", 3.0)])
    {'4': {1.0, 3.0}, '5': {0.0}}
    """
    known: dict[str, set[float]] = defaultdict(set)
    for text, score in graded:
        known[_key(text)].add(score)
    return dict(known)


def mean_score(scores: set[float]) -> float:
    """Return the mean of the different scores of a text, rounded once."""
    return mean(scores) if len(scores) > 1 else next(iter(scores))


def _key(text: object) -> str:
    """Return a text, or in words what is none and will be refused as such."""
    return text if isinstance(text, str) else repr(text)


def _scored(name: str, listed: Sequence) -> list[tuple[Any, float]]:
    """Return text and score of each object of a list; all scores have one name, as two may have two scales."""
    places = [f"{name}[{i}]" for i in range(len(listed))]
    wrong = next((i for i, one in enumerate(listed) if not isinstance(one, dict)), None)
    if wrong is not None:
        place, shown = places[wrong], shortened(listed[wrong])
        raise ValueError(f"{place} must be an object with text and score, or scores stand next to {name}, not {shown}")
    used = next((each for each in SCORES if any(each in one for one in listed)), None)
    names = SCORES if used is None else (used,)
    for place, one in zip(places, listed, strict=True):
        if "role" in one:
            refuse_beside(place, one)
    return [_text_and_score(one, f"{place}.", names) for place, one in zip(places, listed, strict=True)]


def _text_and_score(one: dict, place: str, names: Sequence[str]) -> tuple[Any, float]:
    _, text = named_field(one, *TEXTS, place=place)
    name, score = named_field(one, *names, place=place)
    return text, checked_score(f"{place}{name}", score)


def with_scores(read: Read) -> Read:
    """Return a reader of pairs that gives its set the scores of ``score_chosen`` and ``score_rejected``, if any."""

    def graded(record: dict, threshold: float | None) -> PreferenceSet | None:
        one = read(record, threshold)
        if one is None or all(record.get(name) is None for name in OF_PAIRS):
            return one
        return replace(one, scores=tuple(checked_score(name, named_field(record, name)[1]) for name in OF_PAIRS))

    return graded


def named_field(record: dict, *names: str, place: str = "") -> tuple[str, Any]:
    """Return the first of these fields that the record has, by its name and its value."""
    for name in names:
        if record.get(name) is not None:
            return name, record[name]
    null = [name for name in names if name in record]
    named = " or ".join(repr(place + name) for name in null or names)
    instead = unasked(record) if "prompt" in names else ""
    raise ValueError(f"the field {named} is {'null' if null else 'missing'}{instead}")
