"""The lab: which notebooks are served, copies that never touch a person's work, a server on loopback with a token."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mapl_explore import lab

ROOT = Path(__file__).parents[1]


def notebook(*cells):
    """A notebook of (source, tags)."""
    made = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {"tags": tags}, "source": text, "outputs": []}
        for i, (text, *tags) in enumerate(cells)
    ]
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


def test_a_students_copy_lacks_the_solutions_alone(source, tmp_path):
    lab.copy_notebooks(source, tmp_path / "copy", solutions=False)
    assert sources(tmp_path / "copy" / "00_start_here.ipynb") == ["τ = None"]
    assert sources(tmp_path / "copy" / "01_more.ipynb") == ["1 + 1"]


def test_a_persons_own_notebook_is_never_overwritten(source, tmp_path):
    target = tmp_path / "copy"
    target.mkdir()
    (target / "00_start_here.ipynb").write_text("mine")
    lab.copy_notebooks(source, target, solutions=False)
    assert (target / "00_start_here.ipynb").read_text() == "mine"
    assert (target / "01_more.ipynb").exists()


def test_a_checkout_serves_its_own_notebooks_and_a_wheel_copies_of_the_shipped(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lab._notebooks(student=False) == ROOT / "notebooks"
    monkeypatch.setattr(lab, "SHIPPED", source)
    assert lab._notebooks(student=False) == tmp_path / "mapl_explore_notebooks"
    assert lab._notebooks(student=True) == tmp_path / "mapl_explore_student"
    assert (tmp_path / "mapl_explore_student" / lab.FIRST_PAGE).exists()


def test_the_server_is_on_loopback_only_and_has_a_token():
    command = lab._command(ROOT / "notebooks", browser=False, port=None)
    assert "--ServerApp.ip=127.0.0.1" in command
    assert "--no-browser" in command
    assert len(lab._environment()["JUPYTER_TOKEN"]) == 48
    # Anyone on the machine can read a command line.
    assert not any("token" in word.lower() for word in command)


def test_a_person_keeps_settings_and_token_of_their_own(monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/their/settings")
    monkeypatch.setenv("JUPYTER_TOKEN", "theirs")
    environment = lab._environment()
    assert environment["JUPYTER_TOKEN"] == "theirs"
    assert environment["JUPYTER_CONFIG_PATH"].endswith("/their/settings")


def test_a_server_that_does_not_start_is_an_error_that_says_so():
    server = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    with server, pytest.raises(RuntimeError, match="JupyterLab ended with exit code 3 before it was ready"):
        lab._address(server)
