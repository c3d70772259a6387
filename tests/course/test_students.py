"""Lessons in a student's copy: marked by hidden answers, kept, and found again by the next window or kernel."""

import json
from pathlib import Path

import numpy as np
import pytest

from mapl_explore.course.lessons import check, own_words, predict
from mapl_explore.course.marks import FILE, kept, read_marks
from mapl_explore.course.sealed import sealed_answer, sealed_choice, sealed_text, sealed_value, verdict

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
OPTIONS, WHY = ["it grows", "it falls"], "Since w<sub>1</sub> is <i>small</i>."


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with hidden answers, where the kernel runs."""
    advice = sealed_text(json.dumps({"hint": "think", "low": "further up", "high": ""}), rounds=3)
    said = {"kind": "a number", "shape": [], "rtol": 0.01, "advice": advice}
    # As version 0.1.0 wrote it, with its words as they are.
    words = {"kind": "a string", "shape": [], "rtol": 0.01, "hint": "look again", "low": "", "high": ""}
    choices = {"choices": ["first", "mean"]}
    entries = {
        "01-guess-1": sealed_choice("it falls", WHY, rounds=3),
        "01-A": said | sealed_value(np.asarray(0.37), rtol=0.01, sides=True, rounds=3),
        "01-B": words | sealed_value(np.asarray("mean"), rtol=0.01, sides=False, rounds=3),
        "02-B": words | choices | sealed_value(np.asarray("mean"), rtol=0.01, sides=False, rounds=3),
        "01-words-5": sealed_text("<p>The <em>sign</em>: $-\\tau$.</p>", rounds=3),
    }
    (tmp_path / "answers.json").write_text(json.dumps(entries))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def guessing():
    return predict("What happens?", OPTIONS, key="01-guess-1")


def guess(prediction, option):
    prediction._radio.value = option
    prediction._button.click()


@pytest.mark.parametrize(
    ("option", "said", "right"),
    [
        ("it falls", "✓ Your guess is right: “it falls”", True),
        ("it grows", "✗ You guessed “it grows”. Right is “it falls”", False),
    ],
)
def test_a_guess_reveals_the_hidden_answer_and_is_kept(folder, option, said, right):
    prediction = guessing()
    guess(prediction, option)
    assert said in prediction._verdict.value
    assert f"<p>{WHY}</p>" in prediction._verdict.value
    assert prediction.right is right
    assert [kept("01-guess-1", folder)[name] for name in ("given", "right", "tries")] == [option, right, 1]


def test_answers_of_another_version_of_the_question_are_told(folder):
    prediction = predict("What happens?", ["it bends", "it breaks"], key="01-guess-1")
    guess(prediction, "it bends")
    assert "none of these: answers.json is of another version of this notebook" in prediction._verdict.value


def test_before_the_guess_nothing_of_the_answer_is_in_what_the_page_and_the_file_get():
    prediction = guessing()
    told = json.dumps(
        [prediction._repr_mimebundle_(), [w.get_state() for w in prediction.widget.children]], default=str
    )
    assert "<sub>" not in told.replace("mapl-predict", "")
    assert "Answer" not in told
    assert (prediction.answer, prediction.why) == (None, "")


def test_an_exported_copy_tells_no_answer_even_after_the_guess():
    prediction = guessing()
    guess(prediction, "it grows")
    assert "<details>" not in prediction._repr_mimebundle_()["text/html"]
    assert WHY not in prediction._repr_mimebundle_()["text/html"]


def test_a_guess_is_there_again_in_the_next_kernel_and_cannot_be_changed(folder):
    guess(guessing(), "it grows")
    again = guessing()
    assert (again.guess, again.right) == ("it grows", False)
    assert [again._radio.value, again._radio.disabled, again._button.disabled] == ["it grows", True, True]
    assert "Right is “it falls”" in again._verdict.value
    guess(again, "it falls")
    assert kept("01-guess-1", folder)["given"] == "it grows"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (0.3701, "A is right"),
        (0.2, "A: not yet, further up"),
        (0.9, "A: not yet, think"),
        ("0.37", "A: not yet, the answer should be a number, such as 3.5, not a text"),
        ([0.37], "A: not yet, the answer should be a single value, not a list of 1"),
        (float("nan"), "A: not yet, the answer should be a number, not nan"),
        (print, "A: not yet, the answer should be a number"),
    ],
)
def test_an_answer_is_marked_by_the_hidden_one_and_a_wrong_one_gets_its_hint(given, said):
    assert repr(check("A", given, key="01-A")) == said


def test_words_are_marked_by_the_hidden_ones():
    assert repr(check("B", "first", key="01-B")) == "B: not yet, look again"
    assert repr(check("B", " Mean", key="01-B")) == "B is right"


def test_a_word_that_is_none_of_the_choices_is_told_them_and_another_choice_gets_the_hint():
    assert repr(check("B", "First ", key="02-B")) == "B: not yet, look again"
    assert repr(check("B", "big", key="02-B")) == "B: not yet, the answer should be one of these: first, mean"
    assert repr(check("B", "Mean", key="02-B")) == "B is right"


def test_an_answer_is_kept_and_told_where_the_cell_has_none(folder):
    assert repr(check("A", None, key="01-A")) == "A: no answer yet"
    assert not (folder / FILE).exists()
    check("A", 0.2, key="01-A")
    assert repr(check("A", None, key="01-A")) == "A: not yet (your answer from before: 0.2)"
    check("A", 0.37, key="01-A")
    worse = check("A", 5.0, key="01-A")
    assert repr(worse).endswith(" (your right answer from before still counts)")
    assert not worse.right
    mark = check("A", None, key="01-A")
    assert repr(mark) == "A is right (your answer from before: 0.37)"
    assert mark.right
    assert kept("01-A", folder)["tries"] == 2


def test_an_answer_that_cannot_be_kept_is_marked_all_the_same(folder):
    (folder / FILE).write_text("{half")
    assert repr(check("A", 0.37, key="01-A")).startswith("A is right (not kept: ")
    prediction = guessing()
    guess(prediction, "it falls")
    assert "not kept: " in prediction._verdict.value


def test_words_of_ones_own_come_before_those_of_the_course_and_are_kept(folder):
    asked = own_words("What is wrong?", key="01-words-5")
    assert asked._button.disabled
    asked._text.value = " "
    assert asked._button.disabled
    asked._text.value = "the exponent "
    assert "sign" not in json.dumps([w.get_state() for w in asked.widget.children], default=str)
    asked._button.click()
    assert "<em>sign</em>: $-\\tau$" in asked._answer.value
    assert kept("01-words-5", folder)["given"] == "the exponent"
    again = own_words("What is wrong?", key="01-words-5")
    assert again._text.value == "the exponent"
    assert "<em>sign</em>" in again._answer.value
    assert again._repr_mimebundle_()["text/plain"] == "own words: What is wrong?"


def test_where_the_kernel_goes_later_the_marks_stay_with_the_notebook(folder, monkeypatch):
    prediction, elsewhere = guessing(), folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    guess(prediction, "it falls")
    assert list(read_marks(folder / FILE)["answers"]) == ["01-guess-1"]


@pytest.mark.parametrize(
    "ask",
    [
        guessing,
        lambda: check("A", 1.0, key="01-A"),
        lambda: own_words("What is wrong?", key="01-words-5"),
    ],
)
def test_without_the_file_of_answers_a_question_says_what_is_missing(folder, ask):
    (folder / "answers.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no answers.json next to this notebook: `mapl-explore lab`"):
        ask()


@pytest.mark.parametrize(("floor", "said"), [(0.1098, "right"), (0.1099, "right"), (0.11, None), (0.1, None)])
def test_a_floor_that_is_above_what_is_always_exceeded_is_not_right(floor, said):
    assert verdict(sealed_answer("02-B", NOTEBOOKS), np.array(floor)) == said
