"""Put the partitions that a query may see in the place of the tables that it names."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from dsp_pipeline.sql.query import tables_used

BOUND = "bound"


def bind(tree: exp.Expr, relations: Mapping[str, exp.Expr]) -> exp.Expr:
    """A copy of `tree` in which each table named in `relations` reads the given query instead.

    A table keeps its alias, or gets its own name as alias, so `impression.user_id` still means the same. The
    relation is the warehouse's own SQL: the mark `BOUND` tells `translate` to leave it as it is. Tables that are
    not in `relations` stay; the given trees are not touched.
    """
    bound = tree.copy()
    # The list comes first: a relation may name tables that must not be replaced again.
    for table in list(tables_used(bound)):
        relation = relations.get(table.name)
        if relation is None or table.args.get("db"):
            continue
        inner: exp.Expr = relation.copy()
        inner = inner.unnest() if isinstance(inner, exp.Subquery) else inner
        if isinstance(inner, exp.Table):
            inner = exp.select("*").from_(inner)
        alias = table.args.get("alias") or exp.TableAlias(this=table.this.copy())
        subquery = exp.Subquery(this=inner, alias=alias.copy())
        inner.meta[BOUND] = True
        table.replace(subquery)
    return bound
