"""The rewrites of days and times; see `rewrites.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

Node = Any

MICROS = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}
MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
# DuckDB's week begins on Monday: so many days later it begins on that day.
WEEK_SHIFT = {"WEEK": 1, "WEEK(SUNDAY)": 1, "WEEK(MONDAY)": 0, "ISOWEEK": 0} | {
    f"WEEK({day})": 7 - place for place, day in enumerate(("TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"), 1)
}


def call(name: str, *arguments: Node) -> exp.Anonymous:
    """A function that DuckDB or `macros.py` has under this name."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def text(value: str) -> exp.Literal:
    return exp.Literal.string(value)


def number(value: int) -> Node:
    """An INT64."""
    return exp.cast(exp.Literal.number(str(value)), "BIGINT", dialect="duckdb")


def small(value: int) -> Node:
    """A number that DuckDB wants as INTEGER: a count of days, a place."""
    return exp.Literal.number(str(value))


def unit_of(node: Node) -> str:
    """The date part that a function names, as BigQuery writes it: HOUR, WEEK(MONDAY), ISOWEEK."""
    unit = node.this if isinstance(node, exp.Extract) else node.args.get("unit")
    if unit is None:
        return "MONTH" if isinstance(node, exp.LastDay) else "DAY"
    if isinstance(unit, exp.WeekStart):
        return f"WEEK({unit.name.upper()})"
    return str(unit.name).upper()


def _day(node: Node) -> Node:
    """A text that BigQuery reads as a DATE because a date function asks for one."""
    return exp.cast(node, "DATE", dialect="duckdb") if isinstance(node, exp.Literal) and node.is_string else node


def _times(amount: Node, factor: int) -> Node:
    if isinstance(amount, exp.Literal) and amount.is_string:
        amount = number(int(amount.name))
    if factor == 1:
        return amount
    return exp.Mul(this=exp.Paren(this=amount), expression=number(factor))


def _timestamp_add(node: Node) -> Node:
    factor = MICROS[unit_of(node)] * (-1 if isinstance(node, exp.TimestampSub) else 1)
    return call("bq_timestamp_add", node.this, _times(node.expression, factor))


def _date_add(node: Node) -> Node:
    sign = -1 if isinstance(node, exp.DateSub) else 1
    unit = unit_of(node)
    if unit in MONTHS:
        return call("bq_date_add_months", _day(node.this), _times(node.expression, sign * MONTHS[unit]))
    days = {"DAY": 1, "WEEK": 7, "WEEK(SUNDAY)": 7}[unit]
    return call("bq_date_add", _day(node.this), _times(node.expression, sign * days))


def _timestamp_diff(node: Node) -> Node:
    return call("bq_timestamp_diff", node.this, node.expression, number(MICROS[unit_of(node)]))


def _date_diff(node: Node) -> Node:
    unit, later, earlier = unit_of(node), _day(node.this), _day(node.expression)
    if unit in WEEK_SHIFT:
        return call("bq_date_diff_weeks", small(WEEK_SHIFT[unit]), later, earlier)
    return call("bq_date_diff", text(unit.lower()), later, earlier)


def _date_trunc(node: Node) -> Node:
    unit = unit_of(node)
    if unit in WEEK_SHIFT:
        return call("bq_date_trunc_week", small(WEEK_SHIFT[unit]), _day(node.this))
    return call("bq_date_trunc", text(unit.lower()), _day(node.this))


def _timestamp_trunc(node: Node) -> Node:
    unit, zone = unit_of(node), node.args.get("zone") or text("UTC")
    if unit in WEEK_SHIFT:
        return call("bq_timestamp_trunc_week", small(WEEK_SHIFT[unit]), node.this, zone)
    return call("bq_timestamp_trunc", text(unit.lower()), node.this, zone)


def _extract(node: Node) -> Node:
    """BigQuery's Sunday is day 1, its week 0 ends before the first Sunday, and its microseconds leave seconds out."""
    unit, of = unit_of(node), node.expression
    if unit == "DATE":
        return exp.cast(of, "DATE", dialect="duckdb")
    if unit in ("WEEK", "WEEK(SUNDAY)", "WEEK(MONDAY)"):
        return call("bq_week_monday" if unit == "WEEK(MONDAY)" else "bq_week", of)
    part = call("date_part", text({"ISOWEEK": "week"}.get(unit, unit.lower())), of)
    if unit == "DAYOFWEEK":
        return exp.Paren(this=exp.Add(this=part, expression=number(1)))
    if unit in ("MICROSECOND", "MILLISECOND"):
        return exp.Paren(this=exp.Mod(this=part, expression=number(1_000_000 if unit == "MICROSECOND" else 1_000)))
    return part


def _date(node: Node) -> Node:
    zone = node.args.get("zone")
    value = call("timezone", zone, node.this) if zone is not None else node.this
    return exp.cast(value, "DATE", dialect="duckdb")


def _timestamp(node: Node) -> Node:
    zone = node.args.get("zone")
    if zone is not None:
        return call("timezone", zone, exp.cast(node.this, "TIMESTAMP", dialect="duckdb"))
    if isinstance(node.this, exp.Literal):
        return exp.cast(node.this, "TIMESTAMPTZ", dialect="duckdb")
    return call("bq_must", node.this.copy(), call("bq_safe_timestamp", node.this), text("TIMESTAMP"))


def _from_unix(node: Node) -> Node:
    scale = node.args.get("scale")
    factor = 10 ** (6 - int(scale.name if scale is not None else 0))
    return call("make_timestamptz", _times(node.this, factor))


def _format(node: Node) -> Node:
    pattern, value = node.args["format"], node.this
    if isinstance(value, exp.TsOrDsToDate):
        return call("strftime", call("bq_date", _day(value.this)), pattern)
    zone = node.args.get("zone") or text("UTC")
    return call("bq_format_timestamp", value.this, pattern, zone)


def _parse(node: Node) -> Node:
    """%E*S takes fractions of a second or none; DuckDB's %f wants some: both forms are tried."""
    pattern = node.args["format"].name
    forms = [pattern.replace("%E*S", "%S.%f"), pattern.replace("%E*S", "%S")] if "%E*S" in pattern else [pattern]
    safe = isinstance(node.parent, exp.SafeFunc)
    name = "try_strptime" if safe else "strptime"
    parsed = call(name, node.this, exp.Array(expressions=[text(form) for form in forms]))
    if isinstance(node, exp.StrToDate):
        return exp.cast(parsed, "DATE", dialect="duckdb")
    return call("timezone", node.args.get("zone") or text("UTC"), parsed)


def _date_array(node: Node) -> Node:
    step = node.args.get("step") or exp.Interval(this=text("1"), unit=exp.var("DAY"))
    days = call("generate_series", _day(node.args["start"]), _day(node.args["end"]), step)
    return exp.cast(days, "DATE[]", dialect="duckdb")


def _floor(micros: int) -> Callable[[Node], Node]:
    return lambda node: call("bq_floor_micros", node.this, number(micros))


TIME_REWRITES: dict[type, Callable[[Node], Node]] = {
    exp.TimestampAdd: _timestamp_add,
    exp.TimestampSub: _timestamp_add,
    exp.TimestampDiff: _timestamp_diff,
    exp.TimestampTrunc: _timestamp_trunc,
    exp.DateAdd: _date_add,
    exp.DateSub: _date_add,
    exp.DateDiff: _date_diff,
    exp.DatetimeDiff: lambda node: call("date_diff", text(unit_of(node).lower()), node.expression, node.this),
    exp.DateTrunc: _date_trunc,
    exp.Extract: _extract,
    exp.Date: _date,
    exp.Timestamp: _timestamp,
    exp.Datetime: lambda node: call("timezone", node.expression, node.this),
    exp.UnixSeconds: _floor(1_000_000),
    exp.UnixMillis: _floor(1_000),
    exp.UnixMicros: lambda node: call("epoch_us", node.this),
    exp.UnixDate: lambda node: exp.Paren(
        this=exp.Sub(this=call("bq_date", _day(node.this)), expression=exp.cast(text("1970-01-01"), "DATE"))
    ),
    exp.UnixToTime: _from_unix,
    exp.LastDay: lambda node: call("last_day", call("bq_date", _day(node.this))),
    exp.TimeToStr: _format,
    exp.StrToTime: _parse,
    exp.StrToDate: _parse,
    exp.SafeFunc: lambda node: node.this,
    exp.GenerateDateArray: _date_array,
}
