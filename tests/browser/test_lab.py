"""The first page as a person meets it: JupyterLab in a real browser, sliders by keyboard, numbers and picture checked.

With MAPL_SCREENSHOTS=FOLDER the pages are photographed there.
"""

import base64
import os
import re
from pathlib import Path

import pytest
from browser.browsing import CHROMIUM, SECONDS, browsed, closed, opened, served

from mapl_explore.explorers import BoundsExplorer
from mapl_explore.knobs import KNOBS

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")]
TAU = f"{KNOBS['tau'].label} ({KNOBS['tau'].unit})"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A lab on copies of the notebooks, with a home of its own: its address, and the folder with what it says."""
    folder = tmp_path_factory.mktemp("lab")
    with served(folder) as address:
        yield address, folder


@pytest.fixture(scope="module")
def page(server):
    """The first page at a projector's size, its first cell run."""
    with browsed() as browser:
        page = opened(browser, server[0])
        shoot(page, "opened")
        page.locator(".jp-CodeCell").first.click()
        page.keyboard.press("Shift+Enter")
        box(page).wait_for()
        yield page
        closed(page, server[0])


@pytest.fixture
def start(page):
    """The page with every slider where it started."""
    page.get_by_role("button", name="reset").click()
    playwright.expect(box(page)).to_have_value(f"{KNOBS['tau'].default:g}")
    return page


def box(page):
    return page.get_by_label(TAU)


def slider(page):
    """The handle in the row of tau's box."""
    return page.locator(".widget-hbox", has=box(page)).last.get_by_role("slider")


def readout(page):
    return page.locator(".widget-html-content").last


def picture(page):
    """The PNG on screen."""
    source = page.locator("img.widget-image").get_attribute("src")
    script = """async (source) => {
        const reader = new FileReader();
        reader.readAsDataURL(await (await fetch(source)).blob());
        await new Promise((done) => { reader.onload = done });
        return reader.result.split(",")[1];
    }"""
    return base64.b64decode(page.evaluate(script, source))


def assert_shows(page, **settings):
    """What is on screen is what the library makes of these settings, to the last pixel."""
    explorer = BoundsExplorer(**settings)
    text = re.sub(r"<[^>]*>", "", explorer.html(explorer.reading))
    playwright.expect(readout(page)).to_have_text(text)
    assert picture(page) == explorer._image.value


def shoot(page, name):
    if folder := os.environ.get("MAPL_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_the_first_cell_shows_what_the_library_computes(start):
    assert_shows(start)


def test_the_first_page_has_the_window_to_itself_and_others_open_beside_it(start):
    assert start.locator(".jp-FileBrowser:visible").count() == 0
    assert start.locator(".lm-DockPanel-tabBar:visible").count() == 1
    assert start.locator(".jp-NotebookPanel").bounding_box()["width"] > 0.9 * start.viewport_size["width"]
    assert not start.get_by_text("Voil").is_visible()


def test_arrow_keys_on_the_slider_move_the_number_the_readout_and_the_picture(start):
    slider(start).focus()
    for _ in range(20):
        start.keyboard.press("ArrowRight")
    # Twenty steps of 0.01 in the exponent, from 0.70, the step next to log10(5): three digits of 10^0.90.
    playwright.expect(box(start)).to_have_value("7.94")
    assert_shows(start, tau=7.94)
    shoot(start, "moved")


def test_a_number_typed_into_the_box_moves_the_slider(start):
    box(start).fill("0.5")
    box(start).press("Enter")
    assert_shows(start, tau=0.5)
    # A logarithmic slider reports its exponent, rounded to one decimal.
    playwright.expect(slider(start)).to_have_attribute("aria-valuenow", "-0.3")


def test_presets_set_the_sliders(start):
    start.get_by_role("button", name="one response").click()
    playwright.expect(start.get_by_label(KNOBS["n"].label)).to_have_value("1")
    assert_shows(start, n=1)


def test_the_tau_of_the_slider_is_what_the_trainer_runs(start):
    box(start).fill("2.5")
    box(start).press("Enter")
    assert_shows(start, tau=2.5)
    first = start.locator(".jp-CodeCell", has_text="explorer.loss").first
    first.locator(".jp-InputArea-editor").click()
    start.get_by_role("menuitem", name="Run").click()
    start.get_by_text("Run Selected Cell and All Below").click()
    last = start.locator(".jp-OutputArea-output", has_text="trained with").last
    # Seconds on a quiet machine; a shared one may take minutes to load the libraries and train.
    playwright.expect(last).to_contain_text("DPO(beta=0.1, pair=Smooth(tau=2.5))", timeout=240 * SECONDS)
    last.scroll_into_view_if_needed()
    shoot(start, "trained")


def test_neither_the_console_nor_the_server_reports_an_error(page, server):
    assert page.errors == []
    assert (server[1] / "stderr.txt").read_text() == ""
