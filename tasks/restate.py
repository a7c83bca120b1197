"""Take in what changed after it was used: late raw files, and everything that was made without them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import luigi
from luigi.task import flatten

from tasks.changes import changes, stale
from tasks.check_data import CheckData
from tasks.days import DaysTask
from tasks.downstream import standing_on
from tasks.plan import Planned, count, lines, tell
from tasks.receipt_task import ReceiptTask
from tasks.s3_log_ingest import S3LogIngest

log = logging.getLogger("dsp")
_POINTER = "without its pointer"  # a bundle whose run was killed between its receipt and the pointer
_UNCHECKED = "not checked with what is there now"


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
            planned[step.task_id] = (step, _lacks(step))
    return list(planned.values())


class Restate(DaysTask):
    """Takes in raw files of some days that came or changed after they were ingested, and makes anew all that stands on
    them, of whatever day: loads, tables, models, bundles, pointers. What is new is checked before anything is built on
    it. Nothing else is touched.

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
                for needed in flatten(step.requires()):
                    if isinstance(needed, CheckData) and not needed.complete():
                        needed.run()  # declared since the step was made, so it does not stand on what is late
                step.run(replace=True)
            elif not step.complete():
                log.info("%s is %s", step, _lacks(step))
                step.run()


def _lacks(step: ReceiptTask) -> str:
    """What a step is not complete for, although it stands on what is there."""
    return _UNCHECKED if isinstance(step, CheckData) else _POINTER
