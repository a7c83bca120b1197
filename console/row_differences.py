"""Two sets of rows against each other, in memory that does not grow with them: files, and a DuckDB that spills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    Batches = Iterator[pa.RecordBatch]

_SAMPLE = 5  # rows of each sort that are shown
_CLOSE = 1e-9  # floats that differ by less than this share are equal: sums depend on the order of their parts


@dataclass
class RowDifferences:
    """What differs between A and B. Where `key` is empty, rows are compared whole and none is `common` but equal ones.

    `changed` counts the common rows that differ, `columns` those that differ in each column (only columns that do).
    `sample` has a row's key and, for a column of it that differs, both values.
    """

    key: tuple[str, ...]
    added: dict[str, str] = field(default_factory=dict)  # columns that only B has, with their types
    removed: dict[str, str] = field(default_factory=dict)  # that only A has
    retyped: dict[str, tuple[str, str]] = field(default_factory=dict)
    rows: tuple[int, int] = (0, 0)
    only_a: int = 0
    only_b: int = 0
    few_only_a: list[dict[str, Any]] = field(default_factory=list)
    few_only_b: list[dict[str, Any]] = field(default_factory=list)
    common: int = 0
    changed: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    sample: list[dict[str, Any]] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether rows and columns are the same."""
        return not (self.added or self.removed or self.retyped or self.only_a or self.only_b or self.changed)


class Comparison:
    """Compares rows that it streams into `scratch`; `memory_limit_mb` bounds the queries."""

    def __init__(self, scratch: Path, *, memory_limit_mb: int, threads: int) -> None:
        self._scratch, self._memory_limit_mb, self._threads = scratch, memory_limit_mb, threads

    def compare(self, a: Batches, b: Batches, key: Sequence[str]) -> RowDifferences:
        """`key` are the columns that identify a row on both sides; empty if none do."""
        import duckdb

        first_a, first_b = next(a, None), next(b, None)
        # Without a row the types are not known, and those of the other side serve as well.
        schema_a, schema_b = (one.schema if one is not None else None for one in (first_a, first_b))
        found = RowDifferences(tuple(key))
        if schema_a is None and schema_b is None:
            return found
        types_a, types_b = _types(schema_a or schema_b), _types(schema_b or schema_a)
        found.added = {name: type_ for name, type_ in types_b.items() if name not in types_a}
        found.removed = {name: type_ for name, type_ in types_a.items() if name not in types_b}
        both = {name: (type_, types_b[name]) for name, type_ in types_a.items() if name in types_b}
        found.retyped = {name: types for name, types in both.items() if types[0] != types[1]}
        with duckdb.connect() as connection:
            connection.execute(f"SET memory_limit = '{self._memory_limit_mb}MB'")
            connection.execute(f"SET threads = {self._threads}")
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"SET temp_directory = '{_quoted(self._scratch)}'")
            connection.execute("SET preserve_insertion_order = false")
            found.rows = (
                self._view(connection, "a", schema_a or schema_b, _chained(first_a, a)),
                self._view(connection, "b", schema_b or schema_a, _chained(first_b, b)),
            )
            if key:
                _by_key(connection, found, both)
            else:
                _whole(connection, found, both)
        return found

    def _view(self, connection: duckdb.DuckDBPyConnection, side: str, schema: pa.Schema, batches: Batches) -> int:
        """Write the rows to a file, and give it a name in SQL; how many there are."""
        import pyarrow.parquet as pq

        path, rows = self._scratch / f"{side}.parquet", 0
        with pq.ParquetWriter(path, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        connection.execute(f"CREATE VIEW {side} AS SELECT * FROM read_parquet('{_quoted(path)}')")
        return rows


def _by_key(connection: duckdb.DuckDBPyConnection, found: RowDifferences, both: dict[str, tuple[str, str]]) -> None:
    same = " AND ".join(
        f"{_side('a', name, both[name])} IS NOT DISTINCT FROM {_side('b', name, both[name])}" for name in found.key
    )
    compared = [name for name in both if name not in found.key]
    differs = [_differs(name, both[name]) for name in compared]
    some = " OR ".join(differs) or "FALSE"
    here = "(SELECT *, TRUE AS _here FROM {}) AS {}"
    joined = f"FROM {here.format('a', 'a')} FULL JOIN {here.format('b', 'b')} ON {same}"
    pair = "a._here AND b._here"
    counts = "".join(f", count(*) FILTER ({pair} AND {one})" for one in differs)
    (numbers,) = connection.execute(
        f"SELECT count(*) FILTER (b._here IS NULL), count(*) FILTER (a._here IS NULL), count(*) FILTER ({pair}), "
        f"count(*) FILTER ({pair} AND ({some})){counts} {joined}"
    ).fetchall()  # a result that is not read to its end would hold the connection
    found.only_a, found.only_b, found.common, found.changed = numbers[:4]
    found.columns = {name: number for name, number in zip(compared, numbers[4:], strict=True) if number}
    for side, few, other in (("a", found.few_only_a, "b"), ("b", found.few_only_b, "a")):
        if found.only_a if side == "a" else found.only_b:
            columns = ", ".join(f"{side}.{_name(name)}" for name in found.key)
            few += _rows(
                connection,
                f"SELECT {columns} FROM {side} WHERE NOT EXISTS (SELECT 1 FROM {other} WHERE {same}) "
                f"ORDER BY ALL LIMIT {_SAMPLE}",
            )
    if found.changed:
        key = [f"a.{_name(name)} AS k{place}" for place, name in enumerate(found.key)]
        values = [
            f"a.{_name(name)} AS a{place}, b.{_name(name)} AS b{place}, {differs[place]} AS d{place}"
            for place, name in enumerate(compared)
            if name in found.columns
        ]
        order = ", ".join(f"k{place}" for place in range(len(key)))
        differing = f"SELECT {', '.join([*key, *values])} FROM a JOIN b ON {same} WHERE {some}"
        for row in _rows(connection, f"{differing} ORDER BY {order} LIMIT {_SAMPLE}"):
            of = {name: row[f"k{place}"] for place, name in enumerate(found.key)}
            found.sample += [
                {"key": of, "column": name, "a": row[f"a{place}"], "b": row[f"b{place}"]}
                for place, name in enumerate(compared)
                if name in found.columns and row[f"d{place}"]
            ]


def _whole(connection: duckdb.DuckDBPyConnection, found: RowDifferences, both: dict[str, tuple[str, str]]) -> None:
    """Rows that only one side has, by the columns that both have; each as often as it is there more often."""
    if not both:
        found.only_a, found.only_b = found.rows
        return
    a, b = (
        ", ".join(f"{_side(side, name, types)} AS {_name(name)}" for name, types in both.items()) for side in ("a", "b")
    )
    more_a = f"SELECT {a} FROM a EXCEPT ALL SELECT {b} FROM b"
    more_b = f"SELECT {b} FROM b EXCEPT ALL SELECT {a} FROM a"
    ((found.only_a, found.only_b),) = connection.execute(
        f"SELECT (SELECT count(*) FROM ({more_a})), (SELECT count(*) FROM ({more_b}))"
    ).fetchall()
    found.few_only_a = _rows(connection, f"SELECT * FROM ({more_a}) ORDER BY ALL LIMIT {_SAMPLE}")
    found.few_only_b = _rows(connection, f"SELECT * FROM ({more_b}) ORDER BY ALL LIMIT {_SAMPLE}")
    found.common = found.rows[0] - found.only_a


def _differs(name: str, types: tuple[str, str]) -> str:
    a, b = _side("a", name, types), _side("b", name, types)
    if not (all(map(_is_number, types)) and {"double", "float"} & {*types}):
        return f"({a} IS DISTINCT FROM {b})"
    close = f"isfinite({a}) AND isfinite({b}) AND abs({a} - {b}) <= {_CLOSE} * greatest(abs({a}), abs({b}))"
    return f"({a} IS DISTINCT FROM {b} AND NOT coalesce({close}, FALSE))"


def _side(side: str, name: str, types: tuple[str, str]) -> str:
    """The column of one side, in a type that can be compared with the other's."""
    column = f"{side}.{_name(name)}"
    if all(map(_is_number, types)):
        return f"CAST({column} AS DOUBLE)" if {"double", "float"} & {*types} else column
    return column if types[0] == types[1] else f"CAST({column} AS VARCHAR)"


def _is_number(type_: str) -> bool:
    return type_.startswith(("int", "uint", "double", "float"))


def _types(schema: pa.Schema) -> dict[str, str]:
    return {column.name: str(column.type) for column in schema}


def _chained(first: pa.RecordBatch | None, rest: Batches) -> Batches:
    if first is not None:
        yield first
    yield from rest


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = connection.sql(query).to_arrow_table().to_pylist()
    return rows


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _quoted(path: Path) -> str:
    return str(path.resolve()).replace("'", "''")
