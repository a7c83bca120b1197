"""A query over rows in memory answers what the warehouse that they came from builds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from dsp_pipeline.errors import WarehouseError
from dsp_pipeline.sql.query import Query
from dsp_pipeline.warehouse.base import Slice, Table, Warehouse
from dsp_pipeline.warehouse.memory import Memory, columns_read
from tests.contracts.implementations import WAREHOUSES
from tests.contracts.rows import CLICK, DAY, HOUR, PARTITION, build, load, make_clicks, query_table, read

TYPED = """
SELECT
  c.click_id,
  c.clicked_at,
  FARM_FINGERPRINT(c.impression_id) AS code,
  c.clicked_at < TIMESTAMP_ADD(TIMESTAMP(@date), INTERVAL 6 HOUR) AS early,
  DATE(c.clicked_at) AS day,
  SAFE_DIVIDE(1, LENGTH(c.click_id)) AS share,
  IF(c.click_id = 'c000001', NULL, c.impression_id) AS some
FROM click AS c
"""
OUTER = "SELECT early, COUNT(*) AS clicks FROM typed WHERE date = @date GROUP BY early"
LATER = "2026-11-21T06"


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    made = Memory(memory_limit_mb=200, threads=1, spill=tmp_path / "it's spilt")
    yield made
    made.close()


def slices(table: Table, **partitions: list[str]) -> dict[str, Slice]:
    return {name: Slice(table.reads[name], tuple(given)) for name, given in partitions.items()}


@pytest.mark.parametrize("name", sorted(WAREHOUSES))
def test_it_answers_what_a_warehouse_builds(name: str, tmp_path: Path, memory: Memory) -> None:
    """Row by row, in the same order and with the same types, also of a table that reads another one."""
    warehouse: Warehouse = WAREHOUSES[name](tmp_path / "lake")
    load(warehouse, make_clicks(9))
    load(warehouse, make_clicks(3, clicked_at=HOUR + timedelta(hours=1)), LATER)
    typed = query_table(tmp_path, "typed", TYPED)
    outer = query_table(tmp_path, "outer_table", OUTER, [typed], key="early")
    build(warehouse, typed, slices={"click": [PARTITION]})
    build(warehouse, outer, slices={"typed": [str(DAY)]})
    assert isinstance(typed.definition, Query)
    columns = columns_read(typed.definition, CLICK)
    memory.hold(CLICK, warehouse.read(Slice(CLICK, (PARTITION, LATER)), columns))
    answer = memory.answer(typed, DAY, slices(typed, click=[PARTITION]))
    assert answer.head(100) == read(warehouse, typed, [str(DAY)]) and answer.rows == 9
    assert (
        dict(answer.columns)
        == memory.types(typed)
        == {
            "date": "DATE",
            "click_id": "STRING",
            "clicked_at": "TIMESTAMP",
            "code": "INT64",
            "early": "BOOL",
            "day": "DATE",
            "share": "FLOAT64",
            "some": "STRING",
        }
    )
    assert memory.answer(outer, DAY, slices(outer, typed=[str(DAY)])).head(9) == read(warehouse, outer, [str(DAY)])


def test_a_query_sees_just_its_slice(tmp_path: Path, memory: Memory) -> None:
    """Of what is held: rows of other partitions stay out, and without any partition there are none."""
    memory.hold(CLICK, [_batch(5, HOUR), _batch(2, HOUR + timedelta(hours=1), "later")])
    table = query_table(tmp_path, "ids", "SELECT click_id, @date AS built_for FROM click")
    for number, (partitions, rows) in enumerate([([PARTITION], 5), ([LATER], 2), ([PARTITION, LATER], 7), ([], 0)]):
        assert memory.answer(table, DAY + timedelta(days=number), slices(table, click=partitions)).rows == rows
    assert memory.read(Slice(CLICK, (LATER,))).read_all()["click_id"].to_pylist() == ["later0", "later1"]
    empty = memory.read(Slice(CLICK, ())).read_all()
    assert (empty.num_rows, empty.schema.names) == (0, ["click_id", "impression_id", "clicked_at"])


def test_only_columns_that_the_query_names_are_read(tmp_path: Path) -> None:
    """And the one that says of which partition a row is."""
    table = query_table(tmp_path, "ids", "SELECT Click_Id AS click_id FROM click")
    outer = query_table(tmp_path, "outer_table", "SELECT COUNT(*) AS number FROM ids", [table], key="number")
    assert isinstance(table.definition, Query) and isinstance(outer.definition, Query)
    assert columns_read(table.definition, CLICK) == ["click_id", "clicked_at"]
    assert columns_read(outer.definition, table) == ["date"]


def test_wrong_answers_are_errors(tmp_path: Path, memory: Memory) -> None:
    """A key that is there twice, and a query that fails; each names the table and the day, an unknown name its file."""
    memory.hold(CLICK, [_batch(3, HOUR)])
    twice = query_table(tmp_path, "twice", "SELECT 1 AS click_id FROM click")
    with pytest.raises(WarehouseError, match="twice of 2026-11-21 has 3 rows with click_id=1"):
        memory.answer(twice, DAY, slices(twice, click=[PARTITION]))
    wrong = (
        ("CAST(click_id AS INT64)", r"bad INT64 value: c000000; SAFE_CAST gives NULL there, see .*/fails_0\.sql\.$"),
        ("1 / (LENGTH(click_id) - LENGTH(click_id))", r"division by zero; SAFE_DIVIDE gives NULL there, see "),
        ("DIV(1, LENGTH(click_id) - LENGTH(click_id))", r"Division by zero in expression \(1 // .*\); SAFE_DIVIDE "),
        ("IF(click_id = 5, 1, 2)", r"Could not convert string 'c000000' to INT64 .*; SAFE_CAST gives NULL there, see "),
    )
    for number, (expression, told) in enumerate(wrong):
        fails = query_table(tmp_path, f"fails_{number}", f"SELECT {expression} AS click_id FROM click")
        with pytest.raises(WarehouseError, match=rf"^fails_{number} of 2026-11-21 cannot be built: .*{told}"):
            memory.answer(fails, DAY, slices(fails, click=[PARTITION]))
    body = "WITH ids AS (SELECT click_id FROM click) SELECT click_id, clik_id AS again FROM ids"
    unknown = query_table(tmp_path, "unknown", body)
    told = r'unknown of 2026-11-21 cannot be built: .*"clik_id" not.*did you mean "click_id"\? See .*/unknown\.sql\.$'
    with pytest.raises(WarehouseError, match=told):
        memory.answer(unknown, DAY, slices(unknown, click=[PARTITION]))


def test_what_a_query_writes_aside_is_bounded(tmp_path: Path) -> None:
    """A join without its condition does not fill the disk; the sentence says what to look for."""
    memory = Memory(memory_limit_mb=64, threads=1, spill=tmp_path / "spill", most_spilt=1_000_000)
    memory.hold(CLICK, [_batch(2_000, HOUR)])
    exploding = "SELECT CONCAT(a.click_id, b.click_id) AS click_id FROM click AS a CROSS JOIN click AS b"
    table = query_table(tmp_path, "exploding", exploding, key="click_id")
    with pytest.raises(WarehouseError, match=r"more than 64 MB of memory and 0.001 GB of disk; look for a join"):
        memory.answer(table, DAY, slices(table, click=[PARTITION]))
    memory.close()


def _batch(rows: int, at: datetime, prefix: str = "c00000") -> pa.Table:
    return pa.Table.from_pylist(
        [{"click_id": f"{prefix}{n}", "impression_id": "i", "clicked_at": at} for n in range(rows)]
    )
