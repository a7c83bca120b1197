"""What a new run does about tasks whose worker was killed, and what a run says of its own that were."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from luigi.scheduler import Scheduler

from tasks.killed import _release
from tests.e2e.folder import PROJECT, Done, Folder, until_ended


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


def two_workers(folder: Folder, *words: str) -> Done:
    """One of the tasks that end badly, in a process of its own."""
    luigi = str(Path(sys.executable).with_name("luigi"))
    command = [luigi, "--module", "tests.tasks.dying", *words, "--workers", "2", "--local-scheduler"]
    return until_ended(command, cwd=folder.path, env=folder.environment() | {"PYTHONPATH": str(PROJECT)})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("Dies", "--signal", "9"), "Dies(signal=9) failed: its process was ended by SIGKILL, as the kernel does when"),
        (("Dies", "--signal", "11"), "Dies(signal=11) failed: its process was ended by SIGSEGV."),
        (("Exits",), "Exits() failed: its process was ended by exit code 3."),
        (("Lingers",), "Lingers() failed: it was ended after 1 s, which is its worker_timeout"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_task_whose_process_was_ended_says_why(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """It cannot say so itself; without this line the run fails for no reason."""
    done = two_workers(Folder(tmp_path / "work"), *words)
    assert done.code == 30, done.text
    assert said in done.errors[-1]
