"""Students' copies: no answer stands in them, and the hidden answers are those of the teacher's notebooks."""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest

from mapl_explore.course.copies import agrees, hidden_answers, students_copy
from mapl_explore.course.questions import EXERCISE, GUESS, WORDS, call_in, questions_of, read_notebook
from mapl_explore.files import read_json

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ANSWERS = read_json(ROOT / "notebooks" / "answers.json")
QUESTIONS = [one for path in NOTEBOOKS for one in questions_of(path)]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def path(request):
    return request.param


@pytest.fixture
def copy(path):
    return students_copy(path)


def solutions(path):
    """The right sides of the assignments in a notebook's solutions, and the comments there."""
    for cell in read_notebook(path)["cells"]:
        if "solution" in cell["metadata"].get("tags", ()):
            yield from re.findall(r"^# (?!A solution$)(.*)$", cell["source"], re.MULTILINE)
            for node in ast.walk(ast.parse(cell["source"])):
                if isinstance(node, ast.Assign):
                    yield ast.get_source_segment(cell["source"], node.value)


def stands_in(number, text):
    return re.search(rf"(?<![\d.]){re.escape(number)}(?![\d])", text)


# Numbers and words that a lesson uses for something else, in the cell with this beginning.
ELSEWHERE = {
    ("0.25", 'for name in ("dpo-hardest", "dpo-smooth"):'),
}


def test_a_copy_is_a_notebook_without_outputs_and_without_solutions(copy):
    nbformat.validate(nbformat.from_dict(copy))
    assert len({cell["id"] for cell in copy["cells"]}) == len(copy["cells"])
    for cell in copy["cells"]:
        assert not cell.get("outputs")
        assert "solution" not in cell["metadata"].get("tags", ())
        assert set(cell["metadata"]) <= {"tags", "jupyter"}


def test_what_a_solution_says_stands_nowhere_in_a_copy(path, copy):
    for text in solutions(path):
        for cell in copy["cells"]:
            allowed = any(text == word and cell["source"].startswith(start) for word, start in ELSEWHERE)
            assert allowed or not stands_in(text, cell["source"]), (text, cell["source"])


def test_a_question_says_no_more_than_itself_in_a_copy(path, copy):
    calls = [call_in(cell["source"]) for cell in copy["cells"] if cell["cell_type"] == "code"]
    asked = [one for one in questions_of(path) if one.kind != WORDS]
    for one, call in zip(asked, filter(None, calls), strict=True):
        assert [word.arg for word in call.keywords] == ["key"]
        assert ast.literal_eval(call.keywords[0].value) == one.key
        assert len(call.args) == 2
        if one.kind == GUESS:
            assert ast.literal_eval(call.args[1]) == one.settings["options"]


def test_no_reason_no_hint_and_no_folded_answer_stands_in_a_copy(path, copy):
    text = json.dumps(copy, ensure_ascii=False)
    for one in questions_of(path):
        secrets = [one.settings.get(name, "") for name in ("why", "hint", "low", "high")]
        secrets += one.expected.split("\n") if one.kind == WORDS else []
        for secret in filter(None, secrets):
            assert json.dumps(secret, ensure_ascii=False)[1:-1] not in text
    assert "<summary>What is wrong" not in text
    assert "<summary>Answer" not in text


def test_what_is_no_question_is_copied_as_it_is(path, copy):
    kept = {cell["id"]: cell["source"] for cell in copy["cells"]}
    changed = {one.cell for one in questions_of(path)}
    for i, cell in enumerate(read_notebook(path)["cells"]):
        if i not in changed and "solution" not in cell["metadata"].get("tags", ()):
            assert kept[cell["id"]] == cell["source"]


def test_every_question_of_the_course_has_its_hidden_answer_and_there_are_no_others():
    assert list(ANSWERS) == [one.key for one in QUESTIONS]


# After a change of a question: make notebooks ARGS=NAME, or python -m mapl_explore.course.copies notebooks
@pytest.mark.parametrize("one", QUESTIONS, ids=lambda one: one.key)
def test_a_hidden_answer_is_that_of_the_teachers_notebook(one):
    assert agrees(one, ANSWERS[one.key])


def test_nothing_of_a_reason_a_hint_or_a_folded_answer_can_be_read_in_the_file():
    text = json.dumps(ANSWERS, ensure_ascii=False)
    for one in QUESTIONS:
        secrets = [one.settings.get(name, "") for name in ("why", "hint", "low", "high")]
        secrets += [one.expected] if one.kind != EXERCISE else []
        for secret in filter(None, secrets):
            assert json.dumps(secret, ensure_ascii=False)[1:-1] not in text


FEW = [
    ("markdown", "## 5 · Find the mistake"),
    ("code", "import numpy as np"),
    ("code", 'from x import predict\n\npredict("Why?", ["a", "b"], "a", why="So.")'),
    ("code", '# Marks A.\ncheck("A", mine, np.log(8) / 0.1, rtol=0.02, low="up")'),
    ("markdown", "Before.\n\n<details><summary>What is wrong</summary>\n\nThe *sign*.\n</details>\n\nAfter."),
]


@pytest.fixture
def teacher(tmp_path):
    """A notebook of the above, in a folder of its own."""

    def written(cells=FEW):
        path = tmp_path / "07_more.ipynb"
        made = [
            {"cell_type": kind, "id": f"c{i}", "metadata": {}, "source": source}
            | ({"execution_count": None, "outputs": []} if kind == "code" else {})
            for i, (kind, source) in enumerate(cells)
        ]
        path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        return path

    return written


def test_questions_are_named_by_lesson_place_label_and_section(teacher):
    assert [(one.key, one.kind) for one in questions_of(teacher())] == [
        ("07-guess-1", GUESS),
        ("07-A", EXERCISE),
        ("07-words-5", WORDS),
    ]


def test_a_folded_answer_becomes_a_question_between_what_stands_around_it(teacher):
    sources = [cell["source"] for cell in students_copy(teacher())["cells"][2:]]
    assert sources == [
        'from x import predict\n\npredict(\n    "Why?",\n    ["a", "b"],\n    key="07-guess-1",\n)',
        '# Marks A.\ncheck("A", mine, key="07-A")',
        "Before.",
        'from mapl_explore.course.lessons import own_words\n\nown_words("What is wrong?", key="07-words-5")',
        "After.",
    ]


def test_hiding_again_changes_what_has_changed_and_nothing_else(teacher):
    folder = teacher().parent
    first = hidden_answers(folder, {}, rounds=3)
    assert hidden_answers(folder, first, rounds=3) == first
    teacher([(kind, source.replace("log(8)", "log(9)").replace('"So."', '"Because."')) for kind, source in FEW])
    again = hidden_answers(folder, first | {"07-B": first["07-A"]}, rounds=3)
    assert {key for key in first if again[key] != first[key]} == {"07-guess-1", "07-A"}
    assert "07-B" not in again


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ('secret = 3\ncheck("A", mine, secret)', "may only import, and ask one question"),
        ('check("A", mine, 3)\ncheck("B", mine, 4)', "may only import, and ask one question"),
    ],
)
def test_a_cell_that_would_tell_more_than_its_question_is_refused(teacher, cell, message):
    with pytest.raises(ValueError, match=message):
        questions_of(teacher([("code", cell)]))


def test_two_questions_of_one_name_are_refused(teacher):
    with pytest.raises(ValueError, match=r"07_more.ipynb: two questions have the name 07-A"):
        questions_of(teacher([("code", 'check("A", mine, 3)'), ("code", 'check("A", mine, 4)')]))
