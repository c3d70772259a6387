"""The tables and the code of the pages on losses and data against the objects; their examples run as doctests."""

import re
from pathlib import Path

import numpy as np
import pytest

from mapl_explore import losses
from mapl_explore.data import PreferenceSet
from mapl_explore.losses import LOSSES, Loss, parse
from mapl_explore.models.score_table import score_rows, write_table

ROOT = Path(__file__).parent.parent
LOSSES_PAGE = (ROOT / "docs/losses.md").read_text(encoding="utf-8")
DATA_PAGE = (ROOT / "docs/data.md").read_text(encoding="utf-8")
LINES = LOSSES_PAGE.splitlines()
ALL_ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES if line[:1] == "|"]
LOSS_ROWS = [row for row in ALL_ROWS if len(row) == 5 and re.match(r"`\w+\(", row[0])]


@pytest.mark.parametrize("row", LOSS_ROWS, ids=lambda row: row[0])
def test_each_row_names_a_loss_with_its_defaults_and_says_whether_it_is_bounded(row):
    loss = parse(row[0].strip("`"))
    assert loss == type(loss)()
    assert row[3] == ("yes" if loss.bounded else "no")
    source = re.search(r"\[(\d{4}\.\d{5})\]", row[4])
    assert source is None or source.group(1) in type(loss).__doc__


def test_every_loss_has_its_row():
    rows = {row[0].strip("`").split("(")[0] for row in LOSS_ROWS}
    public = {name: getattr(losses, name) for name in losses.__all__}
    assert rows == {name for name, kind in public.items() if isinstance(kind, type) and issubclass(kind, Loss)} - {
        "Comparing",
        "Loss",
    }


def test_each_loss_type_of_trl_that_is_here_is_a_loss_on_the_first_pair():
    table = LOSSES_PAGE.split("## TRL's loss types\n")[1]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE))
    assert len(rows) == len(re.findall(r"^\| `", table, re.MULTILINE)) == 15
    here = {parse(text.strip("`")) for text in rows.values() if text != "no"}
    assert {losses.DPO(pair=losses.First()), losses.SFT()} < here


def test_the_table_of_rules_is_measured():
    gaps = np.array([0.1, 1.0, 10.0, 100.0, 1000.0])
    scores = -gaps[:, None] * np.arange(4)
    rows = [row for row in ALL_ROWS if len(row) == 7 and row[0].startswith("`")]
    assert len(rows) == 5
    for row in rows:
        rule = parse(f"DPO(pair=Smooth(tau={row[0].strip('`')}))").pair
        shares = rule.side(scores)[1].max(axis=-1)
        assert row[1:6] == [f"{share:.3f}" for share in shares]


def test_every_preset_that_is_named_exists():
    named = re.search(r"Presets by name, such as (.*?), are in", LOSSES_PAGE, re.DOTALL).group(1)
    assert set(re.findall(r"`([\w-]+)`", named)) <= set(LOSSES)


def test_the_table_of_scores_becomes_the_sets_that_were_scored(tmp_path, monkeypatch):
    label = np.array([[1, -1, -1, 0], [1, 1, -1, -1]])
    logp, length = -np.arange(1.0, 9).reshape(2, 4) * abs(label), np.arange(3, 11).reshape(2, 4)
    scored = losses.ScoredSets(logp, logp * 1.5, length, label)
    sets = [PreferenceSet("p", ["a"], ["b", "c"]), PreferenceSet("q", ["a", "b"], ["c", "d"])]
    write_table(tmp_path / "scores.jsonl", score_rows(sets, scored, reference=True))
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```\n(import pandas\n.*?)```", DATA_PAGE, re.DOTALL)
    names = {}
    exec(code, names)
    for name in ("logp", "ref_logp", "length", "label"):
        assert np.array_equal(getattr(names["sets"], name), getattr(scored, name))


def test_formulas_write_the_error_as_e_and_the_target_as_varepsilon():
    # As TeX, \epsilon is drawn as another letter than the ε of the explorers.
    sources = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "mapl_explore").rglob("*.py")}
    assert [name for name, text in sources.items() if re.search(r"\\epsilon|\\varepsilon\(s", text)] == []
