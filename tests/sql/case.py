"""A SQL unit test in a YAML file: the rows that a query is given, and those that it must answer. See docs/sql.md."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from dsp_pipeline.errors import DefinitionError, UnknownNameError
from dsp_pipeline.events.schema import EVENTS, LISTS, Event
from dsp_pipeline.fingerprint import fingerprint
from dsp_pipeline.platform import PACKAGE
from dsp_pipeline.sql.catalog import Catalog
from dsp_pipeline.sql.query import Query, Read
from dsp_pipeline.sql.translate import prepare, to_duckdb
from dsp_pipeline.warehouse.base import DATE_COLUMN, Table
from dsp_pipeline.warehouse.nothing import nothing_of
from dsp_pipeline.yamlfile import Block, read_yaml

FOLDER = Path(__file__).with_name("cases")
FEATURES = PACKAGE / "features"
Row = dict[str, Any]

BOOL, DATE = "bool", "date"
_TYPES: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "text": (str, "a text; put it in quotes"),
    "integer": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "time": ((datetime, str), "a time such as 2026-11-21T05:30:00Z"),
    "texts": (list, "a list of texts; put them in quotes"),
    "floats": (list, "a list of numbers"),
    BOOL: (bool, "true or false"),
    DATE: (date, "a day such as 2026-11-21"),
}
_OF_DUCKDB = {
    "VARCHAR": "text",
    "BIGINT": "integer",
    "DOUBLE": "float",
    "TIMESTAMP WITH TIME ZONE": "time",
    "VARCHAR[]": "texts",
    "DOUBLE[]": "floats",
    "BOOLEAN": BOOL,
    "DATE": DATE,
}


class CaseError(DefinitionError):
    """A case is written wrongly."""


@dataclass(frozen=True)
class Case:
    """`given` and `expect` are rows whose values have the columns' types; expected rows hold just what matters."""

    path: Path
    table: Table
    day: date
    given: Mapping[str, list[Row]]
    expect: list[Row]

    def wanted(self) -> dict[tuple[Any, ...], Row]:
        """The expected rows by their key."""
        return {self._key(row): row for row in self.expect}

    def found(self, rows: Iterable[Row]) -> dict[tuple[Any, ...], Row]:
        """The answered rows by their key, with only the columns that matter; floats within 1e-9 are as expected."""
        wanted = self.wanted()
        found = {}
        for row in rows:
            wishes = wanted.get(self._key(row), row)
            found[self._key(row)] = {
                name: wish if _is_close(row[name], wish) else row[name] for name, wish in wishes.items()
            }
        return found

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.table.key)


def find_cases(folder: Path = FOLDER) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def read_case(path: Path, features: Path = FEATURES) -> Case:
    """CaseError with file and line if it is written wrongly."""
    block = read_yaml(path, CaseError)
    block.allow(("table", "date", "given", "expect"))
    name = block.need("table", str, "the table whose query is run")
    catalog = Catalog(features)
    if name not in catalog.tables():
        raise block.problem(str(UnknownNameError("table", name, catalog.tables())), "table")
    if path.suffix != ".yaml" or not path.stem.startswith(f"{name}__"):
        raise block.problem(f"the file is called {path.name}; call it {name}__what-is-true.yaml.", "table")
    table = table_of(features, name, fingerprint(path.stem))
    day = _value(block, "date", DATE)
    if day is None:
        raise block.problem("`date` is missing; it is the day that is built, such as 2026-11-21.")
    given = block.need("given", Block, "tables with their rows, `{}` if none has any")
    expect = block.need("expect", list, "the list of the rows that are answered, `[]` if none is")
    return Case(path, table, day, _given(table, day, given), _expected(table, block, expect))


@cache
def table_of(features: Path, name: str, version: str) -> Table:
    """The table of a case, with all that it reads; each version is a world of its own."""
    if name in EVENTS:
        return Table(name, version, EVENTS[name])
    query = Catalog(features).query(name)
    return Table(name, version, query, {read.table: table_of(features, read.table, version) for read in query.reads})


def types_of(table: Table) -> dict[str, str]:
    """The columns with their types; those of a query's table are found by asking the query itself over nothing."""
    if isinstance(table.definition, Event):
        return {column.name: column.type for column in table.definition.columns}
    if table.definition not in _TYPES_OF:
        sql = to_duckdb(nothing_of(table))
        with _connection().cursor() as connection:
            answer = connection.sql(sql, params={"date": date(2000, 1, 1)} if "$date" in sql else None)
            found = dict(zip(answer.columns, map(str, answer.types), strict=True))
        for name, kind in found.items():
            if kind not in _OF_DUCKDB:
                problem = f"the column {name} is {kind}, which a case cannot write; add the type to tests/sql/case.py."
                raise CaseError(table.definition.path, None, problem)
        _TYPES_OF[table.definition] = {name: _OF_DUCKDB[kind] for name, kind in found.items()}
    return _TYPES_OF[table.definition]


_TYPES_OF: dict[Query, dict[str, str]] = {}


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    prepare(connection)
    return connection


def partition_of(table: Table, row: Row) -> str:
    if isinstance(table.definition, Event):
        return f"{row[table.definition.time]:%Y-%m-%dT%H}"
    return str(row[DATE_COLUMN].isoformat())


def _given(table: Table, day: date, given: Block) -> dict[str, list[Row]]:
    assert isinstance(table.definition, Query)
    rows: dict[str, list[Row]] = {}
    for name in given:
        read = next((read for read in table.definition.reads if read.table == name), None)
        if read is None:
            problem = f"{table.name} does not read it: {UnknownNameError('table', name, table.reads)}"
            raise given.problem(problem, name)
        source = table.reads[name]
        times = source.definition.time if isinstance(source.definition, Event) else DATE_COLUMN
        lines: dict[Any, int] = {}
        rows[name] = []
        for line in _rows(given, name, given[name]):
            row = _row(line, types_of(source), _needed(source))
            _refuse_unseen(line, times, row[times], table, day, read)
            key = (partition_of(source, row), *(row[column] for column in source.key))
            if key in lines:
                named = ", ".join(source.key)
                raise line.problem(f"the row of line {lines[key]} has the same {named}; give this one another.")
            lines[key] = line.line
            empty = {column: [] if kind in LISTS else None for column, kind in types_of(source).items()}
            rows[name].append({**empty, **row})
    return rows


def _needed(table: Table) -> set[str]:
    """The columns of a given row that cannot be left out."""
    if isinstance(table.definition, Event):
        return {table.definition.key, table.definition.time, *table.definition.required}
    return {DATE_COLUMN, *table.key}


def _refuse_unseen(line: Block, column: str, value: Any, table: Table, day: date, read: Read) -> None:
    first, last = day + timedelta(days=read.first), day + timedelta(days=read.last)
    if not first <= (value.date() if isinstance(value, datetime) else value) <= last:
        raise line.problem(
            f"`{column}` is {value}, but {table.name} of {day} reads {read.table} of {first} to {last} only "
            f"([{read.first}, {read.last}]); change the row, or `reads:` in {table.name}.sql.",
            column,
        )


def _expected(table: Table, block: Block, expect: list[Any]) -> list[Row]:
    types = {name: kind for name, kind in types_of(table).items() if name != DATE_COLUMN}
    lines: dict[Any, int] = {}
    rows = []
    for line in _rows(block, "expect", expect):
        row = _row(line, types, set(table.key))
        key = tuple(row[name] for name in table.key)
        if key in lines:
            raise line.problem(f"the row of line {lines[key]} has the same {', '.join(table.key)}; keep one.")
        lines[key] = line.line
        rows.append(row)
    return rows


def _rows(block: Block, key: str, rows: Any) -> list[Block]:
    if not isinstance(rows, list) or not all(isinstance(row, Block) for row in rows):
        raise block.problem(f"`{key}` needs a list of rows, each `- {{column: value, …}}`.", key)
    return rows


def _row(line: Block, types: Mapping[str, str], needed: set[str]) -> Row:
    for name in line:
        if name not in types:
            raise line.problem(str(UnknownNameError("column", name, types)), name)
    for name in types:
        if name in needed and line.get(name) is None:
            raise line.problem(f"`{name}` is missing; every row needs {', '.join(n for n in types if n in needed)}.")
    return {name: _value(line, name, types[name]) for name in line}


def _value(block: Block, name: str, kind: str) -> Any:
    """The value as the column's type; times without a zone are UTC."""
    types, what = _TYPES[kind]
    value = block.get_as(name, types, what)
    if kind in LISTS:
        item, _ = _TYPES["text" if kind == "texts" else "float"]
        if not all(isinstance(one, item) and not isinstance(one, bool) for one in value or ()):
            raise block.problem(f"`{name}` is {value!r}; it is {what}.", name)
        return [float(one) for one in value or ()] if kind == "floats" else list(value or ())
    if value is None:
        return None
    if kind == DATE and isinstance(value, datetime):
        raise block.problem(f"`{name}` is {value}; it is {what}.", name)
    if kind == "time":
        try:
            value = datetime.fromisoformat(value) if isinstance(value, str) else value
        except ValueError:
            raise block.problem(f"`{name}` is {value!r}; it is {what}.", name) from None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return float(value) if kind == "float" else value


def _is_close(value: Any, wish: Any) -> bool:
    if not (isinstance(value, float) and isinstance(wish, float)):
        return False
    return math.isclose(value, wish, rel_tol=1e-9, abs_tol=1e-9)
