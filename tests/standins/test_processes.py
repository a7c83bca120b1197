"""The stand-ins are processes that keep what they hold, forget it when asked, and outlive nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from console.standins import processes
from console.standins.bigquery import BigQueryServer
from console.standins.cloud import Cloud
from dsp_pipeline.processes import alive
from tests.e2e.folder import wait_until
from tests.standins.lake import NOON, PROJECT, connect, ids, load, make_table, rows_of


def test_tables_stay_in_the_folder(installed: None, tmp_path: Path) -> None:
    """A server made anew on a folder has the tables of the one before."""
    with BigQueryServer(tmp_path) as first, connect(first) as client:
        client.create_dataset("lake")
        load(client, rows_of(NOON, "a"), f"{make_table(client, 'kept')}$2026112112")
    with BigQueryServer(tmp_path) as second, connect(second) as client:
        assert ids(client, f"{PROJECT}.lake.kept") == ["a"]


def test_a_cloud_forgets_what_it_held(installed: None, tmp_path: Path) -> None:
    """Its dataset can be made again by the next run, also after one that was killed and could forget nothing."""
    data = tmp_path / "bigquery" / "data"
    with Cloud(tmp_path):
        assert data.is_dir()
    assert not data.exists()
    data.mkdir()
    left = data / "left.txt"
    left.write_text("of a run that was killed")
    with Cloud(tmp_path) as cloud:
        assert cloud.tables() == {}
        assert not left.exists()


STARTS_AND_DIES = """
import os, signal, sys
from pathlib import Path
from console.standins.processes import Server
log = Path(sys.argv[1])
server = Server([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"], log)
server.wait_until(lambda: log.read_text().endswith("\\n"), 20)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_does_not_outlive_a_process_that_was_killed(tmp_path: Path) -> None:
    """Its owner gets SIGKILL and can clean nothing up; the server ends all the same."""
    log = tmp_path / "log"
    subprocess.run([sys.executable, "-c", STARTS_AND_DIES, log], check=False)
    server = int(log.read_text())
    wait_until(lambda: not alive(server), "the end of the server", 20)


def test_a_server_that_does_not_start_tells_its_log(tmp_path: Path) -> None:
    """The last lines of the log are in the error."""
    server = processes.Server([sys.executable, "-c", "raise SystemExit('no such disk')"], tmp_path / "log")
    with pytest.raises(RuntimeError, match="no such disk"):
        server.wait_until(lambda: False, 20)
