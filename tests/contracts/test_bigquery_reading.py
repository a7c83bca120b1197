"""Rows on their way out of BigQuery and, when there are many, into it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from console.standins.bigquery import BigQueryServer
from console.standins.gcs import GcsServer
from dsp_pipeline.errors import WarehouseError
from dsp_pipeline.settings import BigQuerySettings
from dsp_pipeline.warehouse.base import Slice, Warehouse
from dsp_pipeline.warehouse.bigquery import BigQueryWarehouse
from dsp_pipeline.warehouse.fit import BATCH_ROWS
from tests.contracts.implementations import bigquery_warehouse, need_bigquery
from tests.contracts.rows import CLICK, HOUR, PARTITION, draft, load, make_clicks, parquet, parquet_of, read
from tests.faults.proxy import Change, FaultProxy


def filled(root: Path) -> Warehouse:
    warehouse = bigquery_warehouse(root)
    load(warehouse, list(reversed(make_clicks(50))))
    load(warehouse, [], "2026-11-21T06")
    return warehouse


def rows(warehouse: Warehouse) -> list[dict[str, Any]]:
    return read(warehouse, CLICK, [PARTITION, "2026-11-21T06"], ["clicked_at", "click_id"])


def test_rows_come_over_rest_as_they_come_from_the_storage_api(tmp_path: Path) -> None:
    """A stand-in may have no Storage Read API."""
    expected = rows(filled(tmp_path))
    assert [row["click_id"] for row in expected] == [f"c{n:06}" for n in range(50)]
    assert rows(bigquery_warehouse(tmp_path, storage_endpoint="")) == expected


@pytest.fixture
def closed() -> Iterator[str]:
    """A Storage Read API that lets nobody in."""

    class Denies(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            def deny(_: Any, context: Any) -> Any:
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "bigquery.readsessions.create denied")

            return grpc.unary_unary_rpc_method_handler(deny)

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Denies()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_a_closed_storage_api_is_told_and_rest_is_taken(
    tmp_path: Path, closed: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning names the role that is missing; the rows are the same."""
    expected = rows(filled(tmp_path))
    monkeypatch.setattr(logging.getLogger("dsp"), "propagate", True)
    with caplog.at_level(logging.WARNING, "dsp"):
        assert rows(bigquery_warehouse(tmp_path, storage_endpoint=closed)) == expected
    assert "give it the role BigQuery Read Session User" in caplog.text


def test_rows_of_a_large_day_come_in_batches_in_order(tmp_path: Path) -> None:
    """300,000 rows, never more than a batch of them at once in Python's hands."""
    warehouse = bigquery_warehouse(tmp_path)
    numbers = range(299_999, -1, -1)
    file = pa.table(
        {
            "click_id": [f"c{n:06}" for n in numbers],
            "impression_id": ["i"] * len(numbers),
            "clicked_at": pa.array([HOUR] * len(numbers), pa.timestamp("us", tz="UTC")),
        }
    )
    load_table(warehouse, file)
    last, count = "", 0
    for batch in warehouse.read(Slice(CLICK, (PARTITION,)), ["click_id"]):
        assert batch.num_rows <= BATCH_ROWS
        first, *_ = ids = batch.column(0).to_pylist()
        assert last < first
        assert ids == sorted(ids)
        last, count = ids[-1], count + len(ids)
    assert count == 300_000
    assert not any((tmp_path / "scratch").iterdir())


def load_table(warehouse: Warehouse, rows: pa.Table) -> None:
    warehouse.load(CLICK, PARTITION, [parquet_of(rows)], draft(CLICK, PARTITION), rows=rows.num_rows)


class Cloud:
    """A BigQuery that loads from a Cloud Storage, and a look at the latter."""

    def __init__(self, gcs: GcsServer, server: BigQueryServer, root: Path) -> None:
        self.root = root
        self.settings = BigQuerySettings(
            project="acme-ads",
            dataset="ads",
            location="EU",
            max_bytes_billed=1 << 30,
            staging="gs://staging/loads",
            endpoint=server.rest,
            storage_endpoint=server.storage,
            staging_endpoint=gcs.url,
        )
        known: dict[str, Any] = {"project": "acme-ads", "credentials": AnonymousCredentials()}
        self._storage = storage.Client(**known, client_options={"api_endpoint": gcs.url})
        self._storage.create_bucket("staging")
        self.client = bigquery.Client(**known, client_options={"api_endpoint": server.rest})
        self.client.create_dataset("ads")

    def warehouse(self, **changes: Any) -> BigQueryWarehouse:
        settings = BigQuerySettings(**{**vars(self.settings), **changes})
        limits = {"memory_limit_mb": 300, "threads": 1, "part_bytes": 1_000}
        return BigQueryWarehouse(settings, scratch=self.root / "scratch", patience=20.0, **limits)  # type: ignore[arg-type]

    def staged(self) -> list[str]:
        return [blob.name for blob in self._storage.list_blobs("staging")]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    need_bigquery()
    root = tmp_path_factory.mktemp("cloud")
    with GcsServer(root / "gcs") as gcs, BigQueryServer(root / "bigquery", gcs=gcs.url) as server:
        yield Cloud(gcs, server, root)


def large_files() -> list[Any]:
    """Three files that hold more than a part may."""
    return [parquet(make_clicks(200)) for _ in range(3)]


def test_a_large_load_goes_through_cloud_storage_as_one_job(cloud: Cloud) -> None:
    """One job takes all staged files; none of them is left."""
    receipt = cloud.warehouse().load(CLICK, PARTITION, large_files(), draft(CLICK, PARTITION))
    job = cloud.client.get_job(receipt.details["job"], location="EU")
    assert len(job.source_uris) == 3
    assert all(uri.startswith("gs://staging/loads/") for uri in job.source_uris)
    assert receipt.rows == 600
    assert cloud.staged() == []
    loads = [one for one in cloud.client.list_jobs() if one.job_type == "load" and PARTITION in one.job_id]
    assert len(loads) == 1


def test_staged_files_are_removed_after_a_failure(cloud: Cloud) -> None:
    """That of the job, and that of the staging itself, which names the place."""
    other = "2026-11-21T07"
    files = [parquet(make_clicks(200, clicked_at=HOUR.replace(hour=7))) for _ in range(2)]
    with FaultProxy(cloud.settings.endpoint) as proxy:
        seen: list[list[str]] = []

        def look(body: bytes) -> bytes:
            seen.append(cloud.staged())
            return body.replace(b'"DONE"', b'"DONE","errorResult":{"reason":"invalid","message":"told"}')

        proxy.rule(Change(look), path="/jobs")
        with pytest.raises(WarehouseError, match="cannot be loaded: told"):
            cloud.warehouse(endpoint=proxy.url).load(CLICK, other, files, draft(CLICK, other))
    assert any(seen)
    assert cloud.staged() == []
    for file in files:
        file.seek(0)
    with pytest.raises(WarehouseError, match="files cannot be staged in gs://nowhere: "):
        cloud.warehouse(staging="gs://nowhere").load(CLICK, other, files, draft(CLICK, other))
    assert other not in cloud.warehouse().receipts(CLICK)


def test_without_a_place_to_stage_a_large_load_is_one_file(cloud: Cloud) -> None:
    """It goes over the wire."""
    warehouse = cloud.warehouse(staging="")
    late = "2026-11-22T05"
    files = [parquet(make_clicks(200, clicked_at=HOUR.replace(day=22))) for _ in range(2)]
    receipt = warehouse.load(CLICK, late, files, draft(CLICK, late))
    assert cloud.client.get_job(receipt.details["job"], location="EU").source_uris in (None, [])
    assert receipt.rows == 400
