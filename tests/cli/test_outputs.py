"""A file that is there is replaced by no command that is not told to."""

import itertools
import json
from pathlib import Path

import pytest
from command_lines import refused

from mapl_explore.cli import main as cli
from mapl_explore.sampling import answers as sampling

ACCEPT = ["--accept", "Band(low=-99, high=99)"]
WORLD = ["--verifier", "world", "--k", "8", "--max-tokens", "16", "--device", "cpu"]
# Of each command its words, the argument that names the file, and the file.
COMMANDS = {
    "convert": (["data", "convert", "sets.jsonl", "out.jsonl"], "OUT", "out.jsonl"),
    "world": (["data", "world", "out.jsonl", "--n", "2", "--seed", "1"], "OUT", "out.jsonl"),
    "score": (["score", "sets.jsonl", "out.csv", "--device", "cpu"], "OUT", "out.csv"),
    "select": (["select", "sets.jsonl", "out.jsonl", *ACCEPT, "--device", "cpu"], "OUT", "out.jsonl"),
    "sample": (["sample", "asked.jsonl", "out.jsonl", *WORLD], "output", "out.jsonl"),
    "draws": (["sample", "asked.jsonl", "sets-2.jsonl", "--draws", "out.csv", *WORLD], "draws", "out.csv"),
    "marks": (["marks", "ada", "--out", "out.csv"], "--out", "out.csv"),
    "show": (["show", "run", "--out", "out.svg"], "--out", "out.svg"),
    "ledger": (["ledger", "plans", "--output", "out.md"], "--output", "out.md"),
}


@pytest.fixture
def here(sets_file, world_file, monkeypatch):
    """A folder with sets, prompts, a student's marks, and a folder of no plans yet."""
    monkeypatch.chdir(sets_file.parent)
    with open(world_file) as lines:
        Path("asked.jsonl").write_text("".join(itertools.islice(lines, 4)))
    Path("ada").mkdir()
    Path("ada", "marks.json").write_text(json.dumps({"format": 1, "name": "", "answers": {}}))
    return sets_file.parent


def others(path):
    """Return all files of this folder except one, and what is in them."""
    return {one: one.read_bytes() for one in Path().rglob("*") if one.is_file() and one != Path(path)}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_there_is_refused_in_one_line_before_any_work(here, no_model, capsys, command):
    words, name, path = COMMANDS[command]
    Path(path).write_text("mine")
    before = others(path)
    said = f"mapl-explore: error: {name} must be a new file, but '{path}' exists: --overwrite replaces it\n"
    assert refused(capsys, *words) == (2, said)
    assert Path(path).read_text() == "mine"
    assert others(path) == before


@pytest.mark.parametrize("command", ["convert", "world", "score", "select", "sample", "draws", "marks"])
def test_with_overwrite_it_becomes_the_file_that_a_new_one_would_be(here, command):
    words, _, path = COMMANDS[command]
    assert cli.main(words) == 0
    new = Path(path).read_bytes()
    Path(path).write_text("mine")
    assert cli.main([*words, "--overwrite"]) == 0
    assert Path(path).read_bytes() == new


def test_the_file_that_is_read_is_not_replaced_with_overwrite_either(here, no_model, capsys):
    read = Path("asked.jsonl").read_bytes()
    for words in (["data", "convert", "asked.jsonl"], ["select", "asked.jsonl"], ["sample", "asked.jsonl"]):
        more = {"select": ACCEPT, "sample": WORLD}.get(words[0], [])
        code, said = refused(capsys, *words, "asked.jsonl", *more, "--overwrite")
        assert (code, "is the file that is read" in said) == (2, True)
    assert Path("asked.jsonl").read_bytes() == read


def test_draws_of_a_sampling_that_did_not_end_are_replaced_where_it_goes_on(here, monkeypatch):
    words = COMMANDS["draws"][0]
    with monkeypatch.context() as broken:
        broken.setattr(sampling, "write_sets", lambda *_: 1 / 0)
        assert cli.main(words) == 1
    drawn = Path("out.csv").read_bytes()
    assert cli.main(words) == 0
    assert Path("out.csv").read_bytes() == drawn
