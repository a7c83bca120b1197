"""Tables of clicks and of queries, and Parquet files of their rows."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsp_pipeline.events.arrow import arrow_schema
from dsp_pipeline.events.schema import EVENTS, Event
from dsp_pipeline.receipts import Draft
from dsp_pipeline.warehouse.base import Slice, Table, Warehouse
from tests.sql.factories import make_query

DAY = date(2026, 11, 21)
HOUR = datetime(2026, 11, 21, 5, tzinfo=UTC)
PARTITION = "2026-11-21T05"
CLICK = Table("click", "v1", EVENTS["click"])
IMPRESSION = Table("impression", "v1", EVENTS["impression"])


def make_click(number: int = 0, **changes: Any) -> dict[str, Any]:
    at = HOUR + timedelta(seconds=number % 3600)
    return {"click_id": f"c{number:06}", "impression_id": f"i{number}", "clicked_at": at} | changes


def make_clicks(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [make_click(number, **changes) for number in range(count)]


def parquet(rows: Sequence[dict[str, Any]], event: str = "click", schema: pa.Schema | None = None) -> io.BytesIO:
    return parquet_of(pa.Table.from_pylist(list(rows), schema or arrow_schema(EVENTS[event])))


def parquet_of(table: pa.Table) -> io.BytesIO:
    out = io.BytesIO()
    pq.write_table(table, out)
    out.seek(0)
    return out


def draft(table: Table, partition: str) -> Draft:
    return Draft(f"{table.address}/{partition}", table.version)


def load(
    warehouse: Warehouse,
    rows: Sequence[dict[str, Any]],
    partition: str = PARTITION,
    table: Table = CLICK,
    **options: bool,
) -> Any:
    assert isinstance(table.definition, Event)
    files = [parquet(rows, table.name)]
    return warehouse.load(table, partition, files, draft(table, partition), **options)


def build(warehouse: Warehouse, table: Table, day: date = DAY, **options: Any) -> Any:
    """Build the day from slices={name: partitions}; a name that is not there gets an empty slice."""
    given = options.pop("slices", {})
    inputs = {name: Slice(read, tuple(given.get(name, ()))) for name, read in table.reads.items()}
    return warehouse.build(table, day, inputs, draft(table, day.isoformat()), **options)


def query_table(
    folder: Path, name: str, body: str, reads: Iterable[Table] = (CLICK,), key: str = "click_id", version: str = "v1"
) -> Table:
    folder.mkdir(parents=True, exist_ok=True)
    tables = {read.name: read for read in reads}
    query = make_query(folder, name=name, body=body, reads=", ".join(f"{read} [0, 0]" for read in tables), key=key)
    return Table(name, version, query, tables)


def read(
    warehouse: Warehouse, table: Table, partitions: Sequence[str] = (PARTITION,), columns: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    if columns is None:
        definition = table.definition
        columns = (
            [column.name for column in definition.columns]
            if isinstance(definition, Event)
            else ["date", *definition.columns]
        )
    return [row for batch in warehouse.read(Slice(table, tuple(partitions)), columns) for row in batch.to_pylist()]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["click_id"] for row in rows]


class Interrupted(io.BytesIO):
    """A file at whose first read something else happens."""

    def __init__(self, content: bytes, act: Any) -> None:
        super().__init__(content)
        self.act = act

    def read(self, size: int | None = -1, /) -> bytes:
        act, self.act = self.act, lambda: None
        act()
        return super().read(size)


def unfit(kind: str) -> io.BytesIO:
    """A file of clicks with something wrong."""
    good = pa.Table.from_pylist(make_clicks(3))
    match kind:
        case "missing":
            return parquet_of(good.drop_columns(["impression_id"]))
        case "type":
            return parquet_of(good.set_column(2, "clicked_at", pa.array(["a", "b", "c"])))
        case "list":
            return parquet_of(good.set_column(2, "clicked_at", pa.array([[1], [2], [3]])))
        case "null":
            return parquet_of(good.set_column(1, "impression_id", pa.nulls(3, pa.string())))
        case "no time":
            return parquet_of(good.set_column(2, "clicked_at", pa.nulls(3, pa.timestamp("us", tz="UTC"))))
        case "cut off":
            return io.BytesIO(parquet_of(good).getvalue()[:-9])
        case "empty":
            return io.BytesIO(b"")
        case _:
            return io.BytesIO(b"no Parquet at all, but long enough")
