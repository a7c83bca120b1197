"""What every Warehouse promises of loading."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dsp_pipeline.errors import PartitionError, WarehouseError
from dsp_pipeline.events.arrow import arrow_schema
from dsp_pipeline.events.schema import EVENTS, Column
from dsp_pipeline.warehouse.base import Slice, Table, Warehouse
from tests.contracts.implementations import WAREHOUSES
from tests.contracts.rows import (
    CLICK,
    HOUR,
    IMPRESSION,
    PARTITION,
    build,
    draft,
    ids,
    load,
    make_click,
    make_clicks,
    parquet,
    parquet_of,
    query_table,
    read,
    unfit,
)

VALUES: dict[str, Any] = {
    "text": "é🎉 'quoted'\n",
    "integer": -(2**63),
    "float": 0.1,
    "time": HOUR + timedelta(microseconds=3_599_999_999),
    "texts": ["a", "", "b"],
    "floats": [1.5, -0.0],
}


def test_every_type_of_value_is_read_as_it_was_loaded(warehouse: Warehouse) -> None:
    """Texts, integers, floats, times to the microsecond, lists; and their absence."""
    columns = EVENTS["impression"].columns
    full = {column.name: VALUES[column.type] for column in columns}
    bare = {column.name: [] if column.type in ("texts", "floats") else None for column in columns}
    bare |= {"impression_id": "z", "served_at": HOUR}
    receipt = load(warehouse, [full, bare], table=IMPRESSION)
    assert receipt.rows == 2
    assert sorted(read(warehouse, IMPRESSION), key=lambda row: str(row["impression_id"])) == sorted(
        [bare, full], key=lambda row: str(row["impression_id"])
    )


def test_types_are_those_of_the_event_whatever_the_rows(warehouse: Warehouse) -> None:
    """A column of nulls has its type."""
    bare = {column.name: None for column in EVENTS["impression"].columns}
    load(warehouse, [bare | {"impression_id": "z", "served_at": HOUR}], table=IMPRESSION)
    names = ["user_id", "placement_width", "propensity", "served_at", "segments", "affinities"]
    (batch,) = warehouse.read(Slice(IMPRESSION, (PARTITION,)), names)
    assert [str(field.type).replace("list<l:", "list<element:") for field in batch.schema] == [
        "string",
        "int64",
        "double",
        "timestamp[us, tz=UTC]",
        "list<element: string>",
        "list<element: double>",
    ]


def test_several_files_fill_one_partition(warehouse: Warehouse) -> None:
    """All rows of all files."""
    files = [parquet([make_click(1)]), parquet([]), parquet([make_click(0)])]
    assert warehouse.load(CLICK, PARTITION, files, draft(CLICK, PARTITION)).rows == 2
    assert sorted(ids(read(warehouse, CLICK))) == ["c000000", "c000001"]


def test_a_load_leaves_a_receipt(warehouse: Warehouse) -> None:
    """It is returned, and found by its table; it tells address, version, rows and size."""
    receipt = load(warehouse, make_clicks(3))
    assert warehouse.receipts(CLICK) == {PARTITION: receipt}
    assert (receipt.address, receipt.version, receipt.rows) == (f"click_v1/{PARTITION}", "v1", 3)
    assert receipt.size > 0


def test_loaded_twice_is_loaded_once(warehouse: Warehouse) -> None:
    """The second load of a complete partition changes nothing and gets the first one's receipt."""
    first = load(warehouse, make_clicks(3))
    assert load(warehouse, make_clicks(5)) == first
    assert len(read(warehouse, CLICK)) == 3


def test_the_same_rows_have_the_same_digest(warehouse: Warehouse) -> None:
    """Whoever loads them and when; other rows have another."""
    first = load(warehouse, make_clicks(3))
    again = load(warehouse, make_clicks(3), replace=True)
    other = load(warehouse, make_clicks(4), replace=True)
    assert first.digest == again.digest != other.digest


def test_a_partition_is_replaced_as_a_whole(warehouse: Warehouse) -> None:
    """With `replace` the new rows are all that there is, the second time too; other partitions stay."""
    later = HOUR + timedelta(hours=1)
    load(warehouse, make_clicks(3))
    load(warehouse, [make_click(7, clicked_at=later)], "2026-11-21T06")
    load(warehouse, make_clicks(2), replace=True)
    receipt = load(warehouse, [make_click(9)], replace=True)
    assert warehouse.receipts(CLICK)[PARTITION] == receipt
    assert ids(read(warehouse, CLICK)) == ["c000009"]
    assert ids(read(warehouse, CLICK, ["2026-11-21T06"])) == ["c000007"]


@pytest.mark.parametrize("files", [0, 1])
def test_an_hour_without_rows_is_complete(warehouse: Warehouse, files: int) -> None:
    """It has a receipt of 0 rows, and can be read and built from."""
    receipt = warehouse.load(CLICK, PARTITION, [parquet([])] * files, draft(CLICK, PARTITION))
    assert receipt.rows == 0
    assert warehouse.receipts(CLICK)[PARTITION].rows == 0
    assert read(warehouse, CLICK) == []


def test_a_row_of_another_hour_is_refused(warehouse: Warehouse) -> None:
    """The sentence names the time and the hour; nothing is there afterwards, and what was there stays."""
    strangers = (HOUR - timedelta(microseconds=1), HOUR + timedelta(hours=1), HOUR - timedelta(days=365))
    for old in (0, 2):
        for at in strangers:
            told = f"a row of {at} among those of the hour {PARTITION}".replace("+", ".")
            with pytest.raises(PartitionError, match=told):
                load(warehouse, [*make_clicks(3), make_click(9, clicked_at=at)], replace=True)
        assert [receipt.rows for receipt in warehouse.receipts(CLICK).values()] == ([old] if old else [])
        load(warehouse, make_clicks(2))
    assert len(read(warehouse, CLICK)) == 2


def test_the_first_and_the_last_microsecond_belong_to_the_hour(warehouse: Warehouse) -> None:
    """The hour is [05:00, 06:00)."""
    last = HOUR + timedelta(hours=1, microseconds=-1)
    load(warehouse, [make_click(0, clicked_at=HOUR), make_click(1, clicked_at=last)])
    assert [row["clicked_at"] for row in read(warehouse, CLICK)] == [HOUR, last]


def test_files_without_the_rows_of_their_receipt_are_refused(warehouse: Warehouse) -> None:
    """One row less or more than was told; the old rows stay, and the right number is taken."""
    load(warehouse, make_clicks(2))
    for told in (2, 4):
        with pytest.raises(WarehouseError, match=f"its files hold 3 rows and not the {told} of their receipt"):
            files = [parquet(make_clicks(3))]
            warehouse.load(CLICK, PARTITION, files, draft(CLICK, PARTITION), rows=told, replace=True)
    assert len(read(warehouse, CLICK)) == 2
    files = [parquet(make_clicks(1)), parquet(make_clicks(2))]
    assert warehouse.load(CLICK, PARTITION, files, draft(CLICK, PARTITION), rows=3, replace=True).rows == 3


def test_a_file_that_does_not_fit_is_refused(warehouse: Warehouse) -> None:
    """In one sentence, with the table, the hour and the cure; the old rows are still there."""
    load(warehouse, make_clicks(2))
    for kind in ("missing", "type", "list", "null", "no time", "cut off", "empty", "text"):
        with pytest.raises(
            WarehouseError, match=f"^click_v1/{PARTITION} cannot be loaded: .*ingest the hour again[.]$"
        ):
            warehouse.load(CLICK, PARTITION, [parquet([]), unfit(kind)], draft(CLICK, PARTITION), replace=True)
    assert len(read(warehouse, CLICK)) == 2


def test_columns_that_the_event_has_not_are_left_out(warehouse: Warehouse) -> None:
    """And the order of a file's columns does not matter."""
    rows = pa.Table.from_pylist([{"more": 1, **dict(reversed(make_click().items()))}])
    warehouse.load(CLICK, PARTITION, [parquet_of(rows)], draft(CLICK, PARTITION))
    assert read(warehouse, CLICK) == [make_click()]


LATER = "2026-11-21T06"
NEW = (Column("note", "text", "a text that came later"), Column("tags", "texts", "a list that came later"))
WIDER = replace(EVENTS["click"], columns=(*EVENTS["click"].columns, *NEW))


def test_a_column_that_came_later_is_empty_in_older_partitions(name: str, root: Path, tmp_path: Path) -> None:
    """A text is null and a list is empty there, to read and to build from; the new partition has the values."""
    load(WAREHOUSES[name](root), [make_click(0)])
    warehouse = WAREHOUSES[name](root)  # a release later
    wider = Table(CLICK.name, CLICK.version, WIDER)
    new = make_click(1, clicked_at=HOUR + timedelta(hours=1), note="n", tags=["a", "b"])
    warehouse.load(wider, LATER, [parquet([new], schema=arrow_schema(WIDER))], draft(wider, LATER))
    names = ["click_id", "note", "tags"]
    old_row = {"click_id": "c000000", "note": None, "tags": []}
    assert read(warehouse, wider, [PARTITION, LATER], names) == [old_row, {column: new[column] for column in names}]
    assert read(WAREHOUSES[name](root), CLICK, [LATER]) == [{column: new[column] for column in make_click()}]
    table = query_table(tmp_path, "noted", "SELECT c.click_id, c.note, c.tags FROM click AS c", [wider])
    build(warehouse, table, slices={"click": [PARTITION, LATER]})
    build(warehouse, table, date(2026, 11, 20), slices={"click": [PARTITION]})
    new_row = {column: new[column] for column in names}
    assert read(warehouse, table, ["2026-11-20", "2026-11-21"], names) == [old_row, old_row, new_row]
