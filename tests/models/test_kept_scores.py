"""Scores are kept from one command to the next, and no longer than what decides them stays as it is."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from lora_models import own_lora, stirred
from tiny_models import byte_tokenizer, random_gpt2, save_tiny

from mapl_explore.cli import main as cli
from mapl_explore.data import PreferenceSet, write_sets
from mapl_explore.models import kept_scores
from mapl_explore.models.adapters import save_weights
from mapl_explore.models.kept_scores import scores_by_name
from mapl_explore.notes import Note

SETS = [PreferenceSet("a", ["b", "c"], ["d"]), PreferenceSet("e", ["f"], ["g"])]
GRADED = [PreferenceSet("a", ["b", "c"], ["d"], scores=[3.0, 2.0, 0.5])]
AGAIN = "log-probs are those of an earlier command"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MAPL_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def model(tmp_path):
    return save_tiny(tmp_path / "model")


@pytest.fixture
def loads(monkeypatch):
    """Count how often a model is loaded."""
    seen, load = [], kept_scores.load_model
    monkeypatch.setattr(kept_scores, "load_model", lambda *a, **k: (seen.append(a), load(*a, **k))[1])
    return seen


@pytest.mark.parametrize("sets", [SETS, GRADED])
def test_the_second_scoring_loads_no_model_and_has_the_same_bits(home, model, loads, sets):
    first = scores_by_name(str(model), sets)
    with pytest.warns(Note, match=AGAIN):
        second = scores_by_name(str(model), sets)
    assert len(loads) == 1
    for name, column in first.columns().items():
        again = getattr(second, name)
        assert (column is None) == (again is None)
        assert column is None or (column.dtype == again.dtype and np.array_equal(column, again))


def test_what_decides_the_numbers_decides_the_file(home, model, loads, monkeypatch):
    scores_by_name(str(model), SETS)
    scores_by_name(str(model), SETS[:1])
    scores_by_name(str(model), SETS, chat="never")
    scores_by_name(str(model), SETS, fresh=True)
    config = json.loads((model / "generation_config.json").read_text())
    (model / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": [0, 1]}))
    scores_by_name(str(model), SETS)
    save_tiny(model, seed=5)
    scores_by_name(str(model), SETS)
    scores_by_name(str(model), SETS, precision="bf16-weights")
    for scores in ([3.0, 2.0, 0.5], [3.0, 2.0, 1.0]):
        graded = [PreferenceSet("a", ["b", "c"], ["d"], scores)]
        assert scores_by_name(str(model), graded).reward.tolist() == [scores]
    places = {kept_scores._file(str(model), SETS, "auto", device, "float32") for device in ("cpu", "cuda")}
    assert len(places) == 2
    monkeypatch.setattr(kept_scores.metadata, "version", lambda package: "another")
    scores_by_name(str(model), SETS)
    assert len(loads) == 10


def test_a_copy_of_the_model_finds_the_same_scores(home, model, loads, tmp_path):
    scores_by_name(str(model), SETS)
    scores_by_name(str(shutil.copytree(model, tmp_path / "copy")), SETS)
    assert len(loads) == 1


def test_adapters_and_the_model_that_they_belong_to_decide_together(home, model, loads, tmp_path):
    wrapped = stirred(own_lora(random_gpt2(), r=2))
    wrapped.peft_config["default"].base_model_name_or_path = str(model)
    adapters = tmp_path / "adapters"
    save_weights(wrapped, adapters)
    byte_tokenizer().save_pretrained(adapters)
    alone, adapted = (scores_by_name(str(folder), SETS) for folder in (model, adapters))
    assert np.abs(alone.logp - adapted.logp).max() > 1e-3
    with pytest.warns(Note, match=AGAIN):
        assert np.array_equal(scores_by_name(str(adapters), SETS).logp, adapted.logp)
    save_tiny(model, seed=5)
    assert np.abs(scores_by_name(str(adapters), SETS).logp - adapted.logp).max() > 1e-3
    assert len(loads) == 3


def test_of_adapters_on_adapters_the_model_below_both_decides_too(home, model, tmp_path):
    folder = model
    for name in ("first", "second"):
        wrapped = stirred(own_lora(random_gpt2(), r=2))
        wrapped.peft_config["default"].base_model_name_or_path = str(folder)
        save_weights(wrapped, folder := tmp_path / name)
        byte_tokenizer().save_pretrained(folder)
    before = scores_by_name(str(folder), SETS)
    save_tiny(model, seed=5)
    assert np.abs(scores_by_name(str(folder), SETS).logp - before.logp).max() > 1e-3


def test_notes_are_said_again(home, model):
    long = [PreferenceSet("a" * 100, ["b"], ["c"])]
    for _ in range(2):
        with pytest.warns(Note, match="^cut to 64 tokens"):
            scores_by_name(str(model), long)


def test_a_damaged_file_is_computed_again(home, model, loads):
    scores_by_name(str(model), SETS)
    (file,) = home.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    scores_by_name(str(model), SETS)
    with pytest.warns(Note, match=AGAIN):
        scores_by_name(str(model), SETS)
    assert len(loads) == 2


def test_of_a_full_disk_no_half_of_a_file_is_kept(home, model, monkeypatch):
    def failing(file, **columns):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", failing)
    scores_by_name(str(model), SETS)
    assert list(home.iterdir()) == []


def test_no_text_is_kept_and_old_files_make_room(home, model, monkeypatch):
    secret = [PreferenceSet("a secret prompt", ["a secret answer"], ["another"])]
    scores_by_name(str(model), secret)
    (file,) = home.iterdir()
    assert b"secret" not in file.read_bytes()
    os.utime(file, (1, 1))
    monkeypatch.setattr(kept_scores, "MOST", 2)
    for rows in (1, 2):
        scores_by_name(str(model), SETS[:rows])
    assert len(list(home.iterdir())) == 2
    assert not file.exists()


def test_a_weight_that_is_nan_is_named_before_the_model_scores(home, model):
    network = random_gpt2()
    with torch.no_grad():
        network.transformer.ln_f.bias[0] = torch.nan
    network.save_pretrained(model)
    with pytest.raises(ValueError, match=r"must be finite, but transformer.ln_f.bias holds a NaN"):
        scores_by_name(str(model), SETS)
    assert not home.exists()


def test_where_nothing_can_be_kept_all_goes_on(home, model, loads, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for place in ("", str(tmp_path / "file")) * 2:
        monkeypatch.setenv("MAPL_CACHE", place)
        scores_by_name(str(model), SETS)
    assert len(loads) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model"]


def test_tau_after_score_computes_nothing(home, model, loads, tmp_path, capsys):
    write_sets(tmp_path / "sets.jsonl", SETS)
    where = [str(tmp_path / "sets.jsonl"), "--model", str(model), "--device", "cpu"]
    assert cli.main(["score", where[0], str(tmp_path / "out.csv"), *where[1:], "--batch-size", "1"]) == 0
    assert cli.main(["tau", "--data", *where]) == 0
    assert AGAIN in capsys.readouterr().out
    assert len(loads) == 1
    assert cli.main(["tau", "--data", *where, "--fresh"]) == 0
    assert len(loads) == 2


def test_a_model_that_is_its_own_reference_is_scored_once_and_of_no_earlier_command(
    home, model, loads, tmp_path, capsys
):
    write_sets(tmp_path / "sets.jsonl", SETS)
    files = [str(tmp_path / "sets.jsonl"), str(tmp_path / "out.csv")]
    assert cli.main(["score", *files, "--model", str(model), "--reference", str(model), "--device", "cpu"]) == 0
    assert AGAIN not in capsys.readouterr().out
    assert len(loads) == 1


def test_tau_of_numbers_reads_no_place(capsys):
    numbers = ["tau", "--n", "2", "--gap", "1", "--epsilon", "0.1"]
    assert cli.main([*numbers, "--batch-size", "3"]) != 0
    assert "--batch-size" in capsys.readouterr().err
