"""Models whose weights are spread over several processes (FSDP2): all of them together, and a whole model again."""

import copy
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.tensor import DTensor


def is_sharded(model: torch.nn.Module) -> bool:
    """Return whether a process holds parts of the weights only."""
    return any(isinstance(weights, DTensor) for weights in model.parameters())


def without_weights(model: Any) -> Any:
    """Return a copy of a model that has its buffers, and no memory for its weights until :func:`filled`."""
    # A weight that two layers share stays one: deepcopy looks here for what it has copied already.
    empty = {
        id(weights): torch.nn.Parameter(torch.empty_like(weights, device="meta"), weights.requires_grad)
        for weights in model.parameters()
    }
    return copy.deepcopy(model, empty)


def filled(empty: Any, sharded: torch.nn.Module) -> Any:
    """Return the model without weights with all of those that the processes hold; each must call this."""
    empty.load_state_dict(get_model_state_dict(sharded, options=StateDictOptions(full_state_dict=True)), assign=True)
    empty.tie_weights()
    return empty


def take_weights(model: torch.nn.Module, weights: dict[str, Any]) -> None:
    """Give a model whole weights, of which one that is sharded takes its parts; each process must call this."""
    if is_sharded(model):
        set_model_state_dict(model, weights, options=StateDictOptions(full_state_dict=True))
    else:
        model.load_state_dict(weights)
