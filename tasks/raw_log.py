"""An hour of raw logs, which somebody else delivers."""

from __future__ import annotations

import atexit
import logging
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import cache

import luigi
from luigi.task import MixinNaiveBulkComplete

from targets.raw_log import RawListings, RawLogTarget
from tasks.parameters import EventParameter, HourParameter
from tasks.settings import platform, refuse_before_first

log = logging.getLogger("dsp")


@cache
def listings() -> RawListings:
    return RawListings(platform().raw)


class RawLog(MixinNaiveBulkComplete, luigi.ExternalTask):
    """The raw files of one event and hour. They have arrived when a file matches the source's `arrival` or `path`."""

    event = EventParameter(positional=False, description="bid, win, impression, click or conversion")
    hour = HourParameter(description="the hour in UTC, as 2026-11-21T05")

    absent = False  # until it was looked at and found missing

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        refuse_before_first(self.hour.date())

    def complete(self) -> bool:
        there = bool(super().complete())
        self.absent = not there
        return there

    def output(self) -> RawLogTarget:
        layout = platform().source.layout(self.event)
        return RawLogTarget(listings(), layout.arrival, self.hour.replace(tzinfo=UTC))


_missing: dict[str, list[RawLog]] = defaultdict(list)


@RawLog.event_handler(luigi.Event.DEPENDENCY_MISSING)
def _note_missing(task: RawLog, *_: object) -> None:
    if not task.absent:
        return  # luigi says the same when it could not be looked at all, which has its own sentence
    if not _missing:
        atexit.register(_tell_missing)
    _missing[task.event].append(task)


def _tell_missing() -> None:
    """One sentence an event, however many hours are missing."""
    now = datetime.now(UTC).replace(tzinfo=None)
    for event, tasks in sorted(_missing.items()):
        ordered = sorted(tasks, key=lambda task: task.hour)
        first, last = ordered[0], ordered[-1]
        span = f"{first.hour:%Y-%m-%dT%H}" + (f" … {last.hour:%Y-%m-%dT%H}" if len(ordered) > 1 else "")
        cures = []
        if first.hour + timedelta(hours=1) <= now:
            cures.append(f"deliver {platform().settings.raw}/{first.output()} and the like")
        if last.hour + timedelta(hours=1) > now:
            cures.append(f"wait until the last of these hours is over, at {last.hour:%Y-%m-%d %H}:59 UTC")
        log.error(
            "not ready: %d %s not arrived (%s); %s, then run this again.",
            len(ordered),
            f"hours of {event} logs have" if len(ordered) > 1 else f"hour of {event} logs has",
            span,
            ", ".join(cures),
        )
