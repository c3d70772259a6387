"""What one takes hold of in a picture: by mouse, finger and keys, in every theme, with Python there or gone."""

import io

import numpy as np
import pytest
from browser.drawn import PAINTED, Drawn, expect, grip, handle, misplaced, place
from PIL import Image

from mapl_explore.explorers import BoundsExplorer
from mapl_explore.explorers.gallery import Gallery
from mapl_explore.plots.panels import key_of

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("view")]


@pytest.fixture
def drawn(browser):
    drawn = Drawn(browser, BoundsExplorer())
    yield drawn
    drawn.close()


def test_the_mouse_takes_the_line_at_tau_along_and_the_curves_follow(drawn):
    x, y = grip(drawn, "tau")
    drawn.page.mouse.move(x, y)
    drawn.page.mouse.down()
    for step in range(1, 11):
        drawn.page.mouse.move(x + 20 * step, y)
    drawn.page.evaluate(PAINTED)
    panel = drawn.page.locator(".mapl-panel").first.bounding_box()
    # The line is under the pointer before Python has answered anything.
    assert place(drawn) + panel["x"] == pytest.approx(x + 200, abs=1.5)
    assert drawn.explorer.settings["tau"] == 5.0
    asked = drawn.answer()
    drawn.page.mouse.up()
    assert asked == 3  # the first two moves and, after an answer, the last: none of those between waits in a row
    # 200 pixels are a decade, and the line stands at three digits.
    assert drawn.explorer.settings["tau"] > 20
    assert place(drawn) + panel["x"] == pytest.approx(x + 200, abs=1.5)
    assert f"At τ = {drawn.explorer.settings['tau']:g} " in drawn.page.locator(".mapl-says").inner_text()


def test_the_mouse_takes_the_target_up(drawn):
    x, y = grip(drawn, "epsilon")
    drawn.page.mouse.move(x, y)
    drawn.page.mouse.down()
    drawn.page.mouse.move(x, y - 60)
    drawn.page.mouse.up()
    drawn.answer()
    assert drawn.explorer.settings["epsilon"] > 0.3


@pytest.mark.parametrize(
    ("key", "value"), [("ArrowRight", 5.13), ("ArrowDown", 4.9), ("PageUp", 6.31), ("Home", 0.1), ("End", 100.0)]
)
def test_keys_move_a_handle_that_says_its_name_and_value(drawn, key, value):
    handle(drawn, "tau").focus()
    drawn.page.keyboard.press(key)
    drawn.answer()
    assert drawn.explorer.settings["tau"] == pytest.approx(value, rel=0.03)
    named = drawn.page.get_by_role("slider", name="inverse temperature τ").first
    expect(named).to_have_attribute("aria-valuetext", f"{drawn.explorer.settings['tau']:g} (1/nats)")
    expect(handle(drawn, "tau")).to_be_focused()


def test_a_slider_a_box_and_the_handle_show_one_value_and_say_it_in_words(drawn):
    slider = drawn.page.get_by_role("slider", name="target ε (nats)")
    slider.focus()
    drawn.page.keyboard.press("ArrowRight")
    drawn.answer()
    value = f"{drawn.explorer.settings['epsilon']:g}"
    expect(drawn.page.get_by_role("textbox", name="target ε (nats)")).to_have_value(value)
    expect(slider).to_have_attribute("aria-valuetext", f"{value} nats")
    expect(handle(drawn, "epsilon")).to_have_attribute("aria-valuetext", f"{value} nats")


def test_a_typed_value_out_of_range_is_said_and_not_clamped(drawn):
    box = drawn.page.get_by_role("textbox", name="inverse temperature τ (1/nats)")
    box.fill("1000")
    box.press("Enter")
    drawn.answer()
    expect(drawn.page.get_by_role("alert")).to_have_text(
        "inverse temperature τ must be a number in [0.1, 100], not '1000'"
    )
    expect(box).to_have_value("5")
    box.fill("12.3456")
    box.press("Enter")
    drawn.answer()
    assert drawn.explorer.settings["tau"] == 12.3456
    expect(drawn.page.get_by_role("alert")).to_have_count(0)


def test_a_refusal_stays_while_other_knobs_move_and_goes_with_a_right_value(drawn):
    tau = drawn.page.get_by_role("textbox", name="inverse temperature τ (1/nats)")
    refusal = drawn.page.get_by_role("alert")
    for wrong, said in (
        ("−1,5", "number with a point, such as 5.0"),
        ("—3", "number, such as 5, not"),
        ("abc", "not 'abc'"),
    ):
        tau.fill(wrong)
        drawn.page.get_by_role("slider", name="target ε (nats)").click()
        drawn.answer()
        expect(refusal).to_contain_text(said)
        expect(tau).to_have_value("5")
    drawn.page.get_by_role("button", name="pin").click()
    drawn.answer()
    expect(refusal).to_contain_text("not 'abc'")
    tau.fill("7")
    tau.press("Enter")
    drawn.answer()
    expect(refusal).to_have_count(0)


def test_a_preset_glides_unless_the_reader_wants_no_motion(browser):
    for motion, moments in (("no-preference", True), ("reduce", False)):
        drawn = Drawn(browser, BoundsExplorer(), reduced_motion=motion)
        before = place(drawn, "target")
        drawn.page.evaluate(
            """() => {
                window.seen = new Set();
                const line = document.querySelector('[data-name="target"]');
                new MutationObserver(() => window.seen.add(line.getAttribute("d"))).observe(line, { attributes: true });
            }"""
        )
        drawn.page.get_by_role("button", name="leaders tie").click()
        drawn.answer()
        drawn.page.wait_for_function(
            """() => {
                const now = () => document.querySelector('[data-name="target"]').getAttribute("d");
                if (window.last !== now()) { window.last = now(); window.still = 0; }
                return ++window.still > 10;
            }"""
        )
        assert place(drawn, "target") != before
        assert (drawn.page.evaluate("window.seen.size") > 2) == moments
        drawn.close()


def test_a_picture_that_takes_another_size_while_it_glides_arrives_all_the_same(drawn):
    drawn.page.evaluate(
        """() => new MutationObserver((_, observer) => {
            observer.disconnect();
            document.getElementById("here").style.width = "1100px";
        }).observe(document.querySelector('[data-name="exact"]'), { attributes: true })"""
    )
    drawn.page.get_by_role("button", name="leaders tie").click()
    drawn.answer()
    for _ in range(60):  # frames, at 16 ms each; a glide takes 300 ms
        drawn.page.evaluate(PAINTED)
    assert misplaced(drawn.explorer, drawn.page.locator(".mapl-view")) == []


def test_what_is_done_while_python_works_is_all_done_afterwards(drawn):
    sliders = [drawn.page.get_by_role("slider", name=name) for name in ("target ε (nats)", "number of scores n")]
    drawn.page.get_by_role("button", name="leaders tie").click()
    for slider in sliders:
        slider.press("PageUp")
    drawn.page.get_by_role("button", name="pin").click()
    drawn.answer()
    start = dict(drawn.explorer._presets["leaders tie"])
    assert drawn.explorer.settings["gap"] == start["gap"]
    assert drawn.explorer.settings["epsilon"] != start["epsilon"]
    assert drawn.explorer.settings["n"] != 8
    expect(drawn.page.get_by_role("button", name="pin")).to_have_attribute("aria-pressed", "true")


def test_what_is_wrong_with_an_address_stays_on_the_page(browser):
    [stage] = Gallery(address="explorer=Error bounds&tau=1e9").stages.values()
    drawn = Drawn(browser, stage)
    expect(drawn.page.get_by_role("alert")).to_have_text(
        "the address: inverse temperature τ must be a number in [0.1, 100], not '1e9'"
    )
    # Longer than until the page writes its address, which a page without a server does not have.
    drawn.page.evaluate("new Promise((done) => setTimeout(done, 400))")
    drawn.close()


def test_a_pin_leaves_a_ghost_and_says_so(drawn):
    pin = drawn.page.get_by_role("button", name="pin")
    pin.click()
    drawn.answer()
    expect(pin).to_have_attribute("aria-pressed", "true")
    drawn.explorer.set(spread=5.0)
    drawn.show()
    exact, ghost = (drawn.page.locator(f'[data-name="{name}"]') for name in ("exact", "pinned exact"))
    assert exact.get_attribute("d") != ghost.get_attribute("d")
    assert float(ghost.evaluate("(node) => getComputedStyle(node).opacity")) < 0.5


def test_hovering_shows_the_numbers_of_every_curve(drawn):
    panel = drawn.page.locator(".mapl-panel").first.bounding_box()
    drawn.page.mouse.move(panel["x"] + 0.4 * panel["width"], panel["y"] + 0.8 * panel["height"])
    tip = drawn.page.locator(".mapl-tip")
    expect(tip).to_be_visible()
    lines = tip.inner_text().splitlines()
    at = float(lines[0].split(": ")[1])
    reading = drawn.explorer.reading
    near = int(np.argmin(np.abs(np.log(reading.places / at))))
    shown = dict(zip(lines[1::2], map(float, lines[2::2]), strict=True))
    assert shown["these scores"] == pytest.approx(reading.curves["exact"][near], rel=0.05)
    assert shown["upper bound"] == pytest.approx(reading.curves["upper"][near], rel=0.05)


def test_play_sweeps_the_horizontal_axis_until_it_is_stopped(drawn):
    drawn.page.get_by_role("button", name="play").click()
    seen = [drawn.explorer.settings["tau"]]
    for _ in range(4):
        drawn.page.wait_for_function("window.sent.length > 0")
        drawn.answer(most=1)
        seen.append(drawn.explorer.settings["tau"])
    assert seen == sorted(seen)
    assert seen[-1] > 5.0
    drawn.page.get_by_role("button", name="stop").click()
    drawn.answer()
    expect(drawn.page.get_by_role("button", name="play")).to_be_visible()
    assert drawn.page.evaluate("new Promise((done) => setTimeout(() => done(window.sent.length), 100))") == 0


def test_the_menu_saves_the_picture_as_it_looks(drawn, tmp_path):
    for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        drawn.page.get_by_text("more", exact=True).click()
        with drawn.page.expect_download() as file:
            drawn.page.get_by_role("button", name=f"save as {kind}").click()
        path = tmp_path / file.value.suggested_filename
        file.value.save_as(path)
        assert path.read_bytes().startswith(start)
    svg = (tmp_path / "explorer.svg").read_text(encoding="utf-8")
    assert "var(--" not in svg
    for mark in key_of(drawn.explorer.panels(drawn.explorer.reading)):
        assert f">{mark.label}</text>" in svg
    page, file = (Image.open(path) for path in (io.BytesIO(drawn.page.screenshot()), tmp_path / "explorer.png"))
    page = page.crop((0, 0, file.width // 2, file.height // 2))
    page, file = (np.asarray(one.convert("L").resize((160, 45), Image.Resampling.BOX), float) for one in (page, file))
    assert np.abs(page - file).max() < 40  # letters are half a pixel elsewhere; a ring too wide is beyond 100


def test_escape_closes_the_menu_and_a_copy_is_said_on_its_button_and_politely(browser):
    drawn = Drawn(browser, BoundsExplorer())
    menu, summary = drawn.page.locator(".mapl-menu"), drawn.page.locator(".mapl-menu summary")
    summary.press("Enter")
    summary.press("Tab")
    drawn.page.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    expect(summary).to_be_focused()
    summary.press("Enter")
    # This page has no address, and so no clipboard.
    clipboard = "{ value: { writeText: async (text) => { window.copied = text; } } }"
    drawn.page.evaluate(f"void Object.defineProperty(navigator, 'clipboard', {clipboard})")
    drawn.page.get_by_role("button", name="copy as Python").click()
    expect(menu.get_by_role("button", name="copied")).to_be_visible()
    expect(drawn.page.get_by_role("status")).to_have_text("copied")
    assert drawn.page.evaluate("window.copied") == drawn.explorer.widget.code
    expect(menu).not_to_have_attribute("open", "")
    expect(drawn.page.get_by_role("status")).to_have_text("")
    expect(summary).to_be_focused()
    drawn.close()


def test_the_picture_takes_the_full_screen(drawn):
    panel = drawn.page.locator(".mapl-panel").first
    drawn.page.evaluate("document.getElementById('here').style.width = '700px'")
    drawn.page.wait_for_function("document.querySelector('.mapl-panels').offsetWidth < 701")
    drawn.page.get_by_text("more", exact=True).click()
    drawn.page.get_by_role("button", name="full screen").click()
    drawn.page.wait_for_function("document.querySelector('.mapl-panels').offsetWidth > 1200")
    below = drawn.page.locator(".mapl-below").bounding_box()
    height = drawn.page.evaluate("innerHeight")
    assert height - 50 < below["y"] + below["height"] <= height
    assert panel.bounding_box()["height"] > 300
    drawn.page.get_by_text("more", exact=True).click()
    drawn.page.get_by_role("button", name="leave full screen").click()
    drawn.page.wait_for_function("document.querySelector('.mapl-panels').offsetWidth < 701")
    drawn.page.get_by_text("more", exact=True).click()
    expect(drawn.page.get_by_role("button", name="full screen", exact=True)).to_be_visible()


def test_play_ends_where_nobody_answers(drawn):
    drawn.page.evaluate("void (window.model.send = () => { throw Error('closed'); })")
    drawn.page.get_by_role("button", name="play").click()
    expect(drawn.page.locator(".mapl-banner")).to_contain_text("Run the cell")
    expect(drawn.page.get_by_role("button", name="play")).to_be_visible()


def test_where_nobody_answers_a_banner_says_what_to_do_and_the_picture_stays(drawn):
    drawn.page.evaluate("window.model.send = () => {}")
    drawn.page.get_by_role("slider", name="inverse temperature τ (1/nats)").press("PageUp")
    banner = drawn.page.locator(".mapl-banner")
    expect(banner).to_contain_text("Run the cell")
    expect(drawn.page.get_by_role("textbox", name="inverse temperature τ (1/nats)")).to_have_value("5")
    assert drawn.page.locator(".mapl-curve").count() == 4


def test_a_stored_notebook_says_at_once_that_its_cell_must_run(browser):
    drawn = Drawn(browser, BoundsExplorer(), answering=False)
    expect(drawn.page.locator(".mapl-banner")).to_contain_text("Run the cell")
    drawn.close()


def test_a_number_box_has_the_menu_of_the_browser_and_a_picture_that_of_the_page(drawn):
    drawn.page.evaluate(
        "window.heard = []; document.addEventListener('contextmenu', ({ target }) => window.heard.push(target.tagName))"
    )
    for where in ('.mapl-knob input[type="text"]', "svg.mapl-panel"):
        drawn.page.locator(where).first.click(button="right")
    assert "INPUT" not in drawn.page.evaluate("window.heard")
    assert len(drawn.page.evaluate("window.heard")) == 1


def test_letters_typed_on_a_control_stay_with_it_and_commands_go_on(drawn):
    drawn.page.evaluate("window.heard = []; document.addEventListener('keydown', ({ key }) => window.heard.push(key))")
    for control in (
        handle(drawn, "tau"),
        drawn.page.get_by_role("button", name="pin"),
        drawn.page.locator("select").first,
    ):
        control.focus()
        for key in ("x", "m", "d", "Escape"):
            control.press(key)
    assert drawn.page.evaluate("window.heard") == []
    drawn.page.locator("select").first.press("Control+s")
    drawn.page.get_by_role("textbox").first.press("Shift+Enter")
    assert set(drawn.page.evaluate("window.heard")) == {"Control", "s", "Shift", "Enter"} - {"Shift"}
    drawn.answer()


def test_escape_takes_a_typed_number_back(drawn):
    tau = drawn.page.get_by_role("textbox", name="inverse temperature τ (1/nats)")
    tau.fill("33")
    tau.press("Escape")
    expect(tau).to_have_value("5")
    tau.press("Tab")
    assert drawn.answer() == 0


def test_the_answer_to_an_earlier_change_leaves_what_is_being_typed(drawn):
    tau = drawn.page.get_by_role("textbox", name="inverse temperature τ (1/nats)")
    n = drawn.page.get_by_role("textbox", name="number of scores n")
    tau.fill("2.5")
    tau.press("Enter")
    n.fill("4")
    drawn.answer()
    expect(n).to_have_value("4")
    n.press("Enter")
    drawn.answer()
    assert (drawn.explorer.settings["tau"], drawn.explorer.settings["n"]) == (2.5, 4)
    n.fill("99")
    n.press("Enter")
    drawn.answer()
    expect(n).to_have_value("4")  # refused, with the sentence that says so


def test_play_ends_at_the_end_and_then_begins_at_the_start(drawn):
    drawn.explorer.set(tau=96.0)
    drawn.show()
    drawn.page.get_by_role("button", name="play").click()
    while drawn.page.get_by_role("button", name="stop").count() or drawn.page.evaluate("window.sent.length"):
        drawn.answer(most=1)
    assert drawn.explorer.settings["tau"] == 100.0
    drawn.page.get_by_role("button", name="play").click()
    drawn.page.wait_for_function("window.sent.length > 0")
    drawn.answer(most=1)
    assert drawn.explorer.settings["tau"] < 1.0
    drawn.page.get_by_role("button", name="stop").click()
    drawn.answer()


def test_500_moves_leave_nothing_behind(drawn):
    devtools = drawn.page.context.new_cdp_session(drawn.page)

    def left():
        drawn.show()
        devtools.send("HeapProfiler.collectGarbage")
        count = drawn.page.evaluate("document.querySelectorAll('*').length")
        return count, devtools.send("Runtime.getHeapUsage")["usedSize"]

    def sweep(moves):
        for move in range(moves):
            drawn.explorer.set(tau=1 + move / 100)
            drawn.send()
        drawn.explorer.set(tau=5.0)

    sweep(20)  # what is cached once
    elements, heap = left()
    sweep(500)
    more, larger = left()
    assert more == elements
    # A move brings 2 kB of numbers: 500 that are kept would be a million bytes.
    assert larger - heap < 3e5
