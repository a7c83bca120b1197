"""Storage Read: a session goes on reading the table as it was when the session was made.

local-bigquery keeps the query of a session and runs it for each stream, so rows that were replaced in between would be
missing or double. DuckLake keeps every version of a table: here the query names the one that was the newest.
"""

from local_bigquery.catalog import tables
from local_bigquery.engine import database
from local_bigquery.grpc import read

_query = read._query


def install() -> None:
    read._query = query


def query(path: str, options, data_format):
    """What the streams of a session run, and the columns it gives."""
    sql, fields = _query(path, options, data_format)
    reference = tables.physical(*read.table(path))
    if reference[0] not in database.projects():  # the answer of a query; it never changes
        return sql, fields
    name = database.quote(*reference)
    [(version,)] = database.fetch(f"SELECT max(snapshot_id) FROM ducklake_snapshots('{reference[0]}')")
    return sql.replace(f"FROM {name}", f"FROM {name} AT (VERSION => {version})"), fields
