"""How each kind of task is tried: the step itself, without what it would leave behind."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from datetime import UTC, timedelta
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import luigi

from console.bench import HISTORY, MOST_DAYS, Bench, Tried
from console.functions import try_function
from console.printing import number, size
from dsp_pipeline.errors import DspError, TooManyRejectsError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.training.trial import SEED, Trial
from dsp_pipeline.warehouse.base import Slice, Table
from tasks.bigquery_load import BigQueryLoad
from tasks.export_model import ExportModel
from tasks.feature_build import FeatureBuild
from tasks.raw_log import RawLog
from tasks.receipt_task import lineage
from tasks.s3_log_ingest import S3LogIngest
from tasks.step import StepTask
from tasks.train_model import TrainModel

if TYPE_CHECKING:
    from dsp_pipeline.events.decode import Decoded
    from dsp_pipeline.training.fit import Batches, Fitted
    from dsp_pipeline.warehouse.memory import Answer


def attempt(on: Bench) -> Tried:
    """Try the bench's task. DspError if it is none of the steps, or if it would fail."""
    task = on.task
    for kind, tried in _KINDS.items():
        if isinstance(task, kind):
            return tried(task, on)
    if isinstance(task, RawLog):
        raise DspError(f"{task} is delivered by somebody else; try S3LogIngest, which reads it.")
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
        from dsp_pipeline.simulator.sample import days_after

        sample = on.sample(day, before=HISTORY, after=days_after(platform.catalog, name))
        answer = sample.answer(name, day)
        on.sample_used(sample)
        return answer
    for slice_ in slices.values():
        on.memory.hold(slice_.table, platform.warehouse.read(slice_, columns_read(query, slice_.table)))
    return on.memory.answer(platform.table(name), day, slices)


def _model(task: TrainModel, on: Bench) -> Tried:
    fitted = _fit(task, on)
    facts = {"trees": task.trial().rounds, **fitted.report()}
    return Tried(fitted.rows, facts=facts)


def _fit(task: TrainModel, on: Bench) -> Fitted:
    from dsp_pipeline.training.fit import fit

    trial = task.trial()
    train, holdout = _days(task, trial, on)
    return fit(
        trial.model,
        trial.parameters,
        trial.rounds,
        train,
        holdout,
        threads=on.platform.settings.threads,
        seed=SEED,
        scratch=on.scratch / "fit",
    )


def _days(task: TrainModel, trial: Trial, on: Bench) -> tuple[Batches, Batches]:
    """The rows to train on, and those of the held-out day."""
    read, columns = on.platform.warehouse.read, trial.model.columns
    days = sorted(build.date for build in task.requires())
    train = Slice(trial.table, tuple(str(day) for day in days if day < task.date))
    holdout = Slice(trial.table, (str(task.date),))
    if not on.lacks([Slice(trial.table, train.partitions + holdout.partitions)]):
        return partial(read, train, columns), partial(read, holdout, columns)
    from dsp_pipeline.simulator.sample import days_after

    name, before = trial.table.name, min(trial.experiment.train_days, MOST_DAYS)
    # One day more, so that the first of them has a past.
    sample = on.sample(task.date, before=before + 1, after=days_after(on.platform.catalog, name))
    answers = [sample.answer(name, task.date - timedelta(days=back)) for back in range(before, -1, -1)]
    on.sample_used(sample)
    return (
        lambda: chain.from_iterable(answer.batches(columns) for answer in answers[:-1]),
        lambda: answers[-1].batches(columns),
    )


def _bundle(task: ExportModel, on: Bench) -> Tried:
    import pyarrow.parquet as pq

    from dsp_pipeline.registry.bundle import load_bundle, write_bundle
    from dsp_pipeline.registry.manifest import Identity

    training, outputs = task.requires(), on.platform.outputs
    trial, trained = training.trial(), None if on.wish.sample else training.receipt()
    upstream: Mapping[str, Any] = {}
    if trained is None:
        fitted = _fit(training, on)
        rows, model, report, golden = fitted.rows, fitted.model_bytes(), fitted.report(), fitted.golden
        if not on.sampled:
            upstream = lineage(training.inputs())
    else:
        on.used.append(f"{trained.address}: trained on {number(trained.rows)} rows")
        with (
            outputs.open(trained, "model.ubj") as trees,
            outputs.open(trained, "report.json") as told,
            outputs.open(trained, "golden.parquet") as kept,
        ):
            rows, model, report, golden = trained.rows, trees.read(), json.load(told), pq.read_table(kept)
        upstream = lineage([trained.as_input()])
    folder = on.scratch / "bundle"
    write_bundle(
        folder,
        Identity(trial.model.name, task.experiment, task.arm, trial.version.name, task.date),
        model=model,
        features=trial.model.contract(trial.table.version),
        metrics=report,
        lineage=upstream,
        golden=golden,
    )
    load_bundle(folder)  # scores its golden rows again
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return Tried(rows, facts={"trees": trial.rounds, **report, "files": files, "golden_rows": golden.num_rows})


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
    FeatureBuild: _table,
    TrainModel: _model,
    ExportModel: _bundle,
    StepTask: try_function,
}
