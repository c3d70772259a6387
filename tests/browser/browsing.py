"""What the browser tests and the screenshots share: a lab or the page of explorers, and Chromium to open it with."""

import base64
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# No sandbox: browsers refuse to start one as root, as in a container. The others keep it from calling home.
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
SECONDS = 1000  # playwright counts in milliseconds
SIZES = ((1280, 720), (1920, 1080))  # windows: a projector of the old kind, and of the new
# Never on the checkout's own notebooks: JupyterLab saves what it has run.
STUDENTS = "from mapl_explore import lab; lab.open_lab(student=True, browser=False)"
TEACHERS = """
from pathlib import Path
from mapl_explore import lab
lab.copy_notebooks(lab.CHECKOUT, Path("whole"))
lab.CHECKOUT = Path("whole").resolve()
lab.open_lab(browser=False)
"""
APP = "from mapl_explore import app; app.open_app(browser=False)"
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
# JupyterLab renders an output once it comes near the window; then the widgets still have to load.
SETTLED = """async () => {
    const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
    for (const cell of document.querySelectorAll(".jp-Notebook .jp-Cell")) {
        cell.scrollIntoView();
        await pause(30);
    }
    const unready = () => document.querySelector(".jp-Notebook").innerText.includes("Loading widget")
        || [...document.querySelectorAll(".jp-Notebook img")].some((image) => !image.complete);
    for (let i = 0; unready() && i < 100; i++) await pause(100);
    document.querySelector(".jp-Notebook .jp-Cell").scrollIntoView();
    await pause(300);
}"""

PICTURE = """async (image) => {
    const reader = new FileReader();
    reader.readAsDataURL(await (await fetch(image.src)).blob());
    await new Promise((done) => { reader.onload = done });
    return reader.result.split(",")[1];
}"""


@contextmanager
def served(folder: Path, program: str = STUDENTS):
    """Serve with a program, from a folder that is also the home; give the address of the first page."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    paths = {"HOME": str(folder), "PYTHONPATH": path, "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    with open(folder / "stderr.txt", "w") as log:
        command = [sys.executable, "-c", program]
        process = subprocess.Popen(command, cwd=folder, env=os.environ | paths, stdout=subprocess.PIPE, stderr=log)
        with process:
            try:
                yield process.stdout.readline().decode().split()[-1]
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=30)
    assert process.returncode == 0


@contextmanager
def browsed():
    """Start a browser."""
    from playwright import sync_api

    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        sync_api.expect.set_options(timeout=30 * SECONDS)
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
    page.set_default_timeout(60 * SECONDS)
    page.errors = []
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    return page


def run_all(page, minutes: float = 4) -> None:
    """Run every cell, and wait until the last has run or one has failed and everything is on the page."""
    for menu, item in (("Edit", "Clear Outputs of All Cells"), ("Run", "Run All Cells")):
        page.get_by_role("menuitem", name=menu, exact=True).click()
        page.get_by_role("menuitem", name=item, exact=True).click()
    page.wait_for_function(DONE, timeout=minutes * 60 * SECONDS)
    page.evaluate(SETTLED)


def resized(page, width: int, height: int) -> None:
    """Give the window another size, and wait until everything has found its place."""
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate(SETTLED)


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


def box(stage, knob):
    """Return the number box or the list of a control of an explorer."""
    return stage.get_by_label(label(knob), exact=True)


def slider(stage, knob):
    """Return the handle in the row of a control's box."""
    row = stage.locator(".widget-hbox", has=box(getattr(stage, "page", stage), knob))
    return row.last.get_by_role("slider")


def dragged(page, handle, pixels: int) -> None:
    """Drag the handle of a slider to the right, with the mouse."""
    handle.scroll_into_view_if_needed()
    place = handle.bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + pixels, y, steps=10)
    page.mouse.up()


def settings(stage, explorer) -> dict:
    """Return the settings of an explorer as the boxes and lists on the page have them."""
    texts = {name: box(stage, control.knob).input_value() for name, control in explorer._controls.items()}
    return {name: text if isinstance(explorer.settings[name], str) else float(text) for name, text in texts.items()}


def picture(stage) -> np.ndarray:
    """Return the pixels of the picture on screen."""
    png = base64.b64decode(stage.locator("img.widget-image").evaluate(PICTURE))
    return np.asarray(Image.open(io.BytesIO(png)))


def assert_shows(stage, explorer) -> None:
    """Assert that what is on screen is what the library makes of its settings, to the last pixel."""
    from playwright.sync_api import expect

    text = re.sub(r"<[^>]*>", "", explorer.html(explorer.reading))
    expect(stage.locator(".widget-html-content").last).to_have_text(text)
    # Drawn anew, not what its own widget holds.
    assert np.array_equal(picture(stage), explorer.frame())
