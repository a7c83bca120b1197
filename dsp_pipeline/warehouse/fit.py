"""Are these the rows that the table wants? Every warehouse asks it before it writes anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO

from dsp_pipeline.errors import PartitionError, StorageError, WarehouseError, first_line
from dsp_pipeline.events.schema import LISTS, Event
from dsp_pipeline.warehouse.base import Table

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 16_384


def fitted(table: Table, partition: str, files: Sequence[BinaryIO], rows: int | None) -> Iterator[pa.Table]:
    """The files' rows with just the event's columns and types, batch after batch.

    WarehouseError if a file does not fit the event, if a list holds a null (BigQuery keeps none), or if there are not
    `rows` rows in all (None: any number will do); PartitionError if a row's time lies outside the hour.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from dsp_pipeline.events.arrow import arrow_schema

    assert isinstance(table.definition, Event)
    schema = arrow_schema(table.definition)
    first = datetime.fromisoformat(f"{partition}:00:00+00:00")
    found = 0
    try:
        for file in files:
            for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS):
                fit = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
                _refuse_rows_outside(fit, table, first)
                _refuse_nulls_in_lists(fit, table, partition)
                found += fit.num_rows
                yield fit
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise _unfit(table, partition, f"a file does not fit the event {table.name!r} ({first_line(error)})") from error
    except OSError as error:
        if isinstance(error, StorageError) or error.errno is not None:
            raise
        raise _unfit(table, partition, f"a file is damaged ({first_line(error)})") from error  # so Arrow tells it
    if rows is not None and found != rows:
        raise _unfit(table, partition, f"its files hold {found:,} rows and not the {rows:,} of their receipt")


def doubled(table: Table, partition: str, key: Sequence[object], count: int) -> WarehouseError:
    """The error of a query that answers `count` rows with this key."""
    named = ", ".join(f"{name}={value!r}" for name, value in zip(table.key, key, strict=True))
    return WarehouseError(
        f"{table.name} of {partition} has {count} rows with {named}: its key must name one row; "
        "aggregate, or correct `key:` in the header."
    )


def _unfit(table: Table, partition: str, why: str) -> WarehouseError:
    return WarehouseError(f"{table.address}/{partition} cannot be loaded: {why}; ingest the hour again.")


def _refuse_nulls_in_lists(rows: pa.Table, table: Table, partition: str) -> None:
    import pyarrow.compute as pc

    assert isinstance(table.definition, Event)
    for column in table.definition.columns:
        if column.type in LISTS and pc.list_flatten(rows.column(column.name)).null_count:
            raise _unfit(table, partition, f"a list of {column.name!r} holds a null, which BigQuery cannot keep")


def _refuse_rows_outside(rows: pa.Table, table: Table, first: datetime) -> None:
    import pyarrow.compute as pc

    assert isinstance(table.definition, Event)
    if not rows.num_rows:
        return
    bounds = pc.min_max(rows.column(table.definition.time)).as_py()
    for value in (bounds["min"], bounds["max"]):
        if value is None or not first <= value < first + timedelta(hours=1):
            raise PartitionError(
                f"{table.address} has a row of {value} among those of the hour {first:%Y-%m-%dT%H}; "
                "a partition holds just its own hour: ingest the hour again."
            )
