"""The examples in the docstrings of an installed package, run on what is installed and without any test tool.

``python release/installed.py ROOM [ROOM ...]`` ends with 1 if an example fails, or the package is that of a checkout.
"""

import doctest
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy

import mapl_explore

NEED_TORCH = {"mapl_explore.losses.measures"}  # where the room does not


def modules(room: str) -> Iterator[ModuleType]:
    """Yield a room and all modules in it, without those that need torch where it is not installed."""
    package = importlib.import_module(f"mapl_explore.{room}")
    yield package
    for one in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if one.name not in NEED_TORCH or importlib.util.find_spec("torch"):
            yield importlib.import_module(one.name)


def failed(room: str) -> int:
    """Return how many lines of the examples of a room fail; these are printed, with how many there are."""
    results = [doctest.testmod(one, extraglobs={"np": numpy}) for one in modules(room)]
    wrong, all_lines = (sum(counts) for counts in zip(*results, strict=True))
    print(f"{room}: {wrong} of {all_lines} lines of examples fail")
    return wrong


if __name__ == "__main__":
    if not Path(mapl_explore.__file__).is_relative_to(sys.prefix):
        sys.exit(f"{mapl_explore.__file__} is not in the environment {sys.prefix}: this tests what is installed")
    sys.exit(sum(map(failed, sys.argv[1:])) > 0)
