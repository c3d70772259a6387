"""Layers whose activations are computed again in the backward pass, in place of being kept until then."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from mapl_explore.models.kinds import Model


def recomputable(model: Model) -> list[Any]:
    """Return the layers of a model that ``transformers`` could checkpoint."""
    from transformers.modeling_layers import GradientCheckpointingLayer  # loaded with the model, 3 s before

    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def is_checkpointing(model: Model) -> bool:
    """Return whether a model was told to, by its ``gradient_checkpointing_enable``."""
    return any(layer.gradient_checkpointing for layer in recomputable(model))


@contextlib.contextmanager
def recomputing(model: Model) -> Iterator[None]:
    """Let a model keep the inputs of its layers alone for the backward pass, as long as the block runs.

    ``transformers`` does so in training mode only, where dropout is on.
    """
    with contextlib.ExitStack() as changed:
        for layer in recomputable(model):
            # In evaluation mode nothing is random, so there is no state of random numbers to go back to.
            options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
            changed.enter_context(answering(layer, functools.partial(checkpoint, layer.forward, **options)))
        yield


@contextlib.contextmanager
def answering(module: torch.nn.Module, answer: Callable[..., Any]) -> Iterator[None]:
    """Let a part of a model answer in another way, as long as the block runs."""
    kept = vars(module).get("forward")
    vars(module)["forward"] = answer
    try:
        yield
    finally:
        del vars(module)["forward"]
        vars(module).update({"forward": kept} if kept else {})
