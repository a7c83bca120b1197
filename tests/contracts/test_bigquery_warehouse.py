"""What only BigQueryWarehouse promises: its tables, its jobs, their cost, and each job once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from dsp_pipeline.errors import WarehouseError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.receipts import Receipt
from dsp_pipeline.warehouse.base import Table
from dsp_pipeline.warehouse.bigquery import BigQueryWarehouse
from dsp_pipeline.warehouse.bigquery.tables import event_schema
from tests.contracts.implementations import bigquery_client, bigquery_warehouse, new_dataset
from tests.contracts.rows import (
    CLICK,
    HOUR,
    PARTITION,
    Interrupted,
    build,
    draft,
    load,
    make_click,
    make_clicks,
    parquet,
    query_table,
    read,
)
from tests.faults.proxy import FaultProxy, LoseAnswer

COPY = "SELECT c.click_id FROM click AS c"
LATER = "2026-11-21T06"


class Dead(BaseException):
    """The process ends here."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def warehouse(root: Path) -> BigQueryWarehouse:
    return bigquery_warehouse(root)


def stored(warehouse: BigQueryWarehouse, table: Table) -> bigquery.Table:
    """What BigQuery says of the table."""
    place = f"{warehouse.settings.project}.{warehouse.settings.dataset}.{table.address}"
    return bigquery_client(warehouse.settings).get_table(place)


def jobs(root: Path, kind: str) -> list[Any]:
    """All jobs of this kind that wrote to a partition of the dataset, the newest first."""
    settings = new_dataset(root)
    found = bigquery_client(settings).list_jobs(all_users=True)
    return [
        job
        for job in found
        if job.job_type == kind
        and job.destination is not None
        and job.destination.dataset_id == settings.dataset
        and "$" in job.destination.table_id
    ]


def dying(warehouse: BigQueryWarehouse) -> BigQueryWarehouse:
    """Ends when it should write a receipt."""

    def die(*_: object) -> bool:
        raise Dead

    warehouse._log.add = die  # type: ignore[method-assign]
    return warehouse


def test_tables_are_partitioned_by_time_and_clustered_by_key(warehouse: BigQueryWarehouse, root: Path) -> None:
    """Hours of an event, days of a query, no table a partition; labels of the bill; no query without a partition."""
    load(warehouse, make_clicks(1))
    load(warehouse, [], LATER)
    table = query_table(root, "copy", f"{COPY} WHERE @date IS NOT NULL")
    build(warehouse, table, slices={"click": [PARTITION]})
    names = {one.table_id for one in bigquery_client(warehouse.settings).list_tables(warehouse.settings.dataset)}
    assert names == {"click_v1", "copy_v1", "receipts"}
    for made, unit, column, key in ((CLICK, "HOUR", "clicked_at", "click_id"), (table, "DAY", "date", "click_id")):
        found = stored(warehouse, made)
        assert (found.time_partitioning.type_, found.time_partitioning.field) == (unit, column)
        assert found.clustering_fields == [key]
        assert found.require_partition_filter
        assert found.labels == {"team": "ads", "table": made.name, "version": "v1"}
        assert found.description


def test_jobs_bear_the_labels_of_the_bill(warehouse: BigQueryWarehouse, root: Path) -> None:
    """And which table and partition they are for."""
    load(warehouse, make_clicks(1))
    table = query_table(root, "copy", COPY)
    build(warehouse, table, slices={"click": [PARTITION]})
    (loaded,), (built,) = jobs(root, "load"), jobs(root, "query")
    of_load = {name: loaded.labels[name] for name in ("team", "table", "partition")}
    assert of_load == {"team": "ads", "table": "click", "partition": "2026-11-21t05"}
    of_build = {name: built.labels[name] for name in ("team", "table", "partition")}
    assert of_build == {"team": "ads", "table": "copy", "partition": "2026-11-21"}


def test_a_build_tells_what_it_cost_and_by_which_job(warehouse: BigQueryWarehouse, root: Path) -> None:
    """And what was estimated; a day's build reads a day's bytes, however much else is loaded."""
    hour = 3 * 8 * 100  # the stand-in counts eight bytes a value, and all columns that the WITH names
    load(warehouse, make_clicks(100))
    table = query_table(root, "copy", COPY)
    first = build(warehouse, table, slices={"click": [PARTITION]})
    assert first.details["estimated_bytes"] == hour
    assert first.details["billed_bytes"] == 10 << 20
    assert bigquery_client(warehouse.settings).get_job(first.details["job"], location="EU").state == "DONE"
    day_before = HOUR - timedelta(days=1)
    load(warehouse, [make_click(n, clicked_at=day_before) for n in range(100)], "2026-11-20T05")
    again = build(warehouse, table, slices={"click": [PARTITION]}, replace=True)
    assert again.details["estimated_bytes"] == hour
    assert again.details["job"] != first.details["job"]


def test_a_build_that_would_cost_too_much_is_refused(warehouse: BigQueryWarehouse, root: Path) -> None:
    """Before it runs. The sentence names the bytes, the limit and the setting."""
    load(warehouse, make_clicks(100))
    table = query_table(root, "copy", COPY)
    poor = bigquery_warehouse(root, max_bytes_billed=2_399)
    with pytest.raises(WarehouseError) as caught:
        build(poor, table, slices={"click": [PARTITION]})
    assert str(caught.value) == (
        "copy of 2026-11-21 cannot be built: it would read 2,400 bytes, more than the 2,399 of [bigquery] "
        "max_gib_billed; narrow its `reads:` or raise that."
    )
    assert warehouse.receipts(table) == {}
    assert jobs(root, "query") == []


def test_the_bill_has_the_same_limit_as_the_estimate(warehouse: BigQueryWarehouse, root: Path) -> None:
    """BigQuery bills more than it reads: it refuses the job itself, and nothing is written."""
    load(warehouse, make_clicks(100))
    table = query_table(root, "copy", COPY)
    poor = bigquery_warehouse(root, max_bytes_billed=1 << 20)
    with pytest.raises(WarehouseError, match=r"1048576.*raise \[bigquery\] max_gib_billed; https://console\.cloud"):
        build(poor, table, slices={"click": [PARTITION]})
    assert warehouse.receipts(table) == {}


def test_a_second_writer_of_the_same_rows_starts_no_job(warehouse: BigQueryWarehouse, root: Path) -> None:
    """Its job's id is taken: it gets the first one's receipt."""
    files = [Interrupted(parquet(make_clicks(3)).getvalue(), lambda: first.append(load(warehouse, make_clicks(3))))]
    first: list[Receipt] = []
    assert bigquery_warehouse(root).load(CLICK, PARTITION, files, draft(CLICK, PARTITION)) == first[0]
    assert len(jobs(root, "load")) == 1


def test_the_receipt_of_a_writer_that_died_is_added_by_the_next(warehouse: BigQueryWarehouse, root: Path) -> None:
    """The same rows are not loaded again, the same query does not run again; only the receipts are added."""
    table = query_table(root, "copy", COPY)
    with pytest.raises(Dead):
        load(dying(bigquery_warehouse(root)), make_clicks(3))
    assert warehouse.receipts(CLICK) == {}
    receipt = load(warehouse, make_clicks(3))
    with pytest.raises(Dead):
        build(dying(bigquery_warehouse(root)), table, slices={"click": [PARTITION]})
    assert warehouse.receipts(table) == {}
    built = build(warehouse, table, slices={"click": [PARTITION]})
    assert warehouse.receipts(CLICK) == {PARTITION: receipt}
    assert warehouse.receipts(table) == {"2026-11-21": built}
    assert receipt.rows == built.rows == len(read(warehouse, CLICK)) == 3
    assert [len(jobs(root, kind)) for kind in ("load", "query")] == [1, 1]


def test_other_rows_take_the_place_of_those_of_a_dead_writer(root: Path) -> None:
    """Whoever comes with other rows waits a while for the receipt, and then replaces them."""
    with pytest.raises(Dead):
        load(dying(bigquery_warehouse(root)), make_clicks(3))
    warehouse = bigquery_warehouse(root, patience=8)
    receipt = load(warehouse, make_clicks(5))
    assert warehouse.receipts(CLICK) == {PARTITION: receipt}
    assert receipt.rows == len(read(warehouse, CLICK)) == 5
    assert len(jobs(root, "load")) == 2


def test_after_two_dead_writers_the_receipt_is_of_the_rows_that_are_there(root: Path) -> None:
    """The first one's job is found again, but another's came after it: it says nothing of the rows any more."""
    for rows in (3, 5):
        with pytest.raises(Dead):
            load(dying(bigquery_warehouse(root, patience=8)), make_clicks(rows))
    receipt = load(bigquery_warehouse(root, patience=8), make_clicks(3))
    assert receipt.rows == len(read(bigquery_warehouse(root), CLICK)) == 3


def test_what_was_swept_is_loaded_again(warehouse: BigQueryWarehouse, root: Path) -> None:
    """Also after a writer that died before its receipt: its job, which is done, is not taken for what is there."""
    table = Table("click", "0123456789ab", EVENTS["click"])
    with pytest.raises(Dead):
        load(dying(bigquery_warehouse(root)), make_clicks(3), table=table)
    yesterday, tomorrow = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))
    assert list(warehouse.sweep(lambda address: False, yesterday, remove=True)) == []
    assert list(warehouse.sweep(lambda address: True, tomorrow, remove=True)) == []
    (swept,) = warehouse.sweep(lambda address: False, tomorrow, remove=True)
    assert (swept.address, swept.why) == (table.address, "left by a writer that was killed or replaced")
    assert load(warehouse, make_clicks(3), table=table).rows == len(read(warehouse, table)) == 3
    assert len(jobs(root, "load")) == 2


def test_a_receipt_that_comes_while_its_table_goes_does_not_count(warehouse: BigQueryWarehouse) -> None:
    """It speaks of rows that go with the table; the one after it speaks of the table that is made anew."""
    log, tomorrow = warehouse._log, datetime.now(UTC) + timedelta(days=1)
    receipt = receipt_of(PARTITION)
    assert log.born
    assert log.add("first", CLICK.address, PARTITION, 0, 0, receipt)
    assert log.withdraw(CLICK.address, tomorrow)
    assert log.add("late", CLICK.address, PARTITION, 1, 0, receipt)
    assert warehouse.receipts(CLICK) == {}
    assert log.add("anew", CLICK.address, PARTITION, log.entry(CLICK.address, PARTITION).generation + 1, 0, receipt)
    assert warehouse.receipts(CLICK) == {PARTITION: receipt}


def test_what_others_keep_in_the_dataset_is_not_swept(warehouse: BigQueryWarehouse) -> None:
    """Neither tables nor views, whatever they are called or labelled, nor the receipts."""
    client, place = bigquery_client(warehouse.settings), f"{warehouse.settings.project}.{warehouse.settings.dataset}"
    labels = {"table": "click", "version": "0123456789ab"}
    for name, given in (
        ("notes", {}),
        ("click_ba9876543210", {}),
        ("click_copy", labels),
    ):
        table = bigquery.Table(f"{place}.{name}", event_schema(CLICK))
        table.labels = given
        client.create_table(table)
    view = bigquery.Table(f"{place}.click_0123456789ab")
    view.view_query, view.labels = f"SELECT * FROM `{place}.notes`", labels
    client.create_table(view)
    assert warehouse.receipts(CLICK) == {}
    there = {one.table_id for one in client.list_tables(warehouse.settings.dataset)}
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert list(warehouse.sweep(lambda address: False, tomorrow, remove=True)) == []
    assert {one.table_id for one in client.list_tables(warehouse.settings.dataset)} == there
    assert len(there) == 4


def test_without_the_table_of_receipts_everything_is_loaded_again(warehouse: BigQueryWarehouse, root: Path) -> None:
    """Whoever removes it means just that."""
    load(warehouse, make_clicks(3))
    settings = new_dataset(root)
    bigquery_client(settings).delete_table(f"{settings.project}.{settings.dataset}.receipts")
    assert warehouse.receipts(CLICK) == {}
    again = bigquery_warehouse(root)
    receipt = load(again, make_clicks(3))
    assert again.receipts(CLICK) == {PARTITION: receipt}
    assert len(jobs(root, "load")) == 2


def test_a_table_that_expires_is_refused(warehouse: BigQueryWarehouse, root: Path) -> None:
    """Its rows would go, and their receipts would stay."""
    settings = new_dataset(root)
    table = bigquery.Table(f"{settings.project}.{settings.dataset}.click_v1", event_schema(CLICK))
    table.expires = datetime.now(UTC) + timedelta(days=1)
    bigquery_client(settings).create_table(table)
    with pytest.raises(WarehouseError, match=r"click_v1 or its partitions expire.*--expiration 0"):
        load(warehouse, make_clicks(1))
    assert warehouse.receipts(CLICK) == {}


def test_a_load_whose_answer_is_lost_loads_once(root: Path) -> None:
    """It asks again with the same id, and is told that the job is there."""
    settings = new_dataset(root)
    with FaultProxy(settings.endpoint) as proxy:
        warehouse = bigquery_warehouse(root, endpoint=proxy.url)
        proxy.rule(LoseAnswer(), method="POST", path="/upload/", times=1)
        receipt = load(warehouse, make_clicks(3))
        assert proxy.count("POST", "/upload/") == 2
    assert receipt.rows == len(read(bigquery_warehouse(root), CLICK)) == 3
    assert len(jobs(root, "load")) == 1


def test_a_table_that_was_made_anew_is_loaded_anew(warehouse: BigQueryWarehouse, root: Path) -> None:
    """Jobs of the table that somebody removed say nothing of the new one."""
    with pytest.raises(Dead):
        load(dying(bigquery_warehouse(root)), make_clicks(3))
    bigquery_client(warehouse.settings).delete_table(stored(warehouse, CLICK))
    assert load(warehouse, make_clicks(3)).rows == len(read(warehouse, CLICK)) == 3
    assert len(jobs(root, "load")) == 2


def test_a_table_that_was_removed_by_hand_is_named(warehouse: BigQueryWarehouse, root: Path) -> None:
    """Its receipts stand: neither reading nor building takes it for empty; the sentence tells what to do."""
    load(warehouse, make_clicks(3))
    table = query_table(root, "copy", COPY)
    bigquery_client(warehouse.settings).delete_table(stored(warehouse, CLICK))
    cure = "restored for some days; else take its rows out of the table receipts and run this again"
    with pytest.raises(WarehouseError, match=f"click of {PARTITION} cannot be read: Not found: Table .*{cure}"):
        read(bigquery_warehouse(root), CLICK)
    with pytest.raises(WarehouseError, match=f"click_v1 cannot be read: Not found: Table .*{cure}"):
        build(bigquery_warehouse(root), table, slices={"click": [PARTITION]})
    assert warehouse.receipts(table) == {}


def test_a_dataset_that_is_not_there_is_named(root: Path) -> None:
    """With the place, the location and the settings that name it."""
    for act in (
        lambda warehouse: warehouse.receipts(CLICK),
        lambda warehouse: load(warehouse, []),
        lambda warehouse: read(warehouse, CLICK),
    ):
        warehouse = bigquery_warehouse(root, dataset="nowhere")
        with pytest.raises(WarehouseError) as caught:
            act(warehouse)
        assert "the dataset acme-ads.nowhere is not there in EU; make it, or correct [bigquery]" in str(caught.value)


def receipt_of(partition: str) -> Receipt:
    return draft(CLICK, partition).finish(1, [])


def test_the_receipts_of_a_year_are_one_call(root: Path) -> None:
    """9,000 hours: one request, and a page more for each 10 MB of answer that BigQuery cuts it into."""
    settings = new_dataset(root)
    warehouse = bigquery_warehouse(root)
    client = bigquery_client(settings)
    hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(9_000)]
    load(warehouse, [])
    rows = [
        {
            "table_id": CLICK.address,
            "partition_id": f"{hour:%Y-%m-%dT%H}",
            "generation": 1,
            "number": 0,
            "receipt": receipt_of(f"{hour:%Y-%m-%dT%H}").to_json().decode(),
        }
        for hour in hours
    ]
    config = bigquery.LoadJobConfig(schema=client.get_table(f"{settings.dataset}.receipts").schema)
    client.load_table_from_json(rows, f"{settings.dataset}.receipts", job_config=config).result()
    with FaultProxy(settings.endpoint) as proxy:
        found = bigquery_warehouse(root, endpoint=proxy.url).receipts(CLICK)
        assert [one.method for one in proxy.seen] == ["POST"] + ["GET"] * (len(proxy.seen) - 1)
        assert len(proxy.seen) <= 4
    assert len(found) == 9_000
    assert all(json.loads(one.to_json())["address"] == f"click_v1/{name}" for name, one in list(found.items())[:100])
