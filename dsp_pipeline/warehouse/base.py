"""Rows by table and partition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from dsp_pipeline.events.schema import Event
from dsp_pipeline.receipts import Draft, Receipt
from dsp_pipeline.storage.sweep import Swept
from dsp_pipeline.warehouse.sampling import Sampling

if TYPE_CHECKING:  # both are slow to import, and planning a graph needs neither
    import pyarrow as pa

    from dsp_pipeline.sql.query import Query

# The column that the platform adds to every table that a query makes: the day of its partition.
DATE_COLUMN = "date"


@dataclass(frozen=True)
class Table:
    """A table as the warehouse names it, with what defines it.

    `name` is its name in SQL, `version` the fingerprint of what makes it; together they are its address, so another
    definition is another table. Event tables have one partition an hour (`2026-11-21T05`, UTC) by their time column,
    query tables one a day (`2026-11-21`) by the column `date`. `reads` are the tables that a query's names mean.
    """

    name: str
    version: str
    definition: Event | Query
    reads: Mapping[str, Table] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{self.name}_{self.version}"

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row within a partition."""
        key = self.definition.key
        return (key,) if isinstance(key, str) else key


@dataclass(frozen=True)
class Slice:
    """Some partitions of a table: what a name in a query stands for. May be empty; the columns are the same then."""

    table: Table
    partitions: tuple[str, ...]


class Warehouse(Protocol):
    """Tables that are written one whole partition at a time.

    `load` and `build` leave a receipt as their last act. Before it, readers see the partition as it was; after it, as
    it is; never a mix. Written twice is the same as written once. When two writers race for a partition that was
    not there, one wins, and the other gets the winner's receipt back. With `replace` the last writer wins.
    """

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
        """Fill a partition of an event table from Parquet files of the event's schema.

        PartitionError if a row's time lies outside the hour; WarehouseError if a file's columns do not fit, or if
        there are not `rows` rows in all (None: any number will do). A column that the event was given after other
        partitions were loaded is null in those, and a list is empty.
        """

    def build(
        self, table: Table, day: date, inputs: Mapping[str, Slice], draft: Draft, *, replace: bool = False
    ) -> Receipt:
        """Fill one day of a query table with what its query answers when each name means just the slice in `inputs`.

        WarehouseError if the query fails, or if two rows have the same key.
        """

    def read(self, slice_: Slice, columns: Sequence[str], sampling: Sampling | None = None) -> Iterator[pa.RecordBatch]:
        """The rows, or some of them, partition after partition in the given order, as they are now. Memory is flat.

        Rows of a query's table come in the order of its key, those of an event in one that does not change. A
        partition that is replaced while the rows are read is still read as it was when the reading began. The schema is
        the same on every day; each column may be null.
        NotFoundError if a partition is not complete.
        """

    def receipts(self, table: Table) -> Mapping[str, Receipt]:
        """The receipts of all complete partitions, by partition, from one query or listing."""

    def sweep(self, keep: Callable[[str], bool], before: datetime, *, remove: bool) -> Iterator[Swept]:
        """What is not needed. With `remove` each is removed before it is yielded; without it nothing changes.

        That is whole tables, by address, that `keep` refuses and into which nothing was written since `before`, and, as
        old, what writers left who were killed or replaced. A table that is gone can be made again.
        `before` is what protects those who write meanwhile: let it be days ago. One listing or query answers for all
        tables.
        """


class QueryEngine(Protocol):
    """Answers questions about partitions, and writes nothing. Every warehouse is one too."""

    def ask(self, query: Query, day: date, inputs: Mapping[str, Slice]) -> list[dict[str, Any]]:
        """The rows that the query answers when each name means just the slice in `inputs`, in no order.

        All of them are held in memory, so let them be few; how many rows are read does not matter.
        WarehouseError if the query fails, NotFoundError if a partition is not complete.
        """
