"""The history of tasks: luigi's pages over batched writes."""

from __future__ import annotations

import datetime
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from luigi.parameter import ParameterVisibility
from luigi.scheduler import RetryPolicy, Task

from tests.scheduler.server import Luigid


@pytest.fixture
def history(tmp_path: Path) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # luigi's module is written for SQLAlchemy 1
        from scheduler.history import BatchedHistory
    history = BatchedHistory(f"sqlite:///{tmp_path / 'history.db'}", keep_days=30)
    yield history
    history.engine.dispose()


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def task(name: str, **parameters: str) -> Task:
    family, policy = name.partition("_")[0], RetryPolicy(1, 1, 1)  # type: ignore[call-arg]
    return Task(name, "PENDING", None, family=family, params=parameters, retry_policy=policy)  # type: ignore[no-untyped-call]


def test_the_pages_show_what_was_run(luigid: Luigid) -> None:
    """All of luigi's pages of the history, and again after a restart; a task has one record in both lives."""
    luigid.start()
    for _ in range(2):
        luigid.add("Load_1")
        luigid.ask("get_work", worker="w", host="box", current_tasks=[])
        luigid.add("Load_1", "DONE")
        luigid.add("Ingest_2", "FAILED")
        assert luigid.ask("has_task_history") is True
        for path in ("/history", "/history/by_name/Load", "/history/by_task_id/Load_1", "/tasklist", "/tasklist/Load"):
            assert "Load" in luigid.page(path), path
        assert "box" in luigid.page("/history/by_task_id/Load_1")
        assert "FAILED" in luigid.page("/history/by_name/Ingest")
        assert luigid.end() == 0
        luigid.start()
    found = rows(luigid.state / "history.db", "SELECT task_id, name, host FROM tasks ORDER BY task_id")
    assert found == [("Ingest_2", "Ingest", None), ("Load_1", "Load", "box")]


def test_events_are_written_together(history: Any, tmp_path: Path) -> None:
    """Nothing is written until the flush, and then all, in the order in which it happened."""
    for number in range(1_200):
        one = task(f"A_{number}", n=str(number))
        history.task_scheduled(one)
        history.task_started(one, "box")
        history.task_finished(one, successful=number % 2 == 0)
    path = tmp_path / "history.db"
    assert rows(path, "SELECT count(*) FROM task_events") == [(0,)]
    history.flush()
    assert rows(path, "SELECT count(*), count(DISTINCT task_id) FROM task_events") == [(3_600, 1_200)]
    assert rows(path, "SELECT count(*) FROM task_parameters") == [(1_200,)]
    query = "SELECT event_name FROM task_events e JOIN tasks t ON e.task_id = t.id WHERE t.task_id = '{}' ORDER BY e.id"
    assert rows(path, query.format("A_7")) == [("PENDING",), ("RUNNING",), ("FAILED",)]
    assert rows(path, query.format("A_8")) == [("PENDING",), ("RUNNING",), ("DONE",)]


def test_old_events_are_removed(history: Any, tmp_path: Path) -> None:
    """With tasks that have no newer one; a task that has keeps its record."""
    old, both = task("A_1", n="1"), task("A_2", n="2")
    for one in (old, both):
        history.task_scheduled(one)
    history.flush()
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        before = datetime.datetime.now() - datetime.timedelta(days=31)
        connection.execute("UPDATE task_events SET ts = ?", (before.isoformat(" "),))
    history.task_finished(both, successful=True)
    history.flush()
    history.prune()
    assert rows(path, "SELECT task_id FROM tasks") == [("A_2",)]
    assert rows(path, "SELECT event_name FROM task_events") == [("DONE",)]
    assert rows(path, "SELECT name, value FROM task_parameters") == [("n", "2")]


def test_what_the_page_hides_is_not_written(history: Any, tmp_path: Path) -> None:
    """Values of hidden and private parameters stay out of the database."""
    one = task("A_1")
    one.param_visibilities = {"secret": ParameterVisibility.HIDDEN}
    one.set_params({"n": "1", "secret": "hunter2"})  # type: ignore[no-untyped-call]
    history.task_scheduled(one)
    history.flush()
    assert rows(tmp_path / "history.db", "SELECT name, value FROM task_parameters") == [("n", "1")]


def test_a_database_that_does_not_answer_is_written_later(
    history: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Events wait, which is told in a line, and are written in their order when it answers again."""
    path = tmp_path / "history.db"
    history.task_scheduled(task("A_1"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE task_events RENAME TO elsewhere")
        history.flush()
        assert "1 events of the history wait" in caplog.text
        connection.execute("ALTER TABLE elsewhere RENAME TO task_events")
    history.task_finished(task("A_1"), successful=True)
    history.flush()
    assert rows(path, "SELECT event_name FROM task_events ORDER BY id") == [("PENDING",), ("DONE",)]
    assert rows(path, "SELECT count(*) FROM tasks") == [(1,)]
