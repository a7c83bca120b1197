"""Columns that a query names and nobody has: found by reading it, before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from sqlglot import exp

from dsp_pipeline.errors import SqlError
from dsp_pipeline.sql.place import line_of

if TYPE_CHECKING:
    from dsp_pipeline.sql.query import Query


def check_columns(query: Query, reads: Mapping[str, Iterable[str]]) -> None:
    """SqlError, with line and near matches, for a column that cannot be there. `reads` has the columns of each table.

    Only what is sure is refused: a column of a table by that table's name, and a bare name that no table has and that
    nothing in the query is called. What is left the engine finds when the table is built.
    """
    columns = {table: {name.lower() for name in names} for table, names in reads.items()}
    anywhere = _called(query.tree).union(*columns.values())
    meant = _meant(query.tree, columns.keys())
    for column in query.tree.find_all(exp.Column):
        if isinstance(column.this, exp.Star):
            continue
        names = [part.name for part in column.parts]
        table = meant.get(names[0].lower()) if len(names) > 1 else None
        name, known = (names[1], columns[table]) if table else (names[0], anywhere if len(names) == 1 else set())
        if known and name.lower() not in known:
            told = f"{table} has no column {name}" if table else f"there is no column {name}"
            near = difflib.get_close_matches(name.lower(), sorted(known), n=2, cutoff=0.6)
            cure = f"did you mean {' or '.join(near)}?" if near else _there_are(columns, table)
            raise SqlError(query.path, line_of(column), f"{told}; {cure}")


def _called(tree: exp.Expr) -> set[str]:
    """All that the query itself gives a name: columns, fields, CTEs, tables, variables of functions."""
    found = {one.name.lower() for one in tree.find_all(exp.Identifier) if not isinstance(one.parent, exp.Column)}
    return {*found, "offset"}  # what UNNEST WITH OFFSET calls a place


def _meant(tree: exp.Expr, tables: Iterable[str]) -> dict[str, str]:
    """The table that a qualifier means wherever it stands in the query; those that mean something else too are not."""
    names = set(tables)
    found: dict[str, set[str | None]] = {}
    for one in tree.find_all(exp.Table, exp.Subquery, exp.Unnest, exp.CTE):
        table = one.name if isinstance(one, exp.Table) and one.name in names else None
        found.setdefault(one.alias_or_name.lower(), set()).add(table)
    return {name: table for name, (table, *others) in found.items() if table and not others}


def _there_are(columns: Mapping[str, set[str]], table: str | None) -> str:
    known = sorted(columns[table] if table else set().union(*columns.values()))
    return f"there are: {', '.join(known)}"
