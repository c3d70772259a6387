"""A server of ours: on loopback, with a token, the user's settings kept, ended with its kernels."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import pytest
from browser.browsing import APP, STUDENTS, served
from patience import HANG

from mapl_explore.serving import server as serving
from mapl_explore.words import language


def test_the_server_is_on_loopback_only_and_has_a_token():
    command = serving.command_of("jupyterlab", ["--more"], browser=False, port=None)
    assert command[1:3] == ["-m", "jupyterlab"]
    assert {"--ServerApp.ip=127.0.0.1", "--more", "--no-browser"} <= set(command)
    assert len(serving.environment()["JUPYTER_TOKEN"]) == 48
    # Anyone on the machine can read a command line.
    assert not any("token" in word.lower() for word in command)


def test_a_person_keeps_settings_and_token_of_their_own(monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/their/settings")
    monkeypatch.setenv("JUPYTER_PATH", "/their/data")
    monkeypatch.setenv("JUPYTER_TOKEN", "theirs")
    environment = serving.environment()
    assert environment["JUPYTER_TOKEN"] == "theirs"
    assert environment["JUPYTER_CONFIG_PATH"].endswith("/their/settings")
    assert environment["JUPYTER_PATH"].endswith("/their/data")


def test_the_kernels_of_a_server_have_the_language_in_force(monkeypatch):
    monkeypatch.setattr("mapl_explore.words.choice._chosen", None)
    monkeypatch.setenv("MAPL_LANGUAGE", "en")
    language("de")
    assert serving.environment()["MAPL_LANGUAGE"] == "de"


@pytest.mark.parametrize("token", ["two words", " t", "t\n", "Schlüssel", "τ", "\x7f"])
def test_a_token_that_would_not_open_the_page_is_refused_without_showing_it(monkeypatch, token):
    monkeypatch.setenv("JUPYTER_TOKEN", token)
    with pytest.raises(ValueError, match="JUPYTER_TOKEN must be letters, digits and signs of ASCII") as caught:
        serving.environment()
    assert token not in str(caught.value)


def test_a_token_that_is_empty_is_none(monkeypatch):
    monkeypatch.setenv("JUPYTER_TOKEN", "")
    assert len(serving.environment()["JUPYTER_TOKEN"]) == 48


def test_a_port_that_is_asked_for_is_that_port_or_none():
    command = serving.command_of("jupyterlab", [], browser=True, port=9999)
    assert {"--ServerApp.port=9999", "--ServerApp.port_retries=0"} <= set(command)
    assert "--no-browser" not in command


def test_a_server_that_does_not_start_is_an_error_that_says_so():
    server = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    with server, pytest.raises(RuntimeError, match="JupyterLab ended with exit code 3 before it was ready"):
        serving.running_as(server, "JupyterLab")


# Writes its record, as a server does before it takes its port, and ends.
LOST = """
import json, os, pathlib, sys
record = {"url": "http://127.0.0.1:9/", "token": "t"}
pathlib.Path(os.environ["JUPYTER_RUNTIME_DIR"], f"jpserver-{os.getpid()}.json").write_text(json.dumps(record))
sys.exit(1)
"""


@pytest.mark.parametrize(("port", "starts"), [(None, serving.STARTS), (8888, 1)])
def test_a_server_that_lost_its_port_to_another_starts_again_and_no_address_is_printed(
    tmp_path, monkeypatch, capfd, port, starts
):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(serving, "command_of", lambda *_: [sys.executable, "-c", LOST])
    monkeypatch.setattr(serving.signal, "signal", lambda *_: None)
    with pytest.raises(serving.PortTakenError, match="The lab ended with exit code 1 before it was ready"):
        serving.serve("The lab", "jupyterlab", [], "lab", browser=False, port=port)
    assert len(list(tmp_path.iterdir())) == starts
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("starts again") == starts - 1


def test_a_server_that_does_not_answer_us_and_lives_on_is_where_it_says(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(serving, "ALIVE", 0)
    with subprocess.Popen(
        [sys.executable, "-c", LOST.replace("sys.exit(1)", "__import__('time').sleep(600)")]
    ) as server:
        assert serving.running_as(server, "The lab") == {"url": "http://127.0.0.1:9/", "token": "t"}
        server.kill()


def test_servers_that_start_in_the_same_moment_are_each_where_their_address_says(tmp_path):
    program = "from mapl_explore.serving.server import serve; serve('A server', 'jupyter_server', [], '', False, None)"
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        folder.mkdir()
    homes = [os.environ | {"HOME": str(folder), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")} for folder in folders]
    with ExitStack() as stack:
        command, said = [sys.executable, "-c", program], {"stdout": subprocess.PIPE, "text": True}
        each = [subprocess.Popen(command, cwd=one, env=home, **said) for one, home in zip(folders, homes, strict=True)]
        servers = [stack.enter_context(server) for server in each]
        for server in servers:
            stack.callback(server.wait)  # before what it says has no reader any more
            stack.callback(server.send_signal, signal.SIGINT)
        addresses = [urlsplit(server.stdout.readline().split()[-1]) for server in servers]
        assert len({address.port for address in addresses}) == len(servers)
        for address in addresses:
            urlopen(f"http://{address.netloc}/api/status?{address.query}").close()
    assert [server.returncode for server in servers] == [0, 0, 0]


def test_the_address_holds_the_page_and_the_token():
    running = {"url": "http://127.0.0.1:8888/", "token": "t"}
    assert serving.address(running, "doc/one.ipynb") == "http://127.0.0.1:8888/doc/one.ipynb?token=t"


def test_signs_of_a_token_reach_the_server_as_they_are():
    token = "%41+b&c=d#e\"f'g?h/i;j~"
    query = urlsplit(serving.address({"url": "http://127.0.0.1:8888/", "token": token}, "lab")).query
    assert parse_qs(query, strict_parsing=True) == {"token": [token]}


@pytest.fixture
def shutdowns():
    """A server that takes requests and does not end: its record, and what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(200 if self.headers["Authorization"] == "token right" else 403)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"url": f"http://127.0.0.1:{server.server_port}/", "token": "right"}, asked
        server.shutdown()


def test_the_server_is_asked_to_end_without_a_signal_and_past_any_proxy(shutdowns, monkeypatch):
    running, asked = shutdowns
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert serving.asked_to_end(running)
    assert asked == [("/api/shutdown", "token right")]


def test_a_server_that_cannot_be_asked_is_ended_by_a_signal(shutdowns):
    running, _ = shutdowns
    for record in ({}, running | {"token": "wrong"}, {"url": "http://127.0.0.1:9/", "token": "right"}):
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as server:
            serving.end(server, record)
            assert server.returncode == -signal.SIGTERM


def frame(text):
    """A text as a browser sends it through a websocket: masked, here by zeros."""
    data = text.encode()
    return b"\x81" + bytes([0x80 | 126]) + struct.pack(">H", len(data)) + bytes(4) + data


def asked_for_much(host, path):
    """A websocket on which a kernel has begun to send an answer of 20 MB, which nobody reads."""
    reader = socket.create_connection(host, timeout=HANG)
    wanted = f"Host: {host[0]}:{host[1]}\r\nUpgrade: websocket\r\nConnection: Upgrade"
    wanted += "\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13"
    reader.sendall(f"GET {path} HTTP/1.1\r\n{wanted}\r\n\r\n".encode())
    header = {"msg_id": "1", "msg_type": "execute_request", "session": "1", "username": "", "version": "5.3"}
    content = {"code": "", "silent": False, "user_expressions": {"much": "'x' * 20_000_000"}}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    reader.sendall(frame(json.dumps(message)))
    read = b""
    while b"x" * 1000 not in read:
        read = read[-1000:] + reader.recv(1000)
    return reader


@pytest.mark.parametrize("program", [APP, STUDENTS], ids=["app", "lab"])
def test_a_page_that_closes_while_a_kernel_writes_to_it_is_not_told(tmp_path, program):
    with served(tmp_path, program) as address:
        place = urlsplit(address)
        [token] = parse_qs(place.query)["token"]
        kernels = f"http://{place.netloc}/api/kernels?token={token}"
        kernel = json.load(urlopen(Request(kernels, data=b"{}", method="POST")))["id"]
        reader = asked_for_much((place.hostname, place.port), f"/api/kernels/{kernel}/channels?token={token}")
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # as a browser that is killed
        reader.close()
        while json.load(urlopen(kernels))[0]["connections"]:
            time.sleep(0.05)
    assert (tmp_path / "stderr.txt").read_text() == ""
