"""The notebooks, opened: JupyterLab on this machine alone, on the first page of the course."""

import json
from pathlib import Path

from mapl_explore.files import atomic_writer
from mapl_explore.serving.server import environment, serve

# Under /doc JupyterLab starts with both side bars folded, so that the first picture has the window to itself.
FIRST_PAGE = "00_start_here.ipynb"
FIRST_PLACE = f"doc/tree/{FIRST_PAGE}"
PACKAGE = Path(__file__).resolve().parents[1]
SHIPPED, CHECKOUT = PACKAGE / "shipped" / "notebooks", PACKAGE.parent / "notebooks"


def open_lab(student: bool = False, browser: bool = True, port: int | None = None) -> None:
    """Serve the notebooks in JupyterLab until ctrl-C, and print the address.

    The server listens on the loopback address only and asks for Jupyter's token, which is part of the address. In a
    checkout the notebooks are served where they are; from an installed package they are first copied to
    ``./mapl_explore_notebooks``, and for students to ``./mapl_explore_student``. An existing file is not changed.

    Parameters
    ----------
    student : bool
        Serve copies to work in: without the solutions (the cells tagged ``solution``) and without outputs.
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
    """Copy the notebooks that the target lacks; an existing one, changed or not, stays as it is.

    Parameters
    ----------
    source, target : Path
        Folders; the target is made if it does not exist.
    student : bool
        Leave out the cells tagged ``solution``, and all outputs: a stored "A is right" would be about our answer.

    Raises
    ------
    OSError
        If a file cannot be read or written.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.ipynb")):
        if not (target / path.name).exists():
            notebook = json.loads(path.read_text(encoding="utf-8"))
            if student:
                notebook["cells"] = [_not_run(cell) for cell in notebook["cells"] if not _is_solution(cell)]
            with atomic_writer(target / path.name) as file:
                json.dump(notebook, file, ensure_ascii=False, indent=1)


def _is_solution(cell: dict) -> bool:
    return "solution" in cell["metadata"].get("tags", ())


def _not_run(cell: dict) -> dict:
    """Return a cell as it is before it was ever run."""
    return cell | {"execution_count": None, "outputs": []} if cell["cell_type"] == "code" else cell


def _notebooks(student: bool) -> Path:
    """Return the folder to serve; make the copies that it needs."""
    source = SHIPPED if SHIPPED.is_dir() else CHECKOUT
    if source == CHECKOUT and not student:
        return CHECKOUT
    target = Path("mapl_explore_student" if student else "mapl_explore_notebooks").resolve()
    copy_notebooks(source, target, student=student)
    return target


def _options(folder: Path) -> list[str]:
    places = [f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/{FIRST_PLACE}"]
    return ["--LabApp.log_level=ERROR", *places]
