"""A few simulated days made to the schema, and the tables over them: what to try a task on where nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from isal import igzip

from dsp_pipeline.errors import DspError
from dsp_pipeline.events.decode import Decoder
from dsp_pipeline.events.lines import RawFile
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.events.source import Source
from dsp_pipeline.simulator.lines import hours
from dsp_pipeline.simulator.parameters import EVENT_NAMES, Simulation
from dsp_pipeline.sql.catalog import Catalog
from dsp_pipeline.warehouse.base import Slice, Table
from dsp_pipeline.warehouse.memory import Answer, Memory

if TYPE_CHECKING:
    import pyarrow as pa

IMPRESSIONS_PER_DAY, SEED = 1_500, 20
_REQUESTS = 10_000
_VERSION = "sample"  # of events, in the place of the settings' source


@dataclass(frozen=True)
class Span:
    """The days of a sample, both included; windows of queries are cut there."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    def within(self, first: date, last: date) -> list[date]:
        """The days from first to last that are in it."""
        first, last = max(first, self.first), min(last, self.last)
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]


class Sample:
    """The rows of some simulated days, decoded by our own simulator's source whatever the real logs look like.

    They are never in one query with rows of the warehouse: a Sample knows of none. Days of tables are answered when
    they are asked for, with all that they read. `scratch` is a folder for the work; the same days give the same rows.
    """

    def __init__(self, source: Source, catalog: Catalog, span: Span, decoder: Decoder, memory: Memory, scratch: Path):
        self.span = span
        self.rows: dict[str, int] = {}  # of the events that were asked for
        self._source, self._catalog, self._decoder, self._memory = source, catalog, decoder, memory
        self._scratch = scratch
        self._tables: dict[str, Table] = {}
        self._answers: dict[tuple[str, date], Answer] = {}

    def table(self, name: str) -> Table:
        """The table that the name means over the sample. DspError if it needs an event that the sample lacks."""
        if name not in self._tables:
            if name in EVENTS:
                self._refuse_lacking(name)
                self._tables[name] = Table(name, _VERSION, EVENTS[name])
            else:
                version = self._catalog.version(name, dict.fromkeys(EVENTS, _VERSION)).name  # refuses what reads itself
                query = self._catalog.query(name)
                reads = {read.table: self.table(read.table) for read in query.reads}
                self._tables[name] = Table(name, version, query, reads)
        return self._tables[name]

    def answer(self, name: str, day: date) -> Answer:
        """A day of a query's table. WarehouseError if its query, or that of a table it reads, cannot be answered."""
        if (name, day) not in self._answers:
            table = self.table(name)
            self._hold(table)
            inputs = {}
            for read in self._catalog.query(name).reads:
                source = table.reads[read.table]
                days = self.span.within(day + timedelta(days=read.first), day + timedelta(days=read.last))
                if source.name not in EVENTS:
                    for one in days:
                        self.answer(source.name, one)
                inputs[read.table] = Slice(source, tuple(p for one in days for p in _partitions(source, one)))
            self._answers[name, day] = self._memory.answer(table, day, inputs)
        return self._answers[name, day]

    def read(self, name: str, first: date, last: date) -> pa.RecordBatchReader:
        """The rows of some days of an event or a table with all columns, in an order that does not change."""
        table, days = self.table(name), self.span.within(first, last)
        self._hold(table)
        if name not in EVENTS:
            for day in days:
                self.answer(name, day)
        return self._memory.read(Slice(table, tuple(part for day in days for part in _partitions(table, day))))

    def lines(self, event: str, hour: datetime) -> RawFile:
        """The raw lines of a UTC hour, as a file that the source `simulator` reads. The hour has a day's traffic."""
        self._refuse_lacking(event)
        busy = Simulation(hour.date(), 1, 24 * IMPRESSIONS_PER_DAY, SEED, (event,))
        return _file(event, [next(islice(hours(busy, _REQUESTS), hour.hour, None))[event]])

    def _hold(self, table: Table) -> None:
        """Simulate and decode the events below the table, all that are not held in one go."""
        wanted = tuple(event for event in EVENT_NAMES if event in set(_events(table)) - self.rows.keys())
        if not wanted:
            return
        simulation = Simulation(self.span.first, self.span.days, IMPRESSIONS_PER_DAY, SEED, wanted)
        written = list(hours(simulation, _REQUESTS))
        for event in wanted:
            folder = self._scratch / event
            folder.mkdir()
            first = datetime.combine(self.span.first, datetime.min.time(), UTC)
            file = _file(event, [lines[event] for lines in written])
            decoded = self._decoder.decode(event, first, [file], folder, hours=24 * self.span.days)
            self._memory.hold(self.table(event), [pq.read_table(decoded.events)])
            self.rows[event] = decoded.rows

    def _refuse_lacking(self, event: str) -> None:
        if event not in self._source.events:
            raise DspError(
                f"the sample has no event {event}: the simulator makes {', '.join(self._source.events)}; "
                "try it on real logs, once they are loaded."
            )


def _partitions(table: Table, day: date) -> list[str]:
    return [f"{day}T{hour:02}" for hour in range(24)] if table.name in EVENTS else [day.isoformat()]


def _events(table: Table) -> Iterator[str]:
    if table.name in EVENTS:
        yield table.name
    for read in table.reads.values():
        yield from _events(read)


def _file(event: str, lines: list[bytes]) -> RawFile:
    text = igzip.compress(b"".join(lines), 1)
    return RawFile(f"sample/{event}.jsonl.gz", lambda: BytesIO(text))
