"""Every draw is kept where that is asked for; a verifier may return numbers, and a threshold gives the label."""

import json
import re

import pandas
import pytest
from sampled_worlds import WORLD, asked, sampled, stopped

from mapl_explore.cli import main as cli
from mapl_explore.data import read_sets
from mapl_explore.data.world import is_right
from mapl_explore.models.generating import Draw
from mapl_explore.models.loading import load_model
from mapl_explore.notes import Note
from mapl_explore.sampling.draws import draw_rows
from mapl_explore.sampling.journal import Answered, Journal
from mapl_explore.sampling.verifiers import Question

NUMBERS = "def grade(prompt, answer): return {}\n"


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_draw_has_its_tokens_and_says_whether_it_ended_is_a_duplicate_and_is_right(world_file, tmp_path):
    sets, report = sampled(world_file, tmp_path / "out.jsonl", draws=tmp_path / "draws.jsonl", max_tokens=8)
    rows, (_, tokenizer) = read(tmp_path / "draws.jsonl"), load_model("tiny")
    assert [(row["prompt"], row["draw"]) for row in rows] == [(one.prompt, j) for one in WORLD for j in range(8)]
    assert list(rows[0]) == ["prompt", "draw", "response", "tokens", "ended", "duplicate", "right"]
    ended, cut = ([row for row in rows if row["ended"] is kind] for kind in (True, False))
    assert len(cut) == report.unfinished > 0
    assert sum(row["duplicate"] for row in rows) == report.duplicates > 0
    assert sum(row["right"] for row in ended if not row["duplicate"]) == report.right > 0
    for row in ended:
        *ids, end = row["tokens"]
        assert (tokenizer.decode(ids), end) == (row["response"], tokenizer.eos_token_id)
        assert row["right"] is is_right(row["prompt"], row["response"])
    for row in cut:
        assert (len(row["tokens"]), row["right"], row["duplicate"]) == (8, None, False)
        assert tokenizer.decode(row["tokens"]) == row["response"]
    for one in sets:
        mine = [row for row in ended if row["prompt"] == one.prompt]
        assert {row["response"] for row in mine} == {*one.responses}
        first = [row["response"] for row in mine if not row["duplicate"]]
        assert sorted(first) == sorted(one.responses)


def test_a_response_that_was_cut_off_is_no_duplicate_and_makes_none():
    draws = [Draw((1, 2), "a", False), Draw((1, 0), "a", True), Draw((1, 2), "a", False), Draw((1, 0), "a", True)]
    rows = draw_rows([Question("p")], [Answered(("a",), (True,), duplicates=1, unfinished=2, draws=tuple(draws))])
    assert [row["duplicate"] for row in rows] == [False, False, False, True]
    assert [row["right"] for row in rows] == [None, True, None, True]


def test_draws_leave_the_sets_as_they_are_and_are_a_table_in_every_format(world_file, tmp_path, capsys):
    plain, _ = sampled(world_file, tmp_path / "plain.jsonl")
    words = ["sample", str(world_file), "--verifier", "world", "--k", "8", "--max-tokens", "16", "--device", "cpu"]
    assert cli.main([*words, str(tmp_path / "out.jsonl"), "--draws", str(tmp_path / "draws.parquet")]) == 0
    assert f"every draw written to {tmp_path / 'draws.parquet'}" in capsys.readouterr().out
    assert read_sets(tmp_path / "out.jsonl") == plain
    table = pandas.read_parquet(tmp_path / "draws.parquet")
    assert len(table) == 8 * len(WORLD)
    assert all(len(tokens) > 0 for tokens in table.tokens)


@pytest.mark.parametrize(
    ("name", "rule"),
    [("out.jsonl", "draws must be another file than the output"), ("world.jsonl", "is the file that is read")],
)
def test_draws_replace_neither_what_is_read_nor_the_sets(name, rule, world_file, tmp_path):
    with pytest.raises(ValueError, match=rule):
        sampled(world_file, tmp_path / "out.jsonl", draws=tmp_path / name)
    assert len(read_sets(world_file)) == len(WORLD)


def test_what_an_earlier_version_had_finished_is_read_and_has_no_draws(tmp_path):
    old = {"answers": ["a"], "right": [True], "duplicates": 1, "unfinished": 0, "too_long": False}
    lines = [{"k": 2}, {"prompt": 3, "judge": "world", **old}]
    (tmp_path / "out.progress-0").write_text("".join(json.dumps(line) + "\n" for line in lines))
    read_again = Journal(tmp_path / "out", {"k": 2, "draws": False}, judge="world").finished()
    assert read_again == {3: Answered(("a",), (True,), duplicates=1)}
    rule = r"out.progress-0 holds what was finished with draws False, not True: give that again, or remove the file"
    with pytest.raises(ValueError, match=rule):
        Journal(tmp_path / "out", {"k": 2, "draws": True}, judge="world").finished()


def test_draws_and_scores_come_back_from_the_journal_of_an_interrupted_run(world_file, judges, monkeypatch):
    judges.write_text(NUMBERS.format("len(answer) / 3"))
    options = {"verifier": "my_own_judges:grade", "threshold": 8}
    names = ("whole.jsonl", "whole draws.jsonl", "out.jsonl", "draws.jsonl")
    whole, whole_draws, out, draws = (judges.with_name(name) for name in names)
    sets, _ = sampled(world_file, whole, batch_size=2, draws=whole_draws, **options)
    stopped(3, world_file, out, monkeypatch, draws=draws, **options)
    prompts = asked(monkeypatch)
    assert sampled(world_file, out, batch_size=2, draws=draws, **options)[0] == sets
    assert len(prompts) == len(WORLD) - 6
    assert draws.read_bytes() == whole_draws.read_bytes()


def test_numbers_of_a_verifier_are_the_scores_and_the_threshold_says_who_is_right(world_file, judges, capsys):
    judges.write_text(NUMBERS.format("len(answer) / 3"))
    words = ["sample", str(world_file), "out.jsonl", "--verifier", "my_own_judges:grade", "--max-tokens", "16"]
    words += ["--k", "8", "--device", "cpu", "--draws", "draws.jsonl"]
    assert cli.main([*words, "--threshold", "8"]) == 0
    sets = read_sets("out.jsonl")
    assert len(sets) > 3
    for one in sets:
        assert list(one.scores) == [len(text) / 3 for text in one.responses]
        assert min(one.scores[: len(one.positives)]) >= 8 > max(one.scores[len(one.positives) :])
    for row in read(judges.with_name("draws.jsonl")):
        expected = (len(row["response"]) / 3, len(row["response"]) >= 24) if row["ended"] else (None, None)
        assert (row["score"], row["right"]) == expected


def test_another_threshold_judges_the_same_responses_again(world_file, judges):
    judges.write_text(NUMBERS.format("len(answer)"))
    options = {"verifier": "my_own_judges:grade", "draws": judges.with_name("draws.jsonl")}
    with pytest.raises(ValueError, match="no prompt has right and wrong responses, so there is no set to write"):
        sampled(world_file, judges.with_name("out.jsonl"), threshold=1e6, **options)
    assert len(read(judges.with_name("draws.jsonl"))) == 8 * len(WORLD)  # for whoever wants to see why
    with pytest.warns(Note, match="12 prompts with verdicts of another verifier or source"):
        again, _ = sampled(world_file, judges.with_name("out.jsonl"), threshold=24, **options)
    assert again == sampled(world_file, judges.with_name("other.jsonl"), threshold=24, **options, overwrite=True)[0]


@pytest.mark.parametrize(
    ("returned", "options", "rule"),
    [
        ("True", {"threshold": 1}, "with a threshold the verifier .*:grade must return a finite number, not True on"),
        ("1e999", {"threshold": 1}, "must return a finite number, not inf on the prompt"),
        ("'3'", {"threshold": 1}, "must return a finite number, not '3' on the prompt"),
        (
            "0.5",
            {},
            "must return True or False, not 0.5 on the prompt at .*:3; sample takes numbers with a threshold$",
        ),
        ("'3'", {}, "must return True or False, not '3' on the prompt at [^;]*:3$"),
        (
            "1",
            {"threshold": 1, "verifier": "world"},
            "threshold belongs to a verifier that returns numbers, and 'world'",
        ),
    ],
)
def test_a_verdict_of_the_other_kind_is_refused_in_one_line(returned, options, rule, world_file, judges):
    judges.write_text(NUMBERS.format(returned))
    with pytest.raises(ValueError, match=rule) as caught:
        sampled(world_file, judges.with_name("out.jsonl"), **{"verifier": "my_own_judges:grade", **options})
    assert "\n" not in re.sub(r"\[.*", "", str(caught.value))
    assert not judges.with_name("out.jsonl").exists()


def test_with_duplicates_a_response_stands_in_its_set_as_often_as_it_was_drawn(world_file, tmp_path, monkeypatch):
    options = {"draws": tmp_path / "draws.jsonl", "duplicates": True}
    stopped(2, world_file, tmp_path / "out.jsonl", monkeypatch, **options)
    sets, report = sampled(world_file, tmp_path / "out.jsonl", batch_size=2, **options)
    rows = [row for row in read(tmp_path / "draws.jsonl") if row["ended"]]
    for one in sets:
        of_prompt = [row for row in rows if row["prompt"] == one.prompt]
        assert list(one.positives) == [row["response"] for row in of_prompt if row["right"]]
        assert list(one.negatives) == [row["response"] for row in of_prompt if not row["right"]]
    assert report.duplicates > 0
    assert any(len(set(one.responses)) < len(one.responses) for one in sets)
    once, _ = sampled(world_file, tmp_path / "once.jsonl")
    assert [tuple(map(set, (one.positives, one.negatives))) for one in sets] == [
        tuple(map(set, (one.positives, one.negatives))) for one in once
    ]
