"""The notebooks, opened: JupyterLab on this machine alone, on the first page of the course."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir

from mapl_explore.data import atomic_writer

FIRST_PAGE = "00_start_here.ipynb"
PACKAGE = Path(__file__).resolve().parent
SHIPPED, CHECKOUT = PACKAGE / "shipped" / "notebooks", PACKAGE.parent / "notebooks"
SETTINGS = PACKAGE / "lab_settings"  # no pop-up about Jupyter's news; the user's own settings stay as they are
OPTIONS = (
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.allow_root=True",  # in a container one is often root, and the server is no more than a shell there
    "--ServerApp.answer_yes=True",  # ctrl-C ends it; else it asks, and goes on when nobody answers
    "--KernelManager.transport_encryption=auto",  # else each kernel warns on the terminal that it has none
    "--ServerApp.log_level=ERROR",
    "--LabApp.log_level=ERROR",
)


def open_lab(student: bool = False, browser: bool = True, port: int | None = None) -> None:
    """Serve the notebooks in JupyterLab until ctrl-C, and print the address.

    The server listens on the loopback address only and asks for Jupyter's token, which is part of the address. In a
    checkout the notebooks are served where they are; from an installed package they are first copied to
    ``./mapl_explore_notebooks``, and for students to ``./mapl_explore_student``. A file that is there stays as it is.

    Parameters
    ----------
    student : bool
        Serve copies without the solutions (the cells tagged ``solution``).
    browser : bool
        Open the first page in the browser.
    port : int, optional
        The port; by default the first free one from 8888 on.

    Raises
    ------
    OSError
        If the copies cannot be written.
    RuntimeError
        If the server does not start; what it said is on the terminal.

    Examples
    --------
    >>> open_lab(browser=False)  # doctest: +SKIP
    JupyterLab is at http://127.0.0.1:8888/lab/tree/00_start_here.ipynb?token=...
    ctrl-C ends it.
    """
    # A kill of this process, or a closed terminal, must not leave the server behind.
    for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):
        signal.signal(getattr(signal, name), signal.default_int_handler)
    # In a session of its own: else ctrl-C reaches it twice, from the terminal and from us, and its clean-up breaks off.
    command = _command(_notebooks(student), browser, port)
    server = subprocess.Popen(command, env=_environment(), start_new_session=True)
    try:
        print(f"JupyterLab is at {_address(server)}\nctrl-C ends it.", flush=True)
        server.wait()
    except KeyboardInterrupt:
        print("\nJupyterLab has ended.", flush=True)
    finally:
        _end(server)


def copy_notebooks(source: Path, target: Path, *, solutions: bool = True) -> None:
    """Copy the notebooks that the target lacks; one that is there, changed or not, stays as it is.

    Parameters
    ----------
    source, target : Path
        Folders; the target is made where there is none.
    solutions : bool
        Whether to keep the cells tagged ``solution``.

    Raises
    ------
    OSError
        If a file cannot be read or written.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.ipynb")):
        if not (target / path.name).exists():
            notebook = json.loads(path.read_text(encoding="utf-8"))
            if not solutions:
                notebook["cells"] = [cell for cell in notebook["cells"] if not _is_solution(cell)]
            with atomic_writer(target / path.name) as file:
                json.dump(notebook, file, ensure_ascii=False, indent=1)


def _is_solution(cell: dict) -> bool:
    return "solution" in cell["metadata"].get("tags", ())


def _notebooks(student: bool) -> Path:
    """Return the folder to serve, with the copies made that it needs."""
    source = SHIPPED if SHIPPED.is_dir() else CHECKOUT
    if source == CHECKOUT and not student:
        return CHECKOUT
    target = Path("mapl_explore_student" if student else "mapl_explore_notebooks").resolve()
    copy_notebooks(source, target, solutions=not student)
    return target


def _command(folder: Path, browser: bool, port: int | None) -> list[str]:
    command = [sys.executable, "-m", "jupyterlab", *OPTIONS, str(folder / FIRST_PAGE)]
    if not browser:
        command.append("--no-browser")
    if port is not None:
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    return command


def _environment() -> dict[str, str]:
    paths = [str(SETTINGS), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    # With a token of ours Jupyter does not print a second address of its own.
    token = {"JUPYTER_TOKEN": os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(24)}
    return os.environ | token | {"JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}


def _address(server: subprocess.Popen) -> str:
    """Return the address of the first page, once the server has said where it is."""
    record = Path(jupyter_runtime_dir()) / f"jpserver-{server.pid}.json"
    while server.poll() is None:
        try:
            running = json.loads(record.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):  # not there yet, or half written
            time.sleep(0.05)
            continue
        return f"{running['url']}lab/tree/{FIRST_PAGE}?token={running['token']}"
    raise RuntimeError(f"JupyterLab ended with exit code {server.returncode} before it was ready")


def _end(server: subprocess.Popen) -> None:
    """Let the server end its kernels; one that hangs is killed."""
    server.terminate()
    try:
        server.wait(timeout=15)
    except subprocess.TimeoutExpired:
        server.kill()
