"""How long a worker stays: as long as tasks that it waits for are at work somewhere, and little longer."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any
from weakref import WeakKeyDictionary

from luigi.worker import Worker

from tasks.receipt_task import forget

# Between two tasks another worker has none for a moment; it asks again at once.
_GRACE = 2.0  # seconds

_luigi_stays, _luigi_runs = Worker._keep_alive, Worker.run
_hopeful_at: WeakKeyDictionary[Worker, float] = WeakKeyDictionary()


def _stays(worker: Worker, answer: Any) -> bool:
    """Luigi's keep_alive waits for every pending task, and so for ever when raw logs have not arrived; and for no
    running one, and so leaves, as one that has failed, while another worker makes the last.

    When the scheduler has no task for this worker, only a task at work elsewhere can bring one.
    """
    if worker._assistant or answer.running_tasks:
        _hopeful_at[worker] = time.monotonic()
    hopeful = time.monotonic() - _hopeful_at.setdefault(worker, time.monotonic()) < _GRACE
    waited_for = answer._replace(n_pending_tasks=answer.n_pending_tasks + len(answer.running_tasks))
    return bool(hopeful and _luigi_stays(worker, waited_for))


def _runs(worker: Worker) -> bool:
    """Luigi's exit code calls what another worker did "not run" or "already running"; what is complete is done."""
    well = bool(_luigi_runs(worker))
    states: dict[str, set[str]] = defaultdict(set)
    tasks = {}
    for task, state, runnable in worker._add_task_history:
        states[task.task_id].add(state)
        if runnable:  # somebody else's logs are not ours to do
            tasks[task.task_id] = task
    left = {name: task for name, task in tasks.items() if states[name] == {"PENDING"}}
    if left:
        forget()
    others = {name for name, task in left.items() if task.complete()}
    worker._add_task_history.extend((tasks[name], "DONE", True) for name in others)
    for answer in worker._get_work_response_history:
        answer["running_tasks"] = [one for one in answer["running_tasks"] if one["task_id"] not in others]
    return well


def configure() -> None:
    """Called when the tasks are imported, which is before luigi makes its worker."""
    Worker._keep_alive = _stays  # type: ignore[method-assign]  # luigi has no other place for it
    Worker.run = _runs  # type: ignore[method-assign]
