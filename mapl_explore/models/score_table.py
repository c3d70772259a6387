"""Scores of preference sets as a table for other programs: one row for each response."""

import csv
import gzip
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

from mapl_explore.data import PreferenceSet, prompt_text
from mapl_explore.files import atomic_writer, require_folder
from mapl_explore.losses import ScoredSets


def score_rows(sets: Sequence[PreferenceSet], scored: ScoredSets, *, reference: bool) -> list[dict]:
    """Return a row for each response, in the order of the sets, the positives of each before its negatives.

    Parameters
    ----------
    sets : sequence of PreferenceSet
        The texts.
    scored : ScoredSets of numpy arrays (sets, n)
        What :func:`mapl_explore.score_sets` makes of them.
    reference : bool
        Whether there is a base model, and so a column ``ref_logp``.

    Returns
    -------
    list of dict
        ``set``, its number from 0; ``prompt``, a conversation as one text; ``response``; ``label``, 1 or -1;
        ``reward``, where the sets have scores; ``length`` in tokens; ``logp`` and ``ref_logp`` in nats.

    Examples
    --------
    >>> sets = [PreferenceSet("2 + 2 =", ["4"], ["5"])]
    >>> score_rows(sets, ScoredSets([[-1.5, -2.5]], [[-1.0, -1.0]], [[1, 1]], [[1, -1]]), reference=False)[1]
    {'set': 0, 'prompt': '2 + 2 =', 'response': '5', 'label': -1, 'length': 1, 'logp': -2.5}
    """
    given = scored.columns()
    names = [name for name in ("label", "reward", "length", "logp", "ref_logp") if name in given]
    columns = {name: given[name].tolist() for name in names if reference or name != "ref_logp"}
    return [
        {"set": i, "prompt": prompt_text(one.prompt), "response": text}
        | {name: column[i][j] for name, column in columns.items()}
        for i, one in enumerate(sets)
        for j, text in enumerate(one.responses)
    ]


def write_table(path: str | os.PathLike, rows: Sequence[dict]) -> None:
    """Write rows in the format that the name of the file says, whole or not at all.

    Parameters
    ----------
    path : path
        ``.jsonl``, ``.jsonl.gz``, ``.csv`` or ``.parquet``; an existing file is replaced.
    rows : sequence of dict
        At least one, all with the same names.

    Raises
    ------
    ValueError
        If the name has another ending.
    OSError
        If the file cannot be written.
    """
    content = _FORMATS[require_table(path)](rows)
    with atomic_writer(path, binary=True) as file:
        file.write(content)


def require_table(path: str | os.PathLike) -> str:
    """Return the ending of a file that a table can be written to, else raise as :func:`write_table` would."""
    suffixes = Path(os.fspath(path).lower()).suffixes
    ending = next((one for one in ("".join(suffixes[-2:]), "".join(suffixes[-1:])) if one in _FORMATS), None)
    if ending is None:
        raise ValueError(f"{os.fspath(path)!r} cannot be written: write {', '.join(_FORMATS)}")
    require_folder(path)
    if ending == ".parquet":
        import pyarrow.parquet  # noqa: F401  (where it is missing, the work does not begin)
    return ending


def _jsonl(rows: Sequence[dict]) -> bytes:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


def _jsonl_gz(rows: Sequence[dict]) -> bytes:
    return gzip.compress(_jsonl(rows), mtime=0)  # without the time: the same rows make the same bytes


def _csv(rows: Sequence[dict]) -> bytes:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, fieldnames=list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()


def _parquet(rows: Sequence[dict]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), file)
    return file.getvalue()


_FORMATS = {".jsonl": _jsonl, ".jsonl.gz": _jsonl_gz, ".csv": _csv, ".parquet": _parquet}
