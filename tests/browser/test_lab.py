"""JupyterLab as a person meets it, in a real browser: sliders by keyboard and mouse, guesses, exercises, training.

With MAPL_SCREENSHOTS=FOLDER the pages are photographed there.
"""

import os
from pathlib import Path

import nbformat
import pytest
from browser.browsing import (
    LIMIT,
    assert_shows,
    box,
    closed,
    complaints,
    dragged,
    label,
    opened,
    run_all,
    set_to,
    settings,
    slider,
    view,
)
from browser.drawn import expect

from mapl_explore.explorers import BoundsExplorer
from mapl_explore.explorers.knobs import KNOBS, Choice

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("test_lab")]
TAU = KNOBS["tau"]


@pytest.fixture(scope="module")
def page(browser, lab):
    """The first page at a projector's size, its first cell run."""
    page = opened(browser, lab[0])
    shoot(page, "opened")
    page.locator(".jp-CodeCell").first.click()
    page.keyboard.press("Shift+Enter")
    box(view(page), TAU).wait_for()
    yield page
    closed(page, lab[0])


@pytest.fixture
def start(page):
    """The page with every slider where it started."""
    # From elsewhere, and seen to arrive: a click under way would undo what the test does next.
    view(page).get_by_role("button", name="runners-up tie").click()
    assert_shows(view(page), set_to(BoundsExplorer, spread=0.0))
    view(page).get_by_role("button", name="reset").click()
    assert_shows(view(page), set_to(BoundsExplorer))
    return page


@pytest.fixture(scope="module")
def lesson(browser, lab):
    """The lesson on the bounds, with every cell run."""
    page = opened(browser, lab[0], "02_error_bounds.ipynb")
    run_all(page)
    yield page
    closed(page, lab[0])


# When the slider moves, and when the banner is seen.
SAID = """() => {
    const view = document.querySelector(".mapl-view");
    view.addEventListener("input", () => { window.moved ??= performance.now(); });
    const banner = view.querySelector(".mapl-banner");
    const seen = () => { if (!banner.hidden) window.said ??= performance.now(); };
    new MutationObserver(seen).observe(banner, { attributes: true });
}"""


def typed(page, knob, text):
    box(view(page), knob).fill(text)
    box(view(page), knob).press("Enter")


def shoot(page, name):
    if folder := os.environ.get("MAPL_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def rerun(page, cell, text):
    """Replace the text of a cell, run it and the one below."""
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.type(text)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")


def test_the_first_cell_shows_what_the_library_computes(page):
    assert_shows(view(page), set_to(BoundsExplorer))


def test_the_first_page_has_the_window_to_itself_and_others_open_beside_it(start):
    assert start.locator(".jp-FileBrowser:visible").count() == 0
    assert start.locator(".lm-DockPanel-tabBar:visible").count() == 1
    assert start.locator(".jp-NotebookPanel").bounding_box()["width"] > 0.9 * start.viewport_size["width"]
    assert not start.get_by_text("Voil").is_visible()


def test_it_is_dark_where_the_browser_is(browser, lab):
    page = browser.new_page(color_scheme="dark")
    page.set_default_timeout(LIMIT)
    page.goto(lab[0])
    page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    page.close()  # not its kernel, which is that of the other page


def test_arrow_keys_on_the_slider_move_the_number_the_readout_and_the_picture(start):
    slider(view(start), TAU).focus()
    for _ in range(20):
        start.keyboard.press("ArrowRight")
    # Twenty steps of 0.01 in the exponent, from 0.70, the step next to log10(5): three digits of 10^0.90.
    expect(box(view(start), TAU)).to_have_value("7.94")
    assert_shows(view(start), set_to(BoundsExplorer, tau=7.94))
    shoot(start, "moved")


def test_the_mouse_on_the_slider_moves_the_number_the_readout_and_the_picture(start):
    dragged(start, slider(view(start), TAU), 40)
    explorer = set_to(BoundsExplorer)
    explorer.set(**settings(view(start), explorer))
    assert explorer.settings["tau"] > 2 * TAU.default
    assert_shows(view(start), explorer)


def test_a_number_typed_into_the_box_moves_the_slider(start):
    typed(start, TAU, "0.5")
    assert_shows(view(start), set_to(BoundsExplorer, tau=0.5))
    expect(slider(view(start), TAU)).to_have_attribute("aria-valuetext", "0.5 (1/nats)")
    # The slider's places are 0.01 apart in the exponent, from that of 0.1.
    expect(slider(view(start), TAU)).to_have_value("70")


def test_presets_set_the_sliders(start):
    start.get_by_role("button", name="one response").click()
    expect(box(view(start), KNOBS["n"])).to_have_value("1")
    assert_shows(view(start), set_to(BoundsExplorer, n=1))


def test_the_tab_key_goes_from_the_buttons_down_the_controls(start):
    view(start).locator(".mapl-menu summary").focus()
    for knob in (TAU, KNOBS["epsilon"], KNOBS["n"]):
        for stop in (box(view(start), knob), slider(view(start), knob)):
            start.keyboard.press("Tab")
            expect(stop).to_be_focused()


def test_the_tau_of_the_slider_is_what_the_trainer_runs(start):
    typed(start, TAU, "2.5")
    assert_shows(view(start), set_to(BoundsExplorer, tau=2.5))
    first = start.locator(".jp-CodeCell", has_text="explorer.loss").first
    first.locator(".jp-InputArea-editor").click()
    start.get_by_role("menuitem", name="Run").click()
    start.get_by_text("Run Selected Cell and All Below").click()
    last = start.locator(".jp-OutputArea-output", has_text="trained with").last
    expect(last).to_contain_text("DPO(beta=0.1, pair=Smooth(tau=2.5))")
    last.scroll_into_view_if_needed()
    shoot(start, "trained")


def test_every_slider_and_every_panel_has_a_name(start):
    explorer = set_to(BoundsExplorer)
    for knob in explorer._knobs.values():
        if not isinstance(knob, Choice):
            expect(view(start).get_by_role("slider", name=label(knob), exact=True).last).to_be_visible()
    for panel in explorer.panels(explorer.reading):
        expect(view(start).get_by_role("group", name=panel.name, exact=True)).to_be_visible()


def test_the_map_ticks_nothing_yet_and_leads_to_a_lesson(start):
    cell = start.locator(".jp-CodeCell", has_text="course_map()")
    cell.locator(".cm-content").click()
    start.keyboard.press("Shift+Enter")
    expect(cell.get_by_role("table")).to_contain_text("30 minutes left")
    cell.get_by_role("link", name="01_smooth_maximum").click()
    expect(start.locator(".lm-DockPanel-tabBar .lm-mod-current", has_text="01_smooth_maximum.ipynb")).to_be_visible()
    shoot(start, "map")


def test_a_guess_is_asked_for_before_the_answer_is_shown(lesson):
    asked = lesson.locator(".mapl-predict").first
    reveal, answer = asked.get_by_role("button", name="Reveal"), "tied with the second"
    expect(reveal).to_be_disabled()
    asked.get_by_label("as far down as possible").check()
    reveal.click()
    expect(asked.get_by_role("alert")).to_contain_text(f"You guessed “as far down as possible”. Right is “{answer}”")
    expect(asked.get_by_label(answer)).to_be_disabled()


def test_a_folded_answer_opens_after_a_sentence_with_its_formulas_drawn(lesson):
    asked = lesson.locator(".mapl-predict", has_text="What is wrong?").first
    expect(asked.get_by_role("button", name="Show")).to_be_disabled()
    asked.get_by_role("textbox").fill("A ceiling is no floor.")
    asked.get_by_role("button", name="Show").click()
    expect(asked.get_by_role("alert")).to_contain_text("A high ceiling does not say how tall the person under it is")
    expect(asked.get_by_role("alert").locator("mjx-container").first).to_be_visible()
    shoot(lesson, "own_words")


def test_an_exercise_is_marked_as_often_as_one_answers(lesson):
    cell = lesson.locator(".jp-CodeCell", has_text="my_tau = None")
    marks = lesson.locator(".jp-CodeCell", has_text="marks your answer to A").locator(".jp-OutputArea-output")
    expect(marks).to_contain_text("A: no answer yet")
    rerun(lesson, cell, "my_tau = 1.0")
    expect(marks).to_contain_text("A: not yet, there the smoothing error could still be larger")
    cell = lesson.locator(".jp-CodeCell", has_text="my_tau = 1.0")
    rerun(lesson, cell, "my_tau = solve_tau_upper(epsilon=0.02, n=16, gap=0.5)")
    expect(marks).to_contain_text("A is right")


def test_what_was_answered_is_there_when_all_is_run_again(lesson):
    run_all(lesson)
    asked = lesson.locator(".mapl-predict").first
    expect(asked.get_by_label("as far down as possible")).to_be_checked()
    expect(asked.get_by_role("alert")).to_contain_text("You guessed “as far down as possible”")
    words = lesson.locator(".mapl-predict", has_text="What is wrong?").first
    expect(words.get_by_role("textbox")).to_have_value("A ceiling is no floor.")


@pytest.fixture
def stored(browser, lab):
    """A page with a notebook of one explorer, run and saved."""
    path = lab[1] / "mapl_explore_student" / "explorer.ipynb"
    cell = nbformat.v4.new_code_cell("from mapl_explore.explorers import BoundsExplorer\n\nBoundsExplorer(n=4)")
    kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), path)
    page = opened(browser, lab[0], path.name)
    run_all(page)
    assert_shows(view(page), set_to(BoundsExplorer, n=4))
    page.keyboard.press("Control+S")
    page.locator(".jp-mod-dirty").wait_for(state="detached")
    yield page
    closed(page, lab[0])


def test_a_saved_notebook_shows_its_picture_when_it_is_opened_again(stored):
    page = stored
    page.reload()
    page.get_by_text("| Idle").wait_for()
    assert_shows(view(page), set_to(BoundsExplorer, n=4))
    slider(view(page), TAU).press("PageUp")
    expect(box(view(page), TAU)).not_to_have_value("5")
    assert page.errors == []


def test_after_a_restart_of_the_kernel_a_banner_says_what_to_do(stored):
    page = stored
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.locator("li.lm-Menu-item", has_text="Restart Kernel").first.click()
    page.locator(".jp-Dialog button.jp-mod-warn").click()
    page.get_by_text("| Idle").wait_for()
    page.evaluate(SAID)
    slider(view(page), TAU).press("PageUp")
    banner = view(page).locator(".mapl-banner")
    expect(banner).to_contain_text("Run the cell, after those above it, to bring the sliders")
    # By the page's own clock: three seconds of patience, and room for what a busy machine adds to a timer.
    assert page.evaluate("window.said - window.moved") < 6000
    expect(box(view(page), TAU)).to_have_value("5")
    run_all(page)
    assert_shows(view(page), set_to(BoundsExplorer, n=4))
    expect(view(page).locator(".mapl-banner")).to_be_hidden()


def test_neither_the_console_nor_the_server_reports_an_error(page, lesson, lab):
    assert page.errors + lesson.errors == []
    assert complaints(lab[1]) == []
