"""What a task costs the scheduler, and whom it gives one to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest
from luigi.interface import _WorkerSchedulerFactory

import scheduler.worker
from scheduler.ready import ReadyScheduler


def calls(work: Callable[[], list[str]]) -> tuple[int, list[str]]:
    """How many functions are called, which a machine's load does not change, and what came of it."""
    count = 0

    def profile(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        done = work()
    finally:
        sys.setprofile(before)
    return count, done


def planned(days: int) -> tuple[ReadyScheduler, Iterator[str]]:
    """A scheduler that knows days of 51 tasks each, as a worker tells of them, and their names."""
    known = ReadyScheduler()
    names = []
    for day in range(days):
        loads = [f"Load_{day}_{hour}" for hour in range(24)]
        needs = {f"Bundle_{day}": [f"Model_{day}"], f"Model_{day}": [f"Features_{day}"], f"Features_{day}": loads}
        needs |= {load: [load.replace("Load", "Ingest")] for load in loads}
        needs |= {load.replace("Load", "Ingest"): [] for load in loads}
        for name, needed in needs.items():
            known.add_task(task_id=name, deps=needed, worker="w", family="F")
            names.append(name)
    return known, iter(names)


def work_all(known: ReadyScheduler) -> list[str]:
    done: list[str] = []
    while (name := known.get_work(worker="w", host="h", current_tasks=[])["task_id"]) is not None:
        known.add_task(task_id=name, worker="w", status="DONE", runnable=None)
        done.append(name)
    return done


def test_a_task_costs_the_same_in_a_graph_of_any_size() -> None:
    """Calls of functions per task, with 204 tasks and with 5,100: at most 1.3 times as many."""
    costs = []
    for days in (4, 100):
        known, names = planned(days)
        cost, done = calls(partial(work_all, known))
        costs.append(cost / (days * 51))
        assert sorted(done) == sorted(names)
    assert costs[1] <= 1.3 * costs[0], costs


def test_a_task_that_needs_thousands_costs_them_little() -> None:
    """A range over a year of hours is looked at now and then, not whenever one of them is done."""
    costs = []
    for size in (500, 4_000):
        known = ReadyScheduler()
        needed = [f"Hour_{hour}" for hour in range(size)]
        known.add_task(task_id="Range_0", deps=needed, worker="w", family="F")
        for name in needed:
            known.add_task(task_id=name, worker="w", family="F")
        cost, done = calls(partial(work_all, known))
        costs.append(cost / size)
        assert sorted(done[:-1]) == sorted(needed)
        assert done[-1] == "Range_0"
        assert known.task_list("DONE")["Range_0"]["status"] == "DONE"
    assert costs[1] <= 1.3 * costs[0], costs


def test_what_nobody_may_run_is_given_to_nobody() -> None:
    """An external task whose data is not there is no work for an assistant either."""
    known = ReadyScheduler()
    known.add_task(task_id="Logs_0", worker="w", family="F", runnable=False)
    known.add_task(task_id="Ingest_0", worker="w", family="F", deps=["Logs_0"])
    for worker, assistant in (("w", False), ("helper", True)):
        told = known.get_work(worker=worker, host="h", assistant=assistant, current_tasks=[])
        assert told["task_id"] is None


def test_a_worker_gets_its_own_tasks_an_assistant_any() -> None:
    """By priority, then by age."""
    known = ReadyScheduler()
    known.add_task(task_id="A_0", worker="a", family="F")
    known.add_task(task_id="B_0", worker="b", family="F")
    known.add_task(task_id="B_1", worker="b", family="F", priority=2)
    given = [
        known.get_work(worker=worker, host="h", assistant=worker == "helper")["task_id"]
        for worker in ("a", "a", "helper", "b", "b")
    ]
    assert given == ["A_0", None, "B_1", "B_0", None]


def test_a_task_that_was_removed_is_not_handed_out_again() -> None:
    """Luigi leaves it with its worker, counts it, and fails when it is asked for work."""
    for case in ("ours answers", "luigi's counts", "luigi's answers"):
        known = ReadyScheduler()
        for task, worker in (("A_0", "w"), ("A_1", "w"), ("B_0", "v"), ("B_1", "v"), ("B_2", "v")):
            known.add_task(task_id=task, worker=worker, family="F")
        if case == "luigi's counts":
            known.add_task(task_id="C_0", worker="v", family="F", status="DISABLED")
        if case == "luigi's answers":
            known.add_task_batcher("w", "F", ["n"])
        known._state.inactivate_tasks(["A_0"])
        told = [known.get_work(worker="w", host="h", current_tasks=["A_1"]) for _ in range(2)]
        assert [(one["task_id"], one["n_pending_tasks"]) for one in told] == [("A_1", 1), (None, 0)], case


def test_a_worker_that_was_disabled_gets_nothing() -> None:
    """Neither as an assistant, nor what it was given and says that it does not have."""
    for assistant in (False, True):
        known = ReadyScheduler()
        for number in range(2):
            known.add_task(task_id=f"A_{number}", worker="w", family="F")
        asked: dict[str, Any] = {
            "worker": "helper" if assistant else "w",
            "host": "h",
            "assistant": assistant,
            "current_tasks": [],
        }
        assert known.get_work(**asked)["task_id"] == "A_0"
        known.disable_worker(asked["worker"])
        told = known.get_work(**asked)
        assert (told["task_id"], told["worker_state"]) == (None, "disabled")


@pytest.mark.usefixtures("_luigis_own_afterwards")
def test_a_run_without_luigid_has_it_too() -> None:
    """`--local-scheduler`, which most people use."""
    scheduler.worker.configure()
    assert isinstance(_WorkerSchedulerFactory().create_local_scheduler(), ReadyScheduler)  # type: ignore[no-untyped-call]


@pytest.fixture
def _luigis_own_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    import luigi.rpc

    monkeypatch.setattr(_WorkerSchedulerFactory, "create_local_scheduler", None)
    monkeypatch.setattr(luigi.rpc, "RequestsFetcher", luigi.rpc.RequestsFetcher)
