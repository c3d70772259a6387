"""Photograph every explorer and every notebook as JupyterLab shows them, all cells run, into build/screenshots.

A folder for each size of window holds NOTEBOOK-CLASS-k.png, an explorer; NOTEBOOK-page-k.png, the notebook from top to
bottom; NOTEBOOK-opened-k.png, the same with its folded parts opened and its predictions revealed; and app-k.png, a tab
of ``mapl-explore app``. ``make screenshots`` takes all; ``make screenshots ARGS="00_start_here app"`` takes those.
"""

import json
import re
import sys
import tempfile
from pathlib import Path

from browser.browsing import (
    APP,
    CHROMIUM,
    NOTEBOOKS,
    ROOT,
    SIZES,
    STDERR,
    TEACHERS,
    browsed,
    closed,
    opened,
    resized,
    run_all,
    served,
    watched,
)

PICTURES = ROOT / "build" / "screenshots"
PAGE_HEIGHT = 2000  # a few pictures a notebook, and each explorer whole
# From the number of the cell that each explorer is in; a cell may hold several.
CELLS = """() => {
    const cells = [...document.querySelectorAll(".jp-Notebook .jp-Cell")];
    const stages = [...document.querySelectorAll(".jp-Notebook .mapl-view")];
    return stages.map((stage) => cells.indexOf(stage.closest(".jp-Cell")));
}"""
OPEN = """() => {
    for (const folded of document.querySelectorAll(".jp-Notebook details")) folded.open = true;
    for (const asked of document.querySelectorAll(".mapl-predict")) asked.querySelector("input[type=radio]").click();
}"""
REVEAL = (
    """() => document.querySelectorAll(".mapl-predict button:not([disabled])").forEach((button) => button.click())"""
)


def main(names: list[str]) -> int:
    """Photograph these notebooks, or all; return how many have a cell that fails or warns."""
    if CHROMIUM is None:
        sys.exit("screenshots need chromium on PATH; on Debian and Ubuntu: apt install chromium")
    paths = [path for path in NOTEBOOKS if not names or path.stem in names]
    unknown = sorted(set(names) - {path.stem for path in paths} - {"app"})
    if unknown:
        sys.exit(f"no notebook {unknown[0]}; there are app, {', '.join(path.stem for path in NOTEBOOKS)}")
    failed = []
    with browsed() as browser:
        if not names or "app" in names:
            with tempfile.TemporaryDirectory() as folder, served(Path(folder), APP) as address:
                tabs(browser, address)
        with tempfile.TemporaryDirectory() as folder, served(Path(folder), TEACHERS) as address:
            failed = [path for path in paths if not photographed(browser, address, path)]
    print(f"the pictures are in {PICTURES.relative_to(ROOT)}")
    return len(failed)


def tabs(browser, address: str) -> None:
    """Photograph each tab of the page of explorers."""
    for width, height in SIZES:
        page = watched(browser, width, height)
        page.goto(address)
        page.locator(".mapl-panel").first.wait_for()
        folder = PICTURES / f"{width}x{height}"
        folder.mkdir(parents=True, exist_ok=True)
        for k, tab in enumerate(page.get_by_role("tab").all(), 1):
            tab.click()
            page.locator(".mapl-view:visible .mapl-panel").first.wait_for()
            page.wait_for_timeout(500)
            page.screenshot(path=folder / f"app-{k}.png")
        page.close()
    print("app: all tabs", flush=True)


def photographed(browser, address: str, path: Path) -> bool:
    """Run a notebook and take its pictures; return whether every cell ran in silence."""
    print(f"{path.stem}: running", flush=True)
    for old in PICTURES.glob(f"*/{path.stem}-*.png"):
        old.unlink()
    page = opened(browser, address, path.name)
    run_all(page)
    names = explorers(json.loads(path.read_text(encoding="utf-8"))["cells"], page.evaluate(CELLS))
    for width, height in SIZES:
        folder = PICTURES / f"{width}x{height}"
        folder.mkdir(parents=True, exist_ok=True)
        resized(page, width, PAGE_HEIGHT)
        for k, (name, stage) in enumerate(zip(names, page.locator(".mapl-view").all(), strict=True), 1):
            stage.screenshot(path=folder / f"{path.stem}-{name}-{k}.png")
        pages(page, folder / f"{path.stem}-page")
    page.evaluate(OPEN)
    page.wait_for_timeout(1000)
    page.evaluate(REVEAL)
    resized(page, width, PAGE_HEIGHT)
    pages(page, folder / f"{path.stem}-opened")
    errors = page.locator(STDERR).all_inner_texts()
    for error in errors:
        print(f"{path.stem}: a cell failed or warned\n{error}", file=sys.stderr)
    print(f"{path.stem}: {len(names)} explorers", flush=True)
    closed(page, address)
    return not errors


def pages(page, stem: Path) -> None:
    """Photograph the notebook from top to bottom."""
    paper = page.locator(".jp-WindowedPanel-outer").first
    seen, k, height = 0, 0, paper.evaluate("(outer) => outer.clientHeight")
    while seen < paper.evaluate("(outer) => outer.querySelector('.jp-WindowedPanel-inner').offsetHeight"):
        paper.evaluate("(outer, top) => { outer.scrollTop = top }", seen)
        page.wait_for_timeout(200)
        k, seen = k + 1, seen + height
        page.screenshot(path=f"{stem}-{k}.png", clip=paper.bounding_box())


def explorers(cells: list[dict], shown: list[int]) -> list[str]:
    """Return the class of each explorer that is shown in the cells of these numbers.

    >>> cells = [{"source": "a = BoundsExplorer(n=4)"}, {"source": ["b = LossExplorer()\\n", "HBox([a, b])"]}]
    >>> explorers(cells, [1, 1])
    ['BoundsExplorer', 'LossExplorer']
    """
    names = []
    for number in shown:
        before = "\n".join("".join(cell["source"]) for cell in cells[: number + 1])
        made = dict(re.findall(r"(\w+) = (\w+Explorer)\(", before))
        words = re.findall(r"\w+", before.splitlines()[-1])
        here = [made.get(word, word) for word in words if word in made or word.endswith("Explorer")]
        nth = shown[: len(names)].count(number)
        names.append(here[nth] if nth < len(here) else "Explorer")
    return names


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
