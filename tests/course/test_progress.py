"""The map of the course: which sections are done, and the minutes that are left."""

import json

import pytest

from mapl_explore.course.lessons import course_map
from mapl_explore.course.marks import keep

CELLS = [
    ("markdown", "# Title\n\n## 1 · Why? (3 minutes)"),
    ("markdown", "## 2 · Guess (2 minutes)"),
    ("code", 'predict(\n    "Which?",\n    ["a", "b"],\n    key="01-guess-1",\n)'),
    ("markdown", "## 3 · Two exercises (5 minutes)"),
    ("code", 'check("A", mine, key="01-A")'),
    ("code", 'check("B", mine, key="01-B")'),
    ("markdown", "## 4 · What to take home (1 minute)"),
]


def written(path, cells):
    made = [{"cell_type": kind, "id": f"c{i}", "metadata": {}, "source": text} for i, (kind, text) in enumerate(cells)]
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, cells in (("00_start.ipynb", CELLS[:1]), ("01_more.ipynb", CELLS), ("own.ipynb", CELLS)):
        written(tmp_path / name, cells)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines():
    return repr(course_map()).splitlines()


def test_at_first_nothing_is_done_and_all_minutes_are_left(folder):
    assert lines() == ["00_start  ○1  3 minutes left", "01_more   ○1 ○2 ○3 ○4  11 minutes left"]


def test_a_section_ticks_when_all_its_questions_have_an_answer_be_it_right_or_wrong(folder):
    keep("01-A", 1.0, False, folder)
    assert lines()[1] == "01_more   ✓1 ○2 ○3 ○4  8 minutes left"
    keep("01-B", 2.0, True, folder)
    assert lines()[1] == "01_more   ✓1 ○2 ✓3 ○4  3 minutes left"


def test_a_lesson_without_an_open_question_is_done(folder):
    for key in ("01-guess-1", "01-A", "01-B"):
        keep(key, "a", False, folder)
    assert lines() == ["00_start  ✓1  done", "01_more   ✓1 ✓2 ✓3 ✓4  done"]


def test_a_section_without_questions_is_done_when_a_later_one_has_an_answer(tmp_path):
    ask = [("code", f'check("{name}", mine, key="01-{name}")') for name in "ABC"]
    sections = [("markdown", f"## {number} · Any (2 minutes)") for number in range(1, 5)]
    # What a question before the first section asks is of no section.
    written(tmp_path / "01_a&b.ipynb", [ask[0], sections[0], ask[0], *sections[1:3], ask[1], sections[3], ask[2]])
    for key in ("01-A", "01-B"):
        keep(key, 1.0, True, tmp_path)
    assert repr(course_map(tmp_path)) == "01_a&b  ✓1 ✓2 ✓3 ○4  2 minutes left"
    assert ">01_<wbr>a&amp;b</a>" in course_map(tmp_path)._repr_html_()


def test_in_a_notebook_the_names_lead_to_the_lessons(folder):
    html = course_map()._repr_html_().replace(' style="text-align: left"', "")  # JupyterLab's tables end at the right
    assert '<a href="01_more.ipynb">01_<wbr>more</a></td><td>○1 ○2 ○3 ○4</td><td>11 minutes left</td>' in html


def test_marks_that_cannot_be_read_are_told(folder):
    (folder / "marks.json").write_text("{half")
    with pytest.raises(ValueError, match=r"marks.json: must be JSON in UTF-8"):
        course_map()


def test_a_folder_without_notebooks_has_an_empty_map(tmp_path):
    assert repr(course_map(tmp_path)) == ""
