"""How the words of a command line are read: errors in one line, examples as typed, versions without loading."""

import argparse
import contextlib
import platform
import re
import sys
from importlib import metadata
from typing import Any, NoReturn, TypeVar

from mapl_explore.launch import fails_first
from mapl_explore.version import VERSION

ActionT = TypeVar("ActionT", bound=argparse.Action)
PACKAGES = ("numpy", "scipy", "torch", "transformers")  # whose versions --version tells


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and whose help keeps the lines of its example."""

    def __init__(self, *, example: str, **kwargs: Any) -> None:
        super().__init__(formatter_class=_Help, epilog=f"example:\n  {example}", **kwargs)
        # argparse takes -3e6 and -.5e-3 for options: it knows no exponents.
        self._negative_number_matcher = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")

    def _add_action(self, action: ActionT) -> ActionT:
        # The parser of a command judges the words after it.
        if action.type is None and not isinstance(action, argparse._SubParsersAction):
            action.type = _not_empty
        return super()._add_action(action)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Take a last word that may be left out wherever it stands: before Python 3.13, not behind an option."""
        found, rest = super().parse_known_args(args, namespace)
        last = self._get_positional_actions()[-1:]
        if rest and not rest[0].startswith("-") and last and last[0].nargs == "?" and not getattr(found, last[0].dest):
            setattr(found, last[0].dest, rest.pop(0))
        return found, rest

    def _print_message(self, message: str | None, file: Any = None) -> None:
        # argparse ignores errors here: help that is written to a full disk would end with 0.
        with contextlib.suppress(AttributeError):  # there is no such stream
            (file or sys.stderr).write(message or "")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"mapl-explore: error: {message} ('{self.prog} --help' explains)\n" * fails_first())


def _not_empty(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


class Version(argparse.Action):
    """Print the versions of packages without loading them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(nargs=0, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        print(f"mapl-explore {VERSION} (python {platform.python_version()}{''.join(map(_version, PACKAGES))})")
        parser.exit()


def _version(package: str) -> str:
    try:
        return f", {package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f", no {package}"


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Show defaults where there are any, and the example as it is typed."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default not in (None, False, ()) else action.help
