"""One rewrite for each BigQuery construct that DuckDB, or sqlglot's translation to it, answers differently.

A rewrite gets a node whose children are already rewritten and returns its replacement. `REWRITES` lists them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from dsp_pipeline.sql.macros import WHITE_SPACE
from dsp_pipeline.sql.time_rewrites import TIME_REWRITES, call, number, text

Node = Any  # sqlglot's nodes carry untyped arguments

# Literals that are sqlglot's notes to itself, places and counts: not values of the query.
_NOT_A_VALUE = frozenset({"scale", "group", "default_year"})


def _literal(node: Node) -> Node:
    """DuckDB reads 1 as INTEGER and 0.1 as DECIMAL; BigQuery as INT64 and FLOAT64."""
    parent = node.parent
    if node.is_string or node.arg_key in _NOT_A_VALUE:
        return node
    if isinstance(parent, (exp.Limit, exp.WindowSpec, exp.Group, exp.Ordered, exp.SHA2Digest, exp.JSONPathSubscript)):
        return node
    if node.name.isdigit():
        # The sign belongs to it: 9223372036854775808 alone is no INT64.
        return node if isinstance(parent, exp.Neg) else number(int(node.name))
    return exp.Literal.number(f"{float(node.name)!r}" + ("" if "e" in repr(float(node.name)) else "e0"))


def _neg(node: Node) -> Node:
    whole = node.this.is_number and not node.this.is_string if isinstance(node.this, exp.Literal) else False
    return number(-int(node.this.name)) if whole and node.this.name.isdigit() else node


def _cast(node: Node) -> Node:
    kind = node.args["to"].this
    macro = {
        exp.DType.BIGINT: "bq_safe_int64",
        exp.DType.DOUBLE: "bq_safe_float64",
        exp.DType.TEXT: "bq_safe_string",
        exp.DType.BOOLEAN: "bq_safe_bool",
        exp.DType.DATE: "bq_safe_date",
        exp.DType.TIMESTAMPTZ: "bq_safe_timestamp",
    }.get(kind)
    if macro is None or isinstance(node.this, exp.Null):
        return node
    if kind in (exp.DType.DATE, exp.DType.TIMESTAMPTZ) and isinstance(node.this, exp.Literal):
        return node  # DATE '2026-11-22': portable.py has checked the text
    safe = call(macro, node.this)
    if isinstance(node, exp.TryCast):
        return safe
    names = {"bq_safe_int64": "INT64", "bq_safe_float64": "FLOAT64", "bq_safe_bool": "BOOL"}
    return call("bq_must", node.this.copy(), safe, text(names.get(macro, kind.value)))


def _sum(node: Node) -> Node:
    """DuckDB's SUM of BIGINT is a HUGEINT; it gets the type of what is summed, and overflows as BigQuery's does."""
    aggregate = node.this if isinstance(node, exp.Window) else node
    if not isinstance(aggregate, exp.Sum) or (aggregate is node and isinstance(node.parent, exp.Window)):
        return node
    value = aggregate.this.expressions[0] if isinstance(aggregate.this, exp.Distinct) else aggregate.this
    sample = value.copy() if isinstance(node, exp.Window) else call("any_value", value.copy())
    return call("cast_to_type", node.copy(), sample)


def _count_if(node: Node) -> Node:
    return exp.Count(this=exp.Case(ifs=[exp.If(this=node.this, true=number(1))]))


def _concat(node: Node) -> Node:
    """DuckDB's CONCAT skips NULL; `||` does not."""
    result = node.expressions[0]
    for other in node.expressions[1:]:
        result = exp.DPipe(this=result, expression=other)
    return exp.Paren(this=result)


def _trim(node: Node) -> Node:
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or "").upper(), "trim")
    return call(name, node.this, node.expression or text(WHITE_SPACE))


def _like(node: Node) -> Node:
    """In BigQuery a backslash takes the meaning of % and _ away; in DuckDB only when told so."""
    return exp.Escape(this=node.copy(), expression=text("\\"))


def _substring(node: Node) -> Node:
    if node.args.get("length") is None:
        return call("bq_substr", node.this, node.args["start"])
    return call("bq_substr_n", node.this, node.args["start"], node.args["length"])


def _regexp_extract(node: Node) -> Node:
    group = node.args.get("group")
    return call("bq_regexp_extract", node.this, node.expression, exp.Literal.number(group.name if group else 0))


def _regexp_extract_all(node: Node) -> Node:
    group = node.args.get("group")
    return call("regexp_extract_all", node.this, node.expression, exp.Literal.number(group.name if group else 0))


def _json_value(node: Node) -> Node:
    path = "$"
    for step in node.expression.expressions[1:]:
        path += f"[{step.name or step.this}]" if isinstance(step, exp.JSONPathSubscript) else f".{step.name}"
    return call("bq_json_value", node.this, text(path))


def _bracket(node: Node) -> Node:
    (place,) = node.expressions
    if node.args.get("offset") == 1:
        place = exp.Paren(this=exp.Sub(this=place, expression=number(1)))
    return call("bq_safe_offset" if node.args.get("safe") else "bq_offset", node.this, place)


def _array_concat(node: Node) -> Node:
    result = node.this
    for other in node.expressions:
        result = call("bq_array_concat", result, other)
    return result


def _array_agg(node: Node) -> Node:
    """ARRAY_AGG(x IGNORE NULLS ORDER BY y LIMIT n): DuckDB filters first and cuts afterwards."""
    ignore_nulls = isinstance(node, exp.IgnoreNulls)
    aggregate = node.this if ignore_nulls else node
    if not isinstance(aggregate, exp.ArrayAgg) or (not ignore_nulls and isinstance(node.parent, exp.IgnoreNulls)):
        return node
    inner, limit = aggregate.this, None
    if isinstance(inner, exp.Limit):
        inner, limit = inner.this, inner.expression
    value = inner.this if isinstance(inner, exp.Order) else inner
    value = value.expressions[0] if isinstance(value, exp.Distinct) else value
    result: Node = call("array_agg", inner)
    if ignore_nulls:
        present = exp.Not(this=exp.Is(this=value.copy(), expression=exp.Null()))
        result = exp.Filter(this=result, expression=exp.Where(this=present))
    return call("list_slice", result, exp.Literal.number(1), limit.copy()) if limit is not None else result


def _any_value(node: Node) -> Node:
    if not isinstance(node.this, exp.HavingMax):
        return node
    name = "arg_max_null" if node.this.args.get("max") else "arg_min_null"
    return call(name, node.this.this, node.this.expression)


def _unnest(node: Node) -> Node:
    """UNNEST(a) AS x WITH OFFSET AS i: DuckDB counts from 1; a subquery beside the array counts from 0."""
    if not isinstance(node.parent, (exp.From, exp.Join)):
        return node
    (array,) = node.expressions
    alias = node.args.get("alias")
    element = (alias.columns[0] if alias.columns else alias.this) if alias else exp.to_identifier("_element")
    select = exp.select(exp.alias_(call("unnest", array), element.copy()))
    if isinstance(node.args.get("offset"), exp.Identifier):
        place = exp.Sub(this=call("generate_subscripts", array.copy(), exp.Literal.number(1)), expression=number(1))
        select = select.select(exp.alias_(place, node.args["offset"].copy()))
    if isinstance(node.parent, exp.Join) and node.parent.side and not node.parent.args.get("on"):
        node.parent.set("on", exp.true())
    return select.subquery(f"_unnest_{element.name}", copy=False)


def _to(name: str, kind: str | None = None) -> Callable[[Node], Node]:
    """The same arguments under another name, and cast to `kind`."""

    def rewrite(node: Node) -> Node:
        arguments = [node.this, *([node.args["expression"]] if node.args.get("expression") is not None else [])]
        result = call(name, *arguments)
        return exp.cast(result, kind, dialect="duckdb") if kind else result

    return rewrite


def _int_div(node: Node) -> Node:
    """DuckDB's is an operator, sqlglot writes no parentheses: without these DIV(a + b, c) would be a + (b // c)."""
    left, right = (exp.Paren(this=operand.copy()) for operand in (node.this, node.expression))
    return exp.Paren(this=exp.IntDiv(this=left, expression=right))


REWRITES: dict[type, Callable[[Node], Node]] = {
    **TIME_REWRITES,
    exp.Literal: _literal,
    exp.Neg: _neg,
    exp.Parameter: lambda node: exp.cast(node.copy(), "DATE", dialect="duckdb"),
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Sum: _sum,
    exp.Window: _sum,
    exp.CountIf: _count_if,
    exp.LogicalAnd: _to("bool_and"),
    exp.LogicalOr: _to("bool_or"),
    exp.AnyValue: _any_value,
    exp.ArgMax: _to("arg_max_null"),
    exp.ArgMin: _to("arg_min_null"),
    exp.ArrayAgg: _array_agg,
    exp.IgnoreNulls: _array_agg,
    exp.Div: _to("bq_divide"),
    exp.SafeDivide: _to("bq_safe_divide"),
    exp.IntDiv: _int_div,
    exp.Mod: lambda node: exp.Paren(this=node.copy()),
    exp.Ln: _to("bq_ln"),
    exp.Sqrt: _to("bq_sqrt"),
    exp.Exp: _to("bq_exp"),
    exp.Pow: _to("bq_pow"),
    exp.Round: _to("round", "DOUBLE"),
    exp.Floor: _to("floor", "DOUBLE"),
    exp.Ceil: _to("ceil", "DOUBLE"),
    exp.Trunc: _to("trunc", "DOUBLE"),
    exp.Sign: lambda node: call("cast_to_type", call("sign", node.this), node.this.copy()),
    exp.RangeBucket: _to("bq_range_bucket"),
    exp.Concat: _concat,
    exp.Trim: _trim,
    exp.Like: _like,
    exp.Substring: _substring,
    exp.Left: _to("bq_left"),
    exp.Right: _to("bq_right"),
    exp.Length: _to("length"),
    exp.Split: _to("string_split"),
    exp.StrPosition: lambda node: call("strpos", node.this, node.args["substr"]),
    exp.RegexpLike: _to("regexp_matches"),
    exp.RegexpExtract: _regexp_extract,
    exp.RegexpExtractAll: _regexp_extract_all,
    exp.RegexpReplace: lambda node: call(
        "regexp_replace", node.this, node.expression, node.args["replacement"], text("g")
    ),
    exp.RawString: lambda node: text(node.name),
    exp.LowerHex: lambda node: call("sha256", node.this.this) if isinstance(node.this, exp.SHA2Digest) else node,
    exp.JSONExtractScalar: _json_value,
    exp.Bracket: _bracket,
    exp.ArraySize: _to("len"),
    exp.ArrayConcat: _array_concat,
    exp.Unnest: _unnest,
}
