"""Logits of a large vocabulary never exist all at once; log-probabilities and gradients are those of all at once."""

import pytest
import torch
import transformers
from kinds_of_models import DECODER, ENCODER, EXPERTS, GPT, LLAMA, NEO, SETS, TOKENIZER, model_of
from largest_arrays import LargestArray
from tiny_models import random_gpt2
from torch.distributed.fsdp import fully_shard

from conftest import assert_close
from mapl_explore.models import likelihood
from mapl_explore.models.checking import context_length
from mapl_explore.models.encoding import collate, encode_sets
from mapl_explore.models.likelihood import head_logp, token_logp
from mapl_explore.models.passes import ALONE
from mapl_explore.models.reading_ways import is_head_apart
from mapl_explore.models.scorer import SetScorer

GEMMA = {**LLAMA, "num_key_value_heads": 2, "head_dim": 8}
APART = [
    ("GPT2Config", GPT),
    ("LlamaConfig", LLAMA),
    ("Qwen2Config", {**LLAMA, "num_key_value_heads": 2, "tie_word_embeddings": True}),
    ("PhiConfig", LLAMA),  # its head has a bias
    ("BertConfig", {**ENCODER, "is_decoder": True}),  # its head is the last of several layers behind the model
    ("BartConfig", DECODER),
    ("MixtralConfig", {**EXPERTS, "num_local_experts": 4}),
    ("GPTNeoConfig", {**NEO, "window_size": 32}),
    ("Gemma2Config", {**GEMMA, "final_logit_softcapping": None}),
]
NOT_APART = [
    # Weights of 0.02 give logits of about 0.1, of which a cap of 30 takes 4e-6 of themselves.
    ("Gemma2Config", {**GEMMA, "initializer_range": 0.02}),
    ("CohereConfig", {**GEMMA, "eos_token_id": 0}),
    ("GraniteConfig", {**GEMMA, "logits_scaling": 2.0}),
]


def names(value):
    return value.removesuffix("Config") if isinstance(value, str) else ""


def drawn(rows=50, width=32, vocabulary=257):
    generator = torch.Generator().manual_seed(0)
    sizes = {"states": (rows, width), "weight": (vocabulary, width), "bias": (vocabulary,)}
    found = {name: 0.5 * torch.randn(size, generator=generator) for name, size in sizes.items()}
    return found, torch.randint(vocabulary, (rows,), generator=generator)


@pytest.mark.parametrize("limit", [1, 2000, 257 * 50, 2**25])
def test_a_head_has_the_log_probs_and_gradients_of_log_softmax_whatever_is_made_at_a_time(monkeypatch, limit):
    monkeypatch.setattr(likelihood, "LOGITS", limit)
    values, target = drawn()
    outer = torch.linspace(-2, 3, 50, dtype=torch.float64)
    mine = {name: value.clone().requires_grad_() for name, value in values.items()}
    wide = {name: value.double().requires_grad_() for name, value in values.items()}
    logp = head_logp(mine["states"], target, mine["weight"], mine["bias"])
    logits = wide["states"] @ wide["weight"].T + wide["bias"]
    exact = logits.log_softmax(-1).gather(1, target[:, None])[:, 0]
    assert_close(logp.detach(), exact.detach(), k=0, atol=2e-6)  # logits of up to 10, of 32 products in float32
    for each in (logp, exact):
        (each * outer).sum().backward()
    for name in values:
        assert (mine[name].grad - wide[name].grad).abs().max() <= 1e-6 * wide[name].grad.abs().max()


@pytest.mark.parametrize("frozen", [("weight",), ("bias",), ("weight", "bias"), ("states",), ("states", "weight")])
def test_what_is_frozen_gets_no_gradient_and_the_rest_the_same(monkeypatch, frozen):
    values, target = drawn()
    found = []
    for limit in (2**25, 2000):
        monkeypatch.setattr(likelihood, "LOGITS", limit)
        mine = {name: value.clone().requires_grad_(name not in frozen) for name, value in values.items()}
        head_logp(mine["states"], target, mine["weight"], mine["bias"]).sum().backward()
        found.append({name: value.grad for name, value in mine.items()})
    for name in values:
        assert [each[name] is None for each in found] == [name in frozen] * 2
        if name not in frozen:
            assert (found[0][name] - found[1][name]).abs().max() <= 1e-6 * found[0][name].abs().max()


def test_halves_are_added_up_in_the_type_of_the_weight(monkeypatch):
    monkeypatch.setattr(likelihood, "LOGITS", 257)
    values, target = drawn()
    rounded = {name: value.bfloat16().float() for name, value in values.items()}
    mine = {name: value.clone().requires_grad_() for name, value in rounded.items()}
    wide = {name: value.double().requires_grad_() for name, value in rounded.items()}
    head_logp(mine["states"], target, mine["weight"], mine["bias"], torch.bfloat16).sum().backward()
    logits = wide["states"] @ wide["weight"].T + wide["bias"]
    token_logp(logits, target).sum().backward()
    for name in values:
        assert mine[name].grad.dtype == torch.float32
        # Logits of up to 10 and their slopes, rounded to 8 bits; a sum of 50 in bfloat16 would be off by 3 %.
        assert (mine[name].grad - wide[name].grad).norm() <= 0.01 * wide[name].grad.norm()


def test_a_second_derivative_is_refused(monkeypatch):
    monkeypatch.setattr(likelihood, "LOGITS", 2000)
    values, target = drawn()
    states = values["states"].requires_grad_()
    [slope] = torch.autograd.grad(head_logp(states, target, values["weight"]).sum(), states, create_graph=True)
    with pytest.raises(RuntimeError):
        slope.sum().backward()


@pytest.mark.parametrize(
    ("name", "options", "apart"),
    [(*each, True) for each in APART] + [(*each, False) for each in NOT_APART],
    ids=names,
)
def test_a_head_is_computed_apart_unless_its_model_does_something_to_logits(name, options, apart):
    assert is_head_apart(model_of(name, options)) == apart


def test_a_head_that_is_changed_after_the_trial_is_called_as_it_is(monkeypatch):
    monkeypatch.setattr(likelihood, "LOGITS", 2000)
    model = random_gpt2()
    scorer, batch = SetScorer(model), collate(encode_sets(TOKENIZER, SETS[1:]))
    assert scorer.apart
    before = scorer(**batch).detach()
    model.lm_head.register_forward_hook(lambda module, args, logits: 2 * logits)
    after = scorer(**batch).detach()
    scorer.apart = False
    assert torch.equal(after, scorer(**batch).detach())
    assert (after - before).abs().max() > 1


def slopes(scorer, batch):
    scorer.zero_grad()
    logp = scorer(**batch)
    (logp * torch.randn(logp.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    found = {name: weights.grad for name, weights in scorer.named_parameters() if weights.grad is not None}
    return logp.detach(), found


@pytest.mark.parametrize(
    ("name", "options", "frozen"),
    [(*each, False) for each in [*APART, *NOT_APART]] + [(*each, True) for each in APART[:2]],
    ids=names,
)
def test_a_model_has_the_log_probs_and_gradients_of_all_logits_at_once(monkeypatch, name, options, frozen):
    monkeypatch.setattr(likelihood, "LOGITS", 257 * 40)
    model = model_of(name, options)
    model.get_output_embeddings().requires_grad_(not frozen)
    scorer = SetScorer(model)
    encoded = encode_sets(TOKENIZER, SETS, context=context_length(model))
    encoded = encoded[1:] if scorer.way == ALONE else encoded
    batch = collate(encoded, share_prompt=scorer.share_prompt)
    logp, mine = slopes(scorer, batch)
    scorer.apart = False
    plain, theirs = slopes(scorer, batch)
    assert_close(logp, plain, k=0, atol=2e-5)  # sums of up to 80 tokens, some 400 nats, in float32
    assert mine.keys() == theirs.keys()
    largest = max(each.abs().max() for each in theirs.values())
    assert max((mine[each] - theirs[each]).abs().max() for each in mine) <= 1e-5 * largest


@pytest.mark.parametrize("limit", [2000, 2**25])
def test_an_autocast_of_a_caller_rounds_nothing(monkeypatch, limit):
    monkeypatch.setattr(likelihood, "LOGITS", limit)
    scorer, batch = SetScorer(random_gpt2(context=512)), collate(encode_sets(TOKENIZER, SETS))
    plain = scorer(**batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(scorer(**batch), plain)


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module .* returned a view tensor")
def test_weights_in_shards_are_read_by_the_model_itself(monkeypatch):
    monkeypatch.setattr(likelihood, "LOGITS", 2000)
    batch, found = collate(encode_sets(TOKENIZER, SETS)), {}
    for sharded in (False, True):
        scorer = SetScorer(random_gpt2(context=512))
        if sharded:
            torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
            fully_shard(scorer.model.transformer.h[0])
            fully_shard(scorer)
        logp, mine = slopes(scorer, batch)
        found[sharded] = (
            logp,
            {name: getattr(each, "full_tensor", lambda each=each: each)() for name, each in mine.items()},
        )
    torch.distributed.destroy_process_group()
    assert_close(found[True][0], found[False][0], k=0, atol=2e-5)
    largest = max(each.abs().max() for each in found[False][1].values())
    for name, each in found[False][1].items():
        assert (found[True][1][name] - each).abs().max() <= 1e-5 * largest


@pytest.mark.parametrize("grad", [True, False])
def test_no_array_of_all_tokens_and_the_vocabulary_is_ever_made(monkeypatch, grad):
    monkeypatch.setattr(likelihood, "LOGITS", 2**14)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**LLAMA | {"vocab_size": 4096, "num_hidden_layers": 1, "hidden_size": 8})
    scorer = SetScorer(transformers.LlamaForCausalLM(config))
    batch = collate(encode_sets(TOKENIZER, SETS[:1]))
    tokens = int((batch["owner"] > 0).sum())
    with torch.set_grad_enabled(grad), LargestArray() as largest:
        logp = scorer(**batch)
        if grad:
            logp.sum().backward()
    # The scores of attention are larger than any logits: 4 heads of all tokens with each other.
    logits = [size for size in largest.sizes if size % 4096 == 0]
    assert max(logits) == 8 * 4096  # the weights and their gradient; of logits 4 tokens at a time
    assert tokens > 80
