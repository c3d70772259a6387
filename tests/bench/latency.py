"""Time a slider to changed pixels in JupyterLab and Chromium: an explorer, ipywidgets.interact and ipympl, in turn.

All three draw the figure of BoundsExplorer. ``interact`` draws it anew with the inline backend; ipympl keeps it, moves
the same artists and calls draw_idle. ``make bench`` installs ipympl into build/bench, where only this file looks.
"""

import base64
import io
import os
import statistics
import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from browser.browsing import CHROMIUM, ROOT, browsed, closed, opened, run_all, served
from PIL import Image

KINDS = ("explorer", "interact", "ipympl draw_idle")
ROUNDS, CHANGES = 25, 120
EXTRA = ROOT / "build" / "bench"
PROGRAM = """
from pathlib import Path
from mapl_explore.serving import lab
lab.CHECKOUT = Path.cwd()
lab.open_lab(browser=False)
"""
CELLS = (
    """
from mapl_explore.explorers import BoundsExplorer

explorer = BoundsExplorer()
explorer
""",
    """
from IPython.core.pylabtools import select_figure_formats
from IPython.display import display
from ipywidgets import FloatLogSlider, VBox, interact
from mapl_explore.plots import drawing_style, styled_figure

select_figure_formats(get_ipython(), {"png"}, bbox_inches=None)  # the same pixels: else a part is cut away


def built():
    with drawing_style():
        figure = styled_figure(*explorer.size)
        return figure, explorer.build(figure, explorer.scene(explorer.reading))


def moved(panels, tau):
    explorer.move(panels, explorer.read(explorer.settings | {"tau": tau}))


def draw(tau):
    figure, panels = built()
    moved(panels, tau)
    display(figure)


interact(draw, tau=FloatLogSlider(5.0, min=-1, max=2, step=0.01));
""",
    """
from ipympl.backend_nbagg import Canvas, FigureManager

figure, panels = built()
canvas = Canvas(figure)
manager = FigureManager(canvas, 1)
slider = FloatLogSlider(5.0, min=-1, max=2, step=0.01)
moved(panels, slider.value)


def follow(change):
    moved(panels, change["new"])
    canvas.draw_idle()


slider.observe(follow, "value")
VBox([slider, canvas])
""",
)
# What the page does: watch a row of pixels across the vertical line at tau, at every frame that the browser draws.
WATCH = """() => {
    const cells = [...document.querySelectorAll(".jp-Notebook .jp-CodeCell")];
    const canvas = Object.assign(document.createElement("canvas"), { width: 1300, height: 1 });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const frame = () => new Promise(requestAnimationFrame);
    const row = (kind) => {
        const source = cells[kind].querySelector(".jp-OutputArea img, .jupyter-matplotlib-canvas-div canvas");
        if (source === null || source.complete === false) return null;
        context.drawImage(source, 0, 150, 1300, 1, 0, 0, 1300, 1);
        return new Uint32Array(context.getImageData(0, 0, 1300, 1).data.buffer).join();
    };
    const press = (kind, key) =>
        cells[kind].querySelector("[role=slider]").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    const still = async (kind, milliseconds) => {
        let [seen, since, changed] = [row(kind), performance.now(), 0];
        while (performance.now() - since < milliseconds) {
            await frame();
            const now = row(kind);
            if (now !== null && now !== seen) [seen, since, changed] = [now, performance.now(), performance.now()];
        }
        return changed;
    };
    window.latency = async ([kind, key]) => {
        await still(kind, 300);
        const [before, start] = [row(kind), performance.now()];
        press(kind, key);
        for (let now = before; now === null || now === before; now = row(kind)) {
            await frame();
            if (performance.now() - start > 10000) throw Error(`no change of ${kind} in 10 s`);
        }
        return performance.now() - start;
    };
    window.sweep = async ([kind, changes]) => {
        await still(kind, 300);
        const start = performance.now();
        let [seen, frames] = [row(kind), 0];
        for (let i = 0; i < changes; i++) {
            press(kind, i < changes / 2 ? "ArrowRight" : "ArrowLeft");
            while (performance.now() - start < (i + 1) * 1000 / 60) await frame();
            const now = row(kind);
            if (now !== null && now !== seen) [seen, frames] = [now, frames + 1];
        }
        const end = performance.now();
        const last = await still(kind, 1000);
        return { seconds: (end - start) / 1000, frames, late: Math.max(0, last - end) };
    };
}"""


def main() -> None:
    """Measure all three in turn, then the explorer at 60 changes a second, and print what was found."""
    if CHROMIUM is None:
        print("latency: skipped, no chromium on PATH")
        return
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(EXTRA), os.environ.get("PYTHONPATH")]))
    os.environ["JUPYTER_PATH"] = str(EXTRA / "share" / "jupyter")
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(notebook(), Path(folder) / "bench.ipynb")
        with served(Path(folder), PROGRAM) as address, browsed() as browser:
            page = opened(browser, address, "bench.ipynb", width=1500, height=2000)
            run_all(page)
            page.evaluate(WATCH)
            page.wait_for_timeout(1000)
            report(measured(page), *swept(page))
            closed(page, address)


def notebook():
    """Return a notebook with a cell for each of the three."""
    cells = [nbformat.v4.new_code_cell(text.strip()) for text in CELLS]
    kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=kernel)


def measured(page) -> list[list[float]]:
    """Return the milliseconds of each of the three, round by round in turn."""
    times = [[] for _ in KINDS]
    for number in range(ROUNDS + 2):
        for kind, found in enumerate(times):
            key = "ArrowRight" if number % 2 else "ArrowLeft"
            found.append(page.evaluate("latency", [kind, key]))
    return [found[2:] for found in times]  # the first are slower: nothing is cached yet


def swept(page) -> tuple[dict, int, int]:
    """Return how the explorer keeps up with 60 changes a second, how many screens it had, and how many were blank."""
    screens = []
    session = page.context.new_cdp_session(page)

    def seen(event):
        screens.append(event["data"])
        session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

    place = page.locator(".jp-CodeCell").first.locator("img").bounding_box()
    found = page.evaluate("sweep", [0, CHANGES])
    session.on("Page.screencastFrame", seen)
    session.send("Page.startScreencast", {"format": "png"})
    page.evaluate("sweep", [0, CHANGES])
    session.send("Page.stopScreencast")
    blank = sum(is_blank(base64.b64decode(data), page.viewport_size["width"], place) for data in screens)
    return found, len(screens), blank


def is_blank(png: bytes, width: int, place: dict) -> bool:
    """Tell whether the picture at this place of a screen has nothing on it."""
    screen = Image.open(io.BytesIO(png)).convert("L")
    scale = screen.width / width
    left, top = place["x"] * scale, place["y"] * scale
    inner = screen.crop((left, top, left + place["width"] * scale, top + place["height"] * scale))
    return bool(np.std(np.asarray(inner, np.float64)) < 5)


def report(times: list[list[float]], sweep: dict, screens: int, blank: int) -> None:
    """Print medians, what 95 of 100 stay below, and ratios to the explorer."""
    ours = statistics.median(times[0])
    print(f"slider to changed pixels, milliseconds, {ROUNDS} rounds in turn, load {os.getloadavg()[0]:.1f}")
    for name, found in zip(KINDS, times, strict=True):
        middle, most = statistics.median(found), np.quantile(found, 0.95)
        print(f"{name:18} median {middle:6.0f}   95% {most:6.0f}   {middle / ours:5.1f} times the explorer's")
    rate = sweep["frames"] / sweep["seconds"]
    print(f"60 changes a second: {rate:.0f} pictures a second, the last {sweep['late']:.0f} ms after the last change")
    print(f"{screens} screens in a second run of it, {blank} with a blank picture")


if __name__ == "__main__":
    sys.exit(main())
