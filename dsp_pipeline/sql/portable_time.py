"""The finer print for days, times and casts: date parts, formats, zones and types; see `portable_rules.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from dsp_pipeline.sql.time_rewrites import MICROS, MONTHS, WEEK_SHIFT, unit_of

Node = Any
Problem = tuple[str, str] | None

_DAYS = {"DAY"} | set(MONTHS)
_WEEKS = set(WEEK_SHIFT)
_EXTRACTS = {"MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAYOFWEEK", "DAY", "DAYOFYEAR", "WEEK"}
_EXTRACTS |= {"WEEK(SUNDAY)", "WEEK(MONDAY)", "ISOWEEK", "MONTH", "QUARTER", "YEAR", "ISOYEAR", "DATE"}
_ZONE = re.compile(r"UTC|[A-Z][A-Za-z_]+/[A-Za-z_/+-]+")
_DATE_TEXT = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")
_TIME_TEXT = re.compile(_DATE_TEXT.pattern + r"([ Tt]\d{1,2}:\d{1,2}:\d{1,2}(\.\d{1,6})?)?(Z|z|[+-]\d{1,2}(:\d{2})?)?")
_CAST_TYPES = {
    exp.DType.BIGINT,
    exp.DType.DOUBLE,
    exp.DType.TEXT,
    exp.DType.BOOLEAN,
    exp.DType.DATE,
    exp.DType.TIMESTAMPTZ,
}


def _units(name: str, allowed: set[str]) -> Callable[[Node], Problem]:
    def rule(node: Node) -> Problem:
        unit = unit_of(node)
        return None if unit in allowed else (f"{name} by {unit}", f"use one of {', '.join(sorted(allowed))}")

    return rule


def _zone(node: Node) -> Problem:
    zone = node.args.get("zone")
    if zone is None or (isinstance(zone, exp.Literal) and _ZONE.fullmatch(zone.name)):
        return None
    return f"the time zone {zone.sql(dialect='bigquery')}", "write a name such as 'Asia/Tokyo'"


def _timestamp_trunc(node: Node) -> Problem:
    unit = unit_of(node)
    if node.args.get("zone") is not None and unit not in _DAYS | _WEEKS:
        return f"TIMESTAMP_TRUNC by {unit} in a time zone", "leave the zone out, or truncate to DAY or more"
    return _units("TIMESTAMP_TRUNC", {"SECOND", "MINUTE", "HOUR"} | _DAYS | _WEEKS)(node) or _zone(node)


def _extract(node: Node) -> Problem:
    problem = _units("EXTRACT", _EXTRACTS)(node)
    return problem or (_zone(node.expression) if isinstance(node.expression, exp.AtTimeZone) else None)


def _cast(node: Node) -> Problem:
    to, value = node.args["to"], node.this
    literal = isinstance(value, exp.Literal) and value.is_string
    if to.this == exp.DType.DATE and literal and not _DATE_TEXT.fullmatch(value.name):
        return f"the DATE '{value.name}'", "write 'YYYY-MM-DD'"
    if to.this == exp.DType.TIMESTAMPTZ and literal and not _TIME_TEXT.fullmatch(value.name):
        return f"the TIMESTAMP '{value.name}'", "write 'YYYY-MM-DD HH:MM:SS+00'"
    if to.this == exp.DType.TIMESTAMP and literal and isinstance(node.parent, exp.DatetimeDiff):
        return None
    if to.this not in _CAST_TYPES:
        cure = "use INT64, FLOAT64, STRING, BOOL, DATE or TIMESTAMP"
        return f"CAST to {to.sql(dialect='bigquery')}", cure
    if isinstance(value, exp.Literal) and not literal and not value.name.isdigit() and to.this == exp.DType.TEXT:
        return f"CAST({value.name} AS STRING)", "write the text itself"
    return None


def _format(allowed: str, required: str, name: str) -> Callable[[Node], Problem]:
    def rule(node: Node) -> Problem:
        pattern = node.args["format"]
        if not isinstance(pattern, (exp.Literal, exp.RawString)):
            return f"{name} with a format that is not a literal", "write the format as text"
        codes = re.findall(r"%(?:E\*S|E\dS|Ez|.)", pattern.name)
        wrong = [code for code in codes if code not in allowed.split()]
        if wrong:
            return f"{name} with {wrong[0]}", f"use only {allowed}"
        missing = [code for code in required.split() if code not in codes]
        if missing and name.startswith("PARSE"):
            return f"{name} without {missing[0]}", "name year, month and day: the engines fill gaps differently"
        return _zone(node)

    return rule


TIME_RULES: dict[type, Callable[[Node], Problem]] = {
    exp.TimestampAdd: _units("TIMESTAMP_ADD", set(MICROS)),
    exp.TimestampSub: _units("TIMESTAMP_SUB", set(MICROS)),
    exp.TimestampDiff: _units("TIMESTAMP_DIFF", set(MICROS)),
    exp.TimestampTrunc: _timestamp_trunc,
    exp.DateAdd: _units("DATE_ADD", _DAYS | {"WEEK", "WEEK(SUNDAY)"}),
    exp.DateSub: _units("DATE_SUB", _DAYS | {"WEEK", "WEEK(SUNDAY)"}),
    exp.DateDiff: _units("DATE_DIFF", _DAYS | _WEEKS),
    exp.DateTrunc: _units("DATE_TRUNC", _DAYS | _WEEKS),
    exp.DatetimeDiff: _units("DATETIME_DIFF", set(MICROS)),
    exp.Extract: _extract,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Date: _zone,
    exp.Timestamp: _zone,
    exp.TimeToStr: _format("%Y %m %d %H %M %S %j %a %A %b %B %y %%", "", "FORMAT"),
    exp.StrToTime: _format("%Y %m %d %H %M %S %E*S", "%Y %m %d", "PARSE_TIMESTAMP"),
    exp.StrToDate: _format("%Y %m %d", "%Y %m %d", "PARSE_DATE"),
}
