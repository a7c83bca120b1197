"""Tasks whose process was killed: those that luigid believes at work, and why one of this run failed."""

from __future__ import annotations

import logging
import re
import signal
import socket
from typing import Any

import luigi
from luigi.worker import Worker

from dsp_pipeline.processes import alive
from tasks import stopped

log = logging.getLogger("dsp")

_WORKER = re.compile(r"host=(?P<host>[^,]+),.* pid=(?P<pid>\d+)")
_ENDED_BY = re.compile(r"exit code -(\d+)")

_luigi_enters = Worker.__enter__


def _enters(worker: Worker) -> Worker:
    """Luigid would wait a minute for a dead worker and then call its tasks failed; this run shall take them over."""
    entered: Worker = _luigi_enters(worker)
    _release(worker._scheduler)
    return entered


def _release(scheduler: Any) -> None:
    """Report the tasks of this machine's dead processes as failed, so that planning them again makes them pending."""
    for task_id, task in scheduler.task_list("RUNNING", "").items():
        found = _WORKER.search((task.get("worker_running") or "") if isinstance(task, dict) else "")
        if found and found["host"] == socket.gethostname() and not alive(int(found["pid"])):
            scheduler.add_task(
                worker=task["worker_running"],
                task_id=task_id,
                status="FAILED",
                family=task["name"],
                params=task["params"],
                expl="its worker was killed",
            )


def _died(task: luigi.Task, luigi_says: str) -> None:
    """Luigi notes it as a detail; but a process that is killed cannot tell of itself why its task failed."""
    if stopped.asked():
        return
    ended_by = _ENDED_BY.search(luigi_says)
    name = signal.Signals(int(ended_by[1])).name if ended_by else None
    if name == "SIGKILL":
        why = "SIGKILL, as the kernel does when memory is short; give it more, or run it with fewer --workers"
    else:
        why = name or luigi_says.partition(" unexpectedly with ")[2]
    log.error("%s failed: its process was ended by %s.", task, why)


def _took_too_long(task: luigi.Task, luigi_says: str) -> None:
    seconds = luigi_says.partition(" timed out after ")[2].partition(" ")[0]
    log.error("%s failed: it was ended after %s s, which is its worker_timeout, or [worker] timeout.", task, seconds)


def configure() -> None:
    """Called when the tasks are imported, which is before luigi makes its worker."""
    Worker.__enter__ = _enters  # type: ignore[method-assign]  # luigi has no other place for it
    luigi.Task.event_handler(luigi.Event.PROCESS_FAILURE)(_died)
    luigi.Task.event_handler(luigi.Event.TIMEOUT)(_took_too_long)
