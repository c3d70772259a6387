"""From texts to token ids: preference sets as a model reads them.

Prompt and response are encoded apart and joined, so that a response has the same tokens whatever stands before it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from mapl_explore.data import PreferenceSet

TRUNCATE = ("keep-start", "error")


@dataclass(frozen=True)
class EncodedSet:
    """The token ids of one preference set: positives first, each response ended by eos unless it was cut."""

    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]
    positives: int

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
        """Return how many tokens a model computes for this set, padding included."""
        return len(self.prompt) + len(self.responses) * self.longest

    @property
    def ambiguous(self) -> bool:
        """Return whether the same tokens stand on both sides."""
        return not set(self.responses[: self.positives]).isdisjoint(self.responses[self.positives :])


def encode_sets(
    tokenizer, sets: Sequence[PreferenceSet], *, context: float = math.inf, truncate: str = "keep-start"
) -> list[EncodedSet]:
    """Return the token ids of every set, cut to the context; what was cut is printed.

    ``"keep-start"`` cuts responses at their end, all of a set to the same room. A prompt gives way only where it leaves
    them less than half of the context, and then at its start: what a prompt asks stands mostly at its end, next to the
    answer. A cut response has no eos: it did not end there.

    Parameters
    ----------
    tokenizer
        Its special tokens are not added, but for the eos after each response. An empty prompt becomes one bos (or eos).
    sets : sequence of PreferenceSet
        At least one.
    context : int or inf
        The most tokens of a prompt and a response together.
    truncate : {"keep-start", "error"}
        Cut, or refuse sets that do not fit.

    Returns
    -------
    list of EncodedSet
        In the order of the sets.

    Raises
    ------
    ValueError
        If there are no sets, ``truncate`` is neither, or naming the first set that does not fit.
    """
    if truncate not in TRUNCATE:
        raise ValueError(f"truncate must be one of {', '.join(map(repr, TRUNCATE))}, not {truncate!r}")
    if not sets:
        raise ValueError("sets must hold at least one preference set")
    whole = _encoded(tokenizer, sets)
    if truncate == "error":
        _require_fit(whole, sets, context)
    fitted = [_fitted(one, context) for one in whole]
    if fitted != whole:
        print(_cut_summary(whole, fitted, context))
    return fitted


def collate(sets: Sequence[EncodedSet]) -> dict[str, torch.Tensor]:
    """Return a batch: prompts (sets, p) padded left, all responses (m, t) padded right, labels and lengths (sets, n).

    ``owner`` (m,) is the row of each response's prompt. The responses are those of the first set, then those of the
    second, and so on, without rows for the padding of smaller sets. Lengths are 1 at padding, as in ``ScoredSets``: a
    mean over no tokens would be NaN.
    """
    prompt, prompt_mask = _padded([one.prompt[::-1] for one in sets])
    response, response_mask = _padded([ids for one in sets for ids in one.responses])
    label, _ = _padded([one.labels for one in sets])
    length, _ = _padded([list(map(len, one.responses)) for one in sets])
    owner = torch.tensor([row for row, one in enumerate(sets) for _ in one.responses])
    tokens = {"prompt": prompt.flip(1), "prompt_mask": prompt_mask.flip(1), "response": response}
    return {**tokens, "response_mask": response_mask, "owner": owner, "label": label, "length": length.clamp(min=1)}


def _encoded(tokenizer, sets: Sequence[PreferenceSet]) -> list[EncodedSet]:
    texts = [text for one in sets for text in (one.prompt, *one.positives, *one.negatives)]
    ids = iter(tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"])
    eos = tokenizer.eos_token_id
    start = eos if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return [
        EncodedSet(
            prompt=tuple(next(ids)) or (start,),
            responses=tuple((*next(ids), eos) for _ in (*one.positives, *one.negatives)),
            positives=len(one.positives),
        )
        for one in sets
    ]


def _require_fit(encoded: Sequence[EncodedSet], sets: Sequence[PreferenceSet], context: float) -> None:
    for one, text in zip(encoded, sets, strict=True):
        if len(one.prompt) + one.longest > context:
            raise ValueError(
                f"the set of the prompt {text.prompt[:40]!a} does not fit: {len(one.prompt)} tokens of prompt and"
                f" {one.longest} of response exceed the model's context of {context} ('keep-start' would cut them)"
            )


def _fitted(one: EncodedSet, context: float) -> EncodedSet:
    if len(one.prompt) + one.longest <= context:
        return one
    prompt = one.prompt[-max(context - one.longest, context // 2) :]
    return replace(one, prompt=prompt, responses=tuple(ids[: context - len(prompt)] for ids in one.responses))


def _cut_summary(whole: Sequence[EncodedSet], fitted: Sequence[EncodedSet], context: float) -> str:
    responses = _lost((ids for one in whole for ids in one.responses), (ids for one in fitted for ids in one.responses))
    prompts = _lost((one.prompt for one in whole), (one.prompt for one in fitted))
    ambiguous = sum(after.ambiguous and not before.ambiguous for before, after in zip(whole, fitted, strict=True))
    text = f"cut to the model's context of {context} tokens: {responses[0]} of {responses[1]} responses at their end"
    text += f" ({responses[2]:,} of {responses[3]:,} tokens)"
    if prompts[0]:
        text += f", {prompts[0]} of {prompts[1]} prompts at their start ({prompts[2]:,} of {prompts[3]:,} tokens)"
    if ambiguous:
        text += f"; in {ambiguous} set{'s' * (ambiguous > 1)} a positive and a negative are equal now"
    return text


def _lost(whole: Iterable, fitted: Iterable) -> tuple[int, int, int, int]:
    """Return how many were cut, of how many, and the tokens that were cut, of how many."""
    sizes = [(len(before), len(before) - len(after)) for before, after in zip(whole, fitted, strict=True)]
    return sum(lost > 0 for _, lost in sizes), len(sizes), sum(lost for _, lost in sizes), sum(n for n, _ in sizes)


def _padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows padded right with 0, and the mask of what is real."""
    width = max(map(len, rows))
    lengths = torch.tensor([len(row) for row in rows])
    values = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    return values, torch.arange(width) < lengths[:, None]
