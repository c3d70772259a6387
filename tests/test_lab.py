"""The lab: which notebooks are served, copies that never touch a person's work, a server on loopback with a token."""

import json
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import nbformat
import pytest

from mapl_explore import lab

ROOT = Path(__file__).parents[1]


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


def test_every_notebook_of_the_course_stays_a_notebook_without_its_solutions(tmp_path):
    lab.copy_notebooks(ROOT / "notebooks", tmp_path, student=True)
    for path in tmp_path.iterdir():
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
        lab._running(server)


def test_the_lab_folds_the_side_bars_and_shows_no_news_and_no_preview():
    settings = [json.loads(path.read_text()) for path in sorted(lab.SETTINGS.rglob("*.json"))]
    assert {"ServerApp": {"jpserver_extensions": {"voila.server_extension": False}}} in settings
    assert "--LabApp.default_url=/doc/tree/00_start_here.ipynb" in lab._command(ROOT, browser=True, port=None)
    running = {"url": "http://127.0.0.1:8888/", "token": "t"}
    assert lab._address(running) == "http://127.0.0.1:8888/doc/tree/00_start_here.ipynb?token=t"


@pytest.fixture
def shutdowns():
    """A server that takes requests and does not end: its record, and what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(200 if self.headers["Authorization"] == "token right" else 403)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"url": f"http://127.0.0.1:{server.server_port}/", "token": "right"}, asked
        server.shutdown()


def test_the_server_is_asked_to_end_without_a_signal_and_past_any_proxy(shutdowns, monkeypatch):
    running, asked = shutdowns
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert lab._asked_to_end(running)
    assert asked == [("/api/shutdown", "token right")]


def test_a_server_that_cannot_be_asked_is_ended_by_a_signal(shutdowns):
    running, _ = shutdowns
    for record in ({}, running | {"token": "wrong"}, {"url": "http://127.0.0.1:9/", "token": "right"}):
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as server:
            lab._end(server, record)
            assert server.returncode == -signal.SIGTERM
