"""The command ``marks``, and its options."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from mapl_explore.cli.outputs import add_overwrite, require_new

FORMATS = {"csv": ".csv", "gradescope": ".json"}  # with the suffix of the file


def add_marks(commands: argparse._SubParsersAction) -> None:
    """Add ``marks`` to the commands of the command line."""
    text = "Make one table of what a class has answered in the course, question by question."
    example = "mapl-explore marks class/* --out class.csv"
    parser = commands.add_parser("marks", help=text, description=text, example=example)
    add = parser.add_argument
    add(
        "folders",
        metavar="FOLDER",
        nargs="+",
        help="a student's folder, with the marks.json of the notebooks in it; or such a file, by any name",
    )
    add("--out", metavar="FILE", help="where the table is written; by default it is printed")
    add_overwrite(parser, "FILE")
    add("--lessons", metavar="01,02", help="these lessons only; by default all that have questions")
    add("--format", choices=FORMATS, default="csv", help="gradescope: the results.json of one student")
    parser.set_defaults(run=_marks, extra="lab")


def _marks(arguments: argparse.Namespace) -> None:
    from mapl_explore.course.class_table import course_questions, of_lessons, read_class, restricted
    from mapl_explore.files import counted
    from mapl_explore.serving.lab import teachers_notebooks

    folders = [Path(folder) for folder in arguments.folders]
    _check_options(folders, arguments)
    everything = course_questions(teachers_notebooks())
    questions = of_lessons(everything, arguments.lessons)
    students, faults = read_class(folders, everything)
    for fault in faults:
        print(f"passed over: {fault}", file=sys.stderr)
    for student in students:
        if student.unknown:
            print(f"note: {student.folder}: the course has no {', '.join(student.unknown)}", file=sys.stderr)
    if students:
        _write(arguments, [restricted(one, questions) for one in students], questions)
        print(f"{counted(len(students), 'student')}, {counted(len(questions), 'question')}", file=sys.stderr)
    if faults:
        sys.stdout.flush()
        raise ValueError(f"{len(faults)} of {counted(len(folders), 'folder')} could not be read")


def _check_options(folders: list[Path], arguments: argparse.Namespace) -> None:
    from mapl_explore.course.class_table import places_of
    from mapl_explore.files import require_other

    places = [[path.resolve() for path in places_of(folder)] for folder in folders]
    counts = Counter(place for some in places for place in some)
    for folder, some in zip(folders, places, strict=True):
        if any(counts[place] > 1 for place in some):
            raise ValueError(f"each FOLDER must be given once, and {str(folder)!r} is twice")
    if arguments.format == "gradescope" and len(folders) > 1:
        raise ValueError(
            f"--format gradescope takes one FOLDER, as results.json is that of one student, not {len(folders)}"
        )
    if arguments.out is not None:
        _require_name(Path(arguments.out), arguments.format)
        for path in (path for folder in folders for path in places_of(folder)):
            require_other(path, arguments.out)
    require_new("--out", arguments.out, arguments)


def _require_name(out: Path, form: str) -> None:
    """Raise for a name that another program would read as something else."""
    if out.suffix.lower() != FORMATS[form]:
        raise ValueError(f"--out must end in {FORMATS[form]} with --format {form}, not {str(out)!r}")


def _write(arguments: argparse.Namespace, students: list, questions: list) -> None:
    import json

    from mapl_explore.course.class_table import as_csv, as_gradescope
    from mapl_explore.files import write_or_print

    if arguments.format == "csv":
        text = as_csv(students, questions)
        text = (
            text if arguments.out is None else "\ufeff" + text
        )  # without this mark Excel takes UTF-8 for another code
    else:
        text = json.dumps(as_gradescope(students[0], questions), ensure_ascii=False, indent=1) + "\n"
    write_or_print(text, arguments.out)
