"""Binding puts a relation in the place of every declared table and nothing else."""

from __future__ import annotations

from pathlib import Path

import sqlglot
from sqlglot import exp

from dsp_pipeline.sql.bind import bind
from dsp_pipeline.sql.translate import to_duckdb
from tests.sql.factories import make_query


def parse(text: str, dialect: str = "bigquery") -> exp.Expr:
    return sqlglot.parse_one(text, dialect=dialect)


RELATIONS = {"impression": parse("SELECT * FROM lake.i"), "click": parse("SELECT * FROM lake.c")}
SHOWN, CLICKED = "(SELECT * FROM lake.i)", "(SELECT * FROM lake.c)"


def bound(text: str) -> str:
    return bind(parse(text), RELATIONS).sql(dialect="bigquery")


def test_alias_is_kept() -> None:
    """A table that has an alias keeps it."""
    assert bound("SELECT i.x FROM impression AS i") == f"SELECT i.x FROM {SHOWN} AS i"


def test_name_becomes_the_alias() -> None:
    """`impression.x` still means the impression's x."""
    assert bound("SELECT impression.x FROM impression") == f"SELECT impression.x FROM {SHOWN} AS impression"


def test_self_join_binds_both_sides() -> None:
    """The same table twice is bound twice, under its two aliases."""
    got = bound("SELECT a.x FROM impression AS a JOIN impression AS b ON a.x = b.x")
    assert got == f"SELECT a.x FROM {SHOWN} AS a JOIN {SHOWN} AS b ON a.x = b.x"


def test_ctes_and_subqueries_are_bound() -> None:
    """Tables inside WITH, FROM, IN and EXISTS are bound; the CTE's own name is not."""
    got = bound(
        "WITH clicks AS (SELECT x FROM click) SELECT x FROM (SELECT x FROM impression) AS s "
        "WHERE x IN (SELECT x FROM clicks) AND EXISTS(SELECT 1 FROM click AS c WHERE c.x = s.x)"
    )
    assert got == (
        f"WITH clicks AS (SELECT x FROM {CLICKED} AS click) SELECT x FROM (SELECT x FROM {SHOWN} AS impression) AS s "
        f"WHERE x IN (SELECT x FROM clicks) AND EXISTS(SELECT 1 FROM {CLICKED} AS c WHERE c.x = s.x)"
    )


def test_column_of_the_same_name_stays() -> None:
    """A column that is called like a table is a column."""
    assert bound("SELECT click FROM impression") == f"SELECT click FROM {SHOWN} AS impression"


def test_relation_that_names_the_table_is_not_bound_again() -> None:
    """A warehouse may keep the events in a table of the very same name."""
    relation = {"impression": parse("SELECT * FROM impression")}
    got = bind(parse("SELECT x FROM impression"), relation).sql(dialect="bigquery")
    assert got == "SELECT x FROM (SELECT * FROM impression) AS impression"


def test_tree_and_relation_stay_as_they_were(tmp_path: Path) -> None:
    """Binding copies; a query can be bound for many days."""
    query = make_query(tmp_path)
    before = query.tree.sql(dialect="bigquery"), RELATIONS["click"].sql()
    bind(query.tree, RELATIONS)
    assert (query.tree.sql(dialect="bigquery"), RELATIONS["click"].sql()) == before


def test_the_warehouses_own_sql_is_not_translated() -> None:
    """DuckDB's lists, numbers and functions inside a relation come out as they went in."""
    relation = parse("SELECT * FROM READ_PARQUET(['a', 'b']) WHERE x = 1 AND CONCAT(y, 'z') = 'z'", "duckdb")
    got = to_duckdb(bind(parse("SELECT x + 1 AS x FROM impression"), {"impression": relation}))
    assert relation.sql(dialect="duckdb", identify=True) in got
    assert "CAST(1 AS BIGINT)" in got


def test_date_stays_a_bound_parameter() -> None:
    """@date is a parameter on both engines, never text."""
    tree = bind(parse("SELECT x FROM impression WHERE d = @date"), RELATIONS)
    assert "@date" in tree.sql(dialect="bigquery")
    assert "$date" in to_duckdb(tree)
