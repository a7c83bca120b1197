"""What the scheduler knows, in a file that a restart finds again.

It is JSON and not luigi's pickle: no code comes out of it, and a newer luigi reads what an older one wrote. Losing it
costs nothing but the page's memory and a planning of the graph, because what is complete is told by the outputs.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from luigi.scheduler import OrderedSet, RetryPolicy, Task, Worker

from scheduler.ready import ReadyTaskState

log = logging.getLogger("luigi.scheduler")

# JSON has lists only.
_FIELDS: dict[str, Callable[[Any], Any]] = {
    "stakeholders": set,
    "deps": set,
    "workers": OrderedSet,
    "failures": deque,
    "retry_policy": lambda fields: RetryPolicy(*fields),
}


class SavedState(ReadyTaskState):
    """Written as a whole or not at all: a process killed while it writes leaves the file that was there."""

    def dump(self) -> None:
        """Replace the file. One that cannot be written is told in a line, and the scheduler goes on without."""
        path = Path(self._state_path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A name of its own: SIGTERM may come in the middle of this, and saves too.
            number, part = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
            try:
                with open(number, "w", encoding="utf-8") as out:
                    out.write(self._as_text())
                os.replace(part, path)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(part)
        except OSError as error:
            log.warning("the state cannot be saved in %s (%s).", path, error)
        else:
            self.ready.saved = True

    def load(self) -> None:
        """Take the file in. One that is not there, or damaged, is told in a line, and the scheduler begins anew."""
        path = Path(self._state_path)
        for part in path.parent.glob(f"{path.name}.*.part"):  # of one that was killed while it wrote
            part.unlink(missing_ok=True)
        try:
            state = _from_text(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            log.info("no state in %s yet: beginning without.", path)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            log.warning("the state in %s is damaged (%s): beginning without.", path, error)
        else:
            self.set_state(state)
            self._status_tasks = defaultdict(dict)
            for task in self._tasks.values():
                self._status_tasks[task.status][task.id] = task
            log.info("%d tasks and %d workers are known from %s.", len(self._tasks), len(self._active_workers), path)

    def _as_text(self) -> str:
        tasks, workers, batchers = self.get_state()
        told = {
            "tasks": [vars(task) for task in tasks.values()],
            "workers": [{**vars(one), "tasks": [task.id for task in one.tasks]} for one in workers.values()],
            "batchers": batchers,
        }
        return json.dumps(told, default=list)  # sets and the like


def _from_text(text: str) -> tuple[dict[str, Task], dict[str, Worker], dict[str, Any]]:
    told = json.loads(text)
    tasks = {fields["id"]: _task(fields) for fields in told["tasks"]}
    workers = {}
    for fields in told["workers"]:
        worker = workers[fields["id"]] = Worker(fields["id"])
        # A task that was removed stays with its worker, where nobody needs it.
        vars(worker).update({**fields, "tasks": {tasks[name] for name in fields["tasks"] if name in tasks}})
    return tasks, workers, dict(told["batchers"])


def _task(fields: dict[str, Any]) -> Task:
    task = Task(fields["id"], fields["status"], None)
    vars(task).update({name: _FIELDS[name](value) if name in _FIELDS else value for name, value in fields.items()})
    return task
