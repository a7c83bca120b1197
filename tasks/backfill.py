"""A range of days brought up to date: what of it is not there is made, and nothing else."""

from __future__ import annotations

import atexit
import logging
from datetime import date
from functools import cached_property
from typing import NamedTuple

import luigi

from dsp_pipeline.errors import SettingsError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.warehouse.base import Table
from tasks.days import DaysTask
from tasks.feature_build import upstream
from tasks.plan import Pending, count, lines, tell
from tasks.receipt_task import table_index
from tasks.settings import platform

log = logging.getLogger("dsp")


class _Plan(NamedTuple):
    """This run: what is handed to luigi, what that makes, and the days of each kind."""

    tasks: list[luigi.Task]
    pending: Pending
    taken: int
    waiting: int
    left: int


class Backfill(DaysTask, luigi.WrapperTask):
    """Loads every hour of every event, and builds every day of the tables, that has no receipt in a range of days.

    A range that is complete is found so by one query a table. Days whose logs changed later are for Restate.
    """

    tables = luigi.Parameter(
        default="experiments",
        description="tables to build for each day, as click_rate,campaign_daily; `experiments`: those that the models "
        "of all experiments read, and all that these read; `none`: only load the events",
    )
    limit = luigi.IntParameter(
        default=31,
        description="days of one run, the oldest first; days that only wait for logs do not count. The same command "
        "again takes the next",
    )
    dry_run = luigi.BoolParameter(description="print what would run and why, and run nothing")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        if self.limit < 1:
            raise SettingsError(f"--limit is {self.limit}; it is at least 1.")
        self._tables()  # which looks at the team's files

    def requires(self) -> list[luigi.Task]:
        return self._plan.tasks

    def complete(self) -> bool:
        """A dry run is done by looking, so it is told where it was asked for, whoever works for luigid."""
        if self.dry_run:
            tell(self._told())
            return True
        return bool(super().complete())

    @cached_property
    def _plan(self) -> _Plan:
        """The oldest days with something to make; and no more of those that wait, so that lost logs stop nobody."""
        pending = Pending()
        taken: list[luigi.Task] = []
        waiting: list[luigi.Task] = []
        days = {"taken": 0, "waiting": 0, "left": 0}
        for places in self._holes().values():
            if days["taken"] == self.limit:
                days["left"] += 1
                continue
            tasks = [upstream(table, partition) for table, partition in places]
            can_run = [pending.can_run(task) for task in tasks]
            kind = "taken" if any(can_run) else "waiting"
            days[kind] += 1
            if kind == "taken":
                taken += tasks
            elif days["waiting"] <= self.limit:
                waiting += tasks
        if days["left"] and not self.dry_run:
            atexit.register(log.info, _left(days["left"]))
        return _Plan(taken + waiting, pending, **days)

    def _told(self) -> list[str]:
        plan = self._plan
        if not plan.tasks:
            return [f"Nothing to do: nothing is missing in {count(len(self.days), 'day')}."]
        told = [
            *lines(plan.pending.found),
            f"{count(plan.pending.steps, 'step')} of {count(plan.taken, 'day')} would run.",
        ]
        if plan.waiting:
            told.append(f"{count(plan.waiting, 'day')} behind logs that have not arrived.")
        return [*told, _left(plan.left)] if plan.left else told

    def _holes(self) -> dict[date, list[tuple[str, str]]]:
        """The tables and partitions without a receipt, by day, the oldest first."""
        one = platform()
        tables = [one.table(name) for name in [*one.source.events, *self._tables()]]
        found = {
            day: [
                (table.name, partition)
                for table in tables
                for partition in one.partitions(table, day)
                if not table_index(table.name).has(partition)
            ]
            for day in self.days
        }
        return {day: places for day, places in found.items() if places}

    def _tables(self) -> list[str]:
        one, chosen = platform(), self.tables.strip()
        if chosen in ("", "none"):
            return []
        if chosen == "experiments":
            arms = [(experiment.name, arm) for experiment in one.experiments() for arm in experiment.arms]
            tables = [one.trial(*arm).table for arm in arms]
            return list(dict.fromkeys(name for table in tables for name in _below(table)))
        names = [name.strip() for name in chosen.split(",")]
        for name in names:
            if name in EVENTS:
                raise SettingsError(f"--tables names the event {name}, and events are loaded anyway; leave it out.")
            one.table(name)
        return list(dict.fromkeys(names))


def _below(table: Table) -> list[str]:
    """The query tables that a table reads, however far down, and itself."""
    return [name for read in table.reads.values() if read.name not in EVENTS for name in _below(read)] + [table.name]


def _left(days: int) -> str:
    return f"{days:,} more {'days are' if days > 1 else 'day is'} not complete; the same command goes on."
