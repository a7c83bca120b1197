"""What every Warehouse promises of building."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from dsp_pipeline.errors import WarehouseError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.warehouse.base import Slice, Table, Warehouse
from tests.contracts.rows import (
    CLICK,
    DAY,
    HOUR,
    IMPRESSION,
    PARTITION,
    build,
    ids,
    load,
    make_click,
    make_clicks,
    query_table,
    read,
)

TYPED = """
SELECT
  c.click_id,
  1 AS whole,
  0.5 AS share,
  c.impression_id = 'i1' AS flag,
  DATE(c.clicked_at) AS day,
  @date AS built_for,
  c.clicked_at,
  CAST(NULL AS STRING) AS nothing
FROM click AS c
"""


def test_every_type_of_a_query_is_read_as_it_was_built(warehouse: Warehouse, tmp_path: Path) -> None:
    """With the column `date`, the day that was built, before the query's own."""
    load(warehouse, make_clicks(2))
    table = query_table(tmp_path, "typed", TYPED)
    receipt = build(warehouse, table, slices={"click": [PARTITION]})
    assert receipt.rows == 2
    assert warehouse.receipts(table) == {"2026-11-21": receipt}
    assert read(warehouse, table, ["2026-11-21"])[1] == {
        "date": DAY,
        "click_id": "c000001",
        "whole": 1,
        "share": 0.5,
        "flag": True,
        "day": DAY,
        "built_for": DAY,
        "clicked_at": HOUR + timedelta(seconds=1),
        "nothing": None,
    }


def test_built_twice_is_built_once_unless_replaced(warehouse: Warehouse, tmp_path: Path) -> None:
    """As with load."""
    load(warehouse, make_clicks(2))
    table = query_table(tmp_path, "copy", "SELECT c.click_id FROM click AS c")
    first = build(warehouse, table, slices={"click": [PARTITION]})
    assert build(warehouse, table) == first
    assert build(warehouse, table, replace=True).rows == 0
    assert read(warehouse, table, ["2026-11-21"]) == []


def test_a_query_sees_the_declared_partitions_and_no_others(warehouse: Warehouse, tmp_path: Path) -> None:
    """Though more of the table is there, and another version of it."""
    for n, partition in enumerate(["2026-11-21T04", "2026-11-21T05", "2026-11-21T06"]):
        load(warehouse, [make_click(n, clicked_at=HOUR + timedelta(hours=n - 1))], partition)
    load(warehouse, make_clicks(9), table=Table("click", "v2", EVENTS["click"]))
    table = query_table(tmp_path, "copy", "SELECT c.click_id FROM click AS c")
    build(warehouse, table, slices={"click": ["2026-11-21T04", "2026-11-21T06"]})
    assert ids(read(warehouse, table, ["2026-11-21"])) == ["c000000", "c000002"]


LATER = "2026-11-21T06"


def test_a_query_sees_the_slices_of_two_tables(warehouse: Warehouse, tmp_path: Path) -> None:
    """Each with its own partitions."""
    shown = {column.name: None for column in EVENTS["impression"].columns} | {"placement_id": "p"}
    load(warehouse, make_clicks(2))
    load(warehouse, [shown | {"impression_id": "i0", "served_at": HOUR}], table=IMPRESSION)
    load(warehouse, [shown | {"impression_id": "i1", "served_at": HOUR + timedelta(hours=1)}], LATER, table=IMPRESSION)
    body = """
SELECT c.click_id, i.placement_id
FROM click AS c LEFT JOIN impression AS i ON i.impression_id = c.impression_id
"""
    table = query_table(tmp_path, "joined", body, [CLICK, IMPRESSION])
    build(warehouse, table, slices={"click": [PARTITION], "impression": [LATER]})
    found = read(warehouse, table, ["2026-11-21"], ["click_id", "placement_id"])
    assert [tuple(row.values()) for row in found] == [("c000000", None), ("c000001", "p")]


def test_an_empty_slice_of_an_event_has_its_columns(warehouse: Warehouse, tmp_path: Path) -> None:
    """A query over no hour at all answers no rows, or those of its other tables."""
    load(warehouse, make_clicks(1))
    body = """
SELECT c.click_id, i.placement_width + 1 AS width, i.served_at, ARRAY_LENGTH(i.segments) AS segments
FROM click AS c LEFT JOIN impression AS i ON i.impression_id = c.impression_id
"""
    table = query_table(tmp_path, "joined", body, [CLICK, IMPRESSION])
    build(warehouse, table, slices={"click": [PARTITION]})
    assert read(warehouse, table, ["2026-11-21"], ["click_id", "width", "served_at", "segments"]) == [
        {"click_id": "c000000", "width": None, "served_at": None, "segments": None}
    ]
    assert build(warehouse, table, date(2026, 11, 22)).rows == 0


HISTORY = """
SELECT
  c.impression_id,
  COUNT(*) AS clicks,
  SAFE_DIVIDE(COUNT(*), 2) AS share,
  MIN(c.clicked_at) AS first_at,
  MAX(TIMESTAMP_DIFF(c.clicked_at, TIMESTAMP '2026-11-21 00:00:00+00', SECOND)) AS seconds,
  MOD(FARM_FINGERPRINT(c.impression_id), 8) AS bucket,
  MAX(EXTRACT(DAYOFWEEK FROM @date)) AS weekday,
  DATE_DIFF(@date, DATE '2026-11-01', DAY) AS days
FROM click AS c
GROUP BY c.impression_id
"""


OVER_HISTORY = """
SELECT c.click_id, h.clicks, h.share, h.first_at, h.seconds, h.bucket, h.weekday, h.days, h.date AS day
FROM click AS c LEFT JOIN history AS h ON h.impression_id = c.impression_id
"""


def test_an_empty_slice_of_a_query_table_has_its_columns(warehouse: Warehouse, tmp_path: Path) -> None:
    """Of the very types that they have when there are rows, for types must not depend on the day."""
    history = query_table(tmp_path, "history", HISTORY, key="impression_id")
    over = query_table(tmp_path, "over", OVER_HISTORY, [CLICK, history])
    load(warehouse, make_clicks(2))
    build(warehouse, over, date(2026, 11, 20), slices={"click": [PARTITION]})
    build(warehouse, history, slices={"click": [PARTITION]})
    build(warehouse, over, slices={"click": [PARTITION], "history": ["2026-11-21"]})
    columns = ["click_id", "clicks", "share", "first_at", "seconds", "bucket", "weekday", "days", "day"]
    (without,) = warehouse.read(Slice(over, ("2026-11-20",)), columns)
    (with_rows,) = warehouse.read(Slice(over, ("2026-11-21",)), columns)
    assert without.schema == with_rows.schema
    assert without.to_pylist()[0] == dict.fromkeys(columns) | {"click_id": "c000000"}
    assert with_rows.to_pylist()[1]["seconds"] == 5 * 3600 + 1
    assert with_rows.to_pylist()[1]["day"] == DAY


def test_two_rows_of_one_key_are_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    """The sentence names the key's value and how often it stands; the old partition stays."""
    load(warehouse, make_clicks(2))
    table = query_table(tmp_path, "doubled", "SELECT c.impression_id, 1 AS n FROM click AS c", key="impression_id, n")
    build(warehouse, table, slices={"click": [PARTITION]})
    later = "2026-11-21T06"
    load(
        warehouse, [make_click(n, impression_id="it's", clicked_at=HOUR + timedelta(hours=1)) for n in range(3)], later
    )
    with pytest.raises(WarehouseError, match=r'doubled of 2026-11-21 has 3 rows with impression_id="it.s", n=1: .*key'):
        build(warehouse, table, slices={"click": [PARTITION, later]}, replace=True)
    assert len(read(warehouse, table, ["2026-11-21"])) == 2


def test_two_rows_without_a_key_are_the_same_key(warehouse: Warehouse, tmp_path: Path) -> None:
    """NULL names a row no better than any other doubled value."""
    load(warehouse, make_clicks(2))
    table = query_table(tmp_path, "keyless", "SELECT NULLIF(c.click_id, c.click_id) AS k FROM click AS c", key="k")
    with pytest.raises(WarehouseError, match="2 rows with k=None"):
        build(warehouse, table, slices={"click": [PARTITION]})


def test_a_query_that_fails_says_why_in_one_line(warehouse: Warehouse, tmp_path: Path) -> None:
    """Table, day and the engine's first line; nothing is there afterwards."""
    load(warehouse, make_clicks(2))
    table = query_table(tmp_path, "failing", "SELECT c.click_id, CAST(c.click_id AS INT64) AS number FROM click AS c")
    with pytest.raises(WarehouseError, match=r"^failing of 2026-11-21 cannot be built: .*c00000") as caught:
        build(warehouse, table, slices={"click": [PARTITION]})
    assert "\n" not in str(caught.value)
    assert warehouse.receipts(table) == {}


def test_a_query_that_names_an_unknown_column_fails(warehouse: Warehouse, tmp_path: Path) -> None:
    """With the column's name."""
    table = query_table(tmp_path, "failing", "SELECT c.click_id, c.nope FROM click AS c")
    with pytest.raises(WarehouseError, match="nope"):
        build(warehouse, table)
