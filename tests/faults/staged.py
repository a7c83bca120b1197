"""Writers that do one thing to a store each time they are told to, so that a test decides who goes first and who dies.

Each runs the product's own code in a thread, which waits before each of its calls of the store. One that is killed does
nothing to the store any more, whatever it would do on its way out: as a process that `kill -9` ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from dsp_pipeline.storage.base import ObjectStore, Stored

_PATIENCE = 60.0


class Killed(BaseException):
    """Ends a writer."""


class Writer:
    """`act` is what it does, given its view of the store. `finished` says that it has ended, with `answer` or `error`;
    neither is there if it was killed."""

    def __init__(self, store: ObjectStore, act: Callable[[ObjectStore], Any]) -> None:
        self.answer: Any = None
        self.error: BaseException | None = None
        self.finished = self.dead = False
        self._go, self._waits = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(act, _Staged(store, self._turn)), daemon=True)
        self._thread.start()
        self._wait()

    def advance(self) -> None:
        """Let it do its next thing to the store, and go on to the one after."""
        if not self.finished:
            self._go.release()
            self._wait()

    def kill(self) -> None:
        """End it before its next thing."""
        self.dead = True
        while not self.finished:
            self.advance()

    def _wait(self) -> None:
        assert self._waits.acquire(timeout=_PATIENCE), "the writer does not come to its next call of the store"
        if self.finished:
            self._thread.join()

    def _turn(self) -> None:
        self._waits.release()
        self._go.acquire()
        if self.dead:
            raise Killed

    def _run(self, act: Callable[[ObjectStore], Any], store: ObjectStore) -> None:
        try:
            self.answer = act(store)
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        self.finished = True
        self._waits.release()


class _Staged:
    """An ObjectStore that waits for its turn before each call."""

    def __init__(self, store: ObjectStore, turn: Callable[[], None]) -> None:
        self._store, self._turn = store, turn

    def get(self, key: str) -> BinaryIO:
        self._turn()
        return self._store.get(key)

    def put(self, key: str, data: bytes | Path, *, if_absent: bool = False, if_match: str | None = None) -> str:
        self._turn()
        return self._store.put(key, data, if_absent=if_absent, if_match=if_match)

    def list(self, prefix: str) -> Iterator[Stored]:
        self._turn()
        yield from list(self._store.list(prefix))

    def delete(self, key: str) -> None:
        self._turn()
        self._store.delete(key)
