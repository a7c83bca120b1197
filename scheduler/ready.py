"""Luigi's scheduler, but that `get_work` looks only at tasks that can run.

Luigi's own sorts and counts all pending tasks for each task that it hands out, so a graph of n tasks costs n². Here a
task that can run stands in a queue in the order of luigi's rank, one that cannot is watched for at one task that it
needs, and the counts of the answer are kept. Same calls, same answers, same state file; where resources, batches or
disabled tasks are in play, luigi's own code answers.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from luigi.scheduler import Scheduler, SimpleTaskState
from luigi.task_status import BATCH_RUNNING, DISABLED, DONE, FAILED, PENDING, RUNNING

# With `prune_on_get_work` luigi looks at all tasks for each that it hands out. What that is for, but to retry and to
# enable again, can wait this long.
_PRUNE_EVERY = 1.0  # seconds

_FOR_ASSISTANTS = ""  # the queue of whoever may do any task; no worker is called so


@dataclass(slots=True)
class Tally:
    """How many tasks wait for a worker."""

    pending: int = 0  # PENDING or FAILED
    unique: int = 0  # of these, which no other worker can do
    last: int = 0  # of these, which this worker was the last to join
    needing: int = 0  # PENDING and in need of resources


class ReadyTasks:
    """Which pending tasks can run, and how many wait for whom.

    It is told no more than which tasks changed; what follows is read from the tasks themselves when somebody asks. Then
    each pending task is in all queues that it belongs to, or watched for at one task that it needs and that is not
    done. An entry of a queue is looked at again before it counts, so entries that are no longer true do no harm.
    """

    def __init__(self, state: SimpleTaskState) -> None:
        self._state = state
        self.forget_all()

    def forget_all(self) -> None:
        """Anything may have changed."""
        self.saved = False  # whether a file holds all that changed
        self._all_changed = True
        self._changed: set[str] = set()
        self._queues: dict[str, list[tuple[float, float, str]]] = {}
        self._watchers: dict[str, set[str]] = {}
        self._unseen: dict[str, Iterator[str]] = {}  # what a task needs, behind the one where it is watched for
        self._counted: dict[str, tuple[tuple[str, ...], bool]] = {}
        self._tallies: dict[str, Tally] = defaultdict(Tally)
        self._needing = 0

    def changed(self, task_id: str) -> None:
        """This task is another than it was: its state, what it needs, its priority, its workers; or it is gone."""
        self.saved = False
        self._changed.add(task_id)
        self._unseen.pop(task_id, None)  # it may need others now

    def tally(self, worker_id: str) -> Tally:
        self._settle()
        return self._tallies.get(worker_id) or Tally()

    def needing(self) -> int:
        """How many PENDING tasks need resources."""
        self._settle()
        return self._needing

    def first(self, worker_id: str, assistant: bool) -> Any:
        """The task of the highest rank that this worker can do now, or None. It stays first until it changes."""
        self._settle()
        name = _FOR_ASSISTANTS if assistant else worker_id
        queue = self._queues.get(name)
        pending = self._state._status_tasks[PENDING]
        if queue is None or len(queue) > 2 * len(pending) + 64:  # most of it is no longer true
            some = pending.values() if assistant else self._state.get_worker(name).get_tasks(self._state, PENDING)
            ready = (task for task in some if _belongs(task, name) and not self._watched(task))
            queue = self._queues[name] = [_entry(task) for task in ready]
            heapq.heapify(queue)
        while queue:
            task = pending.get(queue[0][-1])
            if task is not None and queue[0] == _entry(task) and _belongs(task, name) and not self._watched(task):
                return task
            heapq.heappop(queue)
        return None

    def _settle(self) -> None:
        """Take in what changed."""
        if self._all_changed:
            self._all_changed = False
            for status in (PENDING, FAILED):
                self._changed.update(self._state._status_tasks[status])
        while self._changed:
            # A new set each time: one that was large once is looked through from end to end for the next that it holds.
            changed, self._changed = self._changed, set()
            for task_id in changed:
                self._take_in(task_id)

    def _take_in(self, task_id: str) -> None:
        task = self._state.get_task(task_id)
        self._count(task_id, task)
        if task is None:
            return
        if task.status == DONE:
            self._changed |= self._watchers.pop(task_id, set())
        elif task.status == PENDING and not self._watched(task):
            for name in (*task.workers, _FOR_ASSISTANTS):
                if name in self._queues and _belongs(task, name):
                    heapq.heappush(self._queues[name], _entry(task))

    def _watched(self, task: Any) -> bool:
        """Whether the task must wait; if so, it is watched for at one of those that it waits for.

        When that one is done, those behind it are looked at, and all once more before the task counts as ready: what it
        needs is looked at twice in all, and not once for each of them that is done.
        """
        scans = [iter(tuple(task.deps))]
        if task.id in self._unseen:
            scans.insert(0, self._unseen.pop(task.id))
        for scan in scans:
            for needed in scan:
                found = self._state.get_task(needed)
                if found is None or found.status != DONE:
                    self._watchers.setdefault(needed, set()).add(task.id)
                    self._unseen[task.id] = scan
                    return True
        return False

    def _count(self, task_id: str, task: Any) -> None:
        before, now = self._counted.pop(task_id, None), None
        if task is not None and task.status in (PENDING, FAILED):
            now = self._counted[task_id] = (tuple(task.workers), bool(task.status == PENDING and task.resources))
        if now == before:
            return
        for counted, one in ((before, -1), (now, 1)):
            if counted is None:
                continue
            workers, needing = counted
            self._needing += one * needing
            for worker_id in workers:
                tally = self._tallies[worker_id]
                tally.pending += one
                tally.unique += one * (len(workers) == 1)
                tally.last += one * (worker_id == workers[-1])
                tally.needing += one * needing


def _belongs(task: Any, name: str) -> bool:
    return bool(task.runnable) if name == _FOR_ASSISTANTS else name in task.workers


def _entry(task: Any) -> tuple[float, float, str]:
    """Luigi's rank, the highest first."""
    return (-task.priority, task.time, task.id)


class ReadyTaskState(SimpleTaskState):
    """Luigi's state, which tells `ready` what it changes."""

    def __init__(self, state_path: str) -> None:
        super().__init__(state_path)
        self.ready = ReadyTasks(self)

    def set_state(self, state: Any) -> None:
        super().set_state(state)
        self.ready.forget_all()

    def set_status(self, task: Any, new_status: str, config: Any = None) -> None:
        self.ready.changed(task.id)
        super().set_status(task, new_status, config)

    def inactivate_tasks(self, delete_tasks: Iterable[str]) -> None:
        for task_id in delete_tasks:
            self.ready.changed(task_id)
            task = self._tasks[task_id]
            for worker_id in task.workers:  # luigi leaves it there, and may hand it out once more
                if worker_id in self._active_workers:
                    self._active_workers[worker_id].tasks.discard(task)
        super().inactivate_tasks(delete_tasks)

    def _remove_workers_from_tasks(self, workers: Any, remove_stakeholders: bool = True) -> None:
        if workers:  # luigi goes through all tasks to remove nobody
            super()._remove_workers_from_tasks(workers, remove_stakeholders)
            self.ready.forget_all()


class ReadyScheduler(Scheduler):
    """Luigi's scheduler for graphs of any size."""

    state_class = ReadyTaskState
    _state: ReadyTaskState

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        collector = self._state._metrics_collector
        self._state = self.state_class(self._config.state_path)
        self._state._metrics_collector = collector
        self._pruned_at = 0.0

    def add_task(self, task_id: str | None = None, *args: Any, **kwargs: Any) -> None:
        """As luigi's."""
        if task_id is not None:
            self._state.ready.changed(task_id)
        super().add_task(task_id, *args, **kwargs)

    def _update_priority(self, task: Any, prio: float, worker: Any) -> None:
        """As luigi's, for chains of any length."""
        known = task.priority if isinstance(task.priority, int | float) else task.DEFAULT_PRIORITY
        task.priority = prio = max(prio, known)
        raised = [task]
        while raised:
            for needed in raised.pop().deps or ():
                found = self._state.get_task(needed)
                if found is not None and prio > found.priority:
                    found.priority = prio
                    self._state.ready.changed(found.id)
                    raised.append(found)

    def count_pending(self, worker: str) -> dict[str, Any]:
        """As luigi's."""
        if self._state._status_tasks[DISABLED]:  # tasks above a disabled one do not count
            told: dict[str, Any] = super().count_pending(worker)
            return told
        known = self._state.get_worker(worker)
        running = []
        for task in known.get_tasks(self._state, RUNNING):
            at = self._state.get_worker(task.worker_running)
            running.append({"task_id": task.id, "worker": str(at), **at.info})
        tally = self._state.ready.tally(worker)
        return {
            "n_pending_tasks": tally.pending,
            "n_unique_pending": tally.unique,
            "n_pending_last_scheduled": tally.last,
            "worker_state": known.state,
            "running_tasks": running,
        }

    def get_work(
        self,
        host: str | None = None,
        assistant: bool = False,
        current_tasks: list[str] | None = None,
        worker: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """As luigi's."""
        assert worker is not None
        if self._config.prune_on_get_work:
            self._prune_when_due()
        if not self._plain(worker, assistant):
            told: dict[str, Any] = super().get_work(host, assistant, current_tasks, worker, **kwargs)
            return told
        self._update_worker(worker, worker_reference={"host": host}, get_work=True)
        if assistant:
            self.add_worker(worker, [("assistant", assistant)])
        task = self._lost(worker, current_tasks)
        if task is None and not self._paused:
            task = self._state.ready.first(worker, assistant)
        reply = {**self.count_pending(worker), "task_id": None}
        if task is not None:
            self.update_metrics_task_started(task)
            self._state.set_status(task, RUNNING, self._config)
            task.worker_running = worker
            task.resources_running = task.resources.copy()
            task.time_running = time.time()
            self._update_task_history(task, RUNNING, host=host)
            reply.update(task_id=task.id, task_family=task.family, task_module=task.module, task_params=task.params)
        return reply

    def _prune_when_due(self) -> None:
        now = time.time()
        if not 0 <= now - self._pruned_at < _PRUNE_EVERY or self._may_run_again(now):
            self._pruned_at = now
            self.prune()

    def _may_run_again(self, now: float) -> bool:
        """Whether a task failed, or was disabled, long enough ago."""
        delay, persist = self._config.retry_delay, self._config.disable_persist
        failed = self._state.get_active_tasks_by_status(FAILED) if delay >= 0 else ()
        disabled = self._state.get_active_tasks_by_status(DISABLED)
        return any(task.retry < now for task in failed) or any(
            now - task.scheduler_disable_time > persist for task in disabled if task.scheduler_disable_time is not None
        )

    def _plain(self, worker_id: str, assistant: bool) -> bool:
        """Whether the task of the highest rank is the answer; if not, luigi finds it."""
        state, worker = self._state, self._state.get_worker(worker_id)
        assisting = assistant or worker.assistant  # luigi weighs the needs of all tasks for these only
        needing = state.ready.needing() if assisting else state.ready.tally(worker_id).needing
        return bool(
            worker.enabled
            and not needing
            and not state._task_batchers.get(worker_id)
            and not state._status_tasks[BATCH_RUNNING]
        )

    def _lost(self, worker_id: str, current_tasks: list[str] | None) -> Any:
        """A task that this worker was given and does not know of: the answer did not reach it."""
        if current_tasks is None:
            return None
        running = self._state.get_active_tasks_by_status(RUNNING)
        lost = [task for task in running if task.worker_running == worker_id and task.id not in current_tasks]
        return sorted(lost, key=self._rank)[-1] if lost else None
