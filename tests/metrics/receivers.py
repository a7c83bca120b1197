"""Those who listen to a run: a Datadog agent's UDP port, a Pushgateway, and whatever takes a POST."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from tests.e2e.folder import PROJECT, Folder, wait_until
from tests.tasks.small import small_folder

TOOLS = PROJECT / ".cache" / "monitoring"


def watched(folder: Folder, **variables: str) -> Folder:
    """The folder, whose commands run with these variables, as an ECS task has them."""
    plain = folder.environment

    def environment() -> dict[str, str]:
        return {name: value for name, value in plain().items() if not name.startswith("DD_")} | variables

    folder.environment = environment  # type: ignore[method-assign]
    return folder


def small(path: Path, **variables: str) -> Folder:
    """A small team's folder of this kind."""
    return watched(small_folder(path), **variables)


class Agent:
    """A UDP socket. What was sent before `lines` is asked lies in it, as the sender has ended."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])

    def lines(self) -> list[str]:
        got: list[str] = []
        while True:
            try:
                got += self._socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                return got

    def close(self) -> None:
        self._socket.close()


@contextmanager
def agent() -> Iterator[Agent]:
    made = Agent()
    try:
        yield made
    finally:
        made.close()


def found(name: str) -> str | None:
    """A program of Debian's prometheus packages."""
    return shutil.which(name, path=f"{TOOLS / 'debian' / 'usr' / 'bin'}{os.pathsep}{os.environ['PATH']}")


def tool(name: str) -> str:
    """The same; the test is skipped where there is none."""
    program = found(name)
    if program is None:
        pytest.skip(f"skipped: {name} is not there; `make test` gets it where Debian's packages can be had")
    return program


@contextmanager
def pushgateway(folder: Path) -> Iterator[str]:
    """The address of a real one."""
    program, port = tool("prometheus-pushgateway"), free_port()
    address = f"http://127.0.0.1:{port}"
    with (folder / "pushgateway.log").open("wb") as log:
        process = subprocess.Popen([program, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(f"{address}/-/ready"), "the Pushgateway's first answer")
        yield address
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scraped(address: str) -> str:
    """What Prometheus would get."""
    return requests.get(f"{address}/metrics", timeout=10).text


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False


@contextmanager
def posts(status: int = 200) -> Iterator[tuple[str, list[bytes]]]:
    """The address of an HTTP server, and the bodies that it was given."""
    given: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            given.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", given
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
