"""The notebooks, opened: JupyterLab on this machine alone, on the first page of the course."""

from pathlib import Path
from typing import Any

from mapl_explore.course.copies import STUDENTS_FOLDER, hidden_answers, students_copy
from mapl_explore.course.sealed import FILE
from mapl_explore.files import atomic_writer, read_json, write_json
from mapl_explore.serving.server import environment, serve

# Under /doc JupyterLab starts with both side bars folded, so that the first picture has the window to itself.
FIRST_PAGE = "00_start_here.ipynb"
FIRST_PLACE = f"doc/tree/{FIRST_PAGE}"
GLOSSARY = "GLOSSARY.md"  # notebooks link to it by this name
INSTRUCTOR = "INSTRUCTOR.md"  # has the answers of a quiz
PACKAGE = Path(__file__).resolve().parents[1]
SHIPPED, CHECKOUT = PACKAGE / "shipped" / "notebooks", PACKAGE.parent / "notebooks"


def open_lab(student: bool = True, browser: bool = True, port: int | None = None) -> None:
    """Serve the notebooks in JupyterLab until ctrl-C, and print the address.

    The server listens on the loopback address only and asks for Jupyter's token, which is part of the address. Students
    work in copies, in ``./mapl_explore_student``. The teacher's notebooks are served where they are in a checkout, and
    from an installed package as copies in ``./mapl_explore_notebooks``. An existing file is not changed.

    Parameters
    ----------
    student : bool
        Serve copies without solutions, answers and outputs, with a file that recognises right answers; else the
        teacher's notebooks.
    browser : bool
        Open the first page in the browser.
    port : int, optional
        The port; by default the first free one from 8888 on.

    Raises
    ------
    ValueError
        If JUPYTER_TOKEN has signs that an address or a header cannot have; nothing is written.
    OSError
        If the copies cannot be written.
    RuntimeError
        If the server does not start; what it said is on the terminal.

    Examples
    --------
    >>> open_lab(browser=False)  # doctest: +SKIP
    JupyterLab is at http://127.0.0.1:8888/doc/tree/00_start_here.ipynb?token=...
    ctrl-C ends it.
    """
    environment()  # refuses a token before anything is written
    serve("JupyterLab", "jupyterlab", _options(_notebooks(student)), FIRST_PLACE, browser, port)


def copy_notebooks(source: Path, target: Path, *, student: bool = False) -> None:
    """Copy the notebooks that the target lacks, and the texts next to them; an existing file, changed or not, stays.

    Parameters
    ----------
    source, target : Path
        Folders; the target is made if it does not exist.
    student : bool
        Leave out solutions, answers, hints, outputs and the instructor's page, and copy the hidden answers of what is
        copied.

    Raises
    ------
    OSError
        If a file cannot be read or written.
    """
    target.mkdir(parents=True, exist_ok=True)
    lacking = [path for path in sorted(source.glob("*.ipynb")) if not (target / path.name).exists()]
    for path in lacking:
        write_json(target / path.name, students_copy(path) if student else read_json(path))
    for name in (GLOSSARY,) if student else (GLOSSARY, INSTRUCTOR):
        if (source / name).exists() and not (target / name).exists():
            with atomic_writer(target / name, binary=True) as file:
                file.write((source / name).read_bytes())
    if student:
        _copy_answers(source, target / FILE, {path.name[:2] for path in lacking})


def teachers_notebooks() -> Path:
    """Return the folder of the notebooks that have the answers."""
    return SHIPPED if SHIPPED.is_dir() else CHECKOUT


def _copy_answers(source: Path, target: Path, lessons: set[str]) -> None:
    """Copy the hidden answers of the lessons that were copied; those of notebooks that were kept fit them and stay."""
    known = read_json(target) if target.exists() else {}
    fresh = _answers(source) if lessons or not known else {}
    entries = known | {key: entry for key, entry in fresh.items() if key[:2] in lessons or key not in known}
    if entries != known:
        write_json(target, entries)


def _answers(source: Path) -> dict[str, Any]:
    """Return the hidden answers of a folder; where a notebook was written after them, they are looked at again."""
    path = source / FILE
    known = read_json(path) if path.exists() else {}
    written = path.stat().st_mtime if path.exists() else 0.0
    stale = any(notebook.stat().st_mtime > written for notebook in source.glob("*.ipynb"))
    return hidden_answers(source, known) if stale else known


def _notebooks(student: bool) -> Path:
    """Return the folder to serve; make the copies that it needs."""
    source = teachers_notebooks()
    if source == CHECKOUT and not student:
        return CHECKOUT
    target = Path(STUDENTS_FOLDER if student else "mapl_explore_notebooks").resolve()
    copy_notebooks(source, target, student=student)
    return target


def _options(folder: Path) -> list[str]:
    places = [f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/{FIRST_PLACE}"]
    return ["--LabApp.log_level=ERROR", *places]
