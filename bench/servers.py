"""Servers that contenders ask, each on a free port of this machine, with all that it keeps in a folder of its own."""

from __future__ import annotations

import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_PATIENCE = 120.0  # seconds until a server answers
LUIGID = (sys.executable, "-m", "scheduler", "--state-path", "state", "--port")  # ours
_PREFECT = ("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port")


class EndedEarlyError(Exception):
    """A contender did not do its work to the end; what the others spent is worth having all the same."""


# The address that its clients are given, and what tells the CPU seconds that it spent since it was ready.
Serving = tuple[str, Callable[[], float]]


def prefect_settings(work: Path) -> dict[str, str]:
    """The environment of Prefect's programs, server and clients: its home is in the folder, not the user's."""
    return {**os.environ, "PYTHONWARNINGS": "ignore", "PREFECT_HOME": str(work / "prefect")}


def luigid(
    work: Path, environment: Mapping[str, str], command: Sequence[str] = LUIGID
) -> AbstractContextManager[Serving]:
    """Ours, or whose `command` it is, without its port."""
    return served(command, work, environment, health="/api/is_paused")


def prefect_server(python: str, work: Path, environment: Mapping[str, str]) -> AbstractContextManager[Serving]:
    """Prefect's, of the environment that `python` is of."""
    return served([python, *_PREFECT], work, environment, base="/api", health="/health")


@contextmanager
def served(
    command: Sequence[str], work: Path, environment: Mapping[str, str], *, base: str = "", health: str
) -> Iterator[Serving]:
    """A server for as long as the block lasts. `command` is without its port; clients ask below `base`.

    EndedEarlyError if it does not answer at `base` + `health`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (work / "log").open("wb") as log:
        process = psutil.Popen([*command, str(port)], cwd=work, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}{base}"
    try:
        deadline = time.monotonic() + _PATIENCE
        while not _answers(url + health):
            if process.poll() is not None or time.monotonic() > deadline:
                raise EndedEarlyError(f"{' '.join(command)} does not answer: {(work / 'log').read_text()[-2_000:]}")
            time.sleep(0.1)
        before = _cpu(process)
        yield url, lambda: _cpu(process) - before
    finally:
        family = [process, *process.children(recursive=True)] if process.is_running() else []
        for one in family:
            one.terminate()
        for one in psutil.wait_procs(family, timeout=30)[1]:
            one.kill()
        process.wait()


def _cpu(process: psutil.Process) -> float:
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310  # the address is ours
            return True
    except (urllib.error.URLError, OSError):
        return False
