"""Whether a day is as expected: what was counted, held against the bounds and against earlier days."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from dsp_pipeline.quality.drift import Moved, moved_sizes, moved_values
from dsp_pipeline.quality.expectation import (
    DRIFT,
    FAIL,
    FRESHNESS,
    MIX,
    NEW_VALUES,
    NULLS,
    RANGE,
    RATE,
    ROWS,
    VALUES,
    VOLUME,
    Expectation,
)
from dsp_pipeline.quality.measured import LEAST_DAYS, MOST_VALUES, History, Measured
from dsp_pipeline.quality.question import count_of, present_of

PASSED, WARNED, FAILED, NOT_JUDGED = "passed", "warned", "failed", "not judged"
# With fewer rows, now or before, a distribution has not moved but wobbles.
LEAST_ROWS = 1_000
# A number of rows is out of bounds if chance does not explain it: so many standard deviations of a count.
_CHANCE = 4.0
_NAMED = 4  # hours, or values, that a sentence names


@dataclass(frozen=True)
class Result:
    """What came of one check. `told` goes on after its name; `rows` are the first of those that should not be."""

    check: str
    level: str
    outcome: str
    told: str
    place: str
    rows: tuple[Mapping[str, Any], ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.check}: {self.told} ({self.place})"


def judge(expectation: Expectation, now: Measured, before: History) -> Result:
    """The result, without rows."""
    good, told = _JUDGES[expectation.kind](expectation, now, before)
    outcome = NOT_JUDGED if good is None else PASSED if good else missed(expectation.level)
    return Result(expectation.name, expectation.level, outcome, told, expectation.place)


def missed(level: str) -> str:
    """The outcome of a check of this level that finds something."""
    return FAILED if level == FAIL else WARNED


# Whether it is as expected (None: that cannot be told), and what was found.
_Judged = tuple[bool | None, str]


def _rows(one: Expectation, now: Measured, _: History) -> _Judged:
    return _within(now.total, one.bound), f"{now.total:,} rows, and {_pair(one.bound)} are expected"


def _volume(one: Expectation, now: Measured, before: History) -> _Judged:
    least, most = one.bound
    odd, judged = [], 0
    for hour, rows in now.rows.items():
        usual = before.usual(hour)
        if usual is None:
            continue
        judged += 1
        if _is_few(rows, least, usual[0]) or _is_many(rows, most, usual[0]):
            odd.append(f"{_of_hour(hour)}{rows:,} rows where {usual[0]:,.0f} are usual (in {usual[1]} days)")
    if not judged:
        return None, f"fewer than {LEAST_DAYS} earlier days were checked"
    wanted = f"{_pair(one.bound, 'times')} the usual number is expected"
    return not odd, f"{_few(odd)}, and {wanted}" if odd else wanted


def _freshness(one: Expectation, now: Measured, _: History) -> _Judged:
    newest = max(now.counts[count_of(one)].values(), default=0)
    (most,) = one.bound
    old = 24 - newest
    told = f"the newest is {old} hours before the day's end" if newest else "no row is of the day itself"
    return old <= most, f"{told}, and at most {most:g} are expected"


def _nulls(one: Expectation, now: Measured, _: History) -> _Judged:
    (most,) = one.bound
    counts = now.counts[count_of(one)]
    absent = sum(counts.values())
    hours = [hour for hour, rows in now.rows.items() if counts.get(hour, 0) > most * rows]
    where = f", in the hours {_few(hours)}" if 0 < len(hours) < len(now.rows) else ""
    good = absent <= most * now.total
    return good, f"absent in {_share(absent, now.total)}{'' if good else where}, and at most {most:.3g} is expected"


def _range(one: Expectation, now: Measured, _: History) -> _Judged:
    outside = sum(now.counts[count_of(one)].values())
    return not outside, f"{outside:,} of {now.total:,} rows are not within {_pair(one.bound)}"


def _values(one: Expectation, now: Measured, _: History) -> _Judged:
    other = sum(now.counts[count_of(one)].values())
    return not other, f"{other:,} of {now.total:,} rows have none of {_few([str(value) for value in one.bound])}"


def _rate(one: Expectation, now: Measured, _: History) -> _Judged:
    true, present = (sum(now.counts[name].values()) for name in (count_of(one), present_of(one)))
    if not present:
        return None, "there is no row with a value"
    return _within(true / present, one.bound), f"true in {_share(true, present)}, and {_pair(one.bound)} is expected"


def _new_values(one: Expectation, now: Measured, before: History) -> _Judged:
    (most,) = one.bound
    values, known = now.values[one.column], before.values(one.column)
    if len(values) > MOST_VALUES:
        return False, f"more than {MOST_VALUES:,} values, and {NEW_VALUES} is for columns that have fewer"
    if known is None:
        return None, f"fewer than {LEAST_DAYS} earlier days were checked"
    new = {value: rows for value, rows in values.items() if value not in known[0]}
    rows, total = sum(new.values()), sum(values.values())
    named = _few([f"{value} ({rows:,})" for value, rows in sorted(new.items(), key=lambda one: (-one[1], one[0]))])
    found = f"{_share(rows, total)} have values of none of {known[1]} days before: {named}" if new else "none is new"
    return rows <= most * total, f"{found}; at most {most:.3g} is expected" if new else found


def _drift(one: Expectation, now: Measured, before: History) -> _Judged:
    return _compared(one, now.sizes[one.column], before.sizes(one.column), moved_sizes)


def _mix(one: Expectation, now: Measured, before: History) -> _Judged:
    values = now.values[one.column]
    if len(values) > MOST_VALUES:
        return False, f"more than {MOST_VALUES:,} values, and {MIX} is for columns that have fewer"
    return _compared(one, values, before.values(one.column), moved_values)


def _compared(
    one: Expectation,
    now: Mapping[str, int],
    before: tuple[Mapping[str, int], int] | None,
    moved_in: Callable[[Mapping[str, int], Mapping[str, int]], Moved],
) -> _Judged:
    (most,) = one.bound
    if before is None:
        return None, f"fewer than {LEAST_DAYS} earlier days were checked"
    if min(sum(now.values()), sum(before[0].values())) < LEAST_ROWS:
        return None, f"fewer than {LEAST_ROWS:,} rows have a value, now or before"
    moved = moved_in(before[0], now)
    shares = f"{moved.bin} in {moved.before:.3g} of {before[1]} days before and in {moved.now:.3g} now"
    return moved.psi <= most, f"PSI {moved.psi:.3f} (mostly {shares}), and at most {most:.3g} is expected"


_JUDGES: Mapping[str, Callable[[Expectation, Measured, History], _Judged]] = MappingProxyType(
    {
        ROWS: _rows,
        VOLUME: _volume,
        FRESHNESS: _freshness,
        NULLS: _nulls,
        RANGE: _range,
        VALUES: _values,
        RATE: _rate,
        NEW_VALUES: _new_values,
        DRIFT: _drift,
        MIX: _mix,
    }
)


def _is_few(rows: int, least: float | None, usual: float) -> bool:
    return least is not None and rows + _by_chance(least * usual) < least * usual


def _is_many(rows: int, most: float | None, usual: float) -> bool:
    return most is not None and rows - _by_chance(most * usual) > most * usual


def _by_chance(rows: float) -> float:
    """How far a number of rows may be from what is expected; of none, whose median was counted, one might have come."""
    return _CHANCE * math.sqrt(rows + 1)


def _within(number: float, bound: tuple[Any, ...]) -> bool:
    least, most = bound
    return (least is None or number >= least) and (most is None or number <= most)


def _pair(bound: tuple[Any, ...], word: str = "") -> str:
    least, most = (None if one is None else f"{one:,}" for one in bound)
    said = f"{least} … {most}" if least and most else f"at least {least}" if least else f"at most {most}"
    return f"{said} {word}".strip()


def _share(part: int, whole: int) -> str:
    return f"{part / whole if whole else 0:.3g} of {whole:,} rows"


def _of_hour(hour: str) -> str:
    return f"in the hour {hour} " if hour.isdigit() else ""


def _few(words: list[str]) -> str:
    return ", ".join(words[:_NAMED]) + (f" and {len(words) - _NAMED} more" if words[_NAMED:] else "")
