"""The whitelist: what was proven to mean the same on BigQuery and DuckDB. Everything else is refused.

`ALLOWED` names sqlglot's nodes and, of each, the arguments that were proven; an unknown function is a node too
(`Anonymous`), so nothing slips through. `tests/sql/golden.json` holds the proofs.
"""

from __future__ import annotations

from pathlib import Path

from sqlglot import exp

from dsp_pipeline.errors import NonPortableSqlError
from dsp_pipeline.sql.place import construct_of, line_of
from dsp_pipeline.sql.portable_rules import RULES

NOT_PROVEN = (
    "it is not among the constructs proven equal on BigQuery and DuckDB (docs/sql.md lists them); "
    "add it with its documented result to tests/sql/golden.json"
)

_SHAPE = """
Select expressions from_ joins where group having qualify order limit distinct with_
Subquery this alias with_
Union this expression distinct with_
Except this expression distinct with_
Intersect this expression distinct with_
From this
Join this side kind on using
Where this
Group expressions
Having this
Qualify this
Order this expressions
Ordered this desc nulls_first
Limit this expression
Distinct expressions
With expressions
CTE this alias
TableAlias this columns
Table this alias
Identifier this quoted
Column this table
Star
Alias this alias
Unnest expressions alias offset explode_array
Parameter this
Var this
DType
DataType this
Window this partition_by order spec over
WindowSpec kind start start_side end end_side
Exists this
Literal this is_string
RawString this
Boolean this
Null
Paren this
"""
_OPERATORS = """
And this expression
Or this expression
Not this
EQ this expression
NEQ this expression
LT this expression
LTE this expression
GT this expression
GTE this expression
NullSafeEQ this expression
NullSafeNEQ this expression
Between this low high
In this expressions query unnest
Is this expression
Like this expression negate
Neg this
Add this expression
Sub this expression
Mul this expression
Div this expression typed safe
DPipe this expression safe
BitwiseAnd this expression
BitwiseOr this expression
BitwiseXor this expression
BitwiseNot this
Case this ifs default
If this true false
Coalesce this expressions
Nullif this expression
Cast this to
TryCast this to safe
"""
_FUNCTIONS = """
Abs this
Sign this
Ceil this
Floor this
Round this
Trunc this
Sqrt this
Exp this
Ln this
Pow this expression
SafeDivide this expression
IntDiv this expression
Mod this expression
Greatest this expressions ignore_nulls
Least this expressions ignore_nulls
IsNan this
IsInf this
RangeBucket this expression
FarmFingerprint expressions
LowerHex this
MD5 this
SHA2Digest this length
Concat expressions safe coalesce
Lower this
Upper this
Trim this expression position
Substring this start length
Left this expression
Right this expression
Length this binary
Replace this expression replacement
StartsWith this expression
EndsWith this expression
StrPosition this substr
Split this expression
RegexpLike this expression negate
RegexpExtract this expression group null_if_pos_overflow null_if_no_match
RegexpExtractAll this expression group
RegexpReplace this expression replacement
JSONExtractScalar this expression scalar_only
JSONPath expressions
JSONPathRoot
JSONPathKey this
JSONPathSubscript this
Array expressions value_constructor struct_name_inheritance bracket_notation
ArraySize this
ArrayConcat this expressions null_propagation
ArrayReverse this
ArrayToString this expression
Bracket this expressions offset safe
GenerateSeries start end step
GenerateDateArray start end step
Interval this unit
Struct expressions
PropertyEQ this expression
Dot this expression
Extract this expression
AtTimeZone this zone
WeekStart this
Date this zone
DateFromParts year month day
DateAdd this expression unit
DateSub this expression unit
DateDiff this expression unit date_part_boundary
DateTrunc this unit
LastDay this
UnixDate this
Timestamp this zone with_tz
TimestampAdd this expression unit
TimestampSub this expression unit
TimestampDiff this expression unit
TimestampTrunc this unit zone
UnixSeconds this
UnixMillis this
UnixMicros this
UnixToTime this scale
Datetime this expression
DatetimeDiff this expression unit date_part_boundary
TimeToStr this format zone
TsOrDsToDate this
TsOrDsToTimestamp this
StrToTime this format default_year zone
StrToDate this format default_year
SafeFunc this
Count this big_int
CountIf this
Sum this
Avg this
Min this
Max this
LogicalAnd this
LogicalOr this
Stddev this
StddevSamp this
StddevPop this
Variance this
VariancePop this
AnyValue this
HavingMax this expression max
ArgMax this expression
ArgMin this expression
ArrayAgg this
GroupConcat this separator
IgnoreNulls this
RowNumber
Rank
DenseRank
PercentRank
CumeDist
Ntile this
Lag this offset default
Lead this offset default
FirstValue this
LastValue this
"""
ALLOWED: dict[str, frozenset[str]] = {
    name: frozenset(arguments)
    for name, *arguments in (line.split() for line in (_SHAPE + _OPERATORS + _FUNCTIONS).splitlines() if line)
}

# What to write instead, by sqlglot's node or by the function's name.
INSTEAD = {
    "ApproxDistinct": "write COUNT(DISTINCT …) (the two engines approximate differently)",
    "ApproxQuantile": "rank with ROW_NUMBER() and COUNT(*) OVER () and take the row at the quantile",
    "ApproxQuantiles": "rank with ROW_NUMBER() and COUNT(*) OVER () and take the row at the quantile",
    "PercentileCont": "rank with ROW_NUMBER() and COUNT(*) OVER () and take the row at the quantile",
    "PercentileDisc": "rank with ROW_NUMBER() and COUNT(*) OVER () and take the row at the quantile",
    "Log": "write LN(x) / LN(base)",
    "JSONFormat": "write the text with CONCAT and CAST(… AS STRING)",
    "Format": "write CONCAT and CAST(… AS STRING), or FORMAT_DATE / FORMAT_TIMESTAMP",
    "BitwiseLeftShift": "write x * 2 for each place (BigQuery drops bits that leave; DuckDB stops)",
    "BitwiseRightShift": "write DIV(x, 2) for each place",
    "HexString": "write the number in decimal",
    "Tuple": "write STRUCT(… AS name, …), or one comparison for each column",
    "NetFunc": r"write REGEXP_EXTRACT(url, r'^(?:[a-z]+:)?//([^/:?#]+)')",
    "TableSample": "write MOD(ABS(MOD(FARM_FINGERPRINT(key), 100)), 100) < n: the same rows on each run",
    "Pivot": "write SUM(IF(kind = 'a', value, 0)) for each column",
    "Escape": "write the backslash inside the LIKE pattern",
    "Select.windows": "write the window at each function: OVER (PARTITION BY … ORDER BY …)",
    "Window.alias": "write the window at each function: OVER (PARTITION BY … ORDER BY …)",
    "ILike": "write LOWER(x) LIKE 'pattern'",
    "Xor": "write a != b",
    "Rollup": "write one SELECT for each level and UNION ALL",
    "Cube": "write one SELECT for each level and UNION ALL",
    "GroupingSets": "write one SELECT for each level and UNION ALL",
    "Explode": "write FROM UNNEST(…) AS element",
    "Values": "write FROM UNNEST([STRUCT(… AS name), …]) AS row",
    "Initcap": "write UPPER and LOWER",
    "Filter": "write COUNTIF(…) or SUM(IF(…, x, NULL))",
    "Median": "rank with ROW_NUMBER() and COUNT(*) OVER () and take the row in the middle",
    "DatetimeTrunc": "write TIMESTAMP_TRUNC",
    "SafeAdd": "write +, and keep the values small",
    "IEEE_DIVIDE": "write SAFE_DIVIDE",
    "CurrentTimestamp": "use @date",
    "CurrentDate": "use @date",
    "CurrentDatetime": "use @date",
    "Rand": "write FARM_FINGERPRINT of the key",
    "Uuid": "write FARM_FINGERPRINT of the key",
}


def check(tree: exp.Expr, path: Path | str = "query") -> None:
    """Raise NonPortableSqlError at the first construct that is not proven, with its line and what to write."""
    for node in tree.walk(bfs=False):
        kind = type(node).__name__
        allowed = ALLOWED.get(kind)
        if allowed is None:
            name = node.name.upper() if isinstance(node, exp.Anonymous) else kind
            raise NonPortableSqlError(path, line_of(node), construct_of(node), INSTEAD.get(name, NOT_PROVEN))
        for argument, value in node.args.items():
            if argument not in allowed and value is not None and value is not False and value != []:
                shown = value.sql(dialect="bigquery") if isinstance(value, exp.Expr) else argument.strip("_")
                construct = f"{construct_of(node)} with {argument.strip('_').replace('_', ' ')} {shown}"
                instead = INSTEAD.get(type(value).__name__) or INSTEAD.get(f"{kind}.{argument}", NOT_PROVEN)
                raise NonPortableSqlError(path, line_of(node), construct, instead)
        rule = RULES.get(type(node))
        problem = rule(node) if rule else None
        if problem:
            raise NonPortableSqlError(path, line_of(node), *problem)
