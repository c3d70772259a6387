"""A folder that is damaged, incomplete or of another kind is refused in one line; what is sound is read."""

import json
import math

import pytest
import safetensors.torch
import tokenizers
import torch
import transformers
from kinds_of_models import ENCODER, GPT, LLAMA, SETS, TOKENIZER, model_of
from tiny_models import byte_tokenizer, random_gpt2, save_tiny

from conftest import assert_close
from mapl_explore.models.loading import load_model
from mapl_explore.models.model_folder import first_line
from mapl_explore.models.scoring import score_sets
from mapl_explore.notes import Note


def saved(folder, tokenizer, vocabulary=257):
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**{**GPT, "vocab_size": vocabulary})).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def words_tokenizer(words):
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", eos_token="</s>")


@pytest.mark.parametrize(("name", "options"), [
    ("GPT2Config", GPT),
    ("Qwen2Config", LLAMA),
    ("GemmaConfig", {**LLAMA, "head_dim": 8}),
    ("GPTNeoXConfig", LLAMA),
    ("OPTConfig", {"vocab_size": 257, "hidden_size": 32, "ffn_dim": 32, "num_hidden_layers": 1,
                   "num_attention_heads": 4, "word_embed_proj_dim": 32}),
    ("XLMRobertaConfig", {**ENCODER, "is_decoder": True}),
    ("BertConfig", {**ENCODER, "is_decoder": True}),
    ("CohereConfig", LLAMA),
    ("LlamaConfig", LLAMA),
])  # fmt: skip
def test_a_model_without_its_tokenizer_is_refused_with_what_to_do(tmp_path, name, options):
    model_of(name, options).save_pretrained(tmp_path)
    with pytest.raises((OSError, ValueError), match=f"(?s)tokenizer.*{name[:2]}.*|{tmp_path}") as raised:
        load_model(tmp_path)
    assert "tokenizer.save_pretrained" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("words", [["<unk>", "</s>"], ["<unk>", "</s>", "a"]])
def test_a_tokenizer_that_knows_no_text_is_refused(tmp_path, words):
    with pytest.raises(ValueError, match=r"makes nothing of text \(\d tokens in its vocabulary\); .*write the right"):
        load_model(saved(tmp_path, words_tokenizer(words)))


@pytest.mark.parametrize("words", [["<unk>", "</s>", "Who", "won?", "Ann"], ["<unk>", "</s>", "A", "C", "G", "T"]])
def test_a_tokenizer_of_few_words_is_taken(tmp_path, words):
    _, tokenizer = load_model(saved(tmp_path, words_tokenizer(words)))
    assert tokenizer.eos_token_id == 1


@pytest.mark.parametrize("missing", [1, 100])
def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path, missing):
    with pytest.raises(ValueError, match=rf"has 257 tokens, its model {257 - missing}: call model\.resize_token"):
        load_model(saved(tmp_path, byte_tokenizer(), vocabulary=257 - missing))


def test_added_tokens_count(tmp_path):
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["<new>"])
    with pytest.raises(ValueError, match="has 258 tokens, its model 257"):
        load_model(saved(tmp_path, tokenizer))


def test_embeddings_padded_beyond_the_tokenizer_are_taken(tmp_path):
    load_model(saved(tmp_path, byte_tokenizer(), vocabulary=320))


@pytest.mark.parametrize("left", [0, 7, 1000, -100])
def test_weights_that_are_cut_short_are_refused_by_folder(tmp_path, left):
    path = save_tiny(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(OSError, match=r"holds no causal language model .* damaged or cut short .*again") as raised:
        load_model(tmp_path)
    assert repr(str(tmp_path)) in str(raised.value)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_pointer_of_git_lfs_in_place_of_a_file_is_named_with_what_to_do(tmp_path, name):
    (save_tiny(tmp_path) / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(OSError, match=rf"{name} is a pointer of git-lfs, not the file itself; run 'git lfs pull' in"):
        load_model(tmp_path)


def test_the_folder_of_a_run_that_has_not_ended_says_how_it_goes_on(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(OSError, match=r"its run has not ended, as its run\.json says; finetune with --resume goes on"):
        load_model(tmp_path)
    (tmp_path / "rounds.json").write_text("{}")
    with pytest.raises(OSError, match=r"holds no model: there is no config\.json in it$"):
        load_model(tmp_path)


def test_a_missing_shard_is_refused_by_name(tmp_path):
    byte_tokenizer().save_pretrained(tmp_path)
    random_gpt2().save_pretrained(tmp_path, max_shard_size="20KB")
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 1
    shards[-1].unlink()
    with pytest.raises(OSError, match=shards[-1].name):
        load_model(tmp_path)


def test_a_folder_without_the_vocabulary_is_told_by_the_files_there_and_those_needed(tmp_path):
    (save_tiny(tmp_path) / "tokenizer.json").unlink()
    with pytest.raises(OSError, match=r"no tokenizer .* has tokenizer_config.json; needed is tokenizer.json"):
        load_model(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(ValueError, match=r"\(1 token in its vocabulary\); its folder has no file of one; needed is t"):
        load_model(tmp_path)


def _in_parts(folder):
    byte_tokenizer().save_pretrained(folder)
    random_gpt2().save_pretrained(folder, max_shard_size="20KB")
    return sorted(folder.glob("model-*.safetensors")), folder / "model.safetensors.index.json"


def test_missing_parts_of_weights_are_told_by_name_with_what_to_do(tmp_path):
    parts, index = _in_parts(tmp_path)
    parts[1].unlink()
    with pytest.raises(OSError, match=rf"not all of them: {parts[1].name} is missing; fetch the folder again$"):
        load_model(tmp_path)
    parts[2].unlink()
    with pytest.raises(OSError, match=rf"{parts[1].name} is missing, and 1 more; fetch the folder again$"):
        load_model(tmp_path)
    index.write_text("{")
    with pytest.raises(OSError, match=rf"{index.name}' is damaged \(JSONDecodeError\): fetch the folder again$"):
        load_model(tmp_path)
    index.unlink()
    with pytest.raises(OSError, match=rf"not all of them: {index.name} is missing; fetch the folder again$"):
        load_model(tmp_path)


def test_weights_without_one_that_the_model_needs_are_refused(tmp_path):
    path = save_tiny(tmp_path) / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    del weights["transformer.h.1.mlp.c_fc.weight"]
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(OSError, match=r"holds 1 weight too few for its model, such as 'transformer\.h\.1\.mlp"):
        load_model(tmp_path)


def test_a_configuration_that_is_damaged_is_one_line(tmp_path):
    save_tiny(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_embd": "wide"}))
    with pytest.raises(OSError, match="holds no"):
        load_model(tmp_path)


def rewritten(folder, change):
    """Change the weights of a folder and return it."""
    path = folder / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    change(weights)
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})
    return folder


def reconfigured(folder, **values):
    """Change the configuration of a folder and return it."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def without_prefix(weights):
    for name in list(weights):
        weights[name.removeprefix("transformer.")] = weights.pop(name)


@pytest.mark.parametrize("change", [lambda weights: None, without_prefix])
def test_weights_of_layers_that_the_configuration_does_not_name_are_refused(tmp_path, change):
    folder = rewritten(reconfigured(save_tiny(tmp_path), n_layer=1), change)
    # 12 a layer; transformers passes over attn.c_attn.bias, which its pattern for the old mask, attn.bias, takes in.
    with pytest.raises(OSError, match=r"holds 11 weights too many for its model, such as '.*h\.1\.attn"):
        load_model(folder)


@pytest.mark.parametrize("name", [
    "transformer.h.0.attn.q_norm.weight", "transformer.h.1.mlp.c_fc.scale", "lm_head.bias", "transformer.wte.scale",
])  # fmt: skip
def test_a_weight_that_a_layer_has_no_place_for_is_refused(tmp_path, name):
    folder = rewritten(save_tiny(tmp_path), lambda weights: weights.update({name: torch.ones(2)}))
    with pytest.raises(OSError, match=f"holds 1 weight too many for its model, such as '{name}'"):
        load_model(folder)


@pytest.mark.parametrize("change", [
    without_prefix,
    lambda weights: weights.update({f"transformer.h.{n}.attn.bias": torch.ones(1, 1, 8, 8) for n in (0, 1)}),
    lambda weights: weights.update({"transformer.h.0.attn.masked_bias": torch.tensor(-1e4)}),
    lambda weights: weights.update({"transformer.h.0.attn.rotary_emb.inv_freq": torch.ones(4)}),
    lambda weights: weights.update({"lm_head.weight": weights["transformer.wte.weight"].clone()}),
])  # fmt: skip
def test_what_older_checkpoints_have_besides_their_weights_is_passed_over(tmp_path, change):
    model, tokenizer = load_model(rewritten(save_tiny(tmp_path), change))
    assert_close(score_sets(model, tokenizer, SETS).logp, score_sets(random_gpt2(), TOKENIZER, SETS).logp, k=0, atol=0)


@pytest.mark.parametrize("name", ["v_head.summary.weight", "score.weight", "mtp.layers.0.weight", "eye.patch.weight"])
def test_weights_beside_the_layers_are_noted_by_name(tmp_path, name):
    folder = rewritten(save_tiny(tmp_path), lambda weights: weights.update({name: torch.ones(2)}))
    with pytest.warns(Note, match=f"^1 weight of .* not used, such as '{name}'$"):
        load_model(folder)


@pytest.mark.parametrize(("values", "message"), [
    ({"vocab_size": 300}, r"1 weight of another size .* as 'transformer\.wte\.weight': \(257, 32\), not \(300, 32\)$"),
    ({"n_positions": 20}, r"1 weight of another size .* as 'transformer\.wpe\.weight': \(64, 32\), not \(20, 32\)$"),
])  # fmt: skip
def test_weights_of_other_sizes_than_the_configuration_says_are_told_by_name(tmp_path, values, message):
    with pytest.raises(OSError, match=message):
        load_model(reconfigured(save_tiny(tmp_path), **values))


@pytest.mark.parametrize("text", [
    "{", "", "[]", "3", "\x00", '{"max_new_tokens": -3}', '{"max_new_tokens": 0}', '{"max_new_tokens": "many"}',
    '{"max_new_tokens": 1.5}', '{"eos_token_id": "x"}', '{"eos_token_id": [0, null]}', '{"eos_token_id": 1.5}',
])  # fmt: skip
def test_a_generation_file_that_cannot_be_used_is_named(tmp_path, text):
    (save_tiny(tmp_path) / "generation_config.json").write_text(text)
    with pytest.raises(OSError, match=r"/generation_config\.json' cannot be used \(.+\): mend it, or remove it$"):
        load_model(tmp_path)


@pytest.mark.parametrize("text", [None, "{}", '{"eos_token_id": [0, 5], "max_new_tokens": 7}', '{"temperature": 0.6}'])
def test_a_generation_file_that_can_be_used_or_none_is_taken_without_a_word(tmp_path, text, capfd):
    path = save_tiny(tmp_path) / "generation_config.json"
    path.unlink() if text is None else path.write_text(text)
    capfd.readouterr()
    load_model(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["{", "", "[]", '"a"'])
def test_a_damaged_file_of_a_tokenizer_is_named(tmp_path, name, text):
    (save_tiny(tmp_path) / name).write_text(text)
    with pytest.raises(OSError, match=rf"no tokenizer that can be read: {name} is damaged \(.+\); fetch it again"):
        load_model(tmp_path)


@pytest.mark.parametrize("text", ["{}", '{"added_tokens": []}', '{"model": {}}', '{"model": 3, "added_tokens": []}'])
def test_an_incomplete_tokenizer_is_damaged(tmp_path, text):
    (save_tiny(tmp_path) / "tokenizer.json").write_text(text)
    with pytest.raises(OSError, match=r"tokenizer\.json is damaged \([^']"):
        load_model(tmp_path)


def test_a_token_for_pictures_needs_no_embedding_and_any_other_one_does(tmp_path):
    save_tiny(tmp_path)
    options = {"tokenizer_object": byte_tokenizer()._tokenizer, "eos_token": "<|endoftext|>"}
    pictures = transformers.PreTrainedTokenizerFast(**options, extra_special_tokens={"image_token": "<image>"})
    assert len(pictures) == 258
    pictures.save_pretrained(tmp_path)
    load_model(tmp_path)
    pictures.add_tokens(["<other>"])
    pictures.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"has 259 tokens, its model 257: call model\.resize_token_embeddings"):
        load_model(tmp_path)


def test_a_damaged_configuration_is_not_called_a_damaged_tokenizer(tmp_path):
    (save_tiny(tmp_path) / "config.json").write_text("{")
    with pytest.raises(OSError, match="holds no causal language model that can be read"):
        load_model(tmp_path)


def test_a_model_with_a_nan_among_its_weights_is_named_and_not_its_log_probs_returned(tmp_path):
    model, tokenizer = load_model(save_tiny(tmp_path))
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = math.nan
    with pytest.raises(FloatingPointError, match=f"the model '{tmp_path}' gives log-probs that are not finite"):
        score_sets(model, tokenizer, SETS)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one reason\nand a long list"), "one reason"),
        (ValueError("one is refused:\n  top_k must be > 0\nand a long list"), "one is refused: top_k must be > 0"),
        (ValueError("give a tokenizer from one of: \n(1) a file\n(2) a class"), "give a tokenizer"),
        (ValueError(""), "ValueError"),
        (KeyError("model"), "there is no 'model'"),
    ],
)
def test_what_an_error_says_is_one_line_that_has_the_reason(error, line):
    assert first_line(error) == line
