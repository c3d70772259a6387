"""The site, pages and course in the browser alone: the folder that MAPL_SITE names, as `make try-pages` does."""

import csv
import functools
import html
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser.browsing import DONE, LIMIT, STDERR, until

from mapl_explore.course.questions import questions_of
from mapl_explore.explorers import BoundsExplorer
from mapl_explore.explorers.gallery import PAGES as TITLES
from mapl_explore.explorers.knobs import KNOBS
from mapl_explore.serving.browser_course import AHEAD, NOTE

SITE = os.environ.get("MAPL_SITE")
NOTEBOOKS = sorted(Path(SITE, "lite/files").glob("*.ipynb")) if SITE else [Path("any")]
PAGES = ("docs/index", "docs/losses", "docs/reference/losses", "notebooks/04_losses_and_gradients", "LEDGER", "README")
WITH_TABLES = [f"docs/{path.stem}" for path in sorted(Path(__file__).parents[2].glob("docs/*.md"))]
WITH_TABLES += ["LEDGER", "README", "data/README", "notebooks/00_start_here", "notebooks/07_experiments"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not SITE, reason="MAPL_SITE names no folder of `make pages`: make try-pages has it"),
    pytest.mark.xdist_group("site"),
]

# Until what stands next to the picture follows each move of the slider; the times are nobody's.
MOVED = """async (count) => {
    const view = document.querySelector(".mapl-view"), says = view.querySelector(".mapl-says");
    const slider = view.querySelector('.mapl-knob[data-knob="tau"] input[type="range"]');
    const step = (slider.max - slider.min) / 60;
    for (let move = 0; move < count; move++) {
        const before = says.textContent;
        slider.value = +slider.min + step * (1 + move % 50);
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        while (says.textContent === before) await new Promise(requestAnimationFrame);
    }
}"""
# Tables that reach over the edge of the window, and in which nothing says that they scroll.
CUT_OFF = """(tables) => tables.filter((table) => table.getBoundingClientRect().right > innerWidth
    && !getComputedStyle(table.closest("[tabindex]") ?? table, "::before").content.includes("scroll")).length"""
LOADED = "(images) => images.every((image) => image.complete && image.naturalWidth > 0)"


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # as servers are that keep a connection

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


@pytest.fixture
def page(context):
    """A page that notes whom it asks, and must have nothing to complain of but files that it only looks for."""
    page = context.new_page()
    page.hosts, errors = set(), []
    page.on("request", lambda request: page.hosts.add(urlsplit(request.url).netloc))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    # A test may open what the one before it has saved: pictures of a kernel that has gone.
    harmless = ("Failed to load resource", "Error: widget model not found")
    assert [text for text in errors if not text.startswith(harmless)] == []


def opened(page, address, name):
    """Open a notebook of the site, ready to run: the lab drops a cell that is run before its kernel has answered."""
    page.goto(f"{address}/lite/lab/index.html?path={name}")
    page.get_by_text("| Idle").wait_for()


def run(page):
    """Run every cell of a notebook, and wait until the last has run or one has failed."""
    for item in ("Run", "Run All Cells"):
        page.get_by_role("menuitem", name=item, exact=True).click()
    page.wait_for_function(DONE)


def replace_first(page, text):
    """Replace the text of the first cell, and run it."""
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)
    page.keyboard.press("Control+Enter")


def rerun(page, text):
    """Replace the text of the first cell, run it, and return its explorer."""
    replace_first(page, text)
    view = page.locator(".mapl-view").first
    view.locator("svg").first.wait_for()
    return view


def reloaded(page):
    """Save the notebook, as the lab asks before it lets a changed one go, and load the page again."""
    page.keyboard.press("Control+s")
    page.locator(".jp-mod-dirty").wait_for(state="detached")
    page.reload()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_or_says_what_it_needs_and_an_explorer_answers(page, address, path):
    opened(page, address, path.name)
    run(page)
    assert page.locator(STDERR).all_inner_texts() == []
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    for note in (AHEAD, NOTE):
        shown = page.locator(".jp-MarkdownCell em", has_text=note.strip("*")).count()
        assert shown == sum(note in source for source in sources)
    pictures = page.locator('.jp-MarkdownCell img[alt="what the cell showed"]')
    assert pictures.count() == sum(len(cell.get("attachments", {})) for cell in cells)
    until(page, lambda: pictures.evaluate_all(LOADED))
    breaks = page.locator(".jp-RenderedText pre").evaluate_all("all => all.map(one => getComputedStyle(one).wordBreak)")
    assert {*breaks} <= {"normal"}  # JupyterLab's own breaks a printed line inside its words
    if any(source.startswith("from mapl_explore.explorers import") for source in sources):
        view = page.locator(".mapl-view").first
        before = view.locator(".mapl-says").inner_text()
        view.locator('input[type="range"]').first.press("ArrowRight")
        page.wait_for_function("([says, before]) => says.innerText !== before", arg=[says_of(view), before])
    assert page.hosts <= {urlsplit(address).netloc, ""}


def test_the_first_kernel_takes_the_python_that_came_with_the_page_and_the_next_its_own(page, address):
    opened(page, address, "explorers.ipynb")
    [early] = [worker.url for worker in page.workers if "early_python" in worker.url]
    assert not [worker.url for worker in page.workers if "pyodide-kernel" in worker.url]
    rerun(page, "from mapl_explore.explorers import SmoothMaxExplorer\nSmoothMaxExplorer()")
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_text("Restart Kernel…", exact=True).click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    until(page, lambda: [worker.url for worker in page.workers if "pyodide-kernel" in worker.url])
    assert early not in [worker.url for worker in page.workers]
    page.get_by_text("| Idle").wait_for()
    rerun(page, "import sys\nfrom mapl_explore.explorers import SmoothMaxExplorer\nSmoothMaxExplorer()")


def test_a_number_that_is_typed_counts_with_enter(page, address):
    opened(page, address, "explorers.ipynb")
    view = rerun(page, "from mapl_explore.explorers import BoundsExplorer\nBoundsExplorer()")
    view.locator('.mapl-knob[data-knob="tau"] input').first.click()
    page.keyboard.press("Control+A")
    page.keyboard.type("7.5")
    page.keyboard.press("Enter")
    until(page, lambda: "τ = 7.5" in view.locator(".mapl-says").inner_text())


def test_the_explorers_leave_the_address_to_their_notebook_which_comes_back_by_it(page, address):
    opened(page, address, "explorers.ipynb")
    run(page)
    page.locator(".mapl-view summary", has_text="more").first.click()
    assert page.locator(".mapl-menu button:visible").all_inner_texts()[:2] == ["copy as Python", "save as SVG"]
    reloaded(page)
    page.locator(".jp-Notebook h1", has_text="The explorers").wait_for()
    page.wait_for_url("**?path=explorers.ipynb")


def test_a_page_that_is_loaded_again_has_its_explorers_as_they_were_saved(page, address):
    opened(page, address, "explorers.ipynb")
    view = rerun(page, "from mapl_explore.explorers import BoundsExplorer\nBoundsExplorer(tau=7.5)")
    view.locator('input[type="range"]').first.press("End")
    until(page, lambda: "τ = 100 " in view.locator(".mapl-says").inner_text())
    reloaded(page)
    view.locator("svg").first.wait_for()
    assert "τ = 100 " in view.locator(".mapl-says").inner_text()
    until(page, lambda: "Run the cell" in view.locator(".mapl-banner").inner_text())
    links = "(all) => all.filter((one) => getComputedStyle(one, '::before').content !== 'none').length"
    assert page.locator(".jupyter-widgets-disconnected").count() > 0
    assert page.locator(".jupyter-widgets-disconnected").evaluate_all(links) == 0  # broken ones, red


def says_of(view):
    return view.locator(".mapl-says").element_handle()


def test_marks_are_saved_by_a_link_and_make_the_table_of_a_class(page, address, tmp_path):
    opened(page, address, "01_smooth_maximum.ipynb")
    run(page)
    guesses = page.locator(".mapl-predict")
    for row in range(2):
        guesses.nth(row).locator("input[type=radio]").first.check()
        guesses.nth(row).get_by_role("button", name="Reveal").click()
        guesses.nth(row).get_by_text(re.compile("Your guess is right|You guessed")).wait_for()
    assert page.get_by_text("not kept").count() == 0
    replace_first(page, "from mapl_explore.course.lessons import hand_in\n\nhand_in()")
    (tmp_path / "Ada").mkdir()
    with page.expect_download() as saved:
        page.get_by_role("link", name="save marks.json with 2 answers").click()
    assert saved.value.suggested_filename == "marks.json"
    saved.value.save_as(tmp_path / "Ada/marks.json")
    names = [str(tmp_path / "Ada"), "--out", str(tmp_path / "class.csv")]
    subprocess.run([sys.executable, "-m", "mapl_explore", "marks", *names], check=True)
    with open(tmp_path / "class.csv", encoding="utf-8-sig", newline="") as file:
        [row] = csv.DictReader(file)
    assert row["name"] == "Ada"
    assert {row["01-guess-1"], row["01-guess-2"]} <= {"0", "1"}


def test_a_hand_that_does_not_rest_neither_freezes_it_nor_fills_the_memory(page, address):
    opened(page, address, "00_start_here.ipynb")
    rerun(page, "from mapl_explore.explorers import BoundsExplorer\n\nBoundsExplorer()")
    session = page.context.new_cdp_session(page)

    def heap():
        session.send("HeapProfiler.collectGarbage")
        return session.send("Runtime.getHeapUsage")["usedSize"]

    page.evaluate(MOVED, 100)
    before = heap()
    page.evaluate(MOVED, 400)
    # 0.1 MB in a hundred moves of 38 was seen, most of it compiled code.
    assert heap() < 1.1 * before


def test_explorers_and_questions_speak_german(page, address):
    opened(page, address, "00_start_here.ipynb")
    chosen = 'import mapl_explore\n\nmapl_explore.language("de")\n'
    view = rerun(page, chosen + "from mapl_explore.explorers import BoundsExplorer\n\nBoundsExplorer()")
    view.get_by_role("button", name="zurücksetzen").wait_for()
    assert view.evaluate("(view) => view.closest('[lang]').lang") == "de"


def test_the_glossary_opens_as_it_is_read_by_its_link_and_by_its_address(page, address):
    opened(page, address, "00_start_here.ipynb")
    page.locator(".jp-Notebook a", has_text="GLOSSARY").click()
    for _ in range(2):
        page.locator(".jp-MarkdownViewer").get_by_role("heading", name="Glossary").wait_for()
        page.goto(f"{address}/lite/lab/index.html?path=GLOSSARY.md")


def test_back_returns_to_the_notebook_before_and_no_file_is_open_twice(page, address):
    names = ["01_smooth_maximum.ipynb", "02_error_bounds.ipynb", "03_temperature.ipynb"]
    opened(page, address, names[0])
    for name in names[1:]:
        page.locator(".jp-Notebook:visible a", has_text=name[:2]).first.click()
        page.wait_for_url(f"**?path={name}")
    for go, name in ((page.go_back, names[1]), (page.go_back, names[0]), (page.go_forward, names[1])):
        go()
        page.wait_for_url(f"**?path={name}")
        page.locator(".lm-DockPanel-tabBar .lm-mod-current", has_text=name).wait_for()
        page.locator(".jp-Notebook:visible h1", has_text=name[:2]).wait_for()
        assert page.locator(".lm-DockPanel-tabBar .lm-TabBar-tabLabel").all_inner_texts() == names


def test_a_phone_shows_the_notebook_that_its_address_names_and_comes_back_to_it(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page.set_default_timeout(LIMIT)
    page.goto(f"{address}/lite/lab/index.html?path=00_start_here.ipynb")
    page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    page.locator(".jp-Notebook a", has_text="01").first.click()
    for _ in range(2):
        page.locator(".jp-Notebook h1", has_text="01").wait_for()
        page.wait_for_url("**?path=01_smooth_maximum.ipynb")
        page.locator(".jp-FileBrowser").wait_for(state="hidden")
        page.locator(".jp-SideBar.jp-mod-right").wait_for(state="hidden")
        page.reload()
    page.close()


def test_on_a_phone_a_wide_formula_scrolls_by_itself_and_code_and_folded_cells_end_in_sight(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(LIMIT)
    page.goto(f"{address}/lite/lab/index.html?path=04_losses_and_gradients.ipynb")
    formulas, dots = page.locator('.jp-Notebook mjx-container[display="true"]'), page.locator(".jp-MoreHorizIcon")
    until(page, lambda: formulas.count() and dots.count())
    formula = formulas.first
    formula.evaluate("(formula) => { formula.scrollLeft = 1000; }")
    assert formula.evaluate("(formula) => formula.scrollLeft") > 100
    assert formula.evaluate("(formula) => formula.scrollHeight - formula.clientHeight") == 0
    text = formula.locator('xpath=ancestor::*[contains(@class, "jp-RenderedMarkdown")][1]')
    assert text.evaluate("(text) => text.scrollWidth - text.clientWidth") == 0
    edge = page.locator(".jp-CodeCell .jp-InputArea-editor:visible").first.evaluate(
        "(box) => box.getBoundingClientRect().right"
    )
    rights = "(all) => all.map((one) => one.getBoundingClientRect().right)"
    assert max(dots.evaluate_all(rights)) <= edge
    assert max(page.locator(".jp-RenderedMarkdown :not(details *) > code").evaluate_all(rights)) <= edge
    page.close()


def test_on_a_phone_what_a_told_cell_gave_keeps_its_lines_and_scrolls_and_every_tab_is_whole(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(LIMIT)
    page.goto(f"{address}/lite/lab/index.html?path=00_start_here.ipynb")
    page.locator(".jp-RenderedMarkdown summary", has_text="What it gave").first.click()
    gave = page.locator(".jp-RenderedMarkdown details[open] pre").first
    lines = "(pre) => Math.round(pre.clientHeight / parseFloat(getComputedStyle(pre).lineHeight))"
    assert gave.evaluate(lines) == len(gave.inner_text().rstrip().splitlines())
    gave.evaluate("(pre) => { pre.scrollLeft = 100; }")
    assert gave.evaluate("(pre) => pre.scrollLeft") == 100
    text = gave.locator('xpath=ancestor::*[contains(@class, "jp-RenderedMarkdown")][1]')
    assert text.evaluate("(text) => text.scrollWidth - text.clientWidth") == 0
    opened(page, address, "explorers.ipynb")
    run(page)
    tabs = page.locator(".mapl-gallery .lm-TabBar-tabLabel")
    assert tabs.all_inner_texts() == list(TITLES)
    assert max(tabs.evaluate_all("(all) => all.map((one) => one.scrollWidth - one.clientWidth)")) <= 0
    assert max(tabs.evaluate_all("(all) => all.map((one) => one.getBoundingClientRect().right)")) <= 390
    page.close()


def test_a_notebook_is_printed_whole_and_a_page_of_text_as_well(page, address):
    opened(page, address, "01_smooth_maximum.ipynb")
    page.emulate_media(media="print")
    last = page.locator(".jp-Notebook .jp-Cell").last
    page.wait_for_function("document.documentElement.scrollHeight > 3000")
    assert last.evaluate("(cell) => cell.offsetTop + cell.offsetHeight <= document.documentElement.scrollHeight")
    assert page.get_by_role("menuitem", name="File").is_hidden()
    page.emulate_media(media="screen")
    page.locator(".jp-Notebook a[href*=GLOSSARY]").first.click()
    page.emulate_media(media="print")
    page.locator(".jp-MarkdownViewer").get_by_role("heading", name="Glossary").wait_for()


def test_no_page_of_a_lesson_has_an_answer():
    for path in sorted((Path(__file__).parents[2] / "notebooks").glob("0*.ipynb")):
        text = html.unescape((Path(SITE) / f"notebooks/{path.stem}.html").read_text(encoding="utf-8"))
        whys = [one.settings["why"] for one in questions_of(path) if one.settings.get("why")]
        assert [word for word in (*whys, "expected=", "# A solution") if word in text] == []


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


def test_on_a_phone_every_table_is_whole_or_says_that_it_scrolls(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    for name in WITH_TABLES:
        page.goto(f"{address}/{name}.html")
        assert (name, page.locator("table").evaluate_all(CUT_OFF)) == (name, 0)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.goto(f"{address}/docs/course.html")
    assert page.locator(".table-wrapper").evaluate("(table) => table.scrollWidth - table.clientWidth") == 0
    page.close()


def test_each_page_leads_to_its_notebook_in_the_browser(page, address):
    for path in NOTEBOOKS:
        start, name = f"notebooks/{path.stem}", "here in the browser"
        if path.stem == "explorers":
            start, name = "docs/index", "all explorers"
        page.goto(f"{address}/{start}.html")
        link = page.get_by_role("link", name=name)
        place = link.evaluate("(link) => link.href")
        assert place == f"{address}/lite/lab/index.html?path={path.name}"
    link.click()
    page.get_by_role("tab", name=path.name).wait_for()
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()


def test_what_is_found_by_search_has_no_source_of_a_formula(page, address):
    page.goto(f"{address}/search.html?q=leader")
    found = page.locator("#search-results .context")
    page.get_by_text("Search finished").wait_for()
    until(page, lambda: found.count() > 3)
    assert not [text for text in found.all_inner_texts() if "\\" in text]
    assert page.locator("h1").all_inner_texts() == ["Search"]


def test_the_explorer_of_the_start_page_shows_what_python_computes(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(LIMIT)
    page.goto(Path(SITE, "docs/index.html").resolve().as_uri())  # with no server at all
    says, box = page.locator(".live-explorer .mapl-says"), page.get_by_role("textbox", name="inverse temperature")
    slider = page.get_by_role("slider", name="inverse temperature τ (1/nats)").last

    def shown(**settings):
        explorer = BoundsExplorer(**settings)
        page.wait_for_function(
            "([node, text]) => node.innerHTML === text", arg=[says.element_handle(), as_browser(explorer)]
        )

    def as_browser(explorer):
        return page.evaluate(
            "(text) => Object.assign(document.createElement('div'), {innerHTML: text}).innerHTML", explorer.widget.says
        )

    shown()
    assert page.get_by_text("Where scripts run").count() == 0  # that is for those without them
    for place in (0, 137, 300):
        slider.fill(str(place))
        shown(tau=float(f"{10 ** (place / 100 - 1):.3g}"))
    box.fill("2")
    box.press("Enter")
    shown(tau=2.0)
    for wrong in ("200", "0x10", "Infinity", "−nan", "7,5", "abc", " ", "1e-9 "):
        box.fill(wrong)
        box.press("Enter")
        with pytest.raises(ValueError, match="must be") as refused:  # as in a notebook
            KNOBS["tau"].typed(wrong)
        assert page.get_by_role("alert").text_content() == str(refused.value)
    page.get_by_role("button", name="runners-up far apart").click()
    shown(spread=10.0)
    slider.press("ArrowRight")
    shown(spread=10.0, tau=5.13)
    page.get_by_role("button", name="reset").click()
    shown()
    page.close()
