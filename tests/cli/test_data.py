"""The commands data check, convert and world."""

import json
import os
from pathlib import Path

import pytest
from format_records import PAIR, RECORDS, SUM, assistant, pair, user, written

from mapl_explore.cli import main as cli
from mapl_explore.data import PreferenceSet, read_sets
from mapl_explore.data.describing import description
from mapl_explore.data.world import world_sets


def test_convert_does_not_write_over_what_it_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "in.jsonl", RECORDS["trl, plain"][0])
    before = path.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(path)
    os.link(path, tmp_path / "hard.jsonl")
    (tmp_path / "folder").mkdir()
    for output in ("in.jsonl", str(path), "./folder/../in.jsonl", "link.jsonl", "hard.jsonl"):
        assert cli.main(["data", "convert", "in.jsonl", output]) == 2
        assert f"{output!r} is the file that is read" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_the_description_counts_what_is_odd():
    sets = [pair("p", "a", "b"), pair("p", "a", "b"), pair("p", "b", "c"), PreferenceSet("q", ["a", "a"], ["b"])]
    text = description(sets)
    assert "4, of 2 prompts; 5 positives, 4 negatives" in text
    assert "2 sets of a prompt that came before, 1 of them the same set; 1 text repeated in a side" in text
    assert "1 prompt with a text accepted in one set and rejected in another: 'p'" in text


def test_the_description_counts_responses_with_nothing_in_them_and_texts_with_two_scores():
    sets = [PreferenceSet("q", ["a", "", "a"], ["b", "\n"], [1, 2, 3, 0, 0]), PreferenceSet("p", ["a", "a"], ["b"])]
    text = description(sets)
    assert "; 2 with nothing in them\n" in text
    assert "2 texts repeated in a side, 1 with another score\n" in text
    plain = description([SUM])
    assert "nothing in them" not in plain
    assert "another score" not in plain


def test_the_description_counts_prompts_with_nothing_in_them():
    blank = ["", " \n", [user("")], [user(" "), assistant(""), user("\t")]]
    prompts = [*blank, "p", [user("p")], [user(""), assistant("a"), user("")]]
    lines = description([PreferenceSet(prompt, ["a"], ["b"]) for prompt in prompts]).splitlines()
    (line,) = [line for line in lines if line.startswith("prompts ")]
    assert line.endswith(" characters, median 1; 4 with nothing in them")
    assert "nothing in them" not in "".join(lines).replace(line, "")


def test_check_counts_the_duplicates_among_scored_completions_that_are_left_out(tmp_path, capsys):
    record = {"prompt": "p", "responses": ["a", "b", "b", "b", "a", "c"], "scores": [3, 2, 2, 2, 3, 1]}
    path = str(written(tmp_path / "data.jsonl", record))
    assert cli.main(["data", "check", path]) == 0
    said = capsys.readouterr().out
    assert "1 text repeated in a side; 2 responses left out, of a text that stands twice in the record\n" in said
    once = {**record, "responses": ["a", "b", "b", "d", "e", "c"]}
    assert cli.main(["data", "check", str(written(tmp_path / "data.jsonl", once))]) == 0
    assert "duplicates      1 response left out, of a text that stands" in capsys.readouterr().out
    assert cli.main(["data", "check", path, "--threshold", "2"]) == 0
    assert "; 1 text repeated in a side\n" in capsys.readouterr().out


def test_check_says_which_records_are_those_of_earlier_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    other = {**PAIR, "rejected": "another"}
    written(
        tmp_path / "pairs.jsonl", PAIR, other, PAIR, {**PAIR, "id": 7}, {"chosen": "a", "rejected": "b", "prompt": "q"}
    )
    assert cli.main(["data", "check", "pairs.jsonl"]) == 0
    twice = "duplicates      2 records with the prompt and both sides of an earlier one:"
    assert f"{twice} pairs.jsonl:3 as pairs.jsonl:1, pairs.jsonl:4 as pairs.jsonl:1\n" in capsys.readouterr().out
    one = {"prompt": "p", "positives": ["a", "b"], "negatives": ["c"]}
    written(tmp_path / "sets.jsonl", one, {**one, "positives": ["b", "a"]}, *[one] * 3)
    assert cli.main(["data", "check", "sets.jsonl"]) == 0
    said = capsys.readouterr().out
    assert "duplicates      4 records with the prompt and both sides of an earlier one: sets.jsonl:2 as" in said
    assert "sets.jsonl:4 as sets.jsonl:1, ...; 4 sets of a prompt that came before, 3 of them the same set" in said
    written(tmp_path / "pairs.jsonl", PAIR, other)
    assert cli.main(["data", "check", "pairs.jsonl"]) == 0
    assert "duplicates      none\n" in capsys.readouterr().out


def test_check_describes_a_sound_file_and_exits_with_0(tmp_path, capsys):
    path = written(tmp_path / "data.jsonl", RECORDS["trl, plain"][0])
    assert cli.main(["data", "check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "1 record in the format trl, 1 set" in out
    assert "contradictions  none" in out


def test_check_tells_faults_of_one_kind_in_one_line(tmp_path, capsys):
    talk = {"chosen": [assistant("a")], "rejected": [assistant("b")]}
    tools = {**talk, "prompt": [user("Hi"), {**assistant("x"), "tool_calls": [{}]}]}
    numbers = [{**PAIR, "chosen": i} for i in range(3000)]
    path = written(tmp_path / "data.jsonl", PAIR, tools, *numbers, {**tools, "prompt": tools["prompt"][1:]})
    assert cli.main(["data", "check", str(path)]) == 1
    out, err = capsys.readouterr()
    first, second = [line for line in out.splitlines() if line.startswith("fault: ")]
    calls = "tool calls are not supported (prompt[1].tool_calls)"
    assert f"{path}:2: {calls}; and 1 more like it (2 of 3,003 records)" in first
    assert f"{path}:3: chosen must be text, not 0; and 2,999 more like it (3,000 of 3,003 records)" in second
    assert "3002 of 3003 records cannot be read" in err


def test_check_says_that_scores_make_no_two_sides(tmp_path, capsys):
    path = written(tmp_path / "data.jsonl", {"prompt": "p", "completions": ["a", "b"], "scores": [1, 1]})
    assert cli.main(["data", "check", str(path)]) == 1
    out, err = capsys.readouterr()
    assert "1 left out, whose scores make no two sides" in out
    assert err.endswith("data.jsonl: there is no preference set in it\n")


def test_convert_keeps_scores_and_check_tells_where_they_are_at_odds_with_the_labels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scored = [{"prompt": "p", "completions": ["a", "b", "c"], "scores": scores} for scores in ([3, 1, 2.5], [5, 5, -1])]
    written(tmp_path / "in.jsonl", *scored)
    assert cli.main(["data", "convert", "in.jsonl", "out.jsonl", "--threshold", "2"]) == 0
    sets = [PreferenceSet("p", ["a", "c"], ["b"], [3, 2.5, 1]), PreferenceSet("p", ["a", "b"], ["c"], [5, 5, -1])]
    assert read_sets("out.jsonl") == sets
    odd = {"prompt": "p", "positives": ["a"], "negatives": ["b"], "scores": [0, 0.5]}
    with open("out.jsonl", "a") as file:
        file.write(f"{json.dumps(odd)}\n{json.dumps({**odd, 'scores': None})}\n")
    capsys.readouterr()
    assert cli.main(["data", "check", "out.jsonl"]) == 1
    line = "scores          -1 to 5, median 1.75; positives 3, negatives 0.5; in 1 set a negative has a higher one"
    out, err = capsys.readouterr()
    assert f"{line} than a positive; 1 set without\n" in out
    assert "scores must stand in all sets or in none: 1 of 4 has none, first out.jsonl:4\n" in err
    assert "scores" not in description([SUM])


def test_the_description_counts_responses_that_bring_their_own_end():
    assert "end tokens      none" in description([SUM])
    ended = PreferenceSet("p</s>", ["a</s>", "b</s>\n"], ["c<|endoftext|>", "</s>d"])
    assert "3 of 4 responses with an end of text of their own: 2 '</s>', 1 '<|endoftext|>'" in description([ended])


def test_check_lists_every_fault_and_exits_with_1(tmp_path, capsys):
    path = written(tmp_path / "data.jsonl", RECORDS["ours"][0], {"prompt": 3}, {"prompt": "p", "positives": ["a"]})
    assert cli.main(["data", "check", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out.count("fault: ") == 2
    assert f"{path}:2: the field 'positives' is missing" in out
    assert f"{path}:3: the field 'negatives' is missing" in out
    assert "2 of 3 records cannot be read" in err


def test_convert_says_that_only_some_sets_have_scores_and_leaves_them_out_if_asked(tmp_path, capsys):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    pairs = [{"prompt": "p", "chosen": "a", "rejected": "b", "score_chosen": 2, "score_rejected": 1}]
    pairs += [{"prompt": "q", "chosen": "c", "rejected": "d"}]
    source.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    for more, said in (([], True), (["--without-scores"], False)):
        assert cli.main(["data", "convert", str(source), str(output), "--overwrite", *more]) == 0
        assert ("1 of 2 has none" in capsys.readouterr().out) is said
        assert any(one.scores for one in read_sets(output)) is said


@pytest.mark.parametrize("name", RECORDS)
def test_convert_writes_our_lines(name, tmp_path, capsys):
    record, expected = RECORDS[name]
    path, output = written(tmp_path / "in.jsonl", record), tmp_path / "out.jsonl"
    assert cli.main(["data", "convert", str(path), str(output)]) == 0
    assert "1 record in" in capsys.readouterr().out
    assert read_sets(output, format="sets") == [expected]


def test_convert_writes_nothing_where_there_is_a_malformed_record(tmp_path, capsys):
    path = written(tmp_path / "in.jsonl", RECORDS["trl, plain"][0], {"prompt": "p", "chosen": "a"})
    (tmp_path / "out.jsonl").write_text("what was there")
    assert cli.main(["data", "convert", str(path), str(tmp_path / "out.jsonl"), "--overwrite"]) == 2
    assert f"{path}:2: the field 'rejected' is missing" in capsys.readouterr().err
    assert (tmp_path / "out.jsonl").read_text() == "what was there"
    assert len(list(tmp_path.iterdir())) == 2


def test_world_writes_what_the_function_makes(tmp_path):
    words = "--n 5 --seed 3 --split test --distractors 4 --agreement 0.5 --noise 0.5 --per-side 2"
    assert cli.main(["data", "world", str(tmp_path / "w.jsonl"), *words.split()]) == 0
    made = world_sets(5, seed=3, split="test", distractors=4, agreement=0.5, noise=0.5, per_side=2)
    assert read_sets(tmp_path / "w.jsonl") == made


def test_the_commands_of_the_data_readme_make_the_shipped_files(tmp_path, monkeypatch):
    readme = Path(__file__).parents[2] / "data" / "README.md"
    lines = [
        line.split() for line in readme.read_text().splitlines() if line.startswith("    mapl-explore data world data/")
    ]
    assert len(lines) == 3
    (tmp_path / "data" / "world").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for words in lines:
        assert cli.main(words[1:]) == 0
        assert Path(words[3]).read_bytes() == (readme.parent.parent / words[3]).read_bytes()
