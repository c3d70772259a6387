"""What a class has answered, question by question: as a table, or as Gradescope wants it.

An answer is marked again here, by the teacher's notebooks: what a student's file says of itself does not count.

References
----------
Gradescope, *Autograder specifications*: the fields of results.json.
https://gradescope-autograders.readthedocs.io/en/latest/specs/
"""

import csv
import io
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mapl_explore.course.copies import RTOL, STUDENTS_FOLDER
from mapl_explore.course.marking import check
from mapl_explore.course.marks import FILE, read_marks
from mapl_explore.course.questions import GUESS, WORDS, Question, questions_of

FORMULA = tuple("=+-@＝＋－＠")  # a spreadsheet runs a cell that begins so, some also by the wide forms
HEAD = ("name", "folder", "right", "answered")


@dataclass(frozen=True)
class Student:
    """One row of the table.

    Parameters
    ----------
    name : str
        The name that was given; else that of the folder, or of the file without its ending.
    folder : str
        Where the marks lie: a folder or a file.
    cells : dict
        For each question that was answered whether it is right; of own words the words.
    tries : dict
        How often each was answered.
    unknown : tuple of str
        Answers to questions that the course does not have.
    """

    name: str
    folder: str
    cells: dict[str, bool | str]
    tries: dict[str, int]
    unknown: tuple[str, ...] = ()

    @property
    def right(self) -> int:
        """How many answers are right."""
        return sum(cell is True for cell in self.cells.values())

    @property
    def answered(self) -> int:
        """How many questions have an answer."""
        return len(self.cells)


def course_questions(notebooks: Path) -> list[Question]:
    """Return the questions of a folder of teacher's notebooks, lesson by lesson."""
    return [one for path in sorted(notebooks.glob("*.ipynb")) for one in questions_of(path)]


def of_lessons(questions: Iterable[Question], lessons: str | None) -> list[Question]:
    """Return the questions of lessons, given as ``01,02``; all of them by default.

    Raises
    ------
    ValueError
        If one is no lesson with questions.
    """
    questions = list(questions)
    known = dict.fromkeys(_lesson(one) for one in questions)
    wanted = list(known) if lessons is None else [one.strip() for one in lessons.split(",")]
    if odd := [one for one in wanted if one not in known]:
        raise ValueError(f"--lessons must be of {', '.join(known)}, the lessons with questions, not {odd[0]!r}")
    return [one for one in questions if _lesson(one) in wanted]


def _lesson(one: Question) -> str:
    return one.key[:2]


def read_student(folder: Path, questions: Iterable[Question]) -> Student:
    """Return what a student has answered, marked; the marks are in the folder, or in the copies that lab made there.

    Such a file itself may be given, too, under whatever name it was handed in.

    Raises
    ------
    OSError
        If there is no such folder or file, or no ``marks.json`` in the folder.
    ValueError
        If that is malformed; the message names the file and the rule.
    """
    marks = read_marks(_marks_in(folder))
    questions = list(questions)
    answers = {one.key: marks["answers"][one.key] for one in questions if one.key in marks["answers"]}
    cells = {one.key: _cell(one, answers[one.key]["given"]) for one in questions if one.key in answers}
    name = marks["name"].strip() or (folder.stem if folder.is_file() else folder.resolve().name)
    tries = {key: answer["tries"] for key, answer in answers.items()}
    return Student(name, str(folder), cells, tries, tuple(sorted({*marks["answers"]} - {*answers})))


def places_of(folder: Path) -> list[Path]:
    """Return where the marks of a student may lie: in the folder, in the copies that lab made there, or in a file."""
    return [folder] if folder.is_file() else [folder / FILE, folder / STUDENTS_FOLDER / FILE]


def _marks_in(folder: Path) -> Path:
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: must be a student's folder or file of marks, and is not there")
    found = [path for path in places_of(folder) if path.is_file()]
    if len(found) > 1:
        raise ValueError(f"{folder}: has two, {FILE} and {STUDENTS_FOLDER}/{FILE}: name the folder of one")
    if not found:
        others = sorted(path.name for path in folder.glob("marks*"))  # as browsers call a second download
        raise FileNotFoundError(f"{folder}: has no {FILE}" + (f", but {others[0]!r}" if others else ""))
    return found[0]


def read_class(folders: Sequence[Path], questions: list[Question]) -> tuple[list[Student], list[str]]:
    """Return the students whose marks can be read, and a line on each folder where they cannot."""
    students, faults = [], []
    for folder in folders:
        try:
            students.append(read_student(folder, questions))
        except (OSError, ValueError) as error:
            faults.append(str(error))
    return students, faults


def restricted(student: Student, questions: Iterable[Question]) -> Student:
    """Return a student with the answers to these questions alone."""
    keys = {one.key for one in questions}
    return replace(student, cells={key: cell for key, cell in student.cells.items() if key in keys})


def as_csv(students: Iterable[Student], questions: list[Question]) -> str:
    """Return a table with one row for each student and one column for each question: 1 right, 0 wrong, or empty.

    The questions of a lesson follow the number of those that are right in it.
    """
    lessons = [(name, list(some)) for name, some in itertools.groupby(questions, _lesson)]
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow([*HEAD, *(key for name, some in lessons for key in (f"{name}-right", *(one.key for one in some)))])
    for student in students:
        shown: list[str | int] = []
        for _name, some in lessons:
            cells = [student.cells.get(one.key, "") for one in some]
            shown += [sum(cell is True for cell in cells)]
            shown += [_safe(cell) if isinstance(cell, str) else int(cell) for cell in cells]
        table.writerow([_safe(student.name), _safe(student.folder), student.right, student.answered, *shown])
    return file.getvalue()


def as_gradescope(student: Student, questions: list[Question]) -> dict[str, Any]:
    """Return the results of one student in the form of Gradescope's results.json: a point for each right answer.

    Words of one's own are worth nothing, and are there to be read.
    """
    return {"tests": [_test(student, one) for one in questions]}


def _cell(one: Question, given: object) -> bool | str:
    if one.kind == WORDS:
        return given if isinstance(given, str) else repr(given)
    if one.kind == GUESS:
        return given == one.expected
    return check(one.asked, given, one.expected, rtol=one.settings.get("rtol", RTOL)).right


def _safe(text: str) -> str:
    line = " ".join(text.split())  # some programs begin a row where a cell has a line break
    return f"'{line}" if line.startswith(FORMULA) else line


def _test(student: Student, one: Question) -> dict[str, Any]:
    cell = student.cells.get(one.key)
    if one.kind == WORDS:
        return {"name": one.key, "score": 0, "max_score": 0, "output": cell or "no words yet"}
    wrong = "not right" if one.kind == GUESS else "not yet right"  # of a guess the first counts
    said = "no answer yet" if cell is None else f"{'right' if cell else wrong}, tries: {student.tries[one.key]}"
    status = "passed" if cell else "failed"
    return {"name": one.key, "score": int(cell is True), "max_score": 1, "status": status, "output": said}
