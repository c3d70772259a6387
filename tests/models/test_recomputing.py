"""Activations computed again in the backward pass: the same bits, less memory, and dropout stays off."""

import pytest
import torch
import transformers
from kinds_of_models import GPT, LLAMA, SETS, TOKENIZER, model_of
from largest_arrays import kept_bytes
from tiny_models import random_gpt2

from mapl_explore.models import passes
from mapl_explore.models.checking import context_length
from mapl_explore.models.encoding import collate, encode_sets
from mapl_explore.models.scorer import SetScorer

DROPOUT = {"resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5}
OPT = {"vocab_size": 257, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64}
MODELS = [
    ("GPT2Config", {**GPT, **DROPOUT}),
    ("LlamaConfig", {**LLAMA, "attention_dropout": 0.5}),
    ("OPTConfig", {**OPT, "dropout": 0.5}),  # its layers themselves drop out, in training mode
]


def slopes(model, *, checkpointing, precision="float32"):
    scorer = SetScorer(model, precision=precision, checkpointing=checkpointing)
    encoded = encode_sets(TOKENIZER, SETS, context=context_length(model))
    scorer.zero_grad()
    logp = scorer(**collate(encoded, share_prompt=scorer.share_prompt))
    (logp * torch.randn(logp.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    return logp.detach(), [weights.grad for weights in scorer.parameters()]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(("name", "options"), MODELS)
def test_gradients_are_the_same_bits_as_without(name, options, precision):
    model = model_of(name, options)
    logp, again = slopes(model, checkpointing=True, precision=precision)
    plain, kept = slopes(model, checkpointing=False, precision=precision)
    assert torch.equal(logp, plain)
    assert all(map(torch.equal, again, kept))


def test_a_batch_in_parts_has_the_same_gradients(monkeypatch):
    model = model_of("LlamaConfig", LLAMA)
    _, whole = slopes(model, checkpointing=False)
    monkeypatch.setattr(passes, "BATCH_TOKENS", 400)
    _, parts = slopes(model, checkpointing=True)
    largest = max(each.abs().max() for each in whole)
    assert max((one - other).abs().max() for one, other in zip(whole, parts, strict=True)) <= 1e-5 * largest


@pytest.mark.parametrize(("name", "options"), MODELS[:2])
def test_a_layer_keeps_its_input_alone(name, options):
    deep = {("n_layer" if name == "GPT2Config" else "num_hidden_layers"): 8}
    model = model_of(name, options | deep)
    batch = collate(encode_sets(TOKENIZER, SETS[:1]))
    weights = sum(each.nbytes for each in model.parameters())
    kept, again = (
        kept_bytes(lambda on=on: SetScorer(model, checkpointing=on)(**batch)) - weights for on in (False, True)
    )
    layer = batch["ids"].numel() * 32 * 4
    # Next to 8 inputs: the mask (rows, 1, columns, columns), the logits of 257 tokens, and what the last norm keeps.
    rows, columns = batch["ids"].shape
    assert again <= 12 * layer + 4 * rows * columns**2 + 4 * 257 * batch["ids"].numel()
    assert kept > 3 * again


def test_a_model_is_left_as_it_was_and_one_that_was_told_so_itself_recomputes():
    model = random_gpt2(context=512)
    batch = collate(encode_sets(TOKENIZER, SETS[:1]))
    kept, again = (kept_bytes(lambda on=on: SetScorer(model, checkpointing=on)(**batch)) for on in (False, True))
    assert again < kept
    assert kept_bytes(lambda: SetScorer(model)(**batch)) == kept
    assert not any("forward" in vars(module) for module in model.modules())
    for layer in model.transformer.h:
        layer.gradient_checkpointing = True  # as gradient_checkpointing_enable of any version does
    assert kept_bytes(lambda: SetScorer(model)(**batch)) == again


def test_a_model_without_layers_made_for_it_is_refused():
    model = model_of("CTRLConfig", {**GPT, "dff": 64})
    with pytest.raises(ValueError, match=r"^checkpointing must be off: CTRLLMHeadModel has no layer made for it$"):
        SetScorer(model, checkpointing=True)


def test_what_fails_in_a_layer_leaves_the_model_as_it_was():
    model = random_gpt2(context=512)
    scorer, batch = SetScorer(model, checkpointing=True), collate(encode_sets(TOKENIZER, SETS[:1]))
    hook = model.transformer.h[1].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        scorer(**batch)
    hook.remove()
    assert not any("forward" in vars(module) for module in model.modules())


def test_transformers_checkpoints_in_training_mode_only():
    # Where this ends, a flag of the model is enough.
    model = random_gpt2(context=512)
    tokens = torch.arange(100)[None]
    plain = kept_bytes(lambda: model(tokens).logits)
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    assert kept_bytes(lambda: model(tokens).logits) == plain
    assert transformers.modeling_layers.GradientCheckpointingLayer in type(model.transformer.h[0]).__mro__
