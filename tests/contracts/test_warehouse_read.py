"""What every Warehouse promises of reading, and to many at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlglot

from dsp_pipeline.errors import NotFoundError, WarehouseError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.warehouse.base import Slice, Table, Warehouse
from dsp_pipeline.warehouse.sampling import Sampling
from tests.contracts.implementations import WAREHOUSES
from tests.contracts.rows import (
    CLICK,
    DAY,
    HOUR,
    IMPRESSION,
    PARTITION,
    Interrupted,
    build,
    draft,
    ids,
    load,
    make_click,
    make_clicks,
    parquet,
    query_table,
    read,
)


def test_the_loser_of_a_race_gets_the_winners_receipt(warehouse: Warehouse, name: str, root: Path) -> None:
    """A writer begins, another finishes meanwhile: who finishes first has won, and nothing of the other is left."""
    winners = []

    def overtake() -> None:
        winners.append(load(WAREHOUSES[name](root), make_clicks(3)))

    slow = Interrupted(parquet(make_clicks(5)).getvalue(), overtake)
    receipt = warehouse.load(CLICK, PARTITION, [slow], draft(CLICK, PARTITION))
    assert [receipt] == winners
    assert receipt.rows == len(read(warehouse, CLICK)) == 3
    if name == "DuckDBWarehouse":
        assert len(list(root.rglob("*.parquet"))) == 1


def test_of_many_writers_all_get_the_same_receipt(name: str, root: Path) -> None:
    """Several connections load and build the same partitions at once."""
    table = query_table(root.parent, "copy", "SELECT c.click_id, c.impression_id FROM click AS c")
    sqlglot.parse_one("SELECT [1]", dialect="duckdb").sql(dialect="duckdb")  # threads must not load a dialect at once
    many = 6 if name == "DuckDBWarehouse" else 3
    barrier = threading.Barrier(many)

    def write(number: int) -> tuple[str, str]:
        mine = WAREHOUSES[name](root)
        barrier.wait()
        loaded = load(mine, make_clicks(10 + number))
        built = build(mine, table, slices={"click": [PARTITION]})
        assert built.rows == loaded.rows
        return loaded.files[0].sha256, built.created_at

    with ThreadPoolExecutor(many) as pool:
        assert len(set(pool.map(write, range(many)))) == 1


def test_a_reader_sees_the_old_rows_or_the_new(warehouse: Warehouse, name: str, root: Path) -> None:
    """While a partition is replaced again and again, each read gives one writer's rows, all of them."""
    load(warehouse, make_clicks(500, impression_id="0"))
    rounds = 15 if name == "DuckDBWarehouse" else 4

    def write() -> None:
        mine = WAREHOUSES[name](root)
        for n in range(1, rounds):
            load(mine, make_clicks(500 + n, impression_id=str(n)), replace=True)

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write)
        while not written.done():
            seen = [row["impression_id"] for row in read(warehouse, CLICK)]
            assert seen == [seen[0]] * (500 + int(seen[0]))
        written.result()
    assert len(read(warehouse, CLICK)) == 500 + rounds - 1


def test_a_read_that_has_begun_goes_on_with_the_old_rows(warehouse: Warehouse) -> None:
    """Though the partitions that it has not come to yet are replaced meanwhile."""
    other = "2026-11-21T06"
    late = [make_click(9, clicked_at=HOUR + timedelta(hours=1))]
    load(warehouse, make_clicks(3))
    load(warehouse, late, other)
    batches = warehouse.read(Slice(CLICK, (PARTITION, other)), ["click_id"])
    first = next(batches)
    load(warehouse, [], replace=True)
    load(warehouse, [], other, replace=True)
    rest = [batch.num_rows for batch in batches]
    assert first.num_rows + sum(rest) == 4
    assert read(warehouse, CLICK, [PARTITION, other]) == []


def test_rows_come_in_the_order_of_partitions_and_keys(warehouse: Warehouse, tmp_path: Path) -> None:
    """The caller's order of partitions, then the key of a query's table; not the order of its inputs."""
    later = [make_click(n, clicked_at=HOUR + timedelta(hours=1)) for n in (5, 1)]
    load(warehouse, [make_click(n) for n in (9, 3, 4)])
    load(warehouse, later, "2026-11-21T06")
    table = query_table(tmp_path, "copy", "SELECT c.click_id FROM click AS c")
    build(warehouse, table, slices={"click": [PARTITION]})
    build(warehouse, table, date(2026, 11, 20), slices={"click": ["2026-11-21T06"]})
    assert ids(read(warehouse, table, ["2026-11-20", "2026-11-21"])) == [
        *("c000001", "c000005"),
        *("c000003", "c000004", "c000009"),
    ]


def test_a_large_partition_comes_in_several_batches(warehouse: Warehouse, tmp_path: Path) -> None:
    """So that memory is flat; still in order."""
    load(warehouse, list(reversed(make_clicks(70_000))))
    table = query_table(tmp_path, "copy", "SELECT c.click_id FROM click AS c")
    build(warehouse, table, slices={"click": [PARTITION]})
    batches = list(warehouse.read(Slice(table, ("2026-11-21",)), ["click_id"]))
    assert len(batches) > 1
    read_ids = [value for batch in batches for value in batch.column(0).to_pylist()]
    assert read_ids == [f"c{n:06}" for n in range(70_000)]


def test_only_the_columns_that_are_asked_for_are_read(warehouse: Warehouse) -> None:
    """In the order in which they are asked for."""
    load(warehouse, make_clicks(1))
    assert [list(row) for row in read(warehouse, CLICK, columns=["clicked_at", "click_id"])] == [
        ["clicked_at", "click_id"]
    ]


def test_a_column_that_is_not_there_is_an_error(warehouse: Warehouse) -> None:
    """That names the table and the column."""
    load(warehouse, make_clicks(1))
    with pytest.raises(WarehouseError, match=r"click cannot be read: .*nope"):
        read(warehouse, CLICK, columns=["nope"])


def test_a_partition_that_is_not_complete_is_not_found(warehouse: Warehouse, tmp_path: Path) -> None:
    """Neither to read nor to build from, though others of the slice are there."""
    load(warehouse, make_clicks(1))
    with pytest.raises(NotFoundError, match="click_v1/2026-11-21T06 is not complete"):
        read(warehouse, CLICK, [PARTITION, "2026-11-21T06"])
    table = query_table(tmp_path, "copy", "SELECT c.click_id FROM click AS c")
    with pytest.raises(NotFoundError, match="click_v1/2026-11-21T06 is not complete"):
        build(warehouse, table, slices={"click": [PARTITION, "2026-11-21T06"]})
    assert warehouse.receipts(table) == {}


def test_the_receipts_of_many_partitions_come_at_once(warehouse: Warehouse, name: str) -> None:
    """Those of this table and version only."""
    hours = [
        datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(30 if name == "DuckDBWarehouse" else 3)
    ]
    partitions = [f"{hour:%Y-%m-%dT%H}" for hour in hours]
    for partition in partitions:
        load(warehouse, [], partition)
    load(warehouse, [], table=Table("click", "v10", EVENTS["click"]))
    load(warehouse, [], table=IMPRESSION)
    found = warehouse.receipts(CLICK)
    assert sorted(found) == partitions
    assert all(receipt.address == f"click_v1/{partition}" for partition, receipt in found.items())


def test_a_table_without_partitions_has_no_receipts(warehouse: Warehouse) -> None:
    """And that is no error."""
    assert warehouse.receipts(CLICK) == {}


def test_the_same_rows_are_sampled_each_time_and_everywhere(warehouse: Warehouse, root: Path) -> None:
    """About the share that was asked for, and all in which `always` is true; in the order of the key."""
    sql = "SELECT c.click_id, c.impression_id, c.impression_id IN ('i1', 'i2', 'i3') AS wanted FROM click AS c"
    table = query_table(root.parent, "sampled", sql, key="click_id")
    load(warehouse, make_clicks(2_000))
    build(warehouse, table, slices={"click": [PARTITION]})
    whole = Slice(table, (DAY.isoformat(),))

    def sampled(sampling: Sampling) -> list[str]:
        return [one for batch in warehouse.read(whole, ["click_id"], sampling) for one in batch["click_id"].to_pylist()]

    tenth = sampled(Sampling(0.1, ("click_id",)))
    assert tenth == sorted(tenth)
    assert len(tenth) == 193
    with_wanted = sampled(Sampling(0.1, ("click_id",), always="wanted"))
    assert with_wanted == sorted({*tenth, "c000001", "c000002", "c000003"})
    assert set(tenth) < set(sampled(Sampling(0.3, ("click_id",))))
