"""A `.sql` file → one day of its table."""

from __future__ import annotations

from datetime import date, datetime

import luigi

from dsp_pipeline.errors import SettingsError
from dsp_pipeline.events.schema import EVENTS
from targets.receipt import ReceiptTarget
from tasks.bigquery_load import BigQueryLoad
from tasks.parameters import DayParameter
from tasks.receipt_task import ReceiptTask, table_index


class FeatureBuild(ReceiptTask):
    """Builds one day of the table that `features/<table>.sql` defines, from the partitions that its header names."""

    table = luigi.Parameter(positional=False, description="the name of a .sql file in dsp_pipeline/features/")
    date = DayParameter(description="the day, as 2026-11-21")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.platform.catalog.query(self.table)  # an unknown table, or a wrong file, is told before anything runs
        first = self.platform.settings.first_date
        if self.date < first:
            raise SettingsError(f"{self.date} is before the first day of logs, {first} ([dsp] first_date).")

    def requires(self) -> list[luigi.Task]:
        slices = self.platform.slices(self.platform.table(self.table), self.date)
        return [
            upstream(name, partition) for name, slice_ in slices.items() for partition in slice_.partitions
        ]

    def output(self) -> ReceiptTarget:
        partition = self.date.isoformat()
        return ReceiptTarget(
            table_index(self.table), f"{self.platform.table(self.table).address}/{partition}", partition
        )

    def run(self) -> None:
        platform, table = self.platform, self.platform.table(self.table)
        slices = platform.slices(table, self.date)
        inputs = [receipt.as_input() for slice_ in slices.values() for receipt in platform.receipts(slice_)]
        draft = platform.draft(self.output().address, table.version, inputs)
        self.done(platform.warehouse.build(table, self.date, slices, draft))


def upstream(name: str, partition: str) -> luigi.Task:
    """The task that fills a partition of an event or of a query's table."""
    if name in EVENTS:
        return BigQueryLoad(event=name, hour=datetime.strptime(partition, "%Y-%m-%dT%H"))
    return FeatureBuild(table=name, date=date.fromisoformat(partition))


