"""One model as a function from encoded sets to log-probabilities: what scoring and training call."""

import torch

from mapl_explore.models.checking import context_length
from mapl_explore.models.kinds import Model
from mapl_explore.models.passes import PADDED, SHARED, Reading, Table, responses_logp
from mapl_explore.models.reading_ways import way_of


class SetScorer(torch.nn.Module):
    """One model as a function from a batch of encoded sets to log-probabilities, differentiable in its weights.

    A batch of more than 8,192 tokens, padding included, is read in parts; where there are gradients, the activations of
    one part live at a time, and each part is computed twice.

    Parameters
    ----------
    model
        A causal language model of ``transformers``.
    share_prompt : bool, optional
        Compute a prompt once for many responses. If not given, that is done where :func:`can_share_prompt`; else every
        response is computed with its own copy of the prompt, and alone where padding changes its log-probability.
    precision : {"float32", "bf16"}
        The model computes its logits in it; what follows them is float32 or better in either case.

    Raises
    ------
    ValueError
        If ``share_prompt`` is not given and the model is no causal language model, or cannot be read in any way.
    """

    def __init__(self, model: Model, share_prompt: bool | None = None, precision: str = "float32") -> None:
        super().__init__()
        self.model, self.precision, self.context = model, precision, context_length(model)
        self.way = way_of(model) if share_prompt is None else SHARED if share_prompt else PADDED
        self.train(False)

    @property
    def share_prompt(self) -> bool:
        """Return whether responses stand side by side behind one prompt."""
        return self.way == SHARED

    def train(self, mode: bool = True) -> "SetScorer":
        """Stay in evaluation mode: with GPT-2's dropout of 0.1 policy and reference differ before the first step."""
        return super().train(False)

    def forward(
        self, ids: torch.Tensor, position: torch.Tensor, target: torch.Tensor, owner: torch.Tensor, label: torch.Tensor
    ) -> torch.Tensor:
        """Return log-probabilities (sets, n), float64, 0 at padding; the arguments are those of :func:`collate`."""
        reading = Reading(self.way, self.precision, self.context)
        return responses_logp(self.model, Table(ids, position, target, owner), label, reading)
