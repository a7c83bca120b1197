"""The finer print of the whitelist: which patterns, joins, orders and structs of an allowed node were proven.

A rule gets a node and answers None, or (what is wrong, what to write instead).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from dsp_pipeline.sql.place import construct_of
from dsp_pipeline.sql.portable_time import TIME_RULES

Node = Any
Problem = tuple[str, str] | None

_RANKS = (exp.RowNumber, exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile)
_NEEDS_ORDER = (*_RANKS, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue)
_OVER = (*_NEEDS_ORDER, exp.Count, exp.CountIf, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.LogicalAnd, exp.LogicalOr)


def _inside(parent: type | tuple[type, ...], construct: str, cure: str) -> Callable[[Node], Problem]:
    return lambda node: None if isinstance(node.parent, parent) else (construct, cure)


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
    if isinstance(function, _NEEDS_ORDER) and node.args.get("order") is None:
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
    if len(node.expressions) != 1:
        return "UNNEST of several arrays", "join two UNNESTs by their offsets"
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


def _ignore_nulls(node: Node) -> Problem:
    if isinstance(node.this, (exp.ArrayAgg, exp.FirstValue, exp.LastValue)):
        return None
    return f"{construct_of(node.this)} with IGNORE NULLS", "filter the rows in a subquery"


def _distinct(node: Node) -> Problem:
    if len(node.expressions) > 1:
        return "DISTINCT of several values", "concatenate them, or select them DISTINCT in a subquery"
    return None


def _set_operation(node: Node) -> Problem:
    if node.args.get("distinct"):
        return None
    return f"{construct_of(node)} ALL", f"write {construct_of(node)} DISTINCT"


def _table_alias(node: Node) -> Problem:
    if node.args.get("columns") and not isinstance(node.parent, exp.Unnest):
        return "a list of column names after the alias", "name the columns with AS in the SELECT"
    return None


def _json_step(node: Node) -> Problem:
    if re.fullmatch(r"[A-Za-z_]\w*" if isinstance(node, exp.JSONPathKey) else r"\d+", str(node.this)):
        return None
    return "this JSON path", "write '$.key' and '[0]' steps"


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


def _any_value(node: Node) -> Problem:
    if isinstance(node.this, exp.HavingMax):
        return None
    return "ANY_VALUE, which may answer otherwise on each run,", "write MIN(x), MAX(x) or ANY_VALUE(x HAVING MAX y)"


RULES: dict[type, Callable[[Node], Problem]] = {
    **TIME_RULES,
    exp.AtTimeZone: _inside(exp.Extract, "AT TIME ZONE", "write EXTRACT(HOUR FROM t AT TIME ZONE 'Asia/Tokyo')"),
    exp.Interval: _inside(
        exp.GenerateDateArray, "INTERVAL", "write TIMESTAMP_ADD, TIMESTAMP_SUB, DATE_ADD or DATE_SUB"
    ),
    exp.SafeFunc: lambda node: (
        None
        if isinstance(node.this, (exp.StrToTime, exp.StrToDate))
        else ("SAFE.", "use SAFE_DIVIDE, SAFE_CAST or SAFE_OFFSET")
    ),
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
    exp.IgnoreNulls: _ignore_nulls,
    exp.HavingMax: _inside(exp.AnyValue, "HAVING MAX", "write ANY_VALUE(x HAVING MAX y)"),
    exp.Distinct: _distinct,
    exp.Except: _set_operation,
    exp.Intersect: _set_operation,
    exp.TableAlias: _table_alias,
    exp.JSONPathKey: _json_step,
    exp.JSONPathSubscript: _json_step,
    exp.Struct: _struct,
    exp.Array: _array,
    exp.Having: _shadowed,
    exp.Qualify: _shadowed,
    exp.Bracket: _bracket,
    exp.Dot: _dot,
    exp.SHA2Digest: _hash,
}
