"""What is written about the repository, against the repository: paths, names, floors, moves, versions, targets."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from test_layers import FLOORS

import mapl_explore

ROOT = Path(__file__).parents[1]
PAPERS = ("CONTRIBUTING.md", "SECURITY.md", "data/README.md", "docs/architecture.md", "docs/choosing.md")
PAPERS += ("docs/cluster.md", "docs/your-model.md")
PATH = re.compile(r"`((?:mapl_explore|tests|notebooks|docs|data|release)/[\w./-]*)`")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# An old path of the changelog, and where its content is now.
MOVED = re.compile(r"^\| `([\w/.]+)` \| (.+) \|$", re.MULTILINE)


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def named(text):
    """Return each path of a text with the names in backquotes between it and the next path."""
    _, *parts = PATH.split(text)
    return [(path, re.findall(r"`([A-Za-z_]\w*)`", after)) for path, after in zip(parts[::2], parts[1::2], strict=True)]


@pytest.mark.parametrize("name", PAPERS)
def test_every_path_that_is_named_is_there(name):
    paths = PATH.findall(text_of(name))
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_no_line_of_the_page_on_your_model_is_wide():
    assert [line for line in text_of("docs/your-model.md").splitlines() if len(line) > 120] == []


def test_the_page_on_choosing_names_what_there_is_and_its_shares_are_measured():
    text = text_of("docs/choosing.md")
    calls = re.findall(r"`([A-Z]\w+)[(`]", text)
    assert calls
    assert [name for name in calls if not hasattr(mapl_explore, name)] == []
    rows = re.findall(r"^\| ([\d.]+) \| (0.*) \|$", text, re.MULTILINE)
    assert len(rows) == 3
    for alpha, shares in rows:
        side = mapl_explore.Smooth(tau=1.0, alpha=float(alpha)).side
        ladders = [-step * np.arange(4) for step in (0.1, 0.5, 1.0, 2.0, 10.0)]
        assert shares.split(" | ") == [f"{side(ladder).weights[0]:.3f}" for ladder in ladders]


@pytest.mark.parametrize("walk", text_of("docs/architecture.md").split("\n## Walk ")[1:])
def test_every_name_of_a_walk_is_in_the_file_before_it(walk):
    for path, names in named(walk.split("\n\nFrom Python")[0]):
        source = text_of(path)
        assert [name for name in names if not re.search(rf"\b{name}\b", source)] == [], path


def test_the_table_of_rooms_has_the_floors_that_are_held():
    rows = re.findall(r"^\| (\d) \| (.*?) \|", text_of("docs/architecture.md"), re.MULTILINE)
    floors = [set() for _ in FLOORS]
    for number, rooms in rows:
        floors[int(number)] |= set(re.findall(r"`(\w+)`", rooms))
    assert floors == FLOORS


def test_the_list_of_files_has_every_file_of_the_package_and_no_other():
    part = text_of("docs/architecture.md").split("\n## Which file\n")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `mapl_explore/([\w/]+\.\w+)` \| .+ \|$", part, re.MULTILINE)
    package = ROOT / "mapl_explore"
    sources = {
        path
        for pattern in ("**/*.py", "explorers/browser/*", "serving/*.mjs", "words/*.po")
        for path in package.glob(pattern)
    }
    there = {path.relative_to(package).as_posix() for path in sources if path.name != "__init__.py"}
    assert {"missing": there - set(listed), "gone": set(listed) - there} == {"missing": set(), "gone": set()}
    assert len(listed) == len(there), "a file is listed twice"


def test_every_path_that_moved_is_gone_and_is_where_the_changelog_says():
    moves = MOVED.findall(text_of("CHANGELOG.md"))
    assert len(moves) > 40
    for old, new in moves:
        assert not (ROOT / old).exists(), old
        paths = re.findall(r"`(\w+/[\w/.]+)`", new)
        assert paths, old
        assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_sentences_that_a_new_loss_may_make_untrue_are_there():
    words = text_of("CONTRIBUTING.md").split("**Loss.**")[1].split("\n\n")[0]
    lesson = json.loads(text_of("notebooks/04_losses_and_gradients.ipynb"))
    prose = "".join(line for cell in lesson["cells"] for line in cell["source"])
    pages = " ".join(f"{prose} {text_of('docs/losses.md')} {text_of('notebooks/INSTRUCTOR.md')}".split())
    quoted = [" ".join(text.split()) for text in re.findall(r'"(.+?)"', words, re.DOTALL)]
    assert quoted
    assert [text for text in quoted if text not in pages] == []


def test_the_citation_has_the_version_of_the_package():
    citation = yaml.safe_load(text_of("CITATION.cff"))
    assert citation["version"] == mapl_explore.__version__
    assert citation["license"] == tomllib.loads(text_of("pyproject.toml"))["project"]["license"]


def test_a_commit_is_linted_by_the_version_that_make_lint_has():
    (version,) = re.findall(r"^ruff==(.*)$", text_of("constraints.txt"), re.MULTILINE)
    assert set(re.findall(r"ruff==([\w.]+)", text_of(".pre-commit-config.yaml"))) == {version}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_what_anyone_can_run_here(path):
    targets = set(re.findall(r"^([\w-]+):", text_of("Makefile"), re.MULTILINE))
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert len(commands) == len(jobs)
    for command in commands:
        program, *words = command.split()
        assert program == ".ci/run" or (program == "make" and words[0] in targets), command
