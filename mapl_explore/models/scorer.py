"""One model as a function from encoded sets to log-probabilities: what scoring and training call."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from mapl_explore.models.adapters import unwrapped
from mapl_explore.models.checking import context_length
from mapl_explore.models.choices import BF16, FLOAT32
from mapl_explore.models.kinds import Model
from mapl_explore.models.passes import PADDED, SHARED, Reading, Table, responses_logp
from mapl_explore.models.reading_ways import logit_map, way_of
from mapl_explore.models.recomputing import is_checkpointing, recomputable


class SetScorer(torch.nn.Module):
    """One model as a function from a batch of encoded sets to log-probabilities, differentiable in its weights.

    A batch of more than 8,192 tokens, padding included, is read in parts; where there are gradients, the activations of
    one part live at a time, and each part is computed twice. The logits of a batch (tokens, vocabulary) never exist all
    at once, except where :func:`logit_map` finds that the model does more to them than scale and cap them, and where
    its weights are spread over several processes.

    Parameters
    ----------
    model
        A causal language model of ``transformers``, or peft's wrapper of one: ``given`` is what was given, ``model``
        what is inside.
    share_prompt : bool, optional
        Compute a prompt once for many responses. If not given, that is done where :func:`can_share_prompt`; else every
        response is computed with its own copy of the prompt, and alone where padding changes its log-probability.
    precision : {"float32", "bf16", "bf16-weights"}
        With ``"bf16"`` the model computes its logits in bfloat16, else in the type of its weights; what follows them is
        float32 or better in any case.
    checkpointing : bool
        Compute the activations of each layer again in the backward pass: less memory, about a third more time, and
        the same gradients. A model that was told so itself, by its ``gradient_checkpointing_enable``, does so anyway.

    Raises
    ------
    ValueError
        If ``share_prompt`` is not given and the model is no causal language model, or cannot be read in any way; or
        if its layers cannot be computed again.
    """

    given: Any

    def __init__(
        self,
        model: Model,
        share_prompt: bool | None = None,
        precision: str = "float32",
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        vars(self)["given"] = model  # not registered as a part: its weights are those of the model, under other names
        self.model = model = unwrapped(model)
        self.precision, self.context = precision, context_length(model)
        self.way = way_of(model) if share_prompt is None else SHARED if share_prompt else PADDED
        self.apart, self.checkpointing = logit_map(model), is_checkpointing(model)
        if checkpointing:
            self.activation_checkpointing_enable()
        self.train(False)

    @property
    def share_prompt(self) -> bool:
        """Return whether responses stand side by side behind one prompt."""
        return self.way == SHARED

    def train(self, mode: bool = True) -> "SetScorer":
        """Stay in evaluation mode: with GPT-2's dropout of 0.1 policy and reference differ before the first step."""
        return super().train(False)

    def activation_checkpointing_enable(self, **options: Any) -> None:
        """Compute activations again from now on; what the Trainer of ``transformers`` calls, in two spellings."""
        if not recomputable(self.model):
            raise ValueError(f"checkpointing must be off: {type(self.model).__name__} has no layer made for it")
        self.checkpointing = True

    gradient_checkpointing_enable = activation_checkpointing_enable

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Compute in the type of the weights inside the block, where training computes in bfloat16.

        A log-ratio of two passes in bfloat16 is off by tenths of a nat for a hundred tokens; and a hard margin, as the
        least of some minus the largest of others, is off to one side.
        """
        before, self.precision = self.precision, FLOAT32 if self.precision == BF16 else self.precision
        try:
            yield
        finally:
            self.precision = before

    def forward(
        self, ids: torch.Tensor, position: torch.Tensor, target: torch.Tensor, owner: torch.Tensor, label: torch.Tensor
    ) -> torch.Tensor:
        """Return log-probabilities (sets, n), float64, 0 at padding; the arguments are those of :func:`collate`."""
        reading = Reading(self.way, self.precision, self.context, self.apart, self.checkpointing)
        return responses_logp(self.model, Table(ids, position, target, owner), label, reading)
