"""The user's own Python code: imported by file or by name, again when its source changes, with its own traceback."""

import hashlib
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType

# Python's own modules, installed ones and ours: code that the user does not change between two calls.
INSTALLED = (*map(Path, sysconfig.get_paths().values()), Path(__file__).parent)
_loaded: dict[str, str] = {}  # the checksum of each module's source when it was imported


def imported(name: str) -> ModuleType:
    """Return a module of the user, imported from a file or by its name, as its source is now.

    A file of that name, ``mine.py`` or ``folder/mine.py``, with or without its ending, comes before an installed module
    of that name, so that a file called ``random.py`` is not missed. It can import files next to it.

    Raises
    ------
    ValueError
        If there is no such module, or it fails while it is imported: the error names file, line and reason, and has the
        traceback as a note.
    """
    path = _file(name)
    _add_to_path(os.getcwd() if path is None else str(path.parent))
    importlib.invalidate_caches()  # its file may be newer than what Python knows of the folder
    try:
        module = importlib.import_module(name) if path is None else _from_file(path)
    except (Exception, SystemExit) as error:  # a module may fail in any way
        raise _unfound(name, error, known=path is not None) from None
    _require_code(name, module)
    now = {other: _checksum(source) for other, source in _sources(module).items()}
    changed = {other for other, checksum in now.items() if _loaded.setdefault(other, checksum) != checksum}
    if not changed:
        return module
    for other in {module.__name__, *changed}:
        sys.modules.pop(other, None)
        _loaded.pop(other, None)
    return imported(name)


def imported_name(module: str, name: str) -> object:
    """Return the object of a name in a module of the user, or None if there is none.

    Raises
    ------
    ValueError
        As :func:`imported` does, and if the module's own ``__getattr__`` fails.
    """
    home = imported(module)
    try:
        return getattr(home, name, None)
    except (Exception, SystemExit) as error:
        raise _blamed(f"{module} gives no {name!r}", error) from None


def source_checksum(module: ModuleType) -> str:
    """Return the sha256 of the source of a module and of all modules that are loaded from its folder or below."""
    return hashlib.sha256("".join(_checksum(path) for _, path in sorted(_sources(module).items())).encode()).hexdigest()


def note_own_traceback(blame: BaseException, error: BaseException) -> None:
    """Add to what is raised for an error, as a note, the part of its traceback that is in the user's code."""
    frames = error.__traceback__
    while frames is not None and not _is_own(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    text = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
    if "\n" in text:  # else the note would say the line again
        blame.add_note(text)


def _file(name: str) -> Path | None:
    paths = (Path(each) for each in (name, f"{name}.py") if each.endswith(".py") and os.path.isfile(each))
    return next((path.absolute() for path in paths), None)


def _from_file(path: Path) -> ModuleType:
    """Import a file under its own name, or with ``own_`` before it where another module has that name."""
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    if known is not None or name in sys.stdlib_module_names or name == "mapl_explore":
        name = f"own_{name}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # as the name of the file ends in .py
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _add_to_path(folder: str) -> None:
    # At the end: packages that are loaded later must not get the user's random.py in place of Python's own.
    if folder not in sys.path:
        sys.path.append(folder)


def _require_code(name: str, module: ModuleType) -> None:
    if "__path__" in vars(module) and vars(module).get("__file__") is None:
        sys.modules.pop(module.__name__)  # or an __init__.py that is written now would not be seen
        raise ValueError(f"{name} is a folder without __init__.py, which defines nothing: name a file in it")


def _unfound(name: str, error: BaseException, *, known: bool) -> ValueError:
    """Return in one line why a module cannot be imported; ``known`` if its file exists."""
    if not known and isinstance(error, ModuleNotFoundError) and name.startswith(error.name or "?"):
        file = name if name.endswith(".py") else f"{name}.py"
        return ValueError(f"there is no file {file!r} here, and no module of that name is installed")
    return _blamed(f"{name} cannot be imported", error)


def _blamed(what: str, error: BaseException) -> ValueError:
    """Return in one line what failed in the user's code and where, with its own traceback as a note."""
    blame = ValueError(f"{what}: {_place(error)}{_words(error)}")
    note_own_traceback(blame, error)
    return blame


def _sources(module: ModuleType) -> dict[str, Path]:
    """Return the files of a module and, unless it is installed, of all others that were loaded from its folder."""
    paths = {name: vars(one).get("__file__") for name, one in list(sys.modules.items()) if hasattr(one, "__dict__")}
    top = paths.get(module.__name__.partition(".")[0])
    own = {name: Path(path) for name, path in paths.items() if path and _is_own(path)}
    near = {name: path for name, path in own.items() if top and path.is_relative_to(Path(top).parent)}
    itself = paths.get(module.__name__)
    return near if module.__name__ in near or not itself else {module.__name__: Path(itself)}


def _is_own(path: str) -> bool:
    return not path.startswith("<frozen") and not any(Path(path).is_relative_to(each) for each in INSTALLED)


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes() if path.is_file() else b"").hexdigest()


def _place(error: BaseException) -> str:
    """Return "file:line: " of the last line in the user's code that an error came from, or ""."""
    lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((error.filename, error.lineno))
    own = [(path, line) for path, line in lines if _is_own(path)]
    return f"{os.path.relpath(own[-1][0])}:{own[-1][1]}: " if own else ""


def _words(error: BaseException) -> str:
    text = getattr(error, "msg", None) if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(str(text).split())}" if text else type(error).__name__
