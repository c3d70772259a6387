"""The head of a model, its last layer, which makes logits; the model without it, and what it does to the logits."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from mapl_explore.models.kinds import Model
from mapl_explore.models.recomputing import answering

TINY, HUGE = 2.0**-40, 2.0**100  # logits that no cap changes by an eps, and that every cap has cut
NEAR = 2.0**-20  # 8 eps of float32: some models compute in float32 here, whatever they are given


class LogitMap(NamedTuple):
    r"""What a model does to the logits of its head: a scale (Cohere, Granite), then a soft cap (Gemma 2).

    .. math:: f(z) = c \tanh(s z / c)

    Parameters
    ----------
    scale : float
        The factor s.
    cap : float
        The cap c > 0; inf for none.

    Examples
    --------
    >>> LogitMap(scale=0.5, cap=30.0).of(torch.tensor([2.0, 1e9])).round(decimals=3).tolist()
    [1.0, 30.0]
    """

    scale: float = 1.0
    cap: float = math.inf

    @classmethod
    def read_off(cls, logits: torch.Tensor, mapped: torch.Tensor) -> "LogitMap":
        """Return the scale and the cap of a function that has made these of logits, of which ``TINY`` and ``HUGE``."""
        scale, at_huge = (float(mapped[logits == each][0]) / each for each in (TINY, HUGE))
        return cls(at_huge) if abs(scale - at_huge) <= NEAR * abs(at_huge) else cls(scale, at_huge * HUGE)

    def of(self, logits: torch.Tensor) -> torch.Tensor:
        """Return f of logits, which stay as they are."""
        if self.cap == math.inf:
            return logits if self.scale == 1 else logits * self.scale
        return (logits * (self.scale / self.cap)).tanh_().mul_(self.cap)

    def times_slope(self, gradient: torch.Tensor, mapped: torch.Tensor) -> torch.Tensor:
        """Return the gradient of logits, given that of f of them, which is changed in place, and f of them."""
        if self.cap == math.inf:
            return gradient if self.scale == 1 else gradient.mul_(self.scale)
        return gradient.mul_((mapped / self.cap).square_().mul_(-self.scale).add_(self.scale))


def plain_head(model: Model) -> torch.nn.Linear | None:
    """Return the head of a model, None unless its weights can be read here and now and it is called as it is.

    It cannot be read where weights are quantised, or spread over several processes.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or type(head.weight) is not torch.nn.Parameter:
        return None
    changed = "forward" in vars(head) or head._forward_hooks or head._forward_pre_hooks
    return None if changed or head.weight.shape != (head.out_features, head.in_features) else head


@contextlib.contextmanager
def headless(head: torch.nn.Module | None) -> Iterator[list[torch.Tensor]]:
    """Let a model do without its head, if it has one, inside a block; the list gets what the head would read."""
    read: list[torch.Tensor] = []

    def kept(states: torch.Tensor) -> torch.Tensor:
        read.append(states)
        return states

    with answering(head, kept) if head else contextlib.nullcontext():
        yield read


@contextlib.contextmanager
def light_embeddings(model: Model, head: torch.nn.Linear) -> Iterator[torch.Tensor]:
    """Give a block the head's weights; embeddings that share them then add no gradient of their size to the head's.

    It would be a second array of 545 MB for Qwen2.5-0.5B in float32. That of the tokens that are read is sparse, and
    torch adds a dense gradient to it in place if the dense one comes second. So that it does, the weights given are an
    alias that is older than all that the model computes: what is youngest goes backward first. On a CPU alone:
    elsewhere the order of such sums, and with it the last bits of a run that is resumed, may differ from run to run.
    """
    embeddings: Any = model.get_input_embeddings()
    tied = isinstance(embeddings, torch.nn.Embedding) and embeddings.weight is head.weight
    if not tied or head.weight.device.type != "cpu":
        yield head.weight
        return
    before, embeddings.sparse = embeddings.sparse, True
    try:
        yield head.weight.expand_as(head.weight)
    finally:
        embeddings.sparse = before
