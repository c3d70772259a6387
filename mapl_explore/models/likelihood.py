"""Log-probabilities of tokens, in float64 but without a float64 copy of the logits, or without all the logits at once.

A float32 ``cross_entropy`` on a CPU adds up a vocabulary one by one: over 49,152 tokens it is off by 2.5e-6 nats per
token on average, over 151,936 by 1.3e-5, and always in the same direction, so that the error of a
response grows with its length.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from mapl_explore.models.heads import LogitMap

# Numbers read at a time: few enough for the cache of a CPU; many, so that a GPU starts few kernels.
CHUNK = {"cpu": 2**20}
CHUNK_ELSEWHERE = 2**26
# Logits made at a time, 128 MiB of float32: 220 tokens of a vocabulary of 151,936. Fewer would read all weights of the
# head, and add to all of their gradient, too often.
LOGITS = 2**25
AS_THEY_ARE = LogitMap()


def token_logp(logits: torch.Tensor, target: torch.Tensor, mapped: LogitMap = AS_THEY_ARE) -> torch.Tensor:
    r"""Return the log-probability of each target under a row of logits, in nats.

    .. math:: \log \pi_t = (z_t - z_{(1)}) - \log \sum_v \exp(z_v - z_{(1)})

    Parameters
    ----------
    logits : tensor (m, vocabulary)
        Of any float type; float16 and bfloat16 are read as float32.
    target : tensor (m,)
        Token ids.
    mapped : LogitMap
        What is done to the logits first, in float32 or better.

    Returns
    -------
    tensor (m,), float64
        Within 1e-6 nats of float64 arithmetic on the same float32 logits, over up to 152,000 tokens. Differentiable
        once; the gradient has the type of the logits.

    Examples
    --------
    >>> token_logp(torch.zeros(1, 4), torch.tensor([2])).exp().tolist()
    [0.25]
    """
    return _TokenLogp.apply(logits, target, mapped)


def head_logp(
    states: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
    mapped: LogitMap = AS_THEY_ARE,
) -> torch.Tensor:
    r"""Return :func:`token_logp` of the logits of a head, of which no more than ``LOGITS`` exist at any time.

    .. math:: z = W h + b

    Where a table has more, the backward pass computes them again.

    Parameters
    ----------
    states : tensor (m, width)
        What the head reads.
    target : tensor (m,)
        Token ids.
    weight, bias : tensor (vocabulary, width), tensor (vocabulary,)
        Those of the head.
    dtype : torch.dtype, optional
        In which the logits are computed; that of the weight if not given.
    mapped : LogitMap
        What the model does to the logits of its head.

    Returns
    -------
    tensor (m,), float64
        Differentiable once in states, weight and bias; each gradient has the type of what it belongs to.

    Examples
    --------
    >>> head_logp(torch.zeros(1, 8), torch.tensor([2]), torch.ones(4, 8)).exp().tolist()
    [0.25]
    """
    dtype = dtype or weight.dtype
    with torch.autocast(states.device.type, enabled=False):  # that of a caller would round the logits to halves
        if len(states) * len(weight) > LOGITS:
            return _HeadLogp.apply(states, target, weight, bias, dtype, mapped)
        return token_logp(linear(*_cast(dtype, states, weight, bias)), target, mapped)


class _TokenLogp(torch.autograd.Function):
    """Keeps for the gradient one array of the size of the logits, as ``cross_entropy`` does."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, target: torch.Tensor, mapped: LogitMap) -> torch.Tensor:
        logp, total = _rows_logp(mapped, logits, target)
        ctx.save_for_backward(logits, target, total)
        ctx.mapped = mapped
        return logp

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        logits, target, total = ctx.saved_tensors
        slope = torch.empty_like(logits)
        _write_slope(slope, ctx.mapped, logits, target, total, grad)
        return slope, None, None


class _HeadLogp(torch.autograd.Function):
    """Keeps what the head reads and one number for each token, and makes the logits of some tokens at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        dtype: torch.dtype,
        mapped: LogitMap,
    ) -> torch.Tensor:
        parts = _some_logits(*_cast(dtype, states, weight, bias), target)
        # By map: a loop's variable would keep some logits until the next ones are made.
        logp, total = _joined(map(lambda part: _rows_logp(mapped, *part[1:]), parts))
        ctx.save_for_backward(states, target, weight, bias, total)
        ctx.dtype, ctx.mapped = dtype, mapped
        return logp

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        states, target, weight, bias, total = ctx.saved_tensors
        needed = zip((states, weight, bias), (ctx.needs_input_grad[each] for each in (0, 2, 3)), strict=True)
        of_states, of_weight, of_bias = (torch.zeros_like(each) if asked else None for each, asked in needed)
        columns = (target, total, grad, states if of_states is None else of_states)
        read = _cast(ctx.dtype, states, weight, bias)
        for rows, logits, which, log_sum, outer, of_rows in _some_logits(*read, *columns):
            _write_slope(logits, ctx.mapped, logits, which, log_sum, outer)
            if of_states is not None:
                of_rows.copy_(logits @ read[1])
            if of_weight is not None:
                _add_product(of_weight, logits.T, rows)
            if of_bias is not None:
                of_bias += logits.sum(0)
            del logits  # before the next ones are made
        return of_states, None, of_weight, of_bias, None, None


def _some_logits(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *columns: torch.Tensor
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield some rows of the states, their logits, and the same rows of the columns."""
    size = max(1, LOGITS // len(weight))
    for rows, *some in zip(*(column.split(size) for column in (states, *columns)), strict=True):
        yield rows, linear(rows, weight, bias), *some


def _cast(dtype: torch.dtype, *values: torch.Tensor | None) -> tuple[Any, ...]:
    return tuple(None if each is None else each.to(dtype) for each in values)


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Add a product of matrices to a total, which may have a wider type: a sum of halves would lose digits."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def _write_slope(
    slope: torch.Tensor,
    mapped: LogitMap,
    logits: torch.Tensor,
    target: torch.Tensor,
    total: torch.Tensor,
    grad: torch.Tensor,
) -> None:
    """Write the gradient of the logits into an array of their size, which may be their own."""
    for rows, part, which, log_sum, outer in _chunks(slope, logits, target, total, grad):
        scores = mapped.of(_read(part))
        outer = outer[:, None].to(scores.dtype)
        share = (scores - log_sum[:, None].to(scores.dtype)).exp_().mul_(-outer)
        rows.copy_(mapped.times_slope(share.scatter_add_(1, which[:, None], outer), scores))


def _joined(parts: Iterator[tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _rows_logp(mapped: LogitMap, logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return what :func:`_chunk_logp` does, few rows at a time."""
    return _joined(_chunk_logp(mapped, *part) for part in _chunks(logits, target))


def _chunk_logp(mapped: LogitMap, logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-probabilities of the targets, and the logarithms of the sums of exp(logits)."""
    scores = mapped.of(_read(logits))
    top = scores.amax(-1, keepdim=True)
    # The numbers that a token has one of are float64: a float32 log-sum near 20 would be rounded by 1e-6.
    total = top[:, 0].double() + (scores - top).exp_().sum(-1).double().log()
    return scores.gather(1, target[:, None])[:, 0].double() - total, total


def _chunks(logits: torch.Tensor, *columns: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    rows = max(1, CHUNK.get(logits.device.type, CHUNK_ELSEWHERE) // logits.shape[1])
    return zip(*(column.split(rows) for column in (logits, *columns)), strict=True)


def _read(logits: torch.Tensor) -> torch.Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
