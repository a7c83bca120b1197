"""An HTTP proxy before a server of this machine, which does to chosen requests what networks and services do."""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "expect", "proxy-connection", "te", "upgrade"}


@dataclass(frozen=True)
class Answer:
    """The target is not asked; this is the answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Silence:
    """The target is not asked, and nothing is answered until the client goes away."""


@dataclass(frozen=True)
class Delay:
    """The request is passed on after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class CutUpload:
    """Only so many bytes of the request's body reach the target; then both connections break."""

    after: int


@dataclass(frozen=True)
class CutDownload:
    """The answer begins as it should, but breaks off after so many bytes of its body."""

    after: int


@dataclass(frozen=True)
class StallDownload:
    """The answer begins as it should, but after so many bytes of its body nothing more comes."""

    after: int


@dataclass(frozen=True)
class LoseAnswer:
    """The target does what it is asked; the connection breaks before a byte of its answer comes through."""


@dataclass(frozen=True)
class Damage:
    """One byte of the answer's body is another."""

    at: int


@dataclass(frozen=True)
class Change:
    """The answer's body is what the function makes of it."""

    how: Callable[[bytes], bytes]


@dataclass(frozen=True)
class Nothing:
    """Passed on as it is: the first so many requests before the one that a next rule is about."""


Fault = Change | Nothing | Answer | Silence | Delay | CutUpload | CutDownload | StallDownload | LoseAnswer | Damage


@dataclass(frozen=True)
class Seen:
    """A request as it came in, and what was done to it."""

    method: str
    path: str  # with the query
    headers: Mapping[str, str]  # names in small letters
    fault: Fault | None


@dataclass
class _Rule:
    fault: Fault
    method: str
    path: re.Pattern[str]
    times: float


class FaultProxy:
    """A proxy on a free port of loopback. `url` stands for the target's; `seen` is every request in order.

    It passes on what no rule is about. The client's Host header stays, so that addresses which the target makes from it
    lead through the proxy too.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self.target = (parts.hostname or "", parts.port or 80)
        self.seen: list[Seen] = []
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Break all connections and end."""
        self._server.shutdown()
        self._thread.join()
        self._server.break_connections()
        self._server.server_close()  # waits for the threads of the connections

    def rule(self, fault: Fault, *, method: str = ".*", path: str = "", times: float = float("inf")) -> None:
        """Do this to the next so many requests of this method with this in their path (regular expressions)."""
        self._rules.append(_Rule(fault, method, re.compile(path), times))

    def count(self, method: str = ".*", path: str = "") -> int:
        """How many such requests came in."""
        return len(self.matching(method, path))

    def matching(self, method: str = ".*", path: str = "") -> list[Seen]:
        return [one for one in self.seen if re.fullmatch(method, one.method) and re.search(path, one.path)]

    def note(self, method: str, path: str, headers: Mapping[str, str]) -> Fault | None:
        """Count the request; the fault of the first rule that is about it."""
        with self._lock:
            fault = None
            for rule in self._rules:
                if rule.times > 0 and re.fullmatch(rule.method, method) and rule.path.search(path):
                    rule.times -= 1
                    fault = rule.fault
                    break
            self.seen.append(Seen(method, path, headers, fault))
            return fault


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        self.stopping.set()
        with self._lock:
            for connection in self._open:
                _break(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _pass_on(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = self.server.proxy.note(self.command, self.path, headers)
        if isinstance(fault, CutUpload):
            self._cut_upload(fault.after)
            return
        body = self._body()
        match fault:
            case Silence():
                self._wait_for_the_end()
                return
            case Answer():
                self._answer(fault.status, fault.headers, fault.body)
                return
            case Delay():
                self.server.stopping.wait(fault.seconds)
        target = self._ask()
        try:
            target.endheaders(body)
            answer = target.getresponse()
            if isinstance(fault, LoseAnswer):
                answer.read()
                self._break()
            else:
                self._relay(answer, fault)
        finally:
            target.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _pass_on  # noqa: N815 (http.server's names)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return body

    def _ask(self) -> http.client.HTTPConnection:
        """A connection to the target on which the request's head is ready to be sent."""
        target = http.client.HTTPConnection(*self.server.proxy.target, timeout=60)
        target.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _OF_THE_CONNECTION:
                target.putheader(name, value)
        return target

    def _cut_upload(self, after: int) -> None:
        target = self._ask()
        try:
            target.endheaders(self.rfile.read(after))
        finally:
            target.close()
            self._break()

    def _relay(self, answer: http.client.HTTPResponse, fault: Fault | None) -> None:
        body = answer.read()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in _OF_THE_CONNECTION}
        if isinstance(fault, Change):
            body = fault.how(body)
            headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        if isinstance(fault, Damage):
            body = body[: fault.at] + bytes([body[fault.at] ^ 1]) + body[fault.at + 1 :]
        if isinstance(fault, (CutDownload, StallDownload)):
            self._head(answer.status, headers, len(body))
            self.wfile.write(body[: fault.after])
            if isinstance(fault, StallDownload):
                self._wait_for_the_end()
            self._break()
        else:
            self._answer(answer.status, headers, body)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._head(status, headers, len(body))
        self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str], length: int) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in map(str.lower, headers) and status >= 200 and status not in (204, 304):
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _wait_for_the_end(self) -> None:
        """Until the client has had enough."""
        self.connection.recv(1)
        self.close_connection = True

    def _break(self) -> None:
        self.wfile.flush()
        _break(self.connection)
        self.close_connection = True


def _break(connection: socket.socket) -> None:
    with suppress(OSError):  # it is broken already
        connection.shutdown(socket.SHUT_RDWR)
