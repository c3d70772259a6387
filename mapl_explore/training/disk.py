"""A full disk, told in one way whichever library meets it."""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # full, over the quota, over the limit of a file's size
# torch's writer forgets what the system said: it only finds that the file is shorter than what it wrote.
FORGETFUL = re.compile(r"inline_container|PytorchStreamWriter|iostream error")
MEBI = 2**20


@contextlib.contextmanager
def disk_errors(folder: str | os.PathLike, what_next: Callable[[], str]) -> Iterator[None]:
    """Make any error in the block that comes from a full disk one OSError.

    Parameters
    ----------
    folder : path
        The folder that is written into, which the error names.
    what_next : function
        Returns what is added to the system's words; it is called once there is such an error.

    Raises
    ------
    OSError
        With the system's number and words, such as "No space left on device".
    """
    try:
        yield
    except Exception as error:
        number = _refusal(error, Path(folder))
        if number is None:
            raise
        raise OSError(number, os.strerror(number) + what_next(), os.fspath(folder)) from error


def _refusal(error: BaseException, folder: Path) -> int | None:
    """Return the number of the system's error where the disk refused to take more, else None."""
    known = [number for each in _behind(error) for number in _numbers(each) if number in REFUSALS]
    if known:
        return known[0]
    return _reason(folder) if any(FORGETFUL.search(str(each)) for each in _behind(error)) else None


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and the errors that caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _numbers(error: BaseException) -> list[int]:
    """Return the system's number that an error carries, or names as libraries in Rust do."""
    if isinstance(error, OSError):
        return [error.errno] if error.errno else []
    return [int(number) for number in re.findall(r"\(os error (\d+)\)", str(error))]


def _reason(folder: Path) -> int:
    """Return why no file that is 1 MiB longer than the longest one can be written into a folder."""
    longest = max((path.stat().st_size for path in folder.rglob("*") if path.is_file()), default=0)
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.seek(longest)
            if file.write(bytes(MEBI)) < MEBI:
                return errno.ENOSPC
    except OSError as error:
        return error.errno or errno.EIO
    return errno.EIO
