"""luigid as it runs in production."""

from __future__ import annotations

import http.server
import re
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.scheduler.server import Luigid

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def test_what_it_knows_outlives_sigterm(luigid: Luigid) -> None:
    """Tasks, their workers and what they need; the exit code is 0."""
    luigid.start()
    luigid.add("B_1", deps=["A_1"], priority=3)
    luigid.add("A_1")
    assert luigid.ask("get_work", worker="w", host="h", current_tasks=[])["task_id"] == "A_1"
    before = luigid.ask("task_list")
    assert luigid.end() == 0
    luigid.start()
    assert luigid.ask("task_list") == before
    luigid.add("A_1", "DONE")
    assert luigid.ask("get_work", worker="w", host="h", current_tasks=[])["task_id"] == "B_1"


def test_a_damaged_state_costs_a_line(luigid: Luigid) -> None:
    """Half a file is as none: luigid begins anew, says so once, and works."""
    luigid.start()
    luigid.add("A_1")
    luigid.end()
    path = luigid.state / "luigid.json"
    path.write_bytes(path.read_bytes()[:-20])
    luigid.start()
    assert luigid.ask("task_list") == {}
    assert len(luigid.told("is damaged")) == 1
    assert "Traceback" not in luigid.log
    luigid.add("A_1")
    luigid.end()
    luigid.start()
    assert list(luigid.ask("task_list")) == ["A_1"]


def test_a_kill_loses_little(luigid: Luigid) -> None:
    """What was there when the file was last written is there again after SIGKILL, whatever lies beside the file."""
    luigid.start()
    luigid.add("A_1")
    luigid.end()
    luigid.start()
    luigid.add("A_2")
    (luigid.state / "luigid.json.abc.part").write_text("half")
    luigid.end(signal.SIGKILL)
    luigid.start()
    assert list(luigid.ask("task_list")) == ["A_1"]
    assert [path.name for path in luigid.state.glob("luigid.json*")] == ["luigid.json"]


def test_a_full_disk_does_not_stop_it(luigid: Luigid) -> None:
    """A state that cannot be written is told in a line; nothing half-written stays."""
    luigid.start()
    luigid.add("A_1")
    shutil.rmtree(luigid.state)
    luigid.state.write_text("no folder")
    assert luigid.end() == 0
    assert luigid.told("cannot be saved")
    assert "Traceback" not in luigid.log


def test_health_tells_by_its_exit_code(luigid: Luigid) -> None:
    """0 while it answers, 1 when it does not, 1 when something else answers."""
    luigid.start()
    assert luigid.health().returncode == 0
    luigid.end()
    done = luigid.health()
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    with http.server.HTTPServer(("127.0.0.1", luigid.port), http.server.SimpleHTTPRequestHandler) as other:
        answering = threading.Thread(target=other.handle_request)
        answering.start()
        done = luigid.health()
        answering.join()
    assert done.returncode == 1
    assert "is not luigid" in done.stderr


def test_a_taken_port_is_told_in_a_sentence(luigid: Luigid) -> None:
    """And the exit code is 1."""
    with socket.create_server(("127.0.0.1", luigid.port)):
        done = luigid.run()
    assert done.returncode == 1
    assert re.search(r"cannot listen at 127.0.0.1:\d+ .*give another --port", done.stderr)
    assert "Traceback" not in done.stderr


def test_a_history_that_cannot_be_kept_is_told_in_a_sentence(luigid: Luigid) -> None:
    """luigid does not start, and says where it wanted to write and what to do."""
    config = luigid.folder / "luigi.cfg"
    config.write_text(re.sub("db_connection = .*", "db_connection = sqlite:////proc/none/tasks.db", config.read_text()))
    done = luigid.run()
    assert done.returncode == 1
    assert "the history of tasks cannot be kept in sqlite:////proc/none/tasks.db" in done.stderr
    assert "Traceback" not in done.stderr


def test_prometheus_counts_tasks(luigid: Luigid) -> None:
    """Started, done and failed by family; a task that failed without having run is counted and its call answered."""
    luigid.start()
    luigid.add("A_1")
    assert luigid.ask("get_work", worker="w", host="h", current_tasks=[])["task_id"] == "A_1"
    luigid.add("A_1", "DONE")
    luigid.add("B_1", "FAILED")
    told = luigid.page("/metrics").splitlines()
    assert 'luigi_task_started_total{family="A"} 1.0' in told
    assert 'luigi_task_done_total{family="A"} 1.0' in told
    assert 'luigi_task_failed_total{family="B"} 1.0' in told
    assert luigid.ask("task_list")["B_1"]["status"] == "FAILED"


def test_calls_are_not_logged(luigid: Luigid) -> None:
    """A line for each of a graph's thousands of calls would be all that there is in the log."""
    luigid.start()
    luigid.add("A_1")
    assert "/api/" not in luigid.log


@pytest.mark.skipif(CHROMIUM is None, reason="skipped: there is no Chromium on this machine")
def test_the_page_shows_tasks_and_workers(luigid: Luigid, tmp_path: Path) -> None:
    """Luigi's page in a browser, with the tasks that our scheduler knows."""
    assert CHROMIUM
    luigid.start()
    luigid.add("Load_1", deps=["Ingest_1"])
    luigid.add("Ingest_1", "DONE")
    page = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"),
            *("--virtual-time-budget=8000", "--dump-dom", f"{luigid.address}/static/visualiser/index.html"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    assert ">Load<" in page
    assert ">Ingest<" in page
    assert "PENDING" in page
    assert "DONE" in page
