"""Take in what changed after it was used: late raw files, and everything that was made without them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, date, datetime

import luigi
from luigi.task import flatten

from dsp_pipeline.errors import UnknownNameError
from dsp_pipeline.training.experiment import find_experiments, load_experiment
from tasks.bigquery_load import BigQueryLoad
from tasks.changes import changes, stale
from tasks.days import DaysTask
from tasks.export_model import ExportModel
from tasks.feature_build import FeatureBuild
from tasks.plan import Planned, count, lines, tell
from tasks.receipt_task import ReceiptTask, table_index
from tasks.s3_log_ingest import S3LogIngest
from tasks.settings import platform

log = logging.getLogger("dsp")
_POINTER = "without its pointer"  # a bundle whose run was killed between its receipt and the pointer


def standing_on(ingests: Iterable[S3LogIngest]) -> list[ReceiptTask]:
    """These ingests and all that stands on them by today's definitions, where complete; each after what it needs."""
    hours = [step for one in ingests for step in (one, BigQueryLoad(event=one.event, hour=one.hour))]
    complete: list[ReceiptTask] = [step for step in hours if step.output().exists()]
    partitions = {step.place() for step in complete if isinstance(step, BigQueryLoad)}
    return [*complete, *_built_from(partitions), *_trained_on(partitions)]


def _built_from(partitions: set[tuple[str, str]]) -> list[FeatureBuild]:
    """The days of tables that read one of these (table, partition); they are added."""
    one = platform()
    found: list[FeatureBuild] = []
    for name in _tables_in_order():
        for day in _days():
            if not table_index(name).has(day.isoformat()):
                continue
            slices = one.slices(one.table(name), day)
            if any((read, partition) in partitions for read, cut in slices.items() for partition in cut.partitions):
                found.append(FeatureBuild(table=name, date=day))
                partitions.add(found[-1].place())
    return found


def _trained_on(partitions: set[tuple[str, str]]) -> list[ReceiptTask]:
    """The models that learned from, or were judged on, one of these, and their bundles."""
    folder = platform().package / "experiments"
    found: list[ReceiptTask] = []
    for experiment in (load_experiment(folder, name) for name in find_experiments(folder)):
        for arm in experiment.arms:
            for day in _days()[1:]:  # there is nothing to learn from before the first
                export = ExportModel(experiment=experiment.name, arm=arm, date=day)
                train = export.requires()
                if train.output().exists() and any(needed.place() in partitions for needed in train.requires()):
                    found += [train, export] if export.output().exists() else [train]
    return found


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


def plan(ingests: Iterable[S3LogIngest]) -> list[Planned]:
    """What Restate would make anew, and why; at most this: what comes out as it was changes nothing further."""
    planned: dict[str, Planned] = {}
    for step in standing_on(ingests):
        found = changes(step)
        if found is not None and found.stale:
            planned[step.task_id] = (step, "made from other inputs than are there now")
        elif found is None and any(needed.task_id in planned for needed in flatten(step.requires())):
            planned[step.task_id] = (step, "standing on what is made anew")
        elif not step.complete():
            planned[step.task_id] = (step, _POINTER)
    return list(planned.values())


class Restate(DaysTask):
    """Takes in raw files of some days that came or changed after they were ingested, and makes anew all that stands on
    them, of whatever day: loads, tables, models, bundles, pointers. Nothing else is touched.

    Each output's old attempt counts until its new one is whole, so a run that was killed is ended by another.
    """

    dry_run = luigi.BoolParameter(description="print what would run and why, and run nothing")

    def complete(self) -> bool:
        """A dry run is done by looking, so it is told where it was asked for, whoever works for luigid."""
        if self.dry_run:
            planned = plan(self.ingests())
            total = f"{count(len(planned), 'step')} would run." if planned else "Nothing to restate."
            tell([*lines(planned), total])
            return True
        return not [step for step in standing_on(self.ingests()) if stale(step) or not step.complete()]

    def run(self) -> None:
        for step in standing_on(self.ingests()):
            if stale(step):
                log.info("%s was made from other inputs than are there now", step)
                step.run(replace=True)
            elif not step.complete():
                log.info("%s is %s", step, _POINTER)
                step.run()
