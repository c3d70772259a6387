"""The notebooks: committed as they run, run as they are committed, fit to be shown to anyone."""

import ast
import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from browser.browsing import CAN_BROWSE, QUICK
from patience import HANG
from PIL import Image

from mapl_explore import (
    MaxMin,
    ScoredSets,
    error_lower_bound,
    error_upper_bound,
    pair_margins,
    smooth_max,
    smooth_max_weights,
    solve_tau_exact,
    solve_tau_share,
)
from mapl_explore.course.questions import GUESS, questions_of, read_notebook
from mapl_explore.sampling.pair_gradients import smooth_chances

ROOT = Path(__file__).parents[2]
POST = "https://tptrix29.github.io/Smooth-marginal-aware-preference-learning"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [ROOT / "README.md", ROOT / "notebooks" / "INSTRUCTOR.md"]
# Where people's files lie; nothing of the machine that ran a notebook belongs in it.
MACHINE = re.compile(r"(/home/|/root/|/tmp/|/work/|/Users/|[A-Z]:\\|site-packages|" + re.escape(str(ROOT)) + ")")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell | {"source": "".join(cell["source"])} for cell in notebook["cells"]]


def code(cells):
    return [cell for cell in cells if cell["cell_type"] == "code"]


def outputs(cells):
    return [output for cell in code(cells) for output in cell["outputs"]]


def test_the_course_has_its_first_page():
    assert "00_start_here.ipynb" in [path.name for path in NOTEBOOKS]


# Where there is a browser, tests/browser/test_outputs.py runs the quick ones in it, and compares.
@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if not CAN_BROWSE or path.name not in QUICK], ids=lambda path: path.name
)
def test_it_runs_and_gives_the_committed_outputs(path):
    options = ["--nbval", "--nbval-current-env", f"--nbval-kernel-startup-timeout={HANG}"]
    options += ["-q", "-p", "no:cacheprovider", "-W", "ignore"]
    places = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(path)],
        env=os.environ | {"PYTHONPATH": places},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stdout[-4000:]
    assert f"{len(code(json.loads(path.read_text())['cells']))} passed" in run.stdout


def test_every_code_cell_was_run_in_order(cells):
    # nbval passes a cell that was never run: it has nothing to compare.
    assert [cell["execution_count"] for cell in code(cells)] == list(range(1, len(code(cells)) + 1))


def test_no_output_is_an_error_or_a_warning(cells):
    assert [output for output in outputs(cells) if output["output_type"] == "error"] == []
    assert [output["text"] for output in outputs(cells) if output.get("name") == "stderr"] == []


def test_nothing_tells_of_the_machine_it_ran_on(cells):
    texts = [cell["source"] for cell in cells]
    texts += [json.dumps({**output, "data": without_pictures(output)}) for output in outputs(cells)]
    assert [found.group() for text in texts if (found := MACHINE.search(text))] == []


def without_pictures(output):
    return {kind: data for kind, data in output.get("data", {}).items() if kind != "image/png"}


def test_every_widget_has_a_picture_that_is_not_blank_for_those_who_only_read(path, cells):
    shown = [
        output["data"] for output in outputs(cells) if any("widget-view" in kind for kind in output.get("data", ()))
    ]
    explorers = [data for data in shown if "image/png" in data]
    assert explorers, "no explorer"
    # A question has its options, and its answer folded, as text.
    assert all("<summary>Answer</summary>" in "".join(data["text/html"]) for data in shown if data not in explorers)
    for data in explorers:
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["image/png"]))))
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    # With saved state an export would show sliders that do nothing, in place of the picture.
    assert "widgets" not in json.loads(path.read_text(encoding="utf-8"))["metadata"]


def test_cells_are_short_and_define_nothing_that_belongs_in_the_library(cells):
    for cell in code(cells):
        assert len(cell["source"].splitlines()) <= 14, cell["source"]
        assert not re.search(r"^\s*(def|class) ", cell["source"], re.MULTILINE), cell["source"]


def names(cells, kind):
    """Return the names that cells read (ast.Load) or bind (ast.Store); those of a comprehension are bound within it."""
    nodes = [node for cell in cells for node in ast.walk(ast.parse(cell["source"]))]
    within = {id(name) for node in nodes if isinstance(node, ast.comprehension) for name in ast.walk(node.target)}
    named = [node for node in nodes if isinstance(node, ast.Name) and id(node) not in within]
    return {node.id for node in named if isinstance(node.ctx, kind)}


def test_without_the_solutions_the_other_cells_have_all_they_read(cells):
    # Students run the notebooks without the cells tagged so; all but the mark of an answer is then the same.
    solutions = [cell for cell in code(cells) if "solution" in cell["metadata"].get("tags", ())]
    others = [cell for cell in code(cells) if cell not in solutions]
    for cell in others:
        if answers := names(solutions, ast.Store) & names([cell], ast.Load):
            marked = rf"^check\(\s*\"[AB]\",\s+{answers.pop()},\s"
            assert re.search(marked, cell["source"], re.MULTILINE), cell["source"]
    assert names(solutions, ast.Store) <= names(others, ast.Store)


def test_nothing_that_cannot_be_compared_is_used(cells):
    for cell in code(cells):
        assert not re.search(r"\binteract\b|clear_output|Output\(|;\s*$", cell["source"]), cell["source"]


def test_the_answers_to_the_quiz_are_the_librarys():
    text = (ROOT / "notebooks" / "INSTRUCTOR.md").read_text(encoding="utf-8")
    answers = text.split("<summary>Answers</summary>")[1]
    lower, upper = error_lower_bound(gap=0.5, tau=2.0), error_upper_bound(n=8, gap=0.5, tau=2.0)
    pair = [0.0, -100.0]
    others = smooth_max_weights(pair, tau=solve_tau_exact(pair, epsilon=0.1))[1]
    one_and_two = pair_margins(ScoredSets([-2.0, -2.0, -3.0], [0.0] * 3, [1] * 3, [1, -1, -1]), MaxMin())
    for claim in (
        f"= {smooth_max([-2.0] * 3, tau=3.0):.3f} nats".replace("-", "−"),
        f"exp(−4 · 0.05) = {np.exp(-4 * 0.05):.0%}".replace("%", " %"),
        f"= {lower:.3f} and D",
        f"7 e⁻¹)/2 = {upper:.3f}.",
        f"About {others:.1%}".replace("%", " %"),
        f"log(0.9/0.1)/4 = {solve_tau_share(share=0.9, gap=4.0):.3f}, or less",
        f"{np.spacing(np.float32(1000)):.5f} apart",
        f"1/(1 + e⁻¹) = {smooth_chances(one_and_two, tau=1.0)[0]:.0%}".replace("%", " %"),
    ):
        assert claim in answers, claim


def test_the_reasons_of_the_guesses_about_claims_have_the_recorded_numbers():
    path = NOTEBOOKS[-1]
    (told,) = [
        text for cell in read_notebook(path)["cells"] for text in texts_of(cell) if text.startswith("informative ")
    ]
    guesses = [one for one in questions_of(path) if one.kind == GUESS]
    for one, line in zip(guesses, told.splitlines(), strict=True):
        (verdict, effect), why = line.split()[1:3], one.settings["why"]
        assert one.expected == verdict
        for high, low in re.findall(r"(\d+) % against (\d+) %", why)[:1]:
            assert abs(int(high) / 100 - int(low) / 100 - float(effect)) <= 0.01 + 1e-12, line  # both are rounded
        for power in re.findall(r"to the power ([\d.]+\d)", why):
            assert f"{float(effect):.2f}" == power, line


def test_the_first_page_says_the_numbers_of_its_table():
    margin, loss = re.search(r"margin is −([\d.]+) at τ = 5, and the loss is ([\d.]+):", prose(NOTEBOOKS[0])).groups()
    (table,) = [
        text for cell in read_notebook(NOTEBOOKS[0])["cells"] for text in texts_of(cell) if "hard margin" in text
    ]
    assert re.search(rf"^loss  +{loss} ", table, re.MULTILINE)
    assert re.search(rf"^the loss's own margin \(nats\)  +-{margin} ", table, re.MULTILINE)


@pytest.mark.parametrize("page", [*NOTEBOOKS, *PAGES, ROOT / "notebooks" / "GLOSSARY.md"], ids=lambda page: page.name)
def test_no_line_is_named_by_the_colour_of_ink_which_is_white_on_a_dark_page(page):
    assert "black" not in (prose(page) if page.suffix == ".ipynb" else page.read_text(encoding="utf-8"))


def texts_of(cell):
    return ["".join(output.get("text", "")) for output in cell.get("outputs", [])]


def test_every_lesson_asks_before_it_tells_and_marks_its_exercises(path, cells):
    if path.name != "00_start_here.ipynb":
        sources = [cell["source"] for cell in code(cells)]
        assert sum("predict(" in source for source in sources) >= 1
        assert sum(source.startswith("check(") or "\ncheck(" in source for source in sources) == 2
        assert any("Find the mistake" in cell["source"] for cell in cells)
        assert any("What to take home" in cell["source"] and "**Read on.**" in cell["source"] for cell in cells)


def prose(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def minutes_of_sections(path):
    """The minutes of each section of a lesson, by number."""
    found = re.findall(r"^## (\d+) · .* \((\d+) minutes?\)$", prose(path), re.MULTILINE)
    return {int(number): int(minutes) for number, minutes in found}


LESSONS = {path.name[:2]: minutes_of_sections(path) for path in NOTEBOOKS}


def test_every_section_says_its_minutes_and_they_add_up_to_those_of_the_lesson(path):
    sections, text = LESSONS[path.name[:2]], prose(path)
    assert list(sections) == list(range(1, 1 + len(re.findall(r"^## ", text, re.MULTILINE))))
    assert sum(sections.values()) == int(re.search(r"\*\*Time\.\*\* (\d+) minutes", text)[1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_of_the_course_have_the_minutes_of_the_lessons(page):
    rows = re.findall(r"^\| (0\d) [^|]*\| (\d+) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert {lesson: int(minutes) for lesson, minutes in rows} == {
        lesson: sum(sections.values()) for lesson, sections in LESSONS.items()
    }


@pytest.mark.parametrize("place", range(len(NOTEBOOKS)), ids=[path.name for path in NOTEBOOKS])
def test_a_notebook_links_those_before_and_after_it_by_their_names(place):
    titles = re.findall(r"^\| (0\d [^|]*) \| \d+ \|", PAGES[0].read_text(encoding="utf-8"), re.MULTILINE)
    links = [f"[{title}]({path.name})" for title, path in zip(titles, NOTEBOOKS, strict=True)]
    before = [f"*Before:* {link}" for link in links[:place][-1:]]
    line = " · ".join(before + [f"*Next:* {link}" for link in links[place + 1 :][:1]])
    texts = [cell for cell in prose(NOTEBOOKS[place]).split("\n\n") if cell.startswith(("*Before:*", "*Next:*"))]
    assert texts == ([line] if place == 0 else [line, line])


def test_both_tables_of_the_course_ask_the_same_question_of_a_lesson():
    readme, instructor = (
        re.findall(r"^\| (0\d [^|]*) \| \d+ \| ([^|]*) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
        for page in PAGES
    )
    assert len(readme) == len(NOTEBOOKS)
    assert readme == instructor


def plans():
    text = PAGES[1].read_text(encoding="utf-8")
    for title, part in re.findall(r"^## (.*?\d+ minutes.*?)\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL):
        yield title, re.findall(r"^\| (\d+)–(\d+) \| ([^|]*) \|", part, re.MULTILINE)


def numbers_named(words):
    """Return the sections of "sections 1, 2 and 5", of "sections 2 to 4 and 6", of "section 3"."""
    named = re.match(r"sections? ((?:\d+|, | and | to )+)", words)[1]
    spans = [[int(number) for number in span.split(" to ")] for span in re.split(", | and ", named) if span]
    return [number for span in spans for number in range(span[0], span[-1] + 1)]


@pytest.mark.parametrize(("title", "rows"), list(plans()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_plan_gives_each_part_the_minutes_of_the_sections_it_names_and_fills_its_time(title, rows):
    assert [start for start, _, _ in rows] == ["0", *(end for _, end, _ in rows[:-1])]
    assert int(rows[-1][1]) == int(re.search(r"(\d+) minutes", title)[1])
    for start, end, words in rows:
        if lesson := re.match(r"(0\d), (.*)", words):
            sections = LESSONS[lesson[1]]
            assert int(end) - int(start) == sum(sections[number] for number in numbers_named(lesson[2])), words
        else:
            assert "quiz" in words


def test_what_may_be_added_to_a_plan_takes_the_minutes_it_says():
    text = PAGES[1].read_text(encoding="utf-8")
    minutes, lesson, words = re.search(r"^With (\d+) minutes more: (0\d), (.*)", text, re.MULTILINE).groups()
    assert int(minutes) == sum(LESSONS[lesson][number] for number in numbers_named(words))


@pytest.mark.parametrize("page", [*NOTEBOOKS, *PAGES], ids=lambda page: page.name)
def test_the_target_has_one_letter_and_the_error_another(page):
    text = prose(page) if page.suffix == ".ipynb" else page.read_text(encoding="utf-8")
    # As TeX, \\epsilon is drawn as another letter than the epsilon of the explorers.
    assert re.findall(r"ϵ|\\epsilon|ε\(s|ε\s*=\s*\\frac", text) == []


@pytest.mark.parametrize("page", [*NOTEBOOKS, *PAGES], ids=lambda page: page.name)
def test_the_post_is_linked_where_it_is_spoken_of(page):
    text = prose(page) if page.suffix == ".ipynb" else page.read_text(encoding="utf-8")
    assert POST in text or not re.search(r"\b[Tt]he post\b|blog post", text)
