"""The site's sources: every public name is on a page, every page is reached, every part that is included is there."""

import re
from pathlib import Path

import pytest

import mapl_explore

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "notebooks").glob("*.md")]
PAGES += [ROOT / "data/README.md", ROOT / "tests/bench/README.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(path):
    return path.read_text(encoding="utf-8")


def anchors(path):
    """Return the anchors of a page's titles, as GitHub and the site name them."""
    titles = re.findall(r"^#+ (.*)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_public_name_is_on_a_page():
    shown = {
        room for page in DOCS.rglob("reference/*.rst") for room in re.findall(r"public-names:: (\w+)", text_of(page))
    }
    homes = {home.split(".")[0] for home in mapl_explore.HOMES.values()}
    assert shown == homes
    assert sorted(mapl_explore.HOMES) == mapl_explore.__all__


def test_every_page_of_the_reference_is_in_its_list():
    listed = re.findall(r"^reference/(\w+)$", text_of(DOCS / "reference.md"), re.MULTILINE)
    assert sorted(listed) == sorted(page.stem for page in DOCS.glob("reference/*.rst"))


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_link_to_a_file_leads_somewhere(page):
    lines = [line for line in text_of(page).splitlines() if not line.startswith(":")]  # those say what is included
    for link in LINK.findall("\n".join(lines)):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", [DOCS / "index.md", DOCS / "course.md"], ids=lambda page: page.name)
def test_what_a_page_includes_is_there_once(page):
    parts = re.findall(r"\{include\} (\S+)\n((?::.*\n)+)", text_of(page))
    assert parts
    for path, options in parts:
        source = text_of(page.parent / path)
        start, end = (re.search(rf':{side}: "(.*)"', options).group(1) for side in ("start-after", "end-before"))
        assert end in source.split(start, 1)[1], (start, end)


def test_every_notebook_is_a_page_of_the_course():
    assert "../notebooks/0*" in text_of(DOCS / "course.md")
    assert {path.name[0] for path in (ROOT / "notebooks").glob("*.ipynb")} == {"0"}
