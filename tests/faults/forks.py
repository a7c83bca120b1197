"""Commands that start within milliseconds, and that can be killed just before the n-th thing that they do to the world.

Each runs in a fork of one process that has imported luigi, our tasks and all libraries. What it does to the world is
what Python's audit events tell: a file opened for writing, moved, linked, removed, a folder made, bytes sent to a
server. Killed before each of them in turn, a command has died at every boundary between two writes; what DuckDB and
Arrow write by themselves lies between two such boundaries, and is met by kills at random times.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.e2e.warm import end_after

PATIENCE = 900.0  # seconds after which a command that has not ended is wrong
KILLED = -signal.SIGKILL
_CHANGES = frozenset(
    {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.utime", "http.client.send"}
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Ended:
    """`code` is negative where a signal ended it. `events` is what it did to the world, in order."""

    code: int
    text: str
    events: tuple[str, ...]

    @property
    def killed(self) -> bool:
        return self.code == KILLED


class Fork:
    """A command that runs. `Forks.wait` ends it."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.pid, self._folder = pid, folder

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def ended(self, seconds: float | None = None) -> Ended:
        """Wait for it. With `seconds` it is killed if it has not ended by then."""
        told = _ask({"wait": self.pid, "seconds": PATIENCE if seconds is None else seconds})
        # Neither is there if it was killed at once.
        output, events = self._folder / "output", self._folder / "events"
        text = output.read_text(errors="replace") if output.exists() else ""
        if seconds is None and told["late"]:
            raise AssertionError(f"the command did not end within {PATIENCE:g} seconds:\n{text}")
        return Ended(told["code"], text, tuple(events.read_text().splitlines()) if events.exists() else ())


def start(
    *words: str,
    folder: Path,
    environment: Mapping[str, str],
    kill_at: int | None = None,
    act: str = "luigi",
    skew: timedelta = timedelta(),
    host: str | None = None,
) -> Fork:
    """`luigi --module tasks WORDS` in this folder, or another act (see `_ACTS`), running.

    With `kill_at` it dies before the n-th thing (from 0) that it does to the world; `skew` is how far its clock is off,
    `host` the name of the machine that it takes itself to be on.
    """
    told = Path(tempfile.mkdtemp(prefix="fork-"))
    asked = {"words": words, "folder": str(folder), "environment": {**environment}, "kill_at": kill_at, "act": act}
    return Fork(_ask({**asked, "skew": skew.total_seconds(), "host": host, "told": str(told)})["pid"], told)


def run(*words: str, folder: Path, environment: Mapping[str, str], **more: Any) -> Ended:
    """The same, until it ends."""
    return start(*words, folder=folder, environment=environment, **more).ended()


def _ask(order: Mapping[str, Any]) -> dict[str, Any]:
    server = _server()
    assert server.stdin and server.stdout
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    answer: dict[str, Any] = json.loads(server.stdout.readline())
    return answer


@cache
def _server() -> subprocess.Popen[str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("LUIGI", "DSP", "PYTEST", "AWS"))}
    with tempfile.TemporaryDirectory() as home:  # no luigi.cfg, and nothing of a user
        server = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            text=True,
            env={**keep, "HOME": home, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
    atexit.register(server.communicate)  # the end of its input is its end
    return server


# What follows runs in the server and its forks.


def _serve() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = _waited(order["wait"], order["seconds"])
        elif child := os.fork():
            answer = {"pid": child}
        else:
            _become(order)
            return
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _waited(child: int, seconds: float) -> dict[str, Any]:
    """Its exit code; whether it was killed because it was late."""
    handle = os.pidfd_open(child)
    try:
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        late = not waiting.poll(seconds * 1000)
        if late:
            os.kill(child, signal.SIGKILL)
        return {"code": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "late": late}
    finally:
        os.close(handle)


def _become(order: dict[str, Any]) -> None:
    """Be the command, to its end or to the moment at which it is to die."""
    os.setsid()
    told = order["told"]
    for number, place in ((0, os.devnull), (1, f"{told}/output"), (2, f"{told}/output")):
        opened = os.open(place, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    tempfile.tempdir = None
    if order["skew"]:
        _skewed(order["skew"])
    if order["host"]:
        socket.gethostname = lambda: order["host"]
    from luigi.configuration import LuigiConfigParser

    LuigiConfigParser._instance = None
    record = os.open(f"{told}/events", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    sys.addaudithook(_Killer(record, order["kill_at"]))
    end_after(lambda: sys.exit(_ACTS[order["act"]](order["words"])))


class _Killer:
    """Notes each event that changes the world, and ends the process before the one that it is to end at."""

    def __init__(self, record: int, at: int | None) -> None:
        self._record, self._at, self._seen = record, at, 0

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if event not in _CHANGES and not (event == "open" and _writes(given)):
            return
        if self._seen == self._at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._seen += 1
        what = given[0] if event != "http.client.send" else bytes(given[1])[:60] if isinstance(given[1], bytes) else ""
        os.write(self._record, f"{event} {what!r}\n".encode())


def _writes(given: tuple[Any, ...]) -> bool:
    path, _, flags = given
    return bool(isinstance(flags, int) and flags & _WRITING and not str(path).startswith(("/dev/", "/proc/")))


def _skewed(seconds: float) -> None:
    """A clock of the system that is off: what time.time() and datetime.now() tell, which is all that we ask.

    grpc computes deadlines in Python and keeps them in C, by the system's own clock, so it keeps that one in both.
    """
    import datetime as module

    from grpc import _channel

    true_time, true_ns, true = time.time, time.time_ns, module.datetime
    vars(_channel)["time"] = SimpleNamespace(**vars(time))
    time.time = lambda: true_time() + seconds
    time.time_ns = lambda: true_ns() + int(seconds * 1e9)

    class Skewed(true):  # type: ignore[valid-type, misc]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return true.now(tz) + timedelta(seconds=seconds)

    ours = ("console", "dsp_pipeline", "tasks", "targets")
    for name, found in list(sys.modules.items()):
        if name.startswith(ours) and getattr(found, "datetime", None) is true:
            vars(found)["datetime"] = Skewed


def _luigi(words: list[str]) -> int:
    from luigi.cmdline import luigi_run

    sys.argv = ["luigi", *words]
    luigi_run(["--module", "tasks", *words])  # type: ignore[no-untyped-call]
    return 0


def _janitor(words: list[str]) -> int:
    """Print what the janitor finds tomorrow of all until then, a line each; with the word `remove` it is removed."""
    from console.needed import Household
    from tasks.settings import platform

    _skewed(timedelta(days=1).total_seconds())
    household = Household(platform(), datetime.now(UTC) + timedelta(days=1))
    needed = household.needed()
    assert not needed.doubts, needed.doubts
    found = [one.address for one in household.sweep(needed)]
    if "remove" in words:
        list(household.sweep(needed, frozenset(found)))
    for address in found:
        sys.stdout.write(f"found {address}\n")
    return 0


def _dsp(words: list[str]) -> int:
    from console import dsp

    sys.argv = ["dsp", *words]
    dsp.main()
    return 0


def _sweep(words: list[str]) -> int:
    """Remove the tables whose addresses are of this form."""
    from tasks.settings import platform

    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for _ in platform().warehouse.sweep(lambda table: not re.fullmatch(words[0], table), tomorrow, remove=True):
        pass
    return 0


_ACTS = {"luigi": _luigi, "janitor": _janitor, "dsp": _dsp, "sweep": _sweep}
# grpc does not survive a fork once it is used, and reads by itself; so each command that needs it imports it.
_LIBRARIES = (
    *("boto3", "botocore.config", "duckdb", "luigi.cmdline", "matplotlib.figure", "matplotlib.backends.backend_svg"),
    *("onnx", "onnxruntime", "pyarrow.compute", "pyarrow.parquet", "requests", "sklearn.linear_model"),
    *("sqlglot", "tenacity", "xgboost", "jinja2", "google.cloud.bigquery", "console.needed", "tasks"),
    *("dsp_pipeline.registry.card", "dsp_pipeline.registry.onnx_model", "dsp_pipeline.registry.bundle"),
    *("dsp_pipeline.training.fit", "dsp_pipeline.replay", "dsp_pipeline.warehouse.duckdb", "dsp_pipeline.storage.s3"),
    *("dsp_pipeline.registry.parity", "dsp_pipeline.quality.files", "dsp_pipeline.quality.inspection"),
)

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as nowhere:
        os.chdir(nowhere)
        for library in _LIBRARIES:
            importlib.import_module(library)
        os.chdir("/")
    gc.freeze()  # a fork that collects would copy all of it
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    _serve()
    os._exit(0)
