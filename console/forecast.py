"""What a task would do, before anything runs: what is reused, what is built and why, and about how much that is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from statistics import fmean

import luigi
from luigi.task import flatten

from console import reasons
from console.ancestry import older
from console.serving import not_served
from dsp_pipeline.receipts import Receipt
from dsp_pipeline.warehouse.base import Table
from tasks.plan import MISSING, NO_LOGS, Pending, steps, subject, time_of
from tasks.raw_log import listings
from tasks.receipt_task import ReceiptTask, StoreTask, TableTask
from tasks.s3_log_ingest import S3LogIngest
from tasks.settings import platform

REUSED, TO_BUILD, TO_SERVE, WAITS = "reused", "to build", "to serve", "waits for logs"
# Receipts of the past that an estimate is made from: of hours a whole day's, as there is less traffic at night.
_DAYS, _HOURS = 3, 24


@dataclass
class Group:
    """The days or hours of one task and state. `rows` and `read_bytes` are estimates for all of them together, None
    where nothing like it was ever made; `seconds` are those of one worker."""

    task: str
    subject: str
    state: str
    times: list[datetime | date] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    rows: int | None = None
    read_bytes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class _Past:
    """Means over what was made lately of the same thing."""

    rows: float
    size: float
    seconds: float


class Forecast:
    """The groups of everything below some tasks, in the order in which they would run."""

    def __init__(self, roots: Iterable[luigi.Task]) -> None:
        self.groups: list[Group] = []
        self._groups: dict[tuple[str, str, str], Group] = {}
        self._pasts: dict[str, _Past | None] = {}
        pending = Pending()
        roots = list(roots)
        for root in roots:
            pending.can_run(root)
        missing = {task.task_id: why for task, why in pending.found}
        for step in dict.fromkeys(step for root in roots for step in steps(root)):
            if step.task_id in missing and step.output().exists():
                self._add(step, TO_SERVE)
            elif step.task_id in missing:
                self._add(step, TO_BUILD if missing[step.task_id] == MISSING else WAITS)
            elif step.output().exists():
                self._add(step, REUSED)
        for task, why in pending.found:
            if why == NO_LOGS:
                self._group(task, WAITS).times.append(time_of(task))
        for group in self.groups:
            group.times.sort(key=str)

    @property
    def to_build(self) -> int:
        """How many steps would run."""
        return self._number(TO_BUILD)

    @property
    def to_serve(self) -> int:
        """How many bundles that are there would be served from then on."""
        return self._number(TO_SERVE)

    def _number(self, state: str) -> int:
        return sum(len(group.times) for group in self.groups if group.state == state)

    def _group(self, task: luigi.Task, state: str) -> Group:
        key = task.task_family, subject(task), state
        if key not in self._groups:
            self._groups[key] = Group(*key)
            self.groups.append(self._groups[key])
        return self._groups[key]

    def _add(self, task: ReceiptTask, state: str) -> None:
        group = self._group(task, state)
        if not group.times and state == TO_BUILD:
            group.why = reasons.news(platform(), task.version()) or ["not made yet"]
        elif not group.times and state in (REUSED, TO_SERVE):
            group.why = [why for why in (not_served(task),) if why]
        group.times.append(time_of(task))
        if state == TO_BUILD:
            past, read = self._past(task), self._read(task)
            if past is not None:
                group.rows = (group.rows or 0) + round(past.rows)
                group.seconds = (group.seconds or 0) + past.seconds
            if read is not None:
                group.read_bytes = (group.read_bytes or 0) + read

    def _read(self, task: ReceiptTask) -> int | None:
        """About how many bytes the task would read; None if one of its inputs was never made."""
        if isinstance(task, S3LogIngest):
            path = platform().source.layout(task.event).path
            return sum(stored.size for stored in listings().files(path, task.hour.replace(tzinfo=UTC)))
        total = 0.0
        for needed in flatten(task.requires()):
            receipt = needed.receipt()
            past = None if receipt else self._past(needed)
            if receipt is None and past is None:
                return None
            total += receipt.size if receipt else past.size if past else 0
        return round(total)

    def _past(self, task: ReceiptTask) -> _Past | None:
        name = f"{task.task_family} {subject(task)}"
        if name not in self._pasts:
            self._pasts[name] = _past(task)
        return self._pasts[name]


def _past(task: ReceiptTask) -> _Past | None:
    version = task.version()
    found = _lately(task, version.name)
    if not found:
        old = older(platform(), version)
        found = _lately(task, old.recorded.name) if old else []
    if not found:
        return None
    return _Past(
        fmean(receipt.rows for receipt in found),
        fmean(receipt.size for receipt in found),
        fmean(receipt.seconds for receipt in found),
    )


def _lately(task: ReceiptTask, version: str) -> list[Receipt]:
    """The newest receipts of the same thing made by a version."""
    one, sample = platform(), _HOURS if "hour" in task.param_kwargs else _DAYS
    if isinstance(task, TableTask):
        table = one.table(task.place()[0])
        kept = one.warehouse.receipts(Table(table.name, version, table.definition))
        return [kept[partition] for partition in sorted(kept)[-sample:]]
    assert isinstance(task, StoreTask)
    shelf = task.place()[0].replace(task.version().name, version)
    book = one.outputs.receipts
    return [book.read(address) for address in sorted(book.addresses(shelf))[-sample:]]
