"""An audit is a SELECT that must return nothing: `audits/<table>__<sentence-with-dashes>.sql`.

    -- A click of an impression that was not shown before it.
    -- reads: impression [0, 0], click [0, +1]
    -- key: click_id
    -- level: fail

It is written and checked as a table's query is (docs/sql.md), and sees just the partitions that it declares.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from dsp_pipeline.errors import SqlError
from dsp_pipeline.quality.expectation import LEVELS
from dsp_pipeline.sql.query import Query, Read, read_query

# Rows that are told of those that should not be.
FEW = 5
FOUND = "rows_found"


@dataclass(frozen=True)
class Audit:
    """One file. `question` answers the first few of the rows in the order of their key, and of each how many there are
    in all (`rows_found`)."""

    query: Query
    question: Query

    @property
    def level(self) -> str:
        return self.query.level

    @property
    def name(self) -> str:
        return self.query.name.partition("__")[2].replace("-", " ")

    @property
    def place(self) -> str:
        return f"{self.query.path.parent.name}/{self.query.path.name}"


def read_audit(path: Path, table: str) -> Audit:
    """SqlError, with line and cure, if the file is wrong."""
    query = read_query(path)
    cure = "write `-- level: warn` or, if nothing may be built on such rows, `-- level: fail`"
    if query.level_line is None:
        raise SqlError(path, None, f"the header of an audit says its level; {cure}")
    if query.level not in LEVELS:
        raise SqlError(path, query.level_line, f"`level:` is {query.level!r}; {cure}")
    if query.compatible_line is not None:
        raise SqlError(
            path, query.compatible_line, "`compatible_with:` is of tables; an audit makes nothing, delete it"
        )
    if table not in (read.table for read in query.reads):
        raise SqlError(path, None, f"an audit of {table} reads {table}; name it so, or name the file for what it reads")
    return Audit(query, few(query.tree, query.columns, query.key, query.reads, query.name, path))


def few(
    tree: exp.Select, columns: tuple[str, ...], key: tuple[str, ...], reads: tuple[Read, ...], name: str, path: Path
) -> Query:
    """A query for the first few rows of another, with the number of all."""
    counted = exp.alias_(exp.Window(this=exp.Count(this=exp.Star())), FOUND)
    answered = exp.select(*(exp.column(one, "answered", quoted=True) for one in columns), counted)
    answered = answered.from_(tree.subquery("answered"))
    answered = answered.order_by(*(exp.column(one, "answered", quoted=True) for one in key)).limit(FEW)
    told = (*columns, FOUND)
    whole = exp.select(*(exp.column(one, "told", quoted=True) for one in told)).from_(answered.subquery("told"))
    return Query(name, path, whole.sql(dialect="bigquery"), "", reads, key, told, whole)
