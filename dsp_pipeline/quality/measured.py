"""What was counted of a table's day, as it is kept: the expectations of later days are judged against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import median
from typing import Any

# Where the rows of a table are counted, whose partitions are days; those of an event are counted by hour, 00 … 23.
DAY = "day"
# More values of a column are neither kept nor told.
MOST_VALUES = 1_000
_WEEKS, _LEAST_WEEKS = 4, 2
_DAYS, LEAST_DAYS = 7, 3


@dataclass(frozen=True)
class Measured:
    """`rows` by hour; `counts` of each expectation, by hour where there are any; how often each value and size of a
    column came.

    Values are texts, absent ones are left out. Sizes are codes of `drift.SIZE` as texts. A column with more than
    MOST_VALUES values has the most frequent ones.
    """

    rows: Mapping[str, int]
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    sizes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.rows.values())

    def as_dict(self) -> dict[str, Any]:
        return {name: {key: _plain(one) for key, one in getattr(self, name).items()} for name in _PARTS}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Measured:
        return cls(**{name: raw[name] for name in _PARTS})


_PARTS = ("rows", "counts", "values", "sizes")


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def days_compared(day: date) -> list[date]:
    """The days that a day is compared with, as far as they were measured: the last seven, and its weekday's before."""
    return sorted({*_last_days(day), *_last_weeks(day)})


def _last_days(day: date) -> list[date]:
    return [day - timedelta(days=back) for back in range(1, _DAYS + 1)]


def _last_weeks(day: date) -> list[date]:
    return [day - timedelta(weeks=back) for back in range(1, _WEEKS + 1)]


@dataclass(frozen=True)
class History:
    """Earlier days of the same table, as they were measured; what failed is not among them."""

    day: date
    days: Mapping[date, Measured] = field(default_factory=dict)

    def usual(self, hour: str) -> tuple[float, int] | None:
        """The median of the rows of that hour, and of how many days; None as long as there are too few.

        Of the same weekday in the last four weeks, if two of those were measured; else of the last seven days, if three
        were.
        """
        for days, least in ((_last_weeks(self.day), _LEAST_WEEKS), (_last_days(self.day), LEAST_DAYS)):
            rows = [self.days[one].rows.get(hour, 0) for one in days if one in self.days]
            if len(rows) >= least:
                return float(median(rows)), len(rows)
        return None

    def values(self, column: str) -> tuple[dict[str, int], int] | None:
        """How often each value came in the last seven days, and in how many of them; None if in fewer than three."""
        return self._added(self.days[one].values.get(column) for one in _last_days(self.day) if one in self.days)

    def sizes(self, column: str) -> tuple[dict[str, int], int] | None:
        """The same of sizes."""
        return self._added(self.days[one].sizes.get(column) for one in _last_days(self.day) if one in self.days)

    @staticmethod
    def _added(days: Iterable[Mapping[str, int] | None]) -> tuple[dict[str, int], int] | None:
        found = [one for one in days if one is not None]
        if len(found) < LEAST_DAYS:
            return None
        total: dict[str, int] = {}
        for one in found:
            for value, rows in one.items():
                total[value] = total.get(value, 0) + rows
        return total, len(found)
