"""What is written is what its name says, whole or not at all."""

import json
import resource
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from format_records import RECORDS, SUM

from mapl_explore.cli import main as cli
from mapl_explore.data import PreferenceSet, read_sets, require_output, write_sets
from mapl_explore.data.world import world_sets

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
    texts = "a\u2028b", ["\n"], ["d", "\U0001f600"]
    sets = [PreferenceSet(*texts), PreferenceSet(*texts, scores=[1e-300, -1 / 3, 5]), *world_sets(20, seed=1)]
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
