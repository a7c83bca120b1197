"""No rows, with the right columns: what a name in a query stands for when its slice is empty."""

from __future__ import annotations

import sqlglot
from sqlglot import exp

from dsp_pipeline.events.schema import Event
from dsp_pipeline.sql.bind import bind
from dsp_pipeline.sql.query import Query
from dsp_pipeline.warehouse.base import DATE_COLUMN, Table

# What BigQuery calls the types of `events/schema.py`.
TYPES = {
    "text": "STRING",
    "integer": "INT64",
    "float": "FLOAT64",
    "time": "TIMESTAMP",
    "texts": "ARRAY<STRING>",
    "floats": "ARRAY<FLOAT64>",
}


def nothing_of(table: Table) -> exp.Expr:
    """A query in BigQuery's dialect that answers no row, with the columns and types of `table`.

    Types must not depend on whether a day is the first: those of a query's table are found by asking the query
    itself over nothing.
    """
    if isinstance(table.definition, Event):
        columns = ", ".join(f"CAST(NULL AS {TYPES[one.type]}) AS {one.name}" for one in table.definition.columns)
        return sqlglot.parse_one(f"SELECT {columns} FROM (SELECT 1) WHERE FALSE", dialect="bigquery")
    assert isinstance(table.definition, Query)
    empty = bind(table.definition.tree, {name: nothing_of(read) for name, read in table.reads.items()})
    return sqlglot.parse_one(
        f"SELECT CAST(NULL AS DATE) AS {DATE_COLUMN}, * FROM ({empty.sql(dialect='bigquery')}) WHERE FALSE",
        dialect="bigquery",
    )
