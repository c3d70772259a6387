"""Python code of the user's: found from this folder, known by its source, its failures shown as theirs."""

import hashlib
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType

# Python's own modules, those that were installed, and ours: not what a user mends between two calls.
INSTALLED = (*map(Path, sysconfig.get_paths().values()), Path(__file__).parent)
_loaded: dict[str, str] = {}  # the checksum of each source, when we first saw its module


def imported(name: str) -> ModuleType:
    """Return a module of the user's, imported from a file or by its name, as its source is now.

    A file of that name, ``mine.py`` or ``folder/mine.py``, with or without its ending, goes before a module of that
    name that is installed, so that a file called ``random.py`` is not missed. It can import what stands next to it.

    Raises
    ------
    ValueError
        If there is no such module, or it fails while it is imported, with file, line and words; its own traceback is a
        note of the error.
    """
    path = _file(name)
    _add_to_path(os.getcwd() if path is None else str(path.parent))
    importlib.invalidate_caches()  # its file may be newer than the last look into the folder
    try:
        module = importlib.import_module(name) if path is None else _from_file(path)
    except (Exception, SystemExit) as error:  # a module is a program, which may fail in any way
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
    """Return what a module of the user's has under a name, or None if it has nothing there.

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


def own_traceback(error: BaseException) -> str:
    """Return the traceback of an error as its author knows it, without the frames that called their code."""
    frames = error.__traceback__
    while frames is not None and not _is_own(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames)).rstrip()


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
    # Last: a file random.py of theirs must not stand in for Python's own in the packages that are loaded later.
    if folder not in sys.path:
        sys.path.append(folder)


def _require_code(name: str, module: ModuleType) -> None:
    if "__path__" in vars(module) and vars(module).get("__file__") is None:
        sys.modules.pop(module.__name__)  # or an __init__.py that is written now would not be seen
        raise ValueError(f"{name} is a folder without __init__.py, which defines nothing: name a file in it")


def _unfound(name: str, error: BaseException, *, known: bool) -> ValueError:
    """Return in one line why a module cannot be imported, ``known`` if its file is there."""
    if not known and isinstance(error, ModuleNotFoundError) and name.startswith(error.name or "?"):
        file = name if name.endswith(".py") else f"{name}.py"
        return ValueError(f"there is no file {file!r} here, and no module of that name is installed")
    return _blamed(f"{name} cannot be imported", error)


def _blamed(what: str, error: BaseException) -> ValueError:
    """Return in one line what failed in the user's code and where, with its own traceback as a note."""
    blame = ValueError(f"{what}: {_place(error)}{_words(error)}")
    blame.add_note(own_traceback(error))
    return blame


def _sources(module: ModuleType) -> dict[str, Path]:
    """Return the files of a module and, unless it is installed, of all loaded from its folder that are not either."""
    paths = {name: vars(one).get("__file__") for name, one in list(sys.modules.items()) if hasattr(one, "__dict__")}
    top = paths.get(module.__name__.partition(".")[0])
    own = {name: Path(path) for name, path in paths.items() if path and _is_own(path)}
    found = {name: path for name, path in own.items() if top and path.is_relative_to(Path(top).parent)}
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
