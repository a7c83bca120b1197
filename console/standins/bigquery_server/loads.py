"""Load jobs: what a Parquet file says about its columns must fit the table, as BigQuery reads it.

DuckDB tells neither that a column of the file may be null nor how a list is written in it; BigQuery minds both.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import duckdb
from local_bigquery.catalog import names, tables
from local_bigquery.errors import BigQueryError, not_found
from local_bigquery.jobs import load

_MISSING = re.compile(r"'(gs://[^']+)'.*\b404\b")
_reader = load._reader


class _Column(NamedTuple):
    name: str
    optional: bool
    listed: bool


def install() -> None:
    load._reader = reader


def reader(cur, files: str, config, fields) -> str:
    """What can stand after FROM to read the files, if they can be loaded at all."""
    if config.sourceFormat == "PARQUET":
        try:
            _check(cur, files, config, bool(fields))
        except duckdb.Error as error:
            if missing := _MISSING.search(str(error)):
                raise not_found("URI", missing[1]) from None
            raise
    return _reader(cur, files, config, fields)


def _check(cur, files: str, config, told: bool) -> None:
    """`told`: whether the job says what the columns are, which then takes the place of what the file says."""
    project, dataset, name = tables.reference(config.destinationTable)
    destination = project, dataset, name.partition("$")[0]
    existing = {}
    if tables.exists(*destination):
        existing = {column.name.casefold(): column for column in tables.columns(*destination)}
    inferred = config.parquetOptions and config.parquetOptions.enableListInference
    for column in _columns(cur, files):
        there = existing.get(column.name.casefold())
        was = there.type if there else "the type that is expected"
        if column.listed and not inferred:
            problem = f"Field {column.name} has changed type from {was} to RECORD"
        elif column.optional and not told and there and there.mode == "REQUIRED":
            problem = f"Field {column.name} has changed mode from REQUIRED to NULLABLE"
        else:
            continue
        label = names.label(project, dataset, name)
        raise BigQueryError("invalid", f"Provided Schema does not match Table {label}. {problem}")


def _columns(cur, files: str) -> Iterator[_Column]:
    """The outermost columns of the files. A file's schema is a tree, told from the root down."""
    sql = "SELECT file_name, name, repetition_type, coalesce(num_children, 0), converted_type FROM parquet_schema({})"
    file, below = None, 0
    for in_file, name, repetition, children, kind in cur.execute(sql.format(files)).fetchall():
        if in_file != file:  # the root
            file, below = in_file, 0
            continue
        if below == 0:
            yield _Column(name, repetition == "OPTIONAL", kind == "LIST")
        else:
            below -= 1
        below += children
