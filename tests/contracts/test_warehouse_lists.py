"""What every Warehouse promises of the lists in events: none of them holds a null."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.errors import WarehouseError
from tests.contracts.implementations import WAREHOUSES
from tests.contracts.rows import HOUR, IMPRESSION, load, read


@pytest.mark.parametrize("name", sorted(WAREHOUSES))
def test_a_list_that_holds_a_null_is_refused(name: str, tmp_path: Path) -> None:
    """BigQuery keeps no null in a REPEATED column; the sentence names the column, and nothing is written."""
    warehouse = WAREHOUSES[name](tmp_path / "lake")
    row: dict[str, Any] = {"impression_id": "i", "served_at": HOUR, "segments": [], "affinities": [0.5]}
    for column, value in (("segments", ["a", None]), ("segment_weights", [None]), ("affinities", [None, 1.0])):
        with pytest.raises(WarehouseError) as error:
            load(warehouse, [row, row | {"impression_id": "j", column: value}], table=IMPRESSION)
        assert str(error.value) == (
            f"impression_v1/2026-11-21T05 cannot be loaded: a list of {column!r} holds a null, which BigQuery cannot "
            "keep; ingest the hour again."
        )
    assert warehouse.receipts(IMPRESSION) == {}


@pytest.mark.parametrize("name", sorted(WAREHOUSES))
def test_lists_without_nulls_are_read_as_they_were_loaded(name: str, tmp_path: Path) -> None:
    """Empty lists and empty texts are no nulls."""
    warehouse = WAREHOUSES[name](tmp_path / "lake")
    row = {"impression_id": "i", "served_at": HOUR, "segments": ["", "a"], "segment_weights": [], "affinities": [0.5]}
    load(warehouse, [row], table=IMPRESSION)
    assert read(warehouse, IMPRESSION, columns=sorted(row)) == [row]
