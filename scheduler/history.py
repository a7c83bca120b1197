"""Luigi's history of tasks in a database, for its page `/history`: many events in one transaction, and old ones go.

Luigi's own opens a transaction for each event (16 milliseconds of CPU a task on SQLite), never forgets, and does not
start with SQLAlchemy 2. Tables, queries and pages are luigi's.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from luigi.db_task_history import Base, DbTaskHistory, TaskEvent, TaskParameter, TaskRecord
from luigi.task_status import DONE, FAILED, PENDING, RUNNING
from sqlalchemy import Connection, bindparam, create_engine, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

log = logging.getLogger("luigi.scheduler")

_AT_ONCE = 500  # names in one question
_MOST = 100_000  # events that wait for a database that does not answer


@dataclass(frozen=True, slots=True)
class Event:
    """A task was scheduled, started, done or failed."""

    task_id: str
    family: str
    parameters: dict[str, str]
    name: str
    at: datetime.datetime  # of this machine's clock, without zone, as luigi's pages expect
    host: str | None


class BatchedHistory(DbTaskHistory):
    """Events wait until `flush`, which their scheduler calls every second; a reader flushes first."""

    def __init__(self, connection: str, keep_days: int) -> None:
        """`connection`: as SQLAlchemy's, such as sqlite:////state/history.db. OperationalError if it cannot be used."""
        self.engine = create_engine(connection)
        self.session_factory = sessionmaker(bind=self.engine, expire_on_commit=False)
        self.keep_days = keep_days
        self._waiting: list[Event] = []
        Base.metadata.create_all(self.engine)

    def task_scheduled(self, task: Any) -> None:
        self._note(task, PENDING)

    def task_started(self, task: Any, worker_host: str | None) -> None:
        self._note(task, RUNNING, worker_host)

    def task_finished(self, task: Any, successful: bool) -> None:
        self._note(task, DONE if successful else FAILED)

    def flush(self) -> None:
        """Write what waits. If the database does not take it, that is told in a line and tried again the next time."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            with self.engine.begin() as connection:
                _write(connection, waiting)
        except SQLAlchemyError as error:
            self._waiting = [*waiting, *self._waiting][-_MOST:]
            log.warning("%d events of the history wait, as it cannot be written (%s).", len(self._waiting), error)

    def prune(self) -> None:
        """Remove events older than `keep_days`, and tasks that have no other."""
        before = datetime.datetime.now() - datetime.timedelta(days=self.keep_days)
        try:
            with self.engine.begin() as connection:
                connection.execute(delete(TaskEvent).where(TaskEvent.ts < before))
                known = select(TaskEvent.task_id).distinct()
                connection.execute(delete(TaskParameter).where(TaskParameter.task_id.not_in(known)))
                connection.execute(delete(TaskRecord).where(TaskRecord.id.not_in(known)))
        except SQLAlchemyError as error:
            log.warning("old events of the history cannot be removed (%s).", error)

    @contextmanager
    def _session(self, session: Session | None = None) -> Iterator[Session]:
        if session is None:
            self.flush()
        with super()._session(session) as opened:
            yield opened

    def _note(self, task: Any, name: str, host: str | None = None) -> None:
        now = datetime.datetime.now()
        # Parameters that are hidden or private on the page are so here.
        self._waiting.append(Event(task.id, task.family, task.public_params, name, now, host))


def _write(connection: Connection, events: Sequence[Event]) -> None:
    """One record a task, whose number the task has had before, or a new one."""
    names = list(dict.fromkeys(event.task_id for event in events))
    records: dict[str, int] = {}
    for begin in range(0, len(names), _AT_ONCE):
        some = names[begin : begin + _AT_ONCE]
        asked = select(TaskRecord.task_id, func.max(TaskRecord.id)).where(TaskRecord.task_id.in_(some))
        records.update((name, number) for name, number in connection.execute(asked.group_by(TaskRecord.task_id)))
    last = connection.execute(select(func.max(TaskRecord.id))).scalar() or 0
    new: dict[str, Event] = {}
    for event in events:
        if event.task_id not in records:
            last += 1
            records[event.task_id] = last
            new[event.task_id] = event
    hosts = {event.task_id: event.host for event in events if event.host}
    tasks = [
        {"id": records[name], "task_id": name, "name": event.family, "host": hosts.get(name)}
        for name, event in new.items()
    ]
    parameters = [
        {"task_id": records[name], "name": parameter, "value": value}
        for name, event in new.items()
        for parameter, value in event.parameters.items()
    ]
    moved = [{"record": records[name], "at": host} for name, host in hosts.items() if name not in new]
    if tasks:
        connection.execute(insert(TaskRecord), tasks)
    if parameters:
        connection.execute(insert(TaskParameter), parameters)
    if moved:
        connection.execute(
            update(TaskRecord.__table__)
            .where(TaskRecord.__table__.c.id == bindparam("record"))
            .values(host=bindparam("at")),
            moved,
        )
    told = [{"task_id": records[event.task_id], "event_name": event.name, "ts": event.at} for event in events]
    connection.execute(insert(TaskEvent), told)
