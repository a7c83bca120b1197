"""Typed Parquet of an hour → one partition of the warehouse."""

from __future__ import annotations

from targets.receipt import ReceiptTarget
from tasks.parameters import EventParameter, HourParameter
from tasks.receipt_task import ReceiptTask, table_index
from tasks.s3_log_ingest import S3LogIngest


class BigQueryLoad(ReceiptTask):
    """Replaces an hour's partition by what the ingest made. Twice is the same as once."""

    event = EventParameter(positional=False, description="bid, win, impression, click or conversion")
    hour = HourParameter(description="the hour in UTC, as 2026-11-21T05")

    def requires(self) -> S3LogIngest:
        return S3LogIngest(event=self.event, hour=self.hour)

    def output(self) -> ReceiptTarget:
        partition = f"{self.hour:%Y-%m-%dT%H}"
        return ReceiptTarget(
            table_index(self.event), f"{self.platform.table(self.event).address}/{partition}", partition
        )

    def run(self) -> None:
        platform, table = self.platform, self.platform.table(self.event)
        ingested = platform.outputs.receipts.read(self.requires().output().address)
        draft = platform.draft(self.output().address, table.version, [ingested.as_input()])
        with platform.outputs.open(ingested, "events.parquet") as events:
            receipt = platform.warehouse.load(table, f"{self.hour:%Y-%m-%dT%H}", [events], draft)
        self.done(receipt)
