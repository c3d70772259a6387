"""The catalogues of ``mapl_explore/words``, brought up to date with the sentences of the code.

``python release/words.py fr`` makes ``fr.po`` or brings it up to date; without a name it does so with all there are.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from mapl_explore.version import VERSION

ROOT = Path(__file__).resolve().parents[1]
CATALOGUES = ROOT / "mapl_explore" / "words"
METHODS = [("shipped/**", "ignore"), ("**.py", "python"), ("**.js", "javascript")]
AUTHORS = "The mapl_explore authors"
HEAD = "# The words of explorers and lessons in another language; CONTRIBUTING.md says how they are made and checked."


def sentences() -> Catalog:
    """Return the sentences of the code, each with the files that it stands in."""
    found = Catalog(charset="utf-8")
    for path, _line, text, _comments, _context in extract_from_dir(ROOT / "mapl_explore", METHODS):
        found.add(text, locations=[(f"mapl_explore/{path}", 0)])
    return found


def read(path: Path) -> Catalog:
    """Return a catalogue; an empty one of the language if there is none yet."""
    if not path.exists():
        who = dict.fromkeys(("last_translator", "language_team", "msgid_bugs_address"), AUTHORS)
        head = {"project": "mapl_explore", "version": VERSION, "header_comment": HEAD, "fuzzy": False}
        return Catalog(path.stem, charset="utf-8", revision_date=datetime.now(UTC), **head, **who)
    with open(path, encoding="utf-8") as file:
        return read_po(file, locale=path.stem)


def bring_up_to_date(path: Path) -> None:
    """Write a catalogue with the sentences of the code; one that is new, or was changed, has no translation yet."""
    catalogue = read(path)
    catalogue.update(sentences(), no_fuzzy_matching=True, update_creation_date=False)
    write(catalogue, path)
    lacking = sum(not whole(message.string) for message in catalogue if message.id)
    print(f"{path.name}: {len(catalogue)} sentences, {lacking} without a translation")


def whole(translation: str | tuple[str, ...] | None) -> bool:
    """Return whether there is a translation, in each of its forms."""
    return all(translation) if isinstance(translation, tuple) else bool(translation)


def write(catalogue: Catalog, path: Path) -> None:
    """Write a catalogue in the order of the files, without numbers of lines: a change of the code moves little."""
    with open(path, "wb") as file:
        write_po(file, catalogue, width=0, ignore_obsolete=True, sort_by_file=True, include_lineno=False)


if __name__ == "__main__":
    for path in [CATALOGUES / f"{name}.po" for name in sys.argv[1:]] or sorted(CATALOGUES.glob("*.po")):
        bring_up_to_date(path)
