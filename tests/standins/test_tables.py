"""Tables and partitions of the BigQuery stand-in keep the promises of BigQuery that we rely on."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core import exceptions as api
from google.cloud import bigquery

from tests.standins.lake import ARROW, HOUR, NOON, PROJECT, answer, ids, load, make_table, parquet, rows_of


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
