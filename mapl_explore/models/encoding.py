"""From texts to token ids: preference sets as a model reads them.

Prompt and response are encoded apart and joined, so that a response has the same tokens whatever stands before it.
"""

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from mapl_explore.data import PreferenceSet
from mapl_explore.data.messages import named_prompt
from mapl_explore.data.sets import are_graded
from mapl_explore.files import counted
from mapl_explore.models.chat import note_shown
from mapl_explore.models.choices import TRUNCATE, Chat
from mapl_explore.models.kinds import Tokenizer
from mapl_explore.models.turns import beginning_tokens, encoded_prompts, end_tokens, endings, plain_tokens
from mapl_explore.models.whole import note_unlike_whole
from mapl_explore.notes import note

ROW_TOKENS = 512  # of responses behind one prompt: the cost of attention grows with the square of a row


@dataclass(frozen=True)
class EncodedSet:
    """The token ids of one preference set: positives first, each response ended unless it was cut."""

    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]
    positives: int
    context: float = math.inf  # no row of several responses is longer
    scores: tuple[float, ...] | None = None

    @property
    def labels(self) -> list[int]:
        """Return +1 for each positive, -1 for each negative."""
        return [1] * self.positives + [-1] * (len(self.responses) - self.positives)

    @property
    def longest(self) -> int:
        """Return the number of tokens of the longest response."""
        return max(map(len, self.responses))

    @property
    def tokens(self) -> int:
        """Return the number of tokens of the prompt and all responses."""
        return len(self.prompt) + sum(map(len, self.responses))

    @property
    def ambiguous(self) -> bool:
        """Return whether the same tokens stand on both sides."""
        return not set(self.responses[: self.positives]).isdisjoint(self.responses[self.positives :])


class Cell(NamedTuple):
    """One place of a table that a model reads, see :func:`collate`."""

    ids: int
    position: int
    target: int
    owner: int


class Row(NamedTuple):
    """A row of a table, without its padding."""

    prompt: list[Cell]
    responses: list[Cell]


PADDING = Cell(0, 0, 0, -1)


def encode_sets(
    tokenizer: Tokenizer,
    sets: Sequence[PreferenceSet],
    *,
    context: float = math.inf,
    truncate: str = "keep-start",
    ends: Sequence[int] = (),
    chat: Chat = "auto",
) -> list[EncodedSet]:
    """Return the token ids of every set, cut to the context; a :class:`~mapl_explore.notes.Note` says what was cut.

    ``"keep-start"`` cuts responses at their end, all of a set to the same room. A prompt is cut only where it leaves
    them less than half of the context, and then at its start, after the token that begins a text: its question is
    mostly at its end, next to the response. A cut response has no end token: it did not end there.

    Parameters
    ----------
    tokenizer
        Of ``transformers``. A prompt begins with what it puts before a text, see :func:`encode_prompt`.
    sets : sequence of PreferenceSet
        At least one.
    context : int or inf
        The most tokens of a prompt and a response together.
    truncate : {"keep-start", "error"}
        Cut, or refuse sets that do not fit.
    ends : sequence of int
        The tokens that end a response; if there are none, those of :func:`end_tokens`. The first one is put after each
        response that does not end with one of them; behind a prompt that the chat template writes, the template's end
        of a turn comes before them.
    chat : {"auto", "always", "never"}
        Which prompts the chat template writes: those of messages, all, or none, see :func:`as_shown`.

    Returns
    -------
    list of EncodedSet
        In the order of the sets.

    Raises
    ------
    ValueError
        If there are no sets, only some of them have scores, ``truncate`` is neither, the chat template refuses a
        prompt, or a set does not fit: the error names the first one.
    """
    if truncate not in TRUNCATE:
        raise ValueError(f"truncate must be one of {', '.join(map(repr, TRUNCATE))}, not {truncate!r}")
    if not sets:
        raise ValueError("sets must hold at least one preference set")
    are_graded(sets)
    note_shown(tokenizer, [one.prompt for one in sets], chat)
    uncut = _encoded(tokenizer, sets, ends or end_tokens(tokenizer), chat)
    note_unlike_whole(tokenizer, sets, [[one.prompt + ids for ids in one.responses] for one in uncut], chat)
    if truncate == "error":
        _require_fit(uncut, sets, context)
    begins = {*beginning_tokens(tokenizer), tokenizer.bos_token_id}
    fitted = [_fitted(one, context, begins) for one in uncut]
    if sum(one.tokens for one in fitted) < sum(one.tokens for one in uncut):
        note(_cut_summary(uncut, fitted, context))
    return fitted


def collate(sets: Sequence[EncodedSet], *, share_prompt: bool = True) -> dict[str, torch.Tensor]:
    """Return the batch that a ``SetScorer`` reads: tables (rows, columns), and the label of each response (sets, n).

    A row is a prompt and, side by side, responses to it, up to 512 tokens of them and within the model's context; or
    one response, if the prompt is not to be shared. Each response starts from the prompt's last token, which predicts
    its first one and so stands before each. In each cell, ``ids`` is the token that is read, ``position`` its
    place in prompt and response, ``target`` the token to predict, and ``owner`` whose it is: 0 the prompt's, k + 1 that
    of the response at place k of the flattened labels, -1 padding. Responses that share a prompt start at the same
    column in all rows.
    """
    labels = _padded([one.labels for one in sets])
    firsts = range(1, labels.numel() + 1, labels.shape[1])
    numbered = zip(sets, firsts, strict=True)
    rows = [_row(one, some, first) for one, first in numbered for some in _numbers(one, share_prompt)]
    widest = max(len(row.prompt) for row in rows) if share_prompt else 0
    lines = [[PADDING] * (widest - len(row.prompt)) + row.prompt + row.responses for row in rows]
    width = max(map(len, lines))
    cells = torch.tensor([line + [PADDING] * (width - len(line)) for line in lines])
    return {**dict(zip(Cell._fields, cells.unbind(-1), strict=True)), "label": labels}


def table_shapes(sets: Iterable[EncodedSet], *, share_prompt: bool = True) -> Iterator[tuple[int, int]]:
    """Yield the rows and columns of what :func:`collate` makes of the first set, of the first two, and so on."""
    rows = prompt = responses = 0
    for one in sets:
        tokens = [sum(len(one.responses[number]) for number in row) for row in _numbers(one, share_prompt)]
        before = len(one.prompt) - 1
        rows += len(tokens)
        prompt = max(prompt, before * share_prompt)  # aligned at its end, where it is shared
        responses = max(responses, max(tokens) + before * (not share_prompt))
        yield rows, prompt + responses


def sides(sets: Sequence[EncodedSet]) -> dict[str, torch.Tensor]:
    """Return label, length and, where the sets have scores, reward of each response (sets, n), as ``ScoredSets`` has.

    Lengths are 1 at padding: a mean over no tokens would be NaN.
    """
    length = _padded([list(map(len, one.responses)) for one in sets])
    table = {"label": _padded([one.labels for one in sets]), "length": length.clamp(min=1)}
    scores = [one.scores or () for one in sets]
    return table | ({"reward": _padded(scores, torch.float64)} if are_graded(sets) else {})


def _numbers(one: EncodedSet, share_prompt: bool) -> Iterator[list[int]]:
    """Yield the numbers of the responses of each row: several within the context and 512 tokens, or one."""
    most = min(ROW_TOKENS, one.context - len(one.prompt) + 1) if share_prompt else 0
    numbers: list[int] = []
    tokens = 0
    for number, response in enumerate(one.responses):
        if numbers and tokens + len(response) > most:
            yield numbers
            numbers, tokens = [], 0
        numbers.append(number)
        tokens += len(response)
    yield numbers


def _row(one: EncodedSet, numbers: Sequence[int], first: int) -> Row:
    """Return the cells of a prompt without its last token, and those of some of its responses."""
    *prompt, last = one.prompt
    responses = [
        Cell(read, len(prompt) + place, target, first + number)
        for number in numbers
        for place, (read, target) in enumerate(zip((last, *one.responses[number]), one.responses[number], strict=False))
    ]
    return Row([Cell(read, place, 0, 0) for place, read in enumerate(prompt)], responses)


def _encoded(tokenizer: Tokenizer, sets: Sequence[PreferenceSet], ends: Sequence[int], chat: Chat) -> list[EncodedSet]:
    prompts, places = [one.prompt for one in sets], [one.place for one in sets]
    around = endings(tokenizer, prompts, chat, ends)
    texts = [ending.lead + text for one, ending in zip(sets, around, strict=True) for text in one.responses]
    responses = iter(plain_tokens(tokenizer, texts))
    trails = {trail: plain_tokens(tokenizer, [trail])[0] for trail in {ending.trail for ending in around}}
    return [
        EncodedSet(
            prompt=tuple(prompt),
            responses=tuple(_ended(next(responses), ending.ends, trails[ending.trail]) for _ in one.responses),
            positives=len(one.positives),
            scores=one.scores,
        )
        for one, prompt, ending in zip(sets, encoded_prompts(tokenizer, prompts, chat, places), around, strict=True)
    ]


def _ended(ids: list[int], ends: tuple[int, ...], trail: Sequence[int]) -> tuple[int, ...]:
    return tuple(ids) if ids and ids[-1] in ends else (*ids, *trail, ends[0])


def _require_fit(encoded: Sequence[EncodedSet], sets: Sequence[PreferenceSet], context: float) -> None:
    for one, text in zip(encoded, sets, strict=True):
        if len(one.prompt) + one.longest > context:
            raise ValueError(
                f"the set of {named_prompt(text.prompt, text.place)} does not fit:"
                f" {counted(len(one.prompt), 'token')} of prompt and {one.longest} of response are more than the"
                f" {context} that are read ('keep-start' would cut them)"
            )


def _fitted(one: EncodedSet, context: float, begins: Collection[int]) -> EncodedSet:
    if len(one.prompt) + one.longest <= context:
        return replace(one, context=context)
    room = min(len(one.prompt), int(max(context - one.longest, context // 2)))
    begin = tuple(itertools.takewhile(lambda token: token in begins, one.prompt))[:room]
    prompt = begin + one.prompt[len(one.prompt) - room + len(begin) :]
    responses = tuple(ids[: int(context) - len(prompt)] for ids in one.responses)
    return replace(one, prompt=prompt, responses=responses, context=context)


class Cut(NamedTuple):
    """How many texts were cut, of how many, and how many tokens, of how many."""

    texts: int
    of_texts: int
    tokens: int
    of_tokens: int

    @classmethod
    def between(cls, before: Iterable[Sequence[int]], after: Iterable[Sequence[int]]) -> "Cut":
        """Return what was cut from texts, given as they were and as they are now."""
        sizes = [(len(old), len(old) - len(new)) for old, new in zip(before, after, strict=True)]
        lost = [lost for _, lost in sizes]
        return cls(sum(one > 0 for one in lost), len(sizes), sum(lost), sum(size for size, _ in sizes))

    def told(self, noun: str, where: str) -> str:
        """Return the counts in words."""
        tokens = f"{self.tokens:,} of {counted(self.of_tokens, 'token', ',')}"
        return f"{self.texts} of {counted(self.of_texts, noun)} at their {where} ({tokens})"


def _cut_summary(uncut: Sequence[EncodedSet], fitted: Sequence[EncodedSet], context: float) -> str:
    responses = Cut.between(*([ids for one in sets for ids in one.responses] for sets in (uncut, fitted)))
    prompts = Cut.between(*([one.prompt for one in sets] for sets in (uncut, fitted)))
    ambiguous = sum(after.ambiguous and not before.ambiguous for before, after in zip(uncut, fitted, strict=True))
    text = f"cut to {counted(int(context), 'token')}, the most that are read: {responses.told('response', 'end')}"
    if prompts.texts:
        text += f", {prompts.told('prompt', 'start')}"
    if ambiguous:
        text += f"; in {counted(ambiguous, 'set')} a positive and a negative are equal now"
    return text


def _padded(rows: Sequence[Sequence[float]], kind: torch.dtype = torch.int64) -> torch.Tensor:
    """Return the rows, padded right with 0."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=kind)
