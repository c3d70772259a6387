"""The end of each lesson: what its reader can do now, in code that runs and commands that are there."""

import ast
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import mapl_explore
from mapl_explore.cli.main import _parser
from mapl_explore.experiments.recorded import recorded

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("0[1-7]*.ipynb"))
SETS = mapl_explore.ScoredSets([[-1.0, -4.0, -3.0, -5.0]], [[0.0] * 4], [[5] * 4], [[1, 1, -1, -1]])
LOSS = mapl_explore.CPO(beta=1.0)
# What a lesson has made by then, in small.
MADE = {
    "scores": np.array([-1.0, -2.0, -4.0]),
    "sets": SETS,
    "loss": LOSS,
    "pairs": mapl_explore.pair_margins(SETS, LOSS),
    "kernel": mapl_explore.Bell(center=0.0, width=2.0),
    "recorded": recorded,
    "rng": np.random.default_rng(0),
}


def abilities(path):
    """Return the items of the list of a lesson, each with its code."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    (found,) = re.findall(
        r"^## \d+ · What to take home .*?^\*\*You can now\*\*\n\n(.*?)\n\n\*\*Read on", text, re.M | re.S
    )
    return [re.findall("`([^`]+)`", item) for item in re.split(r"^\* ", found, flags=re.MULTILINE)[1:]]


PARTS = [pytest.param(code, id=code) for path in LESSONS for codes in abilities(path) for code in codes]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_a_lesson_ends_with_two_to_four_things_to_do_each_with_its_code(path):
    assert 2 <= len(abilities(path)) <= 4
    assert all(abilities(path))


@pytest.mark.parametrize("code", PARTS)
def test_the_code_is_a_command_that_is_there_or_runs_with_public_names(code):
    if code.startswith("mapl-explore "):
        assert _parser().parse_args(shlex.split(code)[1:]).run
        return
    names = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    assert names <= {*mapl_explore.__all__, *MADE}
    if '"runs/' not in code:  # those read a run, which takes a training
        given = {name: getattr(mapl_explore, name) for name in names - MADE.keys()}
        eval(code, given | MADE)
