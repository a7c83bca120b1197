"""What would run and why: walks of the graph, and the lines in which a person reads them before anything runs."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Any

import luigi
from luigi.task import flatten

from tasks.raw_log import RawLog
from tasks.receipt_task import ReceiptTask

# A task and why it stands in the plan, in words that follow "3 hours" and "1 day" alike.
Planned = tuple[luigi.Task, str]
MISSING, NO_LOGS, WAITS = "without a receipt", "without logs", "behind logs that have not arrived"


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
            ahead.extend((needed, False) for needed in flatten(task.requires()))


class Pending:
    """What is not complete of some tasks and below them. Below what is complete nothing is looked at, as in luigi."""

    def __init__(self) -> None:
        self.found: list[Planned] = []  # each after those that it needs
        self.there: list[luigi.Task] = []  # complete, and so where the looking ended
        self._can_run: dict[str, bool] = {}

    def can_run(self, task: luigi.Task) -> bool:
        """Whether the task is complete, or can be made from the logs that have arrived."""
        if task.task_id not in self._can_run:
            complete = task.complete()
            if complete:
                self.there.append(task)
            self._can_run[task.task_id] = complete or self._ready(task)
        return self._can_run[task.task_id]

    def _ready(self, task: luigi.Task) -> bool:
        if isinstance(task, RawLog):
            self.found.append((task, NO_LOGS))
            return False
        needed = [self.can_run(one) for one in flatten(task.requires())]
        ready = all(needed)
        self.found.append((task, MISSING if ready else WAITS))
        return ready

    @property
    def steps(self) -> int:
        """How many steps would run."""
        return sum(why == MISSING for _, why in self.found)


def lines(planned: Iterable[Planned]) -> list[str]:
    """`BigQueryLoad click 2026-03-04T05 … T07: 3 hours without a receipt`, a line for each step, reason and range."""
    groups: dict[tuple[str, str], list[datetime | date]] = defaultdict(list)
    for task, why in planned:
        groups[" ".join([task.task_family, subject(task)]), why].append(time_of(task))
    return [
        f"{name} {span(first, last)}: {_length(first, last)} {why}"
        for (name, why), times in groups.items()
        for first, last in ranges(times)
    ]


def subject(task: luigi.Task) -> str:
    """What the task is about, as `click` or `click_rate_baseline/control`: its parameters but the day or hour."""
    return "/".join(str(value) for name, value in task.param_kwargs.items() if name not in ("date", "hour"))


def time_of(task: luigi.Task) -> datetime | date:
    """The hour or the day that the task is of."""
    given: datetime | date = task.param_kwargs.get("hour") or task.param_kwargs["date"]
    return given


def tell(told: Iterable[str]) -> None:
    """On standard output, where a person or a pipe reads answers; what happens meanwhile goes to standard error."""
    sys.stdout.write("\n".join(told) + "\n")
    sys.stdout.flush()


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def ranges(times: Iterable[Any]) -> list[tuple[Any, Any]]:
    """The first and the last of each run without a gap, of hours or of days."""
    found: list[tuple[Any, Any]] = []
    for at in sorted(times):
        if found and at - _unit(at) == found[-1][1]:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def _unit(at: datetime | date) -> timedelta:
    return timedelta(hours=1) if isinstance(at, datetime) else timedelta(days=1)


def span(first: Any, last: Any) -> str:
    """`2026-11-21T05`, `2026-11-21T05 … T07` or `2026-11-14 … 2026-11-20`."""
    form = "%Y-%m-%dT%H" if isinstance(first, datetime) else "%Y-%m-%d"
    if first == last:
        return f"{first:{form}}"
    if isinstance(first, datetime) and first.date() == last.date():
        return f"{first:{form}} … T{last:%H}"
    return f"{first:{form}} … {last:{form}}"


def _length(first: Any, last: Any) -> str:
    number = (last - first) // _unit(first) + 1
    return count(number, "hour" if isinstance(first, datetime) else "day")
