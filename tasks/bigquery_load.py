"""Typed Parquet of an hour → one partition of the warehouse."""

from __future__ import annotations

from dsp_pipeline.receipts import Draft, Input, Receipt
from tasks.parameters import EventParameter, HourParameter
from tasks.receipt_task import TableTask
from tasks.s3_log_ingest import S3LogIngest


class BigQueryLoad(TableTask):
    """Fills an hour's partition with what the ingest made. Twice is the same as once."""

    event = EventParameter(positional=False, description="bid, win, impression, click or conversion")
    hour = HourParameter(description="the hour in UTC, as 2026-11-21T05")

    def requires(self) -> S3LogIngest:
        return S3LogIngest(event=self.event, hour=self.hour)

    def place(self) -> tuple[str, str]:
        return self.event, f"{self.hour:%Y-%m-%dT%H}"

    def inputs(self) -> list[Input]:
        return [self._ingested().as_input()]

    def make(self, draft: Draft, *, replace: bool) -> Receipt:
        table, partition = self.place()
        ingested, warehouse = self._ingested(), self.platform.warehouse
        with self.platform.outputs.open(ingested, "events.parquet") as events:
            return warehouse.load(
                self.platform.table(table), partition, [events], draft, rows=ingested.rows, replace=replace
            )

    def _ingested(self) -> Receipt:
        return self.requires().output().receipt()
