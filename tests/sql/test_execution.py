"""Whole feature queries, bound and run on DuckDB over small tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import farmhash
import pyarrow as pa
import pytest
import sqlglot

from dsp_pipeline.sql.bind import bind
from dsp_pipeline.sql.catalog import Catalog
from dsp_pipeline.sql.translate import prepare, to_duckdb
from tests.sql.factories import make_query, write

TABLES = """
CREATE TABLE impression AS SELECT * FROM (VALUES
  ('i1', 'a', 'u1', TIMESTAMPTZ '2026-11-22 00:30:00+00', 1000::BIGINT, ['x', 'y'], 0.5::DOUBLE),
  ('i2', 'a', 'u1', TIMESTAMPTZ '2026-11-22 02:30:00+00', 3000, ['y'], 0.25),
  ('i3', 'b', NULL, TIMESTAMPTZ '2026-11-22 23:59:59.999999+00', NULL, [], NULL),
  ('i4', NULL, 'u2', TIMESTAMPTZ '2026-11-22 12:00:00+00', 500, NULL, 1.0)
) AS t(impression_id, campaign_id, user_id, served_at, clearing_price_micros, segments, predicted_click_rate);
CREATE TABLE click AS SELECT * FROM (VALUES
  ('c1', 'i1', TIMESTAMPTZ '2026-11-22 00:31:00+00'),
  ('c2', 'i1', TIMESTAMPTZ '2026-11-22 00:32:00+00'),
  ('c3', 'i2', TIMESTAMPTZ '2026-11-23 12:30:00+00')
) AS t(click_id, impression_id, clicked_at);
CREATE TABLE campaign_daily AS SELECT * FROM (VALUES
  ('a', DATE '2026-11-20', 100::BIGINT, 3::BIGINT), ('a', DATE '2026-11-21', 100, 5), ('b', DATE '2026-11-21', 0, 0)
) AS t(campaign_id, date, impressions, clicks);
"""


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        prepare(opened)
        opened.execute(TABLES)
        yield opened


def run(connection: duckdb.DuckDBPyConnection, folder: Path, reads: str, body: str, key: str) -> pa.Table:
    query = make_query(folder, reads=reads, body=body, key=key)
    relations = {read.table: sqlglot.parse_one(f"SELECT * FROM main.{read.table}") for read in query.reads}
    sql = to_duckdb(bind(query.tree, relations))
    parameters = {"date": date(2026, 11, 22)} if "$date" in sql else None
    table = connection.sql(sql, params=parameters).to_arrow_table()
    assert tuple(table.column_names) == query.columns
    return table.sort_by(query.key[0])


def test_click_labels_with_history(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Labels, a seven-day rate, a running count, local hour, buckets and segment counts come out typed."""
    body = """
WITH first_click AS (
  SELECT impression_id, MIN(clicked_at) AS clicked_at, COUNT(*) AS clicks
  FROM click
  GROUP BY impression_id
),
campaign_history AS (
  SELECT campaign_id, SAFE_DIVIDE(SUM(clicks), SUM(impressions)) AS campaign_click_rate_7d
  FROM campaign_daily
  WHERE date BETWEEN DATE_SUB(@date, INTERVAL 7 DAY) AND DATE_SUB(@date, INTERVAL 1 DAY)
  GROUP BY campaign_id
)
SELECT
  i.impression_id,
  c.clicked_at IS NOT NULL AND TIMESTAMP_DIFF(c.clicked_at, i.served_at, HOUR) < 24 AS clicked,
  IFNULL(c.clicks, 0) AS clicks,
  h.campaign_click_rate_7d,
  ROW_NUMBER() OVER (PARTITION BY i.user_id ORDER BY i.served_at, i.impression_id) - 1 AS user_impressions_before,
  SUM(i.clearing_price_micros) OVER (
    PARTITION BY i.user_id ORDER BY i.served_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
  ) AS user_spend_before_micros,
  EXTRACT(HOUR FROM i.served_at AT TIME ZONE 'Asia/Shanghai') AS local_hour,
  EXTRACT(DAYOFWEEK FROM i.served_at) AS day_of_week,
  FARM_FINGERPRINT(i.user_id) & 63 AS user_bucket,
  CONCAT(i.campaign_id, ':', i.user_id) AS campaign_user,
  (SELECT COUNT(*) FROM UNNEST(i.segments) AS segment WHERE segment != 'x') AS other_segments,
  i.segments[SAFE_OFFSET(0)] AS first_segment,
  'x' IN UNNEST(i.segments) AS has_x
FROM impression AS i
LEFT JOIN first_click AS c ON c.impression_id = i.impression_id
LEFT JOIN campaign_history AS h ON h.campaign_id = i.campaign_id
WHERE DATE(i.served_at) = @date
"""
    reads = "impression [0, 0], click [0, +1], campaign_daily [-7, -1]"
    table = run(connection, tmp_path, reads, body, "impression_id")
    columns: dict[str, list[Any]] = table.to_pydict()
    assert columns == {
        "impression_id": ["i1", "i2", "i3", "i4"],
        "clicked": [True, False, False, False],
        "clicks": [2, 1, 0, 0],
        "campaign_click_rate_7d": [0.04, 0.04, None, None],
        "user_impressions_before": [0, 1, 0, 0],
        "user_spend_before_micros": [None, 1000, None, None],
        "local_hour": [8, 10, 7, 20],
        "day_of_week": [1, 1, 1, 1],
        "user_bucket": [*[farmhash.fingerprint64("u1") % 64] * 2, None, farmhash.fingerprint64("u2") % 64],
        "campaign_user": ["a:u1", "a:u1", None, None],
        "other_segments": [1, 1, 0, 0],
        "first_segment": ["x", "y", None, None],
        "has_x": [True, False, False, False],
    }
    kinds = {str(field.type) for field in table.schema}
    assert kinds == {"string", "bool", "int64", "double"}


def test_segments_become_rows_with_their_place(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """UNNEST beside its table counts from 0 and drops the impressions that have no segment."""
    body = """
SELECT i.impression_id, segment, place
FROM impression AS i, UNNEST(i.segments) AS segment WITH OFFSET AS place
"""
    rows = run(connection, tmp_path, "impression [0, 0]", body, "impression_id, segment").to_pylist()
    assert sorted((row["impression_id"], row["place"], row["segment"]) for row in rows) == [
        ("i1", 0, "x"),
        ("i1", 1, "y"),
        ("i2", 0, "y"),
    ]


def test_left_join_unnest_keeps_the_row(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """LEFT JOIN UNNEST keeps impressions without segments."""
    body = "SELECT i.impression_id, COUNT(segment) AS segments FROM impression AS i " + (
        "LEFT JOIN UNNEST(i.segments) AS segment GROUP BY i.impression_id"
    )
    table = run(connection, tmp_path, "impression [0, 0]", body, "impression_id")
    assert table.to_pydict()["segments"] == [2, 1, 0, 0]


def test_null_is_smallest_everywhere(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """In windows and aggregates NULL comes first ascending and last descending."""
    body = """
SELECT
  'all' AS what,
  ARRAY_AGG(impression_id ORDER BY clearing_price_micros, impression_id) AS rising,
  ARRAY_AGG(impression_id ORDER BY clearing_price_micros DESC, impression_id) AS falling
FROM impression
"""
    row = run(connection, tmp_path, "impression [0, 0]", body, "what").to_pylist()[0]
    assert row["rising"] == ["i3", "i4", "i1", "i2"]
    assert row["falling"] == ["i2", "i1", "i4", "i3"]
    body = """
SELECT impression_id, RANK() OVER (ORDER BY clearing_price_micros) AS place
FROM impression
WHERE TRUE
QUALIFY RANK() OVER (ORDER BY clearing_price_micros DESC) > 1
"""
    table = run(connection, tmp_path, "impression [0, 0]", body, "impression_id")
    assert table.to_pydict() == {"impression_id": ["i1", "i3", "i4"], "place": [3, 1, 2]}


def test_group_by_takes_the_output_not_the_column(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """In BigQuery `GROUP BY campaign_id` means the selected expression of that name."""
    body = """
SELECT IFNULL(campaign_id, 'a') AS campaign_id, COUNT(*) AS impressions, SUM(clearing_price_micros) AS spend_micros
FROM impression
GROUP BY campaign_id
HAVING COUNT(*) > 1
"""
    table = run(connection, tmp_path, "impression [0, 0]", body, "campaign_id")
    assert table.to_pydict() == {"campaign_id": ["a"], "impressions": [3], "spend_micros": [4500]}
    assert str(table.schema.field("spend_micros").type) == "int64"


def test_division_by_zero_stops_the_build(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """`/` by zero is an error on both engines, not an infinity in a feature."""
    body = "SELECT campaign_id, SUM(clicks) / SUM(impressions) AS rate FROM campaign_daily GROUP BY campaign_id"
    with pytest.raises(duckdb.Error, match="division by zero"):
        run(connection, tmp_path, "campaign_daily [-7, -1]", body, "campaign_id")


def test_preparing_twice_is_harmless() -> None:
    """A warehouse may prepare a connection whenever it opens a cursor."""
    with duckdb.connect() as connection:
        prepare(connection)
        prepare(connection)
        prepare(connection.cursor())
        sql = to_duckdb(sqlglot.parse_one("SELECT FARM_FINGERPRINT('a') & 63 AS x, 1 / 2 AS y", dialect="bigquery"))
        assert connection.execute(sql).fetchall()[0][1] == 0.5
        assert connection.cursor().execute(sql).fetchall()[0][1] == 0.5


def test_ten_files_are_read_quickly(tmp_path: Path) -> None:
    """The scheduler reads all queries each time it starts."""
    for number in range(10):
        write(tmp_path, f"table_{number}")
    make_query(tmp_path)  # imports and warms the parser
    begin = time.perf_counter()
    Catalog(tmp_path).check()
    assert time.perf_counter() - begin < 1.0  # 0.03 s when nothing else runs
