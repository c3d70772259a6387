"""The context of a model is what its configuration calls it; tokens and weights that cannot be used are named."""

import math

import pytest
import torch
import transformers
from kinds_of_models import ENCODER, MPT, model_of
from tiny_models import random_gpt2

from mapl_explore.models.checking import context_length, first_not_finite, require_finite, require_known_tokens
from mapl_explore.models.encoding import EncodedSet


@pytest.mark.parametrize(("name", "options", "expected"), [
    ("MptConfig", MPT, 64),
    ("XLNetConfig", {"d_model": 32, "n_head": 4}, math.inf),
    ("GPT2Config", {"n_positions": 48}, 48),
    ("LlamaConfig", {"max_position_embeddings": 10**30}, math.inf),
    ("LlamaConfig", {"max_position_embeddings": -1}, math.inf),
    ("LlamaConfig", {"max_position_embeddings": 0}, math.inf),
    ("LlamaConfig", {"max_position_embeddings": 100}, 100),
    ("MambaConfig", {}, math.inf),
])  # fmt: skip
def test_the_context_is_what_the_configuration_calls_it(name, options, expected):
    class Model(torch.nn.Module):
        config = getattr(transformers, name)(**options)

    assert context_length(Model()) == expected


def test_positions_that_begin_behind_the_padding_token_leave_less_context():
    assert context_length(model_of("RobertaConfig", {**ENCODER, "is_decoder": True})) == 510


def test_the_last_embedding_has_a_token_and_there_is_none_after_it():
    model = random_gpt2()
    require_known_tokens(model, [EncodedSet((256,), ((256,),), 1)])
    for one in (EncodedSet((257,), ((1,),), 1), EncodedSet((1,), ((1,), (2, 257)), 1)):
        with pytest.raises(ValueError, match=r"it makes token 257, and .* has embeddings for 257"):
            require_known_tokens(model, [EncodedSet((1,), ((1,),), 1), one])


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_one_weight_that_is_not_finite_is_named(value):
    model = random_gpt2()
    assert first_not_finite(model) is None
    with torch.no_grad():
        model.transformer.h[1].mlp.c_fc.weight[3, 5] = value
    with pytest.raises(ValueError, match=r"of the model 'm' must be finite, but transformer.h.1.mlp.c_fc.weight holds"):
        require_finite(model, "m")
