"""Would a bidder have seen what training saw? Logged requests are scored again, from what was known when they came.

A bidder has the request and the lookups of the day, and nothing that comes later. So some rows of a day are built anew
from just that: of each name in the table's query whose window goes on after the day (which is where labels come from)
nothing is given. What comes out must be the features that the model was trained and judged on, or the model knows
something that no bidder does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from dsp_pipeline.events.schema import Event
from dsp_pipeline.platform import Platform
from dsp_pipeline.warehouse.base import Slice, Table
from dsp_pipeline.warehouse.sampling import Sampling

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 2_000


@dataclass(frozen=True)
class Replayed:
    """Some rows of a day, in the order of their key, twice: `logged` is made of what was known when the requests came,
    `stored` is what the warehouse holds. Both have the key and the features."""

    logged: pa.Table
    stored: pa.Table


def replay(platform: Platform, table: Table, day: date, features: Sequence[str], scratch: Path) -> Replayed:
    """About ROWS of the day's requests, drawn by their key. What memory does not hold goes below `scratch`."""
    partition = day.isoformat()
    rows = platform.warehouse.receipts(table)[partition].rows
    sampling = Sampling(min(1.0, ROWS / max(rows, 1)), table.key)
    columns = list(dict.fromkeys((*table.key, *features)))
    stored = platform.warehouse.read(Slice(table, (partition,)), columns, sampling)
    return Replayed(_logged(platform, table, day, columns, sampling, scratch), _table(stored, columns))


def _logged(
    platform: Platform, table: Table, day: date, columns: Sequence[str], sampling: Sampling, scratch: Path
) -> pa.Table:
    from dsp_pipeline.sql.query import Query
    from dsp_pipeline.warehouse.memory import Memory, columns_read

    query = table.definition
    assert isinstance(query, Query)
    settings = platform.settings
    slices = platform.slices(table, day)
    memory = Memory(memory_limit_mb=settings.memory_limit_mb, threads=settings.threads, spill=scratch / "spill")
    try:
        for read in query.reads:
            slice_ = slices[read.table]
            if read.last > 0:
                slices[read.table] = Slice(slice_.table, ())
                continue
            some = sampling if _is_request(slice_.table, table, read.first) else None
            needed = columns_read(query, slice_.table)
            memory.hold(slice_.table, platform.warehouse.read(slice_, needed, some))
        return _table(memory.answer(table, day, slices).batches(columns), columns)
    finally:
        memory.close()


def _is_request(read: Table, table: Table, first: int) -> bool:
    """Whether a row of the table is made of one row of this event of the day."""
    definition = read.definition
    return isinstance(definition, Event) and first == 0 and set(table.key) <= {one.name for one in definition.columns}


def _table(batches: Iterable[pa.RecordBatch], columns: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    found = list(batches)
    return pa.Table.from_batches(found) if found else pa.table({name: pa.nulls(0) for name in columns})
