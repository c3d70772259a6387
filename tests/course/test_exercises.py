"""The exercises of the lessons: as exact as their words, not answered before they are asked, and done without torch."""

import re
from pathlib import Path

import numpy as np
import pytest

from mapl_explore.course.copies import students_copy
from mapl_explore.course.lessons import check
from mapl_explore.course.questions import EXERCISE, questions_of, read_notebook
from mapl_explore.serving.browser_course import AHEAD, NOTE, without_torch

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("0[1-7]*.ipynb"))
EXERCISES = [(path, one) for path in NOTEBOOKS for one in questions_of(path) if one.kind == EXERCISE]
NUMBERS = [(path, one) for path, one in EXERCISES if isinstance(one.expected, float | int | np.floating)]
WORDS_OF_NUMBERS = {"two": 2, "three": 3, "four": 4}


def asked(path, one):
    """The words of an exercise."""
    texts = [cell["source"] for cell in read_notebook(path)["cells"][: one.cell] if cell["cell_type"] == "markdown"]
    return next(text for text in reversed(texts) if f"**{one.asked}.**" in text).split(f"**{one.asked}.**")[1]


def rounded(x, digits):
    return float(f"{x:.{digits - 1}e}")


def name(value):
    return getattr(value, "key", "")


@pytest.mark.parametrize(("path", "one"), NUMBERS, ids=name)
def test_a_number_is_asked_as_exactly_as_it_is_marked(path, one):
    told = re.search(r"to (two|three|four) digits", asked(path, one), re.IGNORECASE)
    if told is None:
        assert rounded(one.expected, 2) == one.expected
        return
    right, digits = float(one.expected), WORDS_OF_NUMBERS[told[1]]
    as_told, too_short = rounded(right, digits), rounded(right, digits - 1)
    marks = [check("A", x, right, rtol=one.settings.get("rtol", 0.01)).right for x in (as_told, too_short)]
    assert marks == [True, False]


@pytest.mark.parametrize(("path", "one"), NUMBERS, ids=name)
def test_nothing_that_is_stored_before_an_exercise_says_its_answer(path, one):
    before = [cell for cell in read_notebook(path)["cells"][: one.cell] if cell["cell_type"] == "code"]
    texts = ["".join(output.get("text", "")) for cell in before for output in cell["outputs"]]
    for written in {f"{rounded(one.expected, digits):g}" for digits in (2, 3, 4)} | {f"{one.expected:.0%}"}:
        assert not [text for text in texts if re.search(rf"(?<![\d.−-]){re.escape(written)}(?![\d%])", text)], written


@pytest.mark.parametrize(("path", "one"), EXERCISES, ids=name)
def test_an_exercise_asks_for_nothing_that_the_browser_cannot_run(path, one):
    cells = without_torch(students_copy(path)["cells"])
    sections = re.split(r"^## (?=\d+ · )", "\n".join(cell["source"] for cell in cells), flags=re.MULTILINE)
    missing = {text.split(" ")[0] for text in sections[1:] if AHEAD in text or NOTE in text}
    assert not missing & set(re.findall(r"section (\d+)", asked(path, one)))
    assert not missing & set(re.findall(r"\bsection (\d+)", " ".join(map(str, one.settings.values()))))
