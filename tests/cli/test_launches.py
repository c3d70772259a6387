"""Commands that several processes share write the bytes and print the lines of one, and end together."""

import json

import pytest
import torch
from launches import in_two_processes
from sampled_worlds import WORLD

from mapl_explore.cli.main import main
from mapl_explore.data import write_sets
from mapl_explore.models import processes
from mapl_explore.models.loading import load_model

# One launch does several commands: torch takes seconds to load, in each process.
COMMANDS = """
import json, sys
from mapl_explore.cli.main import main
from mapl_explore.models.processes import processes_of
with processes_of("cpu"):
    codes = [main(words) for words in json.loads(sys.argv[1])]
assert codes == [2, 0, 0, 0, 0, 0], codes
"""
# The other process fails, and the first one waits for it.
JUDGES = "import os\ndef other(prompt, answer): return os.environ['RANK'] == '0' or 1 / 0\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a model of other weights, and sets and prompts of many batches of three."""
    folder = tmp_path_factory.mktemp("launches")
    model, tokenizer = load_model("tiny")
    with torch.no_grad():
        model.transformer.wpe.weight *= 1.01
    for each in (model, tokenizer):
        each.save_pretrained(folder / "other")
    write_sets(folder / "sets.jsonl", WORLD)
    (folder / "judges.py").write_text(JUDGES)
    return folder


def commands(folder, output):
    """Return commands that read the same files, and write into a folder."""
    sets, both = str(folder / "sets.jsonl"), ["--device", "cpu", "--batch-size", "3"]
    other = ["--reference", str(folder / "other"), "--loss", "dpo"]
    accept, world = ["--accept", "Band(low=-9, high=9)", "--size", "40"], ["--verifier", "world", "--k", "4"]
    return [
        ["score", sets, str(output / "none" / "scores.jsonl"), *both],
        ["score", sets, str(output / "scores.jsonl"), *other[:2], *both],
        ["score", sets, str(output / "again.csv"), *both],
        ["select", sets, str(output / "pairs.jsonl"), *accept, *both, "--fresh"],
        ["tau", "--data", sets, *other, *both],
        ["sample", sets, str(output / "sampled.jsonl"), *world, *both, "--draws", str(output / "draws.jsonl")],
    ]


def test_two_processes_write_the_bytes_and_print_the_lines_of_one(folder, tmp_path, capsys, monkeypatch):
    one, two = tmp_path / "one", tmp_path / "two"
    for output in (one, two):
        output.mkdir()
    monkeypatch.setenv("MAPL_CACHE", str(tmp_path / "cache of one"))
    assert [main(words) for words in commands(folder, one)] == [2, 0, 0, 0, 0, 0]
    alone = capsys.readouterr()
    monkeypatch.setenv("MAPL_CACHE", str(tmp_path / "cache of two"))
    (tmp_path / "commands.py").write_text(COMMANDS)
    done = in_two_processes(tmp_path / "commands.py", json.dumps(commands(folder, two)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.replace(str(two), str(one)) == alone.out
    assert done.stderr.count("there is no folder") == alone.err.count("there is no folder") == 1
    written = sorted(path.name for path in one.iterdir())
    assert written == ["again.csv", "draws.jsonl", "pairs.jsonl", "sampled.jsonl", "scores.jsonl"]
    assert sorted(path.name for path in two.iterdir()) == written
    for name in written:
        assert (two / name).read_bytes() == (one / name).read_bytes(), name
    kept, others = ({path.name: path.read_bytes() for path in tmp_path.glob(f"cache of {n}/*")} for n in ("one", "two"))
    assert len(kept) == 2
    assert others == kept


def test_a_failure_in_one_process_is_one_line_and_ends_the_other_that_waits(folder, tmp_path):
    words = ["sample", folder / "sets.jsonl", tmp_path / "out.jsonl", "--verifier", f"{folder / 'judges.py'}:other"]
    done = in_two_processes("-m", "mapl_explore", *words, "--k", "2", "--device", "cpu", "--batch-size", "3")
    assert done.returncode != 0
    assert done.stderr.count("mapl-explore: error: ") == 1
    assert "failed on the prompt" in done.stderr
    assert done.stdout == ""
    assert {path.name for path in tmp_path.iterdir()} <= {"out.jsonl.progress-0", "out.jsonl.progress-1"}


@pytest.mark.parametrize("total", [1, 2, 3])
def test_work_is_divided_whole_and_evenly(total, monkeypatch):
    costs = [9, 7, 6, 5, 4, 3, 2, 2]
    shares = []
    for number in range(total):
        monkeypatch.setattr(processes, "launched", lambda number=number: (number, total))
        shares.append(processes.my_share(range(len(costs)), costs))
    assert sorted(item for share in shares for item in share) == [*range(len(costs))]
    loads = [sum(costs[item] for item in share) for share in shares]
    assert max(loads) - min(loads) <= min(costs)
