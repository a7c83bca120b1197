"""How many bytes a query reads: as BigQuery, the columns it names of the partitions its filters select.

A value counts as eight bytes, whatever it is. Only conditions that stand in the WHERE of the SELECT that reads the
table, compare its partition column with constants, and hold for the whole WHERE (are joined by AND) select partitions.
BigQuery also finds some that stand further out; so it never reads more than is told here.
"""

import contextlib
from typing import NamedTuple

import duckdb
from local_bigquery.catalog import metadata, tables
from local_bigquery.engine import database
from local_bigquery.errors import BigQueryError
from local_bigquery.models import DatasetReference, Table
from local_bigquery.sql import params
from local_bigquery.sql.rules.tables import resolve
from local_bigquery.sql.translate import Context, parse, translate
from sqlglot import exp

_MEBIBYTE = 1 << 20
_LEAST_BILLED = 10 * _MEBIBYTE  # for each table that is read


class Read(NamedTuple):
    """Bytes that a query reads, and those that it is billed for."""

    processed: int
    billed: int


NOTHING = Read(0, 0)


def bytes_read(cur, project_id: str, config) -> Read:
    """Of the whole query. Nothing if it cannot be understood: running it will tell why."""
    default = config.defaultDataset or DatasetReference()
    with contextlib.suppress(BigQueryError, duckdb.Error, NotImplementedError):
        bound = params.bind(config.queryParameters or [])
        context = Context(default.projectId or project_id, default.datasetId, *bound)
        sizes = [size for tree in parse(config.query or "") for size in _sizes(cur, tree, context)]
        billed = sum(max(_LEAST_BILLED, -(-size // _MEBIBYTE) * _MEBIBYTE) for size in sizes)
        return Read(sum(sizes), billed)
    return NOTHING


def _sizes(cur, tree: exp.Expression, context: Context) -> list[int]:
    """Of each table that a statement reads."""
    ctes = {cte.alias_or_name.casefold() for cte in tree.find_all(exp.CTE)}
    written = tree.find(exp.Table) if isinstance(tree, exp.Insert | exp.Create) else None
    sizes: dict[tuple, int] = {}
    for table in tree.find_all(exp.Table):
        reference = resolve(table, context, ctes)
        if table is written or reference is None:
            continue
        [(_, kind, _), *_] = database.objects(*tables.physical(*reference)) or [(None, None, 0)]
        if kind == "VIEW":
            view = metadata.load(Table, *reference)
            inner = [size for part in parse(view.view.query) for size in _sizes(cur, part, context)] if view else []
            sizes[reference] = sum(inner)
        elif kind == "TABLE":
            size = _rows(cur, table, reference, context) * _columns(tree, reference) * 8
            sizes[reference] = max(size, sizes.get(reference, 0))
    return list(sizes.values())


def _columns(tree: exp.Expression, reference: tuple) -> int:
    """How many columns of the table a statement names; all of them if it says `*`."""
    known = {column.name.casefold() for column in tables.columns(*reference)}
    if any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star)):
        return len(known)
    return len(known & {column.name.casefold() for column in tree.find_all(exp.Column)})


def _rows(cur, table: exp.Table, reference: tuple, context: Context) -> int:
    """How many rows the partitions have that are read."""
    name = tables.name(*reference)
    stored = metadata.load(Table, *reference)
    partitioning = stored and stored.timePartitioning
    conditions = _conditions(table, partitioning.field) if partitioning and partitioning.field else []
    if not conditions:
        [(count,)] = cur.execute(f"SELECT count(*) FROM {name}").fetchall()
        return count
    column = exp.column(partitioning.field, quoted=True)
    selected, bound = translate(exp.select(column).from_(table.copy()).where(*conditions), context)
    unit, field = partitioning.type, database.quote(partitioning.field)
    [(count,)] = cur.execute(
        f"SELECT count(*) FROM {name} WHERE date_trunc('{unit}', {field}) IN "
        f"(SELECT date_trunc('{unit}', {field}) FROM ({selected}))",
        bound,
    ).fetchall()
    return count


def _conditions(table: exp.Table, field: str) -> list[exp.Expression]:
    """What the SELECT that reads the table demands of its partition column alone."""
    select = table.find_ancestor(exp.Select, exp.Delete, exp.Update)
    where = select and select.args.get("where")
    if where is None:
        return []
    whole = where.this.unnest()
    joined = whole.flatten() if isinstance(whole, exp.And) else [whole]
    return [condition.copy() for condition in joined if _is_about(condition, table, field)]


def _is_about(condition: exp.Expression, table: exp.Table, field: str) -> bool:
    columns = list(condition.find_all(exp.Column))
    return (
        bool(columns)
        and not condition.find(exp.Query)
        and all(
            column.name.casefold() == field.casefold() and column.table in ("", table.alias_or_name)
            for column in columns
        )
    )
