"""What the five steps have in common: they are complete when their receipt is there."""

from __future__ import annotations

import logging
from functools import cache

import luigi
from luigi.task import MixinNaiveBulkComplete

from dsp_pipeline.platform import Platform
from dsp_pipeline.receipts import Receipt
from targets.receipt import ReceiptIndex, ReceiptTarget
from tasks.settings import platform

log = logging.getLogger("dsp")


@cache
def store_index(prefix: str) -> ReceiptIndex:
    """Complete outputs of the store whose address starts with `prefix`."""
    return ReceiptIndex(lambda: platform().outputs.receipts.addresses(prefix))


@cache
def table_index(name: str) -> ReceiptIndex:
    """Complete partitions of a table."""
    return ReceiptIndex(lambda: platform().warehouse.receipts(platform().table(name)))


class ReceiptTask(MixinNaiveBulkComplete, luigi.Task):
    """A task with one output, known by its receipt. A thousand of them are asked for with one listing."""

    @property
    def platform(self) -> Platform:
        return platform()

    def output(self) -> ReceiptTarget:
        raise NotImplementedError  # each step says where its output is

    def done(self, receipt: Receipt) -> None:
        """Tell this process and the log that the output is there."""
        self.output().written()
        rejected = f", {sum(receipt.rejected.values()):,} rejected" if receipt.rejected else ""
        twice = f", {receipt.duplicates:,} duplicates" if receipt.duplicates else ""
        log.info("%s: %s rows%s%s in %.2f s", self, f"{receipt.rows:,}", rejected, twice, receipt.seconds)
