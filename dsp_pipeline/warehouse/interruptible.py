"""A DuckDB query that a signal ends. On the main thread one runs to its end: signals wait until it has answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import duckdb

Answered = TypeVar("Answered")

_LOOK_EVERY = 0.5  # seconds; a signal is seen at once


def interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[[], Answered]) -> Answered:
    """What `work`, which asks the connection, returns or raises.

    It runs on another thread. Whatever a signal raises here meanwhile (KeyboardInterrupt, say) interrupts the query,
    and is raised once that has ended, so that its files can be removed.
    """
    ended, answers, errors = threading.Event(), list[Answered](), list[BaseException]()

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=run, name="query", daemon=True)
    thread.start()
    try:
        while not ended.wait(_LOOK_EVERY):
            pass
    except BaseException:
        # Between two queries of `work` there is nothing to interrupt, so it is tried until none follows.
        while not ended.is_set():
            with suppress(Exception):
                connection.interrupt()
            ended.wait(_LOOK_EVERY)
        raise
    finally:
        thread.join()
    if errors:
        raise errors[0]
    return answers[0]
