"""Queries of the BigQuery stand-in answer, cost and fail as BigQuery's do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from google.api_core import exceptions as api
from google.cloud import bigquery

from tests.standins.lake import HOUR, NOON, PROJECT, answer, ids, load, make_table, query, rows_of


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
