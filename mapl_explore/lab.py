"""The notebooks, opened: JupyterLab on this machine alone, on the first page of the course."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from http.client import HTTPException
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

from jupyter_core.paths import jupyter_runtime_dir

from mapl_explore.data import atomic_writer

# Under /doc JupyterLab starts with both side bars folded, so that the first picture has the window to itself.
FIRST_PAGE = "00_start_here.ipynb"
FIRST_PLACE = f"doc/tree/{FIRST_PAGE}"
PACKAGE = Path(__file__).resolve().parent
SHIPPED, CHECKOUT = PACKAGE / "shipped" / "notebooks", PACKAGE.parent / "notebooks"
# No pop-up about Jupyter's news, several notebooks in tabs from /doc too, and no Voila within the lab, where it does
# nothing but show warnings meant for Jupyter's developers. The user's own settings stay as they are.
SETTINGS = PACKAGE / "lab_settings"
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
        Serve copies to work in: without the solutions (the cells tagged ``solution``) and without outputs.
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
    JupyterLab is at http://127.0.0.1:8888/doc/tree/00_start_here.ipynb?token=...
    ctrl-C ends it.
    """
    # A kill of this process, or a closed terminal, must not leave the server behind.
    for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):
        signal.signal(getattr(signal, name), signal.default_int_handler)
    # In a session of its own: else ctrl-C reaches it twice, from the terminal and from us, and its clean-up breaks off.
    command = _command(_notebooks(student), browser, port)
    server, running = subprocess.Popen(command, env=_environment(), start_new_session=True), {}
    try:
        running = _running(server)
        print(f"JupyterLab is at {_address(running)}\nctrl-C ends it.", flush=True)
        server.wait()
    except KeyboardInterrupt:
        print("\nJupyterLab has ended.", flush=True)
    finally:
        _end(server, running)


def copy_notebooks(source: Path, target: Path, *, student: bool = False) -> None:
    """Copy the notebooks that the target lacks; one that is there, changed or not, stays as it is.

    Parameters
    ----------
    source, target : Path
        Folders; the target is made where there is none.
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
    """Return the folder to serve, with the copies made that it needs."""
    source = SHIPPED if SHIPPED.is_dir() else CHECKOUT
    if source == CHECKOUT and not student:
        return CHECKOUT
    target = Path("mapl_explore_student" if student else "mapl_explore_notebooks").resolve()
    copy_notebooks(source, target, student=student)
    return target


def _command(folder: Path, browser: bool, port: int | None) -> list[str]:
    places = [f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/{FIRST_PLACE}"]
    command = [sys.executable, "-m", "jupyterlab", *OPTIONS, *places]
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


def _running(server: subprocess.Popen) -> dict:
    """Return the server's own record of where it is, once it has written it."""
    record = Path(jupyter_runtime_dir()) / f"jpserver-{server.pid}.json"
    while server.poll() is None:
        try:
            return json.loads(record.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):  # not there yet, or half written
            time.sleep(0.05)
    raise RuntimeError(f"JupyterLab ended with exit code {server.returncode} before it was ready")


def _address(running: dict) -> str:
    """Return the address of the first page."""
    return f"{running['url']}{FIRST_PLACE}?token={running['token']}"


def _end(server: subprocess.Popen, running: dict) -> None:
    """Let the server end its kernels; one that hangs is killed."""
    # A signal ends it too, but it would then call that critical on the terminal.
    if server.poll() is None and not _asked_to_end(running):
        server.terminate()
    try:
        server.wait(timeout=15)
    except subprocess.TimeoutExpired:
        server.kill()


def _asked_to_end(running: dict) -> bool:
    """Ask the server to shut down, as its File menu does; return whether it will."""
    if not running:
        return False
    headers = {"Authorization": f"token {running['token']}"}
    request = Request(f"{running['url']}api/shutdown", data=b"", headers=headers, method="POST")
    try:
        # Without proxies: a proxy cannot reach this machine's own loopback address.
        build_opener(ProxyHandler({})).open(request, timeout=15).close()
    except (OSError, HTTPException):
        return False
    return True
