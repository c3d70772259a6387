"""Code that was written for the old paths of modules goes on working, and is told the new ones."""

import importlib
import sys

import pytest

from mapl_explore.moved import MOVED, PACKAGE


@pytest.fixture
def anew(request):
    """Forget an old path, so that it is imported for the first time."""
    name = f"{PACKAGE}.{request.param}"
    sys.modules.pop(name, None)
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("anew", sorted(MOVED), indirect=True)
def test_an_old_path_has_the_names_of_the_new_ones_and_says_them(anew):
    homes = [f"{PACKAGE}.{home}" for home in MOVED[anew.removeprefix(f"{PACKAGE}.")]]
    with pytest.warns(FutureWarning, match=f"{anew} has moved to {', '.join(homes)}"):
        module = importlib.import_module(anew)
    for home in map(importlib.import_module, reversed(homes)):
        public = [name for name, value in vars(home).items() if getattr(value, "__module__", None) == home.__name__]
        assert public
        assert all(getattr(module, name) is getattr(home, name) for name in public if not name.startswith("_"))


@pytest.mark.parametrize("anew", ["encoding"], indirect=True)
def test_a_name_is_imported_from_an_old_path(anew):
    with pytest.warns(FutureWarning, match=r"models\.encoding"):
        from mapl_explore.encoding import encode_sets
    assert encode_sets.__module__ == "mapl_explore.models.encoding"


@pytest.mark.parametrize("anew", ["world"], indirect=True)
def test_a_name_that_is_in_none_of_them_is_said_with_the_new_paths(anew):
    with pytest.warns(FutureWarning, match=r"data\.world"):
        module = importlib.import_module(anew)
    with pytest.raises(AttributeError, match=r"'mapl_explore.world', now mapl_explore.data.world, has no .*'nothing'"):
        _ = module.nothing


def test_what_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{PACKAGE}.never_was")
