"""Responses from a model: several to each prompt, the prompt computed once.

Each prompt has random numbers of its own, from the seed and its text. So what is drawn for it does not depend on which
prompts stand next to it, on their order, or on how many tokens a response may have, except for rounding: in another
batch log-probs differ by about 1e-6, and in rare cases that changes a token. Processes that share the work, and a call
that goes on where another was interrupted, take whole batches: they change nothing.
"""

import hashlib
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from mapl_explore.data import Prompt, prompt_text
from mapl_explore.data.messages import named_prompt
from mapl_explore.launch import is_first
from mapl_explore.models.checking import context_length
from mapl_explore.models.choices import Chat
from mapl_explore.models.kinds import Model, Tokenizer
from mapl_explore.models.passes import BATCH_TOKENS, Continuation
from mapl_explore.models.processes import my_share
from mapl_explore.models.reading_ways import can_continue
from mapl_explore.models.turns import Ending, encoded_prompts, end_tokens, endings

MOST_TOKENS = 256  # of a response, where neither the call nor the model's generation_config sets a limit
FIRST_TOKENS = 32  # of the responses that a batch is planned for; it is split on the way where they are longer


class Draw(NamedTuple):
    """One response as it was drawn: its tokens, the one that ended it too; its text without that; whether it ended."""

    tokens: tuple[int, ...]
    text: str
    ended: bool


class Sampled(NamedTuple):
    """What was sampled for one prompt."""

    draws: list[Draw]

    @property
    def texts(self) -> list[str]:
        """The responses that ended, equal ones as often as they were drawn."""
        return [draw.text for draw in self.draws if draw.ended]

    @property
    def unfinished(self) -> int:
        """How many were cut off."""
        return sum(not draw.ended for draw in self.draws)


def sampled_batches(
    model: Model,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    *,
    k: int,
    max_tokens: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    chat: Chat = "auto",
    batch_size: int | None = None,
    open_rows: Container[int] | None = None,
    places: Sequence[str] = (),
    shared: bool = False,
) -> Iterator[tuple[list[int], list[Sampled | None]]]:
    """Yield the numbers of some prompts, and what was sampled for each, as they are ready.

    None stands for a prompt that leaves no room for a response in the model's context. The longest prompts come first,
    so that a shortage of memory shows at once. Of ``open_rows``, if given, only these prompts are yielded, drawn with
    those that stand in a batch with them. The places, if given, are those that the prompts were read from, by which
    errors name them. Where ``shared``, each process of a launch yields a part of them.
    """
    encoded = encoded_prompts(tokenizer, prompts, chat, places)
    around = endings(tokenizer, prompts, chat, end_tokens(tokenizer, model))
    too_long = [row for row, ids in enumerate(encoded) if answer_room(model, len(ids), max_tokens) < 1]
    wanted = range(len(prompts)) if open_rows is None else open_rows
    if impossible := [row for row in too_long if row in wanted and (is_first() or not shared)]:
        yield impossible, [None] * len(impossible)
    rows = sorted(set(range(len(prompts))) - set(too_long))
    options: dict[str, Any] = {"k": k, "max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    fitting = [encoded[row] for row in rows], [prompt_text(prompts[row]) for row in rows]
    options |= {"ends": [around[row].ends for row in rows], "batch_size": batch_size}
    options |= {"told": [named_prompt(prompts[row], places[row] if places else "") for row in rows]}
    options |= {"open_rows": {number for number, row in enumerate(rows) if row in wanted}, "shared": shared}
    for batch, responses in token_batches(model, *fitting, **options):
        both = [(rows[number], one) for number, one in zip(batch, responses, strict=True) if rows[number] in wanted]
        yield [row for row, _ in both], [_sampled(tokenizer, one, around[row]) for row, one in both]


def answer_room(model: Model, prompt_tokens: int, max_tokens: int | None = None) -> int:
    """Return how many tokens a response may have after a prompt of so many; below 1 if there is no room.

    That is what the model's context leaves, but no more than the number given or, if none is given, than the
    ``max_new_tokens`` of its ``generation_config``, or 256.
    """
    named = getattr(getattr(model, "generation_config", None), "max_new_tokens", None)
    return int(min(max_tokens or named or MOST_TOKENS, context_length(model) - prompt_tokens))


def answer_text(tokenizer: Tokenizer, ids: Sequence[int], ending: Ending) -> str | None:
    """Return a response as text, without the token that ended it and what stands around it; None if it was cut off."""
    return ending.bare(_text(tokenizer, ids[:-1])) if ids[-1] in ending.ends else None


def token_batches(
    model: Model,
    prompts: Sequence[Sequence[int]],
    names: Sequence[str],
    *,
    k: int,
    max_tokens: int | None = None,
    temperature: float,
    seed: int,
    ends: Sequence[Sequence[int]],
    batch_size: int | None = None,
    open_rows: Container[int] | None = None,
    told: Sequence[str] = (),
    shared: bool = False,
) -> Iterator[tuple[list[int], list[list[list[int]]]]]:
    """Yield the numbers of some prompts, and the token ids of k responses to each, as they are ready.

    The prompts are token ids that leave room for a response; their names, with the seed, decide the random numbers, and
    ``told`` is what an error calls each of them. A
    response ends with the first of its prompt's ``ends`` that it has, or is cut off, see :func:`answer_room`. With a
    temperature of 0 each token is the likeliest one. Of ``open_rows``, if given, batches without any are passed over;
    where ``shared``, each process of a launch yields a part of the batches.
    """
    cached, told = can_continue(model), told or [named_prompt(name) for name in names]
    rooms = [answer_room(model, len(ids), max_tokens) for ids in prompts]
    # Without a cache there is no padding either: prompts of different lengths do not go together.
    batches = [*_batches([*map(len, prompts)], rooms, k, batch_size if cached else 1)]
    batches = [rows for rows in batches if open_rows is None or any(row in open_rows for row in rows)]
    costs = [sum(len(prompts[row]) + min(FIRST_TOKENS, rooms[row]) for row in rows) for rows in batches]
    for batch in my_share(batches, costs) if shared else batches:
        drafts = [_drafts(number, prompts[row], rooms[row], k) for number, row in enumerate(batch)]
        own = [names[row] for row in batch], [told[row] for row in batch], [ends[row] for row in batch]
        drawing = _Drawing(str(model.name_or_path), *own, k, seed, temperature)
        _finish(model, [one for each in drafts for one in each], drawing, _with_cache if cached else _whole)
        yield batch, [[one.response for one in each] for each in drafts]


def _batches(lengths: Sequence[int], rooms: Sequence[int], k: int, batch_size: int | None) -> Iterator[list[int]]:
    """Yield the numbers of the prompts in each pass, with k responses, the longest first and at least one."""
    rows = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    while rows:
        most = max(1, BATCH_TOKENS // (k * (lengths[rows[0]] + min(FIRST_TOKENS, rooms[rows[0]]))))
        size = min(most, batch_size or most)
        yield rows[:size]
        rows = rows[size:]


@dataclass
class _Draft:
    """An unfinished response: its prompt's number in the batch, its own among the k, its tokens after the prompt."""

    prompt: int
    place: int
    ids: list[int]
    start: int
    most: int

    @property
    def response(self) -> list[int]:
        """Return the tokens after the prompt."""
        return self.ids[self.start :]


def _drafts(number: int, prompt: Sequence[int], room: int, k: int) -> list[_Draft]:
    """Return k responses to a prompt that have not begun."""
    return [_Draft(number, place, list(prompt), len(prompt), len(prompt) + room) for place in range(k)]


@dataclass
class _Drawing:
    """How the tokens of a batch are drawn, and when a response has ended."""

    model: str
    names: Sequence[str]
    told: Sequence[str]  # how an error names each
    ends: Sequence[Sequence[int]]  # of each prompt
    k: int
    seed: int
    temperature: float
    uniforms: torch.Tensor = field(default_factory=lambda: torch.empty(0, 0, 0))  # (prompts, steps, k)

    def grow(self, drafts: Sequence[_Draft], logits: torch.Tensor) -> list[int]:
        """Add a token to each of some drafts of one length of response; return the places of those that go on."""
        if not logits.amax(-1).isfinite().all():  # amax is NaN where there is one
            reason = f"behind {self.told[drafts[0].prompt]}: a logit is NaN or inf, or none is finite"
            raise FloatingPointError(f"the model {self.model!r} gives no probabilities {reason}")
        tokens = _drawn(logits, self._uniform(drafts).to(logits.device), self.temperature)
        for draft, token in zip(drafts, tokens.tolist(), strict=True):
            draft.ids.append(token)
        return [i for i, one in enumerate(drafts) if not self._has_ended(one) and len(one.ids) < one.most]

    def _has_ended(self, draft: _Draft) -> bool:
        return draft.ids[-1] in self.ends[draft.prompt]

    def _uniform(self, drafts: Sequence[_Draft]) -> torch.Tensor:
        """Return the random number of each draft's next token."""
        step = len(drafts[0].response)
        if step >= self.uniforms.shape[1]:  # a table of k times the whole room would be large where that is
            steps = max(FIRST_TOKENS, 2 * step)
            self.uniforms = torch.stack([_uniforms(name, self.seed, steps, self.k) for name in self.names])
        return self.uniforms[[one.prompt for one in drafts], step, [one.place for one in drafts]]


@torch.no_grad()
def _finish(model: Model, drafts: list[_Draft], drawing: _Drawing, path: Callable) -> None:
    """Add tokens to drafts until all have ended; too many for one pass are split in halves."""
    waiting = [drafts]
    while waiting:
        group = waiting.pop()
        if _too_many(len(group), max(len(one.ids) for one in group)):
            waiting += [group[len(group) // 2 :], group[: len(group) // 2]]
        elif left := path(model, group, drawing):
            waiting.append(left)


def _too_many(rows: int, width: int) -> bool:
    return rows > 1 and rows * width > BATCH_TOKENS


def _with_cache(model: Model, drafts: list[_Draft], drawing: _Drawing) -> list[_Draft]:
    """Add tokens to drafts, equal beginnings computed once; return those that go on when they become too many."""
    starts = list(dict.fromkeys(tuple(one.ids) for one in drafts))
    reading, rows = Continuation(model, starts), [starts.index(tuple(one.ids)) for one in drafts]
    while going := drawing.grow(drafts, reading.logits[rows]):
        drafts, rows = [drafts[i] for i in going], [rows[i] for i in going]
        if _too_many(len(drafts), reading.width + 1):
            return drafts
        reading.keep(rows)
        reading.add([one.ids[-1] for one in drafts])
        rows = list(range(len(drafts)))
    return []


def _whole(model: Model, drafts: list[_Draft], drawing: _Drawing) -> list[_Draft]:
    """Do the same with whole sequences of one length, without a cache or padding: any causal model can do that."""
    device = next(model.parameters()).device
    while drafts and not _too_many(len(drafts), len(drafts[0].ids)):
        ids = torch.tensor([one.ids for one in drafts], device=device)
        logits = model(input_ids=ids, use_cache=False).logits[:, -1]
        drafts = [drafts[i] for i in drawing.grow(drafts, logits)]
    return drafts


def _drawn(logits: torch.Tensor, uniform: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return a token for each row of logits (m, vocabulary): where the distribution passes the row's uniform (m,)."""
    if temperature == 0:
        return logits.argmax(-1)
    # In float64: a float32 sum over 50,000 tokens is off by more than the probability of many of them. Less the largest
    # logit, or a small temperature would make infinities of them.
    scaled = (logits.double() - logits.amax(-1, keepdim=True)) / temperature
    passed = scaled.softmax(-1).cumsum(-1)
    goal = uniform[:, None] * passed[:, -1:]
    # right=True passes over tokens of probability 0; the product may round up to the whole sum, past the last token.
    return torch.searchsorted(passed, goal, right=True)[:, 0].clamp(max=logits.shape[1] - 1)


def _uniforms(prompt: str, seed: int, steps: int, k: int) -> torch.Tensor:
    """Return the random numbers in [0, 1) of a prompt (steps, k): its own, whatever stands next to it.

    Those of more steps begin with those of fewer.
    """
    digest = hashlib.sha256(f"{seed} {prompt}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") % 2**63)
    return torch.rand(steps, k, generator=generator, dtype=torch.float64)


def _sampled(tokenizer: Tokenizer, responses: list[list[int]], ending: Ending) -> Sampled:
    texts = [answer_text(tokenizer, ids, ending) for ids in responses]
    draws = zip(responses, texts, strict=True)
    return Sampled(
        [Draw((*ids,), _text(tokenizer, ids) if text is None else text, text is not None) for ids, text in draws]
    )


def _text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
