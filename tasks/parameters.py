"""Parameters, and a command line, that refuse what cannot be, in a sentence with the cure."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, date, datetime, timedelta
from typing import Any

import luigi
from luigi.cmdline_parser import CmdlineParser

from dsp_pipeline.errors import SettingsError, UnknownNameError
from dsp_pipeline.events.schema import EVENTS


def scheduled() -> datetime:
    """When the run was to start (UTC): what the scheduler of ECS tasks sets, or now.

    So a run that starts late, or is tried again the next morning, still means the day or hour it was scheduled for.
    SettingsError if what was set is not a time."""
    given = os.environ.get("DSP_SCHEDULED_AT", "")
    if not given:
        return datetime.now(UTC)
    try:
        time = datetime.fromisoformat(given)
    except ValueError:
        raise SettingsError(f"DSP_SCHEDULED_AT is {given!r}; give a time as 2026-11-22T05:00:00Z, or none.") from None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


_luigi_builds = CmdlineParser._build_parser


def _whole_names(*args: Any, **kwargs: Any) -> argparse.ArgumentParser:
    """By luigi's own `--dsp-lak` is --dsp-lake, and a slip of the hand is a setting."""
    parser: argparse.ArgumentParser = _luigi_builds(*args, **kwargs)
    parser.allow_abbrev = False
    return parser


def configure() -> None:
    """Called when the tasks are imported, which is before luigi reads its command line in earnest."""
    CmdlineParser._build_parser = staticmethod(_whole_names)  # type: ignore[method-assign]  # luigi has no other place


class EventParameter(luigi.Parameter):
    """One of our events."""

    def normalize(self, value: str) -> str:
        if value not in EVENTS:
            raise UnknownNameError("event", value, EVENTS)
        return value


class DayParameter(luigi.DateParameter):
    """A UTC day that has begun; `yesterday` is the day before the one that the run was scheduled for."""

    _ahead = 0  # days that a day may lie ahead

    def parse(self, text: str) -> date:
        if text == "yesterday":
            return scheduled().date() - timedelta(days=1)
        try:
            return datetime.strptime(text, "%Y-%m-%d").date()
        except ValueError:
            raise SettingsError(f"{text!r} is not a day; write it as 2026-11-21, or yesterday.") from None

    def normalize(self, value: date) -> date:
        day: date = super().normalize(value)
        today = datetime.now(UTC).date()
        if day > today + timedelta(days=self._ahead):
            raise SettingsError(f"{day} is in the future (today is {today}, UTC); give a day that has begun.")
        return day


class BuiltDayParameter(DayParameter):
    """A UTC day that has begun, or tomorrow: what bidders look up tomorrow is known when today is over."""

    _ahead = 1


class CheckedDayParameter(DayParameter):
    """A UTC day. One that has not begun is allowed, as hours of tomorrow are: then there is nothing to check yet."""

    def normalize(self, value: date) -> date:
        day: date = luigi.DateParameter.normalize(self, value)
        return day


class OptionalDayParameter(DayParameter):
    """A UTC day that has begun, or None, which luigid knows as an empty text."""

    def __init__(self, description: str) -> None:
        super().__init__(default=None, description=description)  # type: ignore[arg-type]  # luigi's own does so

    def parse(self, text: str) -> Any:
        return super().parse(text) if text else None

    def serialize(self, value: date | None) -> str:
        return "" if value is None else value.isoformat()

    def normalize(self, value: date | None) -> Any:
        return None if value is None else super().normalize(value)


class HourParameter(luigi.DateHourParameter):
    """A UTC hour; luigi keeps it as a datetime without a zone. Hours of tomorrow are allowed: a label window may
    need them, and then they have not arrived yet. `last` is the last whole one before the run was scheduled."""

    def parse(self, text: str) -> datetime:
        if text == "last":
            return scheduled().replace(minute=0, second=0, microsecond=0, tzinfo=None) - timedelta(hours=1)
        try:
            return datetime.strptime(text, "%Y-%m-%dT%H")
        except ValueError:
            raise SettingsError(f"{text!r} is not an hour; write it as 2026-11-21T05 (UTC), or last.") from None

    def normalize(self, value: datetime) -> datetime:
        hour: datetime = super().normalize(value)
        now = datetime.now(UTC).replace(tzinfo=None)
        if hour > now + timedelta(days=366):
            raise SettingsError(f"{hour:%Y-%m-%dT%H} is in the future (it is {now:%Y-%m-%dT%H}, UTC).")
        return hour
