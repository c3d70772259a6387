"""Predictions and exercises: a guess is kept before the answer shows, and no answer of a student is an error."""

import threading

import numpy as np
import pytest
import torch
from patience import HANG

from mapl_explore.course.lessons import check, predict
from mapl_explore.course.marking import COLORS

QUESTION, OPTIONS = "Is 1 < 2 & 2 < 1?", ["<b>no</b>", "yes, always", "at τ > 1"]
WHY = "Since w<sub>1</sub> is <i>small</i>."


@pytest.fixture
def prediction():
    return predict(QUESTION, OPTIONS, "yes, always", WHY)


class Watched:
    """A lock that says when it is asked for."""

    def __init__(self, lock, asked):
        self.lock, self.asked = lock, asked

    def __enter__(self):
        self.asked.set()
        return self.lock.__enter__()

    def __exit__(self, *error):
        return self.lock.__exit__(*error)


def choose(prediction, option):
    prediction._radio.value = option


def shown(prediction):
    return [prediction._radio.value, prediction._radio.disabled, prediction._button.disabled, prediction._verdict.value]


def test_nothing_is_chosen_nor_revealed_at_first(prediction):
    assert shown(prediction) == [None, False, True, ""]
    assert (prediction.guess, prediction.right) == (None, None)


def test_an_option_must_be_chosen_before_the_answer_can_be_revealed(prediction):
    prediction._button.click()
    assert (prediction.guess, prediction._verdict.value) == (None, "")
    choose(prediction, "at τ > 1")
    assert not prediction._button.disabled
    assert prediction._verdict.value == ""


@pytest.mark.parametrize(
    ("guess", "said"),
    [
        ("yes, always", "✓ Your guess is right: “yes, always”"),
        ("at τ > 1", "✗ You guessed “at τ &gt; 1”. Right is “yes, always”"),
    ],
)
def test_the_reveal_says_whether_the_guess_was_right_what_is_and_why(prediction, guess, said):
    choose(prediction, guess)
    prediction._button.click()
    assert (prediction.guess, prediction.right) == (guess, guess == "yes, always")
    assert said in prediction._verdict.value
    assert f"<p>{WHY}</p>" in prediction._verdict.value


def test_a_guess_may_change_before_the_reveal_and_never_after(prediction):
    choose(prediction, "<b>no</b>")
    choose(prediction, "at τ > 1")
    prediction._button.click()
    choose(prediction, "yes, always")
    prediction._button.click()
    assert (prediction.guess, prediction.right) == ("at τ > 1", False)
    assert shown(prediction)[:3] == ["at τ > 1", True, True]


def test_a_click_under_way_when_the_answer_comes_does_not_change_the_guess(prediction):
    choose(prediction, "at τ > 1")
    prediction._button.click()
    with prediction._radio.hold_trait_notifications():  # changed, and nobody told of it yet
        choose(prediction, "yes, always")
        prediction._button.click()
    assert prediction.guess == "at τ > 1"
    assert "✗" in prediction._verdict.value


@pytest.mark.parametrize("act", [lambda one: one._button.click(), lambda one: choose(one, "<b>no</b>")])
def test_of_two_threads_one_waits_for_the_other(prediction, act):
    choose(prediction, "yes, always")
    thread, asked = threading.Thread(target=act, args=(prediction,)), threading.Event()
    lock = prediction._lock
    prediction._lock = Watched(lock, asked)
    with lock:
        thread.start()
        assert asked.wait(HANG)
        assert prediction.guess is None
        assert thread.is_alive()
    thread.join(HANG)
    assert not thread.is_alive()


def test_a_printed_notebook_folds_the_answer_away_and_plain_text_lacks_it(prediction):
    bundle = prediction._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == "predict: Is 1 < 2 & 2 < 1? [<b>no</b> | yes, always | at τ > 1]"
    asked, folded = bundle["text/html"].split("<details><summary>Answer</summary>")
    assert "Is 1 &lt; 2 &amp; 2 &lt; 1?" in asked
    assert "<li>&lt;b&gt;no&lt;/b&gt;</li><li>yes, always</li><li>at τ &gt; 1</li>" in asked
    assert WHY not in asked
    assert folded == f"<p><b>yes, always</b></p><p>{WHY}</p></details></div>"


def test_what_was_guessed_does_not_change_what_a_notebook_stores(prediction):
    before = prediction._repr_mimebundle_()
    choose(prediction, "at τ > 1")
    prediction._button.click()
    assert prediction._repr_mimebundle_() == before


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"options": ["one"], "answer": "one"}, ValueError, "options must be at least two, not 1"),
        ({"options": ["a", "b", "a"], "answer": "a"}, ValueError, "options must differ, and 'a' is there twice"),
        ({"options": "ab", "answer": "a"}, TypeError, "options must be a list of strings, not 'ab'"),
        ({"options": ["a", 2], "answer": "a"}, TypeError, "options must be a list of strings"),
        ({"options": ["a", "b"], "answer": "c"}, ValueError, "answer must be one of 'a', 'b', not 'c'"),
        ({"options": ["a", "b"], "answer": 0}, TypeError, "answer must be a string, not 0"),
        ({"options": ["a", "b"], "answer": "a", "question": None}, TypeError, "question must be a string, not None"),
        ({"options": ["a", "b"], "answer": "a", "why": 3}, TypeError, "why must be a string, not 3"),
    ],
)
def test_a_question_that_does_not_hold_together_is_refused_by_name(changes, error, message):
    with pytest.raises(error, match=message):
        predict(**{"question": "Which?", **changes})


RIGHT = [
    (1.0, 1.0),
    (1.01, 1.0),
    (0.99, 1),
    (-5e20, -5.04e20),
    (3, np.float32(3.01)),
    (np.float16(0.5), 0.5),
    (torch.tensor(2.0, requires_grad=True), 2.0),
    (0.01, 0.0),
    (-np.inf, -np.inf),
    ([1, 2.01], (1.0, 2.0)),
    (torch.tensor([[1.0], [0.005]]), [[1.0], [0.0]]),
    (True, np.True_),
    ([True, False], [True, False]),
    ("  Straße ", "STRASSE"),
    (["B", "a "], ["b", "a"]),
]


@pytest.mark.parametrize(("given", "expected"), RIGHT)
def test_what_is_right_is_marked_right(given, expected):
    mark = check("A", given, expected, hint="h", low="l", high="g")
    assert mark.right is True
    assert repr(mark) == "A is right"


WRONG = [
    (1.0101, 1.0, "too large"),
    (0.9899, 1.0, "too small"),
    (-1.1, -1.0, "too small"),
    (-0.0101, 0.0, "too small"),
    (0.0101, 0, "too large"),
    (np.inf, 1.0, "too large"),
    (5.0, np.inf, "too small"),
    (-np.inf, np.inf, "too small"),
    ([1, 2.1], [1, 2], "think again"),
    ("left", "right", "think again"),
    (False, True, "think again"),
    (["a", "b"], ["b", "a"], "think again"),
    (float("nan"), 1.0, "the answer should be a number, not nan"),
    ([1, float("nan")], [1, 2], "each element should be a number, not nan"),
    ("1.0", 1.0, "the answer should be a number, such as 3.5, not a text"),
    (True, 1.0, "the answer should be a number"),
    (1, True, "the answer should be True or False"),
    (1.0, "one", "the answer should be a string"),
    (1j, 1.0, "the answer should be a number"),
    (print, 1.0, "the answer should be a number"),
    ({1.0}, 1.0, "the answer should be a number"),
    (10**400, 1.0, "the answer should be a number"),
    ([], 1.0, "the answer should be a number"),
    (torch.ones((), dtype=torch.bfloat16), 1.0, "the answer should be a number"),
    ([1.0], 1.0, "the answer should be a single value, not a list of 1"),
    (1.0, [1.0, 2.0], "the answer should be a list of 2, not a single value"),
    ([1, 2, 3], [1, 2], "the answer should be a list of 2, not a list of 3"),
    ([[1, 2]], [1, 2], "the answer should be a list of 2, not an array of shape (1, 2)"),
    ([[1], [2, 3]], [1, 2], "each element should be a number"),
    ([1, None], [1, 2], "each element should be a number"),
]


@pytest.mark.parametrize(("given", "expected", "advice"), WRONG)
def test_what_is_wrong_is_marked_with_a_clear_word_and_never_an_error(given, expected, advice):
    mark = check("A", given, expected, hint="think again", low="too small", high="too large")
    assert mark.right is False
    assert repr(mark) == f"A: not yet, {advice}"


def test_without_a_word_for_its_side_a_wrong_number_gets_the_hint_or_nothing():
    assert repr(check("A", 2, 1, hint="halve it", low="too small")) == "A: not yet, halve it"
    assert repr(check("A", 2, 1, low="too small")) == "A: not yet"


def test_the_tolerance_is_the_callers():
    assert check("A", 1.09, 1.0, rtol=0.1).right
    assert not check("A", 1.0 + 1e-9, 1.0, rtol=0).right
    assert check("A", 0.1 + 0.2 - 0.3, 0.0, rtol=1e-9).right


def test_no_answer_is_neither_right_nor_wrong():
    mark = check("B", None, 1.0, hint="think again")
    assert repr(mark) == "B: no answer yet"
    assert (mark.right, mark.state) == (False, None)


@pytest.mark.parametrize("expected", [None, float("nan"), [1.0, float("nan")], object(), [], 1j])
def test_an_expected_value_that_nothing_can_match_is_refused(expected):
    with pytest.raises(TypeError, match="expected must be a number, a string, a bool or a list of these"):
        check("A", 1.0, expected)


@pytest.mark.parametrize("rtol", [-0.1, float("nan")])
def test_a_tolerance_below_0_is_refused(rtol):
    with pytest.raises(ValueError, match="rtol must be >= 0"):
        check("A", 1.0, 1.0, rtol=rtol)


@pytest.mark.parametrize("expected", ["middling", 1.0])
def test_a_right_answer_that_is_none_of_the_choices_is_refused(expected):
    with pytest.raises(ValueError, match=r"expected must be one of the choices \['small', 'large'\], not "):
        check("A", "small", expected, choices=["small", "large"])


def test_a_mark_is_shown_by_sign_and_words_not_by_colour_alone():
    right, wrong, none = check("A", 1, 1), check("<A>", 2, 1, hint="a < b"), check("A", None, 1)
    assert ">✓ A is right<" in right._repr_html_()
    assert ">✗ &lt;A&gt;: not yet, a &lt; b<" in wrong._repr_html_()
    assert ">… A: no answer yet<" in none._repr_html_()


def luminance(color):
    """The relative luminance of WCAG 2.1."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
@pytest.mark.parametrize("color", COLORS.values())
def test_the_bar_of_a_mark_stands_out_on_a_light_and_on_a_dark_page(color, page):
    dark, light = sorted(map(luminance, (color, page)))
    assert (light + 0.05) / (dark + 0.05) >= 3


@pytest.mark.parametrize("given", [1, 2, None])
def test_the_words_of_a_mark_have_the_colours_of_the_page(given):
    style = check("A", given, 1)._repr_html_().split('"')[1].split("; ")
    assert not [one for one in style if one.startswith(("color:", "background"))]
