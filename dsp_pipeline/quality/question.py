"""One query that counts all that is expected of a table's day, and what its answer says.

It reads the rows once, and once more for each column whose values or sizes are counted; everything that it answers is a
count or an hour, so both warehouses answer exactly the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlglot import exp

from dsp_pipeline.events.schema import Event
from dsp_pipeline.quality.audit import few
from dsp_pipeline.quality.drift import SIZE
from dsp_pipeline.quality.expectation import DRIFT, FRESHNESS, MIX, NEW_VALUES, NULLS, RANGE, RATE, VALUES, Expectation
from dsp_pipeline.quality.measured import DAY, MOST_VALUES, Measured
from dsp_pipeline.sql.query import Query, Read, parse
from dsp_pipeline.warehouse.base import Table

_WORD, _NUMBER = "CAST(NULL AS STRING)", "CAST(NULL AS INT64)"
_PRESENT = " (present)"  # of the second count of a rate


class Question:
    """What is asked of each day of a table."""

    def __init__(self, table: Table, expectations: Sequence[Expectation], path: Path) -> None:
        self._table, self._path = table, path
        self._counts = ["COUNT(*)"]
        self._names: list[str] = [""]
        for one in expectations:
            for name, count in _counts(one):
                if name not in self._names:
                    self._names.append(name)
                    self._counts.append(count)
        self._values = _columns(expectations, NEW_VALUES, MIX)
        self._sizes = _columns(expectations, DRIFT)
        self.reads = (Read(table.name, 0, 0),)
        self.query = self._made("counts", self._text())

    def read(self, rows: Iterable[Mapping[str, Any]]) -> Measured:
        """What the answer says."""
        hours = [f"{hour:02}" for hour in range(24)] if isinstance(self._table.definition, Event) else [DAY]
        counts: dict[str, dict[str, int]] = {name: {} for name in self._names}
        values: dict[str, dict[str, int]] = {column: {} for column in self._values}
        sizes: dict[str, dict[str, int]] = {column: {} for column in self._sizes}
        for row in rows:
            place, found = row["place"], row["found"] or 0
            if place < len(self._names):
                if found:
                    counts[self._names[place]][_hour(row["number"])] = found
                continue
            place -= len(self._names)
            if place < len(self._values):
                if row["word"] is not None:
                    values[self._values[place]][row["word"]] = found
            elif row["number"] is not None:
                sizes[self._sizes[place - len(self._values)]][str(row["number"])] = found
        rows_of = counts.pop("")
        return Measured({hour: rows_of.get(hour, 0) for hour in hours}, counts, values, sizes)

    def few(self, expectation: Expectation) -> Query:
        """A query for the first few rows that are not as expected: their key and the column."""
        columns = tuple(dict.fromkeys((*self._table.key, expectation.column)))
        names = ", ".join(f"`{name}`" for name in columns)
        tree = parse(self._path, f"SELECT {names} FROM `{self._table.name}` WHERE {unexpected(expectation)}")
        return few(tree, columns, self._table.key, self.reads, expectation.name, self._path)

    def _text(self) -> str:
        table = f"`{self._table.name}`"
        definition = self._table.definition
        hour = f"DIV(UNIX_SECONDS(`{definition.time}`), 3600)" if isinstance(definition, Event) else ""
        counts = ", ".join(f"{count} AS count_{place}" for place, count in enumerate(self._counts))
        by_hour = f"SELECT {hour or _NUMBER} AS counted_hour, {counts} FROM {table}"
        by_hour += " GROUP BY counted_hour" if hour else ""
        names = ", ".join(f"count_{place}" for place in range(len(self._counts)))
        parts = [
            f"SELECT place, counted_hour AS number, {_WORD} AS word, found\n"
            f"  FROM counted_by_hour CROSS JOIN UNNEST([{names}]) AS found WITH OFFSET AS place"
        ]
        place = len(self._counts)
        for column in self._values:
            grouped = (
                f"SELECT `{column}` AS counted_value, COUNT(*) AS counted_rows FROM {table} GROUP BY counted_value"
            )
            most = f"{grouped} ORDER BY counted_rows DESC, counted_value LIMIT {MOST_VALUES + 2}"  # one may be NULL
            word = "CAST(counted_value AS STRING)"
            parts.append(f"SELECT {place}, {_NUMBER}, {word}, counted_rows\n  FROM ({most})")
            place += 1
        for column in self._sizes:
            size = SIZE.format(x=f"`{column}`")
            grouped = f"SELECT {size} AS counted_size, COUNT(*) AS counted_rows FROM {table} GROUP BY counted_size"
            parts.append(f"SELECT {place}, CAST(counted_size AS INT64), {_WORD}, counted_rows\n  FROM ({grouped})")
            place += 1
        union = "\n  UNION ALL ".join(parts)
        return (
            f"WITH counted_by_hour AS (\n  {by_hour}\n), all_counted AS (\n  {union}\n)\n"
            "SELECT place, number, word, found FROM all_counted"
        )

    def _made(self, name: str, text: str) -> Query:
        tree = parse(self._path, text)
        columns = tuple(one.alias_or_name for one in tree.selects)
        return Query(f"{self._table.name} ({name})", self._path, text, "", self.reads, (), columns, tree)


def unexpected(expectation: Expectation) -> str:
    """The condition of a row that is not as expected, of the kinds that are of single rows; else an empty text."""
    column = f"`{expectation.column}`"
    if expectation.kind == NULLS:
        return f"{column} IS NULL"
    if expectation.kind == VALUES:
        return f"{column} NOT IN ({', '.join(_literal(one) for one in expectation.bound)})"
    if expectation.kind == RANGE:
        least, most = expectation.bound
        # What is not a number is larger than all in one engine and not in another.
        parts = [f"IS_NAN({column})"]
        parts += [f"{column} < {_literal(least)}"] if least is not None else []
        parts += [f"{column} > {_literal(most)}"] if most is not None else []
        return " OR ".join(parts)
    return ""


def count_of(expectation: Expectation) -> str:
    """The name of the count in `Measured.counts`."""
    return f"{expectation.name} {list(expectation.bound)}" if expectation.kind in (RANGE, VALUES) else expectation.name


def present_of(expectation: Expectation) -> str:
    """The same of the rows in which the column of a rate is not absent."""
    return count_of(expectation) + _PRESENT


def _counts(expectation: Expectation) -> list[tuple[str, str]]:
    """The names of what is counted of each hour's rows, and how."""
    column, condition = f"`{expectation.column}`", unexpected(expectation)
    if condition:
        return [(count_of(expectation), f"COUNTIF({condition})")]
    if expectation.kind == RATE:
        present = (present_of(expectation), f"COUNTIF({column} IS NOT NULL)")
        return [(count_of(expectation), f"COUNTIF({column})"), present]
    if expectation.kind == FRESHNESS:  # the number of the newest hour with a row of the day itself, from 1 to 24
        return [(count_of(expectation), f"MAX(IF(DATE({column}) = @date, EXTRACT(HOUR FROM {column}) + 1, 0))")]
    return []


def _columns(expectations: Iterable[Expectation], *kinds: str) -> list[str]:
    return list(dict.fromkeys(one.column for one in expectations if one.kind in kinds))


def _hour(number: int | None) -> str:
    """`05` of an hour since 1970."""
    return DAY if number is None else f"{number % 24:02}"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return str(exp.Literal.string(value).sql(dialect="bigquery"))
    return repr(value)
