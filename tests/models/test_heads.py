"""Logits of a large vocabulary never exist all at once; log-probabilities and gradients are those of all at once."""

import math
import warnings

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
from mapl_explore.models.heads import LogitMap, plain_head
from mapl_explore.models.likelihood import head_logp, token_logp
from mapl_explore.models.passes import ALONE
from mapl_explore.models.reading_ways import logit_map
from mapl_explore.models.scorer import SetScorer
from mapl_explore.notes import Note

GEMMA = {**LLAMA, "num_key_value_heads": 2, "head_dim": 8, "bos_token_id": 0, "eos_token_id": 0}
MIXED = {**GEMMA, "num_local_experts": 4, "num_experts_per_tok": 2}
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
CAP, SCALED = {"final_logit_softcapping": 3.0}, {"logits_scaling": 13.0}
PER_LAYER = {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 257}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8}
# The causal models of transformers 5.23 that scale or cap the logits of their head; older versions have fewer.
MAPPED = [
    # Weights of 0.02 give logits of about 0.1, of which a cap of 30 takes 4e-6 of themselves.
    ("Gemma2Config", {**GEMMA, "initializer_range": 0.02}, LogitMap(cap=30.0)),
    ("Gemma2Config", GEMMA | CAP, LogitMap(cap=3.0)),
    ("Gemma3TextConfig", GEMMA | CAP, LogitMap(cap=3.0)),
    ("Gemma3nTextConfig", {**GEMMA, **CAP, **PER_LAYER, "laurel_rank": 4, "intermediate_size": [64, 64],
                           "num_kv_shared_layers": 0, "pad_token_id": None, "activation_sparsity_pattern": [0.0, 0.0],
                           "layer_types": ["full_attention"] * 2}, LogitMap(cap=3.0)),
    ("Gemma4TextConfig", {**GEMMA, **CAP, **PER_LAYER, "global_head_dim": 8}, LogitMap(cap=3.0)),
    ("Gemma4UnifiedTextConfig", GEMMA | CAP, LogitMap(cap=3.0)),
    ("BeamConfig", GEMMA | CAP, LogitMap(cap=3.0)),
    ("NanoChatConfig", GEMMA | CAP, LogitMap(cap=3.0)),
    ("VaultGemmaConfig", GEMMA | CAP, LogitMap(cap=3.0)),
    ("RecurrentGemmaConfig", {**GEMMA, "logits_soft_cap": 3.0, "lru_width": 32,
                              "block_types": ["recurrent", "attention"]}, LogitMap(cap=3.0)),
    ("xLSTMConfig", {"vocab_size": 257, "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 4,
                     "output_logit_soft_cap": 3.0}, LogitMap(cap=3.0)),
    ("CohereConfig", GEMMA, LogitMap(scale=0.0625)),
    ("Cohere2Config", GEMMA, LogitMap(scale=0.0625)),
    ("Cohere2MoeConfig", MIXED, LogitMap(scale=0.0625)),
    ("FalconH1Config", {**GEMMA, **MAMBA, "lm_head_multiplier": 0.3, "mamba_d_ssm": 64}, LogitMap(scale=0.3)),
    ("GraniteConfig", GEMMA | SCALED, LogitMap(scale=1 / 13)),
    ("GraniteSWAConfig", GEMMA | SCALED, LogitMap(scale=1 / 13)),
    ("GraniteMoeConfig", MIXED | SCALED, LogitMap(scale=1 / 13)),
    ("GraniteMoeSWAConfig", MIXED | SCALED, LogitMap(scale=1 / 13)),
    ("GraniteMoeSharedConfig", {**MIXED, **SCALED, "shared_intermediate_size": 32}, LogitMap(scale=1 / 13)),
    ("GraniteMoeHybridConfig", {**MIXED, **SCALED, **MAMBA, "shared_intermediate_size": 32,
                                "layer_types": ["attention"] * 2}, LogitMap(scale=1 / 13)),
    ("HyperCLOVAXConfig", {**GEMMA, "logits_scaling": 0.3}, LogitMap(scale=0.3)),
]  # fmt: skip
MAPPED = [each for each in MAPPED if hasattr(transformers, each[0])]
MAPS = [LogitMap(), LogitMap(scale=0.3), LogitMap(cap=3.0), LogitMap(scale=0.5, cap=20.0)]


def names(value):
    return value.removesuffix("Config") if isinstance(value, str) else str(value) if isinstance(value, LogitMap) else ""


def drawn(rows=50, width=32, vocabulary=257):
    generator = torch.Generator().manual_seed(0)
    sizes = {"states": (rows, width), "weight": (vocabulary, width), "bias": (vocabulary,)}
    found = {name: 0.5 * torch.randn(size, generator=generator) for name, size in sizes.items()}
    return found, torch.randint(vocabulary, (rows,), generator=generator)


def exact_map(mapped, logits):
    logits = mapped.scale * logits
    return logits if mapped.cap == math.inf else mapped.cap * torch.tanh(logits / mapped.cap)


@pytest.mark.parametrize("mapped", MAPS, ids=names)
@pytest.mark.parametrize("limit", [1, 2000, 257 * 50, 2**25])
def test_a_head_has_the_log_probs_and_gradients_of_log_softmax_whatever_is_made_at_a_time(monkeypatch, limit, mapped):
    monkeypatch.setattr(likelihood, "LOGITS", limit)
    values, target = drawn()
    outer = torch.linspace(-2, 3, 50, dtype=torch.float64)
    mine = {name: value.clone().requires_grad_() for name, value in values.items()}
    wide = {name: value.double().requires_grad_() for name, value in values.items()}
    logp = head_logp(mine["states"], target, mine["weight"], mine["bias"], mapped=mapped)
    logits = exact_map(mapped, wide["states"] @ wide["weight"].T + wide["bias"])
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


@pytest.mark.parametrize(("name", "options", "mapped"), [*((*each, LogitMap()) for each in APART), *MAPPED], ids=names)
def test_what_a_model_does_to_the_logits_of_its_head_is_read_off_it(name, options, mapped):
    for dtype in (torch.float32, torch.bfloat16):
        found = logit_map(model_of(name, options).to(dtype))
        assert found is not None
        assert_close(torch.tensor(found), torch.tensor(mapped), k=4)


class Biased(transformers.GPT2LMHeadModel):
    """Does something else to the logits of its head."""

    def forward(self, *args, **options):
        found = super().forward(*args, **options)
        found.logits = found.logits + torch.arange(257) / 257
        return found


class Cut(transformers.GPT2LMHeadModel):
    """Leaves some logits of its head out."""

    def forward(self, *args, **options):
        found = super().forward(*args, **options)
        found.logits = found.logits[..., :256]
        return found


class Squashed(transformers.GPT2LMHeadModel):
    """Caps its logits by another function than the hyperbolic tangent."""

    def forward(self, *args, **options):
        found = super().forward(*args, **options)
        found.logits = 30 * torch.nn.functional.softsign(found.logits / 30)
        return found


@pytest.mark.parametrize("kind", [Biased, Cut, Squashed])
def test_a_model_that_does_something_else_to_its_logits_makes_all_of_them_and_one_line_says_so(kind):
    model = kind(random_gpt2().config).eval()
    with pytest.warns(Note, match=f"^{kind.__name__} is read with the logits of all tokens") as said:
        assert [logit_map(model), logit_map(model)] == [None, None]
    assert len(said) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_of_weights_that_are_not_finite_no_line_says_that_the_head_is_at_fault(value):
    model = random_gpt2()
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error", Note)
        assert logit_map(model) is None


def test_a_head_that_is_changed_after_the_trial_is_called_as_it_is(monkeypatch):
    monkeypatch.setattr(likelihood, "LOGITS", 2000)
    model = random_gpt2()
    scorer, batch = SetScorer(model), collate(encode_sets(TOKENIZER, SETS[1:]))
    assert scorer.apart
    before = scorer(**batch).detach()
    model.lm_head.register_forward_hook(lambda module, args, logits: 2 * logits)
    after = scorer(**batch).detach()
    scorer.apart = None
    assert torch.equal(after, scorer(**batch).detach())
    assert (after - before).abs().max() > 1


class Packed(torch.nn.Parameter):
    """Weights of a kind of their own, as those of a library that quantises them."""


def test_a_head_whose_weights_are_of_a_kind_of_their_own_is_called_as_it_is():
    model = random_gpt2()
    assert plain_head(model) is model.lm_head
    model.lm_head.weight = Packed(model.lm_head.weight.data)
    assert plain_head(model) is None


def slopes(scorer, batch):
    scorer.zero_grad()
    logp = scorer(**batch)
    (logp * torch.randn(logp.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    found = {name: weights.grad for name, weights in scorer.named_parameters() if weights.grad is not None}
    return logp.detach(), found


@pytest.mark.parametrize(
    ("name", "options", "frozen"),
    [(*each[:2], False) for each in [*APART, *MAPPED]] + [(*each[:2], True) for each in [*APART[:2], MAPPED[1]]],
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
    scorer.apart = None
    plain, theirs = slopes(scorer, batch)
    assert_close(logp, plain, k=0, atol=2e-5)  # sums of up to 80 tokens, some 400 nats, in float32
    assert mine.keys() == theirs.keys()
    largest = max(each.abs().max() for each in theirs.values())
    assert max((mine[each] - theirs[each]).abs().max() for each in mine) <= 1e-5 * largest


@pytest.mark.parametrize("precision", ["float32", "bf16", "bf16-weights"])
def test_embeddings_that_share_the_weights_of_the_head_have_its_gradient_and_no_array_of_their_own(
    monkeypatch, precision
):
    monkeypatch.setattr(likelihood, "LOGITS", 2000)
    model = model_of("Qwen2Config", {**LLAMA, "num_key_value_heads": 2, "tie_word_embeddings": True})
    scorer = SetScorer(model.to(torch.bfloat16 if precision == "bf16-weights" else torch.float32), precision=precision)
    zeros, places = torch.zeros_like, []

    def noted(like):
        found = zeros(like)
        places.append(found.data_ptr())
        return found

    monkeypatch.setattr(torch, "zeros_like", noted)
    slopes(scorer, collate(encode_sets(TOKENIZER, SETS)))
    gradient = model.get_input_embeddings().weight.grad
    assert gradient.layout == torch.strided
    assert gradient.data_ptr() in places
    assert not model.get_input_embeddings().sparse


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


@pytest.mark.parametrize("name", ["LlamaConfig", "Gemma2Config", "CohereConfig", "GraniteConfig"], ids=names)
@pytest.mark.parametrize("grad", [True, False])
def test_no_array_of_all_tokens_and_the_vocabulary_is_ever_made(monkeypatch, grad, name):
    monkeypatch.setattr(likelihood, "LOGITS", 2**14)
    scorer = SetScorer(model_of(name, GEMMA | SCALED | {"vocab_size": 4096, "num_hidden_layers": 1, "hidden_size": 8}))
    batch = collate(encode_sets(TOKENIZER, SETS[:1]), share_prompt=scorer.share_prompt)
    tokens = int((batch["owner"] > 0).sum())
    with torch.set_grad_enabled(grad), LargestArray() as largest:
        logp = scorer(**batch)
        if grad:
            logp.sum().backward()
    # The scores of attention are larger than any logits: 4 heads of all tokens with each other.
    logits = [size for size in largest.sizes if size % 4096 == 0]
    assert max(logits) == 8 * 4096  # the weights and their gradient; of logits 4 tokens at a time
    assert tokens > 80
