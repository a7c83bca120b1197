"""The finer print of the whitelist: which date parts, formats, types and orders of an allowed node were proven.

A rule gets a node and answers None, or (what is wrong, what to write instead).
"""

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
_RANKS = (exp.RowNumber, exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile)
_NEEDS_ORDER = (*_RANKS, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue)
_OVER = (*_NEEDS_ORDER, exp.Count, exp.CountIf, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.LogicalAnd, exp.LogicalOr)
_CAST_TYPES = {
    exp.DType.BIGINT,
    exp.DType.DOUBLE,
    exp.DType.TEXT,
    exp.DType.BOOLEAN,
    exp.DType.DATE,
    exp.DType.TIMESTAMPTZ,
}


def construct_of(node: Any) -> str:
    """How a person would call `node`: a function by its name, other things by their text."""
    if isinstance(node, exp.Anonymous):
        return str(node.name).upper()
    if isinstance(node, exp.NetFunc):
        return f"NET.{construct_of(node.this)}"
    if isinstance(node, (exp.Dot, exp.Tuple, exp.HexString)):
        return str(node.sql(dialect="bigquery"))
    if node.meta.get("bigquery_name"):
        return str(node.meta["bigquery_name"]).upper()
    if isinstance(node, exp.Func):
        return str(node.sql_name())
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).upper()


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


def _inside(parent: type | tuple[type, ...], construct: str, cure: str) -> Callable[[Node], Problem]:
    return lambda node: None if isinstance(node.parent, parent) else (construct, cure)


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


def _regexp(node: Node) -> Problem:
    pattern = node.expression
    if not isinstance(pattern, (exp.Literal, exp.RawString)):
        return "a regular expression that is not a literal", "write it as r'…'"
    try:
        groups = re.compile(pattern.name).groups
    except re.error:
        return None  # RE2 knows some that Python does not; both engines are RE2 and will say so
    if groups > 1 and not isinstance(node, (exp.RegexpLike, exp.RegexpReplace)):
        return "a regular expression with several groups", "keep one group, write (?:…) for the others"
    if groups and re.search(r"\)[?*]|\)\{0|\|", pattern.name) and isinstance(node, exp.RegexpExtract):
        return "a group that may be absent", "write one REGEXP_EXTRACT for each form and COALESCE them"
    return None


def _window(node: Node) -> Problem:
    function = node.this.this if isinstance(node.this, exp.IgnoreNulls) else node.this
    if not isinstance(function, _OVER):
        cure = "aggregate in a subquery, or rank with ROW_NUMBER() and COUNT(*) OVER (…)"
        return f"{construct_of(function)}(…) OVER (…)", cure
    if isinstance(function, _NEEDS_ORDER) and node.args.get("order") is None and node.args.get("alias") is None:
        return f"{construct_of(function)}(…) without ORDER BY", "add ORDER BY: rows have no order of their own"
    return None


def _ordered_aggregate(node: Node) -> Problem:
    inner = node.this.this if isinstance(node.this, exp.Limit) else node.this
    name = "STRING_AGG" if isinstance(node, exp.GroupConcat) else "ARRAY_AGG"
    if isinstance(node, exp.GroupConcat) and isinstance(node.this, exp.Limit):
        return "STRING_AGG with LIMIT", "write ARRAY_TO_STRING(ARRAY_AGG(… LIMIT n), ',')"
    if not isinstance(inner, exp.Order):
        return f"{name} without ORDER BY", "add ORDER BY: rows have no order of their own"
    return None


def _ordered(node: Node) -> Problem:
    if bool(node.args.get("nulls_first")) is not bool(node.args.get("desc")):
        return None  # BigQuery's own order: NULL is smallest
    return "NULLS FIRST or NULLS LAST", "write ORDER BY x IS NULL, x (aggregates of BigQuery take no NULLS LAST)"


def _limit(node: Node) -> Problem:
    parent = node.parent
    if isinstance(parent, exp.Select) and parent.args.get("order") is None:
        return "LIMIT without ORDER BY", "add ORDER BY: rows have no order of their own"
    return None


def _unnest(node: Node) -> Problem:
    alias = node.args.get("alias")
    if isinstance(node.parent, exp.In):
        return None
    if not isinstance(node.parent, (exp.From, exp.Join)):
        return "UNNEST here", "write FROM table, UNNEST(array) AS element"
    if alias is None and not isinstance(node.args.get("offset"), exp.Identifier):
        return "UNNEST without a name", "write UNNEST(…) AS element"
    if isinstance(node.args.get("offset"), exp.Identifier) and node.args["offset"].name.lower() == "offset":
        return "WITH OFFSET without a name", "write WITH OFFSET AS place"
    return None


def _join(node: Node) -> Problem:
    side, bare = node.side.upper(), node.args.get("on") is None and not node.args.get("using")
    if isinstance(node.this, exp.Unnest) and (side not in ("", "LEFT") or not bare):
        return "this join with UNNEST", "write CROSS JOIN UNNEST or LEFT JOIN UNNEST, without ON"
    if node.kind.upper() not in ("", "INNER", "CROSS", "OUTER"):
        return f"{node.kind} JOIN", "write WHERE EXISTS (…)"
    return None


def _struct(node: Node) -> Problem:
    if all(isinstance(item, exp.PropertyEQ) for item in node.expressions):
        return None
    return "STRUCT with a nameless field", "write STRUCT(x AS name, …)"


def _array(node: Node) -> Problem:
    if any(isinstance(item, exp.Select) and item.args.get("order") is None for item in node.expressions):
        return "ARRAY(SELECT …) without ORDER BY", "add ORDER BY: rows have no order of their own"
    return None


def _shadowed(node: Node) -> Problem:
    """HAVING and QUALIFY: BigQuery takes the selected alias, DuckDB the table's column of the same name."""
    select = node.parent
    for item in select.selects:
        if isinstance(item, exp.Alias) and not isinstance(item.this, exp.Column):
            inside = any(column.name.lower() == item.alias.lower() for column in item.this.find_all(exp.Column))
            used = any(not c.table and c.name.lower() == item.alias.lower() for c in node.find_all(exp.Column))
            if inside and used:
                cure = "give the output another name than the column"
                return f"{item.alias}, which names both a column and an output", cure
    return None


def _bracket(node: Node) -> Problem:
    if node.args.get("offset") is None:
        return f"{node.sql(dialect='bigquery')}", "write array[OFFSET(n)] or array[SAFE_OFFSET(n)]"
    return None


def _dot(node: Node) -> Problem:
    if isinstance(node.expression, (exp.Identifier, exp.Column)) and not isinstance(node.this, exp.Identifier):
        return None
    return node.sql(dialect="bigquery"), "use a function of docs/sql.md"


def _hash(node: Node) -> Problem:
    if isinstance(node, exp.SHA2Digest) and isinstance(node.parent, exp.LowerHex) and node.args["length"].name == "256":
        return None
    return "a hash as BYTES", "write FARM_FINGERPRINT(x), TO_HEX(SHA256(x)) or TO_HEX(MD5(x))"


def _date(node: Node) -> Problem:
    return _zone(node)


def _any_value(node: Node) -> Problem:
    if isinstance(node.this, exp.HavingMax):
        return None
    return "ANY_VALUE, which may answer otherwise on each run,", "write MIN(x), MAX(x) or ANY_VALUE(x HAVING MAX y)"


def _exactly_one_step(node: Node) -> Problem:
    return _units("GENERATE_DATE_ARRAY", {"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"})(node)


RULES: dict[type, Callable[[Node], Problem]] = {
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
    exp.AtTimeZone: _inside(exp.Extract, "AT TIME ZONE", "write EXTRACT(HOUR FROM t AT TIME ZONE 'Asia/Tokyo')"),
    exp.Interval: _inside(
        exp.GenerateDateArray, "INTERVAL", "write TIMESTAMP_ADD, TIMESTAMP_SUB, DATE_ADD or DATE_SUB"
    ),
    exp.SafeFunc: lambda node: (
        None
        if isinstance(node.this, (exp.StrToTime, exp.StrToDate))
        else ("SAFE.", "use SAFE_DIVIDE, SAFE_CAST or SAFE_OFFSET")
    ),
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Date: _date,
    exp.Timestamp: _date,
    exp.TimeToStr: _format("%Y %m %d %H %M %S %j %a %A %b %B %y %%", "", "FORMAT"),
    exp.StrToTime: _format("%Y %m %d %H %M %S %E*S", "%Y %m %d", "PARSE_TIMESTAMP"),
    exp.StrToDate: _format("%Y %m %d", "%Y %m %d", "PARSE_DATE"),
    exp.RegexpLike: _regexp,
    exp.RegexpExtract: _regexp,
    exp.RegexpExtractAll: _regexp,
    exp.RegexpReplace: _regexp,
    exp.Window: _window,
    exp.ArrayAgg: _ordered_aggregate,
    exp.GroupConcat: _ordered_aggregate,
    exp.AnyValue: _any_value,
    exp.Limit: _limit,
    exp.Ordered: _ordered,
    exp.Unnest: _unnest,
    exp.Join: _join,
    exp.Struct: _struct,
    exp.Array: _array,
    exp.Having: _shadowed,
    exp.Qualify: _shadowed,
    exp.Bracket: _bracket,
    exp.Dot: _dot,
    exp.SHA2Digest: _hash,
}
