"""The trainer minimises the loss it is given, repeats itself bit for bit, and leaves a run folder that says it all."""

import contextlib
import errno
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pandas
import pytest
import torch
from small_disks import small_files
from tiny_models import random_gpt2, save_tiny

from conftest import assert_close
from mapl_explore.data import PreferenceSet, read_sets, write_sets
from mapl_explore.explorers import TrainingExplorer
from mapl_explore.losses import DPO, LOSSES, Anneal, First, Hardest, MaxMin, ScoredSets, Smooth
from mapl_explore.losses.measures import measures
from mapl_explore.models.encoding import collate, encode_sets
from mapl_explore.models.loading import load_model, weights_checksum
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_encoded, score_sets
from mapl_explore.notes import Note
from mapl_explore.runs.checkpoints import last_checkpoint
from mapl_explore.runs.record import read_run
from mapl_explore.training import base_logp, finetuning
from mapl_explore.training.finetuning import finetune

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
SETS = [
    PreferenceSet(
        f"what comes after {word}?",
        [f" {word} and one", f" next to {word}"][: 1 + i % 2],
        [f" {word}", " no", " x"][i % 3 :],
    )
    for i, word in enumerate(WORDS)
]
TRAIN, EVAL = SETS[:8], SETS[8:]
TABLE = datasets.Dataset.from_list([{"prompt": "p", "chosen": "a", "rejected": "b"}])
# Two answers before and after take as long as the training of two steps: only a test of what they decide asks for them.
QUICK = {"data": TRAIN, "eval": EVAL, "steps": 2, "answers": 0, "sets_per_step": 4, "lr": 1e-3}
QUICK |= {"device": "cpu", "progress": False}  # what a GPU computes has tests of its own


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    # GPT-2's own dropout would be 0.1; with 0.5 a forgotten one cannot be missed.
    return save_tiny(tmp_path_factory.mktemp("base"), dropout=0.5)


@pytest.fixture
def tune(base, tmp_path):
    """Fine-tune the random model: tune(name of the run, options...)."""
    return lambda name="run", **options: finetune(**{"model": base, "output": tmp_path / name, **QUICK, **options})


@pytest.fixture(scope="module")
def done(base, tmp_path_factory):
    """A finished DPO with answers, which the tests only look at."""
    return finetune(loss="dpo", model=base, output=tmp_path_factory.mktemp("done") / "run", **QUICK | {"answers": 2})


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    """A finished DPO of four steps, a checkpoint after each, of which the last two are there."""
    return finetune(loss="dpo", model=base, output=tmp_path_factory.mktemp("whole") / "run", **QUICK | {"steps": 4})


@pytest.fixture
def cut(whole, tmp_path):
    """A copy of its folder, to resume as ``tune("cut", loss="dpo", steps=4, resume=True)``: it lacks the last model."""
    folder = shutil.copytree(whole.folder, tmp_path / "cut")
    (folder / "model.safetensors").unlink()
    return folder


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def by_hand(model, tokenizer, sets):
    """Return label and log-probabilities of each set, from the logits of every whole sequence alone."""
    rows = []
    for one in encode_sets(tokenizer, sets, context=64):
        with torch.no_grad():
            logits = [model(torch.tensor([[*one.prompt, *ids]])).logits[0].double() for ids in one.responses]
        logp = [
            each.log_softmax(-1)[len(one.prompt) - 1 : -1].gather(1, torch.tensor(ids)[:, None]).sum().item()
            for each, ids in zip(logits, one.responses, strict=True)
        ]
        rows.append((np.array(one.labels), np.array(logp)))
    return rows


def measures_by_hand(rows, tau):
    """Return the means that a MaxMin on the smooth pair logs, from the definitions in design terms."""
    chosen = [logp[label > 0] for label, logp in rows]
    rejected = [logp[label < 0] for label, logp in rows]
    hard = np.array([up.min() - down.max() for up, down in zip(chosen, rejected, strict=True)])
    smooth = np.array(
        [
            -np.log(np.exp(-tau * up).sum()) / tau - np.log(np.exp(tau * down).sum()) / tau
            for up, down in zip(chosen, rejected, strict=True)
        ]
    )
    return {
        "loss": -smooth.mean(), "margin": smooth.mean(), "hard_margin": hard.mean(), "accuracy": (hard > 0).mean(),
        "chosen": np.mean([up.mean() for up in chosen]), "rejected": np.mean([down.mean() for down in rejected]),
    }  # fmt: skip


def timeless(run):
    """Return a record without what the clock decides."""
    return replace(run, log=[{k: v for k, v in entry.items() if k != "tokens_per_second"} for entry in run.log])


def test_the_logged_step_is_the_loss_computed_outside(tune, base):
    # All sets in the first step, of different sizes, so that neither order nor padding may matter.
    run = tune(loss=MaxMin(pair=Smooth(tau=0.5)), sets_per_step=8, steps=1).run
    expected = measures_by_hand(by_hand(*load_model(base), TRAIN), tau=0.5)
    for name in expected:
        # Log-probs of 50 to 100 nats from float32 logits are within 1e-5.
        assert_close(np.float64(run.log[0][name]), expected[name], k=0, atol=2e-5)


def test_the_table_is_measured_on_the_held_out_sets_before_and_after(tune, base):
    done = tune(loss=MaxMin(pair=Smooth(tau=0.5)))
    for found, model in ((done.run.before, load_model(base)[0]), (done.run.after, done.model)):
        expected = measures_by_hand(by_hand(model, done.tokenizer, EVAL), tau=0.5)
        for name in expected:
            assert_close(np.float64(found[name]), expected[name], k=0, atol=2e-5)
    assert done.run.before["loss"] != done.run.after["loss"]
    for side in ("chosen", "rejected"):
        assert done.run.before[f"{side}_ratio"] == 0.0
        moved = done.run.after[side] - done.run.before[side]
        assert_close(np.float64(done.run.after[f"{side}_ratio"]), moved, k=0, atol=2e-5)


def test_the_first_step_of_dpo_is_log_2(tune):
    run = tune(loss=DPO(pair=First())).run
    assert abs(run.log[0]["loss"] - math.log(2)) <= 1e-6
    assert abs(run.before["loss"] - math.log(2)) <= 1e-6
    assert abs(run.log[1]["loss"] - math.log(2)) > 1e-3


def test_one_set_is_learnt(tune):
    run = tune(
        loss="DPO(beta=0.5, pair=Hardest())", data=[SETS[3]], eval=[SETS[3]], sets_per_step=1, steps=30, lr=3e-3
    ).run
    assert run.after["loss"] < 0.1 < run.before["loss"]
    assert (run.before["accuracy"], run.after["accuracy"]) == (0.0, 1.0)


@pytest.mark.parametrize("name", LOSSES)
def test_every_preset_changes_the_model_and_stays_finite(tune, base, name):
    done = tune(loss=name, steps=1)
    assert all(math.isfinite(value) for value in done.run.after.values())
    assert weights(done.folder) != weights(base)


def test_cutting_a_step_into_passes_changes_nothing_but_rounding(tune, monkeypatch):
    whole = tune("whole", loss=LOSSES["dpo-smooth"])
    monkeypatch.setattr(finetuning, "BATCH_TOKENS", 1)
    parts = tune("parts", loss=LOSSES["dpo-smooth"])
    for one, other in zip(whole.run.log, parts.run.log, strict=True):
        # Rounding in the gradient, through the sign-like first steps of Adam, reaches the loss of the second step.
        assert abs(one["loss"] - other["loss"]) <= 1e-5
        assert abs(one["grad_norm"] - other["grad_norm"]) <= 1e-4 * one["grad_norm"]


def test_the_same_seed_gives_the_same_bits(tune, done):
    again = tune(loss="dpo", answers=2)
    assert weights(again.folder) == weights(done.folder)
    assert timeless(again.run) == timeless(done.run)


def test_another_seed_gives_another_order(tune):
    one, other = tune("one", loss="maxneg-minpos"), tune("other", loss="maxneg-minpos", seed=1)
    assert one.run.log[0]["loss"] != other.run.log[0]["loss"]


def test_an_interrupted_run_resumes_to_the_bits_of_the_uninterrupted_one(tune, monkeypatch):
    whole = tune("whole", loss="dpo-smooth", steps=6)
    log = finetuning.PreferenceTrainer.log

    def interrupted(self, logs, start_time=None):
        if self.state.global_step == 5:
            raise KeyboardInterrupt
        log(self, logs, start_time)

    monkeypatch.setattr(finetuning.PreferenceTrainer, "log", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune("cut", loss="dpo-smooth", steps=6)
    monkeypatch.undo()
    cut = whole.folder.parent / "cut"
    assert not read_run(cut).finished
    assert last_checkpoint(cut).name == "checkpoint-4"
    resumed = tune("cut", loss="dpo-smooth", steps=6, resume=True)
    assert weights(cut) == weights(whole.folder)
    assert timeless(resumed.run) == timeless(whole.run)


def test_a_run_interrupted_before_its_first_checkpoint_starts_again(tune, whole, cut):
    shutil.rmtree(cut / "checkpoints")
    assert timeless(tune("cut", loss="dpo", steps=4, resume=True).run) == timeless(whole.run)


def test_resume_with_other_arguments_is_refused(tune, cut):
    with pytest.raises(ValueError, match=r"started with lr 0\.001, not 0\.01"):
        tune("cut", loss="dpo", steps=4, lr=0.01, resume=True)


def test_resume_of_nothing_is_refused(tune, tmp_path):
    with pytest.raises(FileNotFoundError):
        tune("new", loss="dpo", resume=True)
    assert not (tmp_path / "new").exists()


def test_the_saved_model_is_the_returned_one_and_scores_alike(done):
    model, tokenizer = load_model(done.folder)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), done.model.parameters(), strict=True))
    scored = [score_sets(each, tokenizer, EVAL, progress=False).logp for each in (model, done.model)]
    assert (scored[0] == scored[1]).all()


def test_the_folder_holds_the_record_and_neither_texts_nor_pickled_arguments(done):
    assert read_run(done.folder) == done.run
    files = [path for path in done.folder.rglob("*") if path.is_file()]
    assert {"run.json", "README.md", "model.safetensors", "tokenizer.json", "trainer_state.json"} <= {
        f.name for f in files
    }
    assert not [path for path in files if path.suffix == ".bin"]
    assert not [path for path in files if b"what comes after" in path.read_bytes()]


def test_those_who_may_read_the_record_may_read_the_model(done):
    assert {path.stat().st_mode & 0o777 for path in done.folder.glob("*.safetensors")} == {
        (done.folder / "run.json").stat().st_mode & 0o777
    }


def test_a_tenth_of_the_prompts_is_held_out_by_the_seed():
    sets = [PreferenceSet(f"prompt {i // 2}", [f"a{i}"], ["b"]) for i in range(80)]
    train, held = finetuning._read_data(sets, None, seed=0)
    assert len(held) == 8
    assert {one.prompt for one in train}.isdisjoint(one.prompt for one in held)
    assert sorted(map(repr, train + held)) == sorted(map(repr, sets))
    assert finetuning._read_data(sets, None, seed=0)[1] == held != finetuning._read_data(sets, None, seed=1)[1]


def test_every_set_is_used_once_before_any_is_used_twice():
    order = finetuning._schedule(5, 12, seed=0)
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5))
    assert len(order) == 12


def test_the_trainer_takes_the_sets_in_the_order_drawn(tune, base):
    run = tune(loss="maxneg-minpos", sets_per_step=1, steps=8, seed=5).run
    first = TRAIN[finetuning._schedule(len(TRAIN), 8, seed=5)[0]]
    expected = measures_by_hand(by_hand(*load_model(base), [first]), tau=1.0)
    assert_close(np.float64(run.log[0]["chosen"]), expected["chosen"], k=0, atol=2e-5)


def test_a_full_output_folder_is_refused_before_any_work(tune, tmp_path, monkeypatch):
    monkeypatch.setattr(finetuning, "load_model", lambda *args, **options: pytest.fail("work was done"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not empty"):
        tune(loss="dpo")


def test_refused_data_leave_no_output_folder(tune, tmp_path):
    write_sets(tmp_path / "sets.jsonl", TRAIN)
    with open(tmp_path / "sets.jsonl", "a", encoding="utf-8") as file:
        file.write('{"prompt": "p"}\n')
    with pytest.raises(ValueError, match=r"sets\.jsonl:9: the field 'positives' is missing"):
        tune(loss="dpo", data=tmp_path / "sets.jsonl")
    assert not (tmp_path / "run").exists()


def test_sets_that_do_not_fit_leave_no_output_folder(tune, tmp_path):
    with pytest.raises(ValueError, match=r"the set of the prompt .* does not fit"):
        tune(loss="dpo", eval=[PreferenceSet("p" * 70, ["a"], ["b"])], truncate="error")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be an integer from 1 .* not 0"),
        ({"steps": 2.5}, r"steps must be an integer .* not 2\.5"),
        ({"sets_per_step": -1}, "sets_per_step must be"),
        ({"seed": -1}, "seed must be an integer from 0"),
        ({"lr": 0.0}, r"lr must be > 0 and finite, not 0\.0"),
        ({"lr": math.nan}, "lr must be > 0 and finite, not nan"),
        ({"truncate": "end"}, "truncate must be one of 'keep-start', 'error', not 'end'"),
        ({"device": "gpu"}, "device must be one of"),
        ({"report": "wandb"}, "report must be one of"),
        ({"precision": "fp8"}, "precision must be one of 'float32', 'bf16', not 'fp8'"),
        ({"save_every": 0}, "save_every must be an integer from 1"),
        ({"answers": -1}, "answers must be an integer from 0"),
        ({"loss": "DPO(bet=1)"}, "no field 'bet'"),
        ({"data": TRAIN[:1], "eval": None}, "at least 2 prompts"),
    ],
)
def test_a_wrong_argument_is_named_and_leaves_no_output_folder(tune, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        tune(**{"loss": "dpo", **options})
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_a_gpu_that_is_not_there_is_refused(tune):
    with pytest.raises(ValueError, match="torch finds no CUDA GPU"):
        tune(loss="dpo", device="cuda")


def test_an_unbounded_loss_is_noted(tune):
    with pytest.warns(Note, match="has no lower bound"):
        tune(loss=MaxMin(pair=Hardest()))


@pytest.mark.filterwarnings("error::mapl_explore.notes.Note")
def test_without_progress_and_with_a_bounded_loss_nothing_is_said(tune, capfd):
    tune(loss="dpo")
    assert capfd.readouterr() == ("", "")


def test_a_loss_that_is_not_finite_ends_the_run_with_its_step(tune, monkeypatch):
    link = DPO.link
    monkeypatch.setattr(
        DPO, "link", lambda self, margin: link(self, margin) * (math.nan if margin.abs().max() > 1e-3 else 1.0)
    )
    with pytest.raises(FloatingPointError, match="the loss became nan at step 3"):
        tune(loss=DPO(pair=First()), steps=4)


def test_a_model_with_a_nan_is_refused_by_the_name_of_its_weights(tmp_path):
    model, _ = load_model(save_tiny(tmp_path / "base"))
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = math.nan
    model.save_pretrained(tmp_path / "base")
    with pytest.raises(ValueError, match=r"weights of the model .*base' must be finite, but .*ln_f\.weight"):
        finetune(loss="dpo", model=tmp_path / "base", output=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_steps_are_reported_to_tensorboard_when_asked(tune, done):
    assert not (done.folder / "tensorboard").exists()
    folder = tune(loss="dpo", report="tensorboard").folder
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/hard_margin")] == [1, 2]
    assert [path.parent for path in folder.rglob("events.out.tfevents.*")] == [folder / "tensorboard"]


def test_reference_log_probs_are_computed_once_for_a_model_and_data(tune, monkeypatch):
    computed = []
    score = base_logp.score_encoded
    monkeypatch.setattr(
        base_logp, "score_encoded", lambda *args, **options: computed.append(len(args[1])) or score(*args, **options)
    )
    whole = tune(loss="dpo")
    assert computed == [len(TRAIN) + len(EVAL)]
    assert timeless(tune(loss="dpo", resume=True).run) == timeless(whole.run)
    assert len(computed) == 1


@pytest.mark.parametrize("change", ["model", "data", "precision"])
def test_kept_log_probs_of_another_model_data_or_precision_are_not_taken(base, tmp_path, change):
    model, tokenizer = load_model(base)
    encoded = encode_sets(tokenizer, TRAIN)
    scorer = SetScorer(model)
    base_logp.reference_logp(scorer, encoded, range(8), tmp_path / "kept.npz")
    if change == "model":
        with torch.no_grad():
            model.transformer.ln_f.bias[3] += 0.1
    if change == "data":
        encoded[2] = encoded[3]
    if change == "precision":
        scorer = SetScorer(model, precision="bf16")
    found = base_logp.reference_logp(scorer, encoded, range(8), tmp_path / "kept.npz")
    assert torch.equal(found, score_encoded(scorer, encoded))


def test_in_bf16_the_model_computes_coarsely_and_the_loss_does_not(tune, base, done):
    half = tune(loss=DPO(pair=First()), precision="bf16").run
    # Policy and reference are both coarse, alike but for what rounding in another batch does: the loss starts at log 2.
    assert abs(half.log[0]["loss"] - math.log(2)) <= 1e-3
    assert 1e-4 < abs(half.before["chosen"] - done.run.before["chosen"]) < 1
    model, tokenizer = load_model(base)
    batch = collate(encode_sets(tokenizer, TRAIN))
    assert SetScorer(model, precision="bf16")(**batch).dtype == torch.float64


def test_a_checkpoint_is_saved_as_often_as_asked(tune):
    folder = tune(loss="dpo", steps=6, save_every=2).folder
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["checkpoint-4", "checkpoint-6"]


def test_resume_says_what_it_passes_over_and_where_it_goes_on(tune, whole, cut):
    (cut / "checkpoints" / "checkpoint-4" / "trainer_state.json").write_text('{"global_st')
    with pytest.warns(Note) as noted:
        resumed = tune("cut", loss="dpo", steps=4, resume=True)
    passed_over = "checkpoint-4 was not written to its end, or is damaged: it is passed over"
    assert [str(each.message) for each in noted] == [passed_over, "going on from checkpoint-3"]
    assert weights(cut) == weights(whole.folder)
    assert timeless(resumed.run) == timeless(whole.run)


def share_of_short_answers(model, tokenizer):
    """Return the share of held-out prompts whose greedy answer ends and is short, by transformers' own way."""
    right = []
    for one in EVAL:
        prompt = tokenizer(one.prompt, return_tensors="pt")
        with torch.no_grad():
            ids = model.generate(**prompt, max_length=64, do_sample=False)[0, prompt["input_ids"].shape[1] :].tolist()
        right.append(ids[-1] == tokenizer.eos_token_id and len(tokenizer.decode(ids[:-1])) < 6)
    return np.mean(right)


def test_the_greedy_answers_are_judged_before_and_after(tmp_path, monkeypatch):
    base = save_tiny(tmp_path / "base", seed=2)
    model, tokenizer = load_model(base)
    with torch.no_grad():  # many of its answers end
        model.transformer.ln_f.bias += 2 * model.transformer.wte.weight[0]
    model.save_pretrained(base)
    (tmp_path / "judges.py").write_text("def short(prompt, answer):\n    return len(answer) < 6\n")
    monkeypatch.chdir(tmp_path)
    options = {"verifier": "judges:short", **QUICK, "answers": len(EVAL), "lr": 1e-2}
    done = finetune(loss="dpo", model=base, output=tmp_path / "run", **options)
    assert done.run.before["right"] == share_of_short_answers(model, tokenizer)
    assert done.run.after["right"] == share_of_short_answers(done.model, tokenizer)
    assert 0 < done.run.before["right"] != done.run.after["right"]


def test_the_defaults_teach_the_tiny_model_to_answer_more_questions_of_its_world(tmp_path):
    world = Path(__file__).parents[2] / "data" / "world"
    options = {"data": world / "train.jsonl", "eval": read_sets(world / "test.jsonl")[:120], "verifier": "world"}
    options |= {"device": "cpu", "progress": False}
    run = finetune(loss="dpo", output=tmp_path / "run", **options).run
    assert run.before["right"] + 0.15 <= run.after["right"]
    assert run.intervals["change"]["right"][0] > 0
    assert run.before["kl"] == 0.0 < run.after["kl"]


def test_a_verifier_that_is_not_there_is_refused_before_any_work(tune, tmp_path):
    with pytest.raises(ValueError, match="verifier 'no:where' cannot be had"):
        tune(loss="dpo", verifier="no:where")
    assert not (tmp_path / "run").exists()


def test_sets_that_two_processes_cannot_share_are_refused(tune, tmp_path, monkeypatch):
    two = contextlib.nullcontext((0, 2, "cpu", lambda: None))
    monkeypatch.setattr(finetuning, "processes_of", lambda device: two)
    with pytest.raises(ValueError, match="sets_per_step must be a multiple of the 2 processes, not 3"):
        tune(loss="dpo", sets_per_step=3)
    assert not (tmp_path / "run").exists()


def test_a_read_only_folder_is_refused_before_any_work(tune, tmp_path, monkeypatch):
    # The superuser may write anywhere, so the answer of the system is replaced.
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(tmp_path))
    with pytest.raises(PermissionError, match=r"output .* cannot be written: .* is read-only for you"):
        tune(loss="dpo")


@pytest.mark.skipif("MAPL_REAL_SETS" not in os.environ, reason="MAPL_REAL_SETS names no file of real sets")
def test_real_sets_train(tune):
    with pytest.warns(Note, match="cut to the model's context of 64 tokens"):
        run = tune(loss="DPO(pair=Smooth(tau=5.0))", data=os.environ["MAPL_REAL_SETS"], eval=None, steps=1).run
    assert all(math.isfinite(value) for value in run.after.values())


def test_measures_leave_no_graph():
    logp = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    sets = ScoredSets.unchecked(logp, torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([[1, -1]]))
    assert not any(value.requires_grad for value in measures(DPO(), sets).values())


def changed(base, folder):
    """Write the base with one weight changed."""
    model, tokenizer = load_model(base)
    with torch.no_grad():
        model.transformer.ln_f.bias[3] += 0.1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_resume_with_other_weights_is_refused_before_anything_is_written(tune, base, cut, tmp_path):
    model, before = changed(base, tmp_path / "model"), contents(cut)
    with pytest.raises(ValueError, match=r"was started with other weights: .* had sha256 .*, those of .* have"):
        tune("cut", loss="dpo", steps=4, model=model, resume=True)
    assert contents(cut) == before


def test_resume_with_the_same_weights_under_another_name_goes_on(tune, base, whole, cut, tmp_path):
    shutil.rmtree(cut / "checkpoints" / "checkpoint-4")
    with pytest.warns(Note, match="going on from checkpoint-3"):
        resumed = tune("cut", loss="dpo", steps=4, model=shutil.copytree(base, tmp_path / "moved"), resume=True)
    assert weights(cut) == weights(whole.folder)
    assert resumed.run.weights_checksum == whole.run.weights_checksum == weights_checksum(load_model(base)[0])


def test_a_base_that_changes_under_a_run_is_not_compared_with(tune, base, tmp_path, monkeypatch):
    model = shutil.copytree(base, tmp_path / "model")
    train = finetuning._train
    monkeypatch.setattr(finetuning, "_train", lambda *args: (train(*args), changed(base, model))[0])
    with pytest.raises(ValueError, match=r"weights of the model .* have changed since the run began.*checkpoint-2"):
        tune(loss="dpo", model=model)
    assert not read_run(tmp_path / "run").finished


def test_a_second_run_into_the_folder_of_one_that_works_is_refused_and_harms_nothing(tune, tmp_path, monkeypatch):
    refused, train = [], finetuning._train

    def second(*args):
        for options in ({}, {"resume": True}, {"output": tmp_path / "link"}):
            with pytest.raises(BlockingIOError, match="is being written by another process") as caught:
                tune(loss="cpo", **options)
            refused.append(caught.value)
        return train(*args)

    (tmp_path / "link").symlink_to(tmp_path / "run")
    monkeypatch.setattr(finetuning, "_train", second)
    done = tune(loss="dpo")
    assert len(refused) == 3
    assert done.run.finished
    assert read_run(done.folder) == done.run
    assert not list(tmp_path.glob("*.lock"))


def test_a_refused_run_leaves_no_folder_on_the_way_to_its_own(tune, tmp_path):
    for options in (
        {"data": "no.jsonl"},
        {"model": tmp_path / "none"},
        {"truncate": "error", "data": [LONG] * 2 + TRAIN},
    ):
        with pytest.raises((OSError, ValueError)):
            tune("down/run", loss="dpo", **options)
        assert list(tmp_path.iterdir()) == []


def test_a_run_in_a_folder_of_a_folder_that_is_not_there_is_refused(tune, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*such' to make dir/run in"):
        tune("no/such/dir/run", loss="dpo")
    assert list(tmp_path.iterdir()) == []


LONG = PreferenceSet("p" * 70, ["a"], ["b"])


def test_a_model_that_is_refused_leaves_no_output_folder(tune, base, tmp_path):
    model = shutil.copytree(base, tmp_path / "model")
    (model / "model.safetensors").unlink()
    with pytest.raises(OSError, match="holds no weights"):
        tune(loss="dpo", model=model)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "tokenizer.json"])
def test_resume_goes_on_from_the_whole_checkpoint_next_to_a_damaged_one(tune, whole, cut, name):
    damaged = cut / "checkpoints" / "checkpoint-4" / name
    damaged.write_bytes(damaged.read_bytes()[:-50])
    with pytest.warns(Note, match="checkpoint-4 was not written to its end, or is damaged"):
        tune("cut", loss="dpo", steps=4, resume=True)
    assert weights(cut) == weights(whole.folder)


@pytest.mark.parametrize(("name", "said"), [("probes.npz", True), ("reference.npz", False)])
@pytest.mark.parametrize("content", [b"", b"PK damaged"])
def test_resume_makes_again_what_is_kept_of_probes_and_reference_where_it_is_damaged(
    tune, whole, cut, name, said, content
):
    (cut / name).write_bytes(content)
    shutil.rmtree(cut / "checkpoints" / "checkpoint-4")
    with pytest.warns(Note) as noted:
        tune("cut", loss="dpo", steps=4, resume=True)
    assert any("probes.npz cannot be read" in str(each.message) for each in noted) == said
    assert weights(cut) == weights(whole.folder)


@pytest.mark.parametrize("most", [0, 1000, 20_000, 100_000])
def test_a_disk_that_takes_no_more_is_one_line_with_the_folder_and_the_way_on(tune, tmp_path, most):
    with pytest.raises(OSError, match="File too large") as caught, small_files(most):
        tune(loss="dpo", steps=2, save_every=1)
    assert caught.value.filename == str(tmp_path / "run")
    begun = (tmp_path / "run" / "run.json").exists()
    assert ("when there is room, the same command with --resume goes on from" in caught.value.strerror) == begun
    if begun:
        assert tune(loss="dpo", steps=2, save_every=1, resume=True).run.finished


def test_a_disk_that_is_full_at_the_last_write_goes_on_from_the_last_checkpoint(tune, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(finetuning, "make_readable", lambda path: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError, match=r"No space left on device; when there is room, .* goes on from checkpoint-2"):
            tune(loss="dpo")
    assert tune(loss="dpo", resume=True).run.finished


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": DPO}, r"loss must be a loss, not its class: write DPO\(\)"),
        ({"loss": None}, "loss must be a loss, such as .*, not of type NoneType"),
        ({"data": None}, "data: source must be .*, not None"),
        ({"data": PreferenceSet}, "data: source must be"),
        (
            {"data": datasets.DatasetDict(train=TABLE, test=TABLE)},
            r"data must be one table, not several \(train, test\)",
        ),
        ({"eval": {"train": TRAIN}}, "eval must be one table"),
        ({"data": pandas.DataFrame({"prompt": ["p"]})}, r"data must not be a DataFrame: give data\.to_dict"),
        ({"data": iter(())}, "data must be a file, .* not an empty one"),
        ({"data": [*TRAIN, "text"]}, "data must be a file, .* not one with 'text' in it"),
        ({"output": None}, "output must be the name of a folder, not None"),
        ({"output": b"run"}, "output must be the name of a folder, not b'run'"),
        ({"model": random_gpt2()}, "model must be the name of a folder, not a GPT2LMHeadModel: save it by"),
        ({"verifier": print}, "verifier must be 'world', 'exact' or 'module:function'"),
    ],
)
def test_an_argument_of_another_kind_is_named_in_one_line(tune, tmp_path, options, message):
    with pytest.raises(TypeError, match=message) as caught:
        tune(**{"loss": "dpo", **options})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["data", "eval"])
def test_a_file_that_is_not_there_is_named_with_its_argument(tune, tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"{name} cannot be read: No such file or directory: 'nope.jsonl'"):
        tune(**{"loss": "dpo", name: "nope.jsonl"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [
    {"steps": np.float64(3.0)}, {"steps": "3"}, {"steps": True}, {"seed": None}, {"sets_per_step": None},
    {"lr": "1e-4"}, {"lr": 1j}, {"save_every": 1.5}, {"chat": "yes"}, {"resume": 1}, {"device": None},
    {"precision": ["bf16"]}, {"progress": "no"},
])  # fmt: skip
def test_a_number_or_choice_of_another_kind_is_named(tune, tmp_path, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        tune(**{"loss": "dpo", **options})
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_numpy_are_numbers(tune):
    options = {"steps": 1, "sets_per_step": 4, "seed": 1, "answers": 1, "save_every": 1}
    plain = tune("plain", loss="dpo", lr=0.001, **options)
    numpy = tune(
        "numpy", loss="dpo", lr=np.float64(0.001), **{name: np.int64(value) for name, value in options.items()}
    )
    assert timeless(numpy.run) == timeless(plain.run)


def test_tables_and_generators_are_data_like_files(tune):
    plain = tune("plain", loss="dpo", steps=1)
    rows = [{"prompt": one.prompt, "positives": one.positives, "negatives": one.negatives} for one in SETS]
    table, held_out = (datasets.Dataset.from_list(part) for part in (rows[:8], rows[8:]))
    for name, data, eval in (("table", table, held_out), ("yielded", iter(TRAIN), (one for one in EVAL))):
        assert timeless(tune(name, loss="dpo", steps=1, data=data, eval=eval).run) == timeless(plain.run)


def test_a_tau_anneals_from_its_start_in_the_first_step_to_its_stop_in_the_last(tune):
    rule = Anneal(start=1.0, stop=8.0)
    done = tune(loss=DPO(beta=1.0, pair=Smooth(tau=rule)), steps=4, sets_per_step=8, lr=3e-3)
    assert [round(entry["negative_tau"], 6) for entry in done.run.log] == [1.0, 2.0, 4.0, 8.0]
    plain = {tau: tune(f"tau{tau}", loss=DPO(beta=1.0, pair=Smooth(tau=tau)), steps=1).run for tau in (1.0, 8.0)}
    assert done.run.before["margin"] == plain[1.0].before["margin"] != plain[8.0].before["margin"]
    rows = by_hand(done.model, done.tokenizer, EVAL)
    assert_close(np.float64(done.run.after["margin"]), ratio_margin(rows, done, tau=8.0), k=0, atol=5e-5)


def ratio_margin(rows, done, tau):
    """Return the mean smooth margin of log-ratios, from the definition."""
    base = by_hand(*load_model(done.run.arguments["model"]), EVAL)
    margins = []
    for (label, logp), (_, ref) in zip(rows, base, strict=True):
        r = logp - ref
        up, down = r[label > 0], r[label < 0]
        margins.append(-np.log(np.exp(-tau * up).sum()) / tau - np.log(np.exp(tau * down).sum()) / tau)
    return np.mean(margins)


def test_a_single_step_has_the_tau_of_the_start(tune):
    run = tune(loss="DPO(pair=Smooth(tau=Anneal(start=1, stop=8)))", steps=1).run
    assert run.log[0]["negative_tau"] == 1.0


def test_the_explorer_shows_the_tau_of_every_step_as_the_training_had_it(tune):
    done = tune(loss="DPO(pair=Smooth(tau=Anneal(start=1, stop=8)))", steps=5, sets_per_step=4)
    history = TrainingExplorer(done.folder, curves="tau").reading.history
    taus = [loss.pair.tau for loss in history.losses]
    assert taus[:-1] == [pytest.approx(entry["negative_tau"], rel=1e-12) for entry in done.run.log]
    assert taus[-1] == 8.0  # of the model after the last step, as in the table


@pytest.mark.parametrize("lr", [1e-3, 1e38])
def test_weights_that_become_nan_in_the_last_step_are_blamed_on_the_step_and_the_loss(tune, tmp_path, lr):
    message = r"the weights became (NaN|infinite) at step 1 under DPO\(beta=1e\+300"
    with pytest.raises(FloatingPointError, match=message):
        tune(loss="DPO(beta=1e300)", steps=1, lr=lr)
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))


def test_resume_from_a_checkpoint_with_a_nan_is_refused_by_its_name(tune, cut):
    path = cut / "checkpoints" / "checkpoint-4"
    model, _ = load_model(path)
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = math.nan
    model.save_pretrained(path)
    with pytest.raises(ValueError, match=r"the weights in '.*checkpoint-4' are not finite, so the run cannot go on"):
        tune("cut", loss="dpo", steps=4, resume=True)
