"""The notebooks: committed as they run, run as they are committed, fit to be shown to anyone."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Where people's files lie; nothing of the machine that ran a notebook belongs in it.
MACHINE = re.compile(r"(/home/|/root/|/tmp/|/work/|/Users/|[A-Z]:\\|site-packages|" + re.escape(str(ROOT)) + ")")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell | {"source": "".join(cell["source"])} for cell in notebook["cells"]]


def code(cells):
    return [cell for cell in cells if cell["cell_type"] == "code"]


def outputs(cells):
    return [output for cell in code(cells) for output in cell["outputs"]]


def test_the_course_has_its_first_page():
    assert "00_start_here.ipynb" in [path.name for path in NOTEBOOKS]


def test_it_runs_and_gives_the_committed_outputs(path):
    options = ["--nbval", "--nbval-current-env", "-q", "-p", "no:cacheprovider", "-W", "ignore"]
    places = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(path)],
        env=os.environ | {"PYTHONPATH": places},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stdout[-4000:]
    assert f"{len(code(json.loads(path.read_text())['cells']))} passed" in run.stdout


def test_every_code_cell_was_run_in_order(cells):
    # nbval passes a cell that was never run: it has nothing to compare.
    assert [cell["execution_count"] for cell in code(cells)] == list(range(1, len(code(cells)) + 1))


def test_no_output_is_an_error_or_a_warning(cells):
    assert [output for output in outputs(cells) if output["output_type"] == "error"] == []
    assert [output["text"] for output in outputs(cells) if output.get("name") == "stderr"] == []


def test_nothing_tells_of_the_machine_it_ran_on(cells):
    texts = [cell["source"] for cell in cells]
    texts += [json.dumps({**output, "data": without_pictures(output)}) for output in outputs(cells)]
    assert [found.group() for text in texts if (found := MACHINE.search(text))] == []


def without_pictures(output):
    return {kind: data for kind, data in output.get("data", {}).items() if kind != "image/png"}


def test_every_widget_has_a_picture_that_is_not_blank_for_those_who_only_read(path, cells):
    shown = [
        output["data"] for output in outputs(cells) if any("widget-view" in kind for kind in output.get("data", ()))
    ]
    assert shown, "no explorer"
    for data in shown:
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["image/png"]))))
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    # With saved state an export would show sliders that do nothing, in place of the picture.
    assert "widgets" not in json.loads(path.read_text(encoding="utf-8"))["metadata"]


def test_cells_are_short_and_define_nothing_that_belongs_in_the_library(cells):
    for cell in code(cells):
        assert len(cell["source"].splitlines()) <= 14, cell["source"]
        assert not re.search(r"^\s*(def|class) ", cell["source"], re.MULTILINE), cell["source"]


def test_nothing_that_cannot_be_compared_is_used(cells):
    for cell in code(cells):
        assert not re.search(r"\binteract\b|clear_output|Output\(|;\s*$", cell["source"]), cell["source"]
