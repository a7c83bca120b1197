"""An hour of raw logs, which somebody else delivers."""

from __future__ import annotations

import atexit
import logging
from collections import defaultdict
from datetime import UTC, datetime
from functools import cache

import luigi

from targets.raw_log import RawListings, RawLogTarget
from tasks.parameters import EventParameter, HourParameter
from tasks.settings import platform

log = logging.getLogger("dsp")


@cache
def _listings() -> RawListings:
    return RawListings(platform().raw)


class RawLog(luigi.ExternalTask):
    """The raw files of one event and hour. They have arrived when a file matches the source's `arrival` or `path`."""

    event = EventParameter(positional=False, description="bid, win, impression, click or conversion")
    hour = HourParameter(description="the hour in UTC, as 2026-11-21T05")

    def output(self) -> RawLogTarget:
        layout = platform().source.layout(self.event)
        return RawLogTarget(_listings(), layout.arrival, self.hour.replace(tzinfo=UTC))


_missing: dict[str, list[RawLog]] = defaultdict(list)


@RawLog.event_handler(luigi.Event.DEPENDENCY_MISSING)
def _note_missing(task: RawLog, *_: object) -> None:
    if not _missing:
        atexit.register(_tell_missing)
    _missing[task.event].append(task)


def _tell_missing() -> None:
    """One sentence an event, however many hours are missing."""
    now = datetime.now(UTC).replace(tzinfo=None)
    for event, tasks in sorted(_missing.items()):
        hours = sorted(task.hour for task in tasks)
        first = min(tasks, key=lambda task: task.hour)
        span = f"{hours[0]:%Y-%m-%dT%H}" + (f" … {hours[-1]:%Y-%m-%dT%H}" if len(hours) > 1 else "")
        cure = (
            f"the last of these hours is over at {hours[-1]:%Y-%m-%d %H}:59 UTC: run this again after it"
            if hours[-1] > now
            else f"deliver {platform().settings.raw}/{first.output()} and the like, then run this again"
        )
        log.error("not ready: %d hours of %s logs have not arrived (%s); %s.", len(hours), event, span, cure)
