"""How each kind of task is tried: the step itself, without what it would leave behind."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, timedelta
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import luigi

from console.bench import HISTORY, MOST_DAYS, Bench, Tried
from console.functions import try_function
from console.printing import number, size
from console.quality import try_check
from dsp_pipeline.errors import DspError, TooManyRejectsError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.training.trial import Days, Trial
from dsp_pipeline.warehouse.base import Slice, Table
from tasks.bigquery_load import BigQueryLoad
from tasks.check_data import CheckData
from tasks.export_model import ExportModel
from tasks.feature_build import FeatureBuild
from tasks.raw_log import RawLog
from tasks.receipt_task import ReceiptTask, lineage
from tasks.s3_log_ingest import S3LogIngest
from tasks.step import StepTask
from tasks.train_model import TrainModel

if TYPE_CHECKING:
    import pyarrow as pa

    from dsp_pipeline.events.decode import Decoded
    from dsp_pipeline.training.fit import Fitted, Rows
    from dsp_pipeline.warehouse.memory import Answer


def attempt(on: Bench) -> Tried:
    """Try the bench's task. DspError if it is none of the steps, or if it would fail."""
    task = on.task
    for kind, tried in _KINDS.items():
        if isinstance(task, kind):
            return tried(task, on)
    if isinstance(task, RawLog):
        raise DspError(f"{task} is delivered by somebody else; try S3LogIngest, which reads it.")
    if isinstance(task, ReceiptTask):
        raise DspError(
            f"{task.task_family} is a class, which cannot be tried; write it as a function, or `dsp rerun` it."
        )
    raise DspError(f"{task.task_family} is many tasks; name one of them, as `dsp plan {task.task_family}` lists them.")


def _table(task: FeatureBuild, on: Bench) -> Tried:
    answer = _answer(task, on)
    columns = dict(answer.columns)
    return Tried(answer.rows, columns, answer.head(on.wish.rows), key=on.platform.catalog.query(task.table).key)


def _answer(task: FeatureBuild, on: Bench) -> Answer:
    from dsp_pipeline.warehouse.memory import columns_read

    platform, name, day = on.platform, task.table, task.date
    query = platform.catalog.query(name)
    slices = {} if on.wish.sample else platform.slices(platform.table(name), day)
    if on.lacks(list(slices.values())):
        sample = on.sample(day, before=HISTORY, after=platform.catalog.days_after(name))
        answer = sample.answer(name, day)
        on.sample_used(sample)
        return answer
    for slice_ in slices.values():
        on.memory.hold(slice_.table, platform.warehouse.read(slice_, columns_read(query, slice_.table)))
    return on.memory.answer(platform.table(name), day, slices)


def _model(task: TrainModel, on: Bench) -> Tried:
    fitted = _fit(task, on)
    return Tried(fitted.rows, facts=fitted.report)


def _fit(task: TrainModel, on: Bench) -> Fitted:
    return task.fit(_rows(task, task.trial(), on), _made(on.scratch / "fit"))


def _rows(task: TrainModel, trial: Trial, on: Bench) -> Rows:
    """Those of the warehouse, or of a sample: days of fewer rows, cut at the same places."""
    days = task.days()
    if not on.lacks([Slice(trial.table, tuple(str(day) for day in days.all))]):
        return task.rows()
    from dsp_pipeline.training.fit import Rows

    name, most = trial.table.name, min(trial.experiment.train_days, MOST_DAYS)
    # One day more, so that the first of them has a past.
    sample = on.sample(task.date, before=most + 1, after=on.platform.catalog.days_after(name))
    days = Days.of([task.date - timedelta(days=back) for back in range(most, 0, -1)], task.date)
    answers = {day: sample.answer(name, day) for day in days.all}
    on.sample_used(sample)
    columns, sampling = trial.model.columns, trial.sampling

    def train() -> Iterator[pa.RecordBatch]:
        needed = list(dict.fromkeys((*columns, *(sampling.columns if sampling else ()))))
        for batch in chain.from_iterable(answers[day].batches(needed) for day in days.train):
            yield sampling.of(batch) if sampling else batch

    return Rows(
        train,
        partial(answers[days.validation].batches, columns) if days.validation else None,
        partial(answers[days.holdout].batches, trial.judged_columns),
        trial.table.key,
    )


def _bundle(task: ExportModel, on: Bench) -> Tried:
    training, outputs = task.training(), on.platform.outputs
    trained = None if on.wish.sample else training.receipt()
    if trained is None:
        fitted = _fit(training, on)
        upstream = {} if on.sampled else lineage(training.inputs())
        made = on.scratch / "fit"
        training.write(fitted, made, upstream, {})
        rows, open_ = fitted.rows, lambda name: (made / name).open("rb")
    else:
        on.used.append(f"{trained.address}: trained on {number(trained.rows)} rows")
        rows, open_ = trained.rows, partial(outputs.open, trained)
        upstream = lineage(task.inputs())
    folder = on.scratch / "bundle"
    task.write_bundle(folder, open_, upstream, lookups=not on.sampled)
    bundle, checks = task.checked(folder)
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    facts = {**bundle.metrics, "checks": checks, "files": files, "golden_rows": bundle.golden.num_rows}
    return Tried(rows, facts=facts)


def _ingest(task: S3LogIngest, on: Bench) -> Tried:
    decoded = _decoded(task, on)
    settings, facts = on.platform.settings, _told(decoded, on.wish.rows)
    try:
        decoded.refuse_above(settings.max_rejected_share)
    except TooManyRejectsError:
        facts["would_fail"] = (
            f"{decoded.rejected_share:.1%} of the lines were rejected, more than [dsp] max_rejected_share, "
            f"{settings.max_rejected_share:g}: the task would fail."
        )
    rows = _first_rows(decoded, on.wish.rows)
    return Tried(decoded.rows, _columns(task.event), rows, facts, (EVENTS[task.event].key,))


def _load(task: BigQueryLoad, on: Bench) -> Tried:
    from dsp_pipeline.warehouse.fit import fitted

    ingest, event, partition = task.requires(), EVENTS[task.event], f"{task.hour:%Y-%m-%dT%H}"
    ingested = None if on.wish.sample else ingest.receipt()
    if ingested is None:
        on.why = "" if on.wish.sample else f"Not there: {ingest}."
        decoded = _decoded_sample(ingest, on)
        rows, table = decoded.rows, Table(event.name, "sample", event)
        file: BinaryIO = decoded.events.open("rb")
    else:
        on.refuse_above({"its Parquet": ingested.size})
        on.used.append(f"{ingested.address}: {number(ingested.rows)} rows, {size(ingested.size)}")
        file, rows = on.platform.outputs.open(ingested, "events.parquet"), ingested.rows
        table = on.platform.table(event.name)
    first: list[dict[str, Any]] = []
    found = 0
    with file:
        for batch in fitted(table, partition, [file], rows):
            found += batch.num_rows
            first += batch.slice(0, on.wish.rows - len(first)).to_pylist()
    return Tried(found, _columns(event.name), first, key=table.key)


def _decoded(task: S3LogIngest, on: Bench) -> Decoded:
    """The hour's raw files as they lie there now, or a sample's."""
    platform, hour = on.platform, task.hour.replace(tzinfo=UTC)
    if on.wish.sample:
        return _decoded_sample(task, on)
    if not task.requires().complete():
        on.why = f"Not there: {platform.settings.raw}/{task.requires().output()} and the like."
        return _decoded_sample(task, on)
    found = platform.raw_files(task.event, hour)
    on.refuse_above({stored.key: stored.size for stored, _ in found})
    on.used += [f"{stored.key}: {size(stored.size)}" for stored, _ in found] or ["an hour without a file of this event"]
    return platform.decoder.decode(task.event, hour, [file for _, file in found], _made(on.scratch / "decoded"))


def _decoded_sample(task: S3LogIngest, on: Bench) -> Decoded:
    sample, hour = on.sample(task.hour.date()), task.hour.replace(tzinfo=UTC)
    file = sample.lines(task.event, hour)
    decoded = on.simulator.decode(task.event, hour, [file], _made(on.scratch / "decoded"))
    on.used.append(f"{task.event} {task.hour:%Y-%m-%dT%H}: {number(decoded.lines)} simulated lines")
    return decoded


def _told(decoded: Decoded, rows: int) -> dict[str, Any]:
    rejects: list[Any] = []
    if decoded.quarantine:
        with gzip.open(decoded.quarantine, "rt", encoding="utf-8") as lines:
            rejects = [json.loads(line) for line in islice(lines, rows)]
    return {
        "lines": decoded.lines,
        "duplicates": decoded.duplicates,
        "rejected": dict(decoded.rejected),
        "first_rejects": rejects,
    }


def _first_rows(decoded: Decoded, rows: int) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(decoded.events) as file:
        return [row for batch in islice(file.iter_batches(max(rows, 1)), 1) for row in batch.to_pylist()[:rows]]


def _columns(event: str) -> dict[str, str]:
    from dsp_pipeline.warehouse.nothing import TYPES

    return {column.name: TYPES[column.type] for column in EVENTS[event].columns}


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


# A kind of task that can be tried has its function here.
_KINDS: Mapping[type[luigi.Task], Callable[[Any, Bench], Tried]] = {
    S3LogIngest: _ingest,
    BigQueryLoad: _load,
    CheckData: try_check,
    FeatureBuild: _table,
    TrainModel: _model,
    ExportModel: _bundle,
    StepTask: try_function,
}
