r"""The formats that preference data come in, each as a function from one record to one preference set.

==========  ============================================================================================================
sets        ours: ``prompt``, ``positives``, ``negatives``, and perhaps ``scores``, one number for each positive, then
            for each negative
trl         ``prompt``, ``chosen``, ``rejected``: texts, or lists of messages; the prompt may be left out where
            ``chosen`` and ``rejected`` are conversations that begin alike, and OpenAI's ``messages`` take its place if
            they end before the response. So are Alpaca's pairs (``instruction`` and perhaps ``input``) and ShareGPT's
            (``conversations``, which end before the response, perhaps ``system``, and a message on each side)
openai      ``input`` with its ``messages``, ``preferred_output``, ``non_preferred_output``
hh-rlhf     ``chosen``, ``rejected``: transcripts that begin alike, up to a ``\n\nAssistant:``
scored      ``prompt`` (or ``instruction``) and ``completions``: objects with ``response`` (or ``text``, ``content``)
            and a score, as UltraFeedback has them, or texts next to a list ``scores``, which may also be called
            ``responses``. The set keeps the scores of its responses: of all of them with a threshold, otherwise of the
            best and the worst, as those between are left out
==========  ============================================================================================================

A message is ``{"role": str, "content": str}``, or ShareGPT's ``{"from": str, "value": str}``; its content may be a
list of parts of text, which are put together. Tool calls, images and sound, and reasoning in a field of its own, have
no place in a preference set, and a record with them is a fault; other fields of a message are not read. A conversation
stays one: the prompt of the set is its messages, and each side is the content of the assistant's message that ends it.
Where a side has more messages of its own, all of it becomes text: a transcript as hh-rlhf writes them, which is told.
A transcript that is given stays text. In ours and in scored, a prompt may be a list of messages.

Pairs may have ``score_chosen`` and ``score_rejected``, which become the scores of the set.

A record with the fields of two formats, or with two prompts, is a fault unless both say the same.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mapl_explore.data.messages import (
    NO_TEXT,
    TURN,
    Message,
    Prompt,
    alike,
    asking,
    asking_messages,
    checked_prompt,
    conversation,
    messages_of,
    prompt_text,
    transcript,
    unasked,
)
from mapl_explore.data.scored import LISTS, PROMPTS, from_completions, has_scores, named_field, with_scores
from mapl_explore.data.sets import PreferenceSet
from mapl_explore.files import check_text, shortened

OPENAI = ("preferred_output", "non_preferred_output")  # its names of chosen and rejected
PAIRS = "pairs of TRL, Alpaca, ShareGPT and OpenAI, hh-rlhf's transcripts, scored completions, or ours"
ONE_SIDED = {  # well-known formats by the fields that tell them: they have no rejected response
    "Alpaca's instructions": ("instruction", "output"),
    "ShareGPT's conversations": ("conversations",),
    "OpenAI's messages": ("messages",),
    "TRL's prompts with a completion": ("prompt", "completion"),
}
ASKING = {"prompt": "TRL", "instruction": "Alpaca", "conversations": "ShareGPT", "messages": "OpenAI"}  # whose prompt
WHOLE_TABLE = (
    "not one record but a whole table, as pandas writes it by default"
    "; write it by frame.to_json(FILE, orient='records', lines=True)"
)
COLUMNS = (*PROMPTS, "chosen", "rejected")  # of one record, a list here is one of messages


@dataclass(frozen=True)
class Format:
    """How records of one format are recognised and read.

    Parameters
    ----------
    fields : tuple of str
        The fields that no record of another format has, except where ``also`` tells them apart.
    read : callable
        From a record and the threshold of scores to a set, or to None where it has no two sides.
    pairs : bool
        Whether a record is one pair of several that a prompt may have.
    also : callable
        From a record with these fields to whether it is of this format.
    alike : bool
        Whether the fields are names of one thing, of which a record has one.
    """

    fields: tuple[str, ...]
    read: Callable[[dict, float | None], PreferenceSet | None]
    pairs: bool = False
    also: Callable[[dict], bool] = lambda record: True
    alike: bool = False

    def fits(self, record: dict) -> bool:
        """Return whether a record has one of the fields of this format."""
        return not record.keys().isdisjoint(self.fields) and self.also(record)

    def fills(self, record: dict) -> bool:
        """Return whether a record has the fields of this format, and no null there."""
        given = [record.get(name) is not None for name in self.fields]
        return (any if self.alike else all)(given) and self.also(record)

    def makes_text(self, record: dict, one: PreferenceSet) -> bool:
        """Return whether the sides of a record are messages, and its set is text: a transcript."""
        return self.pairs and isinstance(one.prompt, str) and not isinstance(record[self.fields[0]], str)


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
    if _is_table(record) or _is_columns(record):
        raise ValueError(WHOLE_TABLE)
    # In a table, null stands for a missing field.
    given = {name: value for name, value in record.items() if value is not None}
    for named in (given, record):
        for name, form in FORMATS.items():
            if form.fits(named):
                return name
    _refuse_lists(record)
    for name, fields in ONE_SIDED.items():
        if given.keys() >= {*fields}:
            raise ValueError(f"these are {name}, without a rejected response; what is read: {PAIRS}")
    listed = ", ".join(map(shortened, record)) or "none"
    raise ValueError(f"no format that is read ({PAIRS}) has these fields: {listed}")


def told_set(record: dict, name: str, threshold: float | None) -> PreferenceSet | None:
    """Return the set of a record in the format that its fields show, or None where it has no two sides.

    Raises
    ------
    ValueError
        If it is malformed, or has the fields of another format or another prompt that say something else.

    Examples
    --------
    >>> told_set({"prompt": "2 + 2 =", "chosen": "4", "rejected": "5", "instruction": "3 + 3 ="}, "trl", None)
    Traceback (most recent call last):
    ValueError: Alpaca's field 'instruction' is another prompt than the one read ('3 + 3 =', '2 + 2 ='): remove one
    """
    for other, form in FORMATS.items():
        if other != name and form.fills(record) and not FORMATS[name].fits(record):
            raise ValueError(
                f"the format is {other}, that of the records before it {name}: put each format into a file of its own,"
                " and make sets of it (data convert FILE sets.jsonl)"
            )
        if other != name and form.fills(record) and not _agree(record, (name, other), threshold):
            raise ValueError(
                f"the fields of two formats are in it, {name} and {other}, and say different things: remove those of"
                " one, or name the one to read (data convert --format)"
            )
    one = FORMATS[name].read(record, threshold)
    if one is not None:
        _require_one_prompt(record, prompt_text(one.prompt))
    return one


def stated_prompt(record: dict) -> Prompt:
    r"""Return what a record asks: by a field for it, or where it is a pair of a format that keeps it elsewhere, so.

    Examples
    --------
    >>> stated_prompt({"instruction": "Add.", "input": "2, 2", "output": "4"})
    'Add.\n2, 2'
    """
    if record.get("prompt") is not None:
        return checked_prompt(record["prompt"])
    if isinstance(record.get("instruction"), str):
        return _alpaca(record)
    pair = next((form for form in FORMATS.values() if form.pairs and form.fills(record)), None)
    told = pair.read(record, None) if pair else None
    return asking_messages(record) or (told.prompt if told else _field(record, "prompt"))


def _agree(record: dict, names: Sequence[str], threshold: float | None) -> bool:
    """Return whether a record is the same set in several formats; scores may be missing in one of them."""
    try:
        read = [FORMATS[name].read(record, threshold) for name in names]
    except (TypeError, ValueError):
        return False
    scores = {one.scores for one in read if one is not None and one.scores is not None}
    return len({one and replace(one.as_text(), scores=None) for one in read}) == 1 and len(scores) < 2


def _require_one_prompt(record: dict, read: str) -> None:
    """Raise if another field may hold a prompt, and neither it nor the prompt that was read is part of the other."""
    for name, whose in ASKING.items():
        texts = _asked(name, record.get(name))
        if texts and not any(_within(text, read) or _within(read, text) for text in texts):
            both = f"{shortened(texts[0])}, {shortened(read)}"
            raise ValueError(f"{whose}'s field {name!r} is another prompt than the one read ({both}): remove one")


def _asked(name: str, value: object) -> list[str]:
    """Return what a prompt asks: a text, or what the user says in messages; nothing if it is neither."""
    if isinstance(value, str):
        return [value] if name in PROMPTS else []
    with contextlib.suppress(TypeError, ValueError):
        return [text for role, text in messages_of(name, value) if role == "user"]
    return []


def _within(one: str, other: str) -> bool:
    return " ".join(one.split()) in " ".join(other.split())


def _is_table(record: dict) -> bool:
    """Return whether an object is a table by columns or by rows, {"prompt": {"0": ...}} or {"0": {"prompt": ...}}."""
    rows = [*record.values()]
    if not rows or not all(isinstance(one, dict) and one.keys() == rows[0].keys() for one in rows) or not rows[0]:
        return False
    apart = rows[0].keys().isdisjoint(("role", "from", "messages"))  # those are of a message, or around several
    by_columns = _fits_one(record) and apart
    return _numbered(record) or _numbered(rows[0]) or _fits_one(rows[0]) or by_columns


def _is_columns(record: dict) -> bool:
    """Return whether an object is a table by columns of one length, {"prompt": ["...", ...], ...}."""
    columns = [*record.values()]
    if not columns or not all(isinstance(one, list) and len(one) == len(columns[0]) for one in columns):
        return False
    cells = [cell for name in COLUMNS for cell in record.get(name, ())]
    return _fits_one(record) and bool(cells) and all(isinstance(cell, str | list | None) for cell in cells)


def _fits_one(record: dict) -> bool:
    return any(form.fits(record) for form in FORMATS.values())


def _numbered(values: dict) -> bool:
    return all(map(str.isdecimal, values))


def _refuse_lists(record: dict) -> None:
    """Raise if an object is not a record but has all of them in a field."""
    if {"columns", "data"} <= record.keys() or {"schema", "data"} <= record.keys():
        raise ValueError(WHOLE_TABLE)
    for name, value in record.items():
        first = value[0] if isinstance(value, list) and value else None
        if isinstance(first, dict) and _fits_one(first):
            raise ValueError(f"not one record but a list of them under {name!r}; write that list alone to a file")


def _from_sets(record: dict, threshold: float | None) -> PreferenceSet:
    prompt = _field(record, "prompt", "messages")  # a table that has prompts of both kinds has both columns
    return PreferenceSet(prompt, _field(record, "positives"), _field(record, "negatives"), record.get("scores"))


def _from_trl(record: dict, threshold: float | None) -> PreferenceSet:
    _refuse_all_but_text(record)
    chosen, rejected = (_field(record, name) for name in ("chosen", "rejected"))
    system = record.get("system") or ""
    check_text("system", system)
    if isinstance(chosen, str) or isinstance(rejected, str):
        _refuse_beyond_prompt(record)
        return _pair(_instruction(record), chosen, rejected)
    # A list under 'prompt' is what comes before the conversations; words, or ShareGPT's field, are how they begin.
    repeats = not isinstance(record.get("prompt"), list)
    sides = {"chosen": chosen, "rejected": rejected}
    instead = unasked(record)
    return _from_conversations(_beginning(record), sides, repeats=repeats, system=system, instead=instead)


def _from_openai(record: dict, threshold: float | None) -> PreferenceSet:
    asked = _field(record, "input")
    if not isinstance(asked, dict):
        raise ValueError(f"input must be an object with messages, not {shortened(asked)}")
    _refuse_all_but_text(asked)
    given = _field(asked, "messages", place="input.")
    prompt = asking("input.messages", given)
    if prompt is None:
        raise ValueError(f"the prompt is missing in input{unasked(asked)}")
    return _from_conversations([*prompt], {name: _field(record, name) for name in OPENAI}, repeats=False)


def _refuse_all_but_text(record: dict) -> None:
    if record.get("tools") and record["tools"] != "[]":  # ShareGPT has JSON here
        raise ValueError("tool calls are not supported (the field 'tools')")
    for name in NO_TEXT:
        if record.get(name):
            raise ValueError(f"images and sound are not supported (the field {name!r})")


def _instruction(record: dict) -> Prompt:
    """Return the prompt of sides that are texts: of its own field, or Alpaca's instruction and its input."""
    if record.get("prompt") is None and isinstance(record.get("instruction"), str):
        return _alpaca(record)
    prompt = _prompt(record)
    return _field(record, "prompt") if prompt is None else prompt


def _refuse_beyond_prompt(record: dict) -> None:
    for name in ("system", "history"):
        if record.get(name):
            raise ValueError(f"next to texts more than a prompt is not supported (the field {name!r})")


def _alpaca(record: dict) -> str:
    about = record.get("input") or ""
    check_text("input", about)
    return "\n".join(filter(None, (record["instruction"], about)))


def _beginning(record: dict) -> list[Message]:
    """Return who says what in the prompt that stands next to conversations."""
    prompt = _prompt(record)
    return [Message("user", prompt)] if isinstance(prompt, str) else [*(prompt or ())]


def _prompt(record: dict) -> Prompt | None:
    """Return the prompt in TRL's field, ShareGPT's or OpenAI's; None where there is none of them."""
    prompt, said = record.get("prompt"), record.get("conversations")
    if prompt is not None:
        return checked_prompt([prompt] if isinstance(prompt, dict) else prompt)
    return asking_messages(record) if said is None else asking("conversations", said)


def _from_conversations(
    prompt: list[Message], sides: dict[str, Sequence], *, repeats: bool, system: str = "", instead: str = ""
) -> PreferenceSet:
    """Return the set of conversations; where ``repeats``, the prompt is their beginning and is not taken twice.

    ``instead`` says what stands in the place of a prompt that is missing.
    """
    chosen, rejected = (conversation(name, side) for name, side in sides.items())
    shared = alike(chosen[:-1], rejected[:-1])
    prompt = chosen[:shared] if shared and repeats else prompt + chosen[:shared]
    if not prompt:
        raise ValueError(f"the field 'prompt' is missing, and chosen and rejected do not begin alike{instead}")
    if system and prompt[0] not in (Message("system", system), Message("developer", system)):
        prompt = [Message("system", system), *prompt]
    if len(chosen) == len(rejected) == shared + 1:
        return _pair(tuple(prompt), chosen[-1].content, rejected[-1].content)
    # The prompt's text ends with the assistant's turn, which a side therefore does not repeat.
    return _pair(
        transcript(prompt) + TURN, *(transcript(side[shared:]).removeprefix(TURN) for side in (chosen, rejected))
    )


def _from_transcripts(record: dict, threshold: float | None) -> PreferenceSet:
    sides = [_field(record, name) for name in ("chosen", "rejected")]
    for name, side in zip(("chosen", "rejected"), sides, strict=True):
        check_text(name, side)
    end = sides[0][: alike(*sides)].rfind(TURN)
    if end < 0:
        raise ValueError(f"chosen and rejected must begin alike, up to {TURN!r}")
    end += len(TURN)
    return _pair(sides[0][:end], *(side[end:] for side in sides))


def _field(record: dict, *names: str, place: str = "") -> Any:
    """Return the first of these fields that the record has."""
    return named_field(record, *names, place=place)[1]


def _pair(prompt: Prompt, chosen: Any, rejected: Any) -> PreferenceSet:
    check_text("chosen", chosen)
    check_text("rejected", rejected)
    if chosen == rejected:
        raise ValueError(f"chosen and rejected must not be the same text; both are {shortened(chosen)}")
    return PreferenceSet(prompt, [chosen], [rejected])


def _has_transcript(record: dict) -> bool:
    """Return whether a side is a transcript; where there is a prompt, a whole one, which repeats the prompt."""
    sides = [one for one in map(record.get, ("chosen", "rejected")) if isinstance(one, str) and TURN in one]
    return any(_is_whole(one) for one in sides) if _has_prompt(record) else bool(sides)


def _is_whole(transcript: str) -> bool:
    return transcript.startswith("\n\nHuman:")


def _has_prompt(record: dict) -> bool:
    return any(record.get(name) is not None for name in PROMPTS)


FORMATS = {
    "sets": Format(("positives", "negatives"), _from_sets),
    "scored": Format(LISTS, from_completions, also=has_scores, alike=True),
    "hh-rlhf": Format(("chosen", "rejected"), with_scores(_from_transcripts), pairs=True, also=_has_transcript),
    "openai": Format(OPENAI, with_scores(_from_openai), pairs=True),
    "trl": Format(
        ("chosen", "rejected"),
        with_scores(_from_trl),
        pairs=True,
        also=lambda record: _has_prompt(record) or not _has_transcript(record),
    ),
}
