"""The receipts of all tables of a dataset: one table, `receipts`, to which rows are only added.

The row of the highest generation (and number, if a job had to be started again) counts. A row without a receipt says
that the partition is gone. Each row is inserted by a job whose id says which row it is, so none is inserted twice.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from dsp_pipeline.errors import WarehouseError
from dsp_pipeline.receipts import Receipt
from dsp_pipeline.warehouse.bigquery.clients import Clients
from dsp_pipeline.warehouse.bigquery.jobs import Jobs, birth

_TABLE = "receipts"
_COUNTS = "QUALIFY ROW_NUMBER() OVER (PARTITION BY table_id, partition_id ORDER BY generation DESC, number DESC) = 1"
# For which share of our patience (a minute, mostly) after another writer's job its receipt is waited for, before that
# writer counts as dead: the insert may have to queue behind others.
_WAITING = 1 / 2


@dataclass(frozen=True)
class Entry:
    """What the log says of a partition: -1 and no receipt if it says nothing."""

    generation: int = -1
    receipt: Receipt | None = None


@dataclass(frozen=True)
class Written:
    """How many partitions of a table are complete, and when the last of their receipts was added."""

    partitions: int
    last: datetime


class ReceiptLog:
    """Which partitions are complete."""

    def __init__(self, clients: Clients, jobs: Jobs) -> None:
        self._clients, self._jobs = clients, jobs
        settings = clients.settings
        self.place = f"{settings.project}.{settings.dataset}.{_TABLE}"

    def receipts(self, table: str) -> Mapping[str, Receipt]:
        """The receipts of all complete partitions of the table with this address, by partition. One query."""
        found = self._ask(
            f"SELECT partition_id, receipt FROM `{self.place}` WHERE table_id = @table_id {_COUNTS}",
            _text("table_id", table),
        )
        return {row["partition_id"]: _receipt(row["receipt"]) for row in found if row["receipt"] is not None}

    def complete(self, tables: Iterable[str]) -> set[tuple[str, str]]:
        """All complete partitions of several tables, as pairs of address and partition. One query."""
        from google.cloud import bigquery

        found = self._ask(
            f"SELECT table_id, partition_id, receipt IS NOT NULL AS complete FROM `{self.place}` "
            f"WHERE table_id IN UNNEST(@tables) {_COUNTS}",
            bigquery.ArrayQueryParameter("tables", "STRING", sorted(tables)),
        )
        return {(row["table_id"], row["partition_id"]) for row in found if row["complete"]}

    def written(self, tables: Iterable[str]) -> Mapping[str, Written]:
        """What is complete of several tables, by address; those of which nothing is are not in it. One query."""
        from google.cloud import bigquery

        found = self._ask(
            "SELECT table_id, COUNT(*) AS partitions, MAX(written_at) AS last "
            f"FROM (SELECT * FROM `{self.place}` WHERE table_id IN UNNEST(@tables) {_COUNTS}) "
            "WHERE receipt IS NOT NULL GROUP BY table_id",
            bigquery.ArrayQueryParameter("tables", "STRING", sorted(tables)),
        )
        return {row["table_id"]: Written(row["partitions"], row["last"]) for row in found}

    def entry(self, table: str, partition: str) -> Entry:
        """What counts for one partition."""
        found = self._ask(
            f"SELECT generation, receipt FROM `{self.place}` "
            f"WHERE table_id = @table_id AND partition_id = @partition_id {_COUNTS}",
            _text("table_id", table),
            _text("partition_id", partition),
        )
        if not found:
            return Entry()
        text = found[0]["receipt"]
        return Entry(found[0]["generation"], None if text is None else _receipt(text))

    def wait(self, table: str, partition: str, after: int, ended: datetime) -> Entry | None:
        """The entry of a later generation, which the writer whose job `ended` is about to add; None if it does not."""
        patience = self._clients.patience * _WAITING
        last, longest = ended + timedelta(seconds=patience), time.monotonic() + patience  # our clock may be slow
        while True:
            entry = self.entry(table, partition)
            if entry.generation > after:
                return entry
            if datetime.now(UTC) > last or time.monotonic() > longest:
                return None
            time.sleep(0.2)

    def add(self, name: str, table: str, partition: str, generation: int, number: int, receipt: Receipt) -> bool:
        """Add a row, once; False if another process was first. `name` begins the job's id."""
        from google.cloud import bigquery

        given = [
            _text("table_id", table),
            _text("partition_id", partition),
            bigquery.ScalarQueryParameter("generation", "INT64", generation),
            bigquery.ScalarQueryParameter("number", "INT64", number),
            _text("receipt", receipt.to_json().decode()),
        ]
        sql = (
            f"INSERT INTO `{self.place}` (table_id, partition_id, generation, number, written_at, receipt) "
            "SELECT @table_id, @partition_id, @generation, @number, CURRENT_TIMESTAMP(), @receipt FROM (SELECT 1) "
            f"WHERE NOT EXISTS (SELECT 1 FROM `{self.place}` WHERE table_id = @table_id "
            "AND partition_id = @partition_id AND generation = @generation AND number = @number)"
        )
        what = f"the receipt of {table}/{partition} cannot be written"
        return self._inserted(f"{name}-receipt-{number}", sql, given, what) == 1

    def withdraw(self, table: str, before: datetime) -> bool:
        """Say of all partitions of the table that they are gone; False if none is complete, or one is since `before`.

        One statement looks and writes. Its rows are two generations later: a writer who is at work on the table may yet
        add the next one, and what it wrote goes too.
        """
        from google.cloud import bigquery

        given = [_text("table_id", table), bigquery.ScalarQueryParameter("before", "TIMESTAMP", before)]
        sql = (
            f"INSERT INTO `{self.place}` (table_id, partition_id, generation, number, written_at, receipt) "
            "SELECT table_id, partition_id, generation + 2, 0, CURRENT_TIMESTAMP(), CAST(NULL AS STRING) "
            f"FROM (SELECT * FROM `{self.place}` WHERE table_id = @table_id {_COUNTS}) "
            f"WHERE receipt IS NOT NULL AND NOT EXISTS (SELECT 1 FROM `{self.place}` "
            "WHERE table_id = @table_id AND receipt IS NOT NULL AND written_at >= @before)"
        )
        name = f"dsp-{self._clients.settings.dataset}-{table}-gone-{secrets.token_hex(8)}"
        return self._inserted(name, sql, given, f"the receipts of {table} cannot be withdrawn") > 0

    def _inserted(self, name: str, sql: str, given: list[Any], what: str) -> int:
        """How many rows the statement added, if this process was the first to run it. `name` begins the job's id."""
        from google.cloud import bigquery

        def start(job_id: str, labels: Mapping[str, str]) -> Any:
            config = bigquery.QueryJobConfig(query_parameters=given, labels={**self._clients.settings.labels, **labels})
            client, retry = self._clients.bigquery, self._clients.retry
            return client.query(sql, job_config=config, job_id=job_id, retry=retry, job_retry=None)

        ran = next(self._jobs.once(name, "", what, start))
        return ran.job.num_dml_affected_rows or 0 if ran.mine else 0

    @cached_property
    def born(self) -> str:
        """When the table was made, which this does if it is not there."""
        from google.cloud import bigquery

        table = bigquery.Table(
            self.place,
            schema=[
                bigquery.SchemaField("table_id", "STRING"),
                bigquery.SchemaField("partition_id", "STRING"),
                bigquery.SchemaField("generation", "INT64"),
                bigquery.SchemaField("number", "INT64"),
                bigquery.SchemaField("written_at", "TIMESTAMP"),
                bigquery.SchemaField("receipt", "STRING"),
            ],
        )
        table.clustering_fields = ["table_id", "partition_id"]
        table.description = "Which partitions are complete, and what made them. Rows are only added."
        table.labels = dict(self._clients.settings.labels)
        with self._jobs.told(f"{self.place} cannot be made"):
            made = self._clients.bigquery.create_table(table, exists_ok=True, retry=self._clients.retry)
        return birth(made)

    def _ask(self, sql: str, *parameters: Any) -> list[Any]:
        from google.api_core import exceptions as api

        try:
            return self._jobs.ask(sql, list(parameters), f"{self.place} cannot be read")
        except WarehouseError as error:
            # Before the first receipt there is no table; a dataset that is not there is an error.
            if isinstance(error.__cause__, api.NotFound) and f".{_TABLE}" in str(error.__cause__):
                return []
            raise


def _text(name: str, value: str) -> Any:
    from google.cloud import bigquery

    return bigquery.ScalarQueryParameter(name, "STRING", value)


def _receipt(text: str) -> Receipt:
    try:
        return Receipt.from_json(text.encode())
    except (ValueError, TypeError, KeyError) as error:
        raise WarehouseError(f"a row of the table {_TABLE} is no receipt ({error}): {text[:80]}; remove it.") from error
