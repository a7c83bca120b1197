"""A case's query over its given rows, run by a Warehouse.

The rows stand in the query itself, in the places of the tables: to load them first would take BigQuery's stand-in
seconds for each case. How rows come from tables is the contract's business, and test_one_sql_two_engines.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlglot import exp

from dsp_pipeline.events.schema import EVENTS, LISTS
from dsp_pipeline.sql.query import Query, parse
from dsp_pipeline.warehouse.base import Slice, Table, Warehouse
from dsp_pipeline.warehouse.nothing import TYPES
from tests.contracts.rows import draft, read
from tests.sql.case import BOOL, DATE, Case, Row, types_of

_BIGQUERY = {**TYPES, BOOL: "BOOL", DATE: "DATE"}


def answer(case: Case, warehouse: Warehouse) -> list[Row]:
    """What the case's query answers in this warehouse, over just the given rows."""
    definition, partition = case.table.definition, case.day.isoformat()
    assert isinstance(definition, Query)
    # No query may say SELECT *: columns that it does not name cannot matter.
    used = {name.name.lower() for name in definition.tree.find_all(exp.Identifier)}
    given = ",\n".join(
        f"{name} AS ({_rows(table, used, case.given.get(name, []))})"
        for name, table in sorted(case.table.reads.items())
    )
    own = definition.text.rstrip().removesuffix(";")
    text = f"WITH {given}\nSELECT {', '.join(definition.columns)} FROM (\n{own}\n)"
    tree = parse(case.path, text)
    query = Query(definition.name, case.path, text, definition.grain, (), definition.key, definition.columns, tree)
    # A query must read something.
    nothing = Table("nothing", case.table.version, EVENTS["click"])
    table = Table(case.table.name, case.table.version, query, {"nothing": nothing})
    warehouse.build(table, case.day, {"nothing": Slice(nothing, ())}, draft(table, partition))
    return read(warehouse, table, [partition], definition.columns)


def _rows(table: Table, used: set[str], rows: Sequence[Row]) -> str:
    """A query that answers these rows. Its first part answers none, and has the types."""
    types = {name: kind for name, kind in types_of(table).items() if name.lower() in used} or types_of(table)
    typed = ", ".join(f"CAST(NULL AS {_BIGQUERY[kind]}) AS {name}" for name, kind in types.items())
    selects = [f"SELECT {', '.join(_literal(kind, row[name]) for name, kind in types.items())}" for row in rows]
    return "\nUNION ALL ".join([f"SELECT {typed} FROM (SELECT 1) WHERE FALSE", *selects])


def _literal(kind: str, value: Any) -> str:
    if value is None:
        return "NULL"
    if kind in LISTS:
        return f"{_BIGQUERY[kind]}[{', '.join(_literal('text' if kind == 'texts' else 'float', one) for one in value)}]"
    written = value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)
    return f"CAST({exp.Literal.string(written).sql(dialect='bigquery')} AS {_BIGQUERY[kind]})"
