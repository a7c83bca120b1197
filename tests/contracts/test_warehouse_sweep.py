"""What every Warehouse promises of what is not needed any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.errors import NotFoundError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.storage.sweep import Swept
from dsp_pipeline.warehouse.base import Table, Warehouse
from dsp_pipeline.warehouse.bigquery import BigQueryWarehouse
from dsp_pipeline.warehouse.duckdb import DuckDBWarehouse
from tests.contracts.implementations import WAREHOUSES, bigquery_client
from tests.contracts.rows import HOUR, PARTITION, load, make_click, make_clicks, read

NEEDED = Table("click", "0123456789ab", EVENTS["click"])
OLD = Table("click", "ba9876543210", EVENTS["click"])
LATER = "2026-11-21T06"
TOMORROW = datetime.now(UTC) + timedelta(days=1)  # by then everything is old


def sweep(
    warehouse: Warehouse,
    keep: Callable[[str], bool] = lambda address: address == NEEDED.address,
    before: datetime = TOMORROW,
    *,
    remove: bool = True,
) -> list[Swept]:
    return list(warehouse.sweep(keep, before, remove=remove))


def everything(warehouse: Warehouse, root: Path) -> Any:
    """All that the warehouse consists of, told without asking it."""
    if not isinstance(warehouse, BigQueryWarehouse):
        return {path: path.is_file() and (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*")}
    client, dataset = bigquery_client(warehouse.settings), warehouse.settings.dataset
    tables = [client.get_table(one) for one in client.list_tables(dataset)]
    rows = [sorted(row.values() for row in client.list_rows(f"{dataset}.receipts"))]
    return [(one.table_id, one.created, one.num_rows) for one in tables], rows


def test_what_nothing_needs_is_told_then_removed_and_can_be_made_again(warehouse: Warehouse, root: Path) -> None:
    """A dry sweep changes nothing and tells what the real one removes; a second finds nothing; the needed stays."""
    needed = load(warehouse, make_clicks(2), table=NEEDED)
    load(warehouse, make_clicks(3), table=OLD)
    there = everything(warehouse, root)
    told = sweep(warehouse, remove=False)
    assert everything(warehouse, root) == there
    (one,) = told
    assert (one.address, one.size > 0) == (OLD.address, True)
    written = (datetime.now(UTC), datetime.fromisoformat(needed.created_at))
    assert one.why in {f"nothing needs this version, last written {at:%Y-%m-%d}" for at in written}
    assert sweep(warehouse) == told
    assert sweep(warehouse) == []
    assert warehouse.receipts(OLD) == {}
    with pytest.raises(NotFoundError):
        read(warehouse, OLD)
    assert warehouse.receipts(NEEDED) == {PARTITION: needed}
    assert read(warehouse, NEEDED) == make_clicks(2)
    again = load(warehouse, make_clicks(3), table=OLD)
    assert warehouse.receipts(OLD) == {PARTITION: again}
    assert again.rows == len(read(warehouse, OLD)) == 3


def test_a_table_into_which_something_was_written_since_stays(warehouse: Warehouse, root: Path) -> None:
    """All of it until that is old too, and also if it is written to while the sweep is at it."""
    load(warehouse, make_clicks(3), table=OLD)
    moment = datetime.now(UTC)

    def late(address: str) -> bool:
        load(warehouse, [make_click(7, clicked_at=HOUR + timedelta(hours=1))], LATER, OLD)
        return False

    assert sweep(warehouse, late, moment) == []
    there = everything(warehouse, root)
    assert sweep(warehouse, lambda address: False, moment, remove=False) == []
    assert everything(warehouse, root) == there
    assert [len(read(warehouse, OLD, [partition])) for partition in (PARTITION, LATER)] == [3, 1]
    (one,) = sweep(warehouse)
    assert one.parts == (2 if isinstance(warehouse, BigQueryWarehouse) else 4)  # partitions, or files and receipts
    assert warehouse.receipts(OLD) == {}


class Killed(BaseException):
    """The process ends here."""


def killed_before_the_rows(warehouse: Warehouse) -> Warehouse:
    """Ends when it should remove the first rows."""

    def die(what: object) -> None:
        if not str(what).startswith("receipts/"):
            raise Killed
        delete(what)

    if isinstance(warehouse, BigQueryWarehouse):
        warehouse._tables.remove = die  # type: ignore[method-assign, assignment]
    else:
        assert isinstance(warehouse, DuckDBWarehouse)
        delete: Callable[[Any], None] = warehouse._folder.delete
        warehouse._folder.delete = die  # type: ignore[method-assign, assignment]
    return warehouse


def test_a_killed_sweep_leaves_rows_without_receipts_which_the_next_finds(name: str, root: Path) -> None:
    """The receipts go first: what is left is not complete, and never a receipt without its rows."""
    warehouse = WAREHOUSES[name](root)
    load(warehouse, make_clicks(3), table=OLD)
    with pytest.raises(Killed):
        sweep(killed_before_the_rows(WAREHOUSES[name](root)))
    assert warehouse.receipts(OLD) == {}
    assert [one.address for one in sweep(warehouse)] == [OLD.address]
    assert sweep(warehouse) == []
