"""Every implementation of our interfaces. Each is made from an empty folder of its own; a new one is one line here."""

from __future__ import annotations

import atexit
import json
import secrets
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from console.standins.s3 import S3Server
from dsp_pipeline.storage.base import ObjectStore
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.storage.s3 import S3Bucket, s3_client
from dsp_pipeline.warehouse.base import Warehouse
from dsp_pipeline.warehouse.duckdb import DuckDBWarehouse


def duckdb_warehouse(root: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(root, memory_limit_mb=300, threads=1)


@cache
def s3_server() -> S3Server:
    """The S3 of this test process."""
    server = S3Server()
    atexit.register(server.stop)
    return server


@cache
def s3_test_client(url: str) -> Any:
    return s3_client(**S3Server.settings_of(url))


def new_bucket(*, versioned: bool = True) -> str:
    """Its name. Our lakes keep versions."""
    client, name = s3_test_client(s3_server().url), f"test-{secrets.token_hex(8)}"
    client.create_bucket(Bucket=name)
    if versioned:
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def s3_bucket(root: Path) -> S3Bucket:
    """A bucket of its own, which another process finds by the note in the folder."""
    note = root / "bucket.json"
    if not note.exists():
        root.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps([s3_server().url, new_bucket()]))
    url, bucket = json.loads(note.read_text())
    return S3Bucket(bucket, "lake", client=partial(s3_test_client, url))


STORES: dict[str, Callable[[Path], ObjectStore]] = {
    "LocalFolder": LocalFolder,
    "S3Bucket": s3_bucket,
}
WAREHOUSES: dict[str, Callable[[Path], Warehouse]] = {
    "DuckDBWarehouse": duckdb_warehouse,
}
