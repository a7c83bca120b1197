"""A table of the BigQuery stand-in, over Google's own client."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from console.standins.bigquery import BigQueryServer

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


def connect(server: BigQueryServer) -> bigquery.Client:
    options = {"api_endpoint": server.rest}
    return bigquery.Client(project=PROJECT, credentials=AnonymousCredentials(), client_options=options)


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
