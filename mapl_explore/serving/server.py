"""A Jupyter server on this machine alone: started, its address printed, ended on ctrl-C together with its kernels."""

import json
import math
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from jupyter_core.paths import jupyter_runtime_dir

from mapl_explore.words import VARIABLE, language

# Settings of our servers; the user's own settings stay as they are.
SETTINGS = Path(__file__).resolve().parent / "lab_settings"
OPTIONS = (
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.allow_root=True",  # in a container one is often root, and the server can do no more than a shell there
    "--ServerApp.answer_yes=True",  # ctrl-C ends it; else it asks, and goes on when nobody answers
    "--KernelManager.transport_encryption=auto",  # else each kernel warns on the terminal that it has none
    "--ServerApp.log_level=ERROR",
)
ALIVE = 10  # seconds after its record in which a server that lost its port has ended
STARTS = 5  # of servers that start in the same moment, one gets the port at each try


class PortTakenError(RuntimeError):
    """A server found a port free, and could not have it."""


def serve(name: str, module: str, options: list[str], place: str, browser: bool, port: int | None) -> None:
    """Run a Jupyter server until ctrl-C, and print the address of a page on it.

    It listens on the loopback address only and asks for Jupyter's token, which is part of the address.

    Parameters
    ----------
    name : str
        What is served: the word that is printed before the address.
    module : str
        The server, as ``python -m`` starts it.
    options : list of str
        Options of this server; those of all our servers are added.
    place : str
        The page, below the server's root.
    browser : bool
        Whether the server opens its first page in the browser.
    port : int, optional
        The port; by default the first free one from 8888 on.

    Raises
    ------
    ValueError
        If JUPYTER_TOKEN has signs that an address or a header cannot have.
    RuntimeError
        If the server does not start; what it said is on the terminal.
    """
    # A kill of this process, or a closed terminal, must not leave the server behind.
    for signalled in {"SIGTERM", "SIGHUP"} & set(dir(signal)):
        signal.signal(getattr(signal, signalled), signal.default_int_handler)
    command, more = command_of(module, options, browser, port), STARTS if port is None else 1
    while more:
        more = _served(command, name, place, more - 1)


def _served(command: list[str], name: str, place: str, more: int) -> int:
    """Run a server to its end, and return 0; where its port was taken meanwhile, how often it may start again."""
    # In a session of its own: else ctrl-C reaches it twice, from the terminal and from us, and its clean-up breaks off.
    server, running = subprocess.Popen(command, env=environment(), start_new_session=True), {}
    try:
        running = running_as(server, name)
        print(f"{name} is at {address(running, place)}\nctrl-C ends it.", flush=True)
        server.wait()
    except PortTakenError:
        if not more:
            raise
        print("Another server took the port in the same moment; this one starts again.", file=sys.stderr, flush=True)
        return more
    except KeyboardInterrupt:
        print(f"\n{name} has ended.", flush=True)
    finally:
        end(server, running)
    return 0


def command_of(module: str, options: list[str], browser: bool, port: int | None) -> list[str]:
    """Return the command that starts a server."""
    command = [sys.executable, "-m", module, *OPTIONS, *options]
    if not browser:
        command.append("--no-browser")
    if port is not None:
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    return command


def environment() -> dict[str, str]:
    """Return this process's environment with our settings, a token, and the language in force.

    Raises
    ------
    ValueError
        If there is a token that not every part of Jupyter would take, or MAPL_LANGUAGE is no language that there is.
    """
    # With a token of ours Jupyter does not print a second address of its own.
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(24)
    # In an address the server strips spaces at the ends, and a browser sends no more than Latin-1 in a header.
    if not re.fullmatch("[!-~]+", token):
        raise ValueError(
            "JUPYTER_TOKEN must be letters, digits and signs of ASCII, without spaces; unset it for a new one"
        )
    return (
        os.environ
        | {"JUPYTER_TOKEN": token, VARIABLE: language()}
        | {name: _after(SETTINGS, name) for name in ("JUPYTER_CONFIG_PATH", "JUPYTER_PATH")}
    )


def _after(folder: Path, name: str) -> str:
    """Return one of our folders and, after it, those that a variable of the environment lists."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get(name)])])


def running_as(server: subprocess.Popen, name: str) -> dict:
    """Return the server's own record of where it is, once it answers there.

    A server looks for a free port, writes its record, and then takes the port, which another may have taken meanwhile.
    One that lives on without an answer counts as well: a user's own settings may ask for a certificate or a password.

    Raises
    ------
    RuntimeError
        If the server has ended: a PortTakenError where it had written its record.
    """
    record, running = Path(jupyter_runtime_dir()) / f"jpserver-{server.pid}.json", {}
    written = math.inf
    while True:
        ended = server.poll() is not None
        with suppress(FileNotFoundError, json.JSONDecodeError):  # not there yet, or half written
            running = json.loads(record.read_text(encoding="utf-8"))
        if ended:
            kind = PortTakenError if running else RuntimeError
            raise kind(f"{name} ended with exit code {server.returncode} before it was ready")
        if running:
            written = min(written, time.monotonic())
            if _asked(running, "api/status", "GET") or time.monotonic() - written > ALIVE:
                return running
        time.sleep(0.01)  # a server that does not get its port takes its record away in some hundredths of a second


def address(running: dict, place: str) -> str:
    """Return the address of a page on a running server."""
    return f"{running['url']}{place}?token={quote(running['token'], safe='')}"


def end(server: subprocess.Popen, running: dict) -> None:
    """Let the server end its kernels; one that hangs is killed."""
    # A signal ends it too, but it would then call that critical on the terminal.
    if server.poll() is None and not asked_to_end(running):
        server.terminate()
    try:
        server.wait(timeout=15)
    except subprocess.TimeoutExpired:
        server.kill()


def asked_to_end(running: dict) -> bool:
    """Ask the server to shut down, as its File menu does; return whether it will."""
    return bool(running) and _asked(running, "api/shutdown", "POST")


def _asked(running: dict, place: str, method: str) -> bool:
    """Return whether a server takes a request that carries its token."""
    headers, data = {"Authorization": f"token {running['token']}"}, b"" if method == "POST" else None
    request = Request(f"{running['url']}{place}", data=data, headers=headers, method=method)
    try:
        # Without proxies: a proxy cannot reach this machine's own loopback address.
        build_opener(ProxyHandler({})).open(request, timeout=15).close()
    except (OSError, HTTPException):
        return False
    return True
