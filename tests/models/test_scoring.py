"""Log-probabilities are those of the plain full-sequence computation, however sets are batched and padded."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from tiny_models import byte_tokenizer, chat_tokenizer, random_gpt2, save_tiny

from conftest import assert_close
from mapl_explore.data import PreferenceSet
from mapl_explore.files import shortened
from mapl_explore.models import encoding, passes, scoring
from mapl_explore.models.checking import context_length
from mapl_explore.models.encoding import collate, encode_sets
from mapl_explore.models.loading import load_model, quiet_transformers, weights_checksum
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_encoded, score_sets
from mapl_explore.notes import Note

TOKENIZER = byte_tokenizer()
SETS = [
    PreferenceSet("what is 1 + 1?", [" two", " 2"], [" 3", " four or five, or six"]),
    PreferenceSet("", ["é"], [""]),
    PreferenceSet("a prompt of many words, to be padded", [" abc"], [" " + "d" * 20, "e", "fg"]),
    PreferenceSet("tie", [""], ["x"]),
]
NATS = 1e-5  # the promise of score_sets; sums of about 100 nats, whose float32 eps is 1e-5, were off by 4e-6


def plain_logp(model, prompt, response):
    """Return the log-probability of one response, alone, from the logits of the whole sequence."""
    with torch.no_grad():
        logp = model(torch.tensor([[*prompt, *response]])).logits[0].double().log_softmax(-1)
    return sum(logp[len(prompt) + t - 1, token].item() for t, token in enumerate(response))


def plain_table(model, encoded):
    table = np.zeros((len(encoded), max(len(one.responses) for one in encoded)))
    for row, one in enumerate(encoded):
        for column, response in enumerate(one.responses):
            table[row, column] = plain_logp(model, one.prompt, response)
    return table


def gradient(scorer, encoded):
    """Return the gradient of a random combination of all log-probabilities in all weights, as one vector."""
    batch = collate(encoded, share_prompt=scorer.share_prompt)
    scorer.zero_grad()
    logp = scorer(**batch)
    (logp * torch.randn(logp.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    return torch.cat([weight.grad.flatten() for weight in scorer.parameters()])


def small(config_class, model_class, **options):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {"vocab_size": 257, "max_position_embeddings": 64, "initializer_range": 0.2} | options
    config = config_class(**sizes)
    return model_class(config).eval()


def uncached():
    config = transformers.OpenAIGPTConfig(vocab_size=257, n_positions=64, n_embd=32, n_layer=2, n_head=2)
    torch.manual_seed(0)
    return transformers.OpenAIGPTLMHeadModel(config).eval()


def llama():
    return small(transformers.LlamaConfig, transformers.LlamaForCausalLM, num_key_value_heads=1)


def sliding():
    return small(transformers.MistralConfig, transformers.MistralForCausalLM, num_key_value_heads=1, sliding_window=8)


@pytest.mark.parametrize("batch_size", [1, 2, 4, None])
@pytest.mark.parametrize(
    ("model", "shared"),
    [(random_gpt2, True), (llama, True), (sliding, False), (uncached, False)],
    ids=lambda value: getattr(value, "__name__", "shared" if value is True else "repeated"),
)
def test_scores_are_those_of_one_whole_sequence_at_a_time(model, shared, batch_size):
    model = model()
    assert SetScorer(model).share_prompt is shared
    scored = score_sets(model, TOKENIZER, SETS, batch_size=batch_size)
    assert_close(scored.logp, plain_table(model, encode_sets(TOKENIZER, SETS)), k=0, atol=NATS)


@pytest.mark.parametrize("share", [True, False])
def test_a_path_that_is_asked_for_is_taken(share):
    assert SetScorer(random_gpt2(), share_prompt=share).share_prompt is share


def test_scores_do_not_depend_on_the_order_of_sets():
    model = random_gpt2()
    forwards, backwards = (score_sets(model, TOKENIZER, sets, batch_size=2).logp for sets in (SETS, SETS[::-1]))
    assert_close(forwards, backwards[::-1], k=0, atol=NATS)


def test_scores_of_sets_are_their_reward_and_all_have_them_or_none():
    graded = [replace(one, scores=[0.1 - j for j in range(len(one.responses))]) for one in SETS]
    scored = score_sets(random_gpt2(), TOKENIZER, graded, reference=random_gpt2(seed=1))
    assert scored.reward.tolist() == [[(0.1 - j) * (j < len(one.responses)) for j in range(4)] for one in SETS]
    assert score_sets(random_gpt2(), TOKENIZER, SETS).reward is None
    prompt = shortened(SETS[2].prompt)
    line = f"scores must stand in all sets or in none: 2 of 4 have none, first sets[2], of the prompt {prompt}"
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        score_sets(random_gpt2(), TOKENIZER, [*graded[:2], *SETS[2:]])


def test_labels_and_lengths_stand_beside_the_scores():
    scored = score_sets(random_gpt2(), TOKENIZER, SETS)
    assert scored.label.tolist() == [[1, 1, -1, -1], [1, -1, 0, 0], [1, -1, -1, -1], [1, -1, 0, 0]]
    assert scored.length.tolist() == [[5, 3, 3, 22], [3, 1, 1, 1], [5, 22, 2, 3], [1, 2, 1, 1]]
    assert (scored.logp[scored.label == 0] == 0).all()


@pytest.mark.parametrize("row_tokens", [8, 512])
def test_a_shared_prompt_has_the_gradient_of_repeated_prompts(monkeypatch, row_tokens):
    monkeypatch.setattr(encoding, "ROW_TOKENS", row_tokens)
    model = random_gpt2().double()
    encoded = encode_sets(TOKENIZER, SETS)
    shared, repeated = (gradient(SetScorer(model, share_prompt=share), encoded) for share in (True, False))
    # Two orders of the same sums in float64: 1e-10 would be a wrong term, rounding is near 1e-15.
    assert (shared - repeated).norm() <= 1e-12 * repeated.norm()


def test_a_shared_prompt_has_the_gradient_of_repeated_prompts_in_float32():
    model = random_gpt2()
    encoded = encode_sets(TOKENIZER, SETS)
    shared, repeated = (gradient(SetScorer(model, share_prompt=share), encoded) for share in (True, False))
    assert (shared - repeated).norm() <= 1e-6 * repeated.norm()


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("tokens", [1, 40, 100])
def test_a_batch_that_is_read_in_parts_has_the_values_and_gradients_of_one_pass(monkeypatch, share, tokens):
    model = random_gpt2().double()
    encoded, scorer = encode_sets(TOKENIZER, SETS), SetScorer(model, share_prompt=share)
    batch, shapes = collate(encoded, share_prompt=share), []
    whole, slopes = scorer(**batch), gradient(scorer, encoded)
    monkeypatch.setattr(passes, "BATCH_TOKENS", tokens)
    model.register_forward_pre_hook(lambda _, __, given: shapes.append(given["input_ids"].shape), with_kwargs=True)
    parts = scorer(**batch)
    assert len(shapes) > 1
    assert all(rows == 1 or rows * columns <= tokens for rows, columns in shapes)
    # Two orders of the same sums in float64, of up to 100 nats: rounding is near 1e-14.
    assert_close(parts.detach(), whole.detach(), k=0, atol=1e-12)
    assert (gradient(scorer, encoded) - slopes).norm() <= 1e-12 * slopes.norm()


def test_parts_keep_the_activations_of_one_part_for_the_gradient(monkeypatch):
    model = random_gpt2(context=1024)
    batch = collate(encode_sets(TOKENIZER, [PreferenceSet("p" * 50, ["a" * 50] * 9, ["b" * 50] * 9)]))

    def kept(tokens):
        sizes = []
        monkeypatch.setattr(passes, "BATCH_TOKENS", tokens)
        with torch.autograd.graph.saved_tensors_hooks(lambda one: sizes.append(one.nbytes) or one, lambda one: one):
            SetScorer(model, share_prompt=True)(**batch)
        return sum(sizes)

    assert kept(700) < kept(10_000) / 20  # the tables of the batch and the log-probabilities


@pytest.mark.parametrize("tokens", [64, 200, 1000])
@pytest.mark.parametrize("share", [True, False])
def test_batches_are_planned_in_padded_tokens(monkeypatch, share, tokens):
    monkeypatch.setattr(scoring, "BATCH_TOKENS", tokens)
    encoded = encode_sets(TOKENIZER, SETS * 3 + [PreferenceSet("p" * 40, ["a"] * 30, ["b" * 10])])
    batches = list(scoring._batches(encoded, None, share))
    largest_first = sorted(range(len(encoded)), key=lambda row: -encoded[row].tokens)
    assert [row for rows in batches for row in rows] == largest_first
    for rows in batches:
        assert len(rows) == 1 or collate([encoded[row] for row in rows], share_prompt=share)["ids"].numel() <= tokens


def test_a_batch_that_fills_the_context_keeps_its_padding_inside():
    # Set 1 has the longest prompt, set 2 the longest response: together they are longer than the context.
    sets = [PreferenceSet("p" * 60, ["a"], ["b"]), PreferenceSet("q", ["c" * 62], ["d"])]
    model = random_gpt2(context=64)
    encoded = encode_sets(TOKENIZER, sets, context=64)
    for share in (True, False):
        logp = score_encoded(SetScorer(model, share_prompt=share), encoded, batch_size=2)
        assert_close(logp, plain_table(model, encoded), k=0, atol=3 * NATS)  # 63 tokens, about 350 nats


def test_dropout_is_off_even_after_train():
    model = random_gpt2(dropout=0.5).train()
    scorer = SetScorer(model)
    scorer.train()
    encoded = encode_sets(TOKENIZER, SETS)
    assert_close(score_encoded(scorer, encoded), plain_table(random_gpt2(), encoded), k=0, atol=NATS)


def test_a_chat_is_scored_as_the_template_writes_it():
    tokenizer = chat_tokenizer()
    model = small(transformers.LlamaConfig, transformers.LlamaForCausalLM, vocab_size=259)
    prompt = tokenizer("<s>[user]Hi<end>\n[assistant]", add_special_tokens=False)["input_ids"]
    responses = [tokenizer(text + "<end>", add_special_tokens=False)["input_ids"] for text in ("yes", "no")]
    scored = score_sets(model, tokenizer, [PreferenceSet("Hi", ["yes"], ["no"])], chat=True)
    expected = [[plain_logp(model, prompt, response) for response in responses]]
    assert_close(scored.logp, np.array(expected), k=0, atol=NATS)


def test_the_checksum_of_weights_tells_apart_what_one_weight_changes():
    first, second = weights_checksum(random_gpt2()), weights_checksum(random_gpt2(seed=1))
    model = random_gpt2()
    assert len(first) == 64
    assert first == weights_checksum(model) != second
    with torch.no_grad():
        model.lm_head.weight[3, 5] += 1e-6
    assert first != weights_checksum(model)
    assert weights_checksum(model.to(torch.bfloat16)) != first


def test_without_a_reference_all_log_ratios_are_zero():
    scored = score_sets(random_gpt2(), TOKENIZER, SETS)
    assert (scored.logp == scored.ref_logp).all()


def test_a_reference_gives_its_own_scores():
    for context in (64, 12):  # that of the reference is for both
        reference, encoded = random_gpt2(seed=1, context=context), encode_sets(TOKENIZER, SETS, context=context)
        scored = score_sets(random_gpt2(), TOKENIZER, SETS, reference=reference)
        assert_close(scored.ref_logp, plain_table(reference, encoded), k=0, atol=NATS)


def modes(model):
    return [module.training for module in model.modules()]


def test_scoring_leaves_every_module_of_both_models_in_its_mode():
    model, reference = random_gpt2(dropout=0.5).train(), random_gpt2(dropout=0.5, seed=1).train()
    model.transformer.h[0].eval()
    before = [modes(model), modes(reference)]
    scored = score_sets(model, TOKENIZER, SETS, reference=reference)
    assert [modes(model), modes(reference)] == before
    assert_close(scored.ref_logp, plain_table(random_gpt2(seed=1), encode_sets(TOKENIZER, SETS)), k=0, atol=NATS)


def test_scoring_that_fails_leaves_the_model_in_its_mode():
    model = random_gpt2().train()
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = math.nan
    with pytest.raises(FloatingPointError):
        score_sets(model, TOKENIZER, SETS)
    assert all(modes(model))


MODEL = random_gpt2()
ONE_DICT = {"prompt": "p", "positives": ["a"], "negatives": ["b"]}


@pytest.mark.parametrize(("model", "tokenizer", "sets", "options", "message"), [
    (TOKENIZER, MODEL, SETS, {}, r"^model must be a model, .* not a \w+$"),
    ("tiny", TOKENIZER, SETS, {}, r"^model must be a model, .* not 'tiny'$"),
    (None, TOKENIZER, SETS, {}, r"^model must be a model, .* not None$"),
    ((MODEL, TOKENIZER), TOKENIZER, SETS, {}, r"^model must be a model, .* not a tuple$"),
    (MODEL, None, SETS, {}, r"^tokenizer must be a tokenizer, .* not None$"),
    (MODEL, "tiny", SETS, {}, r"^tokenizer must be a tokenizer, .* not 'tiny'$"),
    (MODEL, MODEL, SETS, {}, r"^tokenizer must be a tokenizer, .* not a GPT2LMHeadModel$"),
    (MODEL, TOKENIZER, SETS, {"reference": (MODEL, TOKENIZER)}, r"^reference must be a model, .* not a tuple$"),
    (MODEL, TOKENIZER, SETS, {"reference": "tiny"}, r"^reference must be a model, .* not 'tiny'$"),
    (MODEL, TOKENIZER, SETS, {"reference": TOKENIZER}, r"^reference must be a model, .* not a \w+$"),
    (MODEL, TOKENIZER, SETS, {"reference": False}, r"^reference must be a model, .* not False$"),
    (MODEL, TOKENIZER, [ONE_DICT], {}, r"^sets must be a list of PreferenceSet, .* but sets\[0\] is a dict$"),
    (MODEL, TOKENIZER, [SETS[0], "text"], {}, r"^sets must be a list of PreferenceSet, .* sets\[1\] is 'text'$"),
    (MODEL, TOKENIZER, "sets.jsonl", {}, r"^sets must be a list of PreferenceSet, .* not 'sets\.jsonl'$"),
    (MODEL, TOKENIZER, iter(SETS), {}, r"^sets must be a list of PreferenceSet, .* not a list_iterator$"),
    (MODEL, TOKENIZER, SETS[0], {}, r"^sets must be a list of PreferenceSet, .* not a PreferenceSet$"),
    (MODEL, TOKENIZER, ONE_DICT, {}, r"^sets must be a list of PreferenceSet, .* not a dict$"),
    (MODEL, TOKENIZER, None, {}, r"^sets must be a list of PreferenceSet, .* not None$"),
])  # fmt: skip
def test_what_is_no_model_no_tokenizer_or_no_sets_is_refused_by_name(model, tokenizer, sets, options, message):
    with pytest.raises(TypeError, match=message):
        score_sets(model, tokenizer, sets, **options)


@pytest.mark.parametrize("batch_size", [0, -3, 1.5, "2", True, math.nan])
def test_a_batch_size_that_is_no_count_is_refused(batch_size):
    with pytest.raises(ValueError, match=r"^batch_size must be a whole number of at least 1, not "):
        score_sets(MODEL, TOKENIZER, SETS, batch_size=batch_size)


def test_numbers_of_numpy_and_tuples_of_sets_are_taken():
    score_sets(MODEL, TOKENIZER, tuple(SETS), batch_size=np.int64(2))


@pytest.mark.parametrize("side", ["model", "reference"])
def test_a_tokenizer_of_another_model_is_refused(side):
    other = small(transformers.LlamaConfig, transformers.LlamaForCausalLM, vocab_size=100)
    models = {"model": MODEL, "reference": MODEL, side: other}
    with pytest.raises(ValueError, match=r"^the tokenizer is of another model: it makes token \d+, .* for 100$"):
        score_sets(models["model"], TOKENIZER, SETS, reference=models["reference"])


def test_sets_beyond_the_context_are_cut_or_refused():
    model = random_gpt2(context=16)
    with pytest.warns(Note, match="cut to 16 tokens"):
        score_sets(model, TOKENIZER, SETS)
    with pytest.raises(ValueError, match=r"the set of the prompt .* does not fit"):
        score_sets(model, TOKENIZER, SETS, truncate="error")


def test_a_model_without_a_limit_reads_any_length():
    config = transformers.MambaConfig(vocab_size=257, hidden_size=16, num_hidden_layers=1)
    assert context_length(transformers.MambaForCausalLM(config)) == math.inf


def test_a_saved_model_loads_in_float32_without_dropout(tmp_path, capfd):
    save_tiny(tmp_path, dropout=0.5)
    capfd.readouterr()
    model, tokenizer = load_model(tmp_path)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert not model.training
    assert tokenizer.decode(tokenizer(text := "Ünïcode \n\t🙂", add_special_tokens=False)["input_ids"]) == text
    assert capfd.readouterr() == ("", "")


def test_a_tokenizer_without_padding_pads_with_eos(tmp_path):
    save_tiny(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    _, tokenizer = load_model(tmp_path)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 0


def test_a_tokenizer_without_eos_is_refused(tmp_path):
    save_tiny(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del settings["eos_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="no end-of-text token"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt"])
def test_pickled_weights_are_refused_with_the_reason_and_the_way_out(tmp_path, name):
    save_tiny(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(random_gpt2().state_dict(), tmp_path / name)
    with pytest.raises(OSError, match=f"as a pickle alone, {name}: pickles can run code, .* which writes safetensors$"):
        load_model(tmp_path)


def test_the_way_out_of_pickled_weights_leads_out(tmp_path):
    save_tiny(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(random_gpt2().state_dict(), tmp_path / "pytorch_model.bin")
    with quiet_transformers():
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path).save_pretrained(tmp_path)
    model, _ = load_model(tmp_path)
    assert weights_checksum(model) == weights_checksum(random_gpt2())


def test_a_folder_without_weights_is_refused(tmp_path):
    (save_tiny(tmp_path) / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"holds no weights: there is no model\.safetensors in it$"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", [None, 5, b"tiny", ["tiny"]])
def test_a_name_that_is_neither_text_nor_a_path_is_refused(name):
    with pytest.raises(TypeError, match=r"^name must be that of a model or of its folder, not "):
        load_model(name)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "", "meta"])
def test_a_device_that_is_not_there_is_refused_before_a_model_is_read(device):
    with pytest.raises(ValueError, match=f"^device must be one that torch can use here, .* not '{device}'$"):
        load_model("not/there", device=device)


def test_an_empty_folder_is_refused_by_name(tmp_path):
    with pytest.raises(OSError, match=f"'{tmp_path}' holds no model"):
        load_model(tmp_path)
