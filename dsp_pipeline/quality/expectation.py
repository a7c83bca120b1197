"""What is expected of a table's rows: `expectations/<table>.yaml`, read and checked. docs/quality.md tells all kinds.

warn:
  volume: [0.5, 2]                              # of the usual number of rows, by hour of an event
  nulls: {user_id: 0.3}                         # at most this share
fail:
  range: {clearing_price_micros: [0, 1000000]}
accepted:
  "2026-11-21": an outage of adx3 until noon    # what would fail that day only warns
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dsp_pipeline.errors import ExpectationError, UnknownNameError
from dsp_pipeline.events.schema import FLOAT, INTEGER, TEXT, TIME, Event
from dsp_pipeline.yamlfile import Block, read_yaml

WARN, FAIL = LEVELS = ("warn", "fail")
ROWS, VOLUME, FRESHNESS, NULLS, RANGE, VALUES, RATE, NEW_VALUES, DRIFT, MIX = KINDS = (
    "rows",
    "volume",
    "freshness",
    "nulls",
    "range",
    "values",
    "rate",
    "new_values",
    "drift",
    "mix",
)
OF_ROWS = (ROWS, VOLUME)  # the others are of columns
_PAIR, _SHARE, _LIST, _NUMBER = "a pair [least, most]", "a share from 0 to 1", "a list", "a number of 0 or more"
# What each kind takes, and the types of an event's columns that it is for.
_TAKES: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        ROWS: (_PAIR, ()),
        VOLUME: (_PAIR, ()),
        FRESHNESS: (_NUMBER, (TIME,)),
        NULLS: (_SHARE, (TEXT, INTEGER, FLOAT, TIME)),
        RANGE: (_PAIR, (INTEGER, FLOAT)),
        VALUES: (_LIST, (TEXT, INTEGER)),
        RATE: (_PAIR, ()),
        NEW_VALUES: (_SHARE, (TEXT, INTEGER)),
        DRIFT: (_NUMBER, (INTEGER, FLOAT)),
        MIX: (_NUMBER, (TEXT, INTEGER)),
    }
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Expectation:
    """One thing that is expected. `column` is empty of what is about rows as such; `bound` are its numbers or values.

    Of a pair either end may be None, which bounds nothing. `place` says where it is written.
    """

    kind: str
    column: str
    bound: tuple[Any, ...]
    level: str
    place: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        return f"{self.kind} of {self.column}" if self.column else self.kind


@dataclass(frozen=True)
class Expected:
    """All of one file. `accepted` are days whose failures were looked at, with the reason why they stand."""

    expectations: tuple[Expectation, ...]
    accepted: Mapping[str, str]
    text: str


def read_expectations(path: Path, event: Event | None, columns: Collection[str]) -> Expected:
    """What the file expects of a table with these columns, an event's if there is one. ExpectationError if it is wrong.

    Of a query's table the types of columns are not known here: the warehouse tells what does not fit.
    """
    block = read_yaml(path, ExpectationError)
    block.allow((*LEVELS, "accepted"))
    found: list[Expectation] = []
    for level in LEVELS:
        kinds = block.get_as(level, Block, "a mapping of kinds of expectations to columns and bounds")
        if kinds is None:
            continue
        kinds.allow(KINDS)
        for kind in kinds:
            found += _of_kind(kinds, kind, level, event, columns)
    accepted = block.get_as(
        "accepted", Block, "a mapping of days to the reason why what failed stands", Block(path, 1, ExpectationError)
    )
    for day in accepted:
        if not _is_day(day):
            raise accepted.problem(f'`{day}` is not a day; write it as "2026-11-21", in quotes.', day)
        accepted.get_as(day, str, "the reason, a text")
    return Expected(tuple(found), dict(accepted), path.read_text(encoding="utf-8"))


def _of_kind(kinds: Block, kind: str, level: str, event: Event | None, columns: Collection[str]) -> list[Expectation]:
    place = f"{kinds.path.parent.name}/{kinds.path.name}"
    if kind in OF_ROWS:
        return [Expectation(kind, "", _bound(kinds, kind, kind), level, f"{place}:{kinds.lines[kind]}")]
    if kind == RATE and event is not None:
        raise kinds.problem(f"`{kind}` is of BOOL columns, and the event {event.name} has none.", kind)
    given = kinds.get_as(kind, Block, f"a mapping of columns to {_TAKES[kind][0]}")
    if given is None:
        raise kinds.problem(f"`{kind}` is empty; it is a mapping of columns to {_TAKES[kind][0]}.", kind)
    found = []
    for column in given:
        if column not in columns:
            raise given.problem(str(UnknownNameError("column", column, columns)), column)
        _check_type(given, kind, column, event)
        bound = _bound(given, column, kind)
        found.append(Expectation(kind, column, bound, level, f"{place}:{given.lines[column]}"))
    return found


def _check_type(given: Block, kind: str, column: str, event: Event | None) -> None:
    if event is None:
        return
    fits, type_ = _TAKES[kind][1], event.column(column).type
    if type_ not in fits:
        raise given.problem(f"`{kind}` is of columns of {' or '.join(fits)}, and {column} is {type_}.", column)


def _bound(block: Block, key: str, kind: str) -> tuple[Any, ...]:
    """The bound that stands at the key, or ExpectationError with what belongs there."""
    given, takes = block[key], _TAKES[kind][0]
    problem = block.problem(f"`{key}` is {given!r}; {kind} takes {takes}.", key)
    if takes == _LIST:
        if not isinstance(given, list) or not given or not all(isinstance(one, (str, int)) for one in given):
            raise block.problem(f"`{key}` is {given!r}; {kind} takes {takes} of texts or whole numbers.", key)
        return tuple(given)
    if takes == _PAIR:
        if not isinstance(given, list) or len(given) != 2 or not all(one is None or _is_number(one) for one in given):
            raise problem
        least, most = given
        if least is None and most is None:
            raise block.problem(f"`{key}` bounds nothing; give it a least or a most.", key)
        if least is not None and most is not None and least > most:
            raise block.problem(f"`{key}` is {given!r}, and its least is more than its most; exchange them.", key)
        return (least, most)
    if not _is_number(given) or given < 0 or (takes == _SHARE and given > 1):
        raise problem
    return (given,)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_day(text: str) -> bool:
    try:
        return bool(_DAY.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False
