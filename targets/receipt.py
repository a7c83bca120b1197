"""Luigi's view of an output: it is there when its receipt is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import luigi

from dsp_pipeline.errors import NotFoundError
from dsp_pipeline.receipts import Receipt

# Completeness is asked for thousands of tasks at once while a graph is planned. One listing answers them all; another
# one is made for a "no" only when the last is older than this many seconds.
_FRESH = 5.0
# A receipt may be read once and used for this many seconds. If somebody else replaces it meanwhile, what is made here
# names the old one as its input and so counts as stale: at worst it is made once more, it never passes for newer.
_KEPT = 60.0


class ReceiptIndex:
    """Which outputs of one kind are complete, and their receipts.

    `look` is one listing or query: the names of all that are complete, with their receipts where those come with it.
    `read` gets one receipt where they do not. What this process writes is known at once through `add`.
    """

    def __init__(
        self, look: Callable[[], Mapping[str, Receipt | None]], read: Callable[[str], Receipt | None] | None = None
    ) -> None:
        self._look, self._read = look, read
        self._known: dict[str, tuple[float, Receipt | None]] = {}  # by name, with the time when it was read
        self._looked_at = float("-inf")

    def has(self, name: str) -> bool:
        if name not in self._known and time.monotonic() - self._looked_at > _FRESH:
            self._look_again()
        return name in self._known

    def get(self, name: str) -> Receipt | None:
        """The receipt; None only if it is not there at this moment."""
        read_at, receipt = self._known.get(name, (float("-inf"), None))
        if receipt is None or time.monotonic() - read_at > _KEPT:
            if self._read is None:
                self._look_again()
                return self._known.get(name, (0.0, None))[1]
            receipt = self._read(name)
            if receipt is not None:
                self.add(name, receipt)
        return receipt

    def names(self) -> list[str]:
        """All that were complete a few seconds ago, in order."""
        if time.monotonic() - self._looked_at > _FRESH:
            self._look_again()
        return sorted(self._known)

    def add(self, name: str, receipt: Receipt) -> None:
        self._known[name] = (time.monotonic(), receipt)

    def _look_again(self) -> None:
        now = time.monotonic()
        self._known = {
            name: self._known.get(name, (now, None)) if receipt is None else (now, receipt)
            for name, receipt in self._look().items()
        }
        self._looked_at = time.monotonic()


class ReceiptTarget(luigi.Target):
    """The output at an address. `name` is what the index calls it."""

    def __init__(self, index: ReceiptIndex, address: str, name: str | None = None) -> None:
        self.address = address
        self._index, self._name = index, name or address

    def __str__(self) -> str:
        return self.address

    def exists(self) -> bool:
        return self._index.has(self._name)

    def receipt(self) -> Receipt:
        """NotFoundError if the output is not complete at this moment."""
        found = self._index.get(self._name)
        if found is None:
            raise NotFoundError(f"{self.address} is not complete: it has no receipt.")
        return found

    def written(self, receipt: Receipt) -> None:
        """Tell the index of this process, so that it need not look again."""
        self._index.add(self._name, receipt)
