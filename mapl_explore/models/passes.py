"""What a model reads in one pass: a table that ``encoding.collate`` makes, or the next token of each sequence."""

import contextlib
import functools
import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils.checkpoint import checkpoint
from transformers.cache_utils import DynamicCache

from mapl_explore.models.choices import BF16
from mapl_explore.models.heads import LogitMap, headless, light_embeddings, plain_head
from mapl_explore.models.kinds import Model
from mapl_explore.models.likelihood import head_logp, token_logp
from mapl_explore.models.recomputing import recomputing

BATCH_TOKENS = 8192  # in one forward pass, padding included; GPT-2 (124M) keeps 7.8 GB of them for the backward pass
WAYS = SHARED, PADDED, ALONE = "several responses behind one prompt", "padded sequences", "one sequence at a time"


class Table(NamedTuple):
    """The columns of :func:`mapl_explore.models.encoding.collate` that a model reads, each (rows, columns)."""

    ids: torch.Tensor
    position: torch.Tensor
    target: torch.Tensor
    owner: torch.Tensor


class Part(NamedTuple):
    """The part of a table for one pass: some rows, and the columns where prompts, responses and padding begin."""

    rows: slice
    prompts: int
    responses: int
    padding: int

    def of(self, table: Table) -> Table:
        """Return this part of a table."""
        return Table(*(column[self.rows, self.prompts : self.padding] for column in table))

    @property
    def wanted(self) -> int:
        """Return for how many of its last columns logits are needed."""
        return self.padding - self.responses


@dataclass(frozen=True)
class Reading:
    """How a model reads tables: in which of the ways, in which precision, and the most tokens of a row.

    ``apart`` is what it does to the logits of its head, where that may be computed apart from it, so that not all
    logits exist at one time; ``checkpointing`` says whether activations are computed again in the backward pass.
    """

    way: str = SHARED
    precision: str = "float32"
    context: float = math.inf
    apart: LogitMap | None = None
    checkpointing: bool = False

    def fits(self, rows: int, columns: int) -> bool:
        """Return whether a table of this size is read in one pass."""
        return self.way != ALONE and rows * columns <= BATCH_TOKENS and columns <= self.context


def responses_logp(model: Model, table: Table, label: torch.Tensor, reading: Reading) -> torch.Tensor:
    """Return the log-probabilities of the responses of a table, shaped as their labels (sets, n), 0 at padding."""
    read = functools.partial(_part_logp, model, reading, label.numel())
    parts = [(part.wanted, *part.of(table)) for part in _parts(table.owner, reading)]
    if len(parts) == 1 or not torch.is_grad_enabled():
        logp = [read(*part) for part in parts]
    else:
        logp = [checkpoint(read, *part, use_reentrant=False) for part in parts]
    return functools.reduce(torch.add, logp).view(label.shape)


def _parts(owner: torch.Tensor, reading: Reading) -> Iterator[Part]:
    start, *spans = 0, *_spans(owner)
    span = spans[0]
    for row, own in enumerate(spans):
        joined = [min(span[0], own[0]), min(span[1], own[1]), max(span[2], own[2])]
        if row > start and not reading.fits(row + 1 - start, joined[2] - joined[0]):
            yield Part(slice(start, row), *span)
            start, joined = row, own
        span = joined
    yield Part(slice(start, len(spans)), *span)


def _spans(owner: torch.Tensor) -> list[list[int]]:
    """Return for each row the columns where its prompt, its responses and its padding begin."""
    read, responses = (owner >= 0).int(), (owner > 0).int()
    ends = owner.shape[1] - read.flip(1).argmax(1)
    return torch.stack([read.argmax(1), responses.argmax(1), ends], dim=1).tolist()


def _part_logp(model: Model, reading: Reading, responses: int, wanted: int, *columns: torch.Tensor) -> torch.Tensor:
    """Return the log-probability of each response (responses,), 0 where it is in no row of this part."""
    table = Table(*columns)
    target, owner = table.target[:, -wanted:].flatten(), table.owner[:, -wanted:].flatten()
    # In float64: a response of 1,000 tokens sums to some -5,000 nats, where float32 steps by 0.0005.
    logp = _token_logp(model, reading, wanted, table, target).masked_fill(owner < 1, 0.0)
    return logp.new_zeros(responses + 1).index_add(0, owner.clamp(min=0), logp)[1:]


def _token_logp(model: Model, reading: Reading, wanted: int, table: Table, target: torch.Tensor) -> torch.Tensor:
    """Return the log-probability of each token of the last columns of a table, row by row."""
    head = None if reading.apart is None else plain_head(model)
    # Here, not around all parts: what computes a part again in the backward pass must do so in the same way.
    again = recomputing(model) if reading.checkpointing and torch.is_grad_enabled() else contextlib.nullcontext()
    light = light_embeddings(model, head) if head else contextlib.nullcontext()
    with again, light as weight, headless(head) as read:
        logits = _logits(model, reading, wanted, table)
    [found] = read or [logits]
    found = found[:, -wanted:].flatten(0, 1)
    if reading.apart is None or not head or weight is None:
        return token_logp(found, target)
    dtype = torch.bfloat16 if reading.precision == BF16 else None
    return head_logp(found, target, weight, head.bias, dtype, reading.apart)


def _logits(model: Model, reading: Reading, wanted: int, table: Table) -> torch.Tensor:
    """Return the logits of a table (rows, columns, vocabulary), of no more than its last columns if the model can."""
    options: dict[str, Any] = {"logits_to_keep": wanted} if "logits_to_keep" in parameters(model) else {}
    if reading.way == SHARED:
        options |= {"position_ids": table.position, "attention_mask": _mask(model, table.owner)}
    # Around the model alone: what follows, the loss included, stays outside, in float32 and float64.
    with torch.autocast(table.ids.device.type, dtype=torch.bfloat16, enabled=reading.precision == BF16):
        return model(input_ids=table.ids, use_cache=False, **options).logits


def _mask(model: Model, owner: torch.Tensor) -> torch.Tensor:
    """Return the mask (rows, 1, columns, columns) to add: 0 where a column is seen, else half the least number.

    A column sees the earlier ones of the prompt and of its own response, and itself: a softmax over nothing is NaN.
    """
    seen = (owner[:, None, :] == owner[:, :, None]) | (owner[:, None, :] == 0)
    seen = seen.tril() | torch.eye(owner.shape[1], dtype=torch.bool, device=owner.device)
    dtype = next(model.parameters()).dtype
    least = torch.finfo(dtype).min / 2  # bf16 would round the least float32 to -inf
    return torch.zeros(seen.shape, dtype=dtype, device=owner.device).masked_fill(~seen, least)[:, None]


class Continuation:
    """Sequences that a model continues from a cache; shorter ones are padded at their start.

    ``logits`` (sequences, vocabulary) are those of the token that comes next in each.
    """

    def __init__(self, model: Model, sequences: Sequence[Sequence[int]]) -> None:
        device, width = next(model.parameters()).device, max(map(len, sequences))
        ids = [[0] * (width - len(one)) + list(one) for one in sequences]
        seen = [[0] * (width - len(one)) + [1] * len(one) for one in sequences]
        self.model, self.cache = model, DynamicCache(config=model.config)
        self.mask = torch.tensor(seen, device=device)
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)
        self.logits = self._read(torch.tensor(ids, device=device), positions, logits_to_keep=1)

    @property
    def width(self) -> int:
        """Return the columns of the cache."""
        return self.mask.shape[1]

    def keep(self, rows: list[int]) -> None:
        """Keep only these sequences, each as often as it is named: those that have ended cost nothing any more."""
        if rows != list(range(len(self.mask))):
            self.cache.batch_select_indices(torch.tensor(rows, device=self.mask.device))
            self.mask = self.mask[rows]

    def add(self, tokens: Sequence[int]) -> None:
        """Read one more token of each sequence."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        ids = torch.tensor(tokens, device=self.mask.device)[:, None]
        self.logits = self._read(ids, self.mask.sum(-1, keepdim=True) - 1)

    def _read(self, ids: torch.Tensor, positions: torch.Tensor, **options: Any) -> torch.Tensor:
        options |= {"attention_mask": self.mask, "position_ids": positions, cache_name(self.model): self.cache}
        return self.model(input_ids=ids, use_cache=True, **options).logits[:, -1]


def cache_name(model: Model) -> str:
    """Return what a model calls its cache."""
    # transformers 5.24 renamed the argument; the old name would warn there, and is no longer in the signature.
    return "cache" if "cache" in parameters(model) else "past_key_values"


def parameters(model: Model) -> set[str]:
    """Return the names of what a model's ``forward`` takes."""
    return set(inspect.signature(model.forward).parameters)
