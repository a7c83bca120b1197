"""Every implementation of our interfaces. Each is made from an empty folder of its own; a new one is one line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dsp_pipeline.storage.base import ObjectStore
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.warehouse.base import Warehouse
from dsp_pipeline.warehouse.duckdb import DuckDBWarehouse


def duckdb_warehouse(root: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(root, memory_limit_mb=300, threads=1)


STORES: dict[str, Callable[[Path], ObjectStore]] = {
    "LocalFolder": LocalFolder,
}
WAREHOUSES: dict[str, Callable[[Path], Warehouse]] = {
    "DuckDBWarehouse": duckdb_warehouse,
}
