"""The map of the course: what is done of each lesson, and how many minutes are left."""

import re
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from mapl_explore.course.marks import FILE, read_marks
from mapl_explore.course.questions import read_notebook
from mapl_explore.words import _, ngettext

SECTION = re.compile(r"^## (\d+) · (.*) \((\d+) minutes?\)$", re.MULTILINE)
CELL = '<td style="text-align: left">'  # JupyterLab puts the words of a table at its right
KEY = re.compile(r'key="([^"]+)"')


@dataclass(frozen=True)
class Section:
    """A section of a lesson: its number, its title, its minutes, the names of its questions, and whether it is done."""

    number: int
    title: str
    minutes: int
    keys: tuple[str, ...]
    done: bool = False


@dataclass(frozen=True)
class CourseMap:
    """The sections of each notebook of a folder, by the notebook's name; made by :func:`course_map`."""

    lessons: dict[str, list[Section]]

    def __repr__(self) -> str:
        """Return one line for each lesson."""
        width = max(map(len, self.lessons), default=0)
        return "\n".join(f"{name:{width}}  {_ticks(all_)}  {_left(all_)}" for name, all_ in self.lessons.items())

    def _repr_html_(self) -> str:
        rows = "".join(  # a name may be broken: on a phone the ticks need the room
            f'<tr>{CELL}<a href="{escape(name)}.ipynb">{escape(name).replace("_", "_<wbr>")}</a></td>'
            f"{CELL}{_ticks(sections)}</td>{CELL}{_left(sections)}</td></tr>"
            for name, sections in self.lessons.items()
        )
        return f"<table>{rows}</table>"


def course_map(folder: Path | None = None) -> CourseMap:
    """Return what is done of the notebooks of a folder, by what is kept in its ``marks.json``.

    A section is done (✓) when all its questions have an answer; one without questions when a later one of the lesson
    has an answer, or all of the lesson are answered. What is left is the sum of the minutes of the others.

    Parameters
    ----------
    folder : Path, optional
        That of the notebook by default.

    Raises
    ------
    OSError, ValueError
        If the marks or a notebook cannot be read.
    """
    folder = Path.cwd() if folder is None else folder
    answers = read_marks(folder / FILE)["answers"] if (folder / FILE).exists() else {}
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    return CourseMap({path.stem: _marked(_sections(path), set(answers)) for path in paths})


def _sections(path: Path) -> list[Section]:
    """Return the sections of a notebook, with the questions that stand in them."""
    found: list[Section] = []
    for cell in read_notebook(path)["cells"]:
        if cell["cell_type"] == "markdown":
            found += [Section(int(k), title, int(time), ()) for k, title, time in SECTION.findall(cell["source"])]
        elif found and (keys := KEY.findall(cell["source"])):
            found[-1] = replace(found[-1], keys=(*found[-1].keys, *keys))
    return found


def _marked(sections: list[Section], answered: set[str]) -> list[Section]:
    """Return the sections with what is done of them."""
    begun = [place for place, one in enumerate(sections) if answered & set(one.keys)]
    whole = answered >= {key for one in sections for key in one.keys}  # of the first page: once anything is answered
    furthest = len(sections) if answered and whole else max(begun, default=0)
    return [
        replace(one, done=set(one.keys) <= answered if one.keys else place < furthest)
        for place, one in enumerate(sections)
    ]


def _ticks(sections: list[Section]) -> str:
    return " ".join(f"{'✓' if one.done else '○'}{one.number}" for one in sections)


def _left(sections: list[Section]) -> str:
    minutes = sum(one.minutes for one in sections if not one.done)
    left = ngettext("{count} minute left", "{count} minutes left", minutes)
    return left.format(count=minutes) if minutes else _("done")
