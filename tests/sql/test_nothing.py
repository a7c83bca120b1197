"""A table without rows yet means the same to a query as one with rows."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from dsp_pipeline.warehouse.base import Slice
from tests.contracts.implementations import duckdb_warehouse
from tests.contracts.rows import DAY, PARTITION, build, load, make_clicks, query_table


@pytest.mark.parametrize("expression", ["RANGE_BUCKET(2, [1, 2])", "DIV(4, 2)", "ROUND(1.5)", "LEAST(1, 2)"])
def test_types_do_not_depend_on_whether_there_are_rows(tmp_path: Path, expression: str) -> None:
    """The first day of a table that reads another one has the types of all days."""
    warehouse = duckdb_warehouse(tmp_path / "lake")
    inner = query_table(tmp_path, "inner_table", f"SELECT click_id, {expression} AS x FROM click")
    body = "SELECT COUNT(*) AS number, MAX(x) AS x FROM inner_table"
    outer = query_table(tmp_path, "outer_table", body, reads=[inner], key="number")
    load(warehouse, make_clicks(1))
    build(warehouse, inner, slices={"click": [PARTITION]})
    build(warehouse, outer, slices={"inner_table": [DAY.isoformat()]})
    later = date(2026, 11, 22)
    build(warehouse, outer, later)
    types = [
        {batch.schema.field("x").type for batch in warehouse.read(Slice(outer, (day.isoformat(),)), ["x"])}
        for day in (DAY, later)
    ]
    assert types[0] == types[1]
