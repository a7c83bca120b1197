"""Functions of BigQuery's SQL that local-bigquery answers otherwise than Google documents.

It knows most differences between BigQuery and DuckDB, which runs the queries; these were left. Rules of the tree come
before its own; the macros that they name are in dialect.sql.
"""

from pathlib import Path

import duckdb
import farmhash
import pyarrow as pa
from local_bigquery.engine import database
from local_bigquery.sql import native
from local_bigquery.sql.dialect import macro
from local_bigquery.sql.rules import NODE_RULES, STATEMENT_RULES
from local_bigquery.sql.rules.typing import BYTES, DECIMALS, TEXT, kind
from sqlglot import exp

Type = exp.DataType.Type

_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_WHOLE_UNITS = {"MILLISECOND": 1_000, "MICROSECOND": 1_000_000}
_TEXTS = {
    Type.BIGINT: ("int64", r"\s*[+-]?(0[xX][0-9a-fA-F]+|[0-9]+)\s*"),
    Type.BOOLEAN: ("bool", r"(?i)true|false"),
    Type.DATE: ("date", r"\s*[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*"),
}


def install() -> None:
    database.FUNCTIONS.append(Path(__file__).with_suffix(".sql"))
    STATEMENT_RULES.insert(0, grouping)
    NODE_RULES.insert(0, function)
    del native.FUNCTIONS["_farm_fingerprint"]
    register = native.register

    def with_fingerprint(connection: duckdb.DuckDBPyConnection) -> None:
        register(connection)
        connection.create_function("_farm_fingerprint", fingerprints, ["BLOB"], "BIGINT", type="arrow")

    native.register = with_fingerprint


def fingerprints(values: pa.ChunkedArray) -> pa.Array:
    """FARM_FINGERPRINT of a whole vector: local-bigquery's own is right, and slow."""
    unsigned = pa.array(
        [None if value is None else farmhash.fingerprint64(value) for value in values.to_pylist()], pa.uint64()
    )
    return unsigned.view(pa.int64())


def grouping(tree: exp.Expression, context) -> exp.Expression:
    """GROUP BY means the column of the answer where one of the tables has the same name."""
    for select in tree.find_all(exp.Select):
        group = select.args.get("group")
        aliases = {
            each.alias.casefold(): place
            for place, each in enumerate(select.expressions, 1)
            if isinstance(each, exp.Alias) and not isinstance(each.this, exp.Column)
        }
        for each in list(group.expressions) if group else []:
            if isinstance(each, exp.Column) and not each.table and each.name.casefold() in aliases:
                each.replace(exp.Literal.number(aliases[each.name.casefold()]))
    return tree


def function(node: exp.Expression, context) -> exp.Expression:
    """One node of the tree, in words that mean the same to DuckDB."""
    match node:
        case exp.Substring() if kind(node.this) not in BYTES:
            given = [node.this, node.args["start"], node.args.get("length")]
            return macro("_substr_n", *given) if given[2] else macro("_substr", *given[:2])
        case exp.Left() | exp.Right() if kind(node.this) not in BYTES:
            return macro(f"_{node.key}", node.this, node.expression)
        case exp.Exp():
            return macro("_exp", node.this)
        case exp.Pow() if not {kind(node.this), kind(node.expression)} & set(DECIMALS):
            return macro("_pow", node.this, node.expression)
        case exp.Round() if kind(node.this) in exp.DataType.INTEGER_TYPES:
            node.set("this", exp.cast(node.this, "DOUBLE"))
        case exp.Trim() if node.expression is None and kind(node.this) not in BYTES:
            node.set("expression", exp.Literal.string(_WHITE_SPACE))
        case exp.Extract() if node.this.name.upper() in _WHOLE_UNITS:
            whole = exp.Literal.number(_WHOLE_UNITS[node.this.name.upper()])
            return exp.paren(exp.Mod(this=node, expression=whole), copy=False)
        case exp.UnixMillis():
            return macro("_unix_millis", node.this)
        case exp.Cast() if kind(node.this) in TEXT and node.to.this in _TEXTS and not node.args.get("format"):
            name, pattern = _TEXTS[node.to.this]
            text, readable = node.this, exp.Literal.string(pattern)
            if isinstance(node, exp.TryCast):
                node.set("this", macro("_readable_or_null", text, readable))
            else:
                node.set("this", macro("_readable", text, readable, exp.Literal.string(name)))
    return node
