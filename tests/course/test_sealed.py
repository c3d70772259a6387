"""Hidden answers: what is right is recognised, within its tolerance and no further, and nothing else is told."""

import hashlib
import json
import math

import numpy as np
import pytest

from mapl_explore.course.sealed import (
    ROUNDS,
    opened_choice,
    opened_text,
    sealed_answer,
    sealed_choice,
    sealed_text,
    sealed_value,
    verdict,
)

QUICK = 3  # rounds


def said(expected, given, rtol=0.01, sides=False):
    return verdict(sealed_value(np.asarray(expected), rtol=rtol, sides=sides, rounds=QUICK), np.asarray(given))


@pytest.mark.parametrize("target", [0.37, -5.04e-20, 1.0, 6.022e23, 8.0, 3])
@pytest.mark.parametrize("rtol", [0.001, 0.01, 0.3])
def test_a_number_is_right_up_to_its_tolerance_and_no_further(target, rtol):
    for share in (-1, -0.5, 0, 0.999, 1):
        assert said(target, target * (1 + share * rtol), rtol) == "right"
    for share in (-1.001, 1.001):
        assert said(target, target * (1 + share * rtol), rtol) is None
    assert said(target, -target, rtol) is None


@pytest.mark.parametrize("target", [0.37, 20.79, 1.0, 0.0693, 8.73, -3.0, 1024.0])
def test_the_side_of_a_wrong_number_is_told_however_near_it_is_and_however_far(target):
    entry = sealed_value(np.asarray(target), rtol=0.01, sides=True, rounds=QUICK)
    # On both sides, 0 and the other sign included; between 2^-20 and 2^20 no number goes without advice.
    near = [target + 0.0101 * side * abs(target) for side in (-1, 1)]
    far = [sign * 4 * 10.0**power for sign in (-1, 1) for power in range(-9, 10)]
    end = math.copysign(2.0 ** (math.floor(math.log2(abs(target))) + 1), target)  # of its octave
    for x in (*near, *far, 0.0, math.inf, -math.inf, 1.9 * target, 0.51 * target, 0.999999 * end, end):
        assert verdict(entry, np.asarray(x)) == ("low" if x < target else "high"), x
    assert verdict(entry, np.asarray(target)) == "right"


def test_lists_words_and_truth_values_are_recognised_whole():
    assert said([1.0, -2.0], [1.005, -2.01]) == "right"
    assert said([1.0, -2.0], [1.0, 2.0]) is None
    assert said("STRASSE", "  Straße ") == "right"
    assert said("small", "large") is None
    assert said([True, False], [True, False]) == "right"
    assert said(True, False) is None


@pytest.mark.parametrize(
    ("expected", "rtol", "message"),
    [
        (0.0, 0.01, "a number that is hidden must be finite and not 0"),
        (np.inf, 0.01, "a number that is hidden must be finite and not 0"),
        (1.0, 0.0, "rtol must be > 0 and < 1 for an answer that is hidden, not 0.0"),
        (1.0, 1.0, "rtol must be > 0 and < 1 for an answer that is hidden, not 1.0"),
        (2.0**20, 0.01, "of a size from 2.-19 to 2.19, not 1048576.0"),
        (1e9, 0.01, "of a size from 2.-19 to 2.19, not 1000000000.0"),
    ],
)
def test_what_cannot_be_hidden_is_refused(expected, rtol, message):
    with pytest.raises(ValueError, match=message):
        said(expected, 1.0, rtol, sides=True)


def test_only_the_right_option_opens_the_text_of_a_choice():
    entry = sealed_choice("τ falls", "Since <i>E</i> …", rounds=QUICK)
    assert opened_choice(entry, ["it grows", "τ falls"]) == ("τ falls", "Since <i>E</i> …")
    assert opened_choice(entry, ["it grows", "it stays"]) is None


def test_a_hidden_answer_shows_no_word_of_itself_and_two_of_them_look_different():
    text = "The sign is wrong."
    one, other = (sealed_text(text, rounds=QUICK) for _ in range(2))
    assert opened_text(one) == opened_text(other) == text
    assert one["text"] != other["text"]
    for made in (
        lambda: sealed_choice("falls", text, rounds=QUICK),
        lambda: sealed_value(np.asarray("small"), rtol=0.01, sides=False, rounds=QUICK),
    ):
        assert made()["salt"] != made()["salt"]
    told = json.dumps([one, sealed_choice("falls", text, rounds=QUICK)])
    assert "sign" not in told
    assert "falls" not in told


def test_where_the_intervals_lie_tells_nothing_of_the_answer():
    grids = [sealed_value(np.asarray(0.25), rtol=0.01, sides=False, rounds=1)["grids"] for _ in range(300)]
    places = [(math.log(0.25) - offset) / width % 1 for [(offset, width)] in grids]
    # All of 300 drawn places lie outside a tenth of the interval in one of 10^13 runs.
    assert all(any(low <= place < low + 0.1 for place in places) for low in np.arange(10) / 10)


def test_an_answer_of_many_numbers_is_refused():
    with pytest.raises(ValueError, match="must have at most 4 numbers, not 5"):
        said([1.0] * 5, [1.0] * 5)


def test_the_order_of_what_is_hidden_tells_nothing():
    boxes = sealed_value(np.asarray(0.37), rtol=0.01, sides=True, rounds=QUICK)["boxes"]
    assert list(boxes) == sorted(boxes)
    assert len(set(boxes.values())) > 3  # masked: not one number for each side


def test_a_key_is_slow_enough_that_a_thousand_guesses_take_their_time(monkeypatch):
    assert ROUNDS >= 50_000  # 0.04 seconds when this was written
    calls, sha256 = [], hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", lambda data: calls.append(data) or sha256(data))
    sealed_text("any", rounds=7)
    assert len(calls) == 1 + 7


def test_a_tag_is_too_short_to_be_the_key_of_its_text():
    entry = sealed_choice("falls", "text", rounds=QUICK)
    assert len(bytes.fromhex(entry["tag"])) == 8


def test_an_answer_that_is_not_there_is_told_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no answers.json next to this notebook: `mapl-explore lab`"):
        sealed_answer("01-A", tmp_path)
    (tmp_path / "answers.json").write_text("{}")
    with pytest.raises(LookupError, match="does not have the question '01-A'"):
        sealed_answer("01-A", tmp_path)
