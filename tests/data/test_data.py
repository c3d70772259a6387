"""Preference data in every format become the same sets; what is malformed is named by line, field and rule."""

import bz2
import gzip
import json
import lzma
import math
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import datasets
import pandas
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapl_explore.cli import main as cli
from mapl_explore.data import PreferenceSet, read_all, read_sets, require_output, write_sets
from mapl_explore.data.describing import description
from mapl_explore.data.reading import merged
from mapl_explore.data.world import world_sets

SUM = PreferenceSet("2 + 2 =", ["4"], ["5"])
TALK = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: 2 + 2?\n\nAssistant:"


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def human(text):
    return {"from": "human", "value": text}


def gpt(text):
    return {"from": "gpt", "value": text}


KIND = "\n\nSystem: Be kind.\n\nHuman: Hi\n\nAssistant:"
HISTORY = [user("Hi"), assistant("Hello"), user("2 + 2?")]

RECORDS = {
    "ours": ({"prompt": "2 + 2 =", "positives": ["4"], "negatives": ["5"]}, SUM),
    "trl, plain": ({"prompt": "2 + 2 =", "chosen": "4", "rejected": "5"}, SUM),
    "trl, conversational": (
        {"prompt": [user("2 + 2 =")], "chosen": [assistant("4")], "rejected": [assistant("5")]}, SUM,
    ),
    "trl, the prompt in both conversations": (
        {"chosen": [user("2 + 2 ="), assistant("4")], "rejected": [user("2 + 2 ="), assistant("5")]}, SUM,
    ),
    "trl, the prompt in words and in both conversations": (
        {"prompt": "2 + 2 =", "chosen": [user("2 + 2 ="), assistant("4")],
         "rejected": [user("2 + 2 ="), assistant("5")]}, SUM,
    ),
    "trl, the prompt in words next to messages": (
        {"prompt": "2 + 2 =", "chosen": [assistant("4")], "rejected": [assistant("5")]}, SUM,
    ),
    "trl, a longer conversation": (
        {"prompt": HISTORY, "chosen": [assistant("4")], "rejected": [assistant("5")]},
        PreferenceSet(TALK, [" 4"], [" 5"]),
    ),
    "trl, parts of text": (
        {"prompt": [user([{"type": "text", "text": "2 + "}, {"type": "text", "text": "2 ="}])],
         "chosen": [assistant([{"type": "text", "text": "4"}])], "rejected": [assistant(["5"])]}, SUM,
    ),
    "trl, a developer": (
        {"prompt": [{"role": "developer", "content": "Be kind."}, user("Hi")], "chosen": [assistant("a")],
         "rejected": [assistant("b")]}, PreferenceSet(KIND, [" a"], [" b"]),
    ),
    "trl, no calls of tools": (
        {"prompt": [{**user("2 + 2 ="), "tool_calls": None}], "tools": [], "images": None,
         "chosen": [{**assistant("4"), "tool_calls": []}], "rejected": [assistant("5")]}, SUM,
    ),
    "sharegpt": (
        {"conversations": [human("2 + 2 =")], "chosen": gpt("4"), "rejected": gpt("5"), "tools": "[]"}, SUM,
    ),
    "sharegpt, with a system": (
        {"conversations": [human("Hi")], "chosen": gpt("a"), "rejected": gpt("b"), "system": "Be kind."},
        PreferenceSet(KIND, [" a"], [" b"]),
    ),
    "sharegpt, a longer conversation": (
        {"conversations": [human("Hi"), gpt("Hello"), human("2 + 2?")], "chosen": [gpt("4")], "rejected": [gpt("5")]},
        PreferenceSet(TALK, [" 4"], [" 5"]),
    ),
    "trl, what came before and a longer beginning": (
        {"prompt": [user("Hi")], "chosen": [assistant("Hello"), user("2 + 2?"), assistant("4")],
         "rejected": [assistant("Hello"), user("2 + 2?"), assistant("5")]}, PreferenceSet(TALK, [" 4"], [" 5"]),
    ),
    "sharegpt, the conversation on both sides too": (
        {"conversations": [human("2 + 2 =")], "chosen": [human("2 + 2 ="), gpt("4")],
         "rejected": [human("2 + 2 ="), gpt("5")]}, SUM,
    ),
    "further fields that look like records": (
        {"prompt": "2 + 2 =", "positives": ["4"], "negatives": ["5"], "from": [{"chosen": "a"}]}, SUM,
    ),
    "alpaca": ({"instruction": "2 + 2 =", "input": "", "chosen": "4", "rejected": "5"}, SUM),
    "alpaca, with an input": (
        {"instruction": "Add.", "input": "2, 2", "chosen": "4", "rejected": "5"},
        PreferenceSet("Add.\n2, 2", ["4"], ["5"]),
    ),
    "openai": (
        {"input": {"messages": [user("2 + 2 =")], "tools": []}, "preferred_output": [assistant("4")],
         "non_preferred_output": [assistant("5")]}, SUM,
    ),
    "hh-rlhf": ({"chosen": TALK + " 4", "rejected": TALK + " 5"}, PreferenceSet(TALK, [" 4"], [" 5"])),
    "hh-rlhf, answers that begin alike": (
        {"chosen": TALK + " It is 4", "rejected": TALK + " It is 5"},
        PreferenceSet(TALK, [" It is 4"], [" It is 5"]),
    ),
    "ultrafeedback": (
        {"instruction": "2 + 2 =", "completions": [
            {"response": "4", "overall_score": 9.0}, {"response": "four?", "overall_score": 5.0},
            {"response": "5", "overall_score": 1.0}]}, SUM,
    ),
    "ultrafeedback, with all its fields": (
        {"source": "flan", "instruction": "2 + 2 =", "models": ["a", "b"], "completions": [
            {"response": "4", "overall_score": 9.0, "fine-grained_score": 4.0, "annotations": {"a": 1}, "model": "a"},
            {"response": "5", "overall_score": 1.0, "fine-grained_score": 2.0, "annotations": {"a": 1}, "model": "b"}],
         "correct_answers": ["four"], "incorrect_answers": ["five"]}, SUM,
    ),
    "ultrafeedback, binarized": (
        {"prompt": "2 + 2 =", "prompt_id": "a1", "chosen": [user("2 + 2 ="), assistant("4")],
         "rejected": [user("2 + 2 ="), assistant("5")], "messages": [user("2 + 2 ="), assistant("4")],
         "score_chosen": 9.0, "score_rejected": 1.0}, SUM,
    ),
    "a prompt within another, and what it was made of": (
        {"prompt": "Q: 2 +  2 =\n", "instruction": "2 + 2 =", "chosen": "4", "rejected": "5", "messages": "none"},
        PreferenceSet("Q: 2 +  2 =\n", ["4"], ["5"]),
    ),
    "a column of another format that is null": (
        {"prompt": "2 + 2 =", "positives": None, "negatives": None, "chosen": "4", "rejected": "5"}, SUM,
    ),
    "two formats that say the same": (
        {"prompt": "2 + 2 =", "chosen": "4", "rejected": "5", "completions": ["5", "4"], "scores": [0, 1]}, SUM,
    ),
    "a set with a field of pairs": (
        {"prompt": "2 + 2 =", "positives": ["4"], "negatives": ["5"], "rejected": False}, SUM,
    ),
    "completions next to scores": ({"prompt": "2 + 2 =", "completions": ["5", "4"], "scores": [0, 1]}, SUM),
}  # fmt: skip


def written(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("name", RECORDS)
def test_every_format_is_told_by_its_content(name, tmp_path):
    record, expected = RECORDS[name]
    assert read_sets(written(tmp_path / "data.jsonl", record)) == [expected]


@pytest.mark.parametrize("name", ["gone.jsonl", "gone.jsonl.gz", "gone.parquet"])
def test_a_file_that_is_not_there_is_told_by_its_name_and_the_reason(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="No such file or directory") as caught:
        read_sets(tmp_path / name)
    assert caught.value.filename == str(tmp_path / name)


@pytest.mark.parametrize("name", RECORDS)
def test_a_table_and_its_parquet_file_read_as_the_lines_do(name, tmp_path):
    record, expected = RECORDS[name]
    table = datasets.Dataset.from_list([record])
    table.to_parquet(tmp_path / "data.parquet")
    assert read_sets(table) == read_sets(tmp_path / "data.parquet") == [expected]


def test_a_compressed_file_reads_as_the_plain_one(tmp_path):
    write_sets(tmp_path / "plain.jsonl", world_sets(20, seed=1))
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress((tmp_path / "plain.jsonl").read_bytes()))
    assert read_sets(tmp_path / "packed.jsonl.gz") == world_sets(20, seed=1)


def test_a_compressed_file_cut_short_is_refused(tmp_path):
    write_sets(tmp_path / "plain.jsonl", world_sets(20, seed=1))
    packed = gzip.compress((tmp_path / "plain.jsonl").read_bytes())
    (tmp_path / "packed.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match=r"packed.jsonl.gz: not a whole gzip file"):
        read_sets(tmp_path / "packed.jsonl.gz")


NAMES = [
    "o",
    "o.jsonl",
    "o.ndjson",
    "o.json",
    "o.gz",
    "o.jsonl.gz",
    "o.json.gz",
    "o.parquet",
    "O.JSONL.GZ",
    "o.Parquet",
]
BEGINNINGS = {"gz": b"\x1f\x8b", "parquet": b"PAR1", "json": b"[\n{"}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_what_the_name_says_and_reads_back(name, tmp_path):
    sets = [PreferenceSet("a\u2028b", ["\n"], ["d", "\U0001f600"]), *world_sets(20, seed=1)]
    write_sets(tmp_path / name, iter(sets))
    beginning = (tmp_path / name).read_bytes()[:4]
    assert beginning.startswith(BEGINNINGS.get(name.lower().rpartition(".")[2], b'{"pr'))
    assert read_sets(tmp_path / name) == sets
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_what_is_written_reads_without_us(tmp_path):
    write_sets(tmp_path / "o.json", [SUM, SUM])
    write_sets(tmp_path / "o.parquet", [SUM, SUM])
    expected = [RECORDS["ours"][0]] * 2
    assert json.loads((tmp_path / "o.json").read_text()) == expected
    assert pyarrow.parquet.read_table(tmp_path / "o.parquet").to_pylist() == expected


@pytest.mark.parametrize("name", ["o.jsonl", "o.json", "o.jsonl.gz", "o.parquet"])
def test_a_full_disk_is_told_by_the_name_and_leaves_what_was_there(name, tmp_path):
    write_sets(tmp_path / name, [SUM])
    before, limit = (tmp_path / name).read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    sets = world_sets(300, seed=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))  # no file may grow further: to its writer, a full disk
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_sets(tmp_path / name, sets)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert caught.value.filename == str(tmp_path / name)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [(name, before)]


@pytest.mark.parametrize("name", ["o.jsonl.gz", "o.parquet"])
def test_the_same_sets_are_written_as_the_same_bytes(name, tmp_path, monkeypatch):
    write_sets(tmp_path / name, world_sets(5, seed=1))
    monkeypatch.setattr("time.time", lambda: 1e9)
    (tmp_path / "other").mkdir()
    write_sets(tmp_path / "other" / name, world_sets(5, seed=1))
    assert (tmp_path / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.parametrize(
    "suffix", ["csv", "tsv", "txt", "xlsx", "zip", "jsonl.zst", "bz2", "xz", "CSV", "csv.gz", "parquet.gz"]
)
@pytest.mark.parametrize("command", ["convert", "world"])
def test_a_name_of_another_format_is_refused_before_any_work(suffix, command, tmp_path, capsys):
    words = {"convert": [str(tmp_path / "gone.jsonl")], "world": ["--n", "3", "--seed", "1"]}[command]
    assert cli.main(["data", command, *words, str(tmp_path / f"o.{suffix}")]) == 2
    error = capsys.readouterr().err
    assert f"o.{suffix}' cannot be written: write .jsonl, .ndjson, .json, one of these and .gz, or .parquet" in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("output", "rule"),
    [("-", "not to the standard output"), ("nodir/o.jsonl", "no folder 'nodir'"), (".", "a folder"),
     ("/dev/null", "a device")],
)  # fmt: skip
def test_a_place_that_cannot_be_written_is_told_before_any_work(output, rule, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "convert", "gone.jsonl", output]) == 2
    assert rule in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_table_that_cannot_be_written_here_is_told_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert cli.main(["data", "convert", str(tmp_path / "gone.jsonl"), str(tmp_path / "o.parquet")]) == 1
    assert capsys.readouterr().err.endswith("is not installed: pip install 'mapl_explore[train]'\n")
    assert not list(tmp_path.iterdir())


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


@pytest.mark.parametrize(
    ("sets", "rule"),
    [(SUM, "sets must be a list"), (None, "sets must be a list"), ([SUM, {}], r"sets\[1\] must be a preference set"),
     ("ab", r"sets\[0\] must be a preference set, not 'a'")],
)  # fmt: skip
def test_what_is_no_list_of_sets_is_refused_and_nothing_is_written(sets, rule, tmp_path):
    with pytest.raises(TypeError, match=rule):
        write_sets(tmp_path / "o.jsonl", sets)
    with pytest.raises(ValueError, match="at least one"):
        write_sets(tmp_path / "o.jsonl", [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [None, 1, b"o.jsonl", Path])
def test_an_output_that_is_no_path_is_refused(path):
    with pytest.raises(TypeError, match="path must be the name of a file, not"):
        require_output(path)


@pytest.mark.parametrize(("name", "split"), [("some/pairs", "train"), ("some/pairs:test", "test")])
def test_a_name_that_is_no_file_is_asked_for_at_the_hub_by_split_and_without_code(name, split, monkeypatch):
    asked = []

    def load_dataset(*words, **options):
        asked.append((words, options))
        return datasets.Dataset.from_list([RECORDS["trl, plain"][0]])

    monkeypatch.setattr("huggingface_hub.HfApi", lambda: SimpleNamespace(dataset_info=lambda *_, **__: None))
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    assert read_sets(name) == [SUM]
    assert asked == [(("some/pairs",), {"split": split})]


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no route\nmore")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: SimpleNamespace(dataset_info=unreachable))
    with pytest.raises(OSError, match=r"^no file 'some/pairs' here, .*\(ConnectionError: no route\)$"):
        read_sets("some/pairs")


def pair(prompt, chosen, rejected):
    return PreferenceSet(prompt, [chosen], [rejected])


def test_pairs_of_a_prompt_merge_where_the_first_stands_each_text_once():
    pairs = [pair("p", "a", "b"), pair("q", "c", "d"), pair("p", "a", "e")]
    assert merged(pairs) == ([PreferenceSet("p", ["a"], ["b", "e"]), pairs[1]], 0)


def test_pairs_that_contradict_each_other_stay_sets_of_their_own():
    pairs = [pair("p", "a", "b"), pair("p", "x", "y"), pair("p", "b", "a"), pair("p", "x", "z")]
    assert merged(pairs) == ([pairs[0], PreferenceSet("p", ["x"], ["y", "z"]), pairs[2]], 2)


texts = st.sampled_from("abcd")


@given(st.lists(st.tuples(texts, texts).filter(lambda two: two[0] != two[1]), min_size=1), st.randoms())
def test_what_merges_depends_on_no_order_and_loses_no_pair(drawn, random):
    pairs = [pair("p", *two) for two in drawn]
    sets, apart = merged(pairs)
    shuffled, again = merged(random.sample(pairs, len(pairs)))

    def sides(sets):
        return sorted((sorted(one.positives), sorted(one.negatives)) for one in sets)

    assert (sides(sets), apart) == (sides(shuffled), again)
    for chosen, rejected in drawn:
        assert any(chosen in one.positives and rejected in one.negatives for one in sets)


SCORED = {"prompt": "p", "completions": ["a", "b", "c", "d"], "scores": [4, 3, 2, 1]}


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(None, (["a"], ["d"])), (2, (["a", "b", "c"], ["d"])), (2.5, (["a", "b"], ["c", "d"]))],
)
def test_scores_are_split_at_a_threshold_or_best_against_worst(threshold, expected, tmp_path):
    path = written(tmp_path / "scored.jsonl", SCORED)
    assert read_sets(path, threshold=threshold) == [PreferenceSet("p", *expected)]


def test_scores_that_make_no_two_sides_are_left_out_and_counted(tmp_path):
    equal = {"prompt": "q", "completions": ["a", "b"], "scores": [3, 3]}
    reading = read_all(written(tmp_path / "scored.jsonl", equal, SCORED))
    assert (len(reading.sets), reading.one_sided) == (1, 1)
    assert "1 left out, whose scores make no two sides" in str(reading)


MALFORMED = [
    ({"prompt": "p", "chosen": "a"}, "the field 'rejected' is missing"),
    ({"chosen": "a", "rejected": "b"}, "the field 'prompt' is missing"),
    ({"prompt": "p", "chosen": "a", "rejected": 3}, "rejected must be text, not 3"),
    ({"prompt": 3, "chosen": "a", "rejected": "b"}, "prompt must be text, not 3"),
    ({"prompt": "p", "chosen": "a", "rejected": "a"}, "chosen and rejected must not be the same text; both are 'a'"),
    ({"prompt": "p", "chosen": "a", "rejected": "\ud800"}, "rejected must be writable as UTF-8"),
    ({"chosen": [assistant("a")], "rejected": [assistant("b")]}, "'prompt' is missing, and chosen and rejected do not"),
    ({"prompt": [{"role": "oracle", "content": "?"}], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"prompt\[0\] must have a role of user, assistant, system"),
    ({"prompt": [{"role": "user"}], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"prompt\[0\].content must be text, not None"),
    ({"prompt": ["a"], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"prompt\[0\] must be a message with role and content, not 'a'"),
    ({"prompt": [{"role": [], "content": ""}], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"prompt\[0\] must have a role of"),
    ({"prompt": [user([])], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"prompt\[0\].content must be text, not \[\]"),
    ({"prompt": [user([{"type": "text"}])], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"prompt\[0\].content\[0\] must be text, not None"),
    ({"prompt": [user([{"type": "image_url", "image_url": "a"}])], "chosen": [assistant("a")],
      "rejected": [assistant("b")]},
     r"parts of a content that are not text are not supported \(prompt\[0\].content\[0\]: 'image_url'\)"),
    ({"prompt": "p", "images": ["a"], "chosen": "a", "rejected": "b"}, r"images and sound are not .*'images'"),
    ({"prompt": [user("a")], "tools": [{}], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"tool calls are not supported \(the field 'tools'\)"),
    ({"prompt": [user("a"), {"role": "assistant", "content": None, "tool_calls": [{}]}], "chosen": [assistant("a")],
      "rejected": [assistant("b")]}, r"tool calls are not supported \(prompt\[1\]\)"),
    ({"prompt": [user("a"), {"role": "tool", "content": "x"}], "chosen": [assistant("a")],
      "rejected": [assistant("b")]}, r"tool calls are not supported \(prompt\[1\]\)"),
    ({"conversations": [human("a"), {"from": "observation", "value": "x"}], "chosen": gpt("a"), "rejected": gpt("b")},
     r"tool calls are not supported \(conversations\[1\]\)"),
    ({"conversations": [human("a")], "chosen": {"from": "function_call", "value": "x"}, "rejected": gpt("b")},
     r"tool calls are not supported \(chosen\[0\]\)"),
    ({"conversations": [{"from": "human"}], "chosen": gpt("a"), "rejected": gpt("b")},
     r"conversations\[0\].value must be text, not None"),
    ({"conversations": [human("a")], "chosen": gpt("a"), "rejected": gpt("b"), "system": 3},
     "system must be text, not 3"),
    ({"instruction": "a", "input": 3, "chosen": "a", "rejected": "b"}, "input must be text, not 3"),
    ({"instruction": "a", "history": [["b", "c"]], "chosen": "a", "rejected": "b"},
     r"more than instruction and input is not supported \(the field 'history'\)"),
    ({"input": "a", "preferred_output": [assistant("a")], "non_preferred_output": [assistant("b")]},
     "input must be an object with messages, not 'a'"),
    ({"input": {"messages": [user("a")]}, "preferred_output": [assistant("a")]},
     "the field 'non_preferred_output' is missing"),
    ({"prompt": {"0": "p"}, "chosen": {"0": "a"}, "rejected": {"0": "b"}}, "a whole table, as pandas writes it"),
    ({"0": {"prompt": "p", "chosen": "a", "rejected": "b"}}, "a whole table, as pandas writes it"),
    ({"columns": ["prompt"], "index": [0], "data": [["p"]]}, "a whole table, as pandas writes it"),
    ({"schema": {}, "data": [{"prompt": "p", "chosen": "a", "rejected": "b"}]}, "a whole table, as pandas writes it"),
    ({"data": [{"prompt": "p", "chosen": "a", "rejected": "b"}]}, "a list of them under 'data'; write that list alone"),
    ({"prompt": "p", "completions": ["a", "b"], "scores": [1, 10**400]}, r"scores\[1\] must be a finite number"),
    ({"prompt": "p", "completions": ["a", "b"], "scores": [1, -math.inf]}, r"scores\[1\] must be a finite number"),
    ({"chosen": TALK + " 4", "rejected": "\n\nHuman: no\n\nAssistant: 5"}, "chosen and rejected must begin alike"),
    ({"prompt": "p", "completions": []}, r"completions must be a list with at least one completion, not \[\]"),
    ({"prompt": "p", "completions": ["a"], "scores": [1, 2]}, "scores must be a list as long as completions"),
    ({"prompt": "p", "completions": ["a", "b"], "scores": [1, "2"]}, r"scores\[1\] must be a finite number, not '2'"),
    ({"prompt": "p", "completions": ["a", "b"], "scores": [1, float("nan")]}, r"scores\[1\] must be a finite number"),
    ({"prompt": "p", "completions": ["a", "a"], "scores": [1, 2]}, "a response must not stand on both sides"),
    ({"prompt": "p", "completions": [{"response": "a"}]}, r"the field 'completions\[0\].score' or .* is missing"),
    ({"prompt": "p", "completions": ["a"]}, r"completions\[0\] must be an object with text and score, not 'a'"),
    ({"prompt": "p", "positives": ["a"]}, "the field 'negatives' is missing"),
    ({"prompt": "p", "positives": ["a"], "negatives": ["a"]}, "a response must not stand on both sides"),
    ({"question": "p"}, r"no format that is read \(pairs of TRL, Alpaca, ShareGPT .*\) has these fields: 'question'"),
    ({"instruction": "p", "input": "", "output": "a"}, "these are Alpaca's instructions, without a rejected response"),
    ({"conversations": [human("p"), gpt("a")]}, "these are ShareGPT's conversations, without a rejected response"),
    ({"messages": [user("p"), assistant("a")]}, "these are OpenAI's messages, without a rejected response"),
    ({"prompt": "p", "completion": "a"}, "these are TRL's prompts with a completion, without a rejected response"),
    ({"prompt": [user("p")], "chosen": [user("a")], "rejected": [assistant("b")]},
     r"chosen must end with a message of the assistant, not with chosen\[0\] of the role 'user'"),
    ({"prompt": [user("p")], "chosen": [assistant("a")], "rejected": [assistant("b"), user("c")]},
     r"rejected must end with .*, not with rejected\[1\] of the role 'user'"),
    ({"conversations": [human("p")], "chosen": gpt("a"), "rejected": human("b")},
     r"rejected must end with .*, not with rejected\[0\] of the role 'human'"),
    ({"input": {"messages": [user("p")]}, "preferred_output": [{"role": "system", "content": "a"}],
      "non_preferred_output": [assistant("b")]},
     r"preferred_output must end with .*, not with preferred_output\[0\] of the role 'system'"),
    ({"prompt": "p", "positives": ["a"], "negatives": ["b"], "chosen": "c", "rejected": "b"},
     "the fields of two formats are in it, sets and trl, and say different things"),
    ({"prompt": "p", "positives": ["a"], "chosen": "a", "rejected": "b"}, "two formats are in it, sets and trl"),
    ({"prompt": "p", "positives": ["a"], "negatives": ["b"], "completions": ["a", "c"], "scores": [1, 0]},
     "two formats are in it, sets and scored"),
    ({"prompt": "p", "chosen": "a", "rejected": "b", "completions": ["a", "c", "b"], "scores": [2, 0, 1]},
     "two formats are in it, scored and trl"),
    ({"prompt": "p", "chosen": "a", "rejected": "b", "completions": ["a", "b"]}, "two formats are in it, scored and"),
    ({"prompt": "p", "chosen": "a", "rejected": "b", "input": {"messages": [user("p")]},
      "preferred_output": [assistant("a")], "non_preferred_output": [assistant("c")]},
     "two formats are in it, openai and trl"),
    ({"prompt": "p", "chosen": TALK + " 4", "rejected": TALK + " 5"}, "two formats are in it, hh-rlhf and trl"),
    ({"prompt": "p", "instruction": "q", "chosen": "a", "rejected": "b"},
     r"Alpaca's field 'instruction' is another prompt than the one read \('q', 'p'\)"),
    ({"prompt": "p", "messages": [user("q"), assistant("a")], "completions": ["a", "b"], "scores": [1, 0]},
     r"OpenAI's field 'messages' is another prompt than the one read \('q', 'p'\)"),
    ({"prompt": "p", "conversations": [human("q")], "chosen": gpt("a"), "rejected": gpt("b")},
     "ShareGPT's field 'conversations' is another prompt"),
    ({"prompt": "p", "chosen": [user("q"), assistant("a")], "rejected": [user("q"), assistant("b")]},
     r"TRL's field 'prompt' is another prompt than the one read \('p', 'q'\)"),
    ({"prompt": {"a": "p"}, "chosen": {"a": "a"}, "rejected": {"a": "b"}}, "a whole table, as pandas writes it"),
    ({"a": {"prompt": "p", "chosen": "a", "rejected": "b"}}, "a whole table, as pandas writes it"),
    ({"prompt": ["p", "q"], "chosen": ["a", "b"], "rejected": ["b", None]}, "a whole table, as pandas writes it"),
    ({"prompt": ["p"], "positives": [["a"]], "negatives": [["b"]]}, "a whole table, as pandas writes it"),
    ({"instruction": ["p"], "completions": [[]], "source": [1]}, "a whole table, as pandas writes it"),
    ({"chosen": ["p"], "rejected": ["q"]}, "a whole table, as pandas writes it"),
    ({"prompt": None, "positives": ["a"], "negatives": ["b"]}, "the field 'prompt' is null"),
    ({"prompt": "p", "positives": None, "negatives": ["b"]}, "the field 'positives' is null"),
    ({"prompt": "p", "chosen": "a", "rejected": None}, "the field 'rejected' is null"),
    ({"prompt": None, "instruction": None, "completions": ["a"]}, "the field 'prompt' or 'instruction' is null"),
    ({"prompt": ["p"], "chosen": [[assistant("a")]], "rejected": [[assistant("b")]]}, "a whole table, as pandas"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "rule"), MALFORMED)
def test_a_malformed_record_is_named_by_file_and_line_and_rule(record, rule, tmp_path):
    with pytest.raises(ValueError, match=rf"data.jsonl:1: .*{rule}"):
        read_sets(written(tmp_path / "data.jsonl", record))


@pytest.mark.parametrize(
    ("line", "rule"),
    [(b"[1]", "not a JSON object but"), (b"{", "not a JSON"), (b'{"prompt": \n', "column 1[12]"), (b"\xff", "UTF-8")],
)
def test_a_line_that_is_no_object_is_named(line, rule, tmp_path):
    path = written(tmp_path / "data.jsonl", RECORDS["ours"][0])
    path.write_bytes(path.read_bytes() + b"\n" + line)
    with pytest.raises(ValueError, match=rf"data.jsonl:3: .*{rule}"):
        read_sets(path)


PAIR = {"prompt": "2 + 2 =", "chosen": "4", "rejected": "5"}
STACKED = {
    "an array on one line": json.dumps([PAIR, PAIR]),
    "an array with a record a line": f"[\n{json.dumps(PAIR)},\n{json.dumps(PAIR)}\n]\n",
    "an array over many lines": json.dumps([PAIR, PAIR], indent=2),
    "an array after blank lines": "\n \n" + json.dumps([PAIR, PAIR], indent=2) + "\n\n",
    "objects over many lines": json.dumps(PAIR, indent=2) + "\n" + json.dumps(PAIR, indent=2),
    "one object over many lines": json.dumps(PAIR, indent=2),
}


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "mark"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("form", STACKED)
def test_json_is_read_however_it_is_laid_out(form, pack, mark, tmp_path):
    (tmp_path / "data.jsonl").write_bytes(pack((mark + STACKED[form]).encode()))
    assert read_sets(tmp_path / "data.jsonl") == [SUM]


@pytest.mark.parametrize("lay_out", [json.dumps, lambda rows: "".join(json.dumps(row) + "\n" for row in rows)])
def test_a_table_without_names_of_columns_is_told_in_one_line(lay_out, tmp_path, capsys):
    rows = pandas.DataFrame([PAIR, PAIR]).values.tolist()
    (tmp_path / "data.json").write_text(lay_out(rows))
    with pytest.raises(
        ValueError, match=r"data.json:1: .*a list, without names .*frame.to_json\(FILE, orient='records'"
    ):
        read_sets(tmp_path / "data.json")
    cli.main(["data", "check", str(tmp_path / "data.json")])
    assert capsys.readouterr().out.count("fault: ") == 1


@pytest.mark.parametrize("fault", ["the text of", "a control character in", "an escape in", "an end of"])
def test_a_fault_in_json_is_told_in_words_that_stand_once(fault, tmp_path):
    line = {
        "the text of": '{"prompt": "p',
        "a control character in": '{"prompt": "a\x01b"}',
        "an escape in": r'{"prompt": "a\qb"}',
        "an end of": '{"prompt": "a\\',
    }[fault]
    path = written(tmp_path / "data.jsonl", PAIR)
    path.write_text(path.read_text() + line)
    with pytest.raises(ValueError, match=r"data.jsonl:2: not a JSON object \([^:]+\w at column 1[1-6]\)$") as caught:
        read_sets(path)
    assert "at at" not in str(caught.value)


def test_an_array_of_another_encoding_is_told_by_its_line(tmp_path):
    (tmp_path / "data.json").write_bytes('\n[{"prompt": "p"},\n{"prompt": "é"}]'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"data.json:3: not UTF-8 text \(invalid"):
        read_sets(tmp_path / "data.json")


def test_a_fault_in_an_array_is_told_by_the_number_and_the_line_of_its_record(tmp_path):
    (tmp_path / "data.json").write_text("\n" + json.dumps([PAIR, {"prompt": "p", "chosen": "a"}, 3], indent=1))
    places = [str(fault).partition("data.json: ")[2] for fault in read_all(tmp_path / "data.json").faults]
    assert places == [
        "record 2 (line 8): the field 'rejected' is missing",
        "record 3 (line 12): not a JSON object but 3",
    ]


BROKEN = {
    "[1, 2": r"data: the array has no end",
    "[": r"data: the array has no end",
    '[{"a": 1},\n{"a" 2}]': r"data: record 2 \(line 2\): not a JSON object \(Expecting ':' .* at line 2 column 6\)",
    "[{}\n{}]": r"data: record 1 \(line 1\): after it a comma or the end of the array must come, not '{}\]'",
    "[{}]\n[{}]": r"data: text after the end of the array",
    "[" * 100_000: r"data: record 1 \(line 1\): .*nested too deeply",
    "[" + "9" * 5000 + "]": r"data: record 1 \(line 1\): .*a whole number of more than 4300 digits",
    "{": r"data: record 1 \(line 1\): not a JSON object \(Expecting property name",
    '{"prompt":' * 100_000: r"data: record 1 \(line 1\): .*nested too deeply|data:1: .*nested too deeply",
    '{"prompt": ' + "9" * 5000 + "}": r"data:1: .*a whole number of more than 4300 digits",
    '{"prompt": "p", "completions": ["a", "b"], "scores": [1, 1e999]}': r"data:1: scores\[1\] .*finite .*, not inf",
    '{"prompt": "p", "completions": ["a", "b"], "scores": [NaN, 1]}': r"data:1: scores\[0\] .*finite .*, not nan",
    "": "data: there is nothing in it, no record at all",
    " \n\t\r\n": "data: there is nothing in it, no record at all",
    "\ufeff\n": "data: there is nothing in it, no record at all",
    "[]": "data: there is nothing in it, no record at all",
    "prompt,chosen,rejected\nq,yes,no\n": r"data:1: not a JSON object but 'prompt,chosen,rejected'; if this is CSV,"
    r" write it as JSONL first: python -c \"import pandas; pandas.read_csv\('.*data'\).to_json\('data.jsonl', .*\)\"$",
    '"prompt";"chosen"\n': r"data:1: not a JSON object but '\"prompt\";\"chosen\"'; .*'.*data', sep=';'\).to_json",
    "prompt\tchosen, or not\trejected\n": r"if this is TSV, .* pandas.read_csv\('.*data', sep='\\t'\).to_json",
    "<html>": "data: not JSON in UTF-8 but an HTML page: download the file itself",
    "\n <!DOCTYPE html>\n<html>": "data: not JSON in UTF-8 but an HTML page: download the file itself",
    "# c, d\n{}": "data: not JSON in UTF-8 but a comment, and JSON has none: remove it$",
    "<a, b>": r"data:1: not a JSON object but '<a, b>'",
    "null\n": r"data:1: not a JSON object but None$",
    "3": r"data:1: not a JSON object but 3$",
    '"a, b"\n{': r"data:1: not a JSON object but 'a, b'$",
}


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_a_file_that_is_no_list_of_records_is_one_line(content, tmp_path, capsys):
    (tmp_path / "data").write_text(content)
    with pytest.raises(ValueError, match=BROKEN[content]):
        read_sets(tmp_path / "data")
    assert cli.main(["data", "check", str(tmp_path / "data")]) in (1, 2)
    out, err = capsys.readouterr()
    assert out.count("fault: ") <= 1
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"PK\x03\x04\x14", "a zip archive"), (pickle.dumps({"a": 1}), "a pickle"), (b"\x08\x00{}", "a binary file"),
     ('{"prompt": "é"}'.encode("utf-16"), "UTF-16 text"), ('{"prompt": "é"}'.encode("utf-16-le"), "a binary file"),
     (b"\x89PNG\r\n\x1a\n, ", "an image"), (b"%PDF-1.7, a\n", "a PDF file"), (b"a,\x01b;c\n", "a binary file"),
     (b"version https://git-lfs.github.com/spec/v1\noid sha256:4\n", "a Git LFS pointer, .* git lfs pull"),
     ("d,\u00e9".encode("latin-1"), "a binary file, or text of another encoding"),
     (bz2.compress(b"{}"), "a bzip2 file"), (lzma.compress(b"{}"), "an xz file")],
)  # fmt: skip
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_that_is_no_text_is_told_by_what_it_is(content, kind, pack, tmp_path):
    for name in ("data.jsonl", "data.csv"):
        (tmp_path / name).write_bytes(pack(content))
        with pytest.raises(ValueError, match=rf"{name}: not JSON in UTF-8 but {kind}"):
            read_sets(tmp_path / name)


def test_the_content_and_not_the_name_tells_what_a_file_is(tmp_path):
    write_sets(tmp_path / "o.parquet", [SUM])
    write_sets(tmp_path / "o.jsonl.gz", [SUM])
    write_sets(tmp_path / "o.jsonl", [SUM])
    others = ("o.parquet", "a.jsonl"), ("o.jsonl.gz", "b.csv"), ("o.jsonl", "c.jsonl.gz")
    for name, other in others:
        assert read_sets((tmp_path / name).rename(tmp_path / other)) == [SUM]


@pytest.mark.parametrize("content", [b"", b"text", b"PAR1 and no more"])
def test_a_broken_parquet_file_is_one_line(content, tmp_path):
    (tmp_path / "o.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"o.parquet: not a whole parquet file \("):
        read_sets(tmp_path / "o.parquet")


def test_the_way_out_does_not_write_over_the_table(tmp_path):
    (tmp_path / "a.jsonl").write_text("prompt\tchosen\trejected\n")
    with pytest.raises(ValueError, match=r"to_json\('a_records.jsonl'"):
        read_sets(tmp_path / "a.jsonl")


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.csv.gz", "a.tsv", "a.xlsx"])
def test_a_table_of_another_program_is_refused_by_name_with_the_way_out(name, tmp_path):
    (tmp_path / name).write_text("prompt,chosen,rejected\nq,yes,no\n")
    with pytest.raises(ValueError, match=rf"{name}: .* is not read; write it as JSONL .*pandas.read_\w+\('.*{name}'"):
        read_sets(tmp_path / name)


@pytest.mark.parametrize(
    ("suffix", "separator"), [("csv", ","), ("csv", ";"), ("csv", "\t"), ("tsv", "\t"), ("tsv", ",")]
)
def test_the_way_out_of_csv_works(suffix, separator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(f"a.{suffix}").write_text("prompt,chosen,rejected\n2 + 2 =,four,five\n".replace(",", separator))
    with pytest.raises(ValueError, match="python -c") as caught:
        read_sets(f"a.{suffix}")
    exec(str(caught.value).partition('python -c "')[2].removesuffix('"'), {})
    assert read_sets("a.jsonl") == [PreferenceSet("2 + 2 =", ["four"], ["five"])]


def test_the_standard_input_is_read_by_its_name(tmp_path):
    words = [sys.executable, "-m", "mapl_explore", "data", "check"]
    done = subprocess.run([*words, "/dev/stdin"], input=json.dumps(PAIR), capture_output=True, text=True)
    assert "/dev/stdin: 1 record in the format trl, 1 set" in done.stdout
    with pytest.raises(ValueError, match=r"'-' is no file; to read the standard input, name /dev/stdin"):
        read_sets("-")


def test_records_in_a_list_are_read_and_named_by_their_row():
    assert read_sets([PAIR, PAIR]) == [SUM]
    with pytest.raises(ValueError, match=r"^row 2: the field 'rejected' is missing"):
        read_sets([PAIR, {"prompt": "p", "chosen": "a"}])


@pytest.mark.parametrize(
    ("source", "rule"),
    [(None, "not None"), (3, "not 3"), (PreferenceSet, "not <class"), (datasets.Dataset, "not <class"),
     ((one for one in [PAIR]), "not <generator"), ({"prompt": "p"}, r"not \{'prompt'"), (b"a.jsonl", "not b'a"),
     (pyarrow.table({"prompt": ["p"]}), "not pyarrow.Table"),
     (pandas.DataFrame([PAIR]), r"of a pandas DataFrame, datasets.Dataset.from_pandas\(frame\), not"),
     (datasets.DatasetDict(test=datasets.Dataset.from_list([PAIR])), r"one split .*, as source\['test'\]")],
)  # fmt: skip
def test_a_source_of_another_kind_is_one_line(source, rule):
    with pytest.raises(TypeError, match=f"^source must .*{rule}"):
        read_sets(source)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError):
        read_sets(tmp_path)


def test_a_table_of_pandas_is_read_by_the_way_that_the_error_names():
    assert read_sets(datasets.Dataset.from_pandas(pandas.DataFrame([PAIR]))) == [SUM]


def test_a_byte_order_mark_and_unusual_line_breaks_are_no_fault(tmp_path):
    one = PreferenceSet("a\u2028b\x85c", ["\u2029"], ["d"])
    write_sets(tmp_path / "odd.jsonl", [one, SUM])
    (tmp_path / "odd.jsonl").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "odd.jsonl").read_bytes())
    assert read_sets(tmp_path / "odd.jsonl") == [one, SUM]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"format": "dpo"}, "format must be one of sets, .*'dpo'"),
        ({"format": []}, r"format must be one of sets, .*not \[\]"),
        ({"threshold": 2}, "threshold belongs to scored"),
        ({"threshold": math.nan}, "threshold must be a finite number"),
        ({"threshold": "2"}, "threshold must be a finite number, not '2'"),
    ],
)
def test_an_option_that_does_not_belong_is_named(options, rule, tmp_path):
    with pytest.raises(ValueError, match=rule):
        read_sets(written(tmp_path / "data.jsonl", RECORDS["ours"][0]), **options)


def test_a_format_that_is_given_is_the_one_that_is_read(tmp_path):
    path = written(tmp_path / "both.jsonl", {**RECORDS["ours"][0], "chosen": "c", "rejected": "d"})
    assert read_sets(path, format="sets") == [SUM]
    assert read_sets(path, format="trl") == [pair("2 + 2 =", "c", "d")]


def test_the_fields_of_another_format_are_a_fault_in_every_record(tmp_path):
    path = written(tmp_path / "both.jsonl", RECORDS["ours"][0], {**RECORDS["ours"][0], "chosen": "c", "rejected": "d"})
    with pytest.raises(ValueError, match=r"both.jsonl:2: the fields of two formats are in it, sets and trl"):
        read_sets(path)


def test_the_description_counts_what_is_odd():
    sets = [pair("p", "a", "b"), pair("p", "a", "b"), pair("p", "b", "c"), PreferenceSet("q", ["a", "a"], ["b"])]
    text = description(sets)
    assert "4, of 2 prompts; 5 positives, 4 negatives" in text
    assert "2 sets of a prompt that came before, 1 of them the same set; 1 text repeated in a side" in text
    assert "1 prompt with a text accepted in one set and rejected in another: 'p'" in text


def test_check_describes_a_sound_file_and_exits_with_0(tmp_path, capsys):
    path = written(tmp_path / "data.jsonl", RECORDS["trl, plain"][0])
    assert cli.main(["data", "check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "1 record in the format trl, 1 set" in out
    assert "contradictions  none" in out


def test_check_tells_faults_of_one_kind_in_one_line(tmp_path, capsys):
    talk = {"chosen": [assistant("a")], "rejected": [assistant("b")]}
    tools = {**talk, "prompt": [user("Hi"), {"role": "tool", "content": "x"}]}
    numbers = [{**PAIR, "chosen": i} for i in range(3000)]
    path = written(tmp_path / "data.jsonl", PAIR, tools, *numbers, {**tools, "prompt": tools["prompt"][1:]})
    assert cli.main(["data", "check", str(path)]) == 1
    out, err = capsys.readouterr()
    first, second = [line for line in out.splitlines() if line.startswith("fault: ")]
    assert f"{path}:2: tool calls are not supported (prompt[1]); and 1 more like it (2 of 3,003 records)" in first
    assert f"{path}:3: chosen must be text, not 0; and 2,999 more like it (3,000 of 3,003 records)" in second
    assert "3002 of 3003 records cannot be read" in err


def test_check_says_that_scores_make_no_two_sides(tmp_path, capsys):
    path = written(tmp_path / "data.jsonl", {"prompt": "p", "completions": ["a", "b"], "scores": [1, 1]})
    assert cli.main(["data", "check", str(path)]) == 1
    out, err = capsys.readouterr()
    assert "1 left out, whose scores make no two sides" in out
    assert err.endswith("data.jsonl: there is no preference set in it\n")


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
    assert cli.main(["data", "convert", str(path), str(tmp_path / "out.jsonl")]) == 2
    assert f"{path}:2: the field 'rejected' is missing" in capsys.readouterr().err
    assert (tmp_path / "out.jsonl").read_text() == "what was there"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif("MAPL_REAL_SETS" not in os.environ, reason="MAPL_REAL_SETS names no file of real sets")
def test_real_sets_are_read_described_and_come_back_from_their_pairs(tmp_path):
    sets = read_sets(os.environ["MAPL_REAL_SETS"])
    assert f"{len(sets)}, of " in description(sets)
    pairs = [pair(one.prompt, a, b) for one in sets for a in one.positives for b in one.negatives]
    records = [{"prompt": one.prompt, "chosen": one.positives[0], "rejected": one.negatives[0]} for one in pairs]
    again = read_sets(written(tmp_path / "pairs.jsonl", *records))
    for one, other in zip(sets, again, strict=True):
        assert other == PreferenceSet(one.prompt, [*dict.fromkeys(one.positives)], [*dict.fromkeys(one.negatives)])


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


def test_describing_and_reading_lines_do_not_wait_for_datasets(tmp_path):
    path = written(tmp_path / "data.jsonl", RECORDS["ours"][0])
    code = (
        "import sys; from mapl_explore.cli import main as cli; cli.main(sys.argv[1:]); print('datasets' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, "data", "check", str(path)], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("ending", ["", "\n]"])
def test_a_field_that_stands_twice_is_a_fault_with_its_place(tmp_path, ending):
    record = '{"prompt": "a", "positives": ["x"], "negatives": ["y"], "positives": ["z"]}'
    path = tmp_path / "twice.json"
    path.write_text(("[" if ending else "") + record + ending)
    with pytest.raises(ValueError, match=r"twice\.json.*1.*the field 'positives' stands in it twice"):
        read_sets(path)


@pytest.mark.parametrize("texts", [{"b", "c"}, frozenset("b"), {"b": 1}])
def test_texts_without_an_order_are_no_side(texts):
    with pytest.raises(TypeError, match="negatives must be a list of texts, not "):
        PreferenceSet("a", ["x"], texts)
    with pytest.raises(TypeError, match="positives must be a list of texts, not "):
        PreferenceSet("a", texts, ["x"])


def test_columns_given_as_records_are_told_the_way():
    with pytest.raises(TypeError, match=r"of columns, datasets.Dataset.from_dict\(columns\), not {'prompt'"):
        read_sets({"prompt": ["p"], "chosen": ["a"], "rejected": ["b"]})
