"""Python modules of the user's: found from this folder, known by their source, their failures shown as theirs."""

import hashlib
import importlib
import os
import sys
import sysconfig
import traceback
from pathlib import Path

# Python's own modules, those that were installed, and ours: not what a user mends between two calls.
INSTALLED = (*map(Path, sysconfig.get_paths().values()), Path(__file__).parent)
_loaded: dict[str, str] = {}  # the checksum of each source, when we first saw its module


def imported(name: str):
    """Return a module, found from this folder, as its source is now.

    Raises
    ------
    ValueError
        If there is none of that name, or it fails while it is loaded, with file, line and words; its traceback is a
        note of the error.
    """
    if name.endswith(".py") or "/" in name or os.sep in name:
        raise ValueError(f"a module is named as import does, 'judge' for judge.py of this folder, not {name!r}")
    if os.getcwd() not in sys.path[:1]:
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()  # its file may be newer than the last look into the folder
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:  # a module is a program, which may fail in any way
        failed = ValueError(f"the module {name!r} cannot be loaded: {_place(error)}{_words(error)}")
        failed.add_note(own_traceback(error))
        raise failed from None
    now = {other: _checksum(path) for other, path in _sources(module).items()}
    changed = {other for other, checksum in now.items() if _loaded.setdefault(other, checksum) != checksum}
    if not changed:
        return module
    for other in {name, *changed}:
        sys.modules.pop(other, None)
        _loaded.pop(other, None)
    return imported(name)


def source_checksum(module) -> str:
    """Return the sha256 of the source of a module and of all modules that are loaded from its folder or below."""
    return hashlib.sha256("".join(_checksum(path) for _, path in sorted(_sources(module).items())).encode()).hexdigest()


def own_traceback(error: BaseException) -> str:
    """Return the traceback of an error as its author knows it, without the frames that called their code."""
    frames = error.__traceback__
    while frames is not None and not _is_own(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames)).rstrip()


def _sources(module) -> dict[str, Path]:
    """Return the files of a module and, unless it is installed, of all loaded from its folder that are not either."""
    paths = {name: vars(one).get("__file__") for name, one in list(sys.modules.items()) if hasattr(one, "__dict__")}
    top = paths.get(module.__name__.partition(".")[0])
    own = {name: Path(path) for name, path in paths.items() if top and path and _is_own(path)}
    found = {name: path for name, path in own.items() if path.is_relative_to(Path(top).parent)}
    itself = paths.get(module.__name__)
    return found if module.__name__ in found or not itself else {module.__name__: Path(itself)}


def _is_own(path: str) -> bool:
    return not path.startswith("<frozen") and not any(Path(path).is_relative_to(each) for each in INSTALLED)


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes() if path.is_file() else b"").hexdigest()


def _place(error: BaseException) -> str:
    """Return "file:line: " of the last line of the user's own that an error came from, or nothing."""
    lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((error.filename, error.lineno))
    own = [(path, line) for path, line in lines if _is_own(path)]
    return f"{os.path.relpath(own[-1][0])}:{own[-1][1]}: " if own else ""


def _words(error: BaseException) -> str:
    text = getattr(error, "msg", None) if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(str(text).split())}" if text else type(error).__name__
