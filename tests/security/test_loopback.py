"""What listens, listens to this machine alone unless it is told otherwise."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from console.standins.processes import accepts, free_port
from console.standins.s3 import S3Server
from tests.e2e.folder import wait_until

PROJECT = Path(__file__).parents[2]
ANY = ("00000000", "0" * 32)


def listening(port: int) -> set[str]:
    """The addresses of this machine, as Linux writes them, on which somebody listens at the port."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            address, at = line.split()[1].rsplit(":", 1)
            if int(at, 16) == port and line.split()[3] == "0A":
                found.add(address)
    return found


def test_luigid_takes_orders_from_this_machine_alone(tmp_path: Path) -> None:
    """It asks nobody who he is."""
    if sys.platform != "linux":
        pytest.skip("skipped: who listens is read from Linux's /proc")
    port = free_port()
    words = [sys.executable, "-m", "scheduler", "--port", str(port), "--state-path", str(tmp_path / "state")]
    process = subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: accepts(port), "luigid")
        assert listening(port) == {"0100007F"}
    finally:
        process.kill()
        process.wait()


def test_stand_ins_listen_to_this_machine_alone() -> None:
    """They ask nobody either."""
    if sys.platform != "linux":
        pytest.skip("skipped: who listens is read from Linux's /proc")
    with S3Server() as server:
        port = int(server.url.rpartition(":")[2])
        assert listening(port) == {"0100007F"}


def test_nothing_of_ours_binds_to_every_address() -> None:
    """But in the container of luigid, whose network says who reaches it."""
    wide = re.compile(r"0\.0\.0\.0|INADDR_ANY|host=\"\"|address=\"\"")
    found = {
        str(path.relative_to(PROJECT))
        for folder in ("dsp_pipeline", "tasks", "targets", "console", "scheduler")
        for path in (PROJECT / folder).rglob("*.py")
        if wide.search(path.read_text())
    }
    assert found == set()
    assert socket.inet_ntoa(b"\x7f\x00\x00\x01") == "127.0.0.1"
