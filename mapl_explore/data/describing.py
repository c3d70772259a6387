"""Preference data described in words, for people who are about to train on them."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import median

from mapl_explore.data.messages import Message, Prompt, prompt_text
from mapl_explore.data.reading import Fault
from mapl_explore.data.sets import PreferenceSet
from mapl_explore.files import counted, shortened

SHOWN = 3  # examples of what is odd
ENDS = (  # what ends a text in the tokenizers of well-known models
    "<|endoftext|>",
    "</s>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<eos>",
    "<end_of_turn>",
    "<|end|>",
    "<|return|>",
    "[EOS]",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
)


def description(
    sets: Sequence[PreferenceSet], repeated: int = 0, averaged: int = 0, same: Sequence[tuple[str, str]] = ()
) -> str:
    """Return counts, set sizes, lengths, scores where there are some, duplicates and contradictions, each in a line.

    ``repeated``, ``averaged`` and ``same`` are those of :class:`mapl_explore.data.Reading`.

    Examples
    --------
    >>> print(description([PreferenceSet("2 + 2 =", ["4"], ["5", "22"])]))
    sets            1, of 1 prompt; 1 positive, 2 negatives
    positives       1 to 1 a set, median 1
    negatives       2 to 2 a set, median 2
    prompts         7 to 7 characters, median 7
    responses       1 to 2 characters, median 1; positives 1, negatives 1.5
    duplicates      none
    contradictions  none
    end tokens      none
    """
    positives, negatives = ([one.positives for one in sets], [one.negatives for one in sets])
    lengths = [[len(text) for side in sides for text in side] for sides in (positives, negatives)]
    prompts = counted(len({one.prompt for one in sets}), "prompt")
    responses = f"{counted(len(lengths[0]), 'positive')}, {counted(len(lengths[1]), 'negative')}"
    rows = {
        "sets": f"{len(sets)}, of {prompts}; {responses}",
        "positives": f"{_range(map(len, positives))[0]} a set, median {_range(map(len, positives))[1]}",
        "negatives": f"{_range(map(len, negatives))[0]} a set, median {_range(map(len, negatives))[1]}",
        "prompts": "{} characters, median {}".format(*_range(len(prompt_text(one.prompt)) for one in sets))
        + _blank(_said(one.prompt) for one in sets),
        **_conversations(sets),
        "responses": "{} characters, median {}".format(*_range(lengths[0] + lengths[1]))
        + f"; positives {median(lengths[0]):g}, negatives {median(lengths[1]):g}"
        + _blank(text for one in sets for text in one.responses),
        **_scores(sets, averaged),
        "duplicates": _duplicates(sets, repeated, same),
        "contradictions": _contradictions(sets),
        "end tokens": _end_tokens(sets),
    }
    return "\n".join(f"{name:<16}{text}" for name, text in rows.items())


def fault_lines(faults: Sequence[Fault], records: int) -> list[str]:
    """Return a line for each kind of fault: the first one, and how many more there are like it.

    Examples
    --------
    >>> faults = [Fault(f"a:{i}", f"prompt must be text, not {i}") for i in range(1, 9)]
    >>> fault_lines(faults, records=10)
    ['a:1: prompt must be text, not 1; and 7 more like it (8 of 10 records): a:2, a:3, a:4, ...']
    """
    kinds = defaultdict(list)
    for fault in faults:
        kinds[_kind(fault.rule)].append(fault)
    return [_fault_line(alike, records) for alike in kinds.values()]


def _kind(rule: str) -> str:
    """Return a rule without what differs from record to record: the value that breaks it, and numbers of places."""
    return re.sub(r"\d+", "#", re.split(r", not |,? but |; | \(", rule)[0])


def _fault_line(alike: Sequence[Fault], records: int) -> str:
    if len(alike) == 1:
        return str(alike[0])
    more = len(alike) - 1
    places = ", ".join(fault.place for fault in alike[1 : SHOWN + 1]) + ", ..." * (more > SHOWN)
    return f"{alike[0]}; and {more:,} more like it ({len(alike):,} of {counted(records, 'record', ',')}): {places}"


def _range(numbers: Iterable[int]) -> tuple[str, str]:
    numbers = list(numbers)
    return f"{min(numbers)} to {max(numbers)}", f"{median(numbers):g}"


def _said(prompt: Prompt) -> str:
    """Return what stands in a prompt, without the names of those who say it."""
    return prompt if isinstance(prompt, str) else "".join(message.content for message in prompt)


def _blank(texts: Iterable[str]) -> str:
    """Return how many texts are empty or white space, as the end of a line; "" where none is."""
    blank = sum(not text.strip() for text in texts)
    return f"; {blank} with nothing in them" * (blank > 0)


def _conversations(sets: Sequence[PreferenceSet]) -> dict[str, str]:
    """Return a line on the prompts that are messages; none where all are text."""
    talks = [one.prompt for one in sets if not isinstance(one.prompt, str)]
    if not talks:
        return {}
    roles = Counter(message.role for talk in talks for message in talk)
    said = ", ".join(f"{count} of the {role}" for role, count in roles.most_common())
    least, most = min(map(len, talks)), max(map(len, talks))
    talked = f"{len(talks)} of {counted(len(sets), 'set')}, {least} to {most} messages: {said}"
    odd = Counter(oddity for talk in talks for oddity in _oddities(talk))
    return {"conversations": "; ".join([talked, *(f"{count} {oddity}" for oddity, count in odd.items())])}


def _oddities(talk: Sequence[Message]) -> Iterator[str]:
    """Yield what is odd about a prompt of messages; some chat templates refuse such prompts, others write them."""
    roles = [message.role for message in talk]
    turns = [role for role in roles if role not in ("system", "developer")]
    if turns[:1] != ["user"] or any(one == two != "tool" for one, two in pairwise(turns)):
        yield "where user and assistant do not take turns, the user first"
    if turns[-1:] == ["assistant"]:
        yield "ending with the assistant"
    if roles[len(roles) - len(turns) :] != turns:
        yield "with a system message after others"
    if any(not message.content.strip() for message in talk):
        yield "with a message that has nothing in it"


def _scores(sets: Sequence[PreferenceSet], averaged: int) -> dict[str, str]:
    """Return a line on the scores, and how often they are at odds with the labels; none where no set has scores."""
    graded = [(one.scores[: len(one.positives)], one.scores[len(one.positives) :]) for one in sets if one.scores]
    if not graded:
        return {}
    positives, negatives = ([score for one in graded for score in one[side]] for side in (0, 1))
    scores = positives + negatives
    odd = sum(max(negative) > min(positive) for positive, negative in graded)
    without = counted(len(sets) - len(graded), "set")
    missing = f"; {without} without" * (len(graded) < len(sets))
    missing += f"; {counted(averaged, 'text')} with different scores for one prompt, the mean is taken" * (averaged > 0)
    return {
        "scores": f"{min(scores):g} to {max(scores):g}, median {median(scores):g}; positives {median(positives):g},"
        f" negatives {median(negatives):g}; in {counted(odd, 'set')} a negative has a higher one than a positive"
        + missing
    }


def _duplicates(sets: Sequence[PreferenceSet], repeated: int, same: Sequence[tuple[str, str]]) -> str:
    found = [_same_records(same), _same_texts(sets)]
    found += [f"{counted(repeated, 'response')} left out, of a text that stands twice in the record"] * (repeated > 0)
    return "; ".join(filter(None, found)) or "none"


def _same_records(same: Sequence[tuple[str, str]]) -> str:
    """Return how many records have the prompt and the sides of an earlier one, and where the first of them stand."""
    places = ", ".join(f"{place} as {earlier}" for place, earlier in same[:SHOWN]) + ", ..." * (len(same) > SHOWN)
    return f"{counted(len(same), 'record')} with the prompt and both sides of an earlier one: {places}" * bool(same)


def _same_texts(sets: Sequence[PreferenceSet]) -> str:
    prompts = sum(count - 1 for count in Counter(one.prompt for one in sets).values())
    same_sets = sum(count - 1 for count in Counter(sets).values())
    texts = sum(len(side) - len(set(side)) for one in sets for side in (one.positives, one.negatives))
    if not (prompts or texts):
        return ""
    otherwise = sum(_scored_otherwise(one) for one in sets)
    same = f"{same_sets} of them the same set; {counted(texts, 'text')} repeated in a side"
    same += f", {otherwise} with another score" * (otherwise > 0)
    return f"{counted(prompts, 'set')} of a prompt that came before, {same}"


def _scored_otherwise(one: PreferenceSet) -> int:
    """Return how many responses repeat a text with another score than that which it has first."""
    first: dict[str, float] = {}
    scored = zip(one.responses, one.scores or (), strict=False)
    return sum(first.setdefault(text, score) != score for text, score in scored)


def _contradictions(sets: Sequence[PreferenceSet]) -> str:
    sides: dict[Prompt, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for one in sets:
        for texts, side in zip((one.positives, one.negatives), sides[one.prompt], strict=True):
            side.update(texts)
    prompts = [prompt for prompt, (accepted, rejected) in sides.items() if accepted & rejected]
    if not prompts:
        return "none"
    shown = ", ".join(shortened(prompt_text(prompt)) for prompt in prompts[:SHOWN]) + ", ..." * (len(prompts) > SHOWN)
    return f"{counted(len(prompts), 'prompt')} with a text accepted in one set and rejected in another: {shown}"


def _end_tokens(sets: Sequence[PreferenceSet]) -> str:
    texts = [text.rstrip() for one in sets for text in one.responses]
    counts = Counter(end for text in texts for end in ENDS if text.endswith(end))
    if not counts:
        return "none"
    ends = ", ".join(f"{count} {shortened(end)}" for end, count in counts.most_common())
    return f"{counts.total()} of {counted(len(texts), 'response')} with an end of text of their own: {ends}"
