"""Time a slider to changed pixels in JupyterLab and Chromium: an explorer, what it replaced, bqplot, interact.

All four show the numbers of BoundsExplorer, in turn; a line alone, which shows where its slider is, tells what
JupyterLab and the browser take for themselves. The replaced picture, bqplot and the line stand in ``replaced.py``;
``interact`` draws the replaced picture anew with the inline backend. ``make bench`` installs bqplot into build/bench,
where only this file looks.
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from browser.browsing import CHROMIUM, ROOT, browsed, closed, opened, run_all, served

KINDS = ("explorer", "replaced picture", "bqplot", "a line alone", "interact")
ROUNDS, CHANGES = 25, 120
EXTRA = ROOT / "build" / "bench"
PROGRAM = """
from pathlib import Path
from mapl_explore.serving import lab
lab.CHECKOUT = Path.cwd()
lab.open_lab(student=False, browser=False)
"""
CELLS = (
    "from mapl_explore.explorers import BoundsExplorer\n\nexplorer = BoundsExplorer()\nexplorer",
    "from bench.replaced import Pixels, Plotted, figure, read\n\nPixels().widget",
    "Plotted().widget",
    "from bench.replaced import Alone\n\nAlone()",
    """
from IPython.core.pylabtools import select_figure_formats
from IPython.display import display
from ipywidgets import FloatLogSlider, interact

select_figure_formats(get_ipython(), {"png"}, bbox_inches=None)  # the same pixels: else a part is cut away


def draw(tau):
    display(figure(read(tau)))


interact(draw, tau=FloatLogSlider(5.0, min=-1, max=2, step=0.01));
""",
)
# What the page does: look, at every frame that the browser draws, at the marks or at a row of pixels across them.
WATCH = """() => {
    const cells = [...document.querySelectorAll(".jp-Notebook .jp-CodeCell")];
    const canvas = Object.assign(document.createElement("canvas"), { width: 1300, height: 1 });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const frame = () => new Promise(requestAnimationFrame);
    const bqplot = ".bqplot path, .bqplot rect, .bqplot g.object_grp";
    const marks = ["[data-name] path, [data-name]", null, bqplot, ".alone", null];
    const shape = (node) => ["d", "transform", "y", "height"].map((name) => node.getAttribute(name)).join();
    const look = (kind) => {
        const output = cells[kind].querySelector(".jp-OutputArea");
        if (marks[kind]) return [...output.querySelectorAll(marks[kind])].map(shape).join() || null;
        const image = output.querySelector("img");
        if (!image?.complete) return null;
        context.drawImage(image, 0, 150, 1300, 1, 0, 0, 1300, 1);
        return new Uint32Array(context.getImageData(0, 0, 1300, 1).data.buffer).join();
    };
    const press = (kind, way) => {
        const slider = cells[kind].querySelector("input[type=range]");
        const typed = new KeyboardEvent("keydown", { key: way > 0 ? "ArrowRight" : "ArrowLeft", bubbles: true });
        if (slider === null) return cells[kind].querySelector("[role=slider]").dispatchEvent(typed);
        slider.valueAsNumber += way;
        return slider.dispatchEvent(new Event("input", { bubbles: true }));
    };
    const still = async (kind, milliseconds) => {
        let [seen, since, changed] = [look(kind), performance.now(), 0];
        while (performance.now() - since < milliseconds) {
            await frame();
            const now = look(kind);
            if (now !== null && now !== seen) [seen, since, changed] = [now, performance.now(), performance.now()];
        }
        return changed;
    };
    // Until the first change, and until the last.
    window.latency = async ([kind, way]) => {
        await still(kind, 300);
        const [before, start] = [look(kind), performance.now()];
        press(kind, way);
        for (let now = before; now === null || now === before; now = look(kind)) {
            await frame();
            if (performance.now() - start > 10000) throw Error(`no change of ${kind} in 10 s`);
        }
        const first = performance.now() - start;
        return [first, Math.max(first, await still(kind, 250) - start)];
    };
    window.sweep = async ([kind, changes]) => {
        await still(kind, 300);
        const start = performance.now();
        let [seen, frames, blank] = [look(kind), 0, 0];
        for (let i = 0; i < changes; i++) {
            press(kind, i < changes / 2 ? 1 : -1);
            while (performance.now() - start < (i + 1) * 1000 / 60) {
                await frame();
                const now = look(kind);
                if (now === null) blank += 1;
                else if (now !== seen) [seen, frames] = [now, frames + 1];
            }
        }
        const end = performance.now();
        const last = await still(kind, 1000);
        return { rate: frames / (end - start) * 1000, blank, late: Math.max(0, last - end) };
    };
}"""
# What an explorer has to reach, each a measured number and the most it may be (the least, for pictures a second).
REACH = """reach: first change at most 0.6 times the replaced picture's: {replaced:.2f}
reach: settled at most 1.1 times bqplot's: {bqplot:.2f}
reach: interact at least 8 times as long: {interact:.1f}
reach: at least 25 pictures a second, none blank, the last within 100 ms: {rate:.0f}, {blank}, {late:.0f} ms
reach: at most 8 kB a move: {bytes:.1f} kB"""


def main() -> None:
    """Measure all in turn, then each at 60 changes a second, and print what was found next to the reach."""
    if CHROMIUM is None:
        print("latency: skipped, no chromium on PATH")
        return
    paths = [str(EXTRA), str(ROOT / "tests"), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    os.environ["JUPYTER_PATH"] = str(EXTRA / "share" / "jupyter")
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(notebook(), Path(folder) / "bench.ipynb")
        with served(Path(folder), PROGRAM) as address, browsed() as browser:
            page = opened(browser, address, "bench.ipynb", width=1500, height=3300)
            traffic = counted(page)
            run_all(page)
            page.evaluate(WATCH)
            page.wait_for_timeout(1000)
            times, sizes = measured(page, traffic)
            report(times, sizes, [page.evaluate("sweep", [kind, CHANGES]) for kind in range(len(KINDS) - 1)])
            closed(page, address)


def notebook():
    """Return a notebook with a cell for each."""
    cells = [nbformat.v4.new_code_cell(text.strip()) for text in CELLS]
    kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=kernel)


def counted(page) -> list[int]:
    """Load the page anew, and return a list to which the size in bytes of what its sockets receive is added."""
    received = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda data: received.append(len(data))))
    page.reload()
    page.get_by_text("| Idle").wait_for()
    return received


def measured(page, traffic: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return milliseconds to the first and the last change, and bytes: (round, kind, 2) and (round, kind)."""
    times, sizes = np.empty((ROUNDS + 2, len(KINDS), 2)), np.empty((ROUNDS + 2, len(KINDS)))
    for number, kind in np.ndindex(sizes.shape):
        page.wait_for_timeout(50)
        before = sum(traffic)
        times[number, kind] = page.evaluate("latency", [kind, 1 if number % 2 else -1])
        sizes[number, kind] = sum(traffic) - before
    return times[2:], sizes[2:]  # the first are slower: nothing is cached yet


def report(times: np.ndarray, sizes: np.ndarray, sweeps: list[dict]) -> None:
    """Print medians, what 95 of 100 stay below, and ratios to the explorer, next to what it has to reach."""
    middle, size = np.median(times, axis=0), np.median(sizes, axis=0) / 1e3
    most = np.quantile(times[..., 0], 0.95, axis=0)
    print(f"slider to changed pixels, milliseconds, {ROUNDS} rounds in turn, load {os.getloadavg()[0]:.1f}")
    for kind, name in enumerate(KINDS):
        first, settled = middle[kind]
        ratio = first / middle[0, 0]
        print(f"{name:17} first {first:5.0f} (95% {most[kind]:5.0f})  settled {settled:5.0f}", end="  ")
        print(f"{ratio:5.1f} times the explorer's  {size[kind]:6.1f} kB a move")
    print("at 60 changes a second")
    for name, sweep in zip(KINDS, sweeps, strict=False):
        print(
            f"{name:17} {sweep['rate']:4.0f} pictures a second, the last {sweep['late']:.0f} ms after the last change"
        )
    first, settled = middle.T
    found = {"replaced": first[0] / first[1], "bqplot": settled[0] / settled[2], "interact": first[-1] / first[0]}
    print(REACH.format(**found, **sweeps[0], bytes=size[0]))


if __name__ == "__main__":
    sys.exit(main())
