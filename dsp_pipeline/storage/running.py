"""Who is making what at this moment: `running/<address>.json`, there while an output is made.

It is told, not enforced: that an output is written once is what receipts see to, and two writers that know nothing of
each other are safe. Whoever is about to make something *anew* looks here first.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dsp_pipeline.errors import ConflictError, NotFoundError, RunningError, StorageError
from dsp_pipeline.processes import alive
from dsp_pipeline.storage.base import ObjectStore

_ROOT = "running/"
_HOLDS = 180.0  # seconds that a note counts without being renewed: its writer may have been killed
_RENEW = 60.0
_MOST_BYTES = 1 << 16  # a note has some hundred: of what is longer nothing can be made, so it is taken over


@dataclass(frozen=True)
class Runner:
    """A process that makes an output. Times are ISO, UTC; after `until` it is taken for dead."""

    who: str
    host: str
    pid: int
    since: str
    until: str

    @property
    def alive(self) -> bool:
        if self.host == socket.gethostname() and not alive(self.pid):
            return False
        return datetime.fromisoformat(self.until) > datetime.now(UTC)

    def __str__(self) -> str:
        return f"{self.who}@{self.host} (process {self.pid}) since {self.since[:16].replace('T', ' ')} UTC"


class Running:
    """The notes in one store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def who(self, address: str) -> Runner | None:
        """Who makes the output at this moment; None if nobody does."""
        found = self._look(address)
        return found[0] if found and found[0].alive else None

    @contextmanager
    def hold(self, address: str, *, alone: bool = False) -> Iterator[None]:
        """Say that this process makes the output, until the block ends.

        With `alone`, RunningError if another one does; without, both go on, and the note is the first one's.
        """
        key, since = f"{_ROOT}{address}.json", datetime.now(UTC)
        etag = self._take(address, key, since, alone)
        if etag is None:
            yield
            return
        ended = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(key, etag, since, ended), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()
            with suppress(StorageError):  # it ends by itself, and what was made is made
                self._store.delete(key)

    def _take(self, address: str, key: str, since: datetime, alone: bool) -> str | None:
        """The etag of our note; None if another process has one and that does not matter."""
        while True:
            with suppress(ConflictError):
                return self._store.put(key, _note(since), if_absent=True)
            found = self._look(address)
            if found is None:
                continue  # it ended at this moment
            if not found[0].alive:
                with suppress(ConflictError):
                    return self._store.put(key, _note(since), if_match=found[1])
                continue  # somebody was a moment faster
            if alone:
                raise RunningError(f"{address} is being made by {found[0]}; wait until that has ended, or end it.")
            return None

    def _renew(self, key: str, etag: str, since: datetime, ended: threading.Event) -> None:
        while not ended.wait(_RENEW):
            try:
                etag = self._store.put(key, _note(since), if_match=etag)
            except StorageError:
                return  # it was taken over, or the store does not answer: the note ends by itself

    def _look(self, address: str) -> tuple[Runner, str] | None:
        """The note and its etag, listed before it is read, so that a swap with a newer note fails."""
        key = f"{_ROOT}{address}.json"
        etag = next((stored.etag for stored in self._store.list(key) if stored.key == key), None)
        if etag is None:
            return None
        try:
            with self._store.get(key) as stream:
                return Runner(**json.loads(stream.read(_MOST_BYTES))), etag
        except NotFoundError:
            return None
        except (ValueError, TypeError, RecursionError):
            return Runner("?", "?", 0, "?", datetime.min.replace(tzinfo=UTC).isoformat()), etag  # to be taken over


def _note(since: datetime) -> bytes:
    until = datetime.now(UTC) + timedelta(seconds=_HOLDS)
    try:
        who = getpass.getuser()
    except (KeyError, OSError):
        who = str(os.getuid())  # a container's user may have no name
    said = Runner(who, socket.gethostname(), os.getpid(), since.isoformat(), until.isoformat())
    return json.dumps(vars(said)).encode()
