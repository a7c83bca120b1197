"""A table's query over rows that are given to it: nothing is stored, so nothing that counts can be touched.

It is the embedded warehouse's engine without the folder: the same binding, translation and check of the key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import sqlglot
from sqlglot import exp

from dsp_pipeline.errors import WarehouseError
from dsp_pipeline.events.schema import Event
from dsp_pipeline.sql.bind import bind
from dsp_pipeline.sql.query import Query
from dsp_pipeline.sql.translate import prepare, to_duckdb
from dsp_pipeline.warehouse.base import DATE_COLUMN, Slice, Table
from dsp_pipeline.warehouse.fit import BATCH_ROWS, doubled
from dsp_pipeline.warehouse.interruptible import interruptible
from dsp_pipeline.warehouse.nothing import TYPES, nothing_of
from dsp_pipeline.warehouse.refusal import refusal

if TYPE_CHECKING:
    import pyarrow as pa

# What BigQuery calls the types that a query can answer.
_OF_DUCKDB = {
    "VARCHAR": "STRING",
    "BIGINT": "INT64",
    "DOUBLE": "FLOAT64",
    "BOOLEAN": "BOOL",
    "DATE": "DATE",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
}


@dataclass(frozen=True)
class Answer:
    """One day of a table: how many rows, its columns with BigQuery's words for their types, and the rows themselves."""

    rows: int
    columns: Mapping[str, str]
    _connection: duckdb.DuckDBPyConnection = field(repr=False)
    _rows: str = field(repr=False)

    def head(self, number: int) -> list[dict[str, Any]]:
        """The first rows in the order of the key."""
        found: list[dict[str, Any]] = self._connection.sql(f"{self._rows} LIMIT {number}").to_arrow_table().to_pylist()
        return found

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """These columns of all rows, in the order of the key."""
        names = ", ".join(f'"{name}"' for name in columns)
        with self._connection.cursor() as reading:
            yield from reading.sql(f"SELECT {names} FROM ({self._rows})").to_arrow_reader(BATCH_ROWS)


class Memory:
    """Holds rows of tables, and answers queries over them; a QueryEngine. A signal ends a query at once.

    Rows beyond `memory_limit_mb` go to the folder `spill`, as many bytes as `most_spilt`.
    """

    def __init__(self, *, memory_limit_mb: int, threads: int, spill: Path, most_spilt: int = 10_000_000_000) -> None:
        self._connection = duckdb.connect()
        self._room = f"{memory_limit_mb:,} MB of memory and {most_spilt / 1e9:g} GB of disk"
        place = str(spill).replace("'", "''")
        self._connection.execute(
            f"SET memory_limit = '{memory_limit_mb}MB'; SET threads = {threads}; SET temp_directory = '{place}'; "
            f"SET max_temp_directory_size = '{most_spilt}B'"
        )
        prepare(self._connection)
        self._connection.execute("CREATE SCHEMA held; CREATE SCHEMA given")
        self._held: set[str] = set()
        self._selects: dict[str, str] = {}

    def close(self) -> None:
        self._connection.close()

    def hold(self, table: Table, rows: Iterable[pa.RecordBatch | pa.Table]) -> None:
        """Add rows to those of the table that queries can be given; all need the columns of the first."""
        for batch in rows:
            self._connection.register("batch", batch)
            try:
                self._add(table, "SELECT * FROM batch")
            finally:
                self._connection.unregister("batch")

    def answer(self, table: Table, day: date, inputs: Mapping[str, Slice]) -> Answer:
        """What the table's query answers when each name means just the slice in `inputs`, of the rows that are held.

        The rows are held from then on, so the tables that read this one can be answered too.
        WarehouseError if the query fails, or if two rows have the same key.
        """
        columns = ", ".join(f'"{column}"' for column in table.key)
        mine = f"SELECT * FROM {_place('held', table)} WHERE \"{DATE_COLUMN}\" = DATE '{day}'"

        def made() -> tuple[Any, dict[str, str], Any]:
            select = f"SELECT $date::DATE AS {DATE_COLUMN}, * FROM ({self._select(table)}) ORDER BY {columns}"
            self._add(table, select, {"date": day})
            number = self._connection.execute(f"SELECT count(*) FROM ({mine})").fetchone()
            types = _types(self._connection.sql(mine))
            twice = self._connection.execute(
                f"SELECT {columns}, count(*) FROM ({mine}) GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
            ).fetchone()
            return number, types, twice

        assert isinstance(table.definition, Query)
        try:
            self._give(inputs)
            number, types, twice = interruptible(self._connection, made)
        except duckdb.Error as error:
            raise WarehouseError(
                f"{table.name} of {day} cannot be built: {self._told(error, table.definition)}"
            ) from error
        if twice:
            raise doubled(table, day.isoformat(), twice[:-1], twice[-1])
        assert number is not None
        return Answer(number[0], types, self._connection, f"{mine} ORDER BY {columns}")

    def ask(self, query: Query, day: date, inputs: Mapping[str, Slice]) -> list[dict[str, Any]]:
        """As a QueryEngine does, of the rows that are held; what is not held has no rows."""
        try:
            self._give(inputs)
            sql = f"SELECT * FROM ({_reading_given(query, inputs)}) WHERE $date::DATE IS NOT NULL"
            answer = interruptible(
                self._connection, lambda: self._connection.sql(sql, params={"date": day}).to_arrow_table()
            )
        except duckdb.Error as error:
            raise WarehouseError(f"{query.name} of {day} cannot be answered: {self._told(error, query)}") from error
        rows: list[dict[str, Any]] = answer.to_pylist()
        return rows

    def read(self, slice_: Slice) -> pa.RecordBatchReader:
        """The rows that are held of the slice, with all columns that are, in the order of partitions and keys."""
        definition, key = slice_.table.definition, ", ".join(f'"{column}"' for column in slice_.table.key)
        time = definition.time if isinstance(definition, Event) else DATE_COLUMN
        reading = self._connection.cursor()
        return reading.sql(f'SELECT * FROM ({self._rows(slice_)}) ORDER BY "{time}", {key}').to_arrow_reader(BATCH_ROWS)

    def types(self, table: Table) -> dict[str, str]:
        """The columns of a table with BigQuery's words for their types. WarehouseError if its query fails."""
        if isinstance(table.definition, Event):
            return {column.name: TYPES[column.type] for column in table.definition.columns}
        sql = to_duckdb(nothing_of(table))
        try:
            return _types(self._connection.sql(sql, params={"date": date(2000, 1, 1)} if "$date" in sql else None))
        except duckdb.Error as error:
            raise WarehouseError(f"{table.name} cannot be built: {self._told(error, table.definition)}") from error

    def _told(self, error: duckdb.Error, query: Query) -> str:
        if isinstance(error, duckdb.OutOfMemoryException):
            return f"it needs more than {self._room}; look for a join that lacks a condition"
        return refusal(error, query.path)

    def _give(self, inputs: Mapping[str, Slice]) -> None:
        """Views of the slices, by the names that queries have for them."""
        for name, slice_ in inputs.items():
            self._connection.execute(f'CREATE OR REPLACE VIEW given."{name}" AS {self._rows(slice_)}')

    def _add(self, table: Table, select: str, given: Mapping[str, Any] | None = None) -> None:
        """Into a table of its own; the first rows make it."""
        place = _place("held", table)
        insert = f"INSERT INTO {place} BY NAME" if table.name in self._held else f"CREATE TABLE {place} AS"
        self._connection.execute(f"{insert} {select}", given)
        self._held.add(table.name)

    def _select(self, table: Table) -> str:
        """The table's query, reading the views of what it is given; the same on every day."""
        if table.name not in self._selects:
            assert isinstance(table.definition, Query)
            self._selects[table.name] = _reading_given(table.definition, table.reads)
        return self._selects[table.name]

    def _rows(self, slice_: Slice) -> str:
        """Just the rows of the slice's partitions, as SQL."""
        table = slice_.table
        if not slice_.partitions or table.name not in self._held:
            # A view takes no parameter; of no row the day does not matter.
            return to_duckdb(nothing_of(table)).replace("$date", "DATE '2000-01-01'")
        if isinstance(table.definition, Event):
            hours = ", ".join(f"TIMESTAMPTZ '{hour}:00:00+00'" for hour in slice_.partitions)
            within = f"date_trunc('hour', {table.definition.time}) IN ({hours})"
        else:
            within = f'"{DATE_COLUMN}" IN ({", ".join(f"DATE {day!r}" for day in slice_.partitions)})'
        return f"SELECT * FROM {_place('held', table)} WHERE {within}"


def columns_read(query: Query, source: Table) -> list[str]:
    """The columns of `source` that the query can mean, and the one that says of which partition a row is.

    No query may say SELECT *, so a column whose name does not stand in it cannot matter.
    """
    named = {identifier.name.lower() for identifier in query.tree.find_all(exp.Identifier)}
    if isinstance(source.definition, Event):
        own, columns = source.definition.time, [column.name for column in source.definition.columns]
    else:
        own, columns = DATE_COLUMN, [DATE_COLUMN, *source.definition.columns]
    return [column for column in columns if column == own or column.lower() in named]


def _reading_given(query: Query, names: Iterable[str]) -> str:
    """The query over the views that it is given."""
    given = {name: sqlglot.parse_one(f'SELECT * FROM given."{name}"', dialect="duckdb") for name in names}
    return to_duckdb(bind(query.tree, given))


def _place(schema: str, table: Table) -> str:
    return f'{schema}."{table.name}"'


def _types(rows: duckdb.DuckDBPyRelation) -> dict[str, str]:
    return {name: _word(str(kind)) for name, kind in zip(rows.columns, rows.types, strict=True)}


def _word(kind: str) -> str:
    return f"ARRAY<{_word(kind[:-2])}>" if kind.endswith("[]") else _OF_DUCKDB.get(kind, kind)
