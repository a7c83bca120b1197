"""The BigQuery stand-in keeps the promises of BigQuery that we rely on, over Google's own clients."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core import exceptions as api
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage
from google.cloud.bigquery_storage import BigQueryReadClient
from google.cloud.bigquery_storage_v1 import types as storage_types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from console.standins import processes
from console.standins.bigquery import BigQueryServer, python_for_bigquery
from console.standins.cloud import Cloud
from console.standins.gcs import GcsServer
from dsp_pipeline.processes import alive

PROJECT = "demo-ads"
SCHEMA = [
    bigquery.SchemaField("id", "STRING"),
    bigquery.SchemaField("at", "TIMESTAMP"),
    bigquery.SchemaField("price", "INT64"),
    bigquery.SchemaField("tags", "STRING", mode="REPEATED"),
]
ARROW = pa.schema(
    {"id": pa.string(), "at": pa.timestamp("us", "UTC"), "price": pa.int64(), "tags": pa.list_(pa.string())}
)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def installed() -> None:
    if python_for_bigquery() is None:
        pytest.skip("the BigQuery stand-in is not installed")


@pytest.fixture(scope="module")
def server(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryServer]:
    with BigQueryServer(tmp_path_factory.mktemp("bigquery")) as running:
        yield running


def connect(server: BigQueryServer) -> bigquery.Client:
    options = {"api_endpoint": server.rest}
    return bigquery.Client(project=PROJECT, credentials=AnonymousCredentials(), client_options=options)


@pytest.fixture(scope="module")
def client(server: BigQueryServer) -> Iterator[bigquery.Client]:
    with connect(server) as opened:
        opened.create_dataset("lake")
        yield opened


@pytest.fixture(scope="module")
def reading(server: BigQueryServer) -> Iterator[BigQueryReadClient]:
    unlimited = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server.storage, options=unlimited) as channel:
        yield BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


@pytest.fixture
def table(client: bigquery.Client, request: pytest.FixtureRequest) -> str:
    """An empty table, partitioned by the hour of `at`; its name is the test's."""
    return make_table(client, request.node.name.removeprefix("test_"))


def make_table(client: bigquery.Client, name: str, unit: str = "HOUR", **changes: Any) -> str:
    table = bigquery.Table(f"{PROJECT}.lake.{name}", SCHEMA)
    table.time_partitioning = bigquery.TimePartitioning(type_=unit, field="at")
    for what, value in changes.items():
        setattr(table, what, value)
    return str(client.create_table(table))


def rows_of(hour: datetime, *ids: str) -> pa.Table:
    rows = [{"id": each, "at": hour, "price": len(each), "tags": [each, "x"]} for each in ids]
    return pa.Table.from_pylist(rows, ARROW)


def parquet(**changes: Any) -> bigquery.LoadJobConfig:
    options = bigquery.ParquetOptions()
    options.enable_list_inference = True
    config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_TRUNCATE")
    config.parquet_options = options
    for what, value in changes.items():
        setattr(config, what, value)
    return config


def load(client: bigquery.Client, rows: pa.Table, destination: str, **changes: Any) -> Any:
    """Replace the destination by these rows and wait; the other arguments are options of the job."""
    config = parquet(**changes)
    file = io.BytesIO()
    pq.write_table(rows, file)
    job = client.load_table_from_file(file, destination, rewind=True, job_config=config)
    job.result()
    return job


def query(client: bigquery.Client, sql: str, **changes: Any) -> Any:
    config = bigquery.QueryJobConfig(default_dataset=f"{PROJECT}.lake")
    for what, value in changes.items():
        setattr(config, what, value)
    return client.query(sql, job_config=config)


def answer(client: bigquery.Client, sql: str, **changes: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in query(client, sql, **changes).result()]


def ids(client: bigquery.Client, table: str) -> list[str]:
    return [row[0] for row in answer(client, f"SELECT id FROM `{table}` WHERE at > '2000-01-01' ORDER BY id")]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Tables


def test_a_table_keeps_what_it_was_made_with(client: bigquery.Client) -> None:
    """Partitioning, clustering, labels and the demand for a filter come back, and tables and datasets are listed."""
    name = make_table(client, "kept", clustering_fields=["id"], labels={"team": "ads"}, require_partition_filter=True)
    table = client.get_table(name)
    assert (table.time_partitioning.type_, table.time_partitioning.field) == ("HOUR", "at")
    assert (table.clustering_fields, table.labels) == (["id"], {"team": "ads"})
    assert table.require_partition_filter
    assert [(field.name, field.field_type, field.mode) for field in table.schema] == [
        ("id", "STRING", "NULLABLE"),
        ("at", "TIMESTAMP", "NULLABLE"),
        ("price", "INTEGER", "NULLABLE"),
        ("tags", "STRING", "REPEATED"),
    ]
    assert "kept" in [each.table_id for each in client.list_tables("lake")]
    with pytest.raises(api.Conflict):
        client.create_table(table)
    client.delete_table(name)
    with pytest.raises(api.NotFound):
        client.get_table(name)


def test_a_dataset_keeps_its_location(client: bigquery.Client) -> None:
    """Datasets are made, found, listed and deleted."""
    dataset = bigquery.Dataset(f"{PROJECT}.elsewhere")
    dataset.location = "asia-northeast1"
    client.create_dataset(dataset)
    assert client.get_dataset("elsewhere").location == "asia-northeast1"
    assert "elsewhere" in [each.dataset_id for each in client.list_datasets()]
    client.delete_dataset("elsewhere")
    with pytest.raises(api.NotFound):
        client.get_dataset("elsewhere")


def test_a_query_must_filter_on_the_partition_where_the_table_says_so(client: bigquery.Client) -> None:
    """Without a filter it is refused, with one it is answered."""
    name = make_table(client, "filtered", require_partition_filter=True)
    load(client, rows_of(NOON, "a"), f"{name}$2026112112")
    with pytest.raises(api.BadRequest, match="without a filter over column"):
        answer(client, f"SELECT id FROM `{name}` WHERE price > 0")
    assert answer(client, f"SELECT id FROM `{name}` WHERE at >= '2026-11-21'") == [("a",)]


# Partitions


def test_a_load_replaces_just_its_partition(client: bigquery.Client, table: str) -> None:
    """Rows of other hours stay, and no table with the partition in its name appears."""
    load(client, rows_of(NOON, "a", "b"), f"{table}$2026112112")
    load(client, rows_of(NOON + HOUR, "c"), f"{table}$2026112113")
    job = load(client, rows_of(NOON, "d"), f"{table}$2026112112")
    assert job.output_rows == 1
    assert ids(client, table) == ["c", "d"]
    assert client.get_table(table).num_rows == 2
    assert client.get_table(f"{table}$2026112112").num_rows == 1
    assert not [each.table_id for each in client.list_tables("lake") if "$" in each.table_id]


def test_days_are_partitions_too(client: bigquery.Client) -> None:
    """A table partitioned by day takes a day's rows."""
    name = make_table(client, "daily", "DAY")
    load(client, rows_of(NOON, "a"), f"{name}$20261121")
    load(client, rows_of(NOON + HOUR, "b"), f"{name}$20261121")
    assert ids(client, name) == ["b"]
    with pytest.raises(api.BadRequest, match="partition decorator"):
        load(client, rows_of(NOON, "a"), f"{name}$2026112112")


def test_rows_of_another_partition_are_refused(client: bigquery.Client, table: str) -> None:
    """One such row is enough to fail the job, and nothing changes."""
    load(client, rows_of(NOON, "a"), f"{table}$2026112112")
    both = pa.concat_tables([rows_of(NOON, "b"), rows_of(NOON + HOUR, "c")])
    with pytest.raises(api.BadRequest, match="Some rows belong to different partitions rather than destination"):
        load(client, both, f"{table}$2026112112")
    assert ids(client, table) == ["a"]


def test_an_empty_file_empties_the_partition(client: bigquery.Client, table: str) -> None:
    """An hour without rows is loaded as any other."""
    load(client, rows_of(NOON, "a"), f"{table}$2026112112")
    assert load(client, rows_of(NOON), f"{table}$2026112112").output_rows == 0
    assert ids(client, table) == []


def test_small_files_are_sent_in_one_request(client: bigquery.Client, table: str) -> None:
    """Where the client knows the size it uploads in one part, otherwise in pieces; both arrive."""
    file = io.BytesIO()
    pq.write_table(rows_of(NOON, "a"), file)
    load(client, rows_of(NOON, "b"), f"{table}$2026112112")
    config = parquet(write_disposition="WRITE_APPEND")
    size = file.tell()
    client.load_table_from_file(
        file, f"{table}$2026112112", rewind=True, size=size, num_retries=0, job_config=config
    ).result()
    assert ids(client, table) == ["a", "b"]


def test_lists_arrive_and_are_never_null(client: bigquery.Client, table: str) -> None:
    """A null list is stored as an empty one, as in BigQuery."""
    rows = [*rows_of(NOON, "a").to_pylist(), {**rows_of(NOON, "b").to_pylist()[0], "tags": None}]
    load(client, pa.Table.from_pylist(rows, ARROW), f"{table}$2026112112")
    sql = f"SELECT id, tags, ARRAY_LENGTH(tags) FROM `{table}` WHERE at IS NOT NULL ORDER BY id"
    assert answer(client, sql) == [("a", ["a", "x"], 2), ("b", [], 0)]


def test_lists_need_list_inference(client: bigquery.Client, table: str) -> None:
    """Without the option BigQuery reads a Parquet list as a record, which does not fit."""
    with pytest.raises(api.BadRequest, match="Field tags has changed type"):
        load(client, rows_of(NOON, "a"), f"{table}$2026112112", parquet_options=None)


def test_a_new_column_is_added_if_the_job_allows_it(client: bigquery.Client, table: str) -> None:
    """It is null in the rows that were there; without ALLOW_FIELD_ADDITION the job fails and nothing changes."""
    load(client, rows_of(NOON, "a"), f"{table}$2026112112")
    wider = rows_of(NOON + HOUR, "b").append_column("city", pa.array(["Oslo"]))
    with pytest.raises(api.BadRequest, match="Cannot add fields"):
        load(client, wider, f"{table}$2026112113")
    load(client, wider, f"{table}$2026112113", schema_update_options=["ALLOW_FIELD_ADDITION"])
    sql = f"SELECT id, city FROM `{table}` WHERE at IS NOT NULL ORDER BY id"
    assert answer(client, sql) == [("a", None), ("b", "Oslo")]
    assert client.get_table(table).schema[-1].mode == "NULLABLE"


def test_a_column_of_another_type_is_refused(client: bigquery.Client, table: str) -> None:
    """Even where its values could be converted."""
    changed = rows_of(NOON, "a").set_column(2, "price", pa.array(["7"]))
    with pytest.raises(api.BadRequest, match="Field price has changed type from INTEGER to STRING"):
        load(client, changed, f"{table}$2026112112")
    assert ids(client, table) == []


def test_a_required_column_needs_a_required_column_in_the_file(client: bigquery.Client) -> None:
    """Parquet columns may be null unless the file says otherwise, and BigQuery goes by what it says."""
    name = f"{PROJECT}.lake.required"
    client.create_table(bigquery.Table(name, [bigquery.SchemaField("id", "STRING", mode="REQUIRED")]))
    with pytest.raises(api.BadRequest, match="Field id has changed mode from REQUIRED to NULLABLE"):
        load(client, pa.table({"id": ["a"]}), name, write_disposition="WRITE_APPEND")
    field = pa.field("id", pa.string(), nullable=False)
    load(client, pa.table([pa.array(["b"])], pa.schema([field])), name, write_disposition="WRITE_APPEND")
    assert answer(client, f"SELECT id FROM `{name}`") == [("b",)]


def test_readers_see_the_old_rows_or_the_new(client: bigquery.Client, table: str) -> None:
    """While a partition is replaced again and again no reader sees a mix, or nothing."""
    versions = [[f"{version}-{row}" for row in range(20)] for version in range(6)]
    load(client, rows_of(NOON, *versions[0]), f"{table}$2026112112")
    finished = threading.Event()

    def write() -> None:
        try:
            for version in versions[1:]:
                load(client, rows_of(NOON, *version), f"{table}$2026112112")
        finally:
            finished.set()

    with ThreadPoolExecutor() as pool:
        writer = pool.submit(write)
        while not finished.is_set():
            assert ids(client, table) in [sorted(version) for version in versions]
        writer.result()
    assert ids(client, table) == sorted(versions[-1])


def test_one_partition_can_be_listed_and_deleted(client: bigquery.Client, table: str) -> None:
    """`table$partition` stands for its rows there too."""
    load(client, rows_of(NOON, "a", "b"), f"{table}$2026112112")
    load(client, rows_of(NOON + HOUR, "c"), f"{table}$2026112113")
    listed = client.list_rows(f"{table}$2026112112")
    assert sorted(row["id"] for row in listed) == ["a", "b"]
    client.delete_table(f"{table}$2026112112")
    assert ids(client, table) == ["c"]


def test_partitions_are_listed_with_their_rows(client: bigquery.Client, table: str) -> None:
    """INFORMATION_SCHEMA.PARTITIONS tells the id and the rows of each."""
    load(client, rows_of(NOON, "a", "b"), f"{table}$2026112112")
    load(client, rows_of(NOON + HOUR, "c"), f"{table}$2026112113")
    sql = "SELECT partition_id, total_rows FROM lake.INFORMATION_SCHEMA.PARTITIONS WHERE table_name = @name ORDER BY 1"
    named = [bigquery.ScalarQueryParameter("name", "STRING", table.split(".")[-1])]
    assert answer(client, sql, query_parameters=named) == [("2026112112", 2), ("2026112113", 1)]


# Queries


def test_a_query_replaces_just_its_partition(client: bigquery.Client) -> None:
    """Its promises are those of a load: one partition, refused strangers, nothing changed by a failure."""
    name = make_table(client, "built", "DAY")
    build = "SELECT @id AS id, TIMESTAMP(@day) AS at, 7 AS price, ['t'] AS tags"

    def run(day: date, destination: str, sql: str = build) -> None:
        given = [
            bigquery.ScalarQueryParameter("id", "STRING", f"of {destination}"),
            bigquery.ScalarQueryParameter("day", "DATE", day),
        ]
        query(
            client, sql, query_parameters=given, destination=f"{name}${destination}", write_disposition="WRITE_TRUNCATE"
        ).result()

    run(date(2026, 11, 20), "20261120")
    run(date(2026, 11, 21), "20261121")
    run(date(2026, 11, 21), "20261121")
    with pytest.raises(api.BadRequest, match="Some rows belong to different partitions"):
        run(date(2026, 11, 20), "20261121")
    with pytest.raises(api.BadRequest, match="no clicks"):
        run(date(2026, 11, 21), "20261121", f"SELECT * REPLACE (ERROR('no clicks') AS id) FROM ({build})")
    assert ids(client, name) == ["of 20261120", "of 20261121"]


def test_parameters_of_all_kinds_arrive(client: bigquery.Client) -> None:
    """DATE, TIMESTAMP, STRING, INT64 and arrays, as values and in conditions."""
    given = [
        bigquery.ScalarQueryParameter("day", "DATE", date(2026, 11, 21)),
        bigquery.ScalarQueryParameter("at", "TIMESTAMP", NOON),
        bigquery.ScalarQueryParameter("text", "STRING", "it's"),
        bigquery.ScalarQueryParameter("number", "INT64", 7),
        bigquery.ArrayQueryParameter("names", "STRING", ["a", "b"]),
    ]
    sql = "SELECT @day, @at, @text, @number, @names, 'b' IN UNNEST(@names), @day = DATE(@at)"
    expected = (date(2026, 11, 21), NOON, "it's", 7, ["a", "b"], True, True)
    assert answer(client, sql, query_parameters=given) == [expected]


def test_a_query_is_billed_for_the_partitions_that_it_reads(client: bigquery.Client, table: str) -> None:
    """A dry run tells the schema and the bytes of the hours and columns that are asked for."""
    load(client, rows_of(NOON, "a", "b"), f"{table}$2026112112")
    load(client, rows_of(NOON + HOUR, "c"), f"{table}$2026112113")

    def bytes_of(condition: str, columns: str = "*") -> int:
        sql = f"SELECT {columns} FROM `{table}` WHERE {condition}"
        given = [bigquery.ScalarQueryParameter("start", "TIMESTAMP", NOON + HOUR)]
        job = query(client, sql, dry_run=True, query_parameters=given)
        assert [field.name for field in job.schema][:1] == ["id"]
        return int(job.total_bytes_processed)

    whole = bytes_of("at IS NOT NULL")
    assert whole == 3 * 4 * 8
    assert bytes_of("at >= @start AND at < TIMESTAMP_ADD(@start, INTERVAL 1 HOUR)") == whole // 3
    assert bytes_of("DATE(at) = '2026-11-21' AND id = 'a'") == whole
    assert bytes_of("DATE(at) = '2026-11-22'") == 0
    assert bytes_of("at >= @start", "id") == 2 * 8
    assert query(client, f"SELECT id FROM `{table}` WHERE at > '2026-11-22'").result().total_rows == 0


def test_a_query_over_its_limit_is_refused(client: bigquery.Client, table: str) -> None:
    """Each table is billed as at least ten mebibytes, so a limit below always refuses."""
    load(client, rows_of(NOON, "a"), f"{table}$2026112112")
    sql = f"SELECT id FROM `{table}` WHERE at IS NOT NULL"
    job = query(client, sql, maximum_bytes_billed=10 << 20)
    assert [row.id for row in job.result()] == ["a"]
    assert (job.total_bytes_processed, job.total_bytes_billed) == (2 * 8, 10 << 20)
    refused = query(client, sql, maximum_bytes_billed=1000)
    with pytest.raises(api.GoogleAPICallError, match="10485760 or higher required"):
        refused.result()
    assert refused.error_result["reason"] == "bytesBilledLimitExceeded"


def test_error_fails_the_query_with_its_message(client: bigquery.Client) -> None:
    """ERROR() runs only where it is reached."""
    once = "SELECT IF(COUNT(*) OVER (PARTITION BY k) = 1, k, ERROR('k is not unique')) FROM UNNEST({}) AS k ORDER BY 1"
    assert answer(client, once.format("[1, 2]")) == [(1,), (2,)]
    with pytest.raises(api.BadRequest, match="k is not unique"):
        answer(client, once.format("[1, 2, 2]"))


DOCUMENTED = {
    "FARM_FINGERPRINT(CONCAT('1', 'foo', 'true'))": -1541654101129638711,
    "FARM_FINGERPRINT(CONCAT('2', 'apple', 'false'))": 2794438866806483259,
    "FARM_FINGERPRINT(CAST(NULL AS STRING))": None,
    "EXTRACT(DAYOFWEEK FROM DATE '2026-11-22')": 1,
    "EXTRACT(MILLISECOND FROM TIMESTAMP '2026-11-22 05:34:56.7+00')": 700,
    "TIMESTAMP_DIFF(TIMESTAMP '2026-11-22 05:00:00+00', TIMESTAMP '2026-11-22 04:30:00+00', HOUR)": 0,
    "UNIX_SECONDS(TIMESTAMP '2026-11-22 05:34:56.7+00')": 1795325696,
    "UNIX_MILLIS(TIMESTAMP '1969-12-31 23:59:59.9995+00')": -1,
    "SUBSTR('abc', 0, 2)": "ab",
    "TRIM('\\t apple\u00a0')": "apple",
    "SAFE_CAST('1_000' AS INT64)": None,
    "SAFE_CAST(' 12' AS INT64)": 12,
    "SAFE_CAST('yes' AS BOOL)": None,
    "POW(2, 10)": 1024.0,
    "(SELECT COUNT(*) FROM (SELECT MOD(x, 2) AS x, COUNT(*) FROM UNNEST([1, 2, 3, 4]) AS x GROUP BY x))": 2,
}


def test_functions_give_what_google_documents(client: bigquery.Client) -> None:
    """Those that are easily got wrong; tests/sql/golden.json has many more."""
    names = [f"c{place}" for place in range(len(DOCUMENTED))]
    sql = ", ".join(f"{expression} AS {name}" for expression, name in zip(DOCUMENTED, names, strict=True))
    [found] = answer(client, f"SELECT {sql}")
    assert dict(zip(DOCUMENTED, found, strict=True)) == DOCUMENTED


@pytest.mark.parametrize(
    "expression", ["EXP(1000)", "POW(0, -1)", "CAST('2.5' AS INT64)", "LEFT('apple', -1)", "1 / 0"]
)
def test_what_has_no_result_is_an_error(client: bigquery.Client, expression: str) -> None:
    """Not an infinity, and not something near."""
    with pytest.raises(api.BadRequest):
        answer(client, f"SELECT {expression}")


def test_rows_inserted_at_once_are_all_there_once(client: bigquery.Client) -> None:
    """Threads that insert together, some of them the same row, neither fail nor lose nor double one."""
    client.create_table(bigquery.Table(f"{PROJECT}.lake.receipts", [bigquery.SchemaField("n", "INT64")]))
    sql = "INSERT INTO receipts (n) SELECT @n FROM (SELECT 1) WHERE NOT EXISTS (SELECT 1 FROM receipts WHERE n = @n)"

    def insert(number: int) -> int:
        job = query(client, sql, query_parameters=[bigquery.ScalarQueryParameter("n", "INT64", number)])
        job.result()
        return int(job.num_dml_affected_rows)

    with ThreadPoolExecutor(8) as pool:
        inserted = list(pool.map(insert, [number for number in range(8) for _ in range(2)]))
    assert sum(inserted) == 8
    assert answer(client, "SELECT n FROM receipts ORDER BY n") == [(number,) for number in range(8)]


# Jobs


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
    until(job.done)
    assert job.error_result["reason"] == "stopped"


def test_a_job_ends_when_its_time_is_up(client: bigquery.Client) -> None:
    """A time limit of the job's configuration is kept."""
    job = query(client, ENDLESS, job_timeout_ms=200)
    until(job.done)
    assert job.error_result["reason"] == "stopped"


# Storage Read


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


# Cloud Storage


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


# The process


def test_tables_stay_in_the_folder(installed: None, tmp_path: Path) -> None:
    """A server made anew on a folder has the tables of the one before."""
    with BigQueryServer(tmp_path) as first, connect(first) as client:
        client.create_dataset("lake")
        load(client, rows_of(NOON, "a"), f"{make_table(client, 'kept')}$2026112112")
    with BigQueryServer(tmp_path) as second, connect(second) as client:
        assert ids(client, f"{PROJECT}.lake.kept") == ["a"]


def test_a_cloud_forgets_what_it_held(installed: None, tmp_path: Path) -> None:
    """Its dataset can be made again by the next run, also after one that was killed and could forget nothing."""
    data = tmp_path / "bigquery" / "data"
    with Cloud(tmp_path):
        assert data.is_dir()
    assert not data.exists()
    data.mkdir()
    left = data / "left.txt"
    left.write_text("of a run that was killed")
    with Cloud(tmp_path) as cloud:
        assert cloud.tables() == {}
        assert not left.exists()


STARTS_AND_DIES = """
import os, signal, sys
from pathlib import Path
from console.standins.processes import Server
log = Path(sys.argv[1])
server = Server([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"], log)
server.wait_until(lambda: log.read_text().endswith("\\n"), 20)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_does_not_outlive_a_process_that_was_killed(tmp_path: Path) -> None:
    """Its owner gets SIGKILL and can clean nothing up; the server ends all the same."""
    log = tmp_path / "log"
    subprocess.run([sys.executable, "-c", STARTS_AND_DIES, log], check=False)
    server = int(log.read_text())
    until(lambda: not alive(server))


def test_a_server_that_does_not_start_tells_its_log(tmp_path: Path) -> None:
    """The last lines of the log are in the error."""
    server = processes.Server([sys.executable, "-c", "raise SystemExit('no such disk')"], tmp_path / "log")
    with pytest.raises(RuntimeError, match="no such disk"):
        server.wait_until(lambda: False, 20)
