"""Where one task is tried: on what exists upstream or on a sample, in a folder that is gone afterwards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luigi

from console.printing import number, size
from dsp_pipeline.errors import DspError
from dsp_pipeline.platform import PACKAGE, Platform
from dsp_pipeline.warehouse.base import Slice
from tasks.plan import ranges, span
from tasks.receipt_task import ReceiptTask, table_index

if TYPE_CHECKING:
    from dsp_pipeline.events.decode import Decoder
    from dsp_pipeline.simulator.sample import Sample
    from dsp_pipeline.warehouse.memory import Memory

HISTORY = 2  # days of a sample before the asked one, so that trailing windows hold something
MOST_DAYS = 7  # of training on a sample
# Bytes of a value, where a warehouse does not say how large a partition is: about what BigQuery counts.
_BYTES = {"BOOL": 1, "INT64": 8, "FLOAT64": 8, "DATE": 8, "TIMESTAMP": 8, "STRING": 20}
_OTHER_BYTES = 80
_SPILT = 4  # bytes that may be written aside for each that may be read: a sort of what is packed in Parquet


@dataclass(frozen=True)
class Wish:
    """What a person wants beside the task: the sample although all is there, how many rows to see, how much to read."""

    sample: bool
    rows: int
    most_gb: float


@dataclass(frozen=True)
class Tried:
    """What came of it. `columns` have types, `first_rows` are as many as were wanted; `facts` only this task knows."""

    rows: int
    columns: Mapping[str, str] = field(default_factory=dict)
    first_rows: Sequence[Mapping[str, Any]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    key: tuple[str, ...] = ()


@dataclass
class Bench:
    """What a task is tried with. `used` says on what it ran, a line for each thing; `why` why that was a sample."""

    task: luigi.Task
    platform: Platform
    wish: Wish
    scratch: Path
    used: list[str] = field(default_factory=list)
    why: str = ""
    sampled: bool = False
    _open: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def memory(self) -> Memory:
        from dsp_pipeline.warehouse.memory import Memory

        spill = self.scratch / "spill"
        most = max(self.wish.most_gb, 1.0) * _SPILT * 1e9
        memory = Memory(**self._limits, spill=spill, most_spilt=round(most))
        self._open.callback(memory.close)
        return memory

    def lacks(self, slices: Sequence[Slice], outputs: Sequence[ReceiptTask] = ()) -> bool:
        """Whether a sample is to be used: it is wished for, or something is not there. Else it is noted what is.

        DspError if what is there is more than is wished for.
        """
        if self.wish.sample:
            return True
        lacking = []
        for slice_ in slices:
            index = table_index(slice_.table.name)
            missing = [partition for partition in slice_.partitions if not index.has(partition)]
            if missing:
                lacking.append(f"{slice_.table.name} {_spans(missing)}")
        lacking += [str(one) for one in outputs if one.receipt() is None]
        if lacking:
            self.why = f"Not there: {'; '.join(lacking)}."
            return True
        sizes = self._weighed(slices)
        for one in outputs:
            receipt = one.output().receipt()
            self.used.append(f"{receipt.address}: {number(receipt.rows)} rows, {size(receipt.size)}")
            sizes[receipt.address] = receipt.size
        self.refuse_above(sizes)
        return False

    def refuse_above(self, sizes: Mapping[str, int]) -> None:
        """DspError if to read all this is more than is wished for."""
        total, most = sum(sizes.values()), self.wish.most_gb * 1e9
        if total > most:
            parts = ", ".join(f"{name} {size(one)}" for name, one in sizes.items() if one)
            more = math.ceil(total / 1e8) / 10
            raise DspError(
                f"{self.task} would read {size(total)} ({parts}), more than --most-gb {self.wish.most_gb:g}; "
                f"try it on a sample (--sample), or allow that much (--most-gb {more:g})."
            )

    def sample(self, day: date, *, before: int = 0, after: int = 0) -> Sample:
        """Simulated days around the asked one."""
        from dsp_pipeline.simulator.sample import Sample, Span

        days = Span(day - timedelta(days=before), day + timedelta(days=after))
        folder = self.scratch / "sample"
        folder.mkdir()
        self.sampled = True
        return Sample(self.simulator.source, self.platform.catalog, days, self.simulator, self.memory, folder)

    @cached_property
    def simulator(self) -> Decoder:
        """Reads the simulator's lines, by the mapping that this project ships."""
        from dsp_pipeline.events.decode import Decoder
        from dsp_pipeline.events.source import load_source

        return Decoder(load_source(PACKAGE / "events" / "sources", "simulator"), **self._limits)

    def sample_used(self, sample: Sample) -> None:
        """Note what the sample held."""
        for event, rows in sample.rows.items():
            self.used.append(f"{event} {span(sample.span.first, sample.span.last)}: {number(rows)} simulated rows")

    @property
    def _limits(self) -> dict[str, int]:
        settings = self.platform.settings
        return {"memory_limit_mb": settings.memory_limit_mb, "threads": settings.threads}

    def _weighed(self, slices: Sequence[Slice]) -> dict[str, int]:
        """Bytes by table."""
        sizes: dict[str, int] = {}
        for slice_ in slices:
            index, name = table_index(slice_.table.name), slice_.table.name
            rows = size_ = unknown = 0
            for partition in slice_.partitions:
                receipt = index.get(partition)
                assert receipt is not None  # `lacks` has looked
                rows, size_ = rows + receipt.rows, size_ + receipt.size
                unknown += 0 if receipt.size else receipt.rows
            if unknown:  # what BigQuery has built
                types = self.memory.types(slice_.table).values()
                size_ += unknown * sum(_BYTES.get(one, _OTHER_BYTES) for one in types)
            sizes[name] = sizes.get(name, 0) + size_
            about = "about " if unknown else ""
            held = f"{number(rows)} rows, {about}{size(size_)}" if slice_.partitions else "before the first day of logs"
            self.used.append(f"{name} {_spans(slice_.partitions)}: {held}".replace(" :", ":"))
        return sizes


@contextmanager
def bench(task: luigi.Task, platform: Platform, wish: Wish) -> Iterator[Bench]:
    """A bench in a scratch folder; whatever happens, nothing of it stays."""
    with platform.scratch() as scratch, ExitStack() as opened:
        yield Bench(task, platform, wish, scratch, _open=opened)


def _spans(partitions: Sequence[str]) -> str:
    """`2026-11-21T00 … T23`: the first and last of each run without a gap."""
    hourly = any("T" in partition for partition in partitions)
    times = [datetime.strptime(one, "%Y-%m-%dT%H") if hourly else date.fromisoformat(one) for one in partitions]
    found = [span(*one) for one in ranges(times)]
    return ", ".join(found[:3]) + (" …" if found[3:] else "")
