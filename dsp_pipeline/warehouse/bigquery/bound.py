"""A query with the partitions that it may see, as BigQuery runs it."""

from __future__ import annotations

from collections.abc import Mapping

import sqlglot

from dsp_pipeline.sql.query import Query
from dsp_pipeline.warehouse.base import Slice
from dsp_pipeline.warehouse.bigquery.tables import Tables, bounds, columns
from dsp_pipeline.warehouse.nothing import nothing_of


def bound(tables: Tables, query: Query, inputs: Mapping[str, Slice]) -> str:
    """The file's query as it stands, below a WITH that gives each name just the partitions of its slice."""
    names = ",\n".join(f"`{name}` AS ({_relation(tables, slice_)})" for name, slice_ in inputs.items())
    tokens = sqlglot.tokenize(query.text, dialect="bigquery")
    end = len(query.text)
    for token in reversed(tokens):
        if token.token_type != sqlglot.TokenType.SEMICOLON:
            break
        end = token.start
    return f"WITH {names}\nSELECT * FROM (\n{query.text[:end]}\n)"


def _relation(tables: Tables, slice_: Slice) -> str:
    if not slice_.partitions:
        return nothing_of(slice_.table).sql(dialect="bigquery")
    names = ", ".join(f"`{name}`" for name in columns(slice_.table))
    return f"SELECT {names} FROM `{tables.place(slice_.table)}` WHERE {bounds(slice_)}"
