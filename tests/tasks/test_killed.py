"""What a new run does about tasks whose worker was killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from luigi.scheduler import Scheduler

from tasks.killed import _release


def worker(process: int, host: str | None = None) -> str:
    return f"Worker(salt=1, workers=1, host={host or socket.gethostname()}, username=somebody, pid={process})"


def ended() -> int:
    """The number of a process that was there and is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("host", "dead", "status"), [(None, True, "FAILED"), (None, False, "RUNNING"), ("elsewhere", True, "RUNNING")]
)
def test_only_tasks_of_dead_processes_of_this_machine_are_released(host: str | None, dead: bool, status: str) -> None:
    """Released means failed, which the new run's planning makes pending at once."""
    scheduler = Scheduler()
    owner = worker(ended() if dead else os.getpid(), host)
    scheduler.add_task(worker=owner, task_id="one", family="One", params={})
    assert scheduler.get_work(worker=owner)["task_id"] == "one"
    _release(scheduler)
    assert list(scheduler.task_list(status, "")) == ["one"]
    if status == "FAILED":
        scheduler.add_task(worker=worker(os.getpid()), task_id="one", family="One", params={})
        assert list(scheduler.task_list("PENDING", "")) == ["one"]
