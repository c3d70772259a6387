"""The site, pages and course in the browser alone: the folder that MAPL_SITE names, as `make pages` writes it."""

import functools
import http.server
import json
import os
import threading
from pathlib import Path

import pytest
from browser.browsing import DONE, LIMIT, STDERR, until

SITE = os.environ.get("MAPL_SITE")
NOTEBOOKS = sorted(Path(SITE, "lite/files").glob("*.ipynb")) if SITE else [Path("any")]
PAGES = ("docs/index", "docs/course", "docs/reference/losses", "notebooks/05_losses_and_gradients", "LEDGER", "README")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not SITE, reason="MAPL_SITE names no folder of `make pages`"),
    pytest.mark.xdist_group("site"),
]


# The lab hides the outputs of cells that are scrolled away; the first explorer is near the top.
SHOWN = """() => {
    for (const pane of document.querySelectorAll(".jp-WindowedPanel-outer")) pane.scrollTop = 0;
    const view = document.querySelector(".mapl-view");
    view.scrollIntoView();
    return [...view.querySelectorAll("svg")].some((picture) => picture.getBoundingClientRect().height > 100);
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def address():
    serve = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def context(browser):
    """One visitor, who has the files of the site after the first page."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, accept_downloads=True)
    context.set_default_timeout(LIMIT)
    yield context
    context.close()


def opened(context, address, path):
    """Open a notebook of the site, and return its page; it notes what is asked of other places."""
    page = context.new_page()
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(f"{address}/lite/lab/index.html?path={path.name}")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    return page


def run(page):
    """Run every cell of a notebook, and wait until the last has run."""

    def begun():
        # The lab drops what comes before its kernel is there.
        for item in ("Run", "Run All Cells"):
            page.get_by_role("menuitem", name=item, exact=True).click()
        prompts = page.locator(".jp-Notebook .jp-InputPrompt").all_inner_texts()
        return any(text.strip() in ("[*]:", "[1]:") for text in prompts)

    until(page, begun)
    page.wait_for_function(DONE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_without_a_network_and_an_explorer_answers(context, address, path):
    page = opened(context, address, path)
    run(page)
    assert page.locator(STDERR).all_inner_texts() == []
    view = page.locator(".mapl-view").first
    page.wait_for_function(SHOWN)
    slider = view.locator('input[type="range"]').first
    before = view.inner_text()
    slider.focus()
    slider.press("ArrowRight")
    page.wait_for_function("([view, before]) => view.innerText !== before", arg=[view.element_handle(), before])
    assert [url for url in page.asked if not url.startswith((address, "data:", "blob:"))] == []
    page.close()


def test_marks_can_be_downloaded(context, address):
    page = opened(context, address, NOTEBOOKS[1])
    run(page)
    guess = page.locator(".mapl-predict input[type=radio]").first
    guess.scroll_into_view_if_needed()
    guess.check()
    page.locator(".mapl-predict button").first.click()
    marks = page.locator('.jp-DirListing-item[title*="marks.json"]')
    marks.click(button="right")
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Download").click()
    kept = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert [entry["given"] for entry in kept["answers"].values()] != []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation_and_nothing_is_wider_than_a_phone(browser, address, name, scheme):
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    for width in (390, 1280):
        page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page.set_default_timeout(LIMIT)
        page.goto(f"{address}/{name}.html")
        page.evaluate((Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
        found = page.evaluate("axe.run()")["violations"]
        assert [(one["id"], node["html"], node["failureSummary"]) for one in found for node in one["nodes"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.close()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_leads_to_its_notebook_in_the_browser(context, address, path):
    page = context.new_page()
    start = "docs/index" if path.stem == "explorers" else f"notebooks/{path.stem}"
    page.goto(f"{address}/{start}.html")
    page.get_by_role("link", name="here in the browser").click()
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    page.get_by_role("tab", name=path.name).wait_for()
    page.close()
