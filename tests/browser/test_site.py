"""The course in the browser alone: the folder that MAPL_SITE names, as `make site` writes it."""

import functools
import http.server
import os
import threading

import pytest
from browser.browsing import until, watched

SITE = os.environ.get("MAPL_SITE")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not SITE, reason="MAPL_SITE names no folder of `make site`"),
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def runs(page):
    """Run all cells, and say whether one is under way: the lab drops what comes before its kernel is there."""
    for item in ("Run", "Run All Cells"):
        page.get_by_role("menuitem", name=item, exact=True).click()
    prompts = page.locator(".jp-Notebook .jp-InputPrompt").all_inner_texts()
    return any(text.strip() in ("[*]:", "[1]:") for text in prompts)


@pytest.mark.parametrize("name", ["00_start_here", "01_smooth_maximum", "explorers"])
def test_a_notebook_runs_without_a_network_and_its_explorer_answers(browser, address, name):
    page = watched(browser)
    asked = []
    page.context.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/lab/index.html?path={name}.ipynb")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    until(page, lambda: runs(page))
    view = page.locator(".mapl-view").first
    view.scroll_into_view_if_needed()
    view.locator("svg:visible").first.wait_for()
    slider = view.locator('input[type="range"]').first
    before = view.inner_text()
    slider.focus()
    slider.press("ArrowRight")
    page.wait_for_function("([view, before]) => view.innerText !== before", arg=[view.element_handle(), before])
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    page.close()
