"""Every public name says what it is: a docstring, and a type of each parameter and of what is returned."""

import importlib
import inspect
import typing

import pytest

import mapl_explore

# Rooms with a list of names of their own, in addition to those of the package.
ROOMS = ("data", "explorers", "losses", "plots")


def public_objects():
    """Return each function and class that the package or one of its rooms names as public, by its full name."""
    objects = [getattr(mapl_explore, name) for name in mapl_explore.__all__]
    for room in (importlib.import_module(f"mapl_explore.{name}") for name in ROOMS):
        objects += [getattr(room, name) for name in room.__all__]
    named = {f"{one.__module__}.{one.__qualname__}": one for one in objects if inspect.isroutine(one) or is_class(one)}
    return dict(sorted(named.items()))


def is_class(one):
    return inspect.isclass(one) and one.__module__.startswith("mapl_explore")


def functions(one):
    """Return the functions that a reader of a public object can call: itself, or how it is made and its methods."""
    if not is_class(one):
        return [one]
    own = {name: value for name, value in vars(one).items() if name == "__init__" or not name.startswith("_")}
    unwrapped = (getattr(value, "fget", None) or getattr(value, "__func__", value) for value in own.values())
    return [value for value in unwrapped if inspect.isfunction(value)]


def untyped(function):
    """Return the parameters of a function that have no type, and "return" if that has none."""
    typing.get_type_hints(function)  # each type can be looked up
    signature = inspect.signature(function)
    bare = [name for name, one in signature.parameters.items() if one.annotation is inspect.Parameter.empty]
    if signature.return_annotation is inspect.Signature.empty and function.__name__ != "__init__":
        bare.append("return")
    return [name for name in bare if name not in ("self", "cls")]


PUBLIC = public_objects()


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_a_docstring_that_begins_with_one_sentence(name):
    first = inspect.getdoc(PUBLIC[name]).partition("\n\n")[0]
    assert first.endswith((".", ":"))
    assert "\n" not in first


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_types(name):
    missing = {one.__qualname__: untyped(one) for one in functions(PUBLIC[name])}
    assert {where: names for where, names in missing.items() if names} == {}
