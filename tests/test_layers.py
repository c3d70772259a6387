"""The rooms: imports point down only, and the door opens without the heavy libraries."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mapl_explore

ROOT = Path(mapl_explore.__file__).parent
# Each room may import from rooms of a lower floor.
FLOORS = [
    {"files", "launch", "notes", "moved", "own_code", "rounding", "version", "words", "numerics"},
    {"losses", "data", "course", "plots"},
    {"models", "runs", "serving"},
    {"sampling"},
    {"training"},
    {"experiments"},
    {"cli", "explorers"},
    {"__main__", "__init__"},
]
HEAVY = ("torch", "transformers", "matplotlib", "ipywidgets", "IPython", "datasets", "pandas")


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(text):
    """Return the rooms of the package that a source imports anywhere; the public door counts as the room __init__."""
    rooms = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            rooms |= {room_of(alias.name) for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            rooms |= {room_of(f"{node.module}.{alias.name}") for alias in node.names}
    return rooms - {None}


def room_of(name):
    """Return the room of a dotted name, None where it is none of ours."""
    package, *rest = name.split(".")
    if package != "mapl_explore":
        return None
    return rest[0] if rest and rest[0] in set().union(*FLOORS) else "__init__"


def floor(name):
    return next(i for i, rooms in enumerate(FLOORS) if name in rooms)


@pytest.mark.parametrize(
    "text",
    [
        "import mapl_explore.cli",
        "from mapl_explore import cli",
        "from mapl_explore.cli import main",
        "def f():\n    from mapl_explore import arrays, cli",
        "if True:\n    import numpy, mapl_explore.cli as c",
    ],
)
def test_an_import_is_seen_in_every_form_and_place(text):
    assert "cli" in imported_rooms(text)


@pytest.mark.parametrize("text", ["import mapl_explore", "from mapl_explore import smooth_max"])
def test_a_name_from_the_public_door_counts_as_an_import_of_the_door(text):
    assert imported_rooms(text) == {"__init__"}


def test_imports_point_down_only():
    for path in ROOT.rglob("*.py"):
        if "shipped" in path.parts:
            continue
        for other in imported_rooms(path.read_text(encoding="utf-8")) - {room(path)}:
            assert floor(other) < floor(room(path)), f"{path.name} imports {other}"


def test_the_door_loads_nothing_heavy():
    code = f"import sys, mapl_explore; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in mapl_explore.__all__:
        assert getattr(mapl_explore, name) is not None


def test_every_public_name_has_a_docstring():
    for name in mapl_explore.__all__:
        assert name == "LOSSES" or getattr(mapl_explore, name).__doc__
