"""How a worker calls luigid."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from scheduler.worker import Fetcher


class Answering(BaseHTTPRequestHandler):
    """Answers what it was told and who called; keeps a connection until the caller says `bye`."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # as http.server calls it
        told = self.rfile.read(int(self.headers["Content-Length"]))
        text = f"{self.client_address[1]} {self.path} {told.decode()} {self.headers['Authorization']}".encode()
        self.send_response(500 if "fail" in self.path else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.close_connection = b"bye" in told

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as answering:
        thread = threading.Thread(target=answering.serve_forever)
        thread.start()
        yield f"127.0.0.1:{answering.server_port}"
        answering.shutdown()
        thread.join()


def call(fetcher: Fetcher, url: str, data: str = "x") -> tuple[str, ...]:
    """The port of the connection, the path, what was told, and the password."""
    return tuple(fetcher.fetch(url, {"data": data}, 10).split(" ", 3))


def test_calls_go_over_one_connection(server: str) -> None:
    """To all methods, and with the password of the address; one that luigid has closed is opened anew."""
    fetcher = Fetcher()
    first = call(fetcher, f"http://somebody:secret@{server}/api/ping", "a b&c")
    assert first[1:] == ("/api/ping", "data=a+b%26c", "Basic c29tZWJvZHk6c2VjcmV0")
    assert call(fetcher, f"http://{server}/api/get_work", "bye") == (first[0], "/api/get_work", "data=bye", "None")
    again = call(fetcher, f"http://{server}/api/ping")
    assert again[0] != first[0]
    assert call(fetcher, f"http://{server}/api/ping") == again


def test_a_fork_has_a_connection_of_its_own(server: str) -> None:
    """Two processes that write into one would read each other's answers."""
    fetcher = Fetcher()
    mine = call(fetcher, f"http://{server}/api/ping")[0]
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, call(fetcher, f"http://{server}/api/ping")[0].encode())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.read(reading, 100).decode() != mine
    os.close(reading)
    os.close(writing)
    assert call(fetcher, f"http://{server}/api/ping")[0] == mine


def test_what_is_no_answer_is_an_error_that_luigi_knows(server: str) -> None:
    """It tries again after those."""
    fetcher = Fetcher()
    with pytest.raises(requests.HTTPError, match="luigid answered 500 Internal Server Error to http://"):
        call(fetcher, f"http://{server}/api/fail")
    with pytest.raises(fetcher.raises):
        call(fetcher, "http://127.0.0.1:1/api/ping")
