"""The glossary: in order, at the right place of the course, linked from every lesson, and copied along with it."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LESSONS = [path for path in NOTEBOOKS if not path.name.startswith("00")]
TEXT = (ROOT / "notebooks/GLOSSARY.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^### (.*)\n\n((?:(?!### |<span).*\n)+)", TEXT, re.MULTILINE))
ANCHORS = {title.lower().replace(" ", "-"): title for title in ENTRIES}
LINK = re.compile(r"\[([^\]]+)\]\(GLOSSARY\.md#([^)]*)\)")
# Where no term is linked: formulas, code, titles, quotations, answers that are folded, other links.
ELSEWHERE = re.compile(
    r"(?s)<details><summary>(?:What is wrong|Answers?)<.*?</details>|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`"
    r"|(?m:^[#>][^\n]*$)|\[[^]]*\]\((?!GLOSSARY)[^)]*\)"
)


def prose(path):
    """Return the text of a notebook in which a term may be linked."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return "\n\n".join(ELSEWHERE.sub("", text) for text in texts)


def links(path):
    return LINK.findall(prose(path))


def test_terms_are_in_the_order_of_the_alphabet():
    assert len(ENTRIES) > 30
    assert list(ENTRIES) == sorted(ENTRIES, key=str.lower)
    assert len(ENTRIES) == TEXT.count("\n### ")


@pytest.mark.parametrize("title", ENTRIES)
def test_an_entry_names_a_section_that_is_there(title):
    lesson, path, section = re.search(r"^\[(\d\d)\]\((\S+)\), section (\d+)", ENTRIES[title], re.MULTILINE).groups()
    assert path.startswith(lesson)
    cells = json.loads((ROOT / "notebooks" / path).read_text(encoding="utf-8"))["cells"]
    assert any(f"## {section} · " in "".join(cell["source"]) for cell in cells)


@pytest.mark.parametrize("title", ENTRIES)
def test_jupyterlab_finds_an_entry_by_the_anchor_that_other_pages_have(title):
    # JupyterLab keeps the capitals of a heading in its anchor; GitHub and the site do not.
    anchor = title.lower().replace(" ", "-")
    marked = f'<span data-jupyter-id="{anchor}"></span>\n\n### {title}\n' in TEXT
    assert marked == (title != title.lower())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_links_terms_that_are_there_and_none_twice(path):
    counts = Counter(anchor for _, anchor in links(path))
    assert counts.keys() <= ANCHORS.keys()
    assert [anchor for anchor, count in counts.items() if count > 1] == []
    # There is none elsewhere, such as in a formula or a folded answer.
    assert len(LINK.findall(path.read_text(encoding="utf-8"))) == len(links(path))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_a_lesson_links_at_least_five_terms(path):
    assert len(links(path)) >= 5


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_a_term_is_linked_where_it_stands_first_or_where_it_is_defined(path):
    text = prose(path)
    for found in LINK.finditer(text):
        words, before = found[1].strip("*"), LINK.sub(r"\1", text[: found.start()])
        defined = before.endswith("*") or found[1].startswith("*")
        assert defined or not re.search(rf"\b{re.escape(words)}\b", before), words


def test_every_term_is_linked_from_a_notebook_or_another_entry():
    linked = {anchor for path in NOTEBOOKS for _, anchor in links(path)}
    for title, text in ENTRIES.items():
        linked |= {anchor for anchor in re.findall(r"\]\(#([^)]+)\)", text) if ANCHORS.get(anchor) != title}
    assert {anchor: title for anchor, title in ANCHORS.items() if anchor not in linked} == {}
