"""What the tasks over some days have in common."""

from __future__ import annotations

import datetime

import luigi

from dsp_pipeline.errors import SettingsError
from dsp_pipeline.platform import HOURS
from tasks.parameters import OptionalDayParameter
from tasks.s3_log_ingest import S3LogIngest
from tasks.settings import platform, refuse_before_first


class DaysTask(luigi.Task):
    """A task over one day (`--date`) or over all from `--start` to `--stop`, both included."""

    date = OptionalDayParameter(description="the day, as 2026-11-21, or yesterday")
    start = OptionalDayParameter(description="the first day, in the place of --date")
    stop = OptionalDayParameter(description="the last day, which is included")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        given = (self.date is not None, self.start is not None, self.stop is not None)
        if given not in ((True, False, False), (False, True, True)):
            raise SettingsError(
                f"{self.task_family} needs --date DAY, or --start DAY and --stop DAY; give one of the two."
            )
        self._first: datetime.date = self.date or self.start
        self._last: datetime.date = self.date or self.stop
        if self._first > self._last:
            raise SettingsError(f"--start {self._first} is after --stop {self._last}; exchange them.")
        refuse_before_first(self._first)

    @property
    def days(self) -> list[datetime.date]:
        return platform().days(self._first, self._last)

    def ingests(self) -> list[S3LogIngest]:
        """The ingests of all hours of the days, by event."""
        return [
            S3LogIngest(event=event, hour=datetime.datetime(day.year, day.month, day.day, hour))
            for event in platform().source.events
            for day in self.days
            for hour in HOURS
        ]
