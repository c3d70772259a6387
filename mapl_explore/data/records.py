"""Where records come from: a file of JSON, rows of a table, a data set on the hub; not what they mean."""

import contextlib
import gzip
import itertools
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Protocol, TypeAlias

from mapl_explore.data.file_kinds import TABLES, refuse_other
from mapl_explore.files import shortened

HUB_TIMEOUT = 5.0  # seconds to find out whether the hub can be reached at all
SUFFIXES = (".jsonl", ".ndjson", ".json", ".gz", ".parquet")  # of files, never of names on the hub
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
RECORDS = re.compile(rb"\s*\[\s*(?:[{\]]|\Z)")  # how a list begins that may hold records
SPACE = re.compile(r"[ \t\n\r]*")  # what JSON allows between values


class Table(Protocol):
    """Rows of a table as ``datasets.Dataset`` has them."""

    @property
    def column_names(self) -> list[str]:
        """The names of the fields."""

    def __iter__(self) -> Iterator[dict]: ...


Source: TypeAlias = str | os.PathLike[str] | Sequence[dict] | Table  # a file, a name on the hub, records or a table


def records(source: Source) -> Iterator[tuple[str, bytes | dict]]:
    """Yield the place and the content of each record: a line of JSON as bytes, or what was read already.

    The content of a file tells what it is: lines of JSON, a JSON array, objects over several lines, any of these
    compressed by gzip, or a parquet table. Lines of white space only are passed over.

    Parameters
    ----------
    source : path, str, list of dict or datasets.Dataset
        A file, records, a table of ``datasets``, or the name of a data set on the Hugging Face hub, ``owner/name`` or
        ``owner/name:split`` (``train`` if no split is given).

    Raises
    ------
    TypeError
        If the source is none of these.
    OSError
        If the file cannot be read, or the data set cannot be fetched.
    ValueError
        If the file is none of these, or broken.
    """
    if not isinstance(source, str | os.PathLike):
        return _rows(_table(source), "row ")
    path = os.fspath(source)
    if path == "-":
        raise ValueError("'-' is no file; to read the standard input, name /dev/stdin")
    if not os.path.exists(path) and _may_be_on_hub(path):
        return _rows(_from_hub(path), f"{path}:")
    return _from_file(path)


def json_record(content: object) -> dict:
    """Return the object that a line of JSON holds; content that is not bytes was read already.

    Raises
    ------
    ValueError
        If the line is not UTF-8, or the content is no JSON object.
    """
    if isinstance(content, bytes):
        with _json_faults():
            # Without its line break: else the fault of a line that is cut off would be at column 1 of the next one.
            content = json.loads(content.decode().rstrip(), object_pairs_hook=_object)
    if isinstance(content, list):
        way = "of a pandas table, frame.to_json(FILE, orient='records', lines=True) writes objects"
        raise ValueError(f"not a JSON object but a list, without names of fields ({shortened(content)}); {way}")
    if not isinstance(content, dict):
        raise ValueError(f"not a JSON object but {shortened(content)}")
    return content


class _Repeated(ValueError):
    """A field that an object has twice; Python's reader would silently drop the first one."""


def _object(fields: list[tuple[str, object]]) -> dict:
    names = set()
    for name, _ in fields:
        if name in names:
            raise _Repeated(name)
        names.add(name)
    return dict(fields)


@contextlib.contextmanager
def _json_faults(place: str = "") -> Iterator[None]:
    """Say what is wrong with JSON in words, after its place."""
    try:
        yield
    except UnicodeDecodeError as error:
        rule = f"not UTF-8 text ({error.reason})"
    except json.JSONDecodeError as error:
        line = f"line {error.lineno} " * (error.lineno > 1)
        what = error.msg.rstrip(": ").removesuffix(" at")  # "Invalid control character at" and others end like this
        rule = f"not a JSON object ({what} at {line}column {error.colno})"
    except RecursionError:
        rule = "not a JSON object that can be read (nested too deeply)"
    except _Repeated as error:
        rule = f"not a JSON object that can be read (the field {shortened(str(error))} stands in it twice)"
    except ValueError:  # Python reads no longer ones
        rule = "not a JSON object that can be read (a whole number of more than 4300 digits)"
    else:
        return
    raise ValueError(f"{place}: {rule}" if place else rule)


def _from_file(path: str) -> Iterator[tuple[str, bytes | dict]]:
    with open(path, "rb") as file:
        magic = file.peek(len(PARQUET))
        if magic.startswith(PARQUET) or path.lower().endswith(".parquet"):
            yield from _rows(_from_parquet(path, file), f"{path}:")
        elif magic.startswith(GZIP):
            try:
                with gzip.open(file) as unpacked:
                    yield from _from_text(path, unpacked)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise ValueError(f"{path}: not a whole gzip file ({error})") from None
        else:
            yield from _from_text(path, file)


def _from_text(path: str, file: BinaryIO | gzip.GzipFile) -> Iterator[tuple[str, bytes | dict]]:
    lines = _lines(file)
    first = next(lines, None)
    if first is None:
        return
    number, line = first
    refuse_other(path, number, line)
    if _goes_on(line):
        yield from _values(path, b"\n" * (number - 1) + line + file.read())
    else:
        yield from ((f"{path}:{number}", line) for number, line in itertools.chain([first], lines))


def _lines(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each line that is not blank, without a byte order mark."""
    # Read as bytes and split at \n alone: str.splitlines would cut a record at the U+2028 of real texts.
    for number, line in enumerate(file, start=1):
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if line.strip():
            yield number, line


def _goes_on(first: bytes) -> bool:
    """Return whether the JSON that begins on this line ends on a later one, or is a list of records."""
    if RECORDS.match(first):
        return True
    listed = first.lstrip().startswith(b"[")
    try:
        json.loads(first)
    except json.JSONDecodeError as error:
        return listed or error.pos >= len(first.decode().rstrip())
    except (ValueError, RecursionError):
        return listed
    return False


def _values(path: str, content: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of each item of a JSON array, or of each of several objects, over any lines."""
    text = _decoded(path, content)
    array = text.lstrip().startswith("[")
    at, seen, line, number = _after_space(text, text.index("[") + 1 if array else 0), 0, 1, 0
    while at < len(text) and not (array and text[at] == "]"):
        number, line, seen = number + 1, line + text.count("\n", seen, at), at
        place = f"{path}: record {number} (line {line})"
        with _json_faults(place):
            value, at = json.JSONDecoder(object_pairs_hook=_object).raw_decode(text, at)
        yield place, value
        at = _after_space(text, at)
        if array:
            at = _after_comma(place, text, at)
    if array and text[at:].strip() != "]":
        raise ValueError(f"{path}: " + ("text after the end of the array" if text[at:] else "the array has no end"))


def _decoded(path: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}:{line}: not UTF-8 text ({error.reason})") from None


def _after_space(text: str, at: int) -> int:
    space = SPACE.match(text, at)
    return space.end() if space else at


def _after_comma(place: str, text: str, at: int) -> int:
    if text[at : at + 1] not in (",", "]", ""):
        raise ValueError(
            f"{place}: after it a comma or the end of the array must come, not {shortened(text[at : at + 60])}"
        )
    return _after_space(text, at + 1) if text[at : at + 1] == "," else at


def _table(source: Any) -> Iterable[dict]:
    """Return a source that is no path and no name, if it has rows."""
    table = hasattr(source, "column_names") and hasattr(source, "__iter__") and not isinstance(source, type)
    if table and isinstance(source, Mapping):
        raise TypeError(f"source must be one split of this data set, as source[{next(iter(source), 'train')!r}]")
    if table or isinstance(source, list | tuple):
        return source
    way = "; of a pandas DataFrame, datasets.Dataset.from_pandas(frame)" * hasattr(source, "iloc")
    way += "; of columns, datasets.Dataset.from_dict(columns)" * isinstance(source, Mapping)
    kinds = "a path, a hub name, a list of records or a datasets.Dataset"
    raise TypeError(f"source must be {kinds}{way}, not {shortened(source)}")


def _rows(table: Iterable[dict], place: str) -> Iterator[tuple[str, dict]]:
    return ((f"{place}{number}", row) for number, row in enumerate(table, start=1))


def _from_parquet(path: str, file: BinaryIO) -> Iterable[dict]:
    import datasets
    import pyarrow.parquet

    try:
        # Dataset.from_parquet would write a second copy into a cache in the home directory.
        return datasets.Dataset(pyarrow.parquet.read_table(file))
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a whole parquet file ({str(error).splitlines()[0]})") from None


def _may_be_on_hub(name: str) -> bool:
    known = name.lower().endswith((*SUFFIXES, *TABLES))
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not known


def _from_hub(name: str) -> Iterable[dict]:
    """Return one split of a data set on the hub; code that comes with a data set is never run."""
    import datasets
    import huggingface_hub

    repository, _, split = name.partition(":")
    try:
        # datasets would retry for minutes where there is no network, so one short question goes first.
        if not huggingface_hub.constants.HF_HUB_OFFLINE:
            huggingface_hub.HfApi().dataset_info(repository, timeout=HUB_TIMEOUT)
        return datasets.load_dataset(repository, split=split or "train")
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        raise OSError(
            f"no file {name!r} here, and no data set of that name could be had from the hub"
            f" ({type(error).__name__}: {reason})"
        ) from None
