"""A class's table: marked by the teacher's notebooks, one row for each student, nothing lost for one bad file."""

import csv
import json
import os
from pathlib import Path

import pytest

from mapl_explore import course
from mapl_explore.cli import main as cli
from mapl_explore.course.class_table import course_questions
from mapl_explore.course.questions import EXERCISE, GUESS, WORDS

QUESTIONS = course_questions(Path(course.__file__).parents[2] / "notebooks")


def answer(given, right=None):
    return {"given": given, "right": right, "tries": 2, "when": "2026-01-01T00:00:00+00:00"}


@pytest.fixture
def folder(tmp_path):
    """A function that makes a student's folder."""

    def made(folder, answers, name=""):
        (tmp_path / folder).mkdir()
        marks = {"format": 1, "name": name, "answers": answers}
        (tmp_path / folder / "marks.json").write_text(json.dumps(marks), encoding="utf-8")
        return str(tmp_path / folder)

    return made


def rows(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def all_right():
    return {one.key: answer(one.expected if one.kind != WORDS else "my words") for one in QUESTIONS}


def test_a_class_of_three_is_a_table_of_three_rows(folder, tmp_path, capsys):
    some = {"01-A": answer(20.8, True), "01-B": answer(0.9, True), "01-guess-1": answer("below -1", False)}
    folders = [folder("ada", all_right(), "Ada Lovelace"), folder("bo", some), folder("cy", {})]
    out = tmp_path / "class.csv"
    assert cli.main(["marks", *folders, "--out", str(out)]) == 0
    ada, bo, cy = rows(out)
    keys = [key for key in ada if not key.endswith("-right")]
    assert keys == ["name", "folder", "right", "answered", *(one.key for one in QUESTIONS)]
    assert list(ada)[4:6] == ["01-right", "01-guess-1"]
    assert [row["name"] for row in (ada, bo, cy)] == ["Ada Lovelace", "bo", "cy"]
    marked = [one.key for one in QUESTIONS if one.kind != WORDS]
    assert {ada[key] for key in marked} == {"1"}
    assert (ada["right"], ada["answered"]) == (str(len(marked)), str(len(QUESTIONS)))
    assert (ada["01-words-5"], ada["folder"]) == ("my words", folders[0])
    # What the file says of itself does not count: 0.9 is not right.
    assert (bo["01-A"], bo["01-B"], bo["01-guess-1"], bo["02-A"]) == ("1", "0", "0", "")
    assert (bo["right"], bo["answered"], cy["right"], cy["answered"]) == ("1", "3", "0", "0")
    assert (bo["01-right"], bo["02-right"]) == ("1", "0")
    assert sum(int(ada[key]) for key in ada if key.endswith("-right")) == len(marked)
    assert capsys.readouterr().err == f"3 students, {len(QUESTIONS)} questions\n"


def test_chosen_lessons_alone_are_in_the_table_and_in_its_sums(folder, tmp_path, capsys):
    out = tmp_path / "class.csv"
    assert cli.main(["marks", folder("ada", all_right()), "--lessons", "02, 04", "--out", str(out)]) == 0
    [ada] = rows(out)
    some = [one for one in QUESTIONS if one.key[:2] in ("02", "04")]
    assert [key for key in ada if key[:1] == "0" and not key.endswith("-right")] == [one.key for one in some]
    assert [key for key in ada if key.endswith("-right")] == ["02-right", "04-right"]
    assert ada["answered"] == str(len(some))
    assert ada["right"] == str(int(ada["02-right"]) + int(ada["04-right"]))
    assert capsys.readouterr().err == f"1 student, {len(some)} questions\n"


@pytest.mark.parametrize("wrong", ["09", "00", "2", ""])
def test_a_lesson_without_questions_is_refused_in_a_line(folder, tmp_path, capsys, wrong):
    out = tmp_path / "class.csv"
    assert cli.main(["marks", folder("ada", {}), "--lessons", f"02,{wrong}", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    known = "01, 02, 03, 04, 05, 06, 07"
    assert said.endswith(f"--lessons must be of {known}, the lessons with questions, not {wrong!r}\n")
    assert said.count("\n") == 1
    assert not out.exists()


def test_without_out_the_table_is_printed(folder, capsys):
    assert cli.main(["marks", folder("ada", {})]) == 0
    assert (
        capsys.readouterr().out.splitlines()[0].startswith("name,folder,right,answered,01-right,01-guess-1,01-guess-2,")
    )


def test_a_bad_folder_is_told_in_a_line_and_the_others_are_counted(folder, tmp_path, capsys):
    good, bad, none = folder("ada", all_right()), folder("bo", {}), tmp_path / "none"
    Path(bad, "marks.json").write_text("{half")
    none.mkdir()
    out = tmp_path / "class.csv"
    assert cli.main(["marks", bad, good, str(none), str(tmp_path / "away"), "--out", str(out)]) == 2
    assert [row["name"] for row in rows(out)] == ["ada"]
    first, second, third, count, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"passed over: {os.path.join(bad, 'marks.json')}: must be JSON in UTF-8: ")
    assert second == f"passed over: {none}: has no marks.json"
    assert third == f"passed over: {tmp_path / 'away'}: must be a student's folder or file of marks, and is not there"
    assert count == f"1 student, {len(QUESTIONS)} questions"
    assert last == "mapl-explore: error: 3 of 4 folders could not be read"


def test_which_of_two_files_of_marks_counts_is_asked_and_a_second_download_is_named(folder, tmp_path, capsys):
    both, second = Path(folder("ada", all_right())), tmp_path / "bo"
    inner = Path(folder("ada/mapl_explore_student", {}))
    second.mkdir()
    (second / "marks (1).json").write_text("{}")
    assert cli.main(["marks", str(both), str(second)]) == 2
    told = capsys.readouterr().err
    assert f"{both}: has two, marks.json and mapl_explore_student/marks.json: name the folder of one" in told
    assert f"{second}: has no marks.json, but 'marks (1).json'" in told
    assert inner.is_dir()


def test_a_file_of_marks_counts_by_any_name_which_is_the_students_where_none_was_signed(folder, tmp_path, capsys):
    signed, unsigned = tmp_path / "late_1234_marks.json", tmp_path / "bo.json"
    Path(folder("ada", all_right(), "Ada Lovelace"), "marks.json").rename(signed)
    Path(folder("cy", {}), "marks.json").rename(unsigned)
    out = tmp_path / "class.csv"
    assert cli.main(["marks", str(signed), str(unsigned), "--out", str(out)]) == 0
    assert [(row["name"], row["folder"]) for row in rows(out)] == [("Ada Lovelace", str(signed)), ("bo", str(unsigned))]
    before = unsigned.read_bytes()
    assert cli.main(["marks", str(unsigned), "--format", "gradescope", "--out", str(unsigned), "--overwrite"]) == 2
    assert unsigned.read_bytes() == before


def test_a_folder_and_the_file_in_it_are_one_student(folder, tmp_path, capsys):
    ada = folder("ada", all_right())
    assert cli.main(["marks", ada, str(Path(ada, "marks.json")), "--out", str(tmp_path / "class.csv")]) == 2
    assert f"each FOLDER must be given once, and '{ada}' is twice" in capsys.readouterr().err
    assert not (tmp_path / "class.csv").exists()


def test_of_nothing_but_bad_folders_no_table_is_written(folder, tmp_path, capsys):
    bad = folder("bo", {})
    Path(bad, "marks.json").write_text("[]")
    assert cli.main(["marks", bad, "--out", str(tmp_path / "class.csv")]) == 2
    assert not (tmp_path / "class.csv").exists()


@pytest.mark.parametrize(
    "text", ["=1+1", "@sum", "+1", "-1", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠a", " =1"]
)
def test_a_spreadsheet_does_not_run_what_a_student_wrote(folder, tmp_path, text):
    out = tmp_path / "class.csv"
    assert cli.main(["marks", folder("ada", {"01-words-5": answer(text)}, text), "--out", str(out)]) == 0
    (row,) = rows(out)
    assert row["01-words-5"] == row["name"] == f"'{text.strip()}"
    assert out.read_bytes().count(b"\n") == 2


def test_what_windows_needs_to_read_utf_8_stands_before_the_table(folder, tmp_path):
    out = tmp_path / "class.csv"
    assert cli.main(["marks", folder("jü", {}), "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\xef\xbb\xbfname,")


@pytest.mark.parametrize(("key", "right", "wrong"), [("06-B", 0.004139, 0.00414), ("02-B", 0.10996, 0.10998)])
def test_an_answer_has_the_tolerance_of_its_question_and_else_one_percent(folder, tmp_path, key, right, wrong):
    # 3/732 = 0.00409836 and 1 %; 0.109861 and 0.1 %
    folders = [folder(name, {key: answer(given)}) for name, given in (("ada", right), ("bo", wrong))]
    out = tmp_path / "class.csv"
    assert cli.main(["marks", *folders, "--out", str(out)]) == 0
    assert [row[key] for row in rows(out)] == ["1", "0"]


def test_a_student_without_a_name_has_that_of_the_folder_however_it_is_given(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder("ada", {}, "  "))
    assert cli.main(["marks", ".", "--out", str(tmp_path / "class.csv")]) == 0
    assert [row["name"] for row in rows(tmp_path / "class.csv")] == ["ada"]


def test_copies_that_lab_made_in_a_students_folder_are_found(folder, tmp_path):
    folder("cy", {}), folder("cy/mapl_explore_student", {"01-A": answer(20.8)})
    Path(tmp_path, "cy/marks.json").unlink()
    out = tmp_path / "class.csv"
    assert cli.main(["marks", str(tmp_path / "cy"), "--out", str(out)]) == 0
    (row,) = rows(out)
    assert (row["name"], row["01-A"]) == ("cy", "1")


def test_half_a_character_costs_no_other_student(folder, tmp_path, capsys):
    bad, good = folder("bo", {"01-words-5": answer("x \ud83d y")}), folder("ada", {})
    assert cli.main(["marks", bad, good, "--out", str(tmp_path / "class.csv")]) == 2
    assert [row["name"] for row in rows(tmp_path / "class.csv")] == ["ada"]
    assert "bo/marks.json: must be JSON in UTF-8: " in capsys.readouterr().err.splitlines()[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 2}', 'must be an object with "format": 1, not 2, which is of another version of mapl_explore'),
        ("[]", 'must be an object with "format": 1\n'),
    ],
)
def test_marks_of_another_version_are_told_as_such(folder, capsys, text, message):
    bad = folder("bo", {})
    Path(bad, "marks.json").write_text(text)
    assert cli.main(["marks", bad]) == 2
    assert message in capsys.readouterr().err


def test_a_mark_before_the_text_is_no_fault(folder, capsys):
    ada = folder("ada", {})
    Path(ada, "marks.json").write_bytes(b"\xef\xbb\xbf" + Path(ada, "marks.json").read_bytes())
    assert cli.main(["marks", ada]) == 0


@pytest.mark.parametrize("given", [None, [1, [2]], {"a": 1}, "nan", 1e400, 10**400, True, "<script>", []])
def test_whatever_a_file_holds_as_an_answer_is_marked_and_no_error(folder, tmp_path, given):
    answers = {one.key: answer(given) for one in QUESTIONS}
    out = tmp_path / "class.csv"
    assert cli.main(["marks", folder("ada", answers), "--out", str(out)]) == 0
    (row,) = rows(out)
    assert {row[one.key] for one in QUESTIONS if one.kind in (GUESS, EXERCISE)} == {"0"}


def test_a_question_that_the_course_does_not_have_is_passed_over_and_told(folder, capsys):
    assert cli.main(["marks", folder("ada", {"99-Z": answer(1)})]) == 0
    said = capsys.readouterr()
    assert "99-Z" not in said.out
    assert "the course has no 99-Z" in said.err


def test_gradescope_gets_one_test_for_each_question_with_points_for_what_is_right(folder, tmp_path):
    answers = {"01-A": answer(20.8), "01-B": answer(0.9), "01-words-5": answer("the sign")}
    answers["01-guess-1"] = answer("none of them")
    out = tmp_path / "results.json"
    assert cli.main(["marks", folder("ada", answers), "--format", "gradescope", "--out", str(out)]) == 0
    results = json.loads(out.read_text(encoding="utf-8"))
    tests = {test["name"]: test for test in results["tests"]}
    assert list(results) == ["tests"]
    assert list(tests) == [one.key for one in QUESTIONS]
    right = {"score": 1, "max_score": 1, "status": "passed", "output": "right, tries: 2"}
    assert tests["01-A"] == {"name": "01-A"} | right
    assert tests["01-B"]["output"] == "not yet right, tries: 2"
    assert tests["01-guess-1"]["output"] == "not right, tries: 2"  # the first guess counts
    assert (tests["01-B"]["score"], tests["01-B"]["status"]) == (0, "failed")
    assert tests["02-A"] == {"name": "02-A", "score": 0, "max_score": 1, "status": "failed", "output": "no answer yet"}
    assert tests["01-words-5"] == {"name": "01-words-5", "score": 0, "max_score": 0, "output": "the sign"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--format", "gradescope"],
            "--format gradescope takes one FOLDER, as results.json is that of one student, not 2",
        ),
        (["--out", "away/class.csv"], "there is no folder 'away' to write class.csv into"),
        (["--out", "class.xlsx"], "--out must end in .csv with --format csv, not 'class.xlsx'"),
        (["ada/", "--out", "class.csv"], "each FOLDER must be given once, and 'ada' is twice"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_written(
    folder, tmp_path, monkeypatch, capsys, words, message
):
    folder("ada", {}), folder("bo", {})
    monkeypatch.chdir(tmp_path)
    assert cli.main(["marks", "ada", "bo", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("copies", ["", "mapl_explore_student"])
def test_the_file_that_is_read_is_not_written(folder, tmp_path, capsys, copies):
    ada = Path(folder("ada", {}))
    marks = ada / copies / "marks.json"
    marks.parent.mkdir(exist_ok=True)
    (ada / "marks.json").rename(marks)
    assert cli.main(["marks", str(ada), "--format", "gradescope", "--out", str(marks)]) == 2
    assert "is the file that is read" in capsys.readouterr().err
