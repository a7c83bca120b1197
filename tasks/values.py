"""What a step's function is given, and what becomes of what it gives back: rows as Parquet, all else as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsp_pipeline.errors import StepError
from dsp_pipeline.events.schema import Event
from dsp_pipeline.receipts import Receipt
from dsp_pipeline.storage.outputs import Outputs
from dsp_pipeline.warehouse.base import DATE_COLUMN, Slice, Table, Warehouse
from tasks.signature import STREAM, TABLE, fits

if TYPE_CHECKING:
    import pyarrow as pa

ROWS, VALUE = "rows.parquet", "value.json"
# Makes the error of a step, with its file and line, from what is wrong.
Wrong = Callable[[str], StepError]


def columns(table: Table) -> tuple[str, ...]:
    """As they are stored: an event's in the order of its schema; `date` and then those of a query."""
    definition = table.definition
    if isinstance(definition, Event):
        return tuple(column.name for column in definition.columns)
    return (DATE_COLUMN, *definition.columns)


def stream(warehouse: Warehouse, slice_: Slice) -> Iterator[pa.RecordBatch]:
    """The rows with all columns, partition after partition."""
    return warehouse.read(slice_, columns(slice_.table))


def whole(warehouse: Warehouse, slice_: Slice) -> pa.Table:
    """The same in memory. Without any partition there are no rows, and the same columns."""
    import pyarrow as pa

    batches = list(stream(warehouse, slice_))
    return pa.Table.from_batches(batches, batches[0].schema if batches else _schema(slice_.table))


def kept_stream(outputs: Outputs, receipts: Iterable[Receipt]) -> Iterator[pa.RecordBatch]:
    """The rows that another step kept, day after day."""
    import pyarrow.parquet as pq

    for receipt in receipts:
        with outputs.open(receipt, ROWS) as file:
            yield from pq.ParquetFile(file).iter_batches()


def kept_whole(outputs: Outputs, receipts: Sequence[Receipt], wrong: Wrong) -> pa.Table:
    """The same in memory; a column that holds only nulls on one day takes the type of the others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for receipt in receipts:
        with outputs.open(receipt, ROWS) as file:
            tables.append(pq.read_table(file))
    try:
        return pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException as error:
        names = f"{receipts[0].address} … {receipts[-1].address}"
        raise wrong(f"the columns of {names} differ ({error}); let the step that makes them give equal ones.") from None


def kept_value(outputs: Outputs, receipt: Receipt) -> Any:
    """What another step kept as JSON."""
    with outputs.open(receipt, VALUE) as file:
        return json.load(file)


def write(value: Any, kind: str, folder: Path, wrong: Wrong) -> tuple[Path, int]:
    """The file of what a step gave back, and its number of rows. StepError if that is not of the annotated kind."""
    if kind in (TABLE, STREAM):
        return folder / ROWS, _write_rows(value, kind, folder / ROWS, wrong)
    if not fits(value, kind):
        raise _other(value, kind, wrong)
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, indent=1).encode()
    except ValueError as error:
        raise wrong(f"it gives back what JSON cannot hold ({error}); put None for a number that is unknown.") from None
    except TypeError as error:
        raise wrong(
            f"it gives back what JSON cannot hold ({error}); use dicts, lists, texts, numbers, bools and None."
        ) from None
    for key in _keys(value):
        if not isinstance(key, str):
            raise wrong(f"it gives back a dict with the key {key!r}, and JSON's keys are texts; write str({key!r}).")
    (folder / VALUE).write_bytes(text)
    return folder / VALUE, len(value) if kind in ("dict", "list") else 1


def _write_rows(value: Any, kind: str, path: Path, wrong: Wrong) -> int:
    """Batch after batch, each written before the next is asked for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not isinstance(value, pa.Table if kind == TABLE else Iterator):
        raise _other(value, kind, wrong)
    writer, rows = None, 0
    try:
        for part in [value] if kind == TABLE else value:
            if not isinstance(part, pa.Table if kind == TABLE else pa.RecordBatch):
                raise _other(part, "RecordBatch", wrong)
            if writer is None:
                writer = pq.ParquetWriter(path, part.schema, compression="zstd")
            if part.schema.names != writer.schema.names or part.schema.types != writer.schema.types:
                raise wrong(
                    f"it yields batches of other columns ({part.schema.names}) than the first; yield equal ones."
                )
            writer.write(part)
            rows += part.num_rows
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise wrong("it yields no batch, which tells no columns; yield an empty one.")
    return rows


def _other(value: Any, kind: str, wrong: Wrong) -> StepError:
    return wrong(f"it gives back a value of type {type(value).__name__}, and not {kind}; let the annotation say so.")


def _keys(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        yield from _keys(inner)


def _schema(table: Table) -> pa.Schema:
    """The columns and types of a table, as its rows are read."""
    import duckdb

    from dsp_pipeline.sql.translate import prepare, to_duckdb
    from dsp_pipeline.warehouse.nothing import nothing_of

    nothing = f"SELECT * FROM ({to_duckdb(nothing_of(table))}) WHERE $date::DATE IS NOT NULL"  # it may ask for @date
    with duckdb.connect() as connection:
        prepare(connection)
        return connection.sql(nothing, params={"date": date.today()}).to_arrow_table().schema
