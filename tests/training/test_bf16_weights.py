"""With weights in bfloat16 a run takes half the memory; what that rounds is told, and adapters stay in float32."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from tiny_models import byte_tokenizer, random_gpt2
from tuned_runs import EVAL, SETS, interrupted, timeless

from conftest import EPS
from mapl_explore.cli import main as cli
from mapl_explore.data import write_sets
from mapl_explore.models.loading import load_model
from mapl_explore.models.scoring import score_sets
from mapl_explore.notes import Note
from mapl_explore.training import settings as arguments

HALF = {"loss": "dpo", "precision": "bf16-weights"}
LOST = r"precision 'bf16-weights': a weight moves by at least a 256th of itself or not at all"
pytestmark = pytest.mark.filterwarnings("ignore:precision 'bf16-weights':mapl_explore.notes.Note")


def types(tensors):
    return {each.dtype for each in tensors}


def qwen2():
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=257, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, bos_token_id=0, eos_token_id=0, initializer_range=0.1,
    )  # fmt: skip
    return transformers.Qwen2ForCausalLM(config).eval()


@pytest.mark.parametrize("make", [random_gpt2, qwen2])
def test_a_model_takes_half_the_bytes_and_its_log_probs_have_the_digits_of_halves(make, tmp_path):
    make().save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    (full, tokenizer), (half, _) = load_model(tmp_path), load_model(tmp_path, dtype=torch.bfloat16)
    sizes = [sum(each.numel() * each.element_size() for each in model.parameters()) for model in (full, half)]
    assert sizes[0] == 2 * sizes[1]
    exact, rough = (score_sets(model, tokenizer, SETS, progress=False) for model in (full, half))
    # Logits of up to 10, each rounded, of each of some 20 tokens; the log-sum-exp rounds no more.
    off = np.abs(exact.logp - rough.logp) / np.maximum(exact.length, 1)
    assert 0 < off.max() < 10 * EPS["bfloat16"]


def test_no_weight_moves_by_less_than_the_least_step_and_small_updates_move_few():
    model = random_gpt2().bfloat16()
    before = [each.detach().clone() for each in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.0)
    ids = torch.arange(1, 33)[None]
    logits = model(input_ids=ids).logits[0, :-1]
    torch.nn.functional.cross_entropy(logits.float(), ids[0, 1:]).backward()
    optimizer.step()
    pairs = list(zip(before, model.parameters(), strict=True))
    moved = torch.cat([((new - old) / old)[(new != old) & (old != 0)].abs().float() for old, new in pairs])
    assert moved.min() >= EPS["bfloat16"] / 2
    assert len(moved) < 0.02 * sum(old.numel() for old in before)


def test_all_is_in_halves_from_the_base_to_the_folder_and_a_line_says_what_is_lost(tune):
    with pytest.warns(Note, match=LOST):
        done = tune(**HALF, answers=2)
    assert types(done.model.parameters()) == {torch.bfloat16}
    assert types(load_file(done.folder / "model.safetensors").values()) == {torch.bfloat16}
    assert json.loads((done.folder / "config.json").read_text())["dtype"] == "bfloat16"
    read = transformers.AutoModelForCausalLM.from_pretrained(done.folder)
    assert all(torch.equal(one, other) for one, other in zip(read.parameters(), done.model.parameters(), strict=True))
    assert done.run.arguments["precision"] == "bf16-weights"
    assert done.run.before["chosen_ratio"] == 0 != done.run.after["chosen_ratio"]
    model, tokenizer = load_model(done.folder, dtype=torch.bfloat16)
    chosen = [one.logp[one.label > 0].mean() for one in score_sets(model, tokenizer, EVAL, progress=False)]
    assert abs(sum(chosen) / len(chosen) - done.run.after["chosen"]) < 1e-4


@pytest.mark.parametrize("more", [{}, {"lora": "r=4,dora=true"}])
def test_an_interrupted_run_resumes_to_the_bits_of_the_uninterrupted_one(tune, monkeypatch, more):
    whole = tune("whole", **HALF, **more, steps=6)
    with monkeypatch.context() as patched:
        interrupted(patched, 5)
        with pytest.raises(KeyboardInterrupt):
            tune("cut", **HALF, **more, steps=6)
    with pytest.warns(Note, match="going on from checkpoint-4"):
        resumed = tune("cut", **HALF, **more, steps=6, resume=True)
    cut = whole.folder.parent / "cut"
    name = "adapter_model.safetensors" if more else "model.safetensors"
    assert (cut / name).read_bytes() == (whole.folder / name).read_bytes()
    assert timeless(resumed.run) == timeless(whole.run)


def test_adapters_are_in_float32_on_a_base_in_halves_and_nothing_is_told(tune):
    with warnings.catch_warnings(action="error", category=Note):
        done = tune(**HALF, lora="r=4", answers=2)
    trained = [each for each in done.model.parameters() if each.requires_grad]
    assert types(trained) == {torch.float32}
    assert types(each for each in done.model.parameters() if not each.requires_grad) == {torch.bfloat16}
    assert types(load_file(done.folder / "adapter_model.safetensors").values()) == {torch.float32}


def test_small_changes_of_adapters_are_not_lost_where_they_are_merged(tune, base):
    options = {**HALF, "lora": "r=4", "lr": 1e-5}
    adapters, merged = tune("adapters", **options), tune("merged", **options, merge=True)
    base_half, _ = load_model(base, dtype=torch.bfloat16)
    changed = {name: each for name, each in merged.model.named_parameters() if "c_attn.weight" in name}
    assert types(merged.model.parameters()) == {torch.float32}
    for name, each in changed.items():
        assert (each != base_half.get_parameter(name).float()).float().mean() > 0.9
    read, _ = load_model(adapters.folder, dtype=torch.bfloat16)
    assert types(read.parameters()) == {torch.bfloat16}


def test_a_model_given_itself_has_weights_of_the_type_that_is_named(tmp_path):
    def asked(model, precision):
        return arguments.Settings(
            loss="dpo", data=SETS, output=tmp_path, model=(model, byte_tokenizer()), precision=precision
        )

    assert asked(random_gpt2().bfloat16(), "bf16-weights").precision == "bf16-weights"
    with pytest.raises(ValueError, match=r"has weights in torch\.float32, not bfloat16: call its bfloat16\(\) first"):
        asked(random_gpt2(), "bf16-weights")


def test_another_reference_is_in_halves_too(tune, tmp_path):
    random_gpt2(seed=1).save_pretrained(tmp_path / "other")
    byte_tokenizer().save_pretrained(tmp_path / "other")
    done = tune(**HALF, reference=str(tmp_path / "other"))
    kinds = torch.bfloat16, torch.float32
    model, tokenizer = load_model(done.folder, dtype=torch.bfloat16)
    off = []
    for other in (load_model(tmp_path / "other", dtype=kind)[0] for kind in kinds):
        sets = score_sets(model, tokenizer, EVAL, reference=other, progress=False)
        ratio = sum((one.logp - one.ref_logp)[one.label > 0].mean() for one in sets) / len(sets)
        off.append(abs(ratio - done.run.after["chosen_ratio"]))
    assert off[0] < 1e-3 < off[1]  # in another batch a logit is rounded in another way, and a few are


def test_the_commands_read_weights_in_halves(base, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAPL_CACHE", "cache")
    write_sets("sets.jsonl", SETS)
    with_model = ["--model", str(base), "--device", "cpu"]
    half = [*with_model, "--precision", "bf16-weights"]
    for name, words in (("full", with_model), ("half", half)):
        assert cli.main(["score", "sets.jsonl", f"{name}.jsonl", *words]) == 0
    assert cli.main(["score", "sets.jsonl", "again.jsonl", *half]) == 0
    assert "those of an earlier command" in capsys.readouterr().out
    rows = {
        name: [json.loads(line)["logp"] for line in Path(f"{name}.jsonl").read_text().splitlines()]
        for name in ("full", "half", "again")
    }
    model, tokenizer = load_model(base, dtype=torch.bfloat16)
    scored = score_sets(model, tokenizer, SETS, progress=False)
    assert rows["half"] == rows["again"] == scored.logp[scored.label != 0].tolist() != rows["full"]
    assert cli.main(["select", "sets.jsonl", "pairs.jsonl", "--accept", "Band(low=-999, high=999)", *half]) == 0
    assert cli.main(["tau", "--data", "sets.jsonl", *half]) == 0


def test_samples_and_rounds_are_of_the_model_in_halves(tmp_path, monkeypatch, capsys):
    from mapl_explore.data.world import world_sets

    monkeypatch.chdir(tmp_path)
    write_sets("asked.jsonl", world_sets(6, seed=3))
    world = ["--verifier", "world", "--k", "8", "--device", "cpu", "--max-tokens", "16"]
    for name, more in (("full", []), ("half", ["--precision", "bf16-weights"])):
        assert cli.main(["sample", "asked.jsonl", f"{name}.jsonl", *world, *more, "--draws", f"{name}.csv"]) == 0
    assert Path("full.csv").read_text() != Path("half.csv").read_text()
    more = ["--precision", "bf16-weights", "--steps", "1", "--sets-per-step", "2", "--rounds", "2", "--answers", "2"]
    assert (
        cli.main(["rounds", "asked.jsonl", "--loss", "rloo", "--eval", "asked.jsonl", "--output", "r", *world, *more])
        == 0
    )
    assert types(load_file("r/round-2/model.safetensors").values()) == {torch.bfloat16}
