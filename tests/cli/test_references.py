"""A reference that cannot be compared with is refused before the model scores, and the message names the argument."""

import shutil

import pytest
import tokenizers
import torch
import transformers
from command_lines import SETS, refused
from lora_models import own_lora, stirred
from safetensors.torch import load_file, save_file
from tiny_models import CHAT, byte_tokenizer, random_gpt2

from mapl_explore.cli import main as cli
from mapl_explore.data import write_sets
from mapl_explore.models import kept_scores
from mapl_explore.models.adapters import save_weights


def talking(template=CHAT):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def gone(folder):
    shutil.rmtree(folder)


def cut_short(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def one_too_few(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.ln_f.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def template_that_fails(folder):
    talking("{{ raise_exception('no') }}").save_pretrained(folder)


def no_template(folder):
    (folder / "chat_template.jinja").unlink()


def no_eos(folder):
    tokenizer = talking()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)


def too_many_tokens(folder):
    tokenizer = talking()
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(folder)


def other_tokens(folder):
    tokenizer = talking()
    tokenizer.add_tokens([" no"])
    tokenizer.save_pretrained(folder)
    model = random_gpt2()
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)


BAD = {
    gone: "reference: no folder {!r}",
    cut_short: "reference: {!r} holds no causal language model that can be read: its weights are damaged",
    one_too_few: "reference: {!r} holds 1 weight too few",
    template_that_fails: "reference: the chat template of {!r} refuses",
    no_template: "reference {!r}: chat needs a model whose tokenizer has a chat template, and this one has none",
    no_eos: "reference: the tokenizer of {!r} has no end-of-text token",
    too_many_tokens: "reference: the tokenizer of {!r} has 258 tokens, its model 257",
    other_tokens: "--reference {} reads the responses as other tokens than --model",
}


@pytest.fixture
def models(tmp_path):
    """Two random models with one tokenizer, which has a chat template."""
    folders = [tmp_path / name for name in ("model", "reference")]
    for seed, folder in enumerate(folders):
        random_gpt2(seed=seed).save_pretrained(folder)
        talking().save_pretrained(folder)
    return folders


@pytest.fixture
def scored(monkeypatch):
    """Count how often sets are scored."""
    seen, score = [], kept_scores.score_sets
    monkeypatch.setattr(kept_scores, "score_sets", lambda *a, **k: (seen.append(a), score(*a, **k))[1])
    return seen


@pytest.fixture
def read(monkeypatch):
    """Count how often a model is read for its tokens alone."""
    seen, outline = [], kept_scores.load_outline
    monkeypatch.setattr(kept_scores, "load_outline", lambda *a, **k: (seen.append(a), outline(*a, **k))[1])
    return seen


@pytest.fixture
def words(models, sets_file):
    """Return a command that scores the sets under both models, without its output."""
    both = ["--model", str(models[0]), "--reference", str(models[1]), "--chat", "always"]
    return lambda *first: [first[0], str(sets_file), *first[1:], *both]


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("command", [["score"], ["select", "--accept", "Band()"]], ids=["score", "select"])
def test_a_bad_reference_is_refused_before_the_model_scores(models, words, tmp_path, capsys, scored, command, spoil):
    spoil(models[1])
    capsys.readouterr()
    output = tmp_path / "out.jsonl"
    code, err = refused(capsys, *words(command[0], str(output), *command[1:]))
    assert code == 2
    assert err.startswith("mapl-explore: error: " + BAD[spoil].format(str(models[1])))
    assert err.count("\n") == 1
    assert (scored, output.exists()) == ([], False)


def test_other_tokens_are_refused_before_the_reference_scores_where_the_model_has_kept_scores(
    models, words, sets_file, tmp_path, capsys, scored, monkeypatch
):
    monkeypatch.setenv("MAPL_CACHE", str(tmp_path / "kept"))
    own = ["score", str(sets_file), str(tmp_path / "own.jsonl"), "--model", str(models[0]), "--chat", "always"]
    assert cli.main(own) == 0
    other_tokens(models[1])
    code, err = refused(capsys, *words("score", str(tmp_path / "out.jsonl")))
    assert (code, len(scored)) == (2, 1)
    assert "reads the responses as other tokens" in err


def test_scores_that_are_kept_are_read_without_a_look_at_the_models(words, tmp_path, scored, read, monkeypatch):
    monkeypatch.setenv("MAPL_CACHE", str(tmp_path / "kept"))
    for name in ("first", "second"):
        assert cli.main(words("score", str(tmp_path / f"{name}.jsonl"))) == 0
        assert (len(scored), len(read)) == (2, 2)
    assert (tmp_path / "first.jsonl").read_bytes() == (tmp_path / "second.jsonl").read_bytes()


def test_adapters_are_a_reference_and_are_refused_without_their_base(models, words, tmp_path, capsys, scored):
    wrapped = stirred(own_lora(random_gpt2(), r=2))
    base = shutil.copytree(models[0], tmp_path / "base")
    wrapped.peft_config["default"].base_model_name_or_path = str(base)
    shutil.rmtree(models[1])
    save_weights(wrapped, models[1])
    assert cli.main(words("score", str(tmp_path / "out.jsonl"))) == 0
    assert len(scored) == 2
    shutil.rmtree(base)
    capsys.readouterr()
    code, err = refused(capsys, *words("score", str(tmp_path / "second.jsonl"), "--fresh"))
    assert (code, len(scored)) == (2, 2)
    assert f"reference: {str(models[1])!r} holds adapters" in err


def test_finetune_names_a_reference_that_lacks_tokens_of_the_model(models, sets_file, tmp_path, capsys):
    config = random_gpt2().config
    config.vocab_size = 100
    type(random_gpt2())(config).save_pretrained(models[1])
    words = {word: number for number, word in enumerate(["<|endoftext|>", "Who", "won", "Ann", "did"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    few = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    few.save_pretrained(models[1])
    run = ["finetune", "--loss", "dpo", "--data", str(sets_file), "--output", str(tmp_path / "run"), "--eval"]
    run += [str(sets_file), "--model", str(models[0]), "--reference", str(models[1]), "--steps", "1"]
    code, err = refused(capsys, *run)
    assert code == 2
    assert f"error: reference {str(models[1])!r}: the tokenizer is of another model: it makes token " in err
    assert f"and {models[1]} has embeddings for 100" in err
    assert not (tmp_path / "run").exists()


def test_what_the_check_of_the_reference_sees_is_told_once_and_in_the_order_of_the_scoring(
    models, sets_file, words, tmp_path, capsys
):
    write_sets(sets_file, [*SETS, SETS[0]])
    assert cli.main(words("score", str(tmp_path / "out.jsonl"))) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert [line.partition("by the chat template of ")[2] for line in notes] == [repr(str(one)) for one in models]


def test_a_weight_that_is_nan_is_refused_by_name_as_a_wrong_input_and_without_a_note(
    models, sets_file, tmp_path, capsys, scored
):
    weights = load_file(models[0] / "model.safetensors")
    weights["transformer.ln_f.weight"][0] = torch.nan
    save_file(weights, models[0] / "model.safetensors", {"format": "pt"})
    words = ["score", str(sets_file), str(tmp_path / "o.jsonl"), "--model", str(models[0]), "--chat", "never"]
    code = cli.main(words)
    out, err = capsys.readouterr()
    assert (code, scored) == (2, [])
    assert f"the weights of the model {str(models[0])!r} must be finite, but transformer.ln_f.weight holds a NaN" in err
    assert "is read with the logits" not in out
