"""A BigQuery of this machine: REST and Storage Read as google's own clients speak them, without an account.

The work is done by `local-bigquery`, which needs Python 3.13 or newer and versions of libraries that differ from ours.
So it lives in an environment of its own, `.cache/bigquery`, installed from `bigquery.lock` by `make test` (or
`python -m console.standins.bigquery`), and runs as a process. `bigquery_server/` is what that process runs: it corrects
local-bigquery where it differs from BigQuery in what we rely on.

It is itself sqlglot and DuckDB. That a query runs here proves how we talk to BigQuery, not that its SQL is right.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from console.standins.processes import Server

_HERE = Path(__file__).parent
_LOCK = _HERE / "bigquery.lock"
_ENVIRONMENT = _HERE.parents[1] / ".cache" / "bigquery"
_READY = _ENVIRONMENT / "ready"
_OLDEST, _NEWEST = (3, 13), (3, 15)
_PATIENCE = 60.0  # seconds; it takes two or three, more on a machine that is busy


class BigQueryServer:
    """A BigQuery whose tables lie in a folder; made anew on the same folder it has the same tables.

    Ends with this process, even if that is killed. Its log is `<folder>/server.log`.
    """

    rest: str
    """The address of the REST interface, as http://127.0.0.1:9050: `client_options={"api_endpoint": …}`."""
    storage: str
    """Host and port of the Storage Read interface, as 127.0.0.1:9060: for `grpc.insecure_channel`."""

    def __init__(self, folder: Path, python: Path | None = None, gcs: str | None = None) -> None:
        """`gcs` is the address of a stand-in for Cloud Storage, from which load jobs may then read gs:// addresses."""
        self.folder = folder
        self._python = python
        self._gcs = gcs
        self._server: Server | None = None

    def start(self) -> None:
        """Return when it answers. RuntimeError if it is not installed or does not come up."""
        python = self._python or python_for_bigquery()
        if python is None:
            raise RuntimeError("the BigQuery stand-in is not installed: run `python -m console.standins.bigquery`.")
        self.folder.mkdir(parents=True, exist_ok=True)
        addresses = self.folder / "addresses.json"
        addresses.unlink(missing_ok=True)
        command = [str(python), "-I", str(_HERE / "bigquery_server"), str(self.folder), *filter(None, [self._gcs])]
        # Nothing of our environment: local-bigquery takes settings from variables with names such as DATA_DIR.
        self._server = Server(command, self.folder / "server.log", {"PATH": os.defpath, "HOME": str(self.folder)})
        self._server.wait_until(addresses.exists, _PATIENCE)
        told = json.loads(addresses.read_text(encoding="utf-8"))
        self.rest, self.storage = told["rest"], told["storage"]
        self._server.wait_until(lambda: _answers(self.rest), _PATIENCE)

    def stop(self) -> None:
        """End it. Its tables stay in the folder."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> BigQueryServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def python_for_bigquery() -> Path | None:
    """The interpreter of the environment that the stand-in runs in. None if it is not installed."""
    return _ENVIRONMENT / "bin" / "python" if _READY.exists() else None


def install() -> bool:
    """Make the environment from the lock, if a Python is here that can; whether it is there now."""
    python = next(filter(_suits, _pythons()), None)
    if python is None:
        return False
    shutil.rmtree(_ENVIRONMENT, ignore_errors=True)
    subprocess.run([python, "-m", "venv", _ENVIRONMENT], check=True)
    # No dependencies: the lock holds all, and a DuckDB whose extensions can be had from PyPI, which is older than the
    # one local-bigquery asks for.
    pip = [str(_ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(_LOCK)], check=True)
    _READY.touch()
    return True


def _pythons() -> Iterator[str]:
    """Where a new enough Python may be: on the PATH, among those of pyenv, known to uv."""
    versions = [f"{major}.{minor}" for major, minor in ((3, n) for n in range(_OLDEST[1], _NEWEST[1] + 1))]
    for version in versions:
        if found := shutil.which(f"python{version}"):
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in versions:
        yield from map(str, sorted(pyenv.glob(f"{version}.*/bin/python{version}")))
    if uv := shutil.which("uv"):
        for version in versions:
            told = subprocess.run(
                [uv, "python", "find", "--no-python-downloads", version], capture_output=True, text=True, check=False
            )
            if told.returncode == 0:
                yield told.stdout.strip()


def _suits(python: str) -> bool:
    """Whether it runs (pyenv's shims may not), is of a right version, and can make an environment."""
    test = f"import sys, venv, ensurepip; sys.exit(not {_OLDEST} <= sys.version_info[:2] <= {_NEWEST})"
    return subprocess.run([python, "-c", test], capture_output=True, check=False).returncode == 0


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/bigquery/v2/projects", timeout=5):  # noqa: S310  # the address is ours
            return True
    except OSError:
        return False


if __name__ == "__main__":
    try:
        if not install():
            print("skipped: no Python 3.13, the BigQuery stand-in is not installed")
    except subprocess.CalledProcessError:
        sys.exit("error: the BigQuery stand-in could not be installed; what pip says is above.")
