"""Every implementation of our interfaces. Each is made from an empty folder of its own; a new one is one line here."""

from __future__ import annotations

import atexit
import json
import os
import secrets
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from console.standins.bigquery import BigQueryServer, python_for_bigquery
from console.standins.s3 import S3Server
from dsp_pipeline.settings import BigQuerySettings
from dsp_pipeline.storage.base import ObjectStore
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.storage.s3 import S3Bucket, s3_client
from dsp_pipeline.warehouse.base import Warehouse
from dsp_pipeline.warehouse.bigquery import BigQueryWarehouse
from dsp_pipeline.warehouse.duckdb import DuckDBWarehouse

_making = threading.RLock()  # a cache makes a thing twice for two threads that ask at once


def duckdb_warehouse(root: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(root, memory_limit_mb=300, threads=1)


@cache
def s3_server(keys_a_page: int = 5) -> S3Server:
    """The S3 of this test process. Its listings come in small pages, as long ones do from S3."""
    server = S3Server(keys_a_page=keys_a_page)
    atexit.register(server.stop)
    return server


@cache
def s3_test_client(url: str) -> Any:
    return s3_client(**S3Server.settings_of(url))


def new_bucket(server: S3Server | None = None, *, versioned: bool = True) -> str:
    """Its name. Our lakes keep versions."""
    client, name = s3_test_client((server or s3_server()).url), f"test-{secrets.token_hex(8)}"
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


def need_bigquery() -> None:
    """Skip where the stand-in cannot run."""
    if python_for_bigquery() is None:
        pytest.skip("skipped: no Python 3.13")


@cache
def bigquery_server() -> BigQueryServer:
    """The BigQuery of this test process."""
    need_bigquery()
    server = BigQueryServer(Path(tempfile.mkdtemp(prefix="bigquery-")))
    server.start()
    atexit.register(server.stop)
    return server


@cache
def _new_dataset(root: Path) -> BigQuerySettings:
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
    dataset = bigquery.Dataset(f"{settings.project}.{settings.dataset}")
    dataset.location = settings.location
    bigquery_client(settings).create_dataset(dataset)
    return settings


def new_dataset(root: Path) -> BigQuerySettings:
    """A dataset of its own for each folder, whichever thread asks first."""
    with _making:
        return _new_dataset(root)


def bigquery_client(settings: BigQuerySettings) -> bigquery.Client:
    """Google's own, to look at what the warehouse did without asking it."""
    return _bigquery_client(settings.project, settings.endpoint)


@cache
def _bigquery_client(project: str, endpoint: str) -> bigquery.Client:
    if not endpoint:
        return bigquery.Client(project)
    return bigquery.Client(project, AnonymousCredentials(), client_options={"api_endpoint": endpoint})


def bigquery_warehouse(root: Path, patience: float = 120.0, **changes: Any) -> BigQueryWarehouse:
    """In the folder's dataset; `changes` are to its settings."""
    settings = replace(new_dataset(root), **changes)
    return BigQueryWarehouse(settings, scratch=root / "scratch", memory_limit_mb=300, threads=2, patience=patience)


# With a project of Google's and credentials for it (gcloud auth application-default login), the contract is also tested
# on BigQuery itself, in datasets of its own that are removed at the end.
LIVE_PROJECT = os.environ.get("DSP_TEST_BIGQUERY_PROJECT", "")


@cache
def live_dataset(root: Path) -> BigQuerySettings:
    """A dataset of the project for each folder, until this process ends. Endpoints are for a try on the stand-in."""
    settings = BigQuerySettings(
        project=LIVE_PROJECT,
        dataset=f"dsp_test_{secrets.token_hex(8)}",
        location=os.environ.get("DSP_TEST_BIGQUERY_LOCATION", "US"),
        max_bytes_billed=1 << 30,
        labels={"purpose": "dsp-test"},
        endpoint=os.environ.get("DSP_TEST_BIGQUERY_ENDPOINT", ""),
        storage_endpoint=os.environ.get("DSP_TEST_BIGQUERY_STORAGE_ENDPOINT", ""),
    )
    client = bigquery_client(settings)
    dataset = bigquery.Dataset(f"{settings.project}.{settings.dataset}")
    dataset.location = settings.location
    client.create_dataset(dataset)
    atexit.register(client.delete_dataset, dataset, delete_contents=True, not_found_ok=True)
    return settings


def live_bigquery_warehouse(root: Path) -> BigQueryWarehouse:
    with _making:
        settings = live_dataset(root)
    return BigQueryWarehouse(settings, scratch=root / "scratch", memory_limit_mb=300, threads=2)


STORES: dict[str, Callable[[Path], ObjectStore]] = {
    "LocalFolder": LocalFolder,
    "S3Bucket": s3_bucket,
}
WAREHOUSES: dict[str, Callable[[Path], Warehouse]] = {
    "BigQueryWarehouse": bigquery_warehouse,
    "DuckDBWarehouse": duckdb_warehouse,
} | ({"BigQueryWarehouse (live)": live_bigquery_warehouse} if LIVE_PROJECT else {})
