"""Files that are written completely or not at all, by one writer at a time; values as error messages show them."""

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from numbers import Integral
from pathlib import Path
from typing import Any

# What the readers of JSON, headers of safetensors, numpy's arrays and zip archives raise at damaged files.
UNREADABLE = (
    *(OSError, ValueError, EOFError, LookupError, TypeError, AttributeError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike, *, binary: bool = False) -> Iterator:
    """Open a file, of text or of bytes, that appears under its name only when all of it was written.

    Of a symbolic link, the file that it points to is written, and the link stays.

    Raises
    ------
    OSError
        If it cannot be written; the error names the file, and an earlier file of that name stays as it was.
    """
    require_folder(path)
    path = pointed_to(path)
    if sys.platform == "emscripten":
        with io.BytesIO() if binary else io.StringIO() as content:
            yield content
            _put_in_browser(path, content.getvalue())
        return
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".", suffix=".part")
        with open(handle, "wb") if binary else open(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
        make_readable(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                os.unlink(temporary)
        asked = temporary is None or (isinstance(error, OSError) and error.filename in (None, temporary))
        if isinstance(error, OSError) and error.errno is not None and asked:
            raise OSError(error.errno, os.strerror(error.errno), os.fspath(path)) from error
        raise


def _put_in_browser(path: Path, content: bytes | str) -> None:
    """Write a file as JupyterLite keeps it: one that is renamed cannot be read again, emptying one of JSON hangs."""
    path.unlink(missing_ok=True)
    with open(path, "wb") if isinstance(content, bytes) else open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(content)  # type: ignore[arg-type]  # the mode is that of the content


def write_or_print(text: str, path: str | os.PathLike | None) -> None:
    """Write a text to a file, or to the terminal where none is named."""
    if path is None:
        print(text, end="")
        return
    with atomic_writer(path) as file:
        file.write(text)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write an object as JSON, whole or not at all; the errors are those of :func:`atomic_writer`."""
    with atomic_writer(path) as file:
        json.dump(content, file, ensure_ascii=False, indent=1, allow_nan=False)
        file.write("\n")


def read_json(path: str | os.PathLike) -> Any:
    """Return the object of a file in JSON."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_arrays(path: str | os.PathLike) -> dict[str, Any]:
    """Return the arrays of a file of numpy's ``savez`` by their names; nothing is unpickled.

    Raises
    ------
    ValueError
        If the file is no such archive, or damaged; it does not say which file.
    OSError
        If it cannot be read.
    """
    import numpy as np

    content = io.BytesIO(Path(path).read_bytes())  # read whole: numpy leaves a damaged file open
    try:
        with np.load(content, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays}
    except UNREADABLE as error:
        raise ValueError(str(error) or type(error).__name__) from error


def shipped(folder: str) -> Path:
    """Return a folder that comes with the package: from the wheel, and in a checkout from the repository.

    >>> (shipped("data") / "tiny-gpt2").is_dir()
    True
    """
    package = Path(__file__).parent
    in_wheel = package / "shipped" / folder
    return in_wheel if in_wheel.is_dir() else package.parent / folder


def require_folder(path: str | os.PathLike) -> None:
    """Raise unless a file can be written under this name: in a writable folder, where there is a file or nothing."""
    path = pointed_to(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {os.fspath(path.parent)!r} to write {path.name} into")
    if path.is_dir():
        raise IsADirectoryError(f"{os.fspath(path)!r} is a folder, not a file to write")
    if path.exists() and not path.is_file():  # to replace /dev/null or a pipe would be to remove it
        raise FileExistsError(f"{os.fspath(path)!r} is a device or a pipe, not a file that can be replaced")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"the folder {os.fspath(path.parent)!r} may not be written into")


def pointed_to(path: str | os.PathLike) -> Path:
    """Return the place of a file: its own, or that at the end of symbolic links.

    Raises
    ------
    OSError
        If the links lead in a circle.
    """
    place = os.path.realpath(path) if os.path.islink(path) else path
    if os.path.islink(place):
        raise OSError(errno.ELOOP, "symbolic links that lead in a circle", os.fspath(path))
    return Path(place)


def require_other(source: str | os.PathLike, output: str | os.PathLike) -> None:
    """Raise if the file to write is the one that is read, under any name, so that no result replaces its own data."""
    if os.path.exists(source) and os.path.exists(output) and os.path.samefile(source, output):
        raise ValueError(f"{os.fspath(output)!r} is the file that is read, {os.fspath(source)!r}: write to another one")


def require_new_file(name: str, path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Raise if a file to write, the argument ``name``, is there and may not be replaced."""
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(f"{name} must be a new file, but {os.fspath(path)!r} exists: --overwrite replaces it")


@contextlib.contextmanager
def sole_writer(path: str | os.PathLike) -> Iterator[None]:
    """Keep other processes from writing to a file or a folder while the block runs.

    The lock is a file next to it with ``.lock`` added to the name, or a temporary file where none can be made there.
    The system frees it when the process ends, even if it is killed: then the lock file may stay, and blocks nobody.

    Raises
    ------
    BlockingIOError
        At once, if another process, or another block of this one, is writing there.
    OSError
        If the lock cannot be made, with the reason of the system.
    """
    import filelock

    lock = filelock.FileLock(_lock_file(pointed_to(path).resolve()), timeout=0)  # one lock for all names of a place
    _require_lock(path, lock.lock_file)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise BlockingIOError(
            f"{os.fspath(path)!r} is being written by another process: wait until it has ended, or name another output"
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # before it is released: the next process makes a new one
            os.unlink(lock.lock_file)
        lock.release()


def _lock_file(path: Path) -> Path:
    if os.access(path.parent, os.W_OK | os.X_OK):
        return path.with_name(path.name + ".lock")
    # A mounted volume may be writable inside a folder that is not.
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"mapl_explore-{name}.lock")


def _require_lock(path: str | os.PathLike, lock: str) -> None:
    """Raise unless a lock can be made; filelock mistakes any failure to make it for a lock of another process."""
    try:
        os.close(os.open(lock, os.O_WRONLY | os.O_CREAT, 0o644))
    except OSError as error:
        reason = f"cannot be made: {os.strerror(error.errno or 0)}"
        raise OSError(error.errno, reason, os.fspath(path)) from None


def make_readable(path: str | os.PathLike) -> None:
    """Give a file that was made private, as temporary ones are, the permissions any new one would have."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, 0o666 & ~mask)


def check_text(name: str, text: object) -> None:
    """Raise unless this is text that can be written as UTF-8."""
    if not isinstance(text, str):
        raise TypeError(f"{name} must be text, not {shortened(text)}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be writable as UTF-8, but {shortened(text)} holds a lone surrogate") from None


def whole_number(name: str, value: Any, low: int, high: float = math.inf) -> int:
    """Return a whole number, numpy's too, as an int; refuse any other value, and one outside its range."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or not low <= value <= high:
        rule = f"an integer >= {low}" if high == math.inf else f"an integer from {low} to {high}"
        raise ValueError(f"{name} must be {rule}, not {shortened(value)}")
    return int(value)


def counted(number: int, noun: str, spec: str = "") -> str:
    """Return a number, written by a format specification, and its noun: "1 set", or "2 sets"."""
    return f"{number:{spec}} {noun}{'s' * (number != 1)}"


def shortened(value: object, width: int = 60) -> str:
    """Return a value as an error message shows it: in ASCII, and not too long."""
    try:
        text = ascii(value) if isinstance(value, str) else repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or a whole number of more than 4300 digits
        text = f"a value of type {type(value).__name__} that cannot be shown"
    return text if len(text) <= width else text[: width - 3] + "..."
