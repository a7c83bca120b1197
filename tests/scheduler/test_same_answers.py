"""Luigi's scheduler and ours, told the same, answer the same."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import luigi.scheduler
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import scheduler.ready
from scheduler.ready import ReadyScheduler
from scheduler.state import SavedState

TASKS = tuple(f"{family}_{place}" for place, family in enumerate("AABABBA"))
WORKERS = ("w0", "w1")
ASSISTANT = "helper"
# What a worker may tell of a task that it does not run.
TOLD = ("PENDING", "PENDING", "PENDING", "DONE", "DONE", "FAILED", "UNKNOWN", "SUSPENDED", "DISABLED")
NEEDS: tuple[dict[str, int], ...] = ({}, {"r": 1}, {"r": 1, "s": 1})

tasks, workers = st.sampled_from(TASKS), st.sampled_from(WORKERS)
anybody = st.sampled_from((*WORKERS, ASSISTANT))


class Ours(ReadyScheduler):
    """Ours, as luigid runs it: its state can be saved. Counts how often it leaves the answer to luigi's code."""

    state_class = SavedState
    left_to_luigi = 0

    def _plain(self, worker_id: str, assistant: bool) -> bool:
        plain = super()._plain(worker_id, assistant)
        Ours.left_to_luigi += not plain
        return plain


class Twins(RuleBasedStateMachine):
    """Two schedulers under one clock, which moves between calls only."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0
        self.births: dict[str, float] = {}
        self.running: dict[str, set[str]] = {name: set() for name in (*WORKERS, ASSISTANT)}
        self.folder = Path(tempfile.mkdtemp())
        self.patch = pytest.MonkeyPatch()
        clock = SimpleNamespace(time=lambda: self.now)
        self.patch.setattr(luigi.scheduler, "time", clock)
        self.patch.setattr(scheduler.ready, "time", clock)

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.folder)

    @initialize(
        retry_count=st.sampled_from((999, 999, 2)),
        retry_delay=st.sampled_from((5.0, 100_000.0, -1.0)),
        resources=st.sampled_from((False, False, True)),
        batches=st.sampled_from((False, False, True)),
    )
    def begin(self, retry_count: int, retry_delay: float, resources: bool, batches: bool) -> None:
        self.resources, self.batches = resources, batches
        self.given = {
            "retry_count": retry_count,
            "retry_delay": retry_delay,
            "disable_persist": 50,
            "stable_done_cooldown_secs": 3,
        }
        self.twins = [self.make(kind) for kind in (luigi.scheduler.Scheduler, Ours)]
        for worker in WORKERS:
            if batches:
                self.batch(worker, "A", 3)
            self.plan(worker, 4, 0, 0)

    def make(self, kind: Any) -> Any:
        path = str(self.folder / kind.__name__)
        return kind(resources={"r": 2, "s": 1}, state_path=path, remove_delay=30, **self.given)

    def ask(self, method: str, *words: Any, **named: Any) -> Any:
        """The answer of both, in which the order of what runs means nothing."""
        self.now += 1
        answers = []
        for twin in self.twins:
            answer = getattr(twin, method)(*words, **named)
            if isinstance(answer, dict) and "running_tasks" in answer:
                answer["running_tasks"] = sorted(answer["running_tasks"], key=lambda one: one["task_id"])
                answer["n_pending_last_scheduled"] = answer.get("n_pending_last_scheduled", 0)
            answers.append(answer)
            for worker in twin._state.get_active_workers():
                # Luigi's keeps a task that was removed with its worker, counts it and may fail to hand it out.
                worker.tasks.intersection_update(twin._state.get_active_tasks())
            # Tasks that one call makes are of the same time, and which of them comes first is chance in luigi's.
            for task in sorted(twin._state._tasks.values(), key=lambda task: str(task.id)):
                task.time = self.births.setdefault(f"{task.id} at {task.time:.0f}", self.now + len(self.births) / 1e6)
        assert answers[0] == answers[1], (method, words, named)
        return answers[0]

    @rule(
        worker=anybody,
        task=tasks,
        status=st.sampled_from(TOLD),
        deps=st.none() | st.sets(tasks, max_size=4),
        new_deps=st.none() | st.none() | st.sets(tasks, max_size=2),
        priority=st.sampled_from((0, 0, 0, 1, 5, -3, 0.5)),
        runnable=st.sampled_from((True, True, True, False)),
        resources=st.sampled_from((*NEEDS, {}, {"r": 2}, {"t": 2})),
        batchable=st.sampled_from((None, True, False)),
    )
    def add_task(self, worker: str, task: str, deps: set[str] | None, new_deps: Any, **given: Any) -> None:
        """Of any state; its needs come earlier in TASKS, so that there is no circle."""
        earlier = TASKS[: TASKS.index(task)]
        given["resources"] = given["resources"] if self.resources else {}
        given["batchable"] = given["batchable"] if self.batches else None
        self.tell(
            worker,
            task,
            deps=None if deps is None else sorted(deps & set(earlier)),
            new_deps=None if new_deps is None else sorted(new_deps & set(earlier)),
            **given,
        )

    def tell(self, worker: str, task: str, **given: Any) -> None:
        family, _, place = task.partition("_")
        self.ask(
            "add_task",
            task_id=task,
            worker=worker,
            family=family,
            params={"n": place, "same": "1"},
            assistant=worker == ASSISTANT,
            **given,
        )

    @rule(
        worker=workers,
        count=st.integers(1, len(TASKS)),
        needs=st.integers(0, 3),
        priority=st.sampled_from((0, 0, 2, 7)),
    )
    def plan(self, worker: str, count: int, needs: int, priority: int) -> None:
        """As a real worker plans: what needs comes before what is needed, and lends it its priority."""
        for place in reversed(range(count)):
            self.tell(
                worker,
                TASKS[place],
                status="PENDING",
                deps=list(TASKS[max(0, place - needs) : place]),
                priority=priority if place > 2 else 1,
                resources=NEEDS[place % 3] if self.resources else {},
                batchable=self.batches,
            )

    @rule(worker=workers, task=tasks, first=tasks, count=st.integers(0, 3))
    def hurry(self, worker: str, task: str, first: str, count: int) -> None:
        """Somebody who asks for a task that is to be first gives what it needs the same priority."""
        self.plan(worker, len(TASKS) - 1, 0, 0)
        for _ in range(count):
            self.work(worker, lose=False)
        needed = [first] if TASKS.index(first) < TASKS.index(task) else []
        self.tell(worker, task, status="PENDING", deps=needed, priority=9)
        self.work(worker, lose=False)

    @rule(worker=workers, other=anybody, count=st.integers(1, len(TASKS)))
    def work_well(self, worker: str, other: str, count: int) -> None:
        """Two workers by turns, after one of them planned: what each gets is done before it asks again."""
        self.time_passes(1, set())
        self.plan(worker, len(TASKS) - 1, count % 4, count)
        for name in (worker, other) * count:
            before = set(self.running[name])
            self.work(name, lose=False)
            for task in sorted(self.running[name] - before):
                self.tell_end(name, task, "DONE")

    @rule(worker=anybody, lose=st.sampled_from((False, False, False, True)))
    def work(self, worker: str, lose: bool) -> None:
        """Ask for a task; the answer may be lost on its way."""
        known = sorted(self.running[worker])
        reply = self.ask("get_work", worker=worker, host="h", assistant=worker == ASSISTANT, current_tasks=known)
        if reply.get("batch_id") and not lose:
            name = f"batch {reply['batch_task_ids']}"
            told = {"family": reply["task_family"], "params": reply["task_params"], "batch_id": reply["batch_id"]}
            self.ask("add_task", task_id=name, worker=worker, status="RUNNING", **told)
            self.running[worker].add(name)
        elif reply["task_id"] and not lose:
            self.running[worker].add(reply["task_id"])

    @rule(worker=anybody)
    def work_as_old_clients_do(self, worker: str) -> None:
        """They do not tell what they run."""
        reply = self.ask("get_work", worker=worker, host="h")
        if reply.get("task_id"):
            self.running[worker].add(reply["task_id"])

    @precondition(lambda self: any(self.running.values()))
    @rule(data=st.data(), status=st.sampled_from(("DONE", "DONE", "DONE", "FAILED", "PENDING")))
    def end(self, data: st.DataObject, status: str) -> None:
        """A task that runs is done, or failed, or needs another first."""
        worker, task = data.draw(st.sampled_from([(w, t) for w, all_ in self.running.items() for t in sorted(all_)]))
        self.tell_end(worker, task, status)

    def tell_end(self, worker: str, task: str, status: str) -> None:
        self.running[worker].discard(task)
        new = [TASKS[0]] if status == "PENDING" and task in TASKS[1:] else None
        given = {"runnable": None, "expl": '"why"', "new_deps": new, "assistant": worker == ASSISTANT}
        self.ask("add_task", task_id=task, worker=worker, status=status, **given)

    @rule(seconds=st.sampled_from((1, 6, 25, 45, 70)), silent=st.sets(anybody, max_size=1))
    def time_passes(self, seconds: int, silent: set[str]) -> None:
        """Workers are forgotten after 60 seconds without a word, tasks 30 later; failed ones are tried again."""
        for worker in sorted({*WORKERS, ASSISTANT} - silent):
            self.now += seconds // 4
            self.ask("ping", worker=worker)
        self.now += seconds
        self.ask("prune")

    @rule(worker=anybody, task=tasks, what=st.integers(0, 7), processes=st.integers(1, 3))
    def seldom(self, worker: str, task: str, what: int, processes: int) -> None:
        """What people do on the page, and what happens once a day."""
        if what < 3:
            self.ask(("forgive_failures", "mark_as_done", "re_enable_task")[what], task)
        elif what == 3:
            self.ask("disable_worker", worker)
        elif what == 4:
            self.ask("pause")
            self.work(worker, lose=False)
            self.ask("unpause")
        elif what == 5:
            self.ask("add_worker", worker, [("workers", processes), ("host", "h")])
        else:
            self.restart()

    @precondition(lambda self: self.resources)
    @rule(amount=st.integers(0, 3), resource=st.sampled_from("rst"))
    def change_resources(self, amount: int, resource: str) -> None:
        self.ask("update_resource", resource, amount)

    @precondition(lambda self: self.resources)
    @rule(task=tasks)
    def release(self, task: str) -> None:
        self.ask("decrease_running_task_resources", task, {"r": 1})

    @precondition(lambda self: self.batches)
    @rule(worker=workers, family=st.sampled_from("AB"), most=st.sampled_from((1, 2, float("inf"))))
    def batch(self, worker: str, family: str, most: float) -> None:
        self.ask("add_task_batcher", worker, family, ["n"], most)

    def restart(self) -> None:
        """Both save what they know and another process reads it."""
        for place, twin in enumerate(self.twins):
            twin.dump()
            self.twins[place] = self.make(type(twin))
            self.twins[place].load()
            self.twins[place]._resources, self.twins[place]._paused = twin._resources, twin._paused

    def count(self, worker: str) -> None:
        if all(worker in twin._state.get_worker_ids() for twin in self.twins):  # to ask would make one
            self.ask("count_pending", worker)

    @invariant()
    def all_is_the_same(self) -> None:
        """Each task's state and worker, as the page shows them."""
        if hasattr(self, "twins"):
            pages = [
                {task.id: twin._serialize_task(task.id) for task in twin._state.get_active_tasks()}
                for twin in self.twins
            ]
            for page in pages:
                for shown in page.values():
                    shown["deps"] = sorted(shown["deps"])
            assert json.dumps(pages[0], sort_keys=True) == json.dumps(pages[1], sort_keys=True)
            for worker in (*WORKERS, ASSISTANT):
                self.count(worker)


def test_both_answer_the_same() -> None:
    """Whatever workers, the page and the clock do, each answer and each task's state are those of luigi's."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    limits = settings(max_examples=200, stateful_step_count=40, deadline=None, derandomize=True)
    run_state_machine_as_test(Twins, settings=settings(limits, suppress_health_check=checks))
