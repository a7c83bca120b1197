"""What the server asks about datasets, tables and columns, answered without looking through all that there are.

local-bigquery asks DuckDB's own functions (`duckdb_tables()` and the like) some ten times in each call. They list every
table of every database, with its statistics, before one is chosen: a millisecond a table. The same stands in the tables
in which DuckLake keeps its catalogue, where one name is found at once; and an answer holds until that changes.
"""

import functools
from collections.abc import Callable
from typing import Any

import duckdb
from local_bigquery.catalog import metadata, tabledata, tables
from local_bigquery.engine import database
from local_bigquery.jobs import query
from local_bigquery.models import Table

_NAMED = "SELECT {project} AS database_name, s.schema_name"
_HERE = "FROM {lake}.ducklake_schema AS s"
_TABLES = f"{_HERE} JOIN {{lake}}.ducklake_table AS t ON t.schema_id = s.schema_id AND t.end_snapshot IS NULL"
_VIEWS = f"{_HERE} JOIN {{lake}}.ducklake_view AS v ON v.schema_id = s.schema_id AND v.end_snapshot IS NULL"
_COLUMNS = f"{_TABLES} JOIN {{lake}}.ducklake_column AS c ON c.table_id = t.table_id AND c.end_snapshot IS NULL"
_NOW = "WHERE s.end_snapshot IS NULL"
_IN_LAKE = {
    "duckdb_schemas()": f"{_NAMED} {_HERE} {_NOW}",
    "duckdb_tables()": f"{_NAMED}, t.table_name, 0 AS estimated_size {_TABLES} {_NOW}",  # rows are counted elsewhere
    "duckdb_views()": f"{_NAMED}, v.view_name, false AS internal {_VIEWS} {_NOW}",
    "duckdb_columns()": f"{_NAMED}, t.table_name, c.column_name, c.nulls_allowed AS is_nullable "
    f"{_COLUMNS} {_NOW} AND c.parent_column IS NULL",
}
# The answers of queries: tables of a database that is not DuckLake's. A name is always given.
_ANSWER = "SELECT 'emulator' AS database_name, {dataset} AS schema_name, {name} AS table_name"
_AMONG_ANSWERS = {
    "duckdb_tables()": f"{_ANSWER}, count(*) AS estimated_size FROM {{table}}",
    "duckdb_views()": "SELECT '' AS database_name, '' AS schema_name, '' AS view_name, false AS internal WHERE false",
    "duckdb_columns()": f'{_ANSWER}, name AS column_name, NOT "notnull" AS is_nullable '
    "FROM pragma_table_info({path})",
}
_TEMPORARY = "SELECT table_name FROM duckdb_tables() WHERE temporary"
_fetch = database.fetch
_known: dict[str, tuple[int, dict]] = {}


def install() -> None:
    database.fetch = fetch
    query.execute = functools.partial(_execute, query.execute)
    for module in (tables, tabledata):
        module.columns = functools.partial(_columns, module.columns)


def fetch(sql: str, params: list | None = None) -> list[tuple]:
    """Rows of a query. One that asks for what there is in a database has its name as the first parameter."""
    if "duckdb_" not in sql or not params:
        return _fetch(sql, params)
    if params[0] in database._attached:
        quick = _with(sql, _IN_LAKE, project=_text(params[0]), lake=_lake(params[0]))
        return _once(params[0], (sql, *params), lambda: _fetch(quick, params))
    if params[0] == "emulator" and len(params) > 2 and params[2] is not None:
        table = database.quote(*params[:3])
        given = {"dataset": _text(params[1]), "name": _text(params[2]), "table": table, "path": _text(table)}
        try:
            return _fetch(_with(sql, _AMONG_ANSWERS, **given), params)
        except duckdb.CatalogException:  # it is not there
            return []
    return _fetch(sql, params)


def _once(project: str, question: tuple, ask: Callable[[], list]) -> list:
    """The answer, as long as no dataset, table, view or column of the project is made, changed or dropped."""
    [(version,)] = _fetch(f"SELECT max(schema_version) FROM {_lake(project)}.ducklake_snapshot")
    then, answers = _known.get(project, (None, {}))
    if then != version:
        answers = {}
        _known[project] = version, answers
    if question not in answers:
        answers[question] = ask()
    return list(answers[question])


def _columns(columns: Callable[..., list], *reference: str) -> list:
    """Those of a table; of a view they may change with another project."""
    stored = metadata.load(Table, *reference)
    if reference[0] not in database._attached or reference[1] == tables.RESULTS or not stored or stored.view:
        return columns(*reference)
    return _once(reference[0], ("columns", *reference), lambda: columns(*reference))


def _execute(execute: Callable[..., Any], cur: Any, *args: Any, session: Any = None, **others: Any) -> Any:
    """Only a session may have temporary tables from before; the connection of any other job is new."""
    return execute(cur if session else _New(cur), *args, session=session, **others)


class _New:
    """A connection without temporary tables."""

    def __init__(self, cur: Any) -> None:
        self._cur = cur

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cur, name)

    def sql(self, text: str, **others: Any) -> Any:
        return self._cur.sql("SELECT '' AS table_name WHERE false" if text == _TEMPORARY else text, **others)


def _with(sql: str, instead: dict[str, str], **given: str) -> str:
    for function, select in instead.items():
        sql = sql.replace(function, f"({select.format(**given)})")
    return sql


def _lake(project: str) -> str:
    """Where DuckLake keeps what it knows of a project."""
    return database.quote(f"__ducklake_metadata_{project}", "main")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
