"""Doctests know numpy as np, as a reader does, and those of public names know public names alone."""

import numpy as np
import pytest

import mapl_explore


@pytest.fixture(autouse=True)
def _numpy_in_doctests(doctest_namespace):
    doctest_namespace["np"] = np


def pytest_collection_modifyitems(items):
    """Take from the example of a public name all that ``from mapl_explore import *`` does not bring."""
    public = set(mapl_explore.__all__)
    for item in items:
        if isinstance(item, pytest.DoctestItem) and public & set(item.name.split(".")):
            known = item.dtest.globs
            item.dtest.globs = {name: known[name] for name in known if name in public or name.startswith("__")}
