"""EventBridge's cron, which AWS refuses late and moto not at all: is it one, and when does it come?

Six fields, in UTC: minute hour day-of-month month day-of-week year. One of the two days is `?`. The pattern is the one
that terraform/schedules.tf puts together; a test compares them. What a pattern cannot tell is told here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEK = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_VALUES = {
    "minute": "[0-5]?[0-9]",
    "hour": "(?:[01]?[0-9]|2[0-3])",
    "day": "(?:0?[1-9]|[12][0-9]|3[01])",
    "month": f"(?:0?[1-9]|1[0-2]|{'|'.join(_MONTHS)})",
    "week": f"(?:[1-7]|{'|'.join(_WEEK)})",
    "year": "(?:19[7-9][0-9]|2[01][0-9][0-9])",
}
_STEPS = {"week": "[0-9]", "year": "[0-9]{1,3}"}
_LIMITS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "week": (1, 7), "year": (1970, 2199)}
_HORIZON = 8 * 366  # days in which a 29 February comes


def _list(field: str) -> str:
    value = _VALUES[field]
    item = rf"(?:\*|{value}(?:-{value})?)(?:/{_STEPS.get(field, '[0-9]{1,2}')})?"
    return f"{item}(?:,{item})*"


_DAY = f"(?:{_list('day')}|L|LW|{_VALUES['day']}W)"
_WEEKDAY = f"(?:{_list('week')}|{_VALUES['week']}(?:L|#[1-5]))"
PATTERN = (
    rf"^{_list('minute')} {_list('hour')} "
    rf"(?:{_DAY} {_list('month')} \?|\? {_list('month')} {_WEEKDAY}) {_list('year')}$"
)


def problem(cron: str) -> str | None:
    """What is wrong with it, in a sentence; None if nothing is."""
    if not re.fullmatch(PATTERN, cron):
        return f"{cron!r} is no cron of EventBridge: minute hour day month weekday year, one of the days `?`."
    for name, field in zip(_LIMITS, cron.split(), strict=True):
        for item in field.split(","):
            span, _, step = item.partition("/")
            if step == "0" * len(step) and step:
                return f"{cron!r} has a step of 0 ({name})."
            first, _, last = span.partition("-")
            if last and _number(first) > _number(last):
                return f"{cron!r} goes backwards ({name} {span})."
    if next(times(cron, datetime.now(UTC)), None) is None:
        return f"{cron!r} never comes."
    return None


def times(cron: str, after: datetime) -> Iterator[datetime]:
    """When it comes, from `after` on, over eight years. `cron` has the right form."""
    minutes, hours, days, months, weekdays, years = cron.split()
    in_day = [(h, m) for h in sorted(_set("hour", hours)) for m in sorted(_set("minute", minutes))]
    for ahead in range(_HORIZON):
        day = (after + timedelta(days=ahead)).date()
        if day.year not in _set("year", years) or day.month not in _set("month", months):
            continue
        if not (_is_day(day, days) if weekdays == "?" else _is_weekday(day, weekdays)):
            continue
        for hour, minute in in_day:
            moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
            if moment > after:
                yield moment


def _number(word: str) -> int:
    for names in (_MONTHS, _WEEK):
        if word in names:
            return names.index(word) + 1
    return int(word)


def _set(name: str, field: str) -> set[int]:
    least, most = _LIMITS[name]
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        start = least if first == "*" else _number(first)
        end = _number(last) if last else most if first == "*" or step else start
        found.update(range(start, end + 1, int(step or 1)))
    return found


def _last(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _workday(day: date) -> date:
    """The weekday that is nearest, in the same month."""
    if day.weekday() == 5:
        return day - timedelta(days=1) if day.day > 1 else day + timedelta(days=2)
    if day.weekday() == 6:
        return day + timedelta(days=1) if day < _last(day) else day - timedelta(days=2)
    return day


def _is_day(day: date, field: str) -> bool:
    if field == "L":
        return day == _last(day)
    if field == "LW":
        return day == _workday(_last(day))
    if field.endswith("W"):
        wanted = int(field[:-1])
        return wanted <= _last(day).day and day == _workday(day.replace(day=wanted))
    return day.day in _set("day", field)


def _is_weekday(day: date, field: str) -> bool:
    number = day.isoweekday() % 7 + 1  # Sunday is 1
    if field.endswith("L"):
        return number == _number(field[:-1]) and (_last(day) - day).days < 7
    if "#" in field:
        weekday, _, nth = field.partition("#")
        return number == _number(weekday) and (day.day - 1) // 7 + 1 == int(nth)
    return number in _set("week", field)
