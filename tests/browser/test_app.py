"""The page of explorers as a lecturer meets it, in a real browser at a projector's sizes."""

import json
import re
from urllib.parse import urljoin, urlsplit
from urllib.request import Request, urlopen

import pytest
from browser.browsing import (
    SIZES,
    assert_shows,
    box,
    complaints,
    dragged,
    label,
    set_to,
    settings,
    slider,
    view,
    watched,
)
from browser.drawn import CONTRAST, PAINTED, expect
from browser.test_outputs import FAULTS

from mapl_explore.explorers.gallery import PAGES
from mapl_explore.explorers.knobs import Choice

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("test_app")]
ASKED = ("button", "combobox", "slider", "tab", "textbox")  # roles that must have a name
# How large the letters of the explorer are, in pixels, where there are any.
TYPE = """() => [...document.querySelectorAll(".mapl-gallery .lm-TabBar-tabLabel, .mapl-view *")].filter((node) =>
    node.checkVisibility() && !node.closest("option, .mapl-menu > div, title")
    && [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim()))
    .map((node) => parseFloat(getComputedStyle(node).fontSize))"""


# The words in the tables that are broken over lines.
BROKEN = """(view) => {
    const words = document.createTreeWalker(view.querySelector(".mapl-says"), NodeFilter.SHOW_TEXT);
    const broken = [];
    while (words.nextNode()) {
        if (!words.currentNode.parentElement.closest("table")) continue;
        for (const { 0: word, index } of words.currentNode.data.matchAll(/[\\p{L}\\d.]+/gu)) {
            const range = document.createRange();
            range.setStart(words.currentNode, index);
            range.setEnd(words.currentNode, index + word.length);
            if (range.getClientRects().length > 1) broken.push(word);
        }
    }
    return broken;
}"""
HEIGHT = "(view) => Number(view.querySelector('.mapl-panel').getAttribute('height'))"


@pytest.fixture(scope="module")
def page(browser, app):
    page = watched(browser)
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(app[0])
    page.locator(".mapl-panel").first.wait_for()
    yield page
    page.close()


@pytest.fixture(params=PAGES)
def stage(page, request):
    """An explorer of the page, as it starts."""
    page.get_by_role("tab", name=request.param).click()
    stage = view(page)
    expect(stage.get_by_role("button", name="reset")).to_be_visible()
    assert_shows(stage, set_to(PAGES[request.param]))
    yield stage
    stage.get_by_role("button", name="reset").click()
    assert_shows(stage, set_to(PAGES[request.param]))


def explorer_of(page):
    """An explorer of our own, like the one on the page before it was touched."""
    return set_to(PAGES[page.get_by_role("tab", selected=True).inner_text()])


def first_slider(explorer):
    """The first control that has a slider and an effect."""
    idle = explorer.idle(explorer.settings)
    knobs = [knob for name, knob in explorer._knobs.items() if name not in idle]
    return next(knob for knob in knobs if not isinstance(knob, Choice))


def assert_moved(stage, explorer, knob):
    """The control has moved, and readout and picture are those of the numbers in the boxes."""
    expect(box(stage, knob)).not_to_have_value(f"{explorer.settings[knob.name]:g}")
    explorer.set(**settings(stage, explorer))
    assert_shows(stage, explorer)


@pytest.mark.parametrize(("width", "height"), [*SIZES, (800, 600), (390, 844)])
def test_nothing_is_cut_off_at_any_size_and_on_a_projector_nothing_is_below_the_fold(page, stage, width, height):
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate(PAINTED)
    page.locator("#rendered_cells").evaluate("(page) => page.scrollTo(0, 0)")
    place = stage.bounding_box()
    if (width, height) in SIZES:
        assert place["y"] + place["height"] <= height
        assert min(page.evaluate(TYPE)) >= 18
    assert page.locator("#rendered_cells").evaluate("(page) => page.scrollWidth - page.clientWidth") <= 0
    assert page.locator(".jp-InputArea:visible").count() == 0
    assert page.evaluate(FAULTS) == []  # scrolls
    page.set_viewport_size(dict(zip(("width", "height"), SIZES[0], strict=True)))


def test_on_a_projector_a_pin_and_other_words_leave_the_picture_its_room_and_its_place(page, stage):
    pin, knob = stage.get_by_role("button", name="pin"), first_slider(explorer_of(page))
    heights = [stage.evaluate(HEIGHT)]
    pin.click()
    expect(pin).to_have_attribute("aria-pressed", "true")
    for key in ("PageUp", "Home", "End"):
        said = stage.locator(".mapl-says").inner_text()
        slider(stage, knob).press(key)
        expect(stage.locator(".mapl-says")).not_to_have_text(said, use_inner_text=True)
        page.evaluate(PAINTED)
        heights.append(stage.evaluate(HEIGHT))
    pin.click()
    expect(pin).to_have_attribute("aria-pressed", "false")
    assert min(heights) >= 260
    assert max(heights) == min(heights)
    assert min(one.bounding_box()["width"] for one in stage.locator("input[type=range]:visible").all()) >= 140


def test_a_table_that_is_opened_by_hand_stays_open(page):
    page.get_by_role("tab", name="Losses").click()
    stage = view(page)
    folded = stage.locator("details.mapl-table:not([open])")
    expect(folded).to_have_count(1)
    folded.locator("summary").click()
    expect(folded).to_have_count(0)
    said = stage.locator(".mapl-says").inner_text()
    stage.locator("input[type=range]:not(:disabled)").first.press("PageUp")
    expect(stage.locator(".mapl-says")).not_to_have_text(said, use_inner_text=True)
    expect(folded).to_have_count(0)
    stage.locator("details.mapl-table summary").last.click()
    expect(folded).to_have_count(1)
    stage.get_by_role("button", name="reset").click()


def test_on_a_phone_the_words_in_tables_stay_whole(page, stage):
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate(PAINTED)
    assert stage.evaluate(BROKEN) == []
    page.set_viewport_size(dict(zip(("width", "height"), SIZES[0], strict=True)))


def test_on_an_upright_tablet_letters_and_picture_are_large(page, stage):
    page.set_viewport_size({"width": 820, "height": 1180})
    page.evaluate(PAINTED)
    assert min(page.evaluate(TYPE)) >= 15
    assert stage.evaluate(HEIGHT) > 400
    assert page.evaluate(FAULTS) == []
    page.set_viewport_size(dict(zip(("width", "height"), SIZES[0], strict=True)))


def test_the_page_is_dark_where_the_system_is_dark(page):
    page.get_by_role("tab", name="Error bounds").click()
    assert_shows(view(page), set_to(PAGES["Error bounds"]))
    # The page hears of the change in a frame of its own: it is waited for.
    for scheme, ground in (("dark", "rgb(17, 17, 17)"), ("light", "rgb(255, 255, 255)")):
        page.emulate_media(color_scheme=scheme)
        expect(view(page)).to_have_css("background-color", ground)
        assert page.evaluate(CONTRAST)[0] >= 4.5


def test_arrow_keys_move_the_number_the_readout_and_the_picture(page, stage):
    explorer = explorer_of(page)
    knob = first_slider(explorer)
    slider(stage, knob).focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert_moved(stage, explorer, knob)


def test_the_mouse_moves_the_number_the_readout_and_the_picture(page, stage):
    explorer = explorer_of(page)
    knob = first_slider(explorer)
    dragged(page, slider(stage, knob), 30)
    assert_moved(stage, explorer, knob)


def test_every_preset_shows_what_the_library_computes(page, stage):
    explorer = explorer_of(page)
    for name, preset in explorer._presets.items():
        stage.get_by_role("button", name=name, exact=True).click()
        explorer.set(**(explorer._start | preset))
        assert_shows(stage, explorer)


def test_every_control_and_picture_has_a_name(page, stage):
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    found = [(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if not node["ignored"]]
    named = [(role, name) for role, name in found if role in ASKED]
    assert {role for role, _ in named} == set(ASKED)
    assert [role for role, name in named if not name] == []
    explorer = explorer_of(page)
    idle = explorer.idle(explorer.settings)
    for knob in (knob for knob in explorer._knobs.values() if not isinstance(knob, Choice)):
        assert (("slider", label(knob)) in named) is not (knob.spare and knob.name in idle)
    for panel in explorer.panels(explorer.reading):
        assert ("group", panel.name) in found
    session.detach()


def test_the_keyboard_goes_from_tab_to_tab_and_into_the_explorer(page):
    first, second = list(PAGES)[:2]
    page.get_by_role("tab", name=first).click()
    page.get_by_role("tab", name=first).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", selected=True)).to_have_text(second)
    stage, explorer = view(page), set_to(PAGES[second])
    expect(stage.locator(".mapl-panel").first).to_be_visible()
    for handle in stage.locator(".mapl-handle").all():
        page.keyboard.press("Tab")
        expect(handle).to_be_focused()
    for name in (*explorer._presets, "reset", "pin", "play"):
        page.keyboard.press("Tab")
        expect(stage.get_by_role("button", name=name, exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    expect(stage.locator(".mapl-menu summary")).to_be_focused()
    for knob in explorer._knobs.values():
        page.keyboard.press("Tab")
        expect(box(stage, knob)).to_be_focused()
        if not isinstance(knob, Choice):
            page.keyboard.press("Tab")
            expect(slider(stage, knob)).to_be_focused()


def test_two_windows_have_explorers_of_their_own(browser, page, app):
    explorer = explorer_of(page)
    other = watched(browser)
    other.goto(app[0])
    other.get_by_role("tab", name=page.get_by_role("tab", selected=True).inner_text()).click()
    stage = view(other)
    name, preset = next(iter(explorer._presets.items()))
    stage.get_by_role("button", name=name, exact=True).click()
    explorer.set(**(explorer._start | preset))
    assert_shows(stage, explorer)
    assert_shows(view(page), explorer_of(page))
    assert other.errors == []
    other.close()


def test_a_copied_link_and_a_reload_return_to_what_was_set(browser, page, app):
    other = watched(browser)
    other.context.grant_permissions(["clipboard-read", "clipboard-write"])
    other.goto(app[0])
    other.get_by_role("tab", name="Error bounds").click()
    stage, explorer = view(other), set_to(PAGES["Error bounds"], tau=2.5, n=4)
    for name, text in (("tau", "2.5"), ("n", "4")):
        box(stage, explorer._knobs[name]).fill(text)
        box(stage, explorer._knobs[name]).press("Enter")
    assert_shows(stage, explorer)
    stage.get_by_text("more", exact=True).click()
    stage.get_by_role("button", name="copy link").click()
    link = other.evaluate("navigator.clipboard.readText()")
    other.wait_for_function("(link) => location.href === link", arg=link)
    other.reload()
    assert_shows(view(other), explorer)
    other.goto("about:blank")
    other.goto(link)  # in this browser: the token is a cookie, and never stands in a link
    assert_shows(view(other), explorer)
    assert "token" not in link
    # What Voila sends as a page goes is refused, with 403: serving.app has the reason.
    assert all("403" in error for error in other.errors)
    other.close()


@pytest.mark.parametrize("end", ["restart", "delete"])
def test_a_page_whose_kernel_is_gone_says_so_and_its_picture_stays(browser, app, end):
    address, _, token = app[0].partition("?token=")
    kernels = f"{urljoin(address, '/')}api/kernels"

    def asked(method, url):
        with urlopen(Request(url, method=method, headers={"Authorization": f"token {token}"})) as answer:
            return answer.read()

    before = {one["id"] for one in json.loads(asked("GET", kernels))}
    other = watched(browser)
    other.goto(app[0])
    stage = view(other)
    expect(stage.get_by_role("button", name="reset")).to_be_visible()
    (kernel,) = {one["id"] for one in json.loads(asked("GET", kernels))} - before
    asked(*{"restart": ("POST", f"{kernels}/{kernel}/restart"), "delete": ("DELETE", f"{kernels}/{kernel}")}[end])
    slider(stage, first_slider(explorer_of(other))).press("PageUp")
    expect(stage.locator(".mapl-banner")).to_contain_text("Load the page again")
    assert stage.locator(".mapl-panel").count() > 0
    other.get_by_role("tab", name="Losses").click()  # Python has not made it yet
    expect(other.locator(".mapl-late:visible")).to_contain_text("Load the page again")
    other.close()


def test_without_the_token_there_is_no_page(browser, app):
    page = browser.new_context().new_page()
    page.goto(app[0].split("?")[0])
    assert "/login" in page.url
    assert page.locator(".mapl-view").count() == 0
    page.context.close()


def test_the_page_asks_this_machine_alone(page, app):
    asked = {urlsplit(url).netloc for url in page.asked if not url.startswith(("data:", "blob:"))}
    assert asked == {urlsplit(app[0]).netloc}


def test_neither_the_console_nor_the_server_reports_an_error(page, app):
    assert page.errors == []
    assert not re.search("Traceback|Error", page.locator("body").inner_text().replace("Error bounds", ""))
    assert complaints(app[1]) == []


def test_the_tests_that_share_the_page_run_in_one_process(request):
    if hasattr(request.config, "workerinput"):  # of pytest-xdist, which marks what it keeps together
        assert request.node.nodeid.endswith("@test_app")
