"""The explorers under a finger, by touch events of the browser: what it drags, what scrolls, what a tap shows."""

import pytest
from browser.drawn import Drawn, expect, grip, place

from mapl_explore.explorers import BoundsExplorer

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("view")]


@pytest.fixture
def phone(browser):
    drawn = Drawn(browser, BoundsExplorer(), 390, 844, has_touch=True)
    yield drawn
    drawn.close()


def swipe(drawn, x, y, dx, dy):
    """Move a finger from a place by 12 times a step, and lift it."""
    client = drawn.context.new_cdp_session(drawn.page)
    touch = lambda kind, points: client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})  # noqa: E731
    touch("touchStart", [{"x": x, "y": y}])
    for step in range(1, 13):
        touch("touchMove", [{"x": x + dx * step, "y": y + dy * step}])
    touch("touchEnd", [])


def test_a_finger_takes_the_line_along_and_the_page_does_not_scroll(phone):
    x, y = grip(phone, "tau")
    swipe(phone, x, y, 5, -3)
    phone.answer()
    panel = phone.page.locator(".mapl-panel").first.bounding_box()
    assert place(phone) + panel["x"] == pytest.approx(x + 60, abs=2)
    assert phone.page.evaluate("scrollY") == 0


def test_a_finger_takes_the_target_up_by_its_grip_and_the_page_does_not_scroll(phone):
    dot = phone.page.locator(".mapl-grip").bounding_box()
    swipe(phone, dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2, 3, -5)
    phone.answer()
    assert phone.explorer.settings["epsilon"] > 0.3
    assert phone.page.evaluate("scrollY") == 0


def test_a_finger_that_goes_across_the_way_of_a_handle_scrolls_the_page(phone):
    before = phone.explorer.settings
    swipe(phone, *grip(phone, "tau"), 3, -15)
    phone.page.wait_for_function("scrollY > 50")
    assert phone.answer() == 0
    assert phone.explorer.settings == before


@pytest.mark.parametrize("off", [-10, 0, 10])
def test_a_finger_that_scrolls_from_a_line_that_lies_leaves_its_value(phone, off):
    before = phone.explorer.settings
    x, y = grip(phone, "epsilon")
    swipe(phone, x, y + off, 1, -9)
    phone.page.wait_for_function("scrollY > 50")
    assert phone.answer() == 0
    assert phone.explorer.settings == before


@pytest.mark.parametrize("step", [-9, 9])
def test_a_finger_that_scrolls_from_a_slider_leaves_its_value(phone, step):
    before = phone.explorer.settings
    start = phone.page.evaluate("scrollTo(0, 300), scrollY")
    box = phone.page.get_by_role("slider", name="target ε (nats)").bounding_box()
    swipe(phone, box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2, 1, step)
    phone.page.wait_for_function("(start) => Math.abs(scrollY - start) > 50", arg=start)
    phone.answer()
    assert phone.explorer.settings == before


def test_a_finger_takes_a_slider_along(phone):
    phone.page.evaluate("scrollTo(0, 300)")
    box = phone.page.get_by_role("slider", name="target ε (nats)").bounding_box()
    swipe(phone, box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2, 4, 1)
    phone.answer()
    assert 0.001 < phone.explorer.settings["epsilon"] != 0.05


def test_the_room_that_the_browser_course_leaves_of_a_phone_holds_the_picture_and_its_first_slider(phone):
    phone.page.set_viewport_size({"width": 332, "height": 722})
    expect(phone.page.locator(".mapl-narrow")).to_be_visible()
    panels = phone.page.locator(".mapl-panels").bounding_box()
    first = phone.page.locator("input[type=range]:visible").first.bounding_box()
    assert first["y"] + first["height"] - panels["y"] <= 722


def test_presets_on_a_phone_share_one_line_that_scrolls_under_a_finger_and_goes_with_the_focus(phone):
    presets = phone.page.locator(".mapl-presets button")
    assert len({box["y"] for box in (one.bounding_box() for one in presets.all())}) == 1
    expect(presets.last).not_to_be_in_viewport()
    first = presets.first.bounding_box()
    swipe(phone, first["x"] + 300, first["y"] + 10, -20, 0)
    phone.page.wait_for_function("document.querySelector('.mapl-presets').scrollLeft > 100")
    presets.last.focus()
    expect(presets.last).to_be_in_viewport(ratio=0.9)


def test_every_control_is_high_enough_for_a_finger_and_a_slider_has_the_whole_width(phone):
    controls = phone.page.locator(".mapl-view :is(button, summary, select, input):visible")
    assert min(controls.evaluate_all("(all) => all.map((one) => one.offsetHeight)")) >= 32
    sliders = phone.page.locator("input[type=range]:visible")
    assert min(sliders.evaluate_all("(all) => all.map((one) => one.offsetWidth)")) > 0.9 * 390


def test_where_nobody_answers_whoever_holds_the_last_slider_sees_what_to_do(phone):
    phone.page.evaluate("window.model.send = () => {}")
    phone.page.set_viewport_size({"width": 390, "height": 300})  # fewer sliders are in sight than there are
    slider = phone.page.locator("input[type=range]:visible").last
    slider.evaluate("(slider) => slider.scrollIntoView({ block: 'end' })")
    slider.press("PageUp")
    banner = phone.page.locator(".mapl-banner")
    expect(banner).to_contain_text("Run the cell")
    expect(banner).to_be_in_viewport(ratio=0.9)


def test_a_tap_shows_the_numbers_until_the_next_one_elsewhere(phone):
    panel = phone.page.locator(".mapl-panel").first.bounding_box()
    tip = phone.page.locator(".mapl-tip")
    phone.page.touchscreen.tap(panel["x"] + 0.4 * panel["width"], panel["y"] + 0.7 * panel["height"])
    expect(tip).to_contain_text("these scores")
    phone.page.touchscreen.tap(5, panel["y"] + 0.7 * panel["height"])
    expect(tip).to_be_hidden()
    assert phone.answer() == 0


def test_a_menu_that_opens_at_the_lower_end_of_the_window_is_scrolled_to(phone):
    phone.page.set_viewport_size({"width": 390, "height": 600})
    menu = phone.page.locator(".mapl-menu summary")
    menu.evaluate("(menu) => menu.scrollIntoView({ block: 'end' })")
    menu.click()
    expect(phone.page.get_by_role("button", name="full screen")).to_be_in_viewport(ratio=0.9)
