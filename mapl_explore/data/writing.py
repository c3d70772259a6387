"""Preference sets to a file, in the format that its name says."""

import gzip
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from mapl_explore.data.sets import PreferenceSet
from mapl_explore.files import atomic_writer, require_folder, shortened

FIELDS = ("prompt", "positives", "negatives", "scores")
Texts: TypeAlias = Callable[[Sequence[PreferenceSet]], Iterable[str]]
Writer: TypeAlias = Callable[[BinaryIO | gzip.GzipFile, Sequence[PreferenceSet]], None]


def write_sets(path: str | os.PathLike, sets: Iterable[PreferenceSet]) -> None:
    r"""Write preference sets in the format that the name of the file says, whole or not at all.

    ==========================  ================================================================================
    ``.jsonl``, ``.ndjson``     JSON, one set in each line; so is a file without a suffix
    ``.json``                   a JSON array, one set in each line
    ``.gz`` after one of these  the same, compressed: the same bytes for the same sets
    ``.parquet``                a table with the columns prompt, positives and negatives
    ==========================  ================================================================================

    A set with scores has them in a further field, or column, ``scores``. A prompt that is messages is a list of objects
    with ``role`` and ``content``; in a table in which only some prompts are, they stand in a column ``messages``.

    Parameters
    ----------
    path : path
        The file; an existing one is replaced once the new one is complete. Capitals in the suffix make no difference.
    sets : iterable of PreferenceSet
        What to write, at least one.

    Raises
    ------
    TypeError
        If the path is not a path, or one of the sets is not a set.
    ValueError
        If there is no set, or the name says a format that is not in the table.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "one.jsonl"
    >>> write_sets(path, [PreferenceSet("2 + 2 =", ["4"], ["5"])])
    >>> path.read_text()
    '{"prompt": "2 + 2 =", "positives": ["4"], "negatives": ["5"]}\n'
    """
    require_output(path)
    sets = _checked(sets)
    write = _writer(path)
    with atomic_writer(path, binary=True) as file:
        write(file, sets)


def require_output(path: str | os.PathLike) -> None:
    """Raise unless preference sets can be written under this name; nothing is written.

    Raises
    ------
    TypeError
        If it is no path.
    ValueError
        If it is ``-``, or says a format that :func:`write_sets` does not write.
    OSError
        If there is no folder for the file, you may not write into it, or the name is that of a folder or a device.
    ModuleNotFoundError
        If the format is parquet and pyarrow is not installed.

    Examples
    --------
    >>> require_output("sets.csv")
    Traceback (most recent call last):
    ValueError: 'sets.csv' cannot be written: write .jsonl, .ndjson, .json, one of these and .gz, or .parquet
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be the name of a file, not {shortened(path)}")
    if os.fspath(path) == "-":
        raise ValueError("'-' cannot be written: the sets go to a file, not to the standard output; name one")
    write = _writer(path)
    require_folder(path)
    if write is _as_table:
        import pyarrow.parquet  # noqa: F401  (where it is missing, the work does not begin)


def _writer(path: str | os.PathLike) -> Writer:
    """Return the function that writes sets to an open file in the format that the name says."""
    name = os.fspath(path).lower()
    packed = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix not in TEXTS and (packed or suffix != ".parquet"):
        known = f"{', '.join(filter(None, TEXTS))}, one of these and .gz, or .parquet"
        raise ValueError(f"{os.fspath(path)!r} cannot be written: write {known}")
    if suffix == ".parquet":
        return _as_table
    return (_packed if packed else _plain)(TEXTS[suffix])


def _checked(sets: Iterable[PreferenceSet]) -> list[PreferenceSet]:
    if not isinstance(sets, Iterable):
        raise TypeError(f"sets must be a list of preference sets, not {shortened(sets)}")
    sets = list(sets)
    for i, one in enumerate(sets):
        if not isinstance(one, PreferenceSet):
            raise TypeError(f"sets[{i}] must be a preference set, not {shortened(one)}")
    if not sets:
        raise ValueError("sets must hold at least one preference set")
    return sets


def _as_lines(sets: Sequence[PreferenceSet]) -> Iterable[str]:
    return (f"{_json(one)}\n" for one in sets)


def _as_array(sets: Sequence[PreferenceSet]) -> Iterable[str]:
    yield "[\n" + _json(sets[0])
    yield from (f",\n{_json(one)}" for one in sets[1:])
    yield "\n]\n"


def _json(one: PreferenceSet) -> str:
    fields = {name: value for name in FIELDS if (value := getattr(one, name)) is not None}
    return json.dumps(fields | {"prompt": _plain_prompt(one)}, ensure_ascii=False)


def _plain_prompt(one: PreferenceSet) -> str | list[dict[str, str]]:
    """Return a prompt as text, or its messages as objects."""
    return one.prompt if isinstance(one.prompt, str) else [message._asdict() for message in one.prompt]


TEXTS = {"": _as_lines, ".jsonl": _as_lines, ".ndjson": _as_lines, ".json": _as_array}


def _plain(texts: Texts) -> Writer:
    def write(file: BinaryIO | gzip.GzipFile, sets: Sequence[PreferenceSet]) -> None:
        file.writelines(text.encode() for text in texts(sets))

    return write


def _packed(texts: Texts) -> Writer:
    def write(file: BinaryIO | gzip.GzipFile, sets: Sequence[PreferenceSet]) -> None:
        # No name and no time in the header: the same sets make the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            _plain(texts)(packed, sets)

    return write


def _as_table(file: BinaryIO | gzip.GzipFile, sets: Sequence[PreferenceSet]) -> None:
    import pyarrow
    import pyarrow.parquet

    texts, numbers = pyarrow.list_(pyarrow.string()), pyarrow.list_(pyarrow.float64())
    columns = _prompt_columns(sets)
    for name, kind in zip(FIELDS[1:], (texts, texts, numbers), strict=True):
        columns[name] = pyarrow.array([getattr(one, name) for one in sets], kind)
    if columns["scores"].null_count == len(sets):
        del columns["scores"]
    pyarrow.parquet.write_table(pyarrow.table(columns), file)


def _prompt_columns(sets: Sequence[PreferenceSet]) -> dict[str, Any]:
    """Return the column of prompts; where some are text and some messages, a column of each."""
    import pyarrow

    text, prompts = pyarrow.string(), [_plain_prompt(one) for one in sets]
    kinds: dict[type, Any] = {str: text, list: pyarrow.list_(pyarrow.struct({"role": text, "content": text}))}
    names: dict[type, str] = dict.fromkeys(map(type, prompts), "prompt")
    if len(names) > 1:  # a column of parquet has one type
        names = {str: "prompt", list: "messages"}
    return {
        name: pyarrow.array([one if isinstance(one, kind) else None for one in prompts], kinds[kind])
        for kind, name in names.items()
    }
