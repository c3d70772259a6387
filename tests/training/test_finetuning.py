"""The trainer minimises the loss that it is given, and repeats itself bit for bit."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import save_tiny
from tuned_runs import EVAL, QUICK, SETS, TRAIN, by_hand, measures_by_hand, timeless, weights

from conftest import assert_close
from mapl_explore.data import PreferenceSet, read_sets
from mapl_explore.losses import DPO, LOSSES, Anneal, First, Hardest, MaxMin, ScoredSets, Smooth
from mapl_explore.losses.measures import measures
from mapl_explore.models import recomputing
from mapl_explore.models.encoding import collate, encode_sets
from mapl_explore.models.loading import load_model
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_encoded
from mapl_explore.notes import Note
from mapl_explore.runs.measured import read_measured
from mapl_explore.runs.probes import read_probes
from mapl_explore.runs.record import fingerprint, read_run
from mapl_explore.training import base_logp, evaluation, schedule, steps
from mapl_explore.training.finetuning import finetune


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


def test_what_each_held_out_set_adds_is_kept(done):
    by_set, _ = read_measured(done.folder)
    assert list(by_set) == ["hard_margin", "accuracy", "chosen_ratio", "rejected_ratio", "kl", "entropy"]
    assert [len(values) for values in by_set.values()] == [len(EVAL)] * 4 + [2] * 2  # it was asked two questions
    for name in list(by_set)[:4]:
        assert_close(np.float64(by_set[name].mean()), done.run.after[name], k=4, dtype="float32")


def test_sets_of_plain_text_are_recorded_as_without_a_template_which_runs_of_earlier_versions_were(done):
    assert done.run.arguments["chat"] == "never"


def test_the_first_step_of_dpo_is_log_2(tune):
    run = tune(loss=DPO(pair=First())).run
    assert abs(run.log[0]["loss"] - math.log(2)) <= 1e-6
    assert abs(run.before["loss"] - math.log(2)) <= 1e-6
    assert abs(run.log[1]["loss"] - math.log(2)) > 1e-3


def test_a_loss_of_rewards_reads_the_scores_of_the_sets(tune):
    graded = [PreferenceSet("a", ["b", "c"], ["d", "e"], scores=[4.0, 3.0, 2.0, -1.0])] * 4
    run = tune(loss="plackett-luce", data=graded, eval=graded).run
    # All log-ratios are 0: each response against the 3, 2, 1 and 0 below it; by the labels it were 2 log 3.
    assert abs(run.log[0]["loss"] - math.log(24)) <= 1e-6
    assert abs(run.before["loss"] - math.log(24)) <= 1e-6

    assert "margin" not in run.log[0].keys() | run.before.keys() | run.after.keys()
    assert "own margin" not in run.table


def test_a_threshold_tells_the_sides_of_scored_completions_and_is_in_the_record(tune, tmp_path):
    lines = [{"prompt": word, "completions": ["a", "b", "c", "d"], "scores": [4, 3, 2, 1]} for word in "pq"]
    (tmp_path / "scored.jsonl").write_text("\n".join(map(json.dumps, lines)))
    given = {"loss": "dpo-hardest", "data": tmp_path / "scored.jsonl", "eval": tmp_path / "scored.jsonl"}
    run = tune(**given, threshold=3).run
    sides = [PreferenceSet(word, ["a", "b"], ["c", "d"], [4, 3, 2, 1]) for word in "pq"]
    assert run.data["train"] == fingerprint(sides)
    assert run.arguments["threshold"] == 3.0
    with pytest.raises(ValueError, match=r"was started with threshold 3\.0, not 2\.0"):
        tune(**given, threshold=2, resume=True)
    with pytest.raises(ValueError, match=r"test\.jsonl: threshold belongs to scored completions, not to .* 'sets'"):
        tune("other", **given | {"eval": "data/world/test.jsonl"}, threshold=3)


@pytest.mark.parametrize(("threshold", "held"), [(-5.0, 0), (500.0, 2)])
def test_a_beta_that_follows_the_margins_is_logged_at_each_step(tune, threshold, held):
    done = tune(loss=f"DPO(beta=DynamicBeta(beta=0.5, alpha=0.2, threshold={threshold}), pair=First())")
    run = done.run
    betas = [entry["beta"] for entry in run.log]
    for entry in run.log:
        assert abs(entry["beta"] - max(1e-3, 0.5 * (1 + 0.2 * (entry["margin"] - threshold)))) <= 1e-6
    assert run.before["beta"] == pytest.approx(max(1e-3, 0.5 * (1 - 0.2 * threshold)))
    line = f"In 2 steps beta was {min(betas):.3g} to {max(betas):.3g}; in {held} of them it was held at its floor."
    for text in (run.table, (done.folder / "README.md").read_text()):
        assert line in text
    assert "beta of all these sets" in run.table


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
    monkeypatch.setattr(schedule, "BATCH_TOKENS", 1)
    parts = tune("parts", loss=LOSSES["dpo-smooth"])
    for one, other in zip(whole.run.log, parts.run.log, strict=True):
        # Rounding in the gradient, through the sign-like first steps of Adam, reaches the loss of the second step.
        assert abs(one["loss"] - other["loss"]) <= 1e-5
        assert abs(one["grad_norm"] - other["grad_norm"]) <= 1e-4 * one["grad_norm"]


def test_the_same_seed_gives_the_same_bits_also_where_questions_are_answered_on_the_way(tune, done):
    again = tune(loss="dpo", answers=2, verifier="exact", answer_at=[1])
    assert weights(again.folder) == weights(done.folder)
    first, second = timeless(again.run).log
    assert [{name: first[name] for name in first if name not in ("right", "kl")}, second] == timeless(done.run).log
    assert again.run.after == done.run.after | {"right": first["right"]}
    assert again.run.arguments == done.run.arguments | {"verifier": "exact", "answer_at": [1]}


def test_another_seed_gives_another_order_and_draws_other_intervals(tune, monkeypatch):
    drawn = []
    monkeypatch.setattr(steps, "intervals", lambda before, after, seed: drawn.append(seed) or {})
    one, other = tune("one", loss="maxneg-minpos"), tune("other", loss="maxneg-minpos", seed=1)
    assert one.run.log[0]["loss"] != other.run.log[0]["loss"]
    assert drawn == [0, 1]


def test_every_set_is_used_once_before_any_is_used_twice():
    order = schedule.schedule(5, 12, seed=0)
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5))
    assert len(order) == 12


def test_the_trainer_takes_the_sets_in_the_order_drawn(tune, base):
    run = tune(loss="maxneg-minpos", sets_per_step=1, steps=8, seed=5).run
    first = TRAIN[schedule.schedule(len(TRAIN), 8, seed=5)[0]]
    expected = measures_by_hand(by_hand(*load_model(base), [first]), tau=1.0)
    assert_close(np.float64(run.log[0]["chosen"]), expected["chosen"], k=0, atol=2e-5)


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


@pytest.mark.parametrize("change", ["model", "data", "rows", "precision"])
def test_kept_log_probs_of_another_model_data_or_precision_are_not_taken(base, tmp_path, change):
    model, tokenizer = load_model(base)
    encoded = encode_sets(tokenizer, TRAIN)
    scorer = SetScorer(model)
    base_logp.reference_logp(scorer, encoded, range(2 if change == "rows" else 8), tmp_path / "kept.npz")
    if change == "model":
        with torch.no_grad():
            model.transformer.ln_f.bias[3] += 0.1
    if change == "data":
        encoded[2] = encoded[3]
    if change == "precision":
        scorer = SetScorer(model, precision="bf16")
    found = base_logp.reference_logp(scorer, encoded, range(8), tmp_path / "kept.npz")
    assert torch.equal(found, score_encoded(scorer, encoded))


def test_what_is_measured_is_as_exact_as_ever_where_training_computes_in_bf16(tune, monkeypatch):
    trained = {"loss": "dpo", "lr": 1e-12, "steps": 2, "patience": 1, "save_every": 1, "answers": 2}
    half, full = tune("half", **trained, precision="bf16"), tune("full", **trained)
    first, second = (read_probes(run.folder).sets.logp[0] for run in (half, full))
    np.testing.assert_array_equal(first, second)  # the base is read in float32
    assert half.run.before == pytest.approx(full.run.before, abs=1e-6)  # the sets were scored in other passes
    # Weights that stay: what is left is what Adam's steps of 1e-12 do, and nothing of bfloat16.
    for name in ("hard_margin", "chosen", "kl"):
        assert abs(half.run.after[name] - half.run.before[name]) <= 1e-4
    assert abs(half.run.evaluations[0]["eval_hard_margin"]) <= 1e-4
    probes = read_probes(half.folder).sets
    assert np.abs(np.asarray(probes[-1].logp) - np.asarray(probes[0].logp)).max() <= 1e-4
    # A run that goes on has them from its files.
    monkeypatch.setattr(base_logp, "score_encoded", None)
    assert timeless(tune("half", **trained, precision="bf16", resume=True).run) == timeless(half.run)


def test_in_bf16_the_model_computes_coarsely_and_the_loss_does_not(tune, base, done):
    half = tune(loss=DPO(pair=First()), precision="bf16").run
    # Policy and reference are both coarse, alike but for what rounding in another batch does: the loss starts at log 2.
    assert abs(half.log[0]["loss"] - math.log(2)) <= 1e-3
    assert 1e-4 < abs(half.log[0]["chosen"] - done.run.log[0]["chosen"]) < 1
    model, tokenizer = load_model(base)
    batch = collate(encode_sets(tokenizer, TRAIN))
    assert SetScorer(model, precision="bf16")(**batch).dtype == torch.float64


def test_checkpointing_ends_with_the_same_bits(tune, monkeypatch):
    calls, checkpoint = [], recomputing.checkpoint
    monkeypatch.setattr(
        recomputing, "checkpoint", lambda *args, **options: calls.append(1) or checkpoint(*args, **options)
    )
    plain = tune("plain", loss="dpo")
    assert not calls
    again = tune("again", loss="dpo", checkpointing=True)
    assert len(calls) == 2 * 2  # steps, layers: what is only measured keeps nothing anyway
    assert weights(again.folder) == weights(plain.folder)
    assert timeless(again.run) == timeless(plain.run)


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
    done = finetune(loss="dpo", model=base, output=tmp_path / "run", answer_at=[2, 1], **options)
    assert done.run.before["right"] == share_of_short_answers(model, tokenizer)
    assert done.run.after["right"] == share_of_short_answers(done.model, tokenizer)
    assert 0 < done.run.before["right"] != done.run.after["right"]
    before, after, along = done.run.before["right"], done.run.after["right"], done.run.right_along
    assert along == {0: before, 1: done.run.log[0]["right"], 2: after} == read_run(done.folder).right_along
    by_set, _ = read_measured(done.folder)
    assert by_set["sets_read"].tolist() == [0, 4, 8]
    assert by_set["right_along"].mean(1).tolist() == [*along.values()]
    for name in ("right", "kl"):  # the last point is the end of the run
        np.testing.assert_array_equal(by_set[f"{name}_along"][-1], by_set[name])
    assert done.run.log[1]["kl"] == done.run.after["kl"] != done.run.log[0]["kl"]
    assert not by_set["kl_along"][0].any()
    said = f"Right, by steps: {before:.3f} after 0, {along[1]:.3f} after 1, {after:.3f} after 2."
    assert done.run.table.splitlines()[-1] == said


def test_the_defaults_teach_the_tiny_model_to_answer_more_questions_of_its_world(tmp_path):
    world = Path(__file__).parents[2] / "data" / "world"
    options = {"data": world / "train.jsonl", "eval": read_sets(world / "test.jsonl")[:120], "verifier": "world"}
    options |= {"device": "cpu", "progress": False}
    run = finetune(loss="dpo", output=tmp_path / "run", **options).run
    assert run.before["right"] + 0.15 <= run.after["right"]
    assert run.intervals["change"]["right"][0] > 0
    assert run.before["kl"] == 0.0 < run.after["kl"]


def test_measures_leave_no_graph():
    logp = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    sets = ScoredSets.unchecked(logp, torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([[1, -1]]))
    assert not any(value.requires_grad for value in measures(DPO(), sets).values())


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


@pytest.mark.parametrize("lr", [1e-3, 1e38])
def test_weights_that_become_nan_in_the_last_step_are_blamed_on_the_step_and_the_loss(tune, tmp_path, lr):
    message = r"the weights became (NaN|infinite) at step 1 under DPO\(beta=1e\+300"
    with pytest.raises(FloatingPointError, match=message):
        tune(loss="DPO(beta=1e300)", steps=1, lr=lr)
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))


def test_a_batch_size_is_the_most_that_any_pass_has_and_changes_nothing_else(tune, monkeypatch):
    seen, forward, draw = [], SetScorer.forward, evaluation.token_batches
    monkeypatch.setattr(SetScorer, "forward", lambda self, **b: seen.append(len(b["label"])) or forward(self, **b))

    def drawn(*args, **options):
        for rows, responses in draw(*args, **options):
            seen.append(len(rows))
            yield rows, responses

    monkeypatch.setattr(evaluation, "token_batches", drawn)
    whole = tune("whole", loss="dpo", steps=2, sets_per_step=4, answers=3)
    assert max(seen) > 2
    seen.clear()
    small = tune("small", loss="dpo", steps=2, sets_per_step=4, answers=3, batch_size=2)
    assert {*seen} <= {1, 2}
    for one, other in zip(whole.run.log, small.run.log, strict=True):
        assert abs(one["loss"] - other["loss"]) <= 1e-4  # Adam's first steps enlarge what rounding does
