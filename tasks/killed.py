"""Tasks that luigid believes at work although their worker was killed."""

from __future__ import annotations

import re
import socket
from typing import Any

from luigi.worker import Worker

from dsp_pipeline.processes import alive

_WORKER = re.compile(r"host=(?P<host>[^,]+),.* pid=(?P<pid>\d+)")

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


def configure() -> None:
    """Called when the tasks are imported, which is before luigi makes its worker."""
    Worker.__enter__ = _enters  # type: ignore[method-assign]  # luigi has no other place for it
