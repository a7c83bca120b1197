"""Jobs of the BigQuery stand-in are known by their ids; rows are read as Arrow, and loaded from Cloud Storage."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core import exceptions as api
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage
from google.cloud.bigquery_storage import BigQueryReadClient
from google.cloud.bigquery_storage_v1 import types as storage_types

from console.standins.bigquery import BigQueryServer
from console.standins.gcs import GcsServer
from tests.e2e.folder import wait_until
from tests.standins.lake import HOUR, NOON, PROJECT, connect, ids, load, make_table, parquet, query, rows_of


def test_an_id_is_taken_once(client: bigquery.Client) -> None:
    """Of several that start a job of one id one wins; the others are told, and find the winner's labels and result."""

    def start(number: int) -> bool:
        config = bigquery.QueryJobConfig(labels={"attempt": str(number)})
        try:
            client.query(f"SELECT {number}", job_config=config, job_id="only-one", job_retry=None)
        except api.Conflict as error:
            assert "Already Exists: Job" in str(error)
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(start, range(8)))
    assert won.count(True) == 1
    job = client.get_job("only-one")
    assert job.labels == {"attempt": str(won.index(True))}
    assert [tuple(row) for row in job.result()] == [(won.index(True),)]
    assert job.state == "DONE"


def test_a_failed_job_keeps_its_id_and_its_error(client: bigquery.Client) -> None:
    """It is found again as it failed, and its id is not free."""
    failed = client.query("SELECT ERROR('broken')", job_id="fails", job_retry=None)
    with pytest.raises(api.BadRequest, match="broken"):
        failed.result()
    again = client.get_job("fails")
    assert (again.state, again.error_result["reason"]) == ("DONE", "invalidQuery")
    assert "broken" in again.error_result["message"]
    with pytest.raises(api.Conflict):
        client.query("SELECT 1", job_id="fails", job_retry=None)


ENDLESS = "SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 200000)) a, UNNEST(GENERATE_ARRAY(1, 200000)) b WHERE a*b = 7"


def test_a_running_query_can_be_cancelled(client: bigquery.Client) -> None:
    """It ends soon, with the reason that BigQuery gives."""
    job = client.query(ENDLESS, job_retry=None)
    assert not job.done()
    job.cancel()
    wait_until(job.done, "the end of the job", 20)
    assert job.error_result["reason"] == "stopped"


def test_a_job_ends_when_its_time_is_up(client: bigquery.Client) -> None:
    """A time limit of the job's configuration is kept."""
    job = query(client, ENDLESS, job_timeout_ms=200)
    wait_until(job.done, "the end of the job", 20)
    assert job.error_result["reason"] == "stopped"


def read(reading: BigQueryReadClient, session: Any) -> list[str]:
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    assert schema.names == ["id"]
    found: list[str] = []
    for stream in session.streams:
        for part in reading.read_rows(stream.name):
            batch = pa.ipc.read_record_batch(pa.py_buffer(part.arrow_record_batch.serialized_record_batch), schema)
            found += batch.column(0).to_pylist()
    return sorted(found)


def open_session(reading: BigQueryReadClient, table: str, **options: Any) -> Any:
    project, dataset, name = table.split(".")
    asked = storage_types.ReadSession(
        table=f"projects/{project}/datasets/{dataset}/tables/{name}",
        data_format=storage_types.DataFormat.ARROW,
        read_options={"selected_fields": ["id"], **options},
    )
    return reading.create_read_session(parent=f"projects/{project}", read_session=asked, max_stream_count=2)


def test_rows_of_a_partition_are_read_as_arrow(
    client: bigquery.Client, reading: BigQueryReadClient, table: str
) -> None:
    """Only the columns and rows that were asked for come, over as many streams as there are."""
    many = [f"{number:06}" for number in range(250_000)]
    load(client, rows_of(NOON, *many), f"{table}$2026112112")
    load(client, rows_of(NOON + HOUR, "other"), f"{table}$2026112113")
    session = open_session(reading, table, row_restriction="at < TIMESTAMP '2026-11-21 13:00:00+00'")
    assert len(session.streams) == 2
    assert read(reading, session) == many


def test_a_session_reads_what_was_there_when_it_was_made(
    client: bigquery.Client, reading: BigQueryReadClient, table: str
) -> None:
    """Replacing the partition afterwards changes nothing for it."""
    load(client, rows_of(NOON, "old"), f"{table}$2026112112")
    session = open_session(reading, table)
    load(client, rows_of(NOON, "new", "newer"), f"{table}$2026112112")
    assert read(reading, session) == ["old"]
    assert read(reading, open_session(reading, table)) == ["new", "newer"]


def test_one_job_loads_several_files_of_cloud_storage(installed: None, tmp_path: Path) -> None:
    """They make one partition together; a file that is not there fails the job and changes nothing."""
    with GcsServer(tmp_path / "gcs") as gcs, BigQueryServer(tmp_path / "bigquery", gcs=gcs.url) as server:
        options = {"api_endpoint": gcs.url}
        bucket = storage.Client(PROJECT, AnonymousCredentials(), client_options=options).create_bucket("staging")
        for each in "ab":
            file = io.BytesIO()
            pq.write_table(rows_of(NOON, each), file)
            bucket.blob(f"at noon/{each}.parquet").upload_from_file(file, rewind=True, if_generation_match=0)
        with connect(server) as client:
            client.create_dataset("lake")
            destination = f"{make_table(client, 'staged')}$2026112112"
            files = [f"gs://staging/at noon/{each}.parquet" for each in "ab"]
            client.load_table_from_uri(files, destination, job_config=parquet()).result()
            with pytest.raises(api.NotFound, match=r"Not found: URI gs://staging/nothing\.parquet"):
                client.load_table_from_uri("gs://staging/nothing.parquet", destination, job_config=parquet()).result()
            assert ids(client, f"{PROJECT}.lake.staged") == ["a", "b"]
