"""What a QueryEngine promises: each warehouse is one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.errors import NotFoundError, WarehouseError
from dsp_pipeline.sql.query import read_query
from dsp_pipeline.warehouse.base import Slice
from tests.contracts.rows import CLICK, DAY, PARTITION, load, make_clicks
from tests.sql.factories import write

BODY = """
SELECT impression_id, COUNT(*) AS clicks, MIN(clicked_at) AS first_clicked_at, @date AS day
FROM click
GROUP BY impression_id
"""


def test_a_question_is_answered_from_just_its_partitions(warehouse: Any, tmp_path: Path) -> None:
    """Names mean the slices alone, @date is the day, times are UTC, and an empty slice has no rows."""
    load(warehouse, make_clicks(3))
    load(warehouse, make_clicks(1, clicked_at=datetime(2026, 11, 21, 6, tzinfo=UTC)), partition="2026-11-21T06")
    query = read_query(write(tmp_path, body=BODY, reads="click [0, 0]"))
    rows = warehouse.ask(query, DAY, {"click": Slice(CLICK, (PARTITION,))})
    assert sorted((row["impression_id"], row["clicks"], row["day"]) for row in rows) == [
        ("i0", 1, DAY),
        ("i1", 1, DAY),
        ("i2", 1, DAY),
    ]
    assert min(row["first_clicked_at"] for row in rows) == datetime(2026, 11, 21, 5, tzinfo=UTC)
    assert warehouse.ask(query, DAY, {"click": Slice(CLICK, ())}) == []


def test_a_question_that_does_not_name_the_day_is_answered(warehouse: Any, tmp_path: Path) -> None:
    """@date may be left out."""
    load(warehouse, make_clicks(3))
    query = read_query(write(tmp_path, body="SELECT COUNT(*) AS clicks FROM click", reads="click [0, 0]", key="clicks"))
    assert warehouse.ask(query, DAY, {"click": Slice(CLICK, (PARTITION,))}) == [{"clicks": 3}]


def test_a_partition_that_is_not_there_is_told(warehouse: Any, tmp_path: Path) -> None:
    """Nothing is answered from less than was named."""
    load(warehouse, make_clicks(3))
    query = read_query(write(tmp_path, body=BODY, reads="click [0, 0]"))
    with pytest.raises(NotFoundError, match="2026-11-21T07 is not complete"):
        warehouse.ask(query, DAY, {"click": Slice(CLICK, (PARTITION, "2026-11-21T07"))})


def test_a_question_that_fails_is_told(warehouse: Any, tmp_path: Path) -> None:
    """With its name and day, in one sentence."""
    load(warehouse, make_clicks(3))
    body = "SELECT impression_id, 1 / (LENGTH(impression_id) - LENGTH(impression_id)) AS x FROM click"
    query = read_query(write(tmp_path, "ratios", body=body, reads="click [0, 0]"))
    with pytest.raises(WarehouseError, match=f"ratios of {DAY} cannot be answered"):
        warehouse.ask(query, DAY, {"click": Slice(CLICK, (PARTITION,))})
