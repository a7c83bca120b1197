"""What is not needed any more: whole shelves of outputs, and what writers left that were killed or replaced.

A shelf holds the outputs of one version: `ingest/click-<version>` those of all hours. Their receipts lie at
`receipts/<shelf>/<name>.json`, their files below `<root><shelf>/<name>/<attempt>`. Nobody is locked out of a shelf that
is swept: what protects a writer is that nothing is touched that was written since a time, which should be days ago.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from dsp_pipeline.errors import NotFoundError
from dsp_pipeline.storage.base import ObjectStore, Stored
from dsp_pipeline.storage.receipts import ReceiptBook

LEFTOVER = "left by a writer that was killed or replaced"
_RECEIPTS, _END = "receipts/", ".json"


@dataclass(frozen=True)
class Swept:
    """Something that is not needed, and is gone if the sweep was to remove.

    `address` is that of a table, a shelf or a bundle; of anything else it is where it lies. `parts` counts its files,
    or its partitions in BigQuery. `size` is in bytes. `why` is for a person to read.
    """

    address: str
    parts: int
    size: int
    why: str


def unneeded(last: datetime) -> str:
    """Why something goes that was `last` written then."""
    return f"nothing needs this version, last written {last.astimezone(UTC):%Y-%m-%d}"


class Pile:
    """How much some files are together; `newest` is when the last of them was written, in epoch seconds."""

    def __init__(self, files: Iterable[Stored] = ()) -> None:
        self.parts, self.size, self.newest = 0, 0, 0.0
        for stored in files:
            self.add(stored)

    def add(self, stored: Stored) -> None:
        self.parts += 1
        self.size += stored.size
        self.newest = max(self.newest, stored.modified)

    def swept(self, address: str, why: str | None = None) -> Swept:
        """By default because nothing needs its version."""
        return Swept(address, self.parts, self.size, why or unneeded(datetime.fromtimestamp(self.newest, UTC)))


class Shelves:
    """The shelves of a store below `root`. An attempt is a folder there, or one file if `folders` is false."""

    def __init__(self, store: ObjectStore, root: str, *, folders: bool) -> None:
        self._store, self._root, self._folders = store, root, folders
        self._book = ReceiptBook(store)

    def sweep(self, keep: Callable[[str], bool], before: datetime, *, remove: bool) -> Iterator[Swept]:
        """Shelves that `keep` refuses and into which nothing was written since `before`; elsewhere attempts, as old,
        that no receipt names.

        One listing of receipts and one of files, and another of each shelf that is removed; only where there is more or
        less than one attempt to a receipt is it read. Memory grows with the receipts, by their addresses.
        """
        limit = before.timestamp()
        shelves: defaultdict[str, Pile] = defaultdict(Pile)
        complete = set()
        for stored in self._store.list(_RECEIPTS):
            complete.add(address := _complete(stored.key))
            shelves[_shelf(address)].add(stored)
        doubtful: list[tuple[str, list[Stored]]] = []
        for address, files in groupby(self._store.list(self._root), lambda stored: self._address(stored.key)):
            attempts: defaultdict[str, list[Stored]] = defaultdict(list)
            for stored in files:
                attempts[self._attempt(stored.key)].append(stored)
                shelves[_shelf(address)].add(stored)
            if len(attempts) > 1 or address not in complete:
                old = (one for one in attempts.values() if Pile(one).newest < limit)
                doubtful.extend((address, one) for one in old)
        shelves.pop("", None)  # what does not lie on a shelf is not ours
        gone = set()
        for shelf, pile in sorted(shelves.items()):
            if pile.newest < limit and not keep(shelf) and (not remove or self._removed(shelf, limit)):
                gone.add(shelf)
                yield pile.swept(shelf)
        for address, attempt in doubtful:
            if _shelf(address) and _shelf(address) not in gone and not self._named(address, attempt):
                for stored in attempt if remove else ():
                    self._store.delete(stored.key)
                yield Pile(attempt).swept(self._attempt(attempt[0].key), LEFTOVER)

    def _removed(self, shelf: str, limit: float) -> bool:
        """Remove it, receipts first, so that none is without its files; False if somebody has begun to write to it."""
        receipts = [one for one in self._store.list(f"{_RECEIPTS}{shelf}/") if _shelf(_complete(one.key)) == shelf]
        files = [one for one in self._store.list(f"{self._root}{shelf}/") if _shelf(self._address(one.key)) == shelf]
        if any(stored.modified >= limit for stored in (*receipts, *files)):
            return False
        for stored in (*receipts, *files):
            self._store.delete(stored.key)
        return True

    def _named(self, address: str, attempt: list[Stored]) -> bool:
        """Whether the output's receipt, as it is now, names the attempt."""
        try:
            named = {file.key for file in self._book.read(address).files}
        except NotFoundError:
            return False
        return any(stored.key in named for stored in attempt)

    def _attempt(self, key: str) -> str:
        return key.rpartition("/")[0] if self._folders else key

    def _address(self, key: str) -> str:
        return self._attempt(key)[len(self._root) :].rpartition("/")[0]


def _complete(key: str) -> str:
    """The address of a receipt."""
    return key[len(_RECEIPTS) : -len(_END)]


def _shelf(address: str) -> str:
    return address.rpartition("/")[0]
