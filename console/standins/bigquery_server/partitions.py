"""`table$20261121`: loads, query results, listings and deletions of one partition.

local-bigquery takes such a name for a table of its own. Here it means the rows of the table whose partition column
lies in that hour, day, month or year, and writing replaces them in one transaction: readers see the old rows or all new
ones.
"""

import datetime
import re
from typing import NamedTuple

from local_bigquery.catalog import metadata, names, tabledata, tables
from local_bigquery.engine import database, results, types
from local_bigquery.errors import BigQueryError, already_exists, not_found
from local_bigquery.jobs import copy
from local_bigquery.models import Table

Reference = tuple[str, str, str]

_DECORATED = re.compile(r"(.+)\$(\d{4}|\d{6}|\d{8}|\d{10})")
_FORMATS = {"YEAR": "%Y", "MONTH": "%Y%m", "DAY": "%Y%m%d", "HOUR": "%Y%m%d%H"}
_STAGED = "temp.main.staged"

_columns, _delete, _load, _name, _write = tables.columns, tables.delete, tables.load, tables.name, tables.write
_source = copy._source


def install() -> None:
    for module in (tables, tabledata):
        module.columns, module.load = columns, load
    tables.write, tables.delete = write, delete
    tabledata.name = rows
    copy._source = source
    results._without_null_elements = _array


class Partition(NamedTuple):
    """One partition of a table."""

    table: Reference
    id: str

    @property
    def label(self) -> str:
        return names.label(*self.table) + f"${self.id}"

    def condition(self, stored: Table | None) -> str:
        """What is true for the rows of this partition, in DuckDB's SQL. BigQueryError if the table has none such."""
        partitioning = stored and stored.timePartitioning
        if not partitioning or not partitioning.field:
            raise BigQueryError(
                "invalid",
                "Cannot read partition information from a table that is not partitioned by a column: "
                f"{names.label(*self.table)}",
            )
        start, end = bounds(self.id, partitioning.type)
        column = database.quote(partitioning.field)
        return f"({column} >= CAST('{start}' AS TIMESTAMPTZ) AND {column} < CAST('{end}' AS TIMESTAMPTZ))"


def bounds(partition: str, unit: str) -> tuple[str, str]:
    """First instant of the partition, and of the one after it."""
    try:
        start = datetime.datetime.strptime(partition, _FORMATS[unit]).replace(tzinfo=datetime.UTC)
        if start.strftime(_FORMATS[unit]) != partition:
            raise ValueError(partition)
    except ValueError:
        raise BigQueryError(
            "invalid", f"Invalid partition decorator ${partition} for a table that is partitioned by {unit}."
        ) from None
    if unit == "YEAR":
        end = start.replace(year=start.year + 1)
    elif unit == "MONTH":
        end = (start + datetime.timedelta(days=31)).replace(day=1)
    else:
        end = start + datetime.timedelta(hours=1 if unit == "HOUR" else 24)
    return start.isoformat(), end.isoformat()


def split(reference: Reference) -> tuple[Reference, Partition | None]:
    """The table of a reference, and the partition of it that is meant, if one is."""
    if decorated := _DECORATED.fullmatch(reference[2]):
        table = (*reference[:2], decorated[1])
        return table, Partition(table, decorated[2])
    return reference, None


def columns(*reference: str):
    return _columns(*split(reference)[0])


def rows(*reference: str) -> str:
    """What can stand after FROM to read the table, or one partition of it."""
    table, partition = split(reference)
    if partition is None:
        return _name(*table)
    return f"(SELECT rowid, * FROM {_name(*table)} WHERE {partition.condition(metadata.load(Table, *table))})"


def source(reference: Reference) -> str:
    """The same for a copy job."""
    if split(reference)[1] is None:
        return _source(reference)
    load(*reference)
    return f"(SELECT * EXCLUDE (rowid) FROM {rows(*reference)})"


def load(*reference: str) -> Table:
    """The table as clients see it. Rows are counted: what DuckLake knows by itself includes deleted ones."""
    table, partition = split(reference)
    found = _load(*table)
    if found.type != "TABLE" or not database.objects(*tables.physical(*table)):
        return found
    [(count,)] = database.fetch(f"SELECT count(*) FROM {rows(*reference)}")
    size = str(tables.logical_bytes(count, len(tables.fields(found))))
    found = found.replace(numRows=str(count), numBytes=size, numTotalLogicalBytes=size, numActiveLogicalBytes=size)
    if partition is not None:  # a client lists the rows of what this answer names
        identity = found.tableReference.replace(tableId=reference[2])
        found = found.replace(id=partition.label, tableReference=identity, selfLink=f"{found.selfLink}${partition.id}")
    return found


def delete(*reference: str) -> None:
    """Drop the table, or the rows of one partition."""
    table, partition = split(reference)
    if partition is None:
        _delete(*table)
        return
    where = partition.condition(_load(*table))
    with database.writing(*table):
        database.execute(f"DELETE FROM {_name(*table)} WHERE {where}")


def write(
    cur, query, params, reference, config, default="WRITE_EMPTY", prefix="Invalid schema update. ", isolated=False
):
    """Put the rows of a query into a table or partition, as load, query and copy jobs do. True if it was created."""
    table, partition = split(reference)
    disposition = config.writeDisposition or default
    if partition is None:
        if disposition == "WRITE_APPEND" and tables.exists(*table) and table[1] != tables.RESULTS:
            _check_types(table, cur.sql(query, params=params), prefix)
        return _write(cur, query, params, reference, config, default, prefix, isolated)
    _stage(cur, query, params)
    try:
        created = _create(cur, partition, config)
        _replace(cur, partition, config, disposition, prefix)
        return created
    finally:
        cur.execute(f"DROP TABLE {_STAGED}")


def _stage(cur, query: str, params: dict | None) -> None:
    """Run the query, once, into a table of this connection only, with the types that BigQuery's tables have."""
    relation = cur.sql(query, params=params)
    places = [f"c{place}" for place in range(len(relation.columns))]
    cells = ", ".join(
        f"{_array(types.cast(place, kind), name, kind)} AS {database.quote(name)}"
        for place, name, kind in zip(places, results.unique(relation.columns), relation.types, strict=True)
    )
    cur.execute(
        f"CREATE OR REPLACE TEMP TABLE staged AS SELECT {cells} FROM ({query}) AS q({', '.join(places)})", params
    )


def _create(cur, partition: Partition, config) -> bool:
    """Make the partitioned table, if the job says how and there is none."""
    if tables.exists(*partition.table):
        return False
    if config.createDisposition == "CREATE_NEVER":
        raise not_found("Table", names.label(*partition.table))
    if not config.timePartitioning:
        raise BigQueryError(
            "invalid", "Partitioning specification must be provided in order to create partitioned table"
        )
    return _write(cur, f"SELECT * FROM {_STAGED} LIMIT 0", None, partition.table, config, "WRITE_APPEND")


def _replace(cur, partition: Partition, config, disposition: str, prefix: str) -> None:
    """Check the staged rows and put them in place of, or beside, what the partition holds."""
    table, name = partition.table, _name(*partition.table)
    with database.writing(*table):
        where = partition.condition(metadata.load(Table, *table))
        relation = cur.sql(f"SELECT * FROM {_STAGED}")
        tables.layout(relation.columns, config, "WRITE_APPEND")
        _check_types(table, relation, prefix)
        [(strangers,)] = cur.execute(f"SELECT count(*) FROM {_STAGED} WHERE {where} IS NOT TRUE").fetchall()
        if strangers:
            raise BigQueryError(
                "invalid",
                f"Some rows belong to different partitions rather than destination partition {partition.label}",
            )
        if disposition == "WRITE_EMPTY" and cur.execute(f"SELECT 1 FROM {name} WHERE {where} LIMIT 1").fetchall():
            raise already_exists("Table", partition.label)
        cur.execute("BEGIN")
        try:
            tables.evolve(cur, table, relation, config.schemaUpdateOptions, prefix)
            if disposition == "WRITE_TRUNCATE":
                cur.execute(f"DELETE FROM {name} WHERE {where}")
            cur.execute(f"INSERT INTO {name} BY NAME SELECT * FROM {_STAGED}")
            cur.execute("COMMIT")
        except BaseException:
            cur.execute("ROLLBACK")
            raise


def _check_types(table: Reference, relation, prefix: str) -> None:
    """Refuse columns that changed their type or are missing where DuckDB would convert them or put NULL."""
    pairs = zip(relation.columns, relation.types, strict=True)
    given = {name.casefold(): types.field(name, kind) for name, kind in pairs}
    for column in columns(*table):
        new = given.get(column.name.casefold())
        if new is None and column.mode == "REQUIRED":
            raise BigQueryError("invalid", f"{prefix}Field {column.name} is missing in new schema")
        if new is None:
            continue
        for what in ("type", "mode"):
            old_value, new_value = getattr(column, what), getattr(new, what)
            if old_value != new_value and {old_value, new_value} != {"NULLABLE", "REQUIRED"}:
                raise BigQueryError(
                    "invalid", f"{prefix}Field {column.name} has changed {what} from {old_value} to {new_value}"
                )


_without_null_elements = results._without_null_elements


def _array(expression: str, column: str, kind) -> str:
    """A column on its way into a table: BigQuery refuses NULL inside of an array, and stores a NULL array as empty."""
    checked = _without_null_elements(expression, column, kind)
    return f"coalesce({checked}, [])" if kind.id in ("list", "array") else checked
