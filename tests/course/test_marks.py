"""What a student has answered is kept at once, found again, and lost by nobody's window."""

import json
import math
import subprocess
import sys
from urllib.request import urlopen
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from mapl_explore.course.marks import FILE, hand_in, keep, kept, read_marks, sign

GIVEN = {"given": 1.5, "right": False, "tries": 1, "when": "2026-01-01T00:00:00+00:00"}
GOOD = {"format": 1, "name": "Ada", "answers": {"01-A": GIVEN}}


def test_an_answer_is_found_again_with_its_tries_and_the_folder_has_no_half_file(tmp_path):
    assert kept("01-A", tmp_path) is None
    assert keep("01-A", 1.5, False, tmp_path) == keep("01-A", 2.5, False, tmp_path) == ""
    found = kept("01-A", tmp_path)
    assert (found["given"], found["right"], found["tries"]) == (2.5, False, 2)
    assert {path.name for path in tmp_path.iterdir()} <= {FILE, ".marks.lock"}


def test_a_right_answer_stays_and_of_a_guess_the_first(tmp_path):
    for given, right in ((1.0, False), (2.0, True), (3.0, False)):
        keep("01-A", given, right, tmp_path)
        keep("01-guess-1", given, right, tmp_path, first=True)
    assert [kept("01-A", tmp_path)[name] for name in ("given", "right", "tries")] == [2.0, True, 2]
    assert [kept("01-guess-1", tmp_path)[name] for name in ("given", "right", "tries")] == [1.0, False, 3]


@pytest.mark.parametrize("right", [False, True])
def test_a_cell_that_is_run_again_with_the_same_answer_is_no_other_try(tmp_path, right):
    keep("01-A", 1.0, False, tmp_path)
    for _ in range(3):
        keep("01-A", np.array([1.5, math.nan]), right, tmp_path)
    assert [kept("01-A", tmp_path)[name] for name in ("given", "right", "tries")] == [[1.5, "nan"], right, 2]


WRITER = "import sys; from pathlib import Path; from mapl_explore.course.marks import keep\n"
WRITER += "for i in range(20): assert keep(f'{sys.argv[1]}-{i}', i, True, Path('.')) == ''"


def test_two_windows_lose_nothing_of_each_other(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, name], cwd=tmp_path) for name in ("one", "two", "three")]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(read_marks(tmp_path / FILE)["answers"]) == 60


@pytest.mark.parametrize(
    ("given", "as_json"),
    [
        (np.float32(0.5), 0.5),
        (torch.tensor([1.0, 2.0]), [1.0, 2.0]),
        ([[True], [False]], [[True], [False]]),
        ("Straße", "Straße"),
        (float("nan"), "nan"),
        ([1.0, float("inf")], [1.0, "inf"]),
        (print, "<built-in function print>"),
        (10**400, "10000"),
        (np.zeros(2000), "array([0., 0., 0"),
    ],
)
def test_any_answer_can_be_kept(tmp_path, given, as_json):
    assert keep("01-A", given, False, tmp_path) == ""
    found = kept("01-A", tmp_path)["given"]
    assert found == as_json or found.startswith(as_json)


def test_a_file_that_cannot_be_read_is_told_and_not_touched(tmp_path):
    (tmp_path / FILE).write_text("{half")
    said = keep("01-A", 1.0, True, tmp_path)
    assert said.startswith("not kept: ")
    assert "marks.json: must be JSON in UTF-8" in said
    assert (tmp_path / FILE).read_text() == "{half"
    assert kept("01-A", tmp_path) is None


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    assert keep("01-A", 1.0, True, tmp_path / "away").startswith("not kept: ")


def test_a_name_is_kept_next_to_the_answers_and_an_empty_one_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sign(" ") == "no name yet: the table of the class has the name of the folder"
    assert not (tmp_path / FILE).exists()
    keep("01-A", 1.0, True, tmp_path)
    assert sign(" Ada Lovelace ") == "your marks are kept in marks.json, as those of Ada Lovelace"
    assert sign("") == "your marks are kept in marks.json, as those of Ada Lovelace"
    marks = read_marks(tmp_path / FILE)
    assert (marks["name"], list(marks["answers"])) == ("Ada Lovelace", ["01-A"])
    with pytest.raises(TypeError, match="name must be a string, not 3"):
        sign(3)


def test_what_is_handed_in_is_the_file_as_it_is_now(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hand_in()._repr_html_() == "there is nothing to hand in yet"
    sign("Łukasz <b>")
    assert repr(hand_in()) == "marks.json with 0 answers"
    keep("01-A", 1.0, True, tmp_path)
    link = ElementTree.fromstring(hand_in()._repr_html_())
    assert (link.get("download"), link.text) == (FILE, "save marks.json with 1 answer")
    with urlopen(link.get("href")) as content:
        assert json.load(content) == read_marks(tmp_path / FILE)
    (tmp_path / FILE).write_text("{half")
    with pytest.raises(ValueError, match="must be JSON"):
        hand_in()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must be JSON in UTF-8"),
        ("[" * 100_000, "must be JSON in UTF-8"),
        ("[1]", 'must be an object with "format": 1'),
        (GOOD | {"format": 2}, 'must be an object with "format": 1'),
        (GOOD | {"name": None}, '"name" must be a string, not None'),
        (GOOD | {"answers": []}, r'"answers" must be an object, not \[\]'),
        (GOOD | {"answers": {"01-A": 3}}, "the answer '01-A' must have \"given\""),
        (GOOD | {"answers": {"01-A": GIVEN | {"right": "yes"}}}, "the answer '01-A' must have .* true, false or null"),
        (GOOD | {"answers": {"01-A": GIVEN | {"right": [1]}}}, "the answer '01-A' must have .* true, false or null"),
        (GOOD | {"answers": {"01-A": GIVEN | {"tries": 0}}}, "\"tries\" of '01-A' must be a whole number >= 1, not 0"),
        (" " * 1_000_001, "must be smaller than 1,000,000 bytes"),
    ],
)
def test_a_malformed_file_is_refused_with_its_name_and_its_rule(tmp_path, content, message):
    path = tmp_path / FILE
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=rf"marks\.json: {message}"):
        read_marks(path)


def test_a_file_of_this_form_is_read(tmp_path):
    (tmp_path / FILE).write_text(json.dumps(GOOD))
    assert read_marks(tmp_path / FILE) == GOOD
