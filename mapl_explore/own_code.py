"""The option ``--import``: a file or module of the user's that defines losses of their own."""

import argparse
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from mapl_explore.modules import own_traceback


def add_import(parser) -> None:
    """Add ``--import`` to a command that takes a loss."""
    text = "a Python module or file of yours, found from this folder, that defines losses of your own for --loss"
    parser.add_argument("--import", dest="module", metavar="MODULE", action=_Import, help=text)


class _Import(argparse.Action):
    """Import a module at once: its losses then have names."""

    def __call__(self, parser, namespace, values, option_string=None):
        imported(values)


def imported(name: str) -> ModuleType:
    """Return a module of the user's own, imported from a file or by the name of a module.

    A file of that name, ``mine.py`` or ``folder/mine.py``, with or without its ending, goes before a module of that
    name that is installed, so that a file called ``random.py`` is not missed. What stands next to the file can be
    imported in it.

    Raises
    ------
    ValueError
        If there is no such module, or it cannot be imported: its own traceback is a note of the error.
    """
    path = _file(name)
    _add_to_path(os.getcwd() if path is None else str(path.parent))
    try:
        return importlib.import_module(name) if path is None else _from_file(path)
    except (Exception, SystemExit) as error:
        if path is None and isinstance(error, ModuleNotFoundError) and name.startswith(error.name or "?"):
            file = name if name.endswith(".py") else f"{name}.py"
            raise ValueError(f"there is no file {file!r} here, and no module of that name is installed") from None
        raise blamed(error, f"{name} cannot be imported") from None


def blamed(error: BaseException, what: str) -> ValueError:
    """Return an error in one line, with the traceback from the first line of the user's own code on as its note."""
    blame = ValueError(f"{what}: {type(error).__name__}: {next(iter(str(error).splitlines()), '')}")
    blame.add_note(own_traceback(error))
    return blame


def _file(name: str) -> Path | None:
    found = (Path(each) for each in (name, f"{name}.py") if each.endswith(".py") and os.path.isfile(each))
    return next((path.absolute() for path in found), None)


def _from_file(path: Path) -> ModuleType:
    """Import a file under its own name, or under another one where this is that of a module which is not the file."""
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    if known is not None or name in sys.stdlib_module_names or name == "mapl_explore":
        name = f"own_{name}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _add_to_path(folder: str) -> None:
    # Last: a file random.py of theirs must not stand in for Python's own in the packages that are loaded later.
    if folder not in sys.path:
        sys.path.append(folder)
