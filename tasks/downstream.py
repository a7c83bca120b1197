"""What stands on an output by today's definitions: loads, checks, tables, models, bundles and steps."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from luigi.task import flatten

from dsp_pipeline.errors import UnknownNameError
from tasks.bigquery_load import BigQueryLoad
from tasks.check_data import CheckData
from tasks.export_model import ExportModel
from tasks.feature_build import FeatureBuild
from tasks.receipt_task import ReceiptTask, TableTask, table_index
from tasks.s3_log_ingest import S3LogIngest
from tasks.settings import platform
from tasks.step import Step, StepTask, steps
from tasks.train_model import TrainModel


def standing_on(first: Iterable[ReceiptTask]) -> list[ReceiptTask]:
    """These and all that stands on them, where complete; each after what it needs."""
    found: list[ReceiptTask] = []
    for step in first:
        found.append(step)
        if isinstance(step, S3LogIngest):
            found.append(BigQueryLoad(event=step.event, hour=step.hour))
        elif isinstance(step, TrainModel):
            found.append(ExportModel(experiment=step.experiment, arm=step.arm, date=step.date))
    found = [step for step in found if step.output().exists()]
    partitions = {step.place() for step in found if isinstance(step, TableTask)}
    if partitions:
        found += [*_checked(platform().source.events, partitions), *_built_from(partitions), *_trained_on(partitions)]
    return [*found, *_steps_on({one.output().address for one in found})]


def _checked(names: Iterable[str], partitions: set[tuple[str, str]]) -> list[CheckData]:
    """The checks that these events or tables passed and that looked at one of these (table, partition)."""
    touched = {(name, partition[:10]) for name, partition in partitions}
    found: list[CheckData] = []
    for name in names:
        declared = platform().checks.of(name)
        windows = (
            [(read.table, n) for read in declared.reads for n in range(read.first, read.last + 1)] if declared else []
        )
        for day in _days() if windows else ():
            if not touched.isdisjoint((read, str(day + timedelta(days=n))) for read, n in windows):
                found.append(CheckData(table=name, date=day))
    return [check for check in found if check.was_checked()]


def _built_from(partitions: set[tuple[str, str]]) -> list[ReceiptTask]:
    """The days of tables that read one of these (table, partition), each table with its checks; they are added."""
    one = platform()
    found: list[ReceiptTask] = []
    for name in _tables_in_order():
        for day in _days():
            if not table_index(name).has(day.isoformat()):
                continue
            slices = one.slices(one.table(name), day)
            if any((read, partition) in partitions for read, cut in slices.items() for partition in cut.partitions):
                build = FeatureBuild(table=name, date=day)
                found.append(build)
                partitions.add(build.place())
        found += _checked([name], partitions)
    return found


def _trained_on(partitions: set[tuple[str, str]]) -> list[ReceiptTask]:
    """The models that learned from, or were judged on, one of these, and their bundles."""
    found: list[ReceiptTask] = []
    for experiment in platform().experiments():
        for arm in experiment.arms:
            for day in _days()[1:]:  # there is nothing to learn from before the first
                export = ExportModel(experiment=experiment.name, arm=arm, date=day)
                train = export.training()
                if train.output().exists() and any(built.place() in partitions for built in train.builds()):
                    found += [train, export] if export.output().exists() else [train]
    return found


def _steps_on(addresses: set[str]) -> list[StepTask]:
    """The outputs of steps, with whatever parameters, that read one of these or of each other, as they need it."""
    found: list[StepTask] = []
    ahead = [task for one in steps().values() for task in _kept(one)]
    while True:
        reading = [task for task in ahead if not addresses.isdisjoint(_read_by(task))]
        if not reading:
            return found
        found += reading
        addresses |= {task.output().address for task in reading}
        ahead = [task for task in ahead if task not in reading]


def _kept(step: Step) -> list[StepTask]:
    """The outputs that the step has, by its present version."""
    try:
        shelf = f"step/{step.name}/{step.version().name}/"
    except UnknownNameError:
        return []  # it reads a table that this package, or an event that this source, does not have
    kept = platform().outputs.receipts.read_all(shelf)
    return [step.task(date=_day(address), **receipt.details["parameters"]) for address, receipt in kept.items()]


def _day(address: str) -> date:
    return date.fromisoformat(address.rpartition("/")[2][:10])


def _read_by(task: StepTask) -> set[str]:
    return {needed.output().address for needed in flatten(task.requires())}


def _tables_in_order() -> list[str]:
    """The tables that this source's events allow, each after those that it reads."""
    one = platform()
    found: list[str] = []

    def add(name: str) -> None:
        for read in one.catalog.query(name).reads:
            if read.table in one.catalog.tables():
                add(read.table)
        if name not in found:
            found.append(name)

    for name in one.catalog.tables():
        try:
            one.table(name)
        except UnknownNameError:
            continue  # it reads an event that the source does not have
        add(name)
    return found


def _days() -> list[date]:
    return platform().days(platform().settings.first_date, datetime.now(UTC).date())
