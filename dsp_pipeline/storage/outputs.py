"""Outputs that are files in the store: the files first, the receipt last.

outputs/<address>/<attempt>/<name>      the files
receipts/<address>.json                 which attempt counts
refused/<address>.jsonl.gz              lines of an hour that was refused, for a person to look at
refused/<address>.json                  what the checks of a day found that failed
"""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from dsp_pipeline.errors import ConflictError, NotFoundError, StorageError
from dsp_pipeline.receipts import Draft, File, Receipt
from dsp_pipeline.storage.base import ObjectStore
from dsp_pipeline.storage.receipts import ReceiptBook
from dsp_pipeline.storage.sweep import Pile, Shelves, Swept


class Outputs:
    """Keeps an output's files together under its address."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.receipts = ReceiptBook(store)

    def keep(
        self,
        draft: Draft,
        files: Mapping[str, Path],
        rows: int,
        *,
        rejected: Mapping[str, int] | None = None,
        duplicates: int = 0,
        details: Mapping[str, Any] | None = None,
        replace: bool = False,
    ) -> Receipt:
        """Store the files (by their names in the output) and then the receipt.

        If another writer was first, its receipt comes back and these files are taken away again.
        """
        attempt = f"outputs/{draft.address}/{secrets.token_hex(4)}"
        kept: list[File] = []
        try:
            for name, path in files.items():
                with path.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                kept.append(File(f"{attempt}/{name}", path.stat().st_size, digest))
                self._store.put(kept[-1].key, path)
            receipt = draft.finish(rows, kept, rejected=rejected, duplicates=duplicates, details=details)
        except BaseException:
            self._take_back(kept)
            raise
        try:
            # A receipt whose answer never came may be there all the same: its files stay, whatever else goes wrong.
            self.receipts.write(receipt, replace=replace)
        except ConflictError:
            self._take_back(kept)
            return self.receipts.read(draft.address)
        return receipt

    def _take_back(self, files: Iterable[File]) -> None:
        for file in files:
            self._store.delete(file.key)

    def open(self, receipt: Receipt, name: str) -> BinaryIO:
        """A stream over one file. NotFoundError if it has no such file, StorageError if its size differs."""
        for file in receipt.files:
            if file.key.rpartition("/")[2] == name:
                stream = self._store.get(file.key)
                if wrong := file.differs(stream.seek(0, io.SEEK_END)):
                    stream.close()
                    raise StorageError(f"{wrong}.")
                stream.seek(0)
                return stream
        raise NotFoundError(f"{receipt.address} has no file {name!r}.")

    def refuse(self, address: str, kind: str, content: bytes | Path) -> str:
        """Keep what a person needs to see why this output was refused. `kind` ends the key, which comes back."""
        key = f"refused/{address}.{kind}"
        self._store.put(key, content)
        return key

    def refused(self) -> dict[str, str]:
        """The address of each output that was refused lately, and the key of what was kept of it."""
        keys = [stored.key for stored in self._store.list("refused/")]
        return {key.removeprefix("refused/").removesuffix(".gz").rpartition(".")[0]: key for key in keys}

    def sweep(self, keep: Callable[[str], bool], before: datetime, *, remove: bool) -> Iterator[Swept]:
        """What is not needed. With `remove` each is removed before it is yielded; without it nothing changes.

        That is whole shelves (an address without its last part, as `ingest/click-1a2b3c4d5e6f`) that `keep` refuses and
        into which nothing was written since `before`, and, as old: attempts that no receipt names, what was refused.
        `before` is what protects those who write meanwhile: let it be days ago.
        """
        yield from Shelves(self._store, "outputs/", folders=True).sweep(keep, before, remove=remove)
        for stored in self._store.list("refused/"):
            if stored.modified < before.timestamp():
                if remove:
                    self._store.delete(stored.key)
                lines = stored.key.endswith(".jsonl.gz")
                why = "lines of an hour that was refused" if lines else "findings of a day that failed its checks"
                yield Pile([stored]).swept(stored.key, why)
