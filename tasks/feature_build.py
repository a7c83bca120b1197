"""A `.sql` file → one day of its table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import luigi

from dsp_pipeline.errors import SettingsError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.receipts import Draft, Input, Receipt
from dsp_pipeline.warehouse.base import Slice
from tasks.bigquery_load import BigQueryLoad
from tasks.check_data import checks
from tasks.parameters import BuiltDayParameter
from tasks.receipt_task import TableTask, receipts


class FeatureBuild(TableTask):
    """Builds one day of the table that `features/<table>.sql` defines, from the partitions that its header names."""

    table = luigi.Parameter(positional=False, description="the name of a .sql file in dsp_pipeline/features/")
    date = BuiltDayParameter(description="the day, as 2026-11-21, or yesterday")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        if self.table in EVENTS:
            raise SettingsError(f"{self.table} is an event, not a table of features/; BigQueryLoad loads its hours.")
        for read in self.platform.catalog.query(self.table).reads:
            self.platform.checks.of(read.table)  # an unknown table, or a wrong file, is told before anything runs

    def requires(self) -> list[luigi.Task]:
        """What its query reads, and the checks of that: they stop the build, and are no part of what it makes."""
        return [one for name, slice_ in self._slices().items() for one in checked(name, slice_.partitions)]

    def place(self) -> tuple[str, str]:
        return self.table, self.date.isoformat()

    def inputs(self) -> list[Input]:
        return [receipt.as_input() for slice_ in self._slices().values() for receipt in receipts(slice_)]

    def make(self, draft: Draft, *, replace: bool) -> Receipt:
        table = self.platform.table(self.table)
        return self.platform.warehouse.build(table, self.date, self._slices(), draft, replace=replace)

    def _slices(self) -> dict[str, Slice]:
        return self.platform.slices(self.platform.table(self.table), self.date)


def upstream(name: str, partition: str) -> luigi.Task:
    """The task that fills a partition of an event or of a query's table."""
    if name in EVENTS:
        return BigQueryLoad(event=name, hour=datetime.strptime(partition, "%Y-%m-%dT%H"))
    return FeatureBuild(table=name, date=date.fromisoformat(partition))


def checked(name: str, partitions: Sequence[str]) -> list[luigi.Task]:
    """The tasks that fill these partitions, and the checks of their days."""
    days = sorted({date.fromisoformat(partition[:10]) for partition in partitions})
    return [*(upstream(name, partition) for partition in partitions), *checks(name, days)]
