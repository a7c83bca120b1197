"""How a function step is tried: the function is called with what it would be given, and what it gives is looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.bench import HISTORY, Bench, Tried
from dsp_pipeline.warehouse.base import Slice
from tasks import values
from tasks.signature import STREAM
from tasks.step import Step, StepTask, steps

if TYPE_CHECKING:
    from dsp_pipeline.simulator.sample import Sample


def try_function(task: StepTask, on: Bench) -> Tried:
    """Call the step's function on what exists, or on a sample."""
    step = task.step
    parameters = {one.name: getattr(task, one.name) for one in step.signature.parameters}
    below = [one for one in task.requires() if isinstance(one, StepTask)]
    slices = {} if on.wish.sample else _slices(task, below, on)
    if on.lacks(list(slices.values()), below):
        simulated = _Simulated(step, task.date, on)
        file, rows = simulated.run(step, parameters)
        on.sample_used(simulated.sample)
    else:
        given = _existing(task, slices, below, on)
        file, rows = _called(step, {**given, **parameters}, on.scratch / "step")
    return _seen(file, rows, on.wish.rows)


def _slices(task: StepTask, below: Sequence[StepTask], on: Bench) -> dict[str, Slice]:
    """What the names of events and tables stand for, cut at the first day of logs."""
    platform, names, found = on.platform, {one.step.name for one in below}, {}
    for read in task.step.reads:
        if read.table not in names:
            table = platform.table(read.table)
            days = platform.days(task.date + timedelta(days=read.first), task.date + timedelta(days=read.last))
            found[read.table] = Slice(table, tuple(part for day in days for part in platform.partitions(table, day)))
    return found


def _existing(task: StepTask, slices: Mapping[str, Slice], below: Sequence[StepTask], on: Bench) -> dict[str, Any]:
    """The data of each read in the form of its argument."""
    warehouse, outputs, kinds, given = on.platform.warehouse, on.platform.outputs, _kinds(task.step), {}
    for read in task.step.reads:
        name, kind = read.table, kinds[read.table]
        if name in slices:
            given[name] = (values.stream if kind == STREAM else values.whole)(warehouse, slices[name])
            continue
        mine = [one for one in below if one.step.name == name]
        receipts = [one.output().receipt() for one in mine]
        if not mine or not mine[0].step.returns_rows:
            by_day = {one.date: values.kept_value(outputs, kept) for one, kept in zip(mine, receipts, strict=True)}
            given[name] = by_day if read.first < read.last else by_day[task.date + timedelta(days=read.first)]
        elif kind == STREAM:
            given[name] = values.kept_stream(outputs, receipts)
        else:
            given[name] = values.kept_whole(outputs, receipts, task.step.wrong)
    return given


class _Simulated:
    """A step, and the steps that it reads, on one sample. What they give goes through the same files as ever."""

    def __init__(self, step: Step, day: date, on: Bench) -> None:
        self._folder, self._outputs = on.scratch, 0
        self._kept: dict[tuple[str, date], Path] = {}
        self.sample: Sample = on.sample(day, before=HISTORY, after=_days_after(step, on))

    def run(self, step: Step, parameters: Mapping[str, Any]) -> tuple[Path, int]:
        """The file of what the function gives for these parameters, and its number of rows."""
        day, kinds, given = parameters["date"], _kinds(step), {}
        for read in step.reads:
            first, last = day + timedelta(days=read.first), day + timedelta(days=read.last)
            if (other := steps().get(read.table)) is not None:
                files = {one: self._file(other, one) for one in self.sample.span.within(first, last)}
                given[read.table] = _read_back(files, kinds[read.table], several=read.first < read.last)
            else:
                rows = self.sample.read(read.table, first, last)
                given[read.table] = iter(rows) if kinds[read.table] == STREAM else rows.read_all()
        self._outputs += 1
        return _called(step, {**given, **parameters}, self._folder / f"step-{self._outputs}")

    def _file(self, step: Step, day: date) -> Path:
        """Made once a day, with the defaults of its parameters."""
        if (step.name, day) not in self._kept:
            defaults = {one.name: one.default for one in step.signature.parameters}
            self._kept[step.name, day], _ = self.run(step, {**defaults, "date": day})
        return self._kept[step.name, day]


def _days_after(step: Step, on: Bench) -> int:
    """How many days after its own the step reads, itself or through what it reads."""
    found = [0]
    for read in step.reads:
        other = steps().get(read.table)
        below = on.platform.catalog.days_after(read.table) if other is None else _days_after(other, on)
        found.append(read.last + below)
    return max(found)


def _kinds(step: Step) -> dict[str, str]:
    return {one.name: one.kind for one in step.signature.inputs}


def _called(step: Step, given: Mapping[str, Any], folder: Path) -> tuple[Path, int]:
    folder.mkdir()
    return values.write(step.function(**given), step.signature.returns, folder, step.wrong)


def _read_back(files: Mapping[date, Path], kind: str, *, several: bool) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if any(path.name == values.ROWS for path in files.values()):
        tables = [pq.read_table(path) for path in files.values()]
        if kind == STREAM:
            return (batch for one in tables for batch in one.to_batches())
        return pa.concat_tables(tables, promote_options="default")
    by_day = {day: json.loads(path.read_text()) for day, path in files.items()}
    return by_day if several else by_day.popitem()[1]


def _seen(file: Path, rows: int, wanted: int) -> Tried:
    if file.name != values.ROWS:
        return Tried(rows, facts={"value": json.loads(file.read_text())})
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        columns = {column.name: str(column.type) for column in parquet.schema_arrow}
        first = [row for batch in islice(parquet.iter_batches(max(wanted, 1)), 1) for row in batch.to_pylist()]
    return Tried(rows, columns, first[:wanted])
