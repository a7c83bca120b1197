"""How long a worker stays: as long as a task that it waits for is at work somewhere, and no longer."""

from __future__ import annotations

from typing import Any

from luigi.worker import Worker

_luigi_stays = Worker._keep_alive


def _stays(worker: Worker, answer: Any) -> bool:
    """Luigi's keep_alive waits for every pending task, and so for ever when raw logs have not arrived.

    When the scheduler has no task for this worker, only a task at work elsewhere can bring one.
    """
    return bool(_luigi_stays(worker, answer) and (worker._assistant or answer.running_tasks))


def configure() -> None:
    """Called when the tasks are imported, which is before luigi makes its worker."""
    Worker._keep_alive = _stays  # type: ignore[method-assign]  # luigi has no other place for it
