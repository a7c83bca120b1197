"""The embedded warehouse: a folder of Parquet files, queried by an in-memory DuckDB.

    tables/<table>/<partition>/<attempt>.parquet      the rows
    receipts/<table>/<partition>.json                 which attempt counts

A `.duckdb` file would lock out the second process; Parquet files do not. A new attempt lies beside the old one until
its receipt replaces the old receipt, and that is the moment at which readers change over.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dsp_pipeline.errors import ConflictError, StorageError, WarehouseError, first_line
from dsp_pipeline.events.arrow import ARROW_TYPES, arrow_schema
from dsp_pipeline.events.schema import LISTS, Event
from dsp_pipeline.receipts import Draft, File, Receipt
from dsp_pipeline.storage.base import checked
from dsp_pipeline.storage.local import LocalFolder, cure
from dsp_pipeline.storage.receipts import ReceiptBook
from dsp_pipeline.storage.sweep import LEFTOVER, Shelves, Swept
from dsp_pipeline.warehouse.base import DATE_COLUMN, Slice, Table
from dsp_pipeline.warehouse.fit import BATCH_ROWS, doubled, fitted
from dsp_pipeline.warehouse.interruptible import Answered, interruptible
from dsp_pipeline.warehouse.nothing import nothing_of
from dsp_pipeline.warehouse.refusal import refusal
from dsp_pipeline.warehouse.sampling import Sampling

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from sqlglot import exp

    from dsp_pipeline.sql.query import Query


class DuckDBWarehouse:
    """A Warehouse in a folder, and a QueryEngine. Safe for many processes of one machine.

    `memory_limit_mb` bounds each query; what does not fit goes to the disk, half of what is free there at most.
    """

    def __init__(self, root: Path, *, memory_limit_mb: int, threads: int) -> None:
        self.root = root
        self._folder = LocalFolder(root)
        self._book = ReceiptBook(self._folder)
        self._memory_limit_mb, self._threads = memory_limit_mb, threads
        self._open: duckdb.DuckDBPyConnection | None = None

    def __repr__(self) -> str:
        return f"DuckDBWarehouse({str(self.root)!r})"

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
        import pyarrow.parquet as pq

        assert isinstance(table.definition, Event)
        aside = self._aside(table, partition)
        written = 0
        try:
            with pq.ParquetWriter(aside, arrow_schema(table.definition), compression="zstd") as writer:
                for batch in fitted(table, partition, files, rows):
                    writer.write_table(batch)
                    written += batch.num_rows
        except BaseException as error:
            aside.unlink(missing_ok=True)
            if isinstance(error, OSError) and not isinstance(error, StorageError):
                raise StorageError(f"{table.address}/{partition} cannot be loaded: {error}; {cure(error)}.") from error
            raise
        return self._commit(table, partition, aside, written, draft, replace)

    def build(
        self, table: Table, day: date, inputs: Mapping[str, Slice], draft: Draft, *, replace: bool = False
    ) -> Receipt:
        import duckdb

        from dsp_pipeline.sql.translate import to_duckdb

        assert not isinstance(table.definition, Event)
        partition = day.isoformat()
        select = to_duckdb(self._bound(table.definition, inputs))
        columns = ", ".join(f'"{column}"' for column in table.key)
        aside = self._aside(table, partition)
        connection = self._connection()

        def made() -> tuple[Any, Any]:
            written = connection.execute(
                f"COPY (SELECT $date::DATE AS {DATE_COLUMN}, * FROM ({select}) ORDER BY {columns}) "
                f"TO '{_quoted(aside)}' (FORMAT parquet, COMPRESSION zstd)",
                {"date": day},
            ).fetchone()
            twice = connection.execute(
                f"SELECT {columns}, count(*) FROM {_parquet([aside])} GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
            ).fetchone()
            return written, twice

        try:
            written, twice = self._answered(made)
        except duckdb.Error as error:
            aside.unlink(missing_ok=True)
            told = refusal(error, table.definition.path)
            raise WarehouseError(f"{table.name} of {partition} cannot be built: {told}") from error
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        if twice:
            aside.unlink(missing_ok=True)
            raise doubled(table, partition, twice[:-1], twice[-1])
        assert written is not None
        return self._commit(table, partition, aside, written[0], draft, replace)

    def read(self, slice_: Slice, columns: Sequence[str], sampling: Sampling | None = None) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        needed = dict.fromkeys((*columns, *(sampling.columns if sampling else ())))
        for path in self._paths(slice_):
            try:
                with pq.ParquetFile(path) as file:
                    absent = _absent(slice_.table, set(file.schema_arrow.names))
                    present = [name for name in needed if name not in absent]
                    for batch in file.iter_batches(BATCH_ROWS, columns=present):
                        whole = _with_columns(batch, list(needed), absent)
                        yield (sampling.of(whole) if sampling else whole).select(list(columns))
            except (pa.ArrowException, KeyError, OSError) as error:
                raise WarehouseError(f"{slice_.table.name} cannot be read: {first_line(error)}") from error

    def ask(self, query: Query, day: date, inputs: Mapping[str, Slice]) -> list[dict[str, Any]]:
        import duckdb

        from dsp_pipeline.sql.translate import to_duckdb

        select = f"SELECT * FROM ({to_duckdb(self._bound(query, inputs))}) WHERE $date::DATE IS NOT NULL"
        connection = self._connection()
        try:
            answer = self._answered(lambda: connection.sql(select, params={"date": day}).to_arrow_table())
        except duckdb.Error as error:
            raise WarehouseError(f"{query.name} of {day} cannot be answered: {refusal(error, query.path)}") from error
        rows: list[dict[str, Any]] = answer.to_pylist()
        return rows

    def receipts(self, table: Table) -> Mapping[str, Receipt]:
        prefix = f"{table.address}/"
        return {address[len(prefix) :]: receipt for address, receipt in self._book.read_all(prefix).items()}

    def sweep(self, keep: Callable[[str], bool], before: datetime, *, remove: bool) -> Iterator[Swept]:
        touched = set()
        for swept in Shelves(self._folder, "tables/", folders=False).sweep(keep, before, remove=remove):
            touched.add(swept.address.split("/")[1] if swept.why == LEFTOVER else swept.address)
            yield swept
        for address in touched if remove else ():
            _remove_empty(self.root / "receipts" / address)
            _remove_empty(self.root / "tables" / address)

    def _answered(self, work: Callable[[], Answered]) -> Answered:
        """What queries answer. Once more on one thread if they need more memory: each pins what it joins and groups."""
        import duckdb

        connection = self._connection()
        try:
            return interruptible(connection, work)
        except duckdb.OutOfMemoryException:
            if self._threads == 1:
                raise
        connection.execute("SET threads = 1")
        try:
            return interruptible(connection, work)
        finally:
            connection.execute(f"SET threads = {self._threads}")

    def _commit(self, table: Table, partition: str, aside: Path, rows: int, draft: Draft, replace: bool) -> Receipt:
        """Move the file into place, then write the receipt; a loser of the race takes its file back."""
        key = f"tables/{table.address}/{partition}/{secrets.token_hex(4)}.parquet"
        target = self.root / key
        try:
            with aside.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            receipt = draft.finish(rows, [File(key, aside.stat().st_size, digest)])
            target.parent.mkdir(parents=True, exist_ok=True)
            aside.replace(target)
            self._book.write(receipt, replace=replace)
        except ConflictError:
            target.unlink(missing_ok=True)
            return self._book.read(receipt.address)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror}; {cure(error)}.") from error
        finally:
            aside.unlink(missing_ok=True)
        return receipt

    def _aside(self, table: Table, partition: str) -> Path:
        folder = self.root / ".aside"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{folder} cannot be written: {error.strerror}; {cure(error)}.") from error
        return folder / f"{os.getpid()}-{table.address}-{partition}-{secrets.token_hex(4)}.parquet"

    def _paths(self, slice_: Slice) -> list[Path]:
        paths: list[Path] = []
        for partition in slice_.partitions:
            receipt = self._book.read(f"{slice_.table.address}/{partition}")
            for file in receipt.files:
                paths.append(self.root / checked(file.key))
                try:
                    size = paths[-1].stat().st_size
                except OSError as error:
                    raise WarehouseError(f"{slice_.table.name} cannot be read: {first_line(error)}") from error
                if wrong := file.differs(size):
                    raise WarehouseError(f"{slice_.table.name} cannot be read: {wrong}.")
        return paths

    def _bound(self, query: Query, inputs: Mapping[str, Slice]) -> exp.Expr:
        """The query with each name replaced by exactly the partitions of its slice."""
        from dsp_pipeline.sql.bind import bind

        return bind(query.tree, {name: self._relation(slice_) for name, slice_ in inputs.items()})

    def _relation(self, slice_: Slice) -> exp.Expr:
        import pyarrow.parquet as pq
        import sqlglot

        from dsp_pipeline.sql.translate import to_duckdb

        paths = self._paths(slice_)
        if not paths:
            return sqlglot.parse_one(to_duckdb(nothing_of(slice_.table)), dialect="duckdb")
        rows = f"SELECT * FROM {_parquet(paths)}"
        if absent := _absent(slice_.table, *(set(pq.read_schema(path).names) for path in paths)):
            lists = ", ".join(f"COALESCE({name}, []) AS {name}" for name, type_ in absent.items() if type_ in LISTS)
            star = f"* REPLACE ({lists})" if lists else "*"
            rows = f"SELECT {star} FROM ({to_duckdb(nothing_of(slice_.table))} UNION ALL BY NAME {rows})"
        return sqlglot.parse_one(rows, dialect="duckdb")

    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._open is None:
            import duckdb

            from dsp_pipeline.sql.translate import prepare

            self._open = duckdb.connect()
            self._open.execute(f"SET memory_limit = '{self._memory_limit_mb}MB'")
            self._open.execute(f"SET threads = {self._threads}")
            # By process, so that what one leaves that is killed is found, and no fuller than half of what is free.
            spill = self.root / ".aside" / f"{os.getpid()}-spill"
            self._open.execute(f"SET temp_directory = '{_quoted(spill)}'")
            self._open.execute(f"SET max_temp_directory_size = '{_free(self.root) // 2}B'")
            self._open.execute("SET preserve_insertion_order = false")
            prepare(self._open)
            # Its functions of ours would keep the module alive when the process ends, which DuckDB complains about.
            atexit.register(self._open.close)
        return self._open


def _absent(table: Table, *files: set[str]) -> dict[str, str]:
    """Columns that the event has now and one of the files has not, with their types.

    They are null in those files' rows, and a list is empty, as in a BigQuery table that was given the column later.
    """
    if not isinstance(table.definition, Event):
        return {}
    return {one.name: one.type for one in table.definition.columns if any(one.name not in names for names in files)}


def _with_columns(batch: pa.RecordBatch, columns: Sequence[str], absent: Mapping[str, str]) -> pa.RecordBatch:
    """Just these columns, empty ones for those that the file lacks.

    All may be null: DuckDB writes whether a column does hold nulls, and a schema must not depend on the day's rows.
    """
    import pyarrow as pa

    def empty(type_: str) -> pa.Array:
        arrow = ARROW_TYPES[type_]
        return pa.array([[]] * batch.num_rows, arrow) if type_ in LISTS else pa.nulls(batch.num_rows, arrow)

    arrays = [empty(absent[name]) if name in absent else batch.column(name) for name in columns]
    return pa.record_batch(arrays, names=list(columns))


def _remove_empty(folder: Path) -> None:
    """It and the folders below it, as far as they hold nothing."""
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(path)


def _free(folder: Path) -> int:
    """Bytes on the disk of a folder, which need not be there yet."""
    return shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.exists())).free


def _quoted(path: Path) -> str:
    return str(path.resolve()).replace("'", "''")


def _parquet(paths: Sequence[Path]) -> str:
    """The rows of these files as SQL, whatever is in their names."""
    files = ", ".join("'" + re.sub(r"([*?\[])", r"[\1]", _quoted(path)) + "'" for path in paths)
    return f"read_parquet([{files}], hive_partitioning = false, union_by_name = true)"
