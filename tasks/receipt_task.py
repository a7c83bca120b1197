"""What the five steps have in common: they are complete when their receipt is there."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import date
from functools import cache
from typing import Any

import luigi
from luigi.task import MixinNaiveBulkComplete

from dsp_pipeline.errors import DspError, NotFoundError, NotReadyError, StorageError, first_line
from dsp_pipeline.fingerprint import Version
from dsp_pipeline.meter import release_memory
from dsp_pipeline.platform import Platform
from dsp_pipeline.receipts import Draft, Input, Receipt
from dsp_pipeline.storage.local import cure, is_full
from dsp_pipeline.warehouse.base import Slice
from targets.receipt import ReceiptIndex, ReceiptTarget
from tasks.settings import platform, refuse_before_first

log = logging.getLogger("dsp")

# The luigi event of a receipt that a task has written: handlers get both.
MADE = "event.dsp.made"


@cache
def store_index(prefix: str) -> ReceiptIndex:
    """Complete outputs of the store whose address starts with `prefix`."""
    book = platform().outputs.receipts

    def read(address: str) -> Receipt | None:
        try:
            return book.read(address)
        except NotFoundError:
            return None

    return ReceiptIndex(lambda: dict.fromkeys(book.addresses(prefix)), read)


@cache
def table_index(name: str) -> ReceiptIndex:
    """Complete partitions of a table."""
    return ReceiptIndex(lambda: platform().warehouse.receipts(platform().table(name)))


def forget() -> None:
    """Ask the lake anew from now on: a "no" may be some seconds old."""
    store_index.cache_clear()
    table_index.cache_clear()


def receipts(slice_: Slice) -> list[Receipt]:
    """The receipts of the partitions, in their order. NotReadyError if one is not complete at this moment."""
    index, found = table_index(slice_.table.name), []
    for partition in slice_.partitions:
        receipt = index.get(partition)
        if receipt is None:
            missing = [partition for partition in slice_.partitions if not index.has(partition)]
            raise NotReadyError(
                f"{slice_.table.name} is not there yet for {', '.join(missing[:3])}{' …' if missing[3:] else ''} "
                f"({len(missing)} of {len(slice_.partitions)} partitions); run what loads it first."
            )
        found.append(receipt)
    return found


def lineage(inputs: Iterable[Input]) -> dict[str, Any]:
    """Everything upstream of these: receipt by address, down to the raw files that ingests name as inputs."""
    found: dict[str, Any] = {}
    ahead = list(inputs)
    while ahead:
        address = ahead.pop().name
        upstream = None if address in found else _receipt_at(address)
        if upstream is not None:
            found[address] = json.loads(upstream.to_json())
            ahead.extend(upstream.inputs)
    return dict(sorted(found.items()))


def _receipt_at(address: str) -> Receipt | None:
    """The receipt of an output of the store or the warehouse; None for a raw file, which is all there is of itself."""
    stem, _, name = address.rpartition("/")
    if address.startswith("raw/"):
        return None
    if stem.startswith(("ingest/", "train/", "step/")):
        return ReceiptTarget(store_index(f"{stem}/"), address).receipt()
    return ReceiptTarget(table_index(stem.rpartition("_")[0]), address, name).receipt()


class ReceiptTask(MixinNaiveBulkComplete, luigi.Task):
    """A task with one output, known by its receipt. A thousand of them are asked for with one listing.

    What is wrong with the settings, or cannot be for this day, is told when the task is made: before anything runs.
    A step says where its output is (`output`), what it would read now (`inputs`) and how it is made (`make`).
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        refuse_before_first(self.day)

    @property
    def day(self) -> date:
        """The day that the output is of."""
        given: date = self.param_kwargs["date"] if "date" in self.param_kwargs else self.param_kwargs["hour"].date()
        return given

    @property
    def platform(self) -> Platform:
        return platform()

    def output(self) -> ReceiptTarget:
        raise NotImplementedError

    def inputs(self) -> list[Input]:
        """What there is to read at this moment, each with its digest."""
        raise NotImplementedError

    def make(self, draft: Draft, *, replace: bool) -> Receipt:
        """Write the output and its receipt. `replace` puts a new attempt in the place of a complete one."""
        raise NotImplementedError

    def receipt(self) -> Receipt | None:
        """The receipt of the output, None if it was not complete a few seconds ago."""
        output = self.output()
        return output.receipt() if output.exists() else None

    def version(self) -> Version:
        """What makes the output; its name is part of the address."""
        raise NotImplementedError

    def run(self, *, replace: bool = False) -> None:
        """Make the output if it is not there. With `replace` make it anew: RunningError if another process makes it."""
        if not replace and self.output().exists():
            return  # another worker made it after this one planned it, or luigid has forgotten
        address = self.output().address
        with self.platform.running.hold(address, alone=replace):
            draft = self.platform.draft(address, self.version(), self.inputs())
            try:
                receipt = self.make(draft, replace=replace)
            except OSError as error:
                if isinstance(error, DspError) or not is_full(error):
                    raise
                raise StorageError(f"{address} cannot be written: {first_line(error)}; {cure(error)}.") from error
            finally:
                release_memory()
        self.output().written(receipt)
        self.trigger_event(MADE, self, receipt)
        rejected = f", {sum(receipt.rejected.values()):,} rejected" if receipt.rejected else ""
        twice = f", {receipt.duplicates:,} duplicates" if receipt.duplicates else ""
        log.info("%s: %s rows%s%s in %.2f s", self, f"{receipt.rows:,}", rejected, twice, receipt.seconds)


class StoreTask(ReceiptTask):
    """A step whose output is files in the store, at `<shelf><name>`: one listing of the shelf answers for all."""

    def place(self) -> tuple[str, str]:
        """The shelf, which ends with a slash, and the name on it."""
        raise NotImplementedError

    def output(self) -> ReceiptTarget:
        shelf, name = self.place()
        return ReceiptTarget(store_index(shelf), shelf + name)


class TableTask(ReceiptTask):
    """A step whose output is a partition of a warehouse table: one query answers for all its partitions."""

    def place(self) -> tuple[str, str]:
        """The table and the partition."""
        raise NotImplementedError

    def output(self) -> ReceiptTarget:
        table, partition = self.place()
        return ReceiptTarget(table_index(table), f"{self.platform.table(table).address}/{partition}", partition)

    def version(self) -> Version:
        return self.platform.version(self.place()[0])
