"""Take in what changed after it was used: late raw files, and everything that was made without them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import luigi

from tasks.daily_pipeline import DailyPipeline
from tasks.parameters import DayParameter
from tasks.receipt_task import ReceiptTask

log = logging.getLogger("dsp")


def stale(task: ReceiptTask) -> bool:
    """Whether the output is complete but was made from something else than what is there now.

    Raw files that are gone (a retention rule, a disk that is not mounted) make nothing stale: what was made from
    them is all that is left of them.
    """
    receipt = task.receipt()
    if receipt is None:
        return False
    now = task.inputs()
    gone = {given.name for given in receipt.inputs} - {given.name for given in now}
    if gone:
        log.warning(
            "%s was made from %s, which is not there any more; it stays as it is", task, ", ".join(sorted(gone))
        )
        return False
    return set(receipt.inputs) != set(now)


def steps(root: luigi.Task) -> Iterator[ReceiptTask]:
    """All steps below a task, each after those that it needs."""
    seen: set[str] = set()
    ahead = [(root, False)]
    while ahead:
        task, known = ahead.pop()
        if known:
            if isinstance(task, ReceiptTask):
                yield task
        elif task.task_id not in seen:
            seen.add(task.task_id)
            ahead.append((task, True))
            ahead.extend((needed, False) for needed in luigi.task.flatten(task.requires()))


class Restate(luigi.Task):
    """Makes anew, of what DailyPipeline of the day stands on, just what raw files that came or changed later touch.

    Each output's old attempt counts until its new one is whole.
    """

    date = DayParameter(description="the day, as 2026-11-21")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        DailyPipeline(date=self.date)  # which looks at the settings and the team's files

    def complete(self) -> bool:
        return not any(stale(step) for step in steps(DailyPipeline(date=self.date)))

    def run(self) -> None:
        for step in steps(DailyPipeline(date=self.date)):
            if stale(step):
                log.info("%s was made from other inputs than are there now", step)
                step.run(replace=True)
