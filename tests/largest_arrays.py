"""What arrays torch makes, forward and backward, and what it keeps for the backward pass."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LargestArray(TorchDispatchMode):
    """Notes the numbers in each array that an operation returns, as long as the block runs."""

    def __init__(self):
        super().__init__()
        self.sizes = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        self.sizes |= {each.numel() for each in tree_leaves(found) if isinstance(each, torch.Tensor)}
        return found


def kept_bytes(function):
    """Return how many bytes a call keeps for its backward pass, each array once."""
    kept = {}

    def pack(one):
        kept[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        return one

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
        result = function()
    del result
    return sum(kept.values())
