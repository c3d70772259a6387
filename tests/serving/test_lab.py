"""The lab: which notebooks are served, and copies that never touch a person's work."""

import json
import os
import shutil
from pathlib import Path

import nbformat
import pytest

from mapl_explore.course.copies import agrees
from mapl_explore.course.questions import questions_of
from mapl_explore.serving import lab
from mapl_explore.serving.server import SETTINGS

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def notebook(*cells):
    """A notebook of (source, tags), as it is when all its cells have run, under a heading."""
    out = [{"output_type": "stream", "name": "stdout", "text": ["A is right"]}]
    made = [{"cell_type": "markdown", "id": "c0", "metadata": {}, "source": "# Title"}]
    for i, (text, *tags) in enumerate(cells, 1):
        seen = {"execution_count": i, "metadata": {"tags": tags}, "outputs": out}
        made.append({"cell_type": "code", "id": f"c{i}", "source": text, **seen})
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, ensure_ascii=False)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "00_start_here.ipynb").write_text(notebook(("τ = None",), ("τ = 5", "solution")), encoding="utf-8")
    (folder / "01_more.ipynb").write_text(notebook(("1 + 1",)), encoding="utf-8")
    return folder


def sources(path):
    return [cell["source"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def test_a_copy_holds_every_notebook_whole(source, tmp_path):
    lab.copy_notebooks(source, tmp_path / "copy")
    for path in source.iterdir():
        assert json.loads((tmp_path / "copy" / path.name).read_text()) == json.loads(path.read_text())


def test_a_students_copy_lacks_the_solutions_and_what_running_left_and_nothing_else(source, tmp_path):
    lab.copy_notebooks(source, tmp_path / "copy", student=True)
    assert sources(tmp_path / "copy" / "00_start_here.ipynb") == ["# Title", "τ = None"]
    assert sources(tmp_path / "copy" / "01_more.ipynb") == ["# Title", "1 + 1"]
    title, cell = json.loads((tmp_path / "copy" / "01_more.ipynb").read_text())["cells"]
    assert title == {"cell_type": "markdown", "id": "c0", "metadata": {}, "source": "# Title"}
    assert (cell["outputs"], cell["execution_count"], cell["id"]) == ([], None, "c1")


def test_a_token_that_is_refused_leaves_no_copies_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUPYTER_TOKEN", "two words")
    with pytest.raises(ValueError, match="JUPYTER_TOKEN must be"):
        lab.open_lab(student=True, browser=False)
    assert not list(tmp_path.iterdir())


def test_every_notebook_of_the_course_stays_a_notebook_without_its_solutions(tmp_path):
    lab.copy_notebooks(ROOT / "notebooks", tmp_path, student=True)
    others = {"answers.json", lab.GLOSSARY}
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in NOTEBOOKS} | others
    for path in tmp_path.glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert not any("solution" in cell.metadata.get("tags", ()) for cell in notebook.cells)
        assert not any(cell.get("outputs") for cell in notebook.cells)


def test_a_persons_own_notebook_is_never_overwritten(source, tmp_path):
    target = tmp_path / "copy"
    target.mkdir()
    (target / "00_start_here.ipynb").write_text("mine")
    lab.copy_notebooks(source, target, student=True)
    assert (target / "00_start_here.ipynb").read_text() == "mine"
    assert (target / "01_more.ipynb").exists()


@pytest.mark.parametrize("student", [True, False])
def test_the_glossary_comes_along_and_one_that_is_there_stays(source, tmp_path, student):
    lab.copy_notebooks(source, tmp_path / "without", student=student)
    assert not (tmp_path / "without" / lab.GLOSSARY).exists()
    (source / lab.GLOSSARY).write_bytes("# Glossary\n\nτ\n".encode())
    lab.copy_notebooks(source, tmp_path / "copy", student=student)
    assert (tmp_path / "copy" / lab.GLOSSARY).read_bytes() == (source / lab.GLOSSARY).read_bytes()
    (tmp_path / "copy" / lab.GLOSSARY).write_text("mine")
    lab.copy_notebooks(source, tmp_path / "copy", student=student)
    assert (tmp_path / "copy" / lab.GLOSSARY).read_text() == "mine"


def test_the_page_for_instructors_comes_along_for_a_teacher_alone(source, tmp_path):
    (source / lab.INSTRUCTOR).write_text("quiz")
    for student in (True, False):
        lab.copy_notebooks(source, tmp_path / str(student), student=student)
    assert not (tmp_path / "True" / lab.INSTRUCTOR).exists()
    assert (tmp_path / "False" / lab.INSTRUCTOR).read_text() == "quiz"


def test_hidden_answers_come_with_the_notebooks_that_are_copied_and_those_of_a_kept_one_stay(source, tmp_path):
    target = tmp_path / "copy"
    (source / "answers.json").write_text('{"00-A": "new", "00-B": "new", "01-A": "new"}')
    target.mkdir()
    (target / "00_start_here.ipynb").write_text("mine")
    (target / "answers.json").write_text('{"00-A": "of mine", "01-A": "of one that is gone"}')
    lab.copy_notebooks(source, target, student=True)
    assert json.loads((target / "answers.json").read_text()) == {"00-A": "of mine", "00-B": "new", "01-A": "new"}


def test_answers_that_a_teacher_has_changed_since_are_hidden_anew(tmp_path):
    [path] = [one for one in NOTEBOOKS if one.stem.startswith("01")]
    source, target = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    known = json.loads((ROOT / "notebooks/answers.json").read_text())
    (source / "answers.json").write_text(json.dumps({**known, "01-A": known["01-B"]}))
    os.utime(source / "answers.json", (0, 0))
    shutil.copy(path, source)
    lab.copy_notebooks(source, target, student=True)
    found = json.loads((target / "answers.json").read_text())
    assert all(agrees(one, found[one.key]) for one in questions_of(path))


def test_a_teachers_copy_has_no_hidden_answers(source, tmp_path):
    (source / "answers.json").write_text("{}")
    lab.copy_notebooks(source, tmp_path / "copy")
    assert not (tmp_path / "copy" / "answers.json").exists()


def test_a_checkout_serves_its_own_notebooks_and_a_wheel_copies_of_the_shipped(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lab._notebooks(student=False) == ROOT / "notebooks"
    monkeypatch.setattr(lab, "SHIPPED", source)
    assert lab._notebooks(student=False) == tmp_path / "mapl_explore_notebooks"
    assert lab._notebooks(student=True) == tmp_path / "mapl_explore_student"
    assert (tmp_path / "mapl_explore_student" / lab.FIRST_PAGE).exists()


def test_the_lab_folds_the_side_bars_and_shows_no_news_and_no_preview():
    settings = [json.loads(path.read_text()) for path in sorted(SETTINGS.glob("*config*/*.json"))]
    assert {"ServerApp": {"jpserver_extensions": {"voila.server_extension": False}}} in settings
    (overrides,) = [one for one in settings if "@jupyterlab/docmanager-extension:plugin" in one]
    viewers = overrides["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"]
    assert viewers == {"markdown": "Markdown Preview"}  # the glossary as it is read
    assert "--LabApp.default_url=/doc/tree/00_start_here.ipynb" in lab._options(ROOT)
