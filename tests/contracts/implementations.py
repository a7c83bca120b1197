"""Every implementation of our interfaces. Each is made from an empty folder of its own; a new one is one line here."""

from __future__ import annotations

import atexit
import json
import secrets
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from console.standins.bigquery import BigQueryServer, python_for_bigquery
from console.standins.s3 import S3Server
from dsp_pipeline.settings import BigQuerySettings
from dsp_pipeline.storage.base import ObjectStore
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.storage.s3 import S3Bucket, s3_client
from dsp_pipeline.warehouse.base import Warehouse
from dsp_pipeline.warehouse.bigquery import BigQueryWarehouse
from dsp_pipeline.warehouse.duckdb import DuckDBWarehouse


def duckdb_warehouse(root: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(root, memory_limit_mb=300, threads=1)


@cache
def s3_server() -> S3Server:
    """The S3 of this test process. Its listings come in small pages, as long ones do from S3."""
    server = S3Server(keys_a_page=5)
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


@cache
def bigquery_server() -> BigQueryServer:
    """The BigQuery of this test process."""
    if python_for_bigquery() is None:
        pytest.skip("skipped: no Python 3.13")
    server = BigQueryServer(Path(tempfile.mkdtemp(prefix="bigquery-")))
    server.start()
    atexit.register(server.stop)
    return server


@cache
def new_dataset(root: Path) -> BigQuerySettings:
    """A dataset of its own for each folder."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    server = bigquery_server()
    settings = BigQuerySettings(
        project="acme-ads",
        dataset=f"test_{secrets.token_hex(8)}",
        location="EU",
        max_bytes_billed=1 << 30,
        labels={"team": "ads"},
        endpoint=server.rest,
        storage_endpoint=server.storage,
    )
    options = {"api_endpoint": server.rest}
    client = bigquery.Client(settings.project, AnonymousCredentials(), client_options=options)
    dataset = bigquery.Dataset(f"{settings.project}.{settings.dataset}")
    dataset.location = settings.location
    client.create_dataset(dataset)
    client.close()
    return settings


def bigquery_warehouse(root: Path) -> BigQueryWarehouse:
    return BigQueryWarehouse(new_dataset(root), scratch=root / "scratch", memory_limit_mb=300, threads=2, patience=10.0)


STORES: dict[str, Callable[[Path], ObjectStore]] = {
    "LocalFolder": LocalFolder,
    "S3Bucket": s3_bucket,
}
WAREHOUSES: dict[str, Callable[[Path], Warehouse]] = {
    "BigQueryWarehouse": bigquery_warehouse,
    "DuckDBWarehouse": duckdb_warehouse,
}
