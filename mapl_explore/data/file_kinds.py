"""Files that are not JSON: what they are, told from their first line, and what to do about them."""

import json
import re
from pathlib import Path

from mapl_explore.files import shortened

BY_PANDAS = (
    "write it as JSONL first: python -c \"import pandas; pandas.{}.to_json('{}', orient='records', lines=True)\""
)
TABLES = {".csv": "CSV", ".tsv": "TSV", ".xlsx": "Excel", ".xls": "Excel"}
SEPARATORS = {",": "CSV", ";": "CSV", "\t": "TSV"}
PAGE = "an HTML page: download the file itself, not the page about it"
OTHER_TEXTS = {  # how files begin, in small letters, that are text and neither JSON nor a table
    b"version https://git-lfs": "a Git LFS pointer, which stands for the file: fetch that by git lfs pull",
    b"<!doctype": PAGE,
    b"<html": PAGE,
    b"<head": PAGE,
    b"<?xml": "XML",
    b"#": "a comment, and JSON has none: remove it",
    b"//": "a comment, and JSON has none: remove it",
}
UNPACK, UTF_16 = "unpack it first", "UTF-16 text: convert it first, as by iconv -f UTF-16 -t UTF-8"
BINARY = {  # how files begin that are no text in UTF-8
    b"PK\x03\x04": f"a zip archive, as .xlsx files are: {UNPACK}, or write it as JSONL",
    b"BZh": f"a bzip2 file: {UNPACK}",
    b"\xfd7zXZ\x00": f"an xz file: {UNPACK}",
    b"\x28\xb5\x2f\xfd": f"a zstandard file: {UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"a 7z archive: {UNPACK}",
    b"ARROW1": "an Arrow file: write it as parquet",
    b"\x80\x04\x95": "a pickle, which is never opened",
    b"\x80\x05\x95": "a pickle, which is never opened",
    b"\xff\xfe": UTF_16,
    b"\xfe\xff": UTF_16,
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"%PDF": "a PDF file",
    b"SQLite format 3": "an SQLite database",
}
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")  # no line of text has these


def refuse_other(path: str, number: int, first: bytes) -> None:
    """Raise if a file is not JSON, judged by its first line that is not blank, which has this number."""
    suffix = Path(path.lower().removesuffix(".gz")).suffix
    like_json = first.lstrip().startswith((b"{", b"["))
    if TABLES.get(suffix) == "Excel" and _beginning(first, OTHER_TEXTS) is None:
        raise ValueError(f"{path}: Excel is not read; {_by_pandas(path, 'read_excel({!r})')}")
    kind = _beginning(first, OTHER_TEXTS) or _beginning(first, BINARY) or _encoding(first, like_json)
    if kind:
        raise ValueError(f"{path}: not JSON in UTF-8 but {kind}")
    if suffix in TABLES and not like_json:
        raise ValueError(f"{path}: {TABLES[suffix]} is not read; {_by_pandas(path, _reading(first.decode(), suffix))}")
    if not like_json and not _is_json(first):
        line = first.decode().strip()
        raise ValueError(f"{path}:{number}: not a JSON object but {shortened(line)}{_way_out(path, line)}")


def _beginning(first: bytes, kinds: dict[bytes, str]) -> str | None:
    """Return the kind whose files begin as this line does."""
    text = first.lstrip().lower() if kinds is OTHER_TEXTS else first
    return next((kind for magic, kind in kinds.items() if text.startswith(magic)), None)


def _encoding(first: bytes, like_json: bool) -> str | None:
    """Return what a line is if it is not text in UTF-8; a line that begins like JSON is left to the JSON reader."""
    if b"\0" in first or (CONTROL.search(first) and not like_json):
        return "a binary file"
    try:
        first.decode()
    except UnicodeDecodeError:
        return None if like_json else "a binary file, or text of another encoding"
    return None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _by_pandas(path: str, reading: str) -> str:
    stem = Path(path).stem
    other = f"{stem}.jsonl" if Path(path).name != f"{stem}.jsonl" else f"{stem}_records.jsonl"
    return BY_PANDAS.format(reading.format(path), other)


def _reading(line: str, suffix: str = "") -> str:
    """Return the call of pandas that reads a table which begins with this line."""
    separator = max(SEPARATORS, key=line.count)
    separator = "\t" if suffix == ".tsv" and separator not in line else separator
    return "read_csv({!r})" if separator == "," else f"read_csv({{!r}}, sep={separator!r})"


def _way_out(path: str, line: str) -> str:
    """Return what to do about a file that begins with this line, if that may be the head of a table."""
    separator = max(SEPARATORS, key=line.count)
    if separator not in line:
        return ""
    return f"; if this is {SEPARATORS[separator]}, {_by_pandas(path, _reading(line))}"
