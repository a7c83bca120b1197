"""An S3 of this machine: moto's server, in memory, without an account.

moto runs as a process of its own. It checks a condition and then writes, which in its many threads is not one step; S3
lets one of racing writers win, so a gate before it lets in one request at a time. moto checks neither signatures nor
policies, nor the If-Match of an upload in parts.

    python -m console.standins.s3 <file>    serve, and write the port into the file
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from console.standins.processes import HOST, Server

_PATIENCE = 60.0  # seconds; it takes two or three, more on a machine that is busy


class S3Server:
    """A running server. Ends with this process, even if that is killed; what it held is gone then."""

    def __init__(self, *, keys_a_page: int = 1_000) -> None:
        """A listing shows `keys_a_page` objects an answer, as S3 does; tests want to see several answers."""
        self._folder = tempfile.TemporaryDirectory(prefix="s3-server-")
        port = Path(self._folder.name) / "port"
        self._server = Server(
            [sys.executable, "-m", __name__, port],
            Path(self._folder.name) / "server.log",
            {**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(keys_a_page)},
        )
        try:
            self._server.wait_until(port.exists, _PATIENCE)
        except BaseException:
            self._folder.cleanup()
            raise
        self.url = f"http://{HOST}:{port.read_text()}"

    @staticmethod
    def settings_of(url: str) -> dict[str, str]:
        """What a boto3 client needs to reach such a server, whatever this process's own AWS settings are."""
        return {
            "endpoint_url": url,
            "region_name": "us-east-1",
            "aws_access_key_id": "standin",
            "aws_secret_access_key": "standin",
        }

    def stop(self) -> None:
        """End it. Twice is fine."""
        self._server.stop()
        self._folder.cleanup()

    def __enter__(self) -> S3Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


class _Gate:
    """A WSGI application before moto's: one whole request at a time."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._turn = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if length := environ.get("CONTENT_LENGTH"):
            with suppress(OSError):  # moto refuses a body that is shorter than was announced
                environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(length)))
        with self._turn:
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer


def _serve(port: Path) -> None:
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = DomainDispatcherApplication(create_backend_app)
    server = make_server(HOST, 0, _Gate(moto), threaded=True, request_handler=MotoRequestHandler)
    aside = port.with_suffix(".new")
    aside.write_text(str(server.port))
    aside.rename(port)
    server.serve_forever()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
