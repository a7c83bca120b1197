"""A luigid of this folder, on loopback, that outlives the command that starts it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import luigi.configuration

from dsp_pipeline.errors import DspError
from dsp_pipeline.processes import alive

STATE = Path(".dsp")
_NOTE = STATE / "luigid.json"
_HOST = "127.0.0.1"
_PATIENCE = 30.0  # seconds


def luigis_port() -> int:
    """Where tasks look for luigid if nobody tells them where it is."""
    return int(luigi.configuration.get_config().getint("core", "scheduler-port", 8082))


def start() -> str:
    """The address of the running luigid; one is started if none is. Luigi's own port, or a free one if it is taken."""
    note = _running()
    if note is None:
        STATE.mkdir(exist_ok=True)
        port = _free_port()
        log = (STATE / "luigid.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "scheduler", "--port", str(port), "--state-path", str(STATE / "luigid.state")],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        note = {"pid": process.pid, "port": port}
        _NOTE.write_text(json.dumps(note))
        deadline = time.monotonic() + _PATIENCE
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                _NOTE.unlink(missing_ok=True)
                raise DspError(f"luigid did not start; see {STATE / 'luigid.log'}.")
            time.sleep(0.05)
    return _address(note)


def address() -> str | None:
    """Where the luigid of this folder is; None if none runs."""
    note = _running()
    return _address(note) if note else None


def stop() -> bool:
    """End it and wait until it has saved its state. False if none was running."""
    note = _running()
    _NOTE.unlink(missing_ok=True)
    if note is None:
        return False
    os.kill(note["pid"], signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE
    while _alive(note["pid"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return True


def count(address: str, status: str) -> int:
    """How many tasks luigid knows in this state (PENDING, RUNNING, DONE, FAILED)."""
    found = ask(address, "task_list", status=status, upstream_status="", max_shown_tasks=1)
    return int(found["num_tasks"]) if "num_tasks" in found else len(found)


def ask(address: str, method: str, **arguments: Any) -> Any:
    """Call luigid's own interface, as its page does. DspError if it does not answer."""
    body = json.dumps(arguments).encode()
    request = urllib.request.Request(  # noqa: S310  # the address is ours
        f"{address}/api/{method}", data=b"data=" + urllib.parse.quote(body).encode()
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)["response"]
    except (OSError, ValueError, KeyError) as error:
        raise DspError(f"luigid at {address} does not answer ({error}); see {STATE / 'luigid.log'}.") from error


def _address(note: dict[str, int]) -> str:
    return f"http://{_HOST}:{note['port']}"


def _running() -> dict[str, int] | None:
    try:
        note: dict[str, int] = json.loads(_NOTE.read_text())
    except (OSError, ValueError):
        return None
    return note if _is_luigid(note["pid"]) and _answers(note["port"]) else None


def _is_luigid(process: int) -> bool:
    """Whether a luigid has this number: after a restart of the machine it may be a stranger's."""
    if not _alive(process):
        return False
    told = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(process)], capture_output=True, text=True, check=False)
    return told.returncode != 0 or "-m scheduler" in told.stdout


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{_HOST}:{port}/api/pause_count", timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _free_port() -> int:
    for port in (luigis_port(), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DspError("no free port on this machine.")


def _alive(process: int) -> bool:
    if not alive(process):
        return False
    try:  # a zombie of ours is not alive
        return os.waitpid(process, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return True
