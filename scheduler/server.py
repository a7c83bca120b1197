"""Luigi's server and page with our scheduler, its state and its history."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import luigi.server
from luigi.configuration import get_config
from luigi.scheduler import scheduler as SchedulerConfig  # noqa: N812  # luigi's class has a small letter
from luigi.task_history import NopHistory
from tornado.ioloop import PeriodicCallback
from tornado.web import RequestHandler

from scheduler.ready import ReadyScheduler
from scheduler.state import SavedState

log = logging.getLogger("luigi.scheduler")

# Seconds. What `kill -9` may lose: this much of the page's memory, and of the history.
_SAVE_EVERY, _WRITE_EVERY = 30, 1
_FORGET_EVERY = 3_600
_KEEP_DAYS = 30


_cors = cache(luigi.server.cors)


class HistoryError(Exception):
    """The history of tasks cannot be kept; the text says where, and the cure."""


class Calls(luigi.server.RPCHandler):
    """Luigi's, which reads its settings anew at each call: a quarter of what a call costs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        RequestHandler.__init__(self, *args, **kwargs)
        self._cors_config = _cors()


class Luigid(ReadyScheduler):
    """The scheduler of a server: what it knows outlives it."""

    state_class = SavedState

    def dump(self) -> None:
        """Called by luigi's server when it ends."""
        super().dump()
        self.write_history()

    def save(self) -> None:
        """Write the state if it is another than the file's."""
        if not self._state.ready.saved:
            self._state.dump()

    def write_history(self) -> None:
        if not isinstance(self._task_history, NopHistory):
            self._task_history.flush()

    def forget_history(self) -> None:
        if not isinstance(self._task_history, NopHistory):
            self._task_history.prune()


def make() -> Luigid:
    """As luigi.cfg says: [scheduler], and if it records history [task_history] db_connection and keep_days.

    HistoryError if the history's database cannot be opened.
    """
    config = SchedulerConfig()
    if not config.record_task_history:
        return Luigid(config=config)
    from sqlalchemy import make_url
    from sqlalchemy.exc import OperationalError

    from scheduler.history import BatchedHistory

    cfg = get_config()
    connection = cfg.get("task_history", "db_connection")
    try:
        history = BatchedHistory(connection, cfg.getint("task_history", "keep_days", _KEEP_DAYS))
    except OperationalError as error:
        where = make_url(connection).render_as_string(hide_password=True)
        raise HistoryError(
            f"the history of tasks cannot be kept in {where} ({error.orig}); let this user write there, or set "
            f"[scheduler] record_task_history = false."
        ) from None
    return Luigid(config=config, task_history_impl=history)


def serve(address: str, port: int, state_path: str | None) -> None:
    """Until SIGTERM or SIGINT. OSError if the port is taken; HistoryError as `make` raises."""
    if state_path:
        get_config().set("scheduler", "state_path", state_path)
    luigi.server.RPCHandler = Calls  # type: ignore[misc]
    scheduler = make()
    for call, seconds in (
        (scheduler.save, _SAVE_EVERY),
        (scheduler.write_history, _WRITE_EVERY),
        (scheduler.forget_history, _FORGET_EVERY),
    ):
        PeriodicCallback(call, seconds * 1_000).start()
    scheduler.forget_history()
    log.info("luigid is at http://%s:%d", address, port)
    luigi.server.run(api_port=port, address=address, scheduler=scheduler)
