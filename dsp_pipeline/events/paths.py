"""Where the raw files of an hour lie: a pattern of path parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_TOKEN = re.compile(r"\{hour:(?P<format>[^}]*)\}|\{(?P<name>[a-z_]+)\}|(?P<star>\*)")


@dataclass(frozen=True)
class PathPattern:
    """`imp.{hour:%Y%m%d%H}.txt.gz`, `{policy}/{hour:%Y-%m-%dT%H}*.csv`.

    `{hour:…}` is the hour in the source's time zone, written by strftime; `*` is any text without a slash;
    `{name}` is the same and is kept, so that a field can be made from it.
    """

    text: str
    timezone: str

    @property
    def names(self) -> list[str]:
        return [match["name"] for match in _TOKEN.finditer(self.text) if match["name"]]

    def separates(self, hour: datetime) -> bool:
        """Whether the hour has files of its own. If not, a file's rows of other hours are passed over in silence.

        An hour that comes twice, when the clocks are set back, shares its files with its twin.
        """
        near = (hour - timedelta(hours=1), hour + timedelta(hours=1))
        return self.example(hour) not in [self.example(other) for other in near]

    def problem(self) -> str | None:
        """What is wrong with it, or None."""
        if self.text.startswith("/") or ".." in self.text.split("/"):
            return "it must stay below the raw folder"
        rest = _TOKEN.sub("", self.text)
        if "{" in rest or "}" in rest:
            return "the parts in braces are {hour:%Y…} and {lower_case_names}"
        if len(set(self.names)) != len(self.names):
            return "a {name} stands twice"
        if "hour" in self.names:
            return "{hour} needs its format, such as {hour:%Y%m%d%H}"
        months = [datetime(2026, month, 1, tzinfo=UTC) for month in (1, 7)]
        if any(self.separates(hour) and self._local(hour).minute for hour in months):
            return f"the hours of {self.timezone} do not begin with those of UTC; have hourly files named in UTC"
        return None

    def prefix(self, hour: datetime) -> str:
        """What the keys of the hour start with; the same for all hours of a day where the pattern allows it."""
        out, end = "", 0
        for match in _TOKEN.finditer(self.text):
            out += self.text[end : match.start()]
            end = match.end()
            if match["format"] is None:
                return out
            before, hour_of_day, _ = match["format"].partition("%H")
            out += self._local(hour).strftime(before)
            if hour_of_day:
                return out
        return out + self.text[end:]

    def match(self, hour: datetime, key: str) -> dict[str, str] | None:
        """The captured parts if the key is a file of the hour, else None."""
        found = re.fullmatch(self._regex(hour), key)
        return found.groupdict() if found else None

    def begins(self, hour: datetime) -> bool:
        """Whether it is the first hour that its files hold; where the path names no time, the first of the day."""
        if "{hour:" not in self.text:
            return hour.hour == 0
        return self.example(hour) != self.example(hour - timedelta(hours=1))

    def example(self, hour: datetime) -> str:
        """The pattern with the hour filled in, for messages."""
        return _TOKEN.sub(
            lambda match: self._local(hour).strftime(match["format"]) if match["format"] else match[0], self.text
        )

    def _regex(self, hour: datetime) -> str:
        out, end = "", 0
        for match in _TOKEN.finditer(self.text):
            out += re.escape(self.text[end : match.start()])
            end = match.end()
            if match["format"] is not None:
                out += re.escape(self._local(hour).strftime(match["format"]))
            else:
                out += f"(?P<{match['name']}>[^/]*)" if match["name"] else "[^/]*"
        return out + re.escape(self.text[end:])

    def _local(self, hour: datetime) -> datetime:
        return hour.astimezone(ZoneInfo(self.timezone))
