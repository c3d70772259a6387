"""The report: a row for each arm in each cell, compared under the seeds that both have, whole or not at all."""

import json
import os
import sys
from dataclasses import replace

import numpy as np
import pytest

from mapl_explore.experiments.bootstrap import mean_interval
from mapl_explore.experiments.claims import Rule
from mapl_explore.experiments.plan import read_plan
from mapl_explore.experiments.reaching import kl_at_80
from mapl_explore.experiments.report import Results, contrast_of, rows_of, write_report
from mapl_explore.notes import Note

ARMS = {"one": {"loss": "dpo-hardest"}, "other": {"loss": "cpo"}}
COMMON = {"data": "train.jsonl", "eval": "eval.jsonl", "verifier": "exact"}
CELLS = [{"steps": 4}, {"steps": 8}]


def plan(**more):
    asked = {"baseline": "one", "seeds": 8, "lr": 1e-3, "measure": "right", "common": COMMON, "arms": ARMS}
    return read_plan(asked | {"grid": {"steps": [4, 8]}} | more)


def claim(name, **rule):
    return {key: "it" for key in ("words", "source", "scale", "test")} | {"id": name, "rule": {"arm": "other"} | rule}


def result(arm, cell, mean, seeds=range(8)):
    """Return an arm whose questions give numbers of a skewed distribution with about this mean."""
    rng = np.random.default_rng(0)
    found = {seed: {"right": mean * rng.exponential(size=12), "kl": mean * rng.random(12)} for seed in seeds}
    return Results(arm, cell, "DPO()", 1e-3, found, 8, 4.0, 96.0, 1.5, [f"{arm}-run"])


RESULTS = [result(arm, cell, mean) for cell, means in zip(CELLS, [(1, 3), (5, 2)], strict=True)
           for arm, mean in zip(ARMS, means, strict=True)]  # fmt: skip


def values(one, measure="right"):
    return np.array([each[measure] for each in one.found.values()])


def test_each_arm_has_its_mean_and_its_difference_to_the_baseline_of_its_cell():
    rows = rows_of(RESULTS, "one", "right")
    assert [row.verdict for row in rows] == ["baseline", "higher", "baseline", "lower"]
    for row, one in zip(rows, RESULTS, strict=True):
        assert row.mean == pytest.approx(values(one).sum() / (8 * 12), rel=1e-12)
        assert row.interval == mean_interval(values(one))
    for base, row, one, other in ((rows[k], rows[k + 1], *RESULTS[k : k + 2]) for k in (0, 2)):
        assert base.difference is None
        assert row.difference == pytest.approx(row.mean - base.mean, rel=1e-9)
        assert row.difference_interval == mean_interval(values(other) - values(one))
        record = row.as_record
        assert (record["low"], record["high"]) == row.interval
        assert (record["difference_low"], record["difference_high"]) == row.difference_interval
        assert not [name for name in record if "80" in name]  # there are no learning curves


def test_a_difference_counts_the_seeds_that_both_arms_have():
    one, other = RESULTS[:2]
    late = replace(other, found={seed + 1: found for seed, found in other.found.items()})
    row = rows_of([one, late], "one", "right")[1]
    assert (row.seeds, row.verdict) == (8, "too few seeds for a claim")
    expected = np.mean([late.found[seed]["right"] - one.found[seed]["right"] for seed in range(1, 8)])
    assert row.difference == pytest.approx(expected, rel=1e-12)
    apart = replace(other, found={seed + 8: found for seed, found in other.found.items()})
    row = rows_of([one, apart], "one", "right")[1]
    assert (row.difference, row.difference_interval, row.verdict) == (None, None, "too few seeds for a claim")


def test_a_claim_is_decided_in_its_cell_and_against_the_base_from_0():
    asked = plan(
        claims=[
            claim("less than one", expected="lower", cell=CELLS[1]),
            claim("away from the base", expected="higher", than="base", measure="kl", cell=CELLS[0]),
        ]
    )
    to_one, to_base = (contrast_of(each.rule, RESULTS) for each in asked.claims)
    assert to_one.difference == pytest.approx(values(RESULTS[3]).mean() - values(RESULTS[2]).mean(), rel=1e-12)
    assert to_base.difference == pytest.approx(values(RESULTS[1], "kl").mean(), rel=1e-12)
    assert (to_one.verdict, to_one.seeds, to_base.verdict) == ("lower", 8, "higher")


def test_shares_of_the_variance_are_those_of_one_cell():
    tried = [
        {"0.1": np.full((8, 2), low), "1": np.full((8, 2), high)} for low, high in ((1, 3), (1, 3), (1, 1), (3, 3))
    ]
    both = [replace(one, tried=each) for one, each in zip(RESULTS, tried, strict=True)]
    found = [contrast_of(Rule("lr", "higher", cell, "loss", "variance"), both).difference for cell in CELLS]
    assert found == pytest.approx([1, -1], rel=1e-12)


def test_a_row_has_the_kl_where_its_curve_reaches_80_percent():
    curve = {"sets_read": np.array([0, 16]), "right_along": np.array([[0.0] * 12, [1.0] * 12])}
    curve["kl_along"] = np.array([[0.0] * 12, [0.5] * 12])
    one = replace(RESULTS[0], found={seed: found | curve for seed, found in RESULTS[0].found.items()})
    [row] = rows_of([one], "one", "right")
    assert (row.kl_at_80, row.kl_at_80_interval) == kl_at_80(one.found)
    assert row.kl_at_80 == pytest.approx(0.4, rel=1e-12)


def test_what_failed_and_what_is_lacking_is_told_and_the_others_are_drawn(tmp_path):
    lacking = [replace(RESULTS[1], found={}), *RESULTS[2:]]
    asked = plan(claims=[claim("less than one", expected="lower", cell=CELLS[1])])
    rows, table = write_report(tmp_path, asked, [RESULTS[0], *lacking], ["other, seed 0 failed"], {"numpy": "2"})
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["claims"]["less than one"]["difference"] == rows[3].difference
    assert (report["failures"], report["versions"]) == (["other, seed 0 failed"], {"numpy": "2"})
    assert (rows[1].mean, rows[1].interval, rows[1].seeds) == (None, None, 0)
    assert "0 of 8" in table
    assert table.endswith("\n1 run failed:\nother, seed 0 failed")
    assert "All arms have the one learning rate of the plan." in table
    assert (tmp_path / "table.txt").read_text() == table + "\n"
    assert "<svg" in (tmp_path / "forest.svg").read_text()


def test_without_matplotlib_a_note_says_that_there_is_no_picture(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mapl_explore.plots.forest", None)
    with pytest.warns(Note, match="the forest plot is not drawn: mapl_explore.plots.forest is not installed"):
        write_report(tmp_path, plan(), RESULTS, [], {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "table.txt"]


@pytest.mark.parametrize("failing", ["report.json", "forest.png"])
def test_a_report_that_cannot_be_written_leaves_the_files_of_the_last_one(tmp_path, monkeypatch, failing):
    write_report(tmp_path, plan(), RESULTS, [], {})
    before = (tmp_path / failing).read_bytes()
    replaced = os.replace

    def full(source, target):
        if target.name == failing:
            raise OSError("disk full")
        replaced(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path, plan(), RESULTS[::-1], [], {})
    assert (tmp_path / failing).read_bytes() == before
