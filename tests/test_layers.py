"""The rooms: imports point down only, and the door opens without the heavy libraries."""

import ast
import subprocess
import sys
from pathlib import Path

import mapl_explore

ROOT = Path(mapl_explore.__file__).parent
# Each room may import from rooms of a lower floor, and the losses and the explorers among themselves.
FLOORS = [
    {"files"},
    {"arrays", "knobs", "data", "serving"},
    {"smoothing", "world"},
    {"bounds", "rejection"},
    {"temperature"},
    {"losses", "runs"},
    {"selection"},
    {"probes", "plots", "lessons", "lab", "app", "encoding", "gradients", "errata", "advice", "precision"},
    {"explorers", "scoring", "claims", "measures", "showing"},
    {"recording", "reference", "trainer", "pretrain", "generate", "data_commands"},
    {"evaluation"},
    {"training"},
    {"cli"},
    {"__main__", "__init__"},
]
HEAVY = ("torch", "transformers", "matplotlib", "ipywidgets", "IPython", "datasets", "pandas")


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path):
    """Return the rooms of the package that a file imports anywhere but inside a function."""
    tree = ast.parse(path.read_text())
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom | ast.Import)]
    names = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("mapl_explore.")}


def floor(name):
    return next(i for i, rooms in enumerate(FLOORS) if name in rooms)


def test_imports_point_down_only():
    for path in ROOT.rglob("*.py"):
        if "shipped" in path.parts:
            continue
        for other in imported_rooms(path) - {room(path)}:
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
