"""A comparison: runs are shared and gone on with, one failure leaves the rest, and nothing leaks into the test."""

import json
import math
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from patience import HANG
from small_plans import EVAL
from tiny_models import save_tiny
from tuned_runs import SETS

from mapl_explore import compare, write_sets
from mapl_explore.cli.main import main
from mapl_explore.data import PreferenceSet, prompt_text
from mapl_explore.data.world import world_sets
from mapl_explore.experiments import jobs
from mapl_explore.experiments.comparison import compared, workbench
from mapl_explore.experiments.jobs import job_of
from mapl_explore.experiments.outlook import outlook
from mapl_explore.experiments.plan import read_plan
from mapl_explore.experiments.questions import all_pairs, divided, drawn
from mapl_explore.experiments.reaching import Reached
from mapl_explore.experiments.report import Row
from mapl_explore.files import sole_writer
from mapl_explore.notes import Note
from mapl_explore.runs.measured import read_measured
from mapl_explore.runs.record import read_run
from mapl_explore.training import base_logp, baseline, finetuning, rounds

ALONG = {"answers": 2, "answer_at": [1], "verifier": "exact"}


@pytest.fixture
def runs_done(monkeypatch):
    """The settings of every run that is begun."""
    begun = []
    real = finetuning.finetune
    monkeypatch.setattr(finetuning, "finetune", lambda settings: (begun.append(settings), real(settings))[1])
    return begun


def test_a_plan_is_compared_and_a_changed_arm_alone_is_run_again(plan, tmp_path, runs_done):
    found = compared(plan, output=tmp_path / "out", progress=False)
    assert [row.arm for row in found.rows] == ["one", "other"]
    assert [(row.seeds, row.verdict) for row in found.rows] == [(2, "baseline"), (2, "too few seeds for a claim")]
    assert not found.failures
    assert len(runs_done) == 4
    assert {path.name for path in found.folder.iterdir()} == {"report.json", "table.txt", "forest.svg", "forest.png"}
    report = json.loads((found.folder / "report.json").read_text())
    assert [arm["mean"] for arm in report["arms"]] == [row.mean for row in found.rows]
    # One step of two sets: the response tokens of both, with their ends.
    assert all(0 < row.response_tokens < 2 * 64 * 4 for row in found.rows)
    for row in found.rows:
        folders = [tmp_path / "out" / "runs" / name for name in row.runs]
        means = [read_run(folder).after["accuracy"] for folder in folders]
        assert row.mean == pytest.approx(sum(means) / len(means), abs=1e-12)
        assert all(len(read_measured(folder)[0]["accuracy"]) == 3 for folder in folders)
    plan["arms"]["other"]["loss"] = "DPO(pair=Smooth(tau=2.0))"
    assert "6 runs" not in outlook(workbench(plan, tmp_path / "out"), 1)
    compared(plan, output=tmp_path / "out", progress=False)
    assert [settings.loss.pair.tau for settings in runs_done[4:]] == [2.0, 2.0]


def test_runs_with_one_base_and_the_same_data_share_what_it_makes_of_them(plan, tmp_path, monkeypatch):
    plan["common"] |= {"answers": 3, "verifier": "exact"}
    plan["seeds"] = [0, 1]
    scored, responded = [], []
    score, respond = base_logp.score_encoded, baseline.Responses.of
    monkeypatch.setattr(base_logp, "score_encoded", lambda *args, **more: scored.append(1) or score(*args, **more))
    monkeypatch.setattr(baseline.Responses, "of", lambda *args: responded.append(1) or respond(*args))
    found = compared(plan, output=tmp_path / "out", progress=False)
    # Each seed draws its own order of sets and its own responses; both arms have it.
    assert len(scored) == 2
    assert len(responded) == 2 + 4  # of the base, and of what each run has trained
    for row in found.rows:
        for seed, name in zip(plan["seeds"], row.runs, strict=True):
            run = read_run(tmp_path / "out" / "runs" / name)
            [job] = [job for job in workbench(plan, tmp_path / "out").all_jobs if job.folder.name == name]
            again = finetuning.finetune(replace(job.settings, output=tmp_path / f"{row.arm}-{seed}"))
            assert (run.before, run.after) == (again.run.before, again.run.after)


@pytest.mark.parametrize("moment", ["_begin", "train", "finish"])
def test_a_comparison_that_was_killed_goes_on_to_the_same_result(plan, tmp_path, monkeypatch, moment):
    whole = compared(plan, output=tmp_path / "whole", progress=False)
    calls = []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    place = "mapl_explore.training.preparing" if moment == "_begin" else "mapl_explore.training.finetuning"
    with monkeypatch.context() as patched:
        module = __import__(place, fromlist=[moment])
        real = getattr(module, moment)
        patched.setattr(module, moment, killed)
        with pytest.raises(KeyboardInterrupt):
            compared(plan, output=tmp_path / "out", progress=False)
    assert "1 are there" in outlook(workbench(plan, tmp_path / "out"), 1)
    found = compared(plan, output=tmp_path / "out", progress=False)
    assert [(row.mean, row.interval, row.runs) for row in found.rows] == [
        (row.mean, row.interval, row.runs) for row in whole.rows
    ]
    assert not list((tmp_path / "out" / "runs").glob("*/checkpoints"))


def test_a_model_that_is_cut_short_and_an_output_that_is_a_file_are_refused_before_any_run(plan, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(FileExistsError, match=r"output '.*file' is a file, not a folder"):
        compared(plan, output=file, progress=False)
    weights = save_tiny(tmp_path / "short") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    plan["common"]["model"] = str(tmp_path / "short")
    with pytest.raises(OSError, match="its weights are damaged or cut short"):
        compared(plan, output=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["model", "reference"])
def test_a_model_that_is_not_there_is_refused_before_any_run(plan, tmp_path, name):
    missing = str(tmp_path / "no_model")
    plan["arms"]["other"][name] = missing
    with pytest.raises(OSError, match=re.escape(missing)):
        compared(plan, output=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_the_failure_of_one_arm_leaves_the_others(plan, tmp_path, monkeypatch):
    real = finetuning.finetune

    def failing(settings):
        if settings.seed == 1 and "Smooth" in repr(settings.loss):
            raise FloatingPointError("the loss became nan\nat step 3")
        return real(settings)

    monkeypatch.setattr(finetuning, "finetune", failing)
    found = compared(plan, output=tmp_path / "out", progress=False)
    assert [row.seeds for row in found.rows] == [2, 1]
    [failure] = found.failures
    assert str(failure).startswith("other, lr 0.001, seed 1 failed: the loss became nan at step 3 (")
    assert "1 of 2" in found.table
    assert str(failure) in found.table
    with pytest.warns(Note, match="seed 1 failed"):
        frame = compare(plan, output=tmp_path / "out", progress=False)
    assert list(frame.seeds) == [2, 1]
    assert not [name for name in frame if "80" in name]  # nor are there learning curves


def test_rates_are_chosen_on_other_questions_and_other_seeds_than_those_reported(plan, tmp_path, runs_done):
    plan |= {"lr": [1e-3, 1e-2], "rate_seeds": 1, "seeds": 1, "common": plan["common"] | ALONG, "measure": "accuracy"}
    found = compared(plan, output=tmp_path / "out", progress=False)
    choosing, reporting = runs_done[:4], runs_done[4:]
    asked = [{prompt_text(one.prompt) for run in runs for one in run.eval} for runs in (choosing, reporting)]
    assert all(asked)
    assert not asked[0] & asked[1]
    assert not {run.seed for run in choosing} & {run.seed for run in reporting}
    assert len(reporting) == 2
    for row in found.rows:
        runs = [run for run in choosing if repr(run.loss) == row.loss]
        means = {run.lr: read_run(run.output).after["accuracy"] for run in runs}
        assert row.lr == max(sorted(means), key=means.get)
        assert row.tried == {f"{lr:g}": [mean] for lr, mean in means.items()}
    # A learning curve is of no use where only the end of a run chooses; the random model is right nowhere.
    assert [run.answer_at for run in runs_done] == [()] * 4 + [(1,)] * 2
    assert [row.sets_to_80 for row in found.rows] == [Reached(None, None, 2)] * 2
    assert [re.split(" {2,}", line)[-2:] for line in found.table.splitlines()[1:4]] == [
        ["sets to 80 % [95 %]", "KL at 80 % [95 %]"],
        *[["more than 2", "-"]] * 2,
    ]
    report = json.loads((found.folder / "report.json").read_text())
    assert [Row.read(row) for row in report["arms"]] == found.rows
    frame = compare(plan, output=tmp_path / "out", progress=False)
    assert list(frame.sets_to_80) == [math.inf] * 2
    assert frame[["kl_at_80", "kl_at_80_low", "kl_at_80_high"]].isna().all(axis=None)


def test_the_division_is_by_prompt_and_the_same_whatever_the_order():
    sets = [PreferenceSet(f"p{i % 7}", [f"yes {i}"], ["no"]) for i in range(20)]
    validation, test = divided(sets)
    assert not {one.prompt for one in validation} & {one.prompt for one in test}
    assert len(validation) + len(test) == 20
    again = divided(sets[::-1])
    assert [set(part) for part in again] == [set(validation), set(test)]


def test_a_prompt_that_is_trained_on_and_asked_is_refused(plan, tmp_path):
    write_sets(tmp_path / "eval.jsonl", [*EVAL, SETS[0]])
    plan["common"]["eval"] = str(tmp_path / "eval.jsonl")
    with pytest.raises(ValueError, match="eval must hold no prompt of data; 'what comes after one"):
        compared(plan, output=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_arms_draw_the_same_sets_under_a_seed_and_noise_exchanges_a_share_of_them(plan):
    plan["arms"]["other"] |= {"sets": 8, "noise": 0.25}
    few, noisy = read_plan(plan).arms
    assert drawn(SETS, few, 3) == drawn(SETS, few, 3) != drawn(SETS, few, 4)
    more = drawn(SETS, noisy, 3)
    assert [one.prompt for one in more[:4]] == [one.prompt for one in drawn(SETS, few, 3)]
    clean = {one.prompt: one for one in SETS}
    changed = [one for one in more if one != clean[one.prompt]]
    assert len(changed) == 2
    assert all(one.positives == clean[one.prompt].negatives for one in changed)


def test_an_exploded_arm_has_the_pairs_of_the_sets_that_others_have(plan):
    plan["arms"]["one"]["noise"] = plan["arms"]["other"]["noise"] = 0.5
    plan["arms"]["other"]["exploded"] = True
    whole, exploded = read_plan(plan).arms
    sets, pairs = (drawn(SETS, arm, 3) for arm in (whole, exploded))
    assert len(pairs) == sum(len(one.positives) * len(one.negatives) for one in sets) > len(sets)
    assert [*dict.fromkeys(pair.prompt for pair in pairs)] == [one.prompt for one in sets]
    sides = {one.prompt: (set(), set()) for one in sets}
    for pair in pairs:
        [good], [bad] = pair.positives, pair.negatives
        sides[pair.prompt][0].add(good)
        sides[pair.prompt][1].add(bad)
    assert sides == {one.prompt: (set(one.positives), set(one.negatives)) for one in sets}
    scored = all_pairs(PreferenceSet("p", ["a", "b"], ["c"], scores=[3, 2, 1]))
    assert [pair.scores for pair in scored] == [(3, 1), (2, 1)]


def test_what_decides_a_run_decides_its_folder_and_nothing_else_does(plan, tmp_path):
    arm = read_plan(plan).arms[0].settings

    def name(settings=arm, train=SETS, held_out=EVAL):
        return job_of("any", settings, train, held_out, tmp_path).folder.name

    same = [name(replace(arm, device="auto")), name(replace(arm, save_every=1)), name(replace(arm, loss="dpo-hardest"))]
    assert set(same) == {name()}
    other = [replace(arm, seed=1), replace(arm, lr=1e-4), replace(arm, steps=2), replace(arm, loss="dpo")]
    other.append(replace(arm, **ALONG))
    names = [name(), *map(name, other), name(train=SETS[::-1]), name(held_out=EVAL[1:])]
    assert len(set(names)) == len(names)


def test_a_claim_may_be_decided_by_what_the_others_have_of_the_gradient(plan, tmp_path):
    claim = {name: "it" for name in ("id", "words", "source", "scale", "test")}
    claim["rule"] = {"arm": "other", "expected": "higher", "measure": "others"}
    found = compared(plan | {"claims": [claim]}, output=tmp_path / "out", progress=False)
    said = json.loads((found.folder / "report.json").read_text())["claims"]["it"]
    # At the first step all log-ratios are 0: the hardest has all of the gradient, each of two smoothed ones a half.
    hardest, smooth = ([read_run(tmp_path / "out" / "runs" / name).others for name in row.runs] for row in found.rows)
    assert hardest == [0.0, 0.0]
    assert said["difference"] == pytest.approx(sum(smooth) / 2, abs=1e-12)
    assert said["difference"] == pytest.approx(0.5, abs=1e-6)


def test_the_name_of_a_folder_stays_from_version_to_version(plan):
    plan["common"] = {"data": "train.jsonl", "eval": "eval.jsonl", "sets": 4, "noise": 0.5}
    arm = read_plan(plan).arms[0]
    settings = replace(arm.settings, lr=1e-3, seed=3)
    # As it was when the first comparisons were run: their runs count for plans of today.
    assert job_of("any", settings, drawn(SETS, arm, 3), SETS[8:], Path("runs")).folder.name == "a8b789fc729ed09d"


def test_each_cell_of_a_grid_is_compared_with_its_own_baseline(plan, tmp_path, runs_done):
    del plan["common"]["sets"], plan["common"]["steps"]
    plan |= {"grid": {"sets": [4, 8], "steps": [1, 2]}, "seeds": 1}
    assert outlook(workbench(plan, tmp_path / "out"), 1).startswith("8 runs, of which 0 are there")
    found = compared(plan, output=tmp_path / "out", progress=False)
    assert len(runs_done) == 8
    cells = [{"sets": sets, "steps": steps} for sets in (4, 8) for steps in (1, 2)]
    assert [(row.arm, row.cell) for row in found.rows] == [(arm, cell) for cell in cells for arm in ("one", "other")]
    for base, other in zip(found.rows[::2], found.rows[1::2], strict=True):
        folders = [tmp_path / "out" / "runs" / row.runs[0] for row in (base, other)]
        records = [read_run(folder) for folder in folders]
        assert [record.data["train"]["sets"] for record in records] == [base.cell["sets"]] * 2
        assert [record.log[-1]["step"] for record in records] == [base.cell["steps"]] * 2
        before, after = (record.after["accuracy"] for record in records)
        assert (base.verdict, base.difference) == ("baseline", None)
        assert other.difference == pytest.approx(after - before, abs=1e-12)
    report = json.loads((found.folder / "report.json").read_text())
    assert [row["cell"] for row in report["arms"][::2]] == cells
    assert report["plan"]["grid"] == plan["grid"]
    heads = [line.split()[:3] for line in found.table.splitlines()[1:10]]
    assert heads == [["sets", "steps", "arm"], *([str(s), str(k), arm] for s, k, arm in found_places(found.rows))]
    assert "difference to one in the same cell" in found.table
    drawn_picture = (found.folder / "forest.svg").read_text()
    assert drawn_picture.count("<!-- sets 8, steps 2 -->") == 2  # a heading in either panel
    frame = compare(plan, output=tmp_path / "out", progress=False)
    assert list(frame[frame.sets == 8].steps) == [1, 1, 2, 2]
    assert len(runs_done) == 8


def found_places(rows):
    return [(row.cell["sets"], row.cell["steps"], row.arm) for row in rows]


def test_each_cell_chooses_its_own_rate(plan, tmp_path, runs_done):
    del plan["common"]["sets"]
    plan |= {
        "grid": {"sets": [4, 8]},
        "lr": [1e-3, 1e-2],
        "rate_seeds": 1,
        "seeds": 1,
        "arms": {"one": plan["arms"]["one"]},
    }
    found = compared(plan, output=tmp_path / "out", progress=False)
    choosing = runs_done[:4]
    for row in found.rows:
        runs = [run for run in choosing if len(run.data) == row.cell["sets"]]
        means = {run.lr: read_run(run.output).after["accuracy"] for run in runs}
        assert row.lr == max(sorted(means), key=means.get)


def test_an_arm_of_rounds_goes_on_after_a_kill_and_is_measured_at_its_end(tmp_path, monkeypatch):
    sets = world_sets(12, seed=7, split="train")
    write_sets(tmp_path / "train.jsonl", sets[:6])
    write_sets(tmp_path / "eval.jsonl", sets[6:])
    common = {"data": str(tmp_path / "train.jsonl"), "eval": str(tmp_path / "eval.jsonl"), "verifier": "world"}
    common |= {"prompts": 4, "rounds": 2, "k": 4, "max_tokens": 16, "steps": 1, "sets_per_step": 2, "device": "cpu"}
    common |= {"answers": 2, "save_every": 0, "reference": "round"}
    plan = {"baseline": "rloo", "seeds": 1, "lr": 1e-3, "common": common, "arms": {"rloo": {"loss": "rloo"}}}
    real, calls = rounds.finetune, []

    def killed(settings):
        calls.append(settings)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(settings)

    with monkeypatch.context() as patched:
        patched.setattr(rounds, "finetune", killed)
        with pytest.raises(KeyboardInterrupt):
            compared(plan, output=tmp_path / "out", progress=False)
    monkeypatch.setattr(rounds, "finetune", lambda settings: (calls.append(settings), real(settings))[1])
    [row] = compared(plan, output=tmp_path / "out", progress=False).rows
    folder = tmp_path / "out" / "runs" / row.runs[0]
    asked = json.loads((folder / "rounds.json").read_text())
    assert (len(calls), asked["asked"]["prompts"], row.samples, row.steps) == (3, 4, 2 * 4 * 4, 2)
    first, last = (read_run(folder / name) for name in ("round-1", "round-2"))
    assert (read_run(folder).before, read_run(folder).after) == (first.before, last.after)
    assert row.mean == last.after["right"]
    assert row.response_tokens == sum(read_measured(folder / name)[1] for name in ("round-1", "round-2"))
    assert not list(folder.glob("round-*/checkpoints"))
    assert outlook(workbench(plan, tmp_path / "out"), 1).startswith("1 run, of which 1 are there")


def test_what_data_do_not_suffice_for_is_told_with_the_key_of_the_grid(plan, tmp_path):
    del plan["common"]["sets"]
    plan["grid"] = {"sets": [4, 32]}
    with pytest.raises(ValueError, match=r"\[grid\] sets must be at most 12, which data holds, not 32"):
        compared(plan, output=tmp_path / "out", progress=False)


def test_a_run_that_was_killed_before_its_record_is_begun_anew(plan, tmp_path):
    found = compared(plan, output=tmp_path / "out", progress=False)
    folder = tmp_path / "out" / "runs" / found.rows[0].runs[0]
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "run.json.x.part").write_text("{")
    again = compared(plan, output=tmp_path / "out", progress=False)
    assert [row.mean for row in again.rows] == [row.mean for row in found.rows]
    assert (folder / jobs.DONE).exists()


def test_a_run_that_another_process_is_still_at_is_left_to_it(plan, tmp_path):
    bench = workbench(plan, tmp_path / "out")
    folder = bench.all_jobs[0].folder
    folder.mkdir(parents=True)
    (folder / "probes.npz").write_text("not yet whole")
    with sole_writer(folder):
        found = compared(plan, output=tmp_path / "out", progress=False)
        assert (folder / "probes.npz").exists()
    [failure] = found.failures
    assert "is being written by another process" in str(failure)


def test_a_comparison_that_a_batch_system_ends_ends_the_processes_of_its_runs(plan, tmp_path):
    pytest.importorskip("joblib")
    plan["common"] |= {"steps": 100_000}
    out = tmp_path / "out"
    words = ["compare", str(written(plan, tmp_path)), "--output", str(out), "--jobs", "2"]
    process = subprocess.Popen([sys.executable, "-m", "mapl_explore", *words], stderr=subprocess.PIPE, text=True)
    until(lambda: len([*out.glob("runs/*/run.json")]) == 2)
    process.terminate()
    said = process.communicate(timeout=HANG)[1]
    assert process.returncode == 130
    assert "interrupted; the same command goes on with the runs that are left\n" in said  # joblib may add a word
    until(lambda: all(free(record.parent) for record in out.glob("runs/*/run.json")))


def free(folder):
    """Return whether no process writes to a folder."""
    try:
        with sole_writer(folder):
            return True
    except BlockingIOError:
        return False


def until(condition):
    """Wait for a condition; the runs are ready within seconds on a quiet machine."""
    end = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def written(plan, folder):
    """Return the file of a plan of two arms."""
    arms = "".join(f'[arms.{name}]\nloss = "{arm["loss"]}"\n' for name, arm in plan["arms"].items())
    common = "".join(f"{name} = {value!r}\n" for name, value in plan["common"].items())
    path = folder / "two.toml"
    path.write_text(f'baseline = "one"\nseeds = 1\nlr = 1e-3\n[common]\n{common}{arms}')
    return path


def test_the_outlook_knows_time_and_disk_once_a_run_of_the_same_size_is_done(plan, tmp_path):
    out = tmp_path / "out"
    unknown = "unknown: no run of this size is done in this folder; one will tell"
    first = "4 runs, of which 0 are there and 4 are to be done"
    assert outlook(workbench(plan, out), 1).splitlines() == [first, f"time: {unknown}", f"disk: {unknown}"]
    assert not out.exists()
    compared({**plan, "seeds": 1}, output=out, progress=False)
    seconds = [json.loads(path.read_text())["seconds"] for path in out.glob("runs/*/done.json")]
    first, time, disk = outlook(workbench(plan, out), 2).splitlines()
    assert first == "4 runs, of which 2 are there and 2 are to be done"
    assert time == f"time: about {jobs.duration(sum(seconds) / 2)}"
    assert disk.endswith(" MB")
    # Another plan, of which nothing is done: runs of other arms on other data tell, those of other steps do not.
    other = {**plan, "arms": {"one": {"loss": "cpo", "sets": 6}}}
    assert outlook(workbench(other, out), 1).splitlines()[1].startswith("time: about ")
    longer = {**other, "common": plan["common"] | {"steps": 2}}
    assert outlook(workbench(longer, out), 1).splitlines()[1] == f"time: {unknown}"
    del other["arms"]["one"]["sets"], other["common"]["steps"], other["common"]["sets"]
    some = outlook(workbench({**other, "grid": {"steps": [1, 5]}}, out), 1).splitlines()[1]
    assert some.endswith(" for 2 of them; unknown for 2 until one of their size is done")


def test_runs_in_several_processes_give_the_report_of_runs_one_by_one(plan, tmp_path):
    pytest.importorskip("joblib")
    alone = compared(plan, output=tmp_path / "alone", progress=False)
    together = compared(plan, output=tmp_path / "together", jobs=2, progress=False)
    assert not together.failures
    assert [(row.mean, row.difference, row.runs) for row in together.rows] == [
        (row.mean, row.difference, row.runs) for row in alone.rows
    ]


def test_the_command_tells_of_a_failed_run_and_exits_with_1(plan, tmp_path, monkeypatch, capsys):
    path = written(plan, tmp_path)
    words = ["compare", str(path), "--output", str(tmp_path / "out")]
    assert main([*words, "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("2 runs, of which 0 are there")
    real = finetuning.finetune
    with monkeypatch.context() as patched:
        patched.setattr(finetuning, "finetune", lambda asked: real(asked) if "Hardest" in repr(asked.loss) else 1 / 0)
        assert main(words) == 1
    said = capsys.readouterr()
    assert "other, lr 0.001, seed 0 failed: division by zero" in said.out
    assert "run 2 of 2: other" in said.err
    assert said.err.endswith("1 run failed; the same command tries them again\n")
    with ThreadPoolExecutor(1) as other:  # where no signal can be taken
        assert other.submit(main, words).result() == 0
    path.write_text("baseline =")
    assert main(words) == 2
    assert str(path) in capsys.readouterr().err
