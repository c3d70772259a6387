"""The rule of every command that writes a file: one that is there is replaced with ``--overwrite`` alone."""

import argparse

from mapl_explore.files import require_folder, require_new_file
from mapl_explore.launch import is_first


def add_overwrite(parser: argparse.ArgumentParser, name: str) -> None:
    """Add ``--overwrite`` to a command that writes the file ``name``."""
    text = f"replace {name} where there is one, once the new one is complete; without this, it is refused"
    parser.add_argument("--overwrite", action="store_true", help=text)


def require_new(name: str, path: str | None, arguments: argparse.Namespace) -> None:
    """Raise if the file of the argument ``name``, where one is named, cannot be written or may not be replaced.

    The first process of a launch asks for all: it may have written the file before another one begins.
    """
    if path is not None and is_first():
        require_folder(path)
        require_new_file(name, path, overwrite=arguments.overwrite)
