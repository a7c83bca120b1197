"""The scheduler of `--local-scheduler`, which lives in the worker's process."""

from __future__ import annotations

from luigi.interface import _WorkerSchedulerFactory

from scheduler.ready import ReadyScheduler


def _scheduler(_factory: _WorkerSchedulerFactory) -> ReadyScheduler:
    return ReadyScheduler(prune_on_get_work=True, record_task_history=False)


def configure() -> None:
    """Called when the tasks are imported, which is before luigi makes its scheduler."""
    _WorkerSchedulerFactory.create_local_scheduler = _scheduler  # type: ignore[method-assign]  # luigi has no other place
