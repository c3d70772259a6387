"""Adapters of peft: at first they change nothing, and a folder of them is read as peft reads it, or refused."""

import contextlib
import json
import math
import shutil
import sys

import peft
import pytest
import safetensors.torch
import torch
import transformers
from kinds_of_models import SETS, TOKENIZER
from lora_models import BASES, own_lora, stirred, trained
from tiny_models import byte_tokenizer, random_gpt2, save_tiny

from conftest import assert_close
from mapl_explore.models import adapters
from mapl_explore.models.adapters import save_weights, with_adapters
from mapl_explore.models.checking import context_length
from mapl_explore.models.encoding import collate, encode_sets
from mapl_explore.models.heads import LogitMap
from mapl_explore.models.loading import load_model, load_tokenizer
from mapl_explore.models.passes import SHARED
from mapl_explore.models.scorer import SetScorer
from mapl_explore.notes import Note, heard
from mapl_explore.training.options import LORA

OPTIONS = [{}, {"r": 3, "rslora": True}, {"r": 2, "dora": True}]
TEXTS = [{"name": "adapter_config.json", "text": text} for text in ("{", "[]", "{}", '{"base_model_name_or_path": 3}')]


def scores(model, **options):
    scorer = SetScorer(model, **options)
    encoded = encode_sets(TOKENIZER, SETS, context=context_length(scorer.model))
    return scorer(**collate(encoded, share_prompt=scorer.share_prompt))


def slopes(model, **options):
    model.zero_grad()
    scores(model, **options).sum().backward()
    return {name: weights.grad for name, weights in model.named_parameters()}


@pytest.fixture
def folder(tmp_path):
    """A folder of adapters whose base lies next to it."""
    base, _ = load_model(save_tiny(tmp_path / "base", context=128))
    save_weights(stirred(with_adapters(base, LORA, seed=0)), tmp_path / "run")
    return tmp_path / "run"


def test_a_model_whose_targets_were_refused_is_as_it_was_and_can_be_trained():
    model = random_gpt2()
    before = {name: weights.requires_grad for name, weights in model.named_parameters()}
    with pytest.raises(ValueError, match="targets must be other layers"):
        with_adapters(model, LORA | {"targets": ["lm_head"]}, seed=0)
    assert {name: weights.requires_grad for name, weights in model.named_parameters()} == before


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", BASES)
def test_before_its_training_a_model_with_adapters_scores_as_its_base(name, options):
    base = scores(BASES[name]())
    # LoRA adds a product that is 0; DoRA divides each row by its own norm, and multiplies it with that again.
    k = 64 if options.get("dora") else 0
    found = scores(with_adapters(BASES[name](), LORA | options, seed=0))
    assert_close(found.detach(), base.detach(), k=k, dtype="float32")


@pytest.mark.parametrize("name", BASES)
def test_prompts_are_still_shared_and_the_head_is_still_apart(name):
    for model in (with_adapters(BASES[name](), LORA, seed=0), own_lora(BASES[name]())):
        scorer = SetScorer(model)
        assert (scorer.way, scorer.apart) == (SHARED, LogitMap())
        assert type(scorer.model) is type(BASES[name]())


@pytest.mark.parametrize("targets", ["all-linear", ["lm_head", "c_attn"]])
def test_scores_are_those_that_pefts_own_model_gives(targets):
    model = stirred(own_lora(random_gpt2(context=256), target_modules=targets)).eval()
    [one] = encode_sets(TOKENIZER, SETS[1:], context=256)
    with torch.no_grad(), contextlib.ExitStack() as told:
        if "lm_head" in targets:
            told.enter_context(pytest.warns(Note, match="logits of all tokens .*: its head is no plain linear layer"))
        whole = [model(input_ids=torch.tensor([[*one.prompt, *ids]])).logits[0].double() for ids in one.responses]
        by_hand = [
            each.log_softmax(-1)[len(one.prompt) - 1 : -1].gather(1, torch.tensor(ids)[:, None]).sum()
            for each, ids in zip(whole, one.responses, strict=True)
        ]
        scorer = SetScorer(model)
        logp = scorer(**collate([one], share_prompt=scorer.share_prompt))[0]
    assert (logp - torch.stack(by_hand)).abs().max() < 1e-4


@pytest.mark.parametrize("name", BASES)
def test_adapters_alone_get_gradients_the_same_with_activations_computed_again(name):
    model = stirred(with_adapters(BASES[name](), LORA, seed=0))
    plain, again = slopes(model), slopes(model, checkpointing=True)
    assert {key for key, slope in plain.items() if slope is not None} == trained(model).keys()
    assert all("lora_" in key and slope.abs().max() > 0 for key, slope in plain.items() if slope is not None)
    assert all(torch.equal(again[key], plain[key]) for key in trained(model))


def test_the_seed_decides_the_first_weights_whatever_was_drawn_before():
    one, other = (with_adapters(random_gpt2(seed=seed), LORA, seed=3) for seed in (0, 1))
    assert all(map(torch.equal, trained(one).values(), trained(other).values()))
    different = with_adapters(random_gpt2(), LORA, seed=4)
    assert not all(map(torch.equal, trained(one).values(), trained(different).values()))


def test_adapters_draw_nothing_from_the_numbers_of_others():
    model, before = random_gpt2(), torch.get_rng_state()
    with_adapters(model, LORA, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_folder_of_adapters_is_read_as_peft_reads_it(folder, tmp_path):
    model, tokenizer = load_model(folder)
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base").eval()
    with adapters._quiet():
        theirs = peft.PeftModel.from_pretrained(base, folder)
    ids = torch.tensor([[5, 6, 7, 8]])
    assert type(model) is transformers.GPT2LMHeadModel
    assert not any("lora" in name for name, _ in model.named_parameters())
    # Merged weights are rounded once more: 1e-4 of logits of some 10.
    assert (model(ids).logits - theirs(input_ids=ids).logits).abs().max() < 1e-4
    assert (model(ids).logits - load_model(tmp_path / "base")[0](ids).logits).abs().max() > 0.1
    assert tokenizer.get_vocab() == byte_tokenizer().get_vocab()


def test_one_line_says_which_model_adapters_are_merged_into(folder, tmp_path):
    with pytest.warns(Note, match=rf"^'{folder}' holds adapters: they are merged into '{tmp_path / 'base'}'$") as said:
        load_model(folder)
    assert len(said) == 1


def test_adapters_on_a_model_with_adapters_name_that_model(folder, tmp_path):
    model, _ = load_model(folder)
    expected = scores(stirred(wrapped := with_adapters(model, LORA, seed=5), seed=6))
    save_weights(wrapped, tmp_path / "second")
    with pytest.warns(Note, match=rf"second' holds .* into '{folder}', on '{tmp_path / 'base'}'$") as said:
        found = load_model(tmp_path / "second")[0]
    assert (scores(found) - expected).abs().max() < 1e-3
    assert len(said) == 1


def test_a_model_that_adapters_were_merged_into_can_be_trained_as_its_base(folder, tmp_path):
    base, model = (dict(load_model(each)[0].named_parameters()) for each in (tmp_path / "base", folder))
    assert {name: each.requires_grad for name, each in model.items()} == dict.fromkeys(base, True)


def test_the_tokenizer_of_adapters_is_their_own_or_that_of_their_base(folder, tmp_path):
    assert load_tokenizer(folder).get_vocab() == byte_tokenizer().get_vocab()
    own = byte_tokenizer()
    own.chat_template = "{{ messages }}"
    own.save_pretrained(folder)
    assert load_tokenizer(folder).chat_template == load_model(folder)[1].chat_template == own.chat_template


def test_a_base_in_a_folder_is_named_so_that_it_is_found_from_anywhere(tmp_path, monkeypatch):
    save_tiny(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    save_weights(with_adapters(load_model("base")[0], LORA, seed=0), "run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_model("../run")


EMBEDDINGS = {"llama": ["lm_head", "embed_tokens"], "gpt2": None}  # the head of the latter is tied to its embeddings


@pytest.mark.parametrize("more", [0, 3])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("name", BASES)
def test_adapters_that_peft_saved_with_embeddings_bring_the_tokens_that_were_added(tmp_path, name, kept, more):
    BASES[name]().save_pretrained(tmp_path / "base")
    byte_tokenizer().save_pretrained(tmp_path / "base")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base").eval()
    with adapters._quiet():
        model.resize_token_embeddings(257 + more)
        wrapped = stirred(own_lora(model, modules_to_save=EMBEDDINGS[name] if kept else None))
        wrapped.save_pretrained(tmp_path / "run")
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([f"<{each}>" for each in range(more)])
    tokenizer.save_pretrained(tmp_path / "run")
    before = torch.get_rng_state()
    read, tokenizer = load_model(tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before)
    ids = torch.tensor([[5, 6, 256 + more]])
    with torch.no_grad():
        assert (read(ids).logits - wrapped(input_ids=ids).logits).abs().max() < 1e-4
    assert len(tokenizer) == read.config.vocab_size == 257 + more


@pytest.mark.parametrize("more", [0, 3])
def test_adapters_that_were_trained_on_added_tokens_are_not_told_to_fit_no_more(folder, tmp_path, more):
    model, _ = load_model(tmp_path / "base")
    with adapters._quiet():
        model.resize_token_embeddings(257 + more)
        wrapped = stirred(own_lora(model))
        wrapped.save_pretrained(folder, save_embedding_layers=bool(more))
    record = {"weights_checksum": "of other weights", "arguments": {"precision": "float32"}}
    (folder / "run.json").write_text(json.dumps(record))
    with heard() as notes:
        load_model(folder)
    assert any("trained on other weights" in note for note in notes) == (more == 0)


@pytest.mark.parametrize("place", ["base", "run/base"], ids=["next to it", "in it"])
@pytest.mark.parametrize("name", ["base", "./base"])
def test_a_base_whose_path_is_relative_is_found_from_where_the_adapters_lie(folder, tmp_path, monkeypatch, place, name):
    expected = scores(load_model(folder)[0])
    (tmp_path / "base").rename(tmp_path / place)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": name}))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert torch.equal(scores(load_model("../run")[0]), expected)


def rewritten(path, change):
    weights = safetensors.torch.load_file(path)
    change(weights)
    safetensors.torch.save_file(weights, path)


def set_nan(weights):
    next(iter(weights.values()))[0, 0] = math.nan


DAMAGE = {
    "nan": (set_nan, r"no adapters of '.*base' that can be read: they must be finite, but .*lora_A.* holds a NaN"),
    "missing": (lambda weights: weights.popitem(), "they are of another model: .* in the file and in the model is not"),
    "more": (lambda weights: weights.update(x=torch.ones(2)), r"of another model: x .* is \(2,\) and not there"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_weights_that_are_not_those_of_the_base_are_refused_in_one_line(folder, kind):
    change, message = DAMAGE[kind]
    rewritten(folder / "adapter_model.safetensors", change)
    with pytest.raises(OSError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [lambda: random_gpt2(context=128).config, BASES["llama"]], ids=["size", "kind"])
def test_adapters_of_another_model_are_refused_in_one_line(folder, tmp_path, make):
    other = make()
    if isinstance(other, transformers.GPT2Config):
        other.n_embd = 16
        other = transformers.GPT2LMHeadModel(other)
    other.save_pretrained(tmp_path / "base")
    with pytest.raises(OSError, match=r"'.*run' holds no adapters of '.*base' that can be read") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", TEXTS, ids=lambda damage: damage["text"])
def test_a_damaged_configuration_is_refused_by_its_name(folder, damage):
    (folder / damage["name"]).write_text(damage["text"])
    with pytest.raises(OSError, match=r"adapter_config\.json") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_that_names_itself_as_its_base_is_refused(folder):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": str(folder)}))
    with pytest.raises(OSError, match=r"must name the model of the adapters as base_model_name_or_path, not"):
        load_model(folder)


def test_adapters_that_name_each_other_as_their_base_are_refused(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    for one, base in ((folder, other), (other, folder)):
        path = one / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": str(base)}))
    with pytest.raises(OSError, match="holds adapters of adapters that belong to itself"):
        load_model(folder)


def test_a_base_that_is_not_there_is_named(folder, tmp_path):
    (tmp_path / "base").rename(tmp_path / "moved")
    advice = r"base_model_name_or_path in its adapter_config\.json names that model, and may be changed$"
    with pytest.raises(OSError, match=rf"'.*run' holds adapters .* cannot be read: .*base'.*{advice}") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_adapters_as_a_pickle_are_not_read(folder):
    weights = safetensors.torch.load_file(folder / "adapter_model.safetensors")
    torch.save(weights, folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(
        OSError, match=r"run' holds its adapters as a pickle alone, adapter_model\.bin: .* with peft and"
    ):
        load_model(folder)
    (folder / "adapter_model.bin").unlink()
    with pytest.raises(OSError, match=r"there is no adapter_model\.safetensors in it"):
        load_model(folder)


def test_adapters_that_change_no_weights_are_refused_by_their_kind(tmp_path):
    base, _ = load_model(save_tiny(tmp_path / "base"))
    config = peft.PromptTuningConfig("CAUSAL_LM", num_virtual_tokens=2)
    with adapters._quiet():
        peft.get_peft_model(base, config).save_pretrained(tmp_path / "run")
    with pytest.raises(OSError, match=r"it has adapters of the kind PROMPT_TUNING, not LORA"):
        load_model(tmp_path / "run")


def test_adapters_on_a_tied_head_are_not_merged_into_both(tmp_path):
    base, _ = load_model(save_tiny(tmp_path / "base"))
    save_weights(own_lora(base, target_modules=["lm_head"]), tmp_path / "run")
    with pytest.raises(OSError, match="has adapters on its head, which is tied to its embeddings"):
        load_model(tmp_path / "run")


def test_where_peft_is_not_installed_its_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"needs peft, which is not installed: pip install 'mapl_explore\[lora\]'"):
        load_model(folder)


def test_targets_that_are_not_in_the_model_are_refused_by_their_names():
    for targets, message in (
        (
            ["c_attn", "q_proj"],
            "must be layers of GPT2LMHeadModel, which has no 'q_proj'; its linear layers are c_attn, c_proj, c_fc$",
        ),
        (["ln_1"], "lora: Target module LayerNorm.* is not supported"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            with_adapters(random_gpt2(), LORA | {"targets": targets}, seed=0)
        assert "\n" not in str(caught.value)
