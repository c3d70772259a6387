"""The context of a model is what its configuration calls it."""

import math

import pytest
import torch
import transformers
from kinds_of_models import ENCODER, MPT, model_of

from mapl_explore.models.checking import context_length


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
