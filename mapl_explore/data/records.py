"""Where records come from: lines of a file, rows of a table, a data set on the hub; not what they mean."""

import gzip
import json
import os
import zlib
from collections.abc import Iterator

from mapl_explore.files import shortened

HUB_TIMEOUT = 5.0  # seconds to find out whether the hub can be reached at all
SUFFIXES = (".jsonl", ".json", ".gz", ".parquet")  # of files, whatever else a name on the hub may look like


def records(source) -> Iterator[tuple[str, bytes | dict]]:
    """Yield the place and the content of each record: a line of JSON as bytes, or a row as a dict.

    Parameters
    ----------
    source : path, str or datasets.Dataset
        A ``.jsonl`` or ``.jsonl.gz`` file, a ``.parquet`` file, a table of ``datasets``, or the name of a data set on
        the Hugging Face hub, ``owner/name`` or ``owner/name:split`` (``train`` if no split is given).

    Raises
    ------
    OSError
        If the file cannot be read, or the data set cannot be fetched.
    ValueError
        If a compressed file is broken.
    """
    if not isinstance(source, str | os.PathLike):
        return _rows(source, "row ")
    path = os.fspath(source)
    if not os.path.exists(path) and _may_be_on_hub(path):
        return _rows(_from_hub(path), f"{path}:")
    if path.endswith(".parquet"):
        return _rows(_from_parquet(path), f"{path}:")
    return _lines(path)


def json_record(line: bytes | dict, *, first: bool = False) -> dict:
    """Return the object that a line of JSON holds; a row is one already.

    Raises
    ------
    ValueError
        If the line is not UTF-8, or no JSON object.
    """
    if isinstance(line, dict):
        return line
    try:
        # Without its end: else the fault of a line that is cut off would be at column 1 of the next.
        record = json.loads(line.decode("utf-8-sig" if first else "utf-8").rstrip())
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text ({error.reason})") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not a JSON object ({error.msg} at column {error.colno})") from None
    except RecursionError:
        raise ValueError("not a JSON object that can be read (nested too deeply)") from None
    if not isinstance(record, dict):
        raise ValueError(f"not a JSON object but {shortened(record)}")
    return record


def _lines(path: str) -> Iterator[tuple[str, bytes]]:
    # Read as bytes and split at \n alone: str.splitlines would cut a record at the U+2028 of real texts.
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rb") as file:
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"{path}:{number}", line
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: not a whole gzip file ({error})") from None


def _rows(table, place: str) -> Iterator[tuple[str, dict]]:
    if not hasattr(table, "column_names"):
        raise TypeError(f"source must be a path, a hub name or a datasets.Dataset, not {shortened(table)}")
    return ((f"{place}{number}", row) for number, row in enumerate(table, start=1))


def _from_parquet(path: str):
    import datasets
    import pyarrow.parquet

    with open(path, "rb") as file:
        try:
            # Dataset.from_parquet would write a second copy into a cache in the home directory.
            return datasets.Dataset(pyarrow.parquet.read_table(file))
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{path}: not a parquet file ({str(error).splitlines()[0]})") from None


def _may_be_on_hub(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith(SUFFIXES)


def _from_hub(name: str):
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
