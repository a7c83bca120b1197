"""Tables and their partitions, as BigQuery names and bounds them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from dsp_pipeline.errors import WarehouseError
from dsp_pipeline.events.schema import LISTS, Event
from dsp_pipeline.warehouse.base import DATE_COLUMN, Slice, Table
from dsp_pipeline.warehouse.bigquery.clients import Clients
from dsp_pipeline.warehouse.bigquery.jobs import Jobs, birth
from dsp_pipeline.warehouse.nothing import TYPES

if TYPE_CHECKING:
    from google.cloud import bigquery
    from google.cloud.bigquery.table import TableListItem

_MOST_CLUSTERED = 4
_PAGE = 1000  # tables in one answer of a listing
_VERSION = re.compile(r"[0-9a-f]{12}")
_CLUSTERABLE = frozenset({"STRING", "INTEGER", "INT64", "DATE", "TIMESTAMP", "BOOLEAN", "BOOL"})


class Tables:
    """Makes tables when they are first written, and tells where they are."""

    def __init__(self, clients: Clients, jobs: Jobs) -> None:
        self._clients, self._jobs = clients, jobs
        self._born: dict[str, str] = {}

    def place(self, table: Table, partition: str | None = None) -> str:
        """`project.dataset.table`, or `…table$20261121` of one partition."""
        settings = self._clients.settings
        return f"{settings.project}.{settings.dataset}.{table.address}{decorator(partition) if partition else ''}"

    def made(self, table: Table, schema: Sequence[bigquery.SchemaField] | None = None) -> str:
        """Make the table if it is not there, and give it the columns that it lacks; tells when it was made.

        `schema` is that of a query's table. A table that was removed and made again is another one: what was done
        to the first, jobs included, says nothing of it.
        """
        if table.address not in self._born:
            with self._jobs.told(f"the table {self.place(table)} cannot be made"):
                self._born[table.address] = self._make(table, list(schema or event_schema(table)))
        return self._born[table.address]

    def widened(self, table: Table) -> None:
        """Give an event's table the columns that it lacks. WarehouseError if somebody removed it."""
        if table.address not in self._born:
            with self._jobs.told(f"the table {self.place(table)} cannot be read"):
                self._born[table.address] = self._make(table, event_schema(table), create=False)

    def ours(self) -> list[str]:
        """The addresses of all tables that we made, which name and labels tell; whatever else is there is not ours."""
        client, settings = self._clients.bigquery, self._clients.settings
        place = f"{settings.project}.{settings.dataset}"
        with self._jobs.told(f"the tables of {place} cannot be listed"):
            listed = client.list_tables(place, page_size=_PAGE, retry=self._clients.retry)
            return sorted(one.table_id for one in listed if one.table_type == "TABLE" and _is_ours(one))

    def stored(self, address: str) -> bigquery.Table | None:
        """What BigQuery tells of a table; None if it is not there."""
        from google.api_core import exceptions as api

        settings = self._clients.settings
        place = f"{settings.project}.{settings.dataset}.{address}"
        try:
            with self._jobs.told(f"the table {place} cannot be read"):
                return self._clients.bigquery.get_table(place, retry=self._clients.retry)
        except WarehouseError as error:
            if isinstance(error.__cause__, api.NotFound):
                return None
            raise

    def remove(self, table: bigquery.Table) -> None:
        """Nothing happens if it is gone already."""
        with self._jobs.told(f"the table {table.full_table_id} cannot be removed"):
            self._clients.bigquery.delete_table(table, not_found_ok=True, retry=self._clients.retry)
        self._born.pop(table.table_id, None)

    def _make(self, table: Table, schema: list[bigquery.SchemaField], *, create: bool = True) -> str:
        from google.api_core import exceptions as api
        from google.cloud import bigquery

        client, retry = self._clients.bigquery, self._clients.retry
        while True:
            try:
                found = client.get_table(self.place(table), retry=retry)
            except api.NotFound:
                if not create:
                    raise
                new = bigquery.Table(self.place(table), schema=schema)
                new.time_partitioning = bigquery.TimePartitioning(
                    type_="HOUR" if isinstance(table.definition, Event) else "DAY", field=time_column(table)
                )
                new.require_partition_filter = True
                new.clustering_fields = _clustering(table, schema)
                new.labels = {**self._clients.settings.labels, "table": table.name.lower(), "version": table.version}
                new.description = _description(table)
                found = client.create_table(new, exists_ok=True, retry=retry)
            _refuse_expiring(found)
            absent = [field for field in schema if field.name not in {known.name for known in found.schema}]
            if not absent:
                return birth(found)
            found.schema = [*found.schema, *absent]
            try:
                client.update_table(found, ["schema"], retry=retry)
            except api.PreconditionFailed:
                continue  # another process changed the table at the same moment: look again


def _is_ours(listed: TableListItem) -> bool:
    """Whether it is named `<name>_<version>` and says so in the labels that `_make` gave it."""
    name, _, version = listed.table_id.rpartition("_")
    labels = listed.labels
    return bool(_VERSION.fullmatch(version)) and (labels.get("table"), labels.get("version")) == (name.lower(), version)


def _refuse_expiring(table: bigquery.Table) -> None:
    """Receipts do not expire: a partition that did would be read as one without rows."""
    if table.expires or (table.time_partitioning and table.time_partitioning.expiration_ms):
        raise WarehouseError(
            f"{table.full_table_id} or its partitions expire, but their receipts do not; take the expiration from it "
            "and from its dataset: bq update --expiration 0 --time_partitioning_expiration 0 (dataset: "
            "--default_table_expiration 0 --default_partition_expiration 0)."
        )


def event_schema(table: Table) -> list[bigquery.SchemaField]:
    """The columns of an event; all nullable, because columns are added later and the rows are checked before."""
    from google.cloud import bigquery

    assert isinstance(table.definition, Event)
    fields = []
    for column in table.definition.columns:
        many = column.type in LISTS
        type_ = TYPES[column.type].removeprefix("ARRAY<").removesuffix(">")
        mode = "REPEATED" if many else "NULLABLE"
        fields.append(bigquery.SchemaField(column.name, type_, mode=mode, description=column.meaning))
    return fields


def time_column(table: Table) -> str:
    """The column that says which partition a row is of."""
    return table.definition.time if isinstance(table.definition, Event) else DATE_COLUMN


def columns(table: Table) -> list[str]:
    """All columns, in their order."""
    if isinstance(table.definition, Event):
        return [column.name for column in table.definition.columns]
    return [DATE_COLUMN, *table.definition.columns]


def decorator(partition: str) -> str:
    """`$2026112105` for the partition 2026-11-21T05, `$20261121` for 2026-11-21."""
    return "$" + partition.replace("-", "").replace("T", "")


def bounds(slice_: Slice) -> str:
    """The condition that a row lies in the slice's partitions, in terms that BigQuery prunes by."""
    column = time_column(slice_.table)
    if isinstance(slice_.table.definition, Event):
        hours = sorted(datetime.strptime(partition, "%Y-%m-%dT%H") for partition in slice_.partitions)
        form, step, word = "%Y-%m-%d %H:00:00+00", timedelta(hours=1), "TIMESTAMP"
    else:
        hours = sorted(datetime.combine(date.fromisoformat(one), datetime.min.time()) for one in slice_.partitions)
        form, step, word = "%Y-%m-%d", timedelta(days=1), "DATE"
    runs = [
        f"({column} >= {word} '{first.strftime(form)}' AND {column} < {word} '{after.strftime(form)}')"
        for first, after in _runs(hours, step)
    ]
    return " OR ".join(runs)


def _runs(moments: Sequence[datetime], step: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Neighbours taken together: (first, after the last)."""
    first = after = None
    for moment in moments:
        if after is not None and first is not None and moment != after:
            yield first, after
            first = moment
        first = first or moment
        after = moment + step
    if first is not None and after is not None:
        yield first, after


def _clustering(table: Table, schema: Sequence[bigquery.SchemaField]) -> list[str] | None:
    """By the key, as far as BigQuery allows: a join or a look at single rows then reads little."""
    fields = {field.name: field for field in schema}
    fit = [name for name in table.key if fields[name].field_type in _CLUSTERABLE and fields[name].mode != "REPEATED"]
    return fit[:_MOST_CLUSTERED] or None


def _description(table: Table) -> str:
    if isinstance(table.definition, Event):
        return f"Logs of {table.name}, an hour a partition."
    return table.definition.grain
