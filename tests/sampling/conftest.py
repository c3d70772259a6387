"""What the tests of sampling share: a file of prompts, and a module of verifiers."""

import sys

import pytest
from sampled_worlds import WORLD

from mapl_explore.data import write_sets

JUDGES = """
import numpy as np
def short(prompt, answer): return len(answer) < 3
def odd(prompt, answer): return 'yes'
def one(prompt, answer): return 1
def none(prompt, answer): pass
def array(prompt, answer): return np.array([True])
def numpys(prompt, answer): return np.bool_(True)
def broken(prompt, answer):
    return halved(answer)
def halved(answer): return 1 / 0
def ends(prompt, answer): raise SystemExit(3)
def alone(prompt): return True
number = 3
"""


JUDGES += """
import functools
async def waits(prompt, answer): return True
def yields(prompt, answer): yield True
async def both(prompt, answer): yield True
class Judge:
    async def __call__(self, prompt, answer): return True
    async def method(self, prompt, answer): return True
class Plain:
    def __call__(self, prompt, answer): return True
judge, method, plain = Judge(), Judge().method, Plain()
def strict(level, prompt, answer): return True
part, part_of_object = functools.partial(functools.partial(waits)), functools.partial(Judge())
part_of_plain = functools.partial(strict, 3)
class Made:
    def __init__(self, prompt, answer): pass
"""


@pytest.fixture
def world_file(tmp_path):
    write_sets(tmp_path / "world.jsonl", WORLD)
    return tmp_path / "world.jsonl"


@pytest.fixture
def judges(tmp_path, monkeypatch):
    """Write a module of verifiers in the folder of this process, and return its path."""
    (tmp_path / "my_own_judges.py").write_text(JUDGES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path / "my_own_judges.py"
    sys.modules.pop("my_own_judges", None)
