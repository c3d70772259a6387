"""Small models with adapters of peft in them, and what is told of their adapters."""

import warnings

import peft
import torch
from kinds_of_models import LLAMA, model_of
from tiny_models import random_gpt2

from mapl_explore.models.adapters import unwrapped

BASES = {"gpt2": random_gpt2, "llama": lambda: model_of("LlamaConfig", LLAMA | {"max_position_embeddings": 128})}


def own_lora(model, **options):
    """Return what peft makes of a model for a user; with GPT-2 and transformers 5 it warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.get_peft_model(model, peft.LoraConfig("CAUSAL_LM", **{"target_modules": "all-linear"} | options))


def stirred(model, seed=1):
    """Return a model whose adapters are no longer without effect."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weights in unwrapped(model).named_parameters():
            if "lora_B" in name:
                weights.normal_(0, 0.2)
    return model


def trained(model):
    return {name: weights for name, weights in model.named_parameters() if weights.requires_grad}
