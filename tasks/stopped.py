"""SIGTERM, with which ECS stops a task: what is at work is taken back, and luigid is told, before the process ends.

What runs is interrupted by an exception, so that a BigQuery job is cancelled and scratch is removed on the way out.
Two minutes later (`stopTimeout`, and what Spot gives) ECS kills what is still there.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from luigi.worker import Worker

log = logging.getLogger("dsp")

# What a shell tells of a process that SIGTERM ended.
_EXIT = 128 + signal.SIGTERM

_luigi_exits, _luigi_gets_work = Worker.__exit__, Worker._get_work
_asked = False


class Stopped(BaseException):
    """Raised wherever the process is when it is told to stop. No Exception, so that nobody takes it for a failure."""

    def __str__(self) -> str:
        return "stopped by SIGTERM; the same command goes on from here."


def asked() -> bool:
    """Whether this process was told to stop."""
    return _asked


def _told(_number: int, _frame: FrameType | None) -> None:
    global _asked
    if _asked:
        return  # it is ending already
    _asked = True
    raise Stopped


def _gets_work(worker: Worker) -> Any:
    """No other task after one that was stopped; some libraries put an exception of their own in place of ours."""
    if _asked:
        raise Stopped
    return _luigi_gets_work(worker)


def _exits(
    worker: Worker, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> Any:
    if not _asked:
        return _luigi_exits(worker, kind, error, trace)
    running = dict(worker._running_tasks)
    for process in running.values():
        if process.pid is not None:  # a task of this process has none
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)  # all at once; luigi then waits for one after the other
    _luigi_exits(worker, kind, error, trace)
    for task_id, process in running.items():
        _release(worker, task_id, process.task)
    if not running and not any(status == "FAILED" for _, status, _ in worker._add_task_history):
        log.error("%s", Stopped())
    raise SystemExit(_EXIT) from None


def _release(worker: Worker, task_id: str, task: Any) -> None:
    """Luigid would wait for the dead worker; told that the task failed, it gives it to the next who plans it."""
    try:
        worker._scheduler.add_task(
            worker=worker._id,
            task_id=task_id,
            status="FAILED",
            family=task.task_family,
            params=task.to_str_params(),
            expl="stopped by SIGTERM",
        )
    except Exception as error:
        log.warning("luigid could not be told that %s was stopped (%s)", task, error)


def configure() -> None:
    """Called when the tasks are imported, which is before luigi makes its worker."""
    Worker.__exit__ = _exits  # type: ignore[method-assign]  # luigi has no other place for it
    Worker._get_work = _gets_work  # type: ignore[method-assign]
    if threading.current_thread() is threading.main_thread():  # nobody else may
        signal.signal(signal.SIGTERM, _told)
