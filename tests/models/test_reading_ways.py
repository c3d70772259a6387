"""A model is used only in ways in which it gives its own log-probabilities, and refused where there is none."""

import warnings

import pytest
import torch
import transformers
from kinds_of_models import DECODER, ENCODER, EXPERTS, GPT, LLAMA, MPT, NEO, SETS, TOKENIZER, model_of
from tiny_models import random_gpt2

from conftest import assert_close
from mapl_explore.data import PreferenceSet
from mapl_explore.models.checking import context_length
from mapl_explore.models.encoding import encode_sets
from mapl_explore.models.passes import ALONE
from mapl_explore.models.reading_ways import can_continue, can_share_prompt
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_encoded, score_sets
from mapl_explore.notes import Note


def whole(model, prompt, response):
    """Return the log-probability of one response from the logits of one sequence, without mask and padding."""
    with torch.no_grad():
        logp = model(input_ids=torch.tensor([[*prompt, *response]]), use_cache=False).logits[0].double().log_softmax(-1)
    return sum(logp[len(prompt) + t - 1, token].item() for t, token in enumerate(response))


@pytest.mark.parametrize(
    ("name", "options", "shared", "continued"),
    [
        ("GPT2Config", GPT, True, True),
        ("LlamaConfig", LLAMA, True, True),
        ("MistralConfig", {**LLAMA, "num_key_value_heads": 2, "sliding_window": 32}, False, False),
        ("MixtralConfig", {**EXPERTS, "num_local_experts": 4}, False, False),
        ("GPTNeoConfig", {**NEO, "window_size": 256, "max_position_embeddings": 2048}, False, True),
        ("GPTNeoConfig", {**NEO, "window_size": 32, "max_position_embeddings": 64}, False, True),
        ("BloomConfig", {"vocab_size": 257, "hidden_size": 32, "n_layer": 2, "n_head": 4}, False, False),
        ("MptConfig", MPT, False, False),
        ("MambaConfig", {"vocab_size": 257, "hidden_size": 32, "num_hidden_layers": 2}, False, False),
        ("RobertaConfig", {**ENCODER, "is_decoder": True}, False, False),
        ("RobertaConfig", {**ENCODER, "is_decoder": True, "initializer_range": 0.02}, False, False),
        ("BertConfig", {**ENCODER, "is_decoder": True}, True, True),
        ("BartConfig", DECODER, False, False),
        ("CTRLConfig", {**GPT, "dff": 64}, True, True),
    ],
    ids=lambda value: value.removesuffix("Config") if isinstance(value, str) else "",
)
def test_scores_are_the_models_own_on_whole_sequences_whatever_its_kind(name, options, shared, continued):
    model = model_of(name, options)
    assert (can_share_prompt(model), can_continue(model)) == (shared, continued)
    logp = score_sets(model, TOKENIZER, SETS).logp
    encoded = encode_sets(TOKENIZER, SETS, context=context_length(model))
    for row, one in zip(logp, encoded, strict=True):
        own = torch.tensor([whole(model, one.prompt, response) for response in one.responses])
        assert_close(torch.from_numpy(row[: len(own)]), own, k=0, atol=1e-4)


def test_what_a_model_cannot_do_is_noted_once():
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("default", Note)  # what Python does with a warning that no filter names
        for _ in range(2):
            model = model_of("GPTNeoConfig", {**NEO, "window_size": 256, "max_position_embeddings": 512})
            score_sets(model, TOKENIZER, SETS)
    (text,) = [str(one.message) for one in notes]
    assert text.startswith("GPTNeoForCausalLM gives other log-probs when it reads several responses behind one prompt")


@pytest.mark.parametrize("options", [{}, {"initializer_range": 0.02}])
@pytest.mark.parametrize(("name", "options_of_kind"), [
    ("BertConfig", ENCODER), ("RobertaConfig", ENCODER),
    ("XLNetConfig", {"vocab_size": 257, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}),
])  # fmt: skip
def test_a_model_that_sees_what_comes_after_is_refused(name, options_of_kind, options):
    with pytest.raises(ValueError, match="is no causal language model: a token's logits depend on what comes after"):
        score_sets(model_of(name, {**options_of_kind, **options}), TOKENIZER, SETS)


class Disturbed(transformers.GPT2LMHeadModel):
    """Gives its head other states wherever a batch has several rows, as a mixture of experts with capacities may."""

    def __init__(self, config):
        super().__init__(config)
        self.transformer.ln_f.register_forward_hook(lambda _, given, states: states * (1 + 0.1 * (len(states) > 1)))


def test_a_model_that_minds_a_batch_is_given_one_sequence_at_a_time():
    torch.manual_seed(0)
    model = Disturbed(transformers.GPT2Config(**GPT)).eval()
    assert SetScorer(model).way == ALONE
    encoded = encode_sets(TOKENIZER, SETS)
    for row, one in zip(score_sets(model, TOKENIZER, SETS).logp, encoded, strict=True):
        own = torch.tensor([whole(model, one.prompt, response) for response in one.responses])
        assert_close(torch.from_numpy(row[: len(own)]), own, k=0, atol=1e-4)


def test_a_model_that_cannot_read_at_all_is_refused_in_one_line():
    model = random_gpt2(context=512)
    model.forward = lambda input_ids, use_cache=False: 1 / 0
    with pytest.raises(ValueError, match=r"^GPT2LMHeadModel cannot read 300 tokens \(ZeroDivisionError: .*\)$"):
        SetScorer(model)


def test_the_trial_leaves_modes_random_numbers_and_gradients_as_they_were():
    model = random_gpt2(dropout=0.5).train()
    model.transformer.h[0].eval()
    modes, state = [module.training for module in model.modules()], torch.get_rng_state()
    assert can_share_prompt(model)
    assert can_continue(model)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(weight.grad is None for weight in model.parameters())


def test_a_model_is_tried_once(monkeypatch):
    model, calls = random_gpt2(), []
    model.register_forward_hook(lambda *_: calls.append(1))
    SetScorer(model)
    tried = len(calls)
    SetScorer(model)
    assert 0 < tried == len(calls) < 12


def test_no_row_of_several_responses_is_longer_than_the_context():
    model = random_gpt2(context=64)
    widths = []
    model.register_forward_pre_hook(lambda _, __, given: widths.append(given["input_ids"].shape[1]), with_kwargs=True)
    sets = [PreferenceSet("p" * 20, ["a" * 15] * 3, ["b" * 30]), PreferenceSet("q", ["c" * 60], ["d" * 50])]
    scorer = SetScorer(model)
    widths.clear()
    score_encoded(scorer, encode_sets(TOKENIZER, sets, context=64), batch_size=2)
    assert max(widths) <= 64
