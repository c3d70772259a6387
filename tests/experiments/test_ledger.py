"""The ledger is what its plans and results make, and a verdict stands on seeds, an interval and a rule."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import evidence
import numpy as np
import pytest
from tiny_models import save_tiny
from tuned_runs import SETS

from mapl_explore import write_sets
from mapl_explore.cli.main import main
from mapl_explore.experiments.claims import Rule
from mapl_explore.experiments.comparison import compared
from mapl_explore.experiments.ledger import CAVEATS, LONGEST_QUOTATION, RESULTS, ledger_of, plans_in, record, result_of
from mapl_explore.experiments.plan import read_plan
from mapl_explore.experiments.questions import read_questions
from mapl_explore.experiments.report import LEAST_SEEDS, Results, contrast_of

# Relative, of a hard margin of 0.59 nats: with plain instructions of the processor and two threads it was off by 5e-7.
TOLERANCE = 1e-4
ROOT = Path(__file__).parents[2]
PLANS = plans_in(ROOT / "experiments")
CLAIM = """
[[claims]]
id = "first"
words = "Smooth | pairs\\nare better."
source = "A title, arXiv:0000.00000"
scale = "none"
test = "Ours."
brief = "Smooth pair better than | hardest."
rule = { arm = "smooth", expected = "higher", cell = { sets = 8 } }
"""
PLAN = """baseline = "hardest"
lr = 1e-3
[common]
data = "data/world/train.jsonl"
verifier = "world"
[grid]
sets = [4, 8]
[arms.hardest]
loss = "dpo-hardest"
[arms.smooth]
loss = "dpo-smooth"
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder of one plan, in a folder that the ledger is made from."""
    monkeypatch.chdir(tmp_path)
    Path("plans", RESULTS).mkdir(parents=True)
    Path("plans", "one.toml").write_text(PLAN + CLAIM)
    return Path("plans")


def report(home, verdict="higher", seeds=8, **changes):
    """Write a report of the plan as compare would, with a made-up effect."""
    plan = read_plan(home / "one.toml")
    rows = [
        {"arm": arm.name, "cell": arm.cell, "loss": repr(arm.settings.loss), "lr": 1e-3, "seeds": seeds, "mean": 0.5,
         "difference": 0.25, "difference_interval": [0.125, 0.375], "verdict": verdict, "runs": ["abc"]}
        for arm in plan.arms
    ]  # fmt: skip
    found = {"plan": plan.as_record, "arms": rows, "failures": [], "versions": {"numpy": "2"}, "date": "2026-01-01"}
    effect = {"difference": 0.25, "difference_interval": [0.125, 0.375], "seeds": seeds, "verdict": verdict}
    found["claims"] = {claim.id: claim.rule.compared | effect for claim in plan.claims}
    folder = Path("out", "reports", "one")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(found | changes))


def row(text):
    """Return the cells of the only claim of a ledger."""
    [line] = [line for line in text.splitlines() if line.startswith("| [1. ")]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_ledger_is_what_plans_and_results_make(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert ledger_of("experiments") == Path("LEDGER.md").read_text(encoding="utf-8"), "make it again, by make ledger"


def test_the_ledger_says_how_many_test_questions_its_plans_have(monkeypatch):
    monkeypatch.chdir(ROOT)
    asked = {path.stem: len(read_questions(plan).test) for path in PLANS if (plan := read_plan(path)).claims}
    assert asked == dict.fromkeys(asked, 200) | {"passages": 400, "real": 80}
    told = "the test questions, of which there are 200, in `passages` 400 and in `real` 80"
    assert told in " ".join(ledger_of("experiments").split())


def test_the_ledger_says_how_many_rows_it_has_and_which_seeds():
    plans = {path.stem: read_plan(path) for path in PLANS}
    claims = {name: len(plan.claims) for name, plan in plans.items() if plan.claims}
    text = " ".join((ROOT / "experiments" / CAVEATS).read_text(encoding="utf-8").split())
    rows = sum(claims.values())
    assert f"**{rows} rows, not corrected.**" in text
    assert f"of {rows} at 95 % about {round(rows / 20)} may miss by chance" in text
    assert {name: plans[name].seeds for name in claims} == dict.fromkeys(claims, tuple(range(8))) | {"real": (0, 1, 2)}
    chosen = {name: len(plans[name].rate_seeds) for name in claims if len(plans[name].lr) > 1}
    assert "two other seeds on other questions chose that of each arm (eight in `rates` and `rates-close`)" in text
    assert chosen == dict.fromkeys(chosen, 2) | {"rates": 8, "rates-close": 8}


def test_every_claim_says_in_a_few_words_what_is_tested():
    assert [claim.id for path in PLANS for claim in read_plan(path).claims if not claim.brief] == []


def test_the_ledger_is_made_without_torch():
    code = "import sys; from mapl_explore.experiments import ledger; ledger.ledger_of('experiments')"
    said = subprocess.run(
        [sys.executable, "-c", f"{code}; print(*sys.modules)"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"torch", "transformers", "pandas", "matplotlib"} & set(said.stdout.split())


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_recorded_result_is_that_of_its_plan_and_what_is_decided_has_seeds_and_an_interval(path):
    plan = read_plan(path)
    result = result_of(path, plan)
    if result is None:
        assert plan.claims, "a plan without claims is of no use without a result"
        return
    assert {"versions", "date"} < result.keys()
    assert not any("runs" in one for one in result["arms"])
    assert [one["asked"] for one in result["arms"]] == [len(plan.seeds)] * len(plan.arms)
    for claim in plan.claims:
        found = result["claims"][claim.id]
        if claim.rule.decided(found["verdict"]) != "undecided":
            low, high = found["difference_interval"]
            assert found["seeds"] >= LEAST_SEEDS == 8
            assert low > 0 if found["verdict"] == "higher" else high < 0


def test_every_plan_and_every_result_belongs_to_the_ledger():
    names = {path.stem for path in PLANS}
    assert {path.stem for path in (ROOT / "experiments" / RESULTS).glob("*")} <= names


def test_a_recorded_number_comes_again(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = ROOT / "experiments" / "again.toml"
    [before] = result_of(path, read_plan(path))["arms"]
    [after] = compared(path, output=tmp_path / "out", progress=False).rows
    assert (after.loss, after.lr, after.steps, after.response_tokens) == (
        before["loss"], before["lr"], before["steps"], before["response_tokens"],
    )  # fmt: skip
    assert after.mean == pytest.approx(before["mean"], rel=TOLERANCE)


@pytest.mark.parametrize(
    ("verdict", "seeds", "said"),
    [("higher", 8, "holds"), ("lower", 8, "fails"), ("undecided", 8, "undecided")],
)
def test_a_claim_without_a_direction_holds_with_either_and_one_of_likeness_fails(verdict, seeds, said):
    rule = Rule("smooth", "different", {}, "hardest", "right")
    assert rule.decided(verdict) == ("undecided" if said == "undecided" else "holds")
    alike = replace(rule, expected="alike")
    assert alike.decided(verdict) == ("undecided" if said == "undecided" else "fails")


@pytest.mark.parametrize(
    ("verdict", "seeds", "said"),
    [("higher", 8, "holds"), ("lower", 8, "fails"), ("undecided", 8, "undecided")],
)
def test_the_verdict_follows_from_the_row_by_the_rule(home, verdict, seeds, said):
    assert row(ledger_of(home))[3:] == ["-", "not run yet"]
    report(home, verdict, seeds)
    assert record(home, "out") == [home / RESULTS / "one.json"]
    effect = "+0.250 [+0.125, +0.375] share of greedy responses that are right, 8 seeds"
    link = f"[1. one, first](#1-one-first-{said})"
    words = ["“Smooth \\| pairs are better.”", "Smooth pair better than \\| hardest."]
    assert row(ledger_of(home)) == [link, *words, effect, said]
    section = ledger_of(home).split("## 1. ")[1]
    assert section.split("\n") == [
        f"one, first: {said}",
        "",
        "> Smooth | pairs are better.",
        "",
        "A title, arXiv:0000.00000",
        "",
        "- Their scale: none",
        "- Our test: Ours. Holds if `smooth` is higher than `hardest` at sets 8.",
        "- Learning rates: one for all; `hardest` 0.001; `smooth` 0.001",
        f"- Effect: {effect}",
        "- Again: `mapl-explore compare plans/one.toml --output runs/evidence`",
        "",
    ]
    recorded = json.loads((home / RESULTS / "one.json").read_text())
    assert recorded.keys() == {"plan", "arms", "claims", "versions", "date"}
    assert "abc" not in json.dumps(recorded)


def test_claims_decide_nothing_of_the_runs_and_may_change_after_them(home):
    report(home)
    record(home, "out")
    (home / "one.toml").write_text(PLAN + CLAIM.replace('"higher"', '"lower"'))
    assert row(ledger_of(home))[4] == "fails"
    with_claims = read_plan(home / "one.toml")
    (home / "one.toml").write_text(PLAN)
    assert read_plan(home / "one.toml").as_record == with_claims.as_record


def test_a_claim_that_was_set_after_a_result_is_marked_in_its_row_and_its_section_says_after_what(home):
    assert "Set after" not in ledger_of(home).split("\n## ")[1]
    assert not row(ledger_of(home))[0].endswith("†")
    (home / "one.toml").write_text(PLAN + CLAIM + 'after = "the means\\nwere known"')
    assert row(ledger_of(home))[0] == "[1. one, first](#1-one-first-not-run-yet) †"
    assert "\n- Set after the means were known.\n" in ledger_of(home)


def test_without_a_few_words_the_row_has_the_rule(home):
    (home / "one.toml").write_text(PLAN + CLAIM.replace('brief = "Smooth pair better than | hardest."', ""))
    assert row(ledger_of(home))[2] == "`smooth` is higher than `hardest` at sets 8"


def test_a_long_quotation_is_cut_in_its_row_and_whole_in_its_section(home):
    words = "A *long* quotation, " + "very " * 50 + "long."
    (home / "one.toml").write_text(PLAN + CLAIM.replace("Smooth | pairs\\nare better.", words))
    quoted = row(ledger_of(home))[1]
    assert quoted.startswith("“A long quotation, very very")
    assert quoted.endswith("very …”")
    assert len(quoted) <= LONGEST_QUOTATION + 2
    assert f"> {words}" in ledger_of(home)


def test_caveats_of_a_folder_stand_before_its_table(home):
    assert "Mind the gap" not in ledger_of(home)
    (home / CAVEATS).write_text("Mind the gap.\n")
    head, _ = ledger_of(home).split("| plan and claim |")
    assert head.endswith("\n\nMind the gap.\n\n")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"old": "[4, 8]", "new": "[8]"}, "it is of another plan: grid differ"),
        ({"old": "1e-3", "new": "1e-4"}, "it is of another plan: lr differ"),
        ({"old": '"dpo-smooth"', "new": '"dpo-mellow"'}, "it is of another plan: arms differ"),
        ({"seeds": 7}, "it lacks runs: it has 7 of 8 seeds of arm 'hardest'"),
        ({"claims": {}}, "it does not compare what claim 'first' does; the same comparison will, without new runs"),
        ({"arms": []}, "its rows are not the arms of the plan: []"),
        ({"plan": 3}, "not the report of a comparison (TypeError"),
    ],
)
def test_a_result_that_is_not_of_its_plan_is_refused_and_nothing_is_recorded(home, changes, said):
    plan = (PLAN + CLAIM).replace(changes.pop("old", ""), changes.pop("new", ""))
    report(home, **changes)
    (home / "one.toml").write_text(plan)
    with pytest.raises(ValueError, match=r"report\.json: ") as caught:
        record(home, "out")
    assert said in str(caught.value)
    assert not list((home / RESULTS).iterdir())
    Path("out/reports/one/report.json").rename(home / RESULTS / "one.json")
    with pytest.raises(ValueError, match=r"one\.json: "):
        ledger_of(home)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[claims]]", "[claims]", "claims must be tables, each as [[claims]], not {"),
        ('id = "first"', "", "[[claims]] 1: id is missing"),
        ('"A title, arXiv:0000.00000"', '" "', "[[claims]] 1: source must not be empty"),
        ('scale = "none"', "scale = 3", "[[claims]] 1: scale must be text, not 3"),
        ('"Ours."', '"Ours."\nafter = ""', "[[claims]] 1: after must not be empty"),
        ("better than", "better than " * 8, "[[claims]] 1: brief must have at most 12 words, not 20"),
        ("scale", "scales", "[[claims]] 1: a claim has no key 'scales'; did you mean scale?"),
        ('"smooth", exp', '"hardest", exp', "[[claims]] 1: rule: arm must not be 'hardest', with which it is"),
        ('"smooth", exp', '"smoth", exp', "[[claims]] 1: rule: the plan has no arm 'smoth' in the cell {'sets': 8}"),
        ("sets = 8 }", "sets = 16 }", "rule: the plan has no arm 'smooth' in the cell {'sets': 16}"),
        (", cell = { sets = 8 }", "", "rule: the plan has no arm 'smooth' in the cell {}"),
        ('"higher"', '"better"', "rule: expected must be one of 'higher', 'lower', 'different', 'alike', not 'better'"),
        (
            "cell =",
            'measure = "kind", cell =',
            "rule: measure must be one of 'right', 'hard_margin', 'accuracy', 'chosen_ratio',",
        ),
        (
            "cell =",
            'measure = "accuracy", than = "base", cell =',
            "rule: than = 'base' needs a measure relative to it,",
        ),
        ("cell =", 'than = "smoth", cell =', "rule: the plan has no arm 'smoth' in the cell {'sets': 8}"),
        (CLAIM, CLAIM + CLAIM, "claims must have different ids; two have 'first'"),
    ],
)
def test_what_is_wrong_with_a_claim_is_one_line(home, old, new, said):
    (home / "one.toml").write_text((PLAN + CLAIM).replace(old, new))
    with pytest.raises((ValueError, TypeError)) as caught:
        ledger_of(home)
    assert str(caught.value).startswith("plans/one.toml: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_records_and_writes(home, capsys):
    assert main(["ledger", "plans"]) == 0
    assert capsys.readouterr().out == ledger_of(home)
    report(home)
    assert main(["ledger", "plans", "--reports", "out", "--output", "LEDGER.md"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("written to LEDGER.md\n", "recorded in plans/results/one.json\n")
    assert Path("LEDGER.md").read_text(encoding="utf-8") == ledger_of(home)
    for words, message in (
        (["none"], "there is no plan in 'none'"),
        (["plans", "--reports", "none"], "there is no report of a plan of 'plans' in 'none'"),
        (["plans", "--output", "none/LEDGER.md"], "there is no folder 'none'"),
    ):
        assert main(["ledger", *words]) == 2
        assert message in capsys.readouterr().err


def asked(home, plan, claim):
    """Write a plan of one step on a random model, with its data."""
    write_sets("sets.jsonl", SETS[:8])
    write_sets("eval.jsonl", SETS[8:])
    small = f'data = "sets.jsonl"\neval = "eval.jsonl"\nmodel = "{save_tiny(Path("base"))}"\nsteps = 1\nanswers = 0\n'
    before, after = plan.split('data = "data/world/train.jsonl"\nverifier = "world"\n')
    (home / "one.toml").write_text("seeds = 2\n" + before + small + 'device = "cpu"\n' + after + claim)


def test_what_a_claim_stands_on_comes_again_with_fewer_seeds(home):
    asked(home, PLAN.replace("[4, 8]", "[8]"), CLAIM)
    assert not evidence.again([home / "one.toml"], Path("out"), 2)
    [_, smooth] = compared(home / "one.toml", output="out", progress=False).rows
    record(home, "out")
    [found] = evidence.again([home / "one.toml"], Path("out"), 2)  # where its runs are, so that none is done again
    assert (
        found.recorded == found.found == (smooth.difference, *(smooth.difference_interval or [smooth.difference] * 2))
    )
    two = CLAIM + CLAIM.replace('id = "first"', 'id = "second"')
    asked(home, PLAN.replace("[4, 8]", "[8]"), two)
    compared(home / "one.toml", output="out", progress=False)
    record(home, "out")
    assert len(evidence.again([home / "one.toml"], Path("out"), 2)) == 2
    assert len(evidence.again([home / "one.toml"], Path("out"), 2, every=False)) == 1
    asked(home, PLAN.replace("[4, 8]", "[8]"), CLAIM)
    [fewer] = evidence.again([home / "one.toml"], Path("out"), 1)
    assert fewer.found[0] == fewer.found[1] == fewer.found[2]
    assert str(found).startswith("one, first: recorded ")
    moved = found._replace(recorded=tuple(end + 1 for end in found.recorded))
    assert found.agrees
    assert not moved.agrees
    assert str(moved).endswith("THEY DO NOT OVERLAP")


def test_what_is_measured_over_the_training_comes_again_too(home):
    asked(home, PLAN.replace("[4, 8]", "[8]"), CLAIM.replace("expected", 'measure = "others", expected'))
    compared(home / "one.toml", output="out", progress=False)
    record(home, "out")
    [found] = evidence.again([home / "one.toml"], Path("out"), 2)
    assert found.recorded == found.found
    assert found.found[0] > 0


def test_shares_of_the_variance_are_not_run_again(home):
    rule = 'rule = { arm = "lr", than = "loss", measure = "variance", expected = "higher" }\n'
    plan = PLAN.replace("[grid]\nsets = [4, 8]\n", "").replace("lr = 1e-3", "lr = [1e-3, 1e-2]\nrate_seeds = 1")
    asked(home, plan, CLAIM[: CLAIM.index("rule = ")] + rule)
    compared(home / "one.toml", output="out", progress=False)
    record(home, "out")
    assert not evidence.again([home / "one.toml"], Path("out"), 2)


def results(arm, **found):
    """What two seeds of an arm have measured, so many times at two questions."""
    by_seed = {seed: {name: np.array([value, value + seed]) for name, value in found.items()} for seed in (0, 1)}
    return Results(arm, {}, "DPO()", 1e-3, by_seed, 2, None, None, None, [])


def test_a_claim_may_compare_any_two_arms_or_one_with_the_base_by_any_measure():
    arms = [results("hardest", right=0.0, kl=0.5), results("first", right=1.0, kl=0.25)]
    by = [Rule("hardest", "higher", {}, *words) for words in (("first", "right"), ("first", "kl"), ("base", "kl"))]
    assert [contrast_of(rule, arms).difference for rule in by] == [-1.0, 0.25, 0.75]  # 0.5, 0.5, 0.5 and 1.5
    assert {contrast_of(rule, arms).seeds for rule in by} == {2}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('verifier = "world"', "answers = 0", "needs responses: answers in [common] must not be 0"),
        ('"dpo-smooth"', '"cpo-smooth"', "measure 'accuracy' compares losses of one score"),
    ],
)
def test_a_measure_that_the_runs_will_not_have_is_refused_before_any_work(home, old, new, said):
    measure = "kl" if "answers" in new else "accuracy"
    plan = (PLAN + CLAIM).replace(old, new).replace("cell =", f'measure = "{measure}", cell =')
    (home / "one.toml").write_text(plan)
    with pytest.raises(ValueError, match=r"plans/one\.toml: \[\[claims\]\] first: ") as caught:
        read_plan(home / "one.toml")
    assert said in str(caught.value)


def test_a_plan_of_another_model_is_passed_over_and_told(tmp_path, capsys):
    for name, model in (("ours", ""), ("other", 'model = "build/none"')):
        (tmp_path / f"{name}.toml").write_text(f"[common]\n{model}\n")
    assert evidence.takes_part(tmp_path / "ours.toml", every=False)
    assert not evidence.takes_part(tmp_path / "other.toml", every=True)
    assert capsys.readouterr().out == "other is passed over: there is no build/none\n"
    assert not evidence.takes_part(tmp_path / "other.toml", every=False)
    assert capsys.readouterr().out == "other is passed over: its runs take hours, and --every has them\n"
