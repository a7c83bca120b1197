"""The Warehouse in BigQuery: a table of hour or day partitions for each of ours, and one of receipts.

A partition is replaced by one job on its decorator (`table$2026112105`), which BigQuery does as a whole or not at
all. The receipt is added afterwards, by another job. The first job's id is the lock: it names the partition and its
generation (which each receipt makes higher), so of several writers one starts it and the others find it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dsp_pipeline.errors import NotFoundError, StorageError, WarehouseError
from dsp_pipeline.events.arrow import arrow_schema
from dsp_pipeline.events.schema import Event
from dsp_pipeline.receipts import Draft, File, Receipt
from dsp_pipeline.settings import BigQuerySettings
from dsp_pipeline.sql.query import Query
from dsp_pipeline.storage.sweep import Swept
from dsp_pipeline.warehouse.base import DATE_COLUMN, Slice, Table
from dsp_pipeline.warehouse.bigquery.bound import bound
from dsp_pipeline.warehouse.bigquery.clients import Clients
from dsp_pipeline.warehouse.bigquery.jobs import Jobs
from dsp_pipeline.warehouse.bigquery.log import Entry, ReceiptLog
from dsp_pipeline.warehouse.bigquery.reading import Reading
from dsp_pipeline.warehouse.bigquery.staging import Staging
from dsp_pipeline.warehouse.bigquery.sweep import swept
from dsp_pipeline.warehouse.bigquery.tables import Tables
from dsp_pipeline.warehouse.fit import doubled, fitted
from dsp_pipeline.warehouse.sampling import Sampling

if TYPE_CHECKING:
    import pyarrow as pa

# Above this many bytes a load is cut into files, if there is a place to stage them.
_PART_BYTES = 256 << 20
_SMALL_BYTES = 5 << 20
_ONE_KEY = "two rows have one key"


class BigQueryWarehouse:
    """A Warehouse in one dataset, and a QueryEngine.

    `scratch` is a local folder for files on their way and for sorting.
    """

    def __init__(
        self,
        settings: BigQuerySettings,
        *,
        scratch: Path,
        memory_limit_mb: int,
        threads: int,
        patience: float = 120.0,
        part_bytes: int = _PART_BYTES,
    ) -> None:
        self.settings, self._scratch, self._part_bytes = settings, scratch, part_bytes
        self._clients = Clients(settings, patience)
        self._jobs = Jobs(self._clients)
        self._log = ReceiptLog(self._clients, self._jobs)
        self._tables = Tables(self._clients, self._jobs)
        self._reading = Reading(
            self._clients, self._jobs, scratch=scratch, memory_limit_mb=memory_limit_mb, threads=threads
        )

    def __repr__(self) -> str:
        return f"BigQueryWarehouse({self.settings.project}.{self.settings.dataset})"

    def load(
        self,
        table: Table,
        partition: str,
        files: Sequence[BinaryIO],
        draft: Draft,
        *,
        rows: int | None = None,
        replace: bool = False,
    ) -> Receipt:
        from google.cloud import bigquery

        entry = self._log.entry(table.address, partition)
        if entry.receipt is not None and not replace:
            return entry.receipt
        what = f"{table.address}/{partition} cannot be loaded"
        with self._folder() as folder, ExitStack() as staged:
            parts, written = self._parts(table, partition, files, rows, folder)
            content = _digest_of(parts)
            config = bigquery.LoadJobConfig(
                source_format="PARQUET", write_disposition="WRITE_TRUNCATE", create_disposition="CREATE_NEVER"
            )
            lists = bigquery.ParquetOptions()
            lists.enable_list_inference = True
            config.parquet_options = lists
            self._tables.made(table)
            place = self._tables.place(table, partition)
            addresses: list[str] = []
            if len(parts) > 1:
                addresses = staged.enter_context(Staging(self._clients, self._jobs).holding(parts, folder.name))

            def start(job_id: str, labels: Mapping[str, str]) -> Any:
                config.labels = self._labels(table, partition, labels)
                client = self._clients.bigquery
                if addresses:
                    return client.load_table_from_uri(
                        addresses, place, job_id=job_id, job_config=config, retry=self._clients.retry
                    )
                size = parts[0].stat().st_size
                retries = 6 if size > _SMALL_BYTES else 0  # what is small is sent again as a whole, by Jobs
                with parts[0].open("rb") as file:
                    return client.load_table_from_file(
                        file, place, size=size, job_id=job_id, job_config=config, num_retries=retries
                    )

            def finish(job: Any) -> Receipt:
                if (job.output_rows or 0) != written:
                    raise WarehouseError(
                        f"{what}: BigQuery took {job.output_rows} rows of {written} (job {job.job_id}); load it again."
                    )
                file = File(place, sum(part.stat().st_size for part in parts), content)
                return draft.finish(written, [file], details={"job": job.job_id})

            return self._written(table, partition, entry, content, what, start, finish, replace)

    def build(
        self, table: Table, day: date, inputs: Mapping[str, Slice], draft: Draft, *, replace: bool = False
    ) -> Receipt:
        from google.cloud import bigquery

        partition = day.isoformat()
        what = f"{table.name} of {partition} cannot be built"
        self._refuse_incomplete(inputs.values())
        entry = self._log.entry(table.address, partition)
        if entry.receipt is not None and not replace:
            return entry.receipt
        self._widen(inputs.values())
        assert isinstance(table.definition, Query)
        inner = bound(self._tables, table.definition, inputs)
        sql = _checked(table, inner)
        given = [bigquery.ScalarQueryParameter("date", "DATE", day)]
        estimated = self._dry(f"SELECT @date AS {DATE_COLUMN}, built.* FROM ({inner}) AS built", given, what)
        self._tables.made(table, estimated.schema)
        place = self._tables.place(table, partition)
        content = _digest(sql, partition, *(f"{one.name} {one.digest}" for one in draft.inputs))

        def start(job_id: str, labels: Mapping[str, str]) -> Any:
            config = bigquery.QueryJobConfig(
                query_parameters=given,
                destination=bigquery.TableReference.from_string(place),
                write_disposition="WRITE_TRUNCATE",
                create_disposition="CREATE_NEVER",
                maximum_bytes_billed=self.settings.max_bytes_billed,
                labels=self._labels(table, partition, labels),
            )
            client, retry = self._clients.bigquery, self._clients.retry
            return client.query(sql, job_config=config, job_id=job_id, retry=retry, job_retry=None)

        def finish(job: Any) -> Receipt:
            with self._jobs.told(what):
                rows = job.result(max_results=0, retry=self._clients.retry).total_rows
            details = {
                "job": job.job_id,
                "estimated_bytes": estimated.total_bytes_processed,
                "billed_bytes": job.total_bytes_billed,
            }
            return draft.finish(rows, [File(place, 0, content)], details=details)

        try:
            return self._written(table, partition, entry, content, what, start, finish, replace)
        except WarehouseError as error:
            if _ONE_KEY not in str(error):
                raise
            keys = ", ".join(f"built.`{column}`" for column in table.key)
            twice = (
                f"SELECT {keys}, COUNT(*) AS number FROM ({inner}) AS built GROUP BY {keys} HAVING number > 1 LIMIT 1"
            )
            for row in self._jobs.ask(twice, given, what, self.settings.max_bytes_billed):
                raise doubled(table, partition, row.values()[:-1], row["number"]) from None
            raise

    def read(self, slice_: Slice, columns: Sequence[str], sampling: Sampling | None = None) -> Iterator[pa.RecordBatch]:
        self._refuse_incomplete([slice_])
        yield from self._reading.rows(slice_, columns, sampling)

    def ask(self, query: Query, day: date, inputs: Mapping[str, Slice]) -> list[dict[str, Any]]:
        from google.cloud import bigquery

        self._refuse_incomplete(inputs.values())
        self._widen(inputs.values())
        given = [bigquery.ScalarQueryParameter("date", "DATE", day)]
        what = f"{query.name} of {day} cannot be answered"
        sql = bound(self._tables, query, inputs)
        return [dict(row.items()) for row in self._jobs.ask(sql, given, what, self.settings.max_bytes_billed)]

    def receipts(self, table: Table) -> Mapping[str, Receipt]:
        return self._log.receipts(table.address)

    def sweep(self, keep: Callable[[str], bool], before: datetime, *, remove: bool) -> Iterator[Swept]:
        return swept(self._tables, self._log, keep, before, remove=remove)

    def _written(
        self,
        table: Table,
        partition: str,
        entry: Entry,
        content: str,
        what: str,
        start: Callable[[str, Mapping[str, str]], Any],
        finish: Callable[[Any], Receipt],
        replace: bool,
    ) -> Receipt:
        """Run the job that replaces the partition, or find the one that did it, and see that its receipt is there."""
        while True:
            generation = entry.generation + 1
            name = self._name(table, partition, generation)
            for ran in self._jobs.once(name, content, what, start):
                if ran.ours:
                    receipt = finish(ran.job)
                    if self._log.add(name, table.address, partition, generation, ran.number, receipt):
                        return receipt
                    counts = self._log.entry(table.address, partition).receipt
                    if counts is None:
                        raise WarehouseError(f"{what}: its table was removed at the same moment; run this again.")
                    return counts
                later = self._log.wait(table.address, partition, entry.generation, ran.job.ended)
                if later is not None:
                    break
                # Whoever wrote other rows died before the receipt: ours replace them, by the next job of the name.
            entry = later or entry
            if entry.receipt is not None and not replace:
                return entry.receipt

    def _parts(
        self, table: Table, partition: str, files: Sequence[BinaryIO], rows: int | None, folder: Path
    ) -> tuple[list[Path], int]:
        """The rows as Parquet files, several only if they can be staged, and how many rows there are."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        assert isinstance(table.definition, Event)
        # BigQuery takes a column that may not be null for another type than the table's.
        schema = pa.schema([field.with_nullable(True) for field in arrow_schema(table.definition)])
        parts: list[Path] = []
        written = 0
        batches = fitted(table, partition, files, rows)
        batch = next(batches, None)
        while batch is not None or not parts:
            parts.append(folder / f"{len(parts):05}.parquet")
            with pq.ParquetWriter(parts[-1], schema, compression="zstd") as writer:
                while batch is not None:
                    writer.write_table(batch.cast(schema))
                    written += batch.num_rows
                    batch = next(batches, None)
                    if self.settings.staging and parts[-1].stat().st_size > self._part_bytes:
                        break
        return parts, written

    def _dry(self, sql: str, given: list[Any], what: str) -> Any:
        """A job that only tells the columns and how many bytes would be read. WarehouseError if that is too many."""
        from google.cloud import bigquery

        config = bigquery.QueryJobConfig(
            dry_run=True, use_query_cache=False, query_parameters=given, labels=dict(self.settings.labels)
        )
        with self._jobs.told(what):
            job = self._clients.bigquery.query(sql, job_config=config, retry=self._clients.retry, job_retry=None)
        if job.total_bytes_processed > self.settings.max_bytes_billed:
            raise WarehouseError(
                f"{what}: it would read {job.total_bytes_processed:,} bytes, more than the "
                f"{self.settings.max_bytes_billed:,} of [bigquery] max_gib_billed; narrow its `reads:` or raise that."
            )
        return job

    def _widen(self, slices: Iterable[Slice]) -> None:
        """The tables of events may lack a column that the event was given since."""
        for slice_ in slices:
            if slice_.partitions and isinstance(slice_.table.definition, Event):
                self._tables.widened(slice_.table)

    def _refuse_incomplete(self, slices: Iterable[Slice]) -> None:
        asked = [(one.table.address, partition) for one in slices for partition in one.partitions]
        complete = self._log.complete({address for address, _ in asked}) if asked else set()
        for address, partition in asked:
            if (address, partition) not in complete:
                raise NotFoundError(f"{address}/{partition} is not complete: it has no receipt.")

    def _name(self, table: Table, partition: str, generation: int) -> str:
        """The beginning of a job's id. Ids are of the project and outlive tables, so it says which table it means."""
        born = f"{self._tables.made(table)}-{self._log.born}"
        return f"dsp-{self.settings.dataset}-{table.address}-{partition}-{born}-{generation}"

    def _labels(self, table: Table, partition: str, labels: Mapping[str, str]) -> dict[str, str]:
        return {**self.settings.labels, "table": table.name.lower(), "partition": partition.lower(), **labels}

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A scratch folder of this process."""
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=self._scratch))
        except OSError as error:
            raise StorageError(
                f"{self._scratch} cannot be written: {error.strerror}; give [dsp] scratch a folder that you may write."
            ) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _checked(table: Table, inner: str) -> str:
    """The query with the day before its columns; it fails if a key names two rows, before anything is replaced."""
    keys = ", ".join(f"built.`{column}`" for column in table.key)
    return (
        f"SELECT IF(COUNT(*) OVER (PARTITION BY {keys}) = 1, @date, ERROR('{_ONE_KEY}')) AS {DATE_COLUMN}, built.*\n"
        f"FROM ({inner}) AS built"
    )


def _digest_of(parts: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        with part.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _digest(*words: str) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
