"""Servers that end with whoever started them.

A server is not started directly but by a guard: this file, run as a program, which starts the server and waits for the
end of its own input. That input is a pipe whose other end only the starting process holds. When that process stops the
server, exits or is killed, the pipe closes, and the guard ends the server: no server outlives its owner, whatever
happened to it. (Linux could also send a signal on a parent's death, but it does so at the end of the *thread* that
started the server.)

Only the standard library may be imported here: the guard runs without the installed packages, to be there quickly.
"""

from __future__ import annotations

import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

HOST = "127.0.0.1"
_GRACE = 5.0  # seconds between asking a server to end and ending it
_PAUSE = 0.02


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now. For servers that cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether somebody listens on this port of the loopback interface."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


class Server:
    """A running server program, ended by `stop`, by the end of this process, or by its death."""

    def __init__(self, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None) -> None:
        """Start it. What it prints is appended to the file `log`; `environment` takes the place of ours."""
        self.log = log
        self._name = Path(command[0]).name
        with log.open("ab") as output:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=None if environment is None else {**environment},
                start_new_session=True,  # Ctrl-C is for our process, which then ends the server
            )

    @property
    def running(self) -> bool:
        return self._guard.poll() is None

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return once `ready` is true. RuntimeError, with the end of the log, if it ends before or takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            late = time.monotonic() > deadline
            if late or not self.running:
                self.stop()
                what = f"did not answer within {seconds:g} seconds" if late else "ended at once"
                raise RuntimeError(f"{self._name} {what}; {self.log} ends with:\n{_tail(self.log)}")
            time.sleep(_PAUSE)

    def stop(self) -> None:
        """End it and wait until it has ended. Twice is fine."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.terminate()  # a child that this process forked may still hold the other end of the pipe
        self._guard.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


def _guard(command: list[str]) -> int:
    """Run the command until it ends, our input ends, or we are told to end; its exit status."""
    told: list[int] = []  # and no exception, which could come at a moment at which nobody would end the server
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    with selectors.DefaultSelector() as waiting:
        waiting.register(sys.stdin, selectors.EVENT_READ)
        while server.poll() is None and not told and not waiting.select(timeout=0.1):
            pass
    _end(server)
    return server.returncode


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_GRACE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    sys.exit(_guard(sys.argv[1:]))
