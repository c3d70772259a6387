"""Explorers in German, in a real browser: their words fit, and the page says that it is German."""

import pytest
from browser.browsing import APP, SIZES, served, view, watched
from browser.drawn import CUT, HIGH, PAINTED, Drawn, expect
from browser.test_app import BROKEN
from browser.test_outputs import FAULTS

from mapl_explore.explorers import BoundsExplorer, LossExplorer, PairsExplorer, TemperatureExplorer
from mapl_explore.explorers.gallery import PAGES
from mapl_explore.words import choice, language

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("german")]
CHOSEN = "import mapl_explore; mapl_explore.language('de'); "


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    with served(tmp_path_factory.mktemp("german"), CHOSEN + APP) as address:
        page = watched(browser)
        page.source = page.goto(address).text()
        page.locator(".mapl-panel").first.wait_for()
        yield page
        assert page.errors == []
        page.close()


@pytest.fixture
def _german(monkeypatch):
    monkeypatch.setattr(choice, "_chosen", None)
    language("de")


def test_the_page_says_what_its_language_is_and_waits_in_it(page):
    assert "Die Explorer starten …" in page.source
    expect(page.locator("html")).to_have_attribute("lang", "de")


@pytest.mark.parametrize("title", PAGES)
@pytest.mark.parametrize(("width", "height"), [SIZES[0], (390, 844)])
def test_nothing_is_cut_off_on_the_page(page, title, width, height):
    page.set_viewport_size({"width": width, "height": height})
    page.get_by_role("tab").nth(list(PAGES).index(title)).click()
    stage = view(page)
    expect(stage.get_by_role("button", name="zurücksetzen")).to_be_visible()
    expect(stage).to_have_attribute("lang", "de")
    page.evaluate(PAINTED)
    page.locator("#rendered_cells").evaluate("(page) => page.scrollTo(0, 0)")
    place = stage.bounding_box()
    if width == SIZES[0][0]:
        assert place["y"] + place["height"] <= height
    assert page.locator("#rendered_cells").evaluate("(page) => page.scrollWidth - page.clientWidth") <= 0
    assert stage.evaluate(BROKEN) == []
    assert page.evaluate(FAULTS) == []


@pytest.mark.usefixtures("_german")
@pytest.mark.parametrize("maker", [BoundsExplorer, LossExplorer, PairsExplorer, TemperatureExplorer])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_nothing_is_cut_off_in_a_notebook_and_the_scripts_speak_german(browser, maker, width, height):
    drawn = Drawn(browser, maker(), width, height)
    assert max(drawn.page.evaluate(CUT)) <= 1
    assert max(drawn.page.evaluate(HIGH)) <= 1
    for name in ("anheften", "abspielen"):
        expect(drawn.page.get_by_role("button", name=name, exact=True)).to_be_visible()
    drawn.page.get_by_role("button", name="anheften").click()
    drawn.answer()
    expect(drawn.page.get_by_title("noch einmal entfernt es")).to_have_attribute("aria-pressed", "true")
    drawn.page.locator("summary", has_text="mehr").click()
    expect(drawn.page.get_by_role("button", name="als Python kopieren")).to_be_visible()
    drawn.page.wait_for_function(f"Math.max(...({CUT})()) <= 1")  # the menu moves when it is open
    drawn.close()


@pytest.mark.usefixtures("_german")
def test_a_handle_says_in_german_what_dragging_it_does_and_a_silent_python_is_told(browser):
    drawn = Drawn(browser, BoundsExplorer(), answering=False)
    title = drawn.page.locator('.mapl-handle[data-knob="epsilon"] title')
    assert title.text_content() == "ziehen, um Ziel ε zu setzen"
    expect(drawn.page.get_by_role("alert")).to_have_text(
        "Python antwortet nicht: Es ist beschäftigt oder nicht mehr da. "
        "Führe die Zelle aus, nach denen darüber, damit die Regler wieder gehen."
    )
    drawn.close()
