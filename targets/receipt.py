"""Luigi's view of an output: it is there when its receipt is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import luigi

# Completeness is asked for thousands of tasks at once while a graph is planned. One listing answers them all; another
# one is made for a "no" only when the last is older than this many seconds.
_FRESH = 5.0


class ReceiptIndex:
    """Which outputs of one kind are complete, from one listing or query.

    A "yes" is final, because receipts are not taken away; what this process writes is known at once through `add`.
    """

    def __init__(self, fetch: Callable[[], Iterable[str]]) -> None:
        self._fetch = fetch
        self._known: set[str] = set()
        self._asked_at = float("-inf")

    def has(self, name: str) -> bool:
        if name not in self._known and time.monotonic() - self._asked_at > _FRESH:
            self._known.update(self._fetch())
            self._asked_at = time.monotonic()
        return name in self._known

    def add(self, name: str) -> None:
        self._known.add(name)


class ReceiptTarget(luigi.Target):
    """The output at an address. `name` is what the index calls it."""

    def __init__(self, index: ReceiptIndex, address: str, name: str | None = None) -> None:
        self.address = address
        self._index, self._name = index, name or address

    def __str__(self) -> str:
        return self.address

    def exists(self) -> bool:
        return self._index.has(self._name)

    def written(self) -> None:
        """Tell the index of this process, so that it need not look again."""
        self._index.add(self._name)
