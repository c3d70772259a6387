"""What the browser tests and the screenshots share: a lab or the page of explorers, and Chromium to open it with."""

import functools
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import matplotlib
from browser.drawn import expect, misplaced
from patience import HANG

from mapl_explore.explorers.knobs import Choice

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CAN_BROWSE = CHROMIUM is not None and importlib.util.find_spec("playwright") is not None
# These train; their outputs are of the kinds that the others have.
QUICK = [path.name for path in NOTEBOOKS if path.name[:2] not in ("06", "07")]
# No sandbox: browsers refuse to start one as root, as in a container. The others keep it from calling home.
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
LIMIT = HANG * 1000  # playwright counts in milliseconds
SIZES = ((1280, 720), (1920, 1080))  # windows: a projector of the old kind, and of the new
# Never on the checkout's own notebooks: JupyterLab saves what it has run.
STUDENTS = "from mapl_explore.serving import lab; lab.open_lab(student=True, browser=False)"
TEACHERS = """
from pathlib import Path
from mapl_explore.serving import lab
lab.copy_notebooks(lab.CHECKOUT, Path("whole"))
lab.CHECKOUT = Path("whole").resolve()
lab.open_lab(student=False, browser=False)
"""
APP = "from mapl_explore.serving import app; app.open_app(browser=False)"
# What a cell writes to stderr; JupyterLab shows errors under the same name.
STDERR = '[data-mime-type="application/vnd.jupyter.stderr"]'
# Every cell has a number, or one has failed and none is under way.
DONE = """() => {
    // A cell whose source is folded away has an empty prompt.
    const prompts = [...document.querySelectorAll(".jp-Notebook .jp-CodeCell .jp-InputPrompt")]
        .map((prompt) => prompt.textContent.trim()).filter((text) => text !== "");
    const failed = document.querySelector(`STDERR`) !== null;
    const all = prompts.every((text) => /^\\[\\d+\\]/.test(text));
    const none = prompts.every((text) => !text.includes("*"));
    return prompts.length > 0 && (all || (failed && none)) && document.body.innerText.includes("| Idle");
}""".replace("STDERR", STDERR)
DRAWN = "[data-name] [d], [data-name][d]"  # what a panel of an explorer has once its picture is there
# JupyterLab renders an output once it comes near the window, in a frame after the one that shows it there.
SEEN = """async () => {
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const cells = [...document.querySelectorAll(".jp-Notebook .jp-Cell")];
    for (const cell of [...cells, cells[0]]) {
        cell.scrollIntoView();
        await frame();
        await frame();
    }
}"""
# Then the widgets load, and push what stands below them: nothing is on its way once 5 looks in a row see the same.
SETTLED = """() => {
    const notebook = document.querySelector(".jp-Notebook");
    const loading = notebook.innerText.includes("Loading widget")
        || notebook.querySelector(".jp-Cell-Placeholder") !== null
        || [...notebook.querySelectorAll("[data-mime-type$='widget-view+json']")].some((one) => one.offsetHeight < 5)
        || [...notebook.querySelectorAll("img")].some((image) => !image.complete)
        || [...notebook.querySelectorAll(".mapl-panel")].some((panel) => panel.querySelector(`DRAWN`) === null);
    const outputs = [...notebook.querySelectorAll(".jp-OutputArea-output")];
    const seen = JSON.stringify(outputs.map((output) => output.getBoundingClientRect()));
    window.maplLooks = !loading && seen === window.maplSeen ? window.maplLooks + 1 : 0;
    window.maplSeen = seen;
    return window.maplLooks >= 5;
}""".replace("DRAWN", DRAWN)


@contextmanager
def served(folder: Path, program: str = STUDENTS):
    """Serve with a program, from a folder that is also the home; give the address of the first page."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    paths = {"HOME": str(folder), "PYTHONPATH": path, "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    # Its fonts are those of this process: a home of its own would have matplotlib look for all of them again.
    paths |= {"MPLCONFIGDIR": matplotlib.get_cachedir()}
    with open(folder / "stderr.txt", "w") as log:
        command = [sys.executable, "-c", program]
        process = subprocess.Popen(command, cwd=folder, env=os.environ | paths, stdout=subprocess.PIPE, stderr=log)
        with process:
            try:
                yield process.stdout.readline().decode().split()[-1]
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=HANG)
    assert process.returncode == 0


def complaints(folder: Path) -> list[str]:
    """Return what a server has said, but that another test's got its port, after which it has started again."""
    said = (folder / "stderr.txt").read_text().splitlines()
    return [line for line in said if not re.search("no available port|starts again", line)]


@contextmanager
def browsed():
    """Start a browser."""
    from playwright import sync_api

    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        sync_api.expect.set_options(timeout=LIMIT)
        yield browser
        browser.close()


def opened(browser, address: str, name: str | None = None, width: int = 1280, height: int = 720):
    """Open a notebook, the first unless named, ready to run; the page collects what its console says as ``errors``."""
    page = watched(browser, width, height)
    page.goto(address if name is None else _place(address, name))
    # JupyterLab drops a cell that is run before its kernel has answered.
    page.get_by_text("| Idle").wait_for()
    return page


def watched(browser, width: int = 1280, height: int = 720):
    """Return an empty page that collects what its console says as ``errors``."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(LIMIT)
    page.errors = []
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    return page


def run_all(page) -> None:
    """Run every cell, and wait until the last has run or one has failed and everything is on the page."""
    for menu, item in (("Edit", "Clear Outputs of All Cells"), ("Run", "Run All Cells")):
        page.get_by_role("menuitem", name=menu, exact=True).click()
        page.get_by_role("menuitem", name=item, exact=True).click()
    page.wait_for_function(DONE)
    settled(page)


def settled(page) -> None:
    """Wait until every output of a notebook has been near the window and all have found their place."""
    page.evaluate(SEEN)
    page.wait_for_function(SETTLED, polling=100)


def resized(page, width: int, height: int) -> None:
    """Give the window another size, and wait until everything has found its place."""
    page.set_viewport_size({"width": width, "height": height})
    settled(page)


def closed(page, address: str) -> None:
    """Close a page and end its kernel, so that the next notebook has the memory to itself."""
    parts = urlsplit(address)
    headers = {"Authorization": parts.query.replace("token=", "token ")}
    kernels = f"{parts.scheme}://{parts.netloc}/api/kernels"
    for kernel in page.request.get(kernels, headers=headers).json():
        page.request.delete(f"{kernels}/{kernel['id']}", headers=headers)
    page.close()


def _place(address: str, name: str) -> str:
    """Return the address of another notebook, without the tabs of those that were open before."""
    parts = urlsplit(address)
    place = parts.path.rsplit("/", 1)[0]
    return urlunsplit(parts._replace(path=f"{place}/{name}", query=f"{parts.query}&reset"))


def label(knob) -> str:
    """Return what a control is called on the page."""
    unit = getattr(knob, "unit", "")
    return f"{knob.label} ({unit})" if unit else knob.label


def view(page):
    """Return the explorer on a page that is visible; the first of several."""
    return page.locator(".mapl-view:visible").first


def box(stage, knob):
    """Return the number box or the list of a control of an explorer."""
    role = "combobox" if isinstance(knob, Choice) else "textbox"
    return stage.get_by_role(role, name=label(knob), exact=True)


def slider(stage, knob):
    """Return the slider of a control of an explorer."""
    return stage.locator(f'.mapl-knob[data-knob="{knob.name}"] input[type="range"]')


def until(page, holds) -> None:
    """Wait until a condition holds, while the page goes on."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() < start + HANG, f"{holds.__name__} does not hold after {HANG} seconds"
        page.wait_for_timeout(50)


def dragged(page, handle, pixels: int) -> None:
    """Drag the handle of a slider to the right, with the mouse."""
    handle.scroll_into_view_if_needed()
    place = handle.bounding_box()
    # The middle of the handle keeps half its width, some 8 pixels, from the ends.
    part = handle.evaluate("(slider) => (slider.value - slider.min) / (slider.max - slider.min)")
    x, y = place["x"] + 8 + part * (place["width"] - 16), place["y"] + place["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + pixels, y, steps=10)
    page.mouse.up()


@functools.cache
def _made(kind):
    return kind()


def set_to(kind, **settings):
    """Return the one explorer of a kind that the tests share, with these settings and the others as they start."""
    explorer = _made(kind)
    explorer.set(**(explorer._start | settings))
    return explorer


def settings(stage, explorer) -> dict:
    """Return the settings of an explorer as the boxes and lists on the page have them."""
    boxes = {name: box(stage, knob) for name, knob in explorer._knobs.items()}
    texts = {name: found.input_value() for name, found in boxes.items() if found.count()}  # some sliders are away
    texts = {name: text.replace("−", "-") for name, text in texts.items()}
    return {name: text if isinstance(explorer.settings[name], str) else float(text) for name, text in texts.items()}


def assert_shows(stage, explorer) -> None:
    """Assert that what is on screen is what the library makes of its settings: every word and every mark."""
    text = unescape(re.sub(r"</?[a-z][^>]*>", "", explorer.html(explorer.reading)))  # a "<" between words stays
    expect(stage.locator(".mapl-says")).to_have_text(text)

    def every_mark_lies_where_the_panels_say():
        return not misplaced(explorer, stage)

    until(stage.page, every_mark_lies_where_the_panels_say)
