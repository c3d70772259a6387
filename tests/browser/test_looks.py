"""How an explorer looks: what stands out, what is cut off, how high its picture is, at every size of the window."""

import numpy as np
import pytest
from browser.drawn import CONTRAST, CUT, HIGH, PAINTED, Drawn, expect

from mapl_explore.explorers import BoundsExplorer, LossExplorer
from mapl_explore.losses import ScoredSets

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("view")]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_words_stand_out_from_the_page(browser, dark):
    drawn = Drawn(browser, BoundsExplorer(post="show"), dark=dark)
    contrast, *word = drawn.page.evaluate(CONTRAST)
    assert contrast >= 4.5, word
    drawn.close()


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 720), (853, 480), (800, 600), (390, 844)])
def test_nothing_is_cut_off_at_any_size(browser, width, height):
    drawn = Drawn(browser, BoundsExplorer(), width, height)  # 853 x 480: 150 % of 1280 x 720
    assert max(drawn.page.evaluate(CUT)) <= 1
    drawn.close()


def test_on_a_phone_the_widest_table_that_of_responses_with_rewards_has_its_whole_width(browser):
    logp, label = np.array([[-10.0, -12.0, -11.0, -9.0, -14.0, -13.0]]), np.array([[1, 1, 1, -1, -1, -1]])
    sets = ScoredSets(logp, logp - 0.5 * label, np.full((1, 6), 4), label, reward=np.array([[9.0, 7.5, 6, 4, 2.5, 1]]))
    drawn = Drawn(browser, LossExplorer("infonca", sets=sets), 390, 844)
    assert "reward" in drawn.page.locator("th").all_inner_texts()
    widths = drawn.page.eval_on_selector_all(
        ".mapl-table", "(all) => all.map((one) => one.scrollWidth - one.clientWidth)"
    )
    assert max(widths) <= 0
    drawn.close()


def test_words_that_are_wider_than_their_panel_have_smaller_letters(browser):
    drawn = Drawn(browser, BoundsExplorer(tau=100.0), 720, 500)
    words = drawn.page.get_by_text("others < 0.001%")
    inside = """(text) => {
        const [word, panel] = [text, text.closest("svg")].map((one) => one.getBoundingClientRect());
        return [word.left - panel.left, panel.right - word.right];
    }"""
    assert min(words.evaluate(inside)) >= 0
    drawn.page.set_viewport_size({"width": 1280, "height": 720})
    drawn.page.evaluate(PAINTED)
    assert words.evaluate("(text) => text.style.fontSize") == ""
    drawn.close()


@pytest.mark.parametrize("height", [400, 600, 720])
def test_in_a_low_window_no_word_of_a_picture_is_cut_or_covered_by_the_key(browser, height):
    drawn = Drawn(browser, LossExplorer(curves="weights"), height=height)
    assert max(drawn.page.evaluate(HIGH)) <= 1  # one: boxes are read in parts of a pixel
    drawn.close()


def in_a_notebook(browser, explorer, height=599):
    """An explorer in as much as JupyterLab leaves of a window of 1280 x 720, or in a lower notebook."""
    drawn = Drawn(browser, explorer, 1100, 700)
    drawn.page.evaluate(
        "(style) => Object.assign(document.body, { className: 'jp-Notebook', style })", f"height: {height}px"
    )
    drawn.page.set_viewport_size({"width": 1100, "height": 720})
    drawn.page.evaluate(PAINTED)
    return drawn


@pytest.mark.parametrize("make", [BoundsExplorer, LossExplorer])
def test_in_a_window_as_high_as_a_notebook_one_sees_the_picture_with_all_its_sliders(browser, make):
    drawn = in_a_notebook(browser, make())
    bottom = drawn.page.locator(".mapl-knob").last.evaluate("(knob) => knob.getBoundingClientRect().bottom")
    assert bottom <= 599
    # What is written next to the sliders may reach below them: the picture has nearly half of the window.
    high, window = drawn.page.evaluate("[document.querySelector('.mapl-panel').clientHeight, innerHeight]")
    assert high >= 0.46 * window - 1 or bottom >= 580
    drawn.close()


# How far the lines of a panel's words are apart, and its upright label goes beyond its axes, in heights of a letter.
CLOSE = """() => {
    const type = parseFloat(getComputedStyle(document.querySelector(".mapl-view")).fontSize);
    const lines = [...document.querySelectorAll('[data-name="shares"] text')].map((node) => node.getAttribute("y"));
    const label = document.querySelector(".mapl-scenery [transform]").getBoundingClientRect();
    const axis = document.querySelector(".mapl-panel clipPath rect").getAttribute("height");
    return [(lines[1] - lines[0]) / type, (label.height - axis) / type];
}"""


@pytest.mark.parametrize("gallery", [False, True])
@pytest.mark.parametrize("height", [599, 300])
def test_in_a_low_notebook_the_lines_of_a_picture_stay_apart_and_its_label_at_its_axes(browser, height, gallery):
    drawn = in_a_notebook(browser, BoundsExplorer(), height)
    top = "<div class='jp-NotebookPanel' style='height: 300px'>"
    if gallery:
        drawn.page.evaluate("(top) => document.body.insertAdjacentHTML('afterbegin', top)", top)
        drawn.page.evaluate("document.body.classList.add('mapl-gallery')")
        drawn.page.set_viewport_size({"width": 1100, "height": 721})
        drawn.page.evaluate(PAINTED)
    apart, beyond = drawn.page.evaluate(CLOSE)
    assert apart >= 1.09
    assert beyond <= 0.5
    drawn.close()


@pytest.mark.parametrize("place", ["jp-Notebook", "mapl-gallery"])
def test_a_refusal_and_a_banner_leave_the_picture_its_height(browser, place):
    drawn = in_a_notebook(browser, BoundsExplorer())
    drawn.page.evaluate("(place) => { document.body.className = place; }", place)
    drawn.page.set_viewport_size({"width": 1100, "height": 721})
    tau, height = drawn.page.get_by_role("textbox", name="inverse temperature τ (1/nats)"), "(one) => one.clientHeight"
    heights = []
    for typed in ("5", "abc", "7"):
        tau.fill(typed)
        tau.press("Enter")
        drawn.answer()
        drawn.page.evaluate("dispatchEvent(new Event('resize'))")
        heights.append(drawn.page.locator(".mapl-panels").evaluate(height))
        assert drawn.page.locator(".mapl-refusal").is_visible() == (typed == "abc")
    drawn.page.evaluate("void (window.model.send = () => { throw Error('closed'); })")
    tau.fill("9")
    tau.press("Enter")
    expect(drawn.page.locator(".mapl-banner")).to_be_visible()
    drawn.page.evaluate("dispatchEvent(new Event('resize'))")
    heights.append(drawn.page.locator(".mapl-panels").evaluate(height))
    assert len({*heights}) == 1, heights
    drawn.close()


def test_forced_colours_leave_every_line_visible(browser):
    drawn = Drawn(browser, BoundsExplorer(), forced_colors="active")
    strokes = drawn.page.eval_on_selector_all(
        ".mapl-curve, .mapl-rule", "(nodes) => nodes.map((node) => getComputedStyle(node).stroke)"
    )
    ground = drawn.page.evaluate("getComputedStyle(document.querySelector('.mapl-view')).backgroundColor")
    assert set(strokes).isdisjoint({ground, "none"})
    drawn.close()
