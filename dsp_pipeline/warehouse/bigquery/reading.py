"""Rows of a partition as Arrow batches, in the order of the key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsp_pipeline.errors import WarehouseError, first_line
from dsp_pipeline.warehouse.base import Slice, Table
from dsp_pipeline.warehouse.bigquery.clients import Clients
from dsp_pipeline.warehouse.bigquery.jobs import Jobs
from dsp_pipeline.warehouse.bigquery.tables import bounds, columns
from dsp_pipeline.warehouse.fit import BATCH_ROWS
from dsp_pipeline.warehouse.sampling import Sampling

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("dsp")

Batches = Callable[[], Iterator["pa.RecordBatch"]]


@dataclass(frozen=True)
class _Answer:
    """The rows of a query: in the table that holds them for a day, and page by page."""

    place: str
    pages: Batches


class Reading:
    """Streams come unordered from BigQuery, over several connections, and are put in order here: a global ORDER BY in
    BigQuery would be done by one of its machines, and fails when a day is large. The sort spills to `scratch`.
    """

    def __init__(self, clients: Clients, jobs: Jobs, *, scratch: Path, memory_limit_mb: int, threads: int) -> None:
        self._clients, self._jobs = clients, jobs
        self._scratch, self._memory_limit_mb, self._threads = scratch, memory_limit_mb, threads

    def rows(self, slice_: Slice, names: Sequence[str], sampling: Sampling | None) -> Iterator[pa.RecordBatch]:
        """Partition after partition. All of them as they are when the first row is asked for."""
        table = slice_.table
        known = columns(table)
        asked = [*names, *(sampling.columns if sampling else ())]
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise WarehouseError(f"{table.name} cannot be read: it has no column {unknown[0]}.")
        needed = [name for name in known if name in {*names, *table.key}]
        opened = [self._opened(table, partition, needed, sampling) for partition in slice_.partitions]
        for batches in opened:
            yield from self._sorted(table, batches, names)

    def _opened(self, table: Table, partition: str, needed: Sequence[str], sampling: Sampling | None) -> Batches:
        """A reader of the partition as it is now; over REST if there is no Storage Read API for us."""
        settings, what = self._clients.settings, f"{table.name} of {partition} cannot be read"
        place = f"{settings.project}.{settings.dataset}.{table.address}"
        where = bounds(Slice(table, (partition,)))
        answer = None
        if sampling is not None:
            # As a query: what a read session's row restriction may call is documented for plain comparisons only.
            answer = self._answer(place, f"{where} AND ({sampling.condition})", needed, what)
        place = answer.place if answer else place
        session = self._session(place, None if answer else where, needed, what)
        if session is not None:
            return lambda: self._streams(session, what)
        return (answer or self._answer(place, where, needed, what)).pages

    def _session(self, place: str, where: str | None, needed: Sequence[str], what: str) -> Any:
        """A read session on a table; None if the Storage Read API is not for us."""
        from google.api_core import exceptions as api
        from google.cloud.bigquery_storage_v1 import types

        client = self._clients.reading
        if client is None:
            return None
        project, dataset, table = place.split(".")
        options = {"selected_fields": list(needed), **({"row_restriction": where} if where else {})}
        asked = types.ReadSession(
            table=f"projects/{project}/datasets/{dataset}/tables/{table}",
            data_format=types.DataFormat.ARROW,
            read_options=options,
        )
        with self._jobs.told(what):
            try:
                return client.create_read_session(
                    parent=f"projects/{self._clients.settings.project}",
                    read_session=asked,
                    max_stream_count=self._threads,
                )
            except api.PermissionDenied as error:
                log.warning(
                    "%s, so over REST, which is slow: the Storage Read API is closed to this identity (%s); "
                    "give it the role BigQuery Read Session User.",
                    what.replace("cannot be read", "is read by jobs"),
                    first_line(error),
                )
                return None

    def _streams(self, session: Any, what: str) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        client = self._clients.reading
        assert client is not None
        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        with self._jobs.told(what):
            for stream in session.streams:
                for message in client.read_rows(stream.name):
                    yield pa.ipc.read_record_batch(message.arrow_record_batch.serialized_record_batch, schema)

    def _answer(self, place: str, where: str, needed: Sequence[str], what: str) -> _Answer:
        """The answer of a query stays as it is, whatever becomes of the table."""
        from google.cloud import bigquery

        settings, retry = self._clients.settings, self._clients.retry
        config = bigquery.QueryJobConfig(maximum_bytes_billed=settings.max_bytes_billed, labels=dict(settings.labels))
        names = ", ".join(f"`{name}`" for name in needed)
        with self._jobs.told(what):
            job = self._clients.bigquery.query(
                f"SELECT {names} FROM `{place}` WHERE {where}", job_config=config, retry=retry, job_retry=retry
            )
            rows = job.result(page_size=BATCH_ROWS, retry=retry, job_retry=retry)

        def pages() -> Iterator[pa.RecordBatch]:
            with self._jobs.told(what):
                yield from rows.to_arrow_iterable(bqstorage_client=None)

        to = job.destination
        return _Answer(f"{to.project}.{to.dataset_id}.{to.table_id}", pages)

    def _sorted(self, table: Table, batches: Batches, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        import duckdb
        import pyarrow as pa

        stream = batches()
        first = next(stream, None)
        if first is None:
            return

        failed: list[Exception] = []

        def all_of_them() -> Iterator[pa.RecordBatch]:
            try:
                yield first
                yield from stream
            except Exception as error:  # which DuckDB would tell as one of its own
                failed.append(error)
                raise

        reader = pa.RecordBatchReader.from_batches(first.schema, all_of_them())
        order = ", ".join(f'"{name}"' for name in table.key)
        wanted = ", ".join(f'"{name}"' for name in names)
        self._scratch.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"SET memory_limit = '{self._memory_limit_mb}MB'")
            connection.execute(f"SET threads = {self._threads}")
            connection.execute("SET temp_directory = '" + str(self._scratch).replace("'", "''") + "'")
            connection.register("partition_rows", reader)
            try:
                rows = connection.sql(f"SELECT {wanted} FROM partition_rows ORDER BY {order}")
                yield from rows.to_arrow_reader(BATCH_ROWS)
            except (duckdb.Error, pa.ArrowException) as error:
                if failed:
                    raise failed[0] from None
                raise WarehouseError(
                    f"{table.name} cannot be put in order: {first_line(error)}; give [dsp] scratch ({self._scratch}) "
                    "more room, or memory_limit_mb more."
                ) from error
