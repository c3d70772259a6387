"""The head of a model, its last layer, which makes logits; and the model without it."""

import contextlib

import torch

from mapl_explore.models.kinds import Model
from mapl_explore.models.recomputing import answering


def plain_head(model: Model) -> torch.nn.Linear | None:
    """Return the head of a model, None unless its weights can be read here and now and it is called as it is.

    It cannot be read where weights are quantised, or spread over several processes.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or type(head.weight) is not torch.nn.Parameter:
        return None
    changed = "forward" in vars(head) or head._forward_hooks or head._forward_pre_hooks
    return None if changed or head.weight.shape != (head.out_features, head.in_features) else head


def headless(head: torch.nn.Module) -> contextlib.AbstractContextManager[None]:
    """Let the model of a head return what the head would read in the place of logits, as long as the block runs."""
    return answering(head, lambda states: states)
