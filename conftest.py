"""Doctests know numpy as np, as a reader does, and those of public names know public names alone."""

import importlib
from pathlib import Path

import numpy as np
import pytest

import mapl_explore

PACKAGE = Path(mapl_explore.__file__).parent


@pytest.fixture(autouse=True)
def _numpy_in_doctests(doctest_namespace):
    doctest_namespace["np"] = np


def pytest_collect_file(file_path):
    """Import a module of the package by its name, before pytest makes a second one of its file for the doctests."""
    if file_path.suffix == ".py" and file_path.is_relative_to(PACKAGE):
        name = ".".join(file_path.relative_to(PACKAGE.parent).with_suffix("").parts)
        importlib.import_module(name.removesuffix(".__init__"))


def pytest_collection_modifyitems(items):
    """Take from the example of a public name all that ``from mapl_explore import *`` does not bring."""
    public = set(mapl_explore.__all__)
    for item in items:
        if not isinstance(item, pytest.DoctestItem):
            continue
        known = item.dtest.globs
        inside = item.name.removeprefix(f"{known.get('__name__')}.")  # a module may be called as a public name is
        if public & set(inside.split(".")):
            item.dtest.globs = {name: known[name] for name in known if name in public or name.startswith("__")}
