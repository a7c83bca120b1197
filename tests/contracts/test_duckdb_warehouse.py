"""What only the embedded warehouse promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dsp_pipeline.errors import DspError, WarehouseError
from dsp_pipeline.warehouse.duckdb import DuckDBWarehouse
from tests.contracts.implementations import WAREHOUSES
from tests.contracts.rows import (
    CLICK,
    DAY,
    HOUR,
    PARTITION,
    build,
    draft,
    load,
    make_click,
    make_clicks,
    parquet_of,
    query_table,
    read,
    unfit,
)


def test_an_embedded_warehouse_leaves_nothing_aside_after_failures(tmp_path: Path) -> None:
    """Neither loads nor builds that fail leave a file, in place or aside."""
    root = tmp_path / "warehouse"
    warehouse = WAREHOUSES["DuckDBWarehouse"](root)
    load(warehouse, make_clicks(2))
    before = {path for path in root.rglob("*") if path.is_file()}
    failing = query_table(tmp_path, "failing", "SELECT CAST(c.click_id AS INT64) AS k FROM click AS c", key="k")
    doubled = query_table(tmp_path, "doubled", "SELECT 1 AS k FROM click AS c", key="k")
    acts: list[Any] = [
        lambda: build(warehouse, failing, slices={"click": [PARTITION]}),
        lambda: build(warehouse, doubled, slices={"click": [PARTITION]}),
        lambda: load(warehouse, [make_click(clicked_at=HOUR - timedelta(hours=1))], "2026-11-21T06"),
        lambda: warehouse.load(CLICK, "2026-11-21T06", [unfit("text")], draft(CLICK, "2026-11-21T06")),
        lambda: warehouse.load(CLICK, "2026-11-21T06", [unfit("list")], draft(CLICK, "2026-11-21T06")),
    ]
    for act in acts:
        with pytest.raises(WarehouseError):
            act()
    load(warehouse, make_clicks(4))
    after = {path for path in root.rglob("*") if path.is_file()}
    assert {path.name for path in after - before} <= {"lock"}


def test_an_embedded_warehouse_that_cannot_be_written_names_the_folder(tmp_path: Path) -> None:
    """And the setting, whether it is all of it or only the place of a partition."""
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DspError, match=f"{tmp_path}/file/.aside cannot be written: .*give .dsp. lake a folder that you"
    ):
        load(WAREHOUSES["DuckDBWarehouse"](tmp_path / "file"), [])
    root = tmp_path / "warehouse"
    root.mkdir()
    (root / "tables").write_text("")
    with pytest.raises(DspError, match=f"{root}/tables/click_v1/.* cannot be written: .*give .dsp. lake a folder"):
        load(WAREHOUSES["DuckDBWarehouse"](root), [])
    assert list((root / ".aside").iterdir()) == []


def test_a_query_that_needs_more_memory_than_its_threads_leave_is_answered_on_one(tmp_path: Path) -> None:
    """One that needs more than there is at all tells what helps."""
    many = 300_000
    ids = pa.array([f"{number * 7919 % many:032}" for number in range(many)])
    at = pa.array([HOUR] * many, pa.timestamp("us", "UTC"))
    clicks = parquet_of(pa.table({"click_id": ids, "impression_id": ids, "clicked_at": at}))
    made = "SELECT click_id, MIN(clicked_at) AS clicked_at FROM click GROUP BY click_id"
    known = "SELECT DISTINCT impression_id FROM click"
    body = (
        f"SELECT click.click_id, click.clicked_at, known.impression_id FROM click INNER JOIN ({made}) AS made "
        "ON click.click_id = made.click_id AND click.clicked_at = made.clicked_at "
        f"LEFT JOIN ({known}) AS known ON click.click_id = known.impression_id"
    )
    table = query_table(tmp_path, "joined", body)
    slices = {"click": [PARTITION]}

    warehouse = DuckDBWarehouse(tmp_path / "warehouse", memory_limit_mb=80, threads=8)
    warehouse.load(CLICK, PARTITION, [clicks], draft(CLICK, PARTITION))
    assert build(warehouse, table, slices=slices).rows == many
    with pytest.raises(
        WarehouseError, match=r"it needs more memory, or disk, .*raise \[dsp\] memory_limit_mb.*join in .*joined\.sql"
    ):
        build(
            DuckDBWarehouse(tmp_path / "warehouse", memory_limit_mb=40, threads=8),
            table,
            DAY + timedelta(1),
            slices=slices,
        )
    assert list((tmp_path / "warehouse" / ".aside").glob("*.parquet")) == []


def test_a_damaged_file_of_an_embedded_warehouse_is_named(tmp_path: Path) -> None:
    """A receipt stands, but its file was removed or cut by somebody."""
    warehouse = WAREHOUSES["DuckDBWarehouse"](tmp_path)
    load(warehouse, make_clicks(2))
    (file,) = tmp_path.glob("tables/**/*.parquet")
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(WarehouseError, match="click cannot be read: "):
        read(warehouse, CLICK)
    file.unlink()
    with pytest.raises(WarehouseError, match=f"click cannot be read: .*{file.name}"):
        read(warehouse, CLICK)


def test_files_that_no_receipt_names_are_swept(tmp_path: Path) -> None:
    """Replaced attempts and those of killed writers, with folders that are empty then; whatever is needed."""
    warehouse = WAREHOUSES["DuckDBWarehouse"](tmp_path)
    load(warehouse, make_clicks(2))
    (replaced,) = tmp_path.glob("tables/**/*.parquet")
    receipt = load(warehouse, make_clicks(3), replace=True)
    killed = tmp_path / "tables" / CLICK.address / "2026-11-21T06" / "0a1b2c3d.parquet"
    killed.parent.mkdir()
    killed.write_bytes(b"half of it")
    stranger = tmp_path / "tables" / "notes.txt"
    stranger.write_text("mine")
    old, young = (datetime.now(UTC) + timedelta(days=days) for days in (1, -1))
    assert list(warehouse.sweep(lambda address: True, young, remove=True)) == []
    told = list(warehouse.sweep(lambda address: True, old, remove=False))
    assert {one.address: one.size for one in told} == {
        str(path.relative_to(tmp_path)): path.stat().st_size for path in (replaced, killed)
    }
    assert {(one.parts, one.why) for one in told} == {(1, "left by a writer that was killed or replaced")}
    assert list(warehouse.sweep(lambda address: True, old, remove=True)) == told
    assert list(warehouse.sweep(lambda address: True, old, remove=True)) == []
    assert not killed.parent.exists()
    assert stranger.exists()
    assert warehouse.receipts(CLICK) == {PARTITION: receipt}
    assert read(warehouse, CLICK) == make_clicks(3)


def test_a_swept_table_leaves_no_folder(tmp_path: Path) -> None:
    """Neither of its files nor of its receipts."""
    warehouse = WAREHOUSES["DuckDBWarehouse"](tmp_path)
    load(warehouse, make_clicks(2))
    (swept,) = warehouse.sweep(lambda address: False, datetime.now(UTC) + timedelta(days=1), remove=True)
    assert swept.address == CLICK.address
    assert list(tmp_path.rglob(f"{CLICK.address}*")) == []
