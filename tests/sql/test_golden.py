"""Every expression of golden.json gives BigQuery's documented result on DuckDB, in value and type, or is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlglot
from sqlglot import exp

from dsp_pipeline.errors import NonPortableSqlError
from dsp_pipeline.sql import portable, translate

GOLDEN: list[dict[str, Any]] = json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))
RIGHT = [case for case in GOLDEN if "refused" not in case and "error" not in case]
WRONG = [case for case in GOLDEN if "error" in case]
REFUSED = [case for case in GOLDEN if "refused" in case]


def name(case: dict[str, Any]) -> str:
    return str(case["expression"])


def parse(expression: str) -> exp.Expr:
    return sqlglot.parse_one(f"SELECT {expression} AS result", dialect="bigquery")


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        translate.prepare(opened)
        yield opened


def run(connection: duckdb.DuckDBPyConnection, tree: exp.Expr) -> tuple[pa.DataType, Any]:
    portable.check(tree)
    table = connection.sql(translate.to_duckdb(tree)).to_arrow_table()
    assert table.num_rows == 1
    return table.schema.field(0).type, table.column(0)[0].as_py()


def assert_equal(kind: pa.DataType, value: Any, expected: Any) -> None:
    if expected is None:
        assert value is None
    elif isinstance(expected, dict):
        ((what, inner),) = expected.items()
        if what == "about":
            assert pa.types.is_float64(kind)
            assert math.isclose(value, inner, rel_tol=1e-15)
        elif what == "date":
            assert pa.types.is_date32(kind)
            assert value == date.fromisoformat(inner)
        else:
            assert kind == pa.timestamp("us", tz="UTC" if what == "timestamp" else None)
            assert value == datetime.fromisoformat(inner)
    elif isinstance(expected, list):
        assert pa.types.is_list(kind)
        assert len(value) == len(expected)
        for each, wanted in zip(value, expected, strict=True):
            assert_equal(kind.value_type, each, wanted)
    else:
        assert kind == {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}[type(expected)]
        assert value == expected


@pytest.mark.parametrize("case", RIGHT, ids=name)
def test_duckdb_gives_what_bigquery_documents(connection: duckdb.DuckDBPyConnection, case: dict[str, Any]) -> None:
    """The documented value comes out, in the documented type."""
    assert_equal(*run(connection, parse(case["expression"])), case["result"])


@pytest.mark.parametrize("case", RIGHT, ids=name)
def test_bigquery_is_sent_what_was_written(connection: duckdb.DuckDBPyConnection, case: dict[str, Any]) -> None:
    """The text that goes to BigQuery means the same when it is read again."""
    tree = parse(case["expression"])
    text = tree.sql(dialect="bigquery")
    again = sqlglot.parse_one(text, dialect="bigquery")
    assert again.sql(dialect="bigquery") == text
    assert_equal(*run(connection, again), case["result"])


def is_argument(node: exp.Expr) -> bool:
    """Whether it is a value that BigQuery wants between a function's parentheses, and neither a day nor a literal."""
    inside = isinstance(node.parent, (exp.Func, exp.IntDiv, exp.Mod)) and not isinstance(node.parent, exp.Connector)
    if node.arg_key in ("scale", "group", "default_year") or not inside:  # sqlglot's notes to itself
        return False
    if isinstance(node.parent, (exp.TimestampAdd, exp.TimestampSub)) and node.arg_key == "expression":
        return False  # sqlglot keeps INTERVAL's amount there
    if isinstance(node, exp.Literal) and node.is_string:
        return not isinstance(node.parent, (exp.IntervalOp, exp.GenerateDateArray))
    return isinstance(node, (exp.Literal, exp.Boolean))


def operation(value: exp.Expr) -> exp.Expr:
    """One that gives the value."""
    if isinstance(value, exp.Boolean):
        return exp.Or(this=value.copy(), expression=exp.false())
    if value.is_string:
        return exp.DPipe(this=value.copy(), expression=exp.Literal.string(""))
    return exp.Add(this=value.copy(), expression=exp.Literal.number(0))


@pytest.mark.parametrize("case", RIGHT, ids=name)
def test_an_operation_is_one_argument(connection: duckdb.DuckDBPyConnection, case: dict[str, Any]) -> None:
    """`DIV(7 + 0, 2)` is not `7 + 0 // 2`, where a function is written as an operator; each argument in turn."""
    for argument in filter(is_argument, parse(case["expression"]).walk()):
        tree = parse(case["expression"])
        # All at once where the same call is there twice: what is grouped by is found by being written alike.
        for same in [node for node in tree.walk() if node == argument and node.parent == argument.parent]:
            same.replace(operation(same))
        read_again = sqlglot.parse_one(tree.sql(dialect="bigquery"), dialect="bigquery")
        try:
            portable.check(read_again)
        except NonPortableSqlError:
            continue  # what must be written out there
        assert_equal(*run(connection, read_again), case["result"])


@pytest.mark.parametrize("case", WRONG, ids=name)
def test_duckdb_stops_where_bigquery_stops(connection: duckdb.DuckDBPyConnection, case: dict[str, Any]) -> None:
    """What is an error on BigQuery is an error here, not a quiet infinity or NULL."""
    with pytest.raises(duckdb.Error):
        run(connection, parse(case["expression"]))


@pytest.mark.parametrize("case", REFUSED, ids=name)
def test_what_is_not_proven_is_refused(case: dict[str, Any]) -> None:
    """A construct without proof is named, with its line."""
    with pytest.raises(NonPortableSqlError) as raised:
        portable.check(parse(case["expression"]))
    assert raised.value.construct.startswith(case["refused"])
    assert raised.value.line == 1 or raised.value.line is None
    assert raised.value.use


def test_the_expressions_hold_each_allowed_function() -> None:
    """Nothing is on the whitelist without a proof in golden.json."""
    used = {type(node).__name__ for case in RIGHT for node in parse(case["expression"]).walk()}
    assert set(portable.ALLOWED) - used <= PROVEN_ELSEWHERE


# Proven by the queries of test_execution.py.
PROVEN_ELSEWHERE = {"With", "CTE", "Table", "Parameter", "Having", "Join", "DType"}
