"""BigQuery's functions in DuckDB's words: what `translate` names and `prepare` creates.

Every macro begins with `bq_`. A macro that needs the type of its argument asks `typeof`, which DuckDB decides once
per query, not per row. Where BigQuery raises an error, so does the macro: a day that fails here must fail there.
"""

from __future__ import annotations

# All white space of Unicode, which BigQuery's TRIM takes away; DuckDB's takes only U+0020.
WHITE_SPACE = "".join(map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029)))
WHITE_SPACE += "\u202f\u205f\u3000"

_INTEGER = r"\s*[+-]?[0-9]+\s*"
_FLOAT = r"(?i)\s*[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity|nan)\s*"
_DAY = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
_TIME = _DAY + r"([ Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]{1,6})?)?(Z|z|[+-][0-9]{1,2}(:[0-9]{2})?)?"

MACROS: dict[str, str] = {
    # Arithmetic. DuckDB answers inf or NaN where BigQuery stops.
    "bq_divide(a, b)": "CASE WHEN b = 0 AND a IS NOT NULL THEN error('division by zero') ELSE CAST(a AS DOUBLE) / b END",
    "bq_safe_divide(a, b)": "CASE WHEN b = 0 THEN NULL WHEN isfinite(CAST(a AS DOUBLE)) AND isfinite(CAST(b AS DOUBLE)) "
    "AND NOT isfinite(CAST(a AS DOUBLE) / b) THEN NULL ELSE CAST(a AS DOUBLE) / b END",
    "bq_ln(x)": "CASE WHEN x <= 0 THEN error('LN of a number that is not positive') ELSE ln(CAST(x AS DOUBLE)) END",
    "bq_sqrt(x)": "CASE WHEN x < 0 THEN error('SQRT of a negative number') ELSE sqrt(CAST(x AS DOUBLE)) END",
    "bq_exp(x)": "CASE WHEN isfinite(CAST(x AS DOUBLE)) AND NOT isfinite(exp(CAST(x AS DOUBLE))) "
    "THEN error('EXP is too large for FLOAT64') ELSE exp(CAST(x AS DOUBLE)) END",
    "bq_pow(x, y)": "CASE WHEN isfinite(CAST(x AS DOUBLE)) AND isfinite(CAST(y AS DOUBLE)) "
    "AND NOT isfinite(pow(CAST(x AS DOUBLE), CAST(y AS DOUBLE))) "
    "THEN error('POW is not a FLOAT64') ELSE pow(CAST(x AS DOUBLE), CAST(y AS DOUBLE)) END",
    "bq_range_bucket(point, bounds)": "CASE WHEN point IS NULL OR bounds IS NULL THEN NULL "
    "ELSE len(list_filter(bounds, lambda bound: bound <= point)) END",
    # Text.
    "bq_substr(x, start)": "substr(x, CASE WHEN start = 0 OR start < -length(x) THEN 1 ELSE start END)",
    "bq_substr_n(x, start, n)": "CASE WHEN n < 0 THEN error('SUBSTR with a negative length') "
    "ELSE substr(x, CASE WHEN start = 0 OR start < -length(x) THEN 1 ELSE start END, n) END",
    "bq_left(x, n)": "CASE WHEN n < 0 THEN error('LEFT with a negative length') ELSE left(x, n) END",
    "bq_right(x, n)": "CASE WHEN n < 0 THEN error('RIGHT with a negative length') ELSE right(x, n) END",
    "bq_regexp_extract(x, pattern, n)": "CASE WHEN regexp_matches(x, pattern) THEN regexp_extract(x, pattern, n) END",
    "bq_json_value(x, path)": "CASE WHEN json_type(x, path) IN ('OBJECT', 'ARRAY', 'NULL') THEN NULL "
    "ELSE json_extract_string(x, path) END",
    # Arrays. DuckDB counts from 1, backwards for negative places, and never stops.
    "bq_offset(a, i)": "CASE WHEN i < 0 OR i >= len(a) THEN error('array index is out of bounds') ELSE a[i + 1] END",
    "bq_safe_offset(a, i)": "CASE WHEN i >= 0 THEN a[i + 1] END",
    "bq_array_concat(a, b)": "CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN list_concat(a, b) END",
    # Days. `x - DATE` is a number for a DATE only, so that a TIMESTAMP stops instead of losing its hours.
    "bq_date(x)": "DATE '1970-01-01' + CAST(x - DATE '1970-01-01' AS INTEGER)",
    "bq_date_add(x, n)": "bq_date(x) + CAST(n AS INTEGER)",
    "bq_date_add_months(x, n)": "CAST(bq_date(x) + to_months(CAST(n AS INTEGER)) AS DATE)",
    "bq_date_diff(unit, a, b)": "date_diff(unit, bq_date(b), bq_date(a))",
    "bq_date_trunc(unit, x)": "CAST(date_trunc(unit, bq_date(x)) AS DATE)",
    "bq_date_trunc_week(shift, x)": "CAST(date_trunc('week', bq_date(x) + shift) AS DATE) - shift",
    "bq_date_diff_weeks(shift, a, b)": "(bq_date_trunc_week(shift, a) - bq_date_trunc_week(shift, b)) // 7",
    # Times. A BigQuery day is 24 hours; whole units are counted, not the borders between them.
    "bq_timestamp_add(t, micros)": "make_timestamptz(epoch_us(t) + micros)",
    "bq_timestamp_diff(a, b, micros)": "(epoch_us(a) - epoch_us(b)) // micros",
    "bq_timestamp_trunc(unit, t, zone)": "timezone(zone, date_trunc(unit, timezone(zone, t)))",
    "bq_timestamp_trunc_week(shift, t, zone)": "timezone(zone, date_trunc('week', timezone(zone, t) + to_days(shift)) "
    "- to_days(shift))",
    "bq_floor_micros(t, micros)": "epoch_us(t) // micros - CAST(epoch_us(t) % micros < 0 AS BIGINT)",
    "bq_week(x)": "CAST(strftime(x, '%U') AS BIGINT)",
    "bq_week_monday(x)": "CAST(strftime(x, '%W') AS BIGINT)",
    "bq_format_timestamp(t, format, zone)": "strftime(timezone(zone, t), format)",
    # CAST: the `safe` form answers NULL, the other one stops.
    "bq_safe_int64(x)": "CASE typeof(x) WHEN 'BIGINT' THEN TRY_CAST(x AS BIGINT) WHEN 'INTEGER' THEN TRY_CAST(x AS BIGINT) "
    "WHEN 'DOUBLE' THEN TRY_CAST(round(TRY_CAST(x AS DOUBLE)) AS BIGINT) WHEN 'BOOLEAN' THEN TRY_CAST(x AS BIGINT) "
    f"WHEN 'VARCHAR' THEN CASE WHEN regexp_full_match(CAST(x AS VARCHAR), '{_INTEGER}') THEN TRY_CAST(x AS BIGINT) END "
    """WHEN '"NULL"' THEN NULL ELSE error('no CAST from ' || typeof(x) || ' to INT64') END""",
    "bq_safe_float64(x)": "CASE typeof(x) WHEN 'BIGINT' THEN TRY_CAST(x AS DOUBLE) WHEN 'INTEGER' THEN TRY_CAST(x AS DOUBLE) "
    "WHEN 'DOUBLE' THEN TRY_CAST(x AS DOUBLE) "
    f"WHEN 'VARCHAR' THEN CASE WHEN regexp_full_match(CAST(x AS VARCHAR), '{_FLOAT}') THEN TRY_CAST(x AS DOUBLE) END "
    """WHEN '"NULL"' THEN NULL ELSE error('no CAST from ' || typeof(x) || ' to FLOAT64') END""",
    "bq_safe_bool(x)": "CASE typeof(x) WHEN 'BOOLEAN' THEN TRY_CAST(x AS BOOLEAN) "
    "WHEN 'BIGINT' THEN TRY_CAST(x AS BIGINT) <> 0 "
    "WHEN 'VARCHAR' THEN CASE lower(CAST(x AS VARCHAR)) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END "
    """WHEN '"NULL"' THEN NULL ELSE error('no CAST from ' || typeof(x) || ' to BOOL') END""",
    "bq_safe_string(x)": "CASE WHEN typeof(x) IN ('VARCHAR', 'BIGINT', 'INTEGER', 'BOOLEAN', 'DATE') THEN CAST(x AS VARCHAR) "
    "WHEN typeof(x) = 'TIMESTAMP WITH TIME ZONE' THEN CASE WHEN epoch_us(TRY_CAST(x AS TIMESTAMPTZ)) % 1000000 = 0 "
    "THEN strftime(timezone('UTC', TRY_CAST(x AS TIMESTAMPTZ)), '%Y-%m-%d %H:%M:%S+00') "
    "WHEN x IS NOT NULL THEN error('CAST of a TIMESTAMP with fractions of a second to STRING; use FORMAT_TIMESTAMP') END "
    """WHEN typeof(x) = '"NULL"' THEN NULL ELSE error('no portable CAST from ' || typeof(x) || ' to STRING') END""",
    "bq_safe_date(x)": "CASE WHEN typeof(x) IN ('DATE', 'TIMESTAMP', 'TIMESTAMP WITH TIME ZONE') THEN TRY_CAST(x AS DATE) "
    f"WHEN typeof(x) = 'VARCHAR' THEN CASE WHEN regexp_full_match(CAST(x AS VARCHAR), '{_DAY}') THEN TRY_CAST(x AS DATE) END "
    """WHEN typeof(x) = '"NULL"' THEN NULL ELSE error('no CAST from ' || typeof(x) || ' to DATE') END""",
    "bq_safe_timestamp(x)": "CASE WHEN typeof(x) IN ('DATE', 'TIMESTAMP', 'TIMESTAMP WITH TIME ZONE') "
    "THEN TRY_CAST(x AS TIMESTAMPTZ) WHEN typeof(x) = 'VARCHAR' THEN "
    f"CASE WHEN regexp_full_match(CAST(x AS VARCHAR), '{_TIME}') THEN TRY_CAST(x AS TIMESTAMPTZ) END "
    """WHEN typeof(x) = '"NULL"' THEN NULL ELSE error('no CAST from ' || typeof(x) || ' to TIMESTAMP') END""",
    "bq_must(x, y, type)": "CASE WHEN x IS NOT NULL AND y IS NULL THEN error('bad ' || type || ' value: ' || CAST(x AS VARCHAR)) "
    "ELSE y END",
}
