"""BigQuery's functions in DuckDB's words: what `rewrites` names and `translate.prepare` creates.

Every macro begins with `bq_`. A macro that needs the type of its argument asks `typeof`, which DuckDB decides once
per query, not per row. Where BigQuery raises an error, so does the macro: a day that fails there must fail here.
"""

from __future__ import annotations

# All white space of Unicode, which BigQuery's TRIM takes away; DuckDB's takes only U+0020.
WHITE_SPACE = "".join(map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029)))
WHITE_SPACE += "\u202f\u205f\u3000"

_ARITHMETIC = """
-- DuckDB answers inf or NaN where BigQuery stops.
CREATE OR REPLACE MACRO bq_divide(a, b) AS
    CASE WHEN b = 0 AND a IS NOT NULL THEN error('division by zero') ELSE CAST(a AS DOUBLE) / b END;
CREATE OR REPLACE MACRO bq_safe_divide(a, b) AS
    CASE WHEN b = 0 THEN NULL
         WHEN isfinite(CAST(a AS DOUBLE)) AND isfinite(CAST(b AS DOUBLE)) AND NOT isfinite(CAST(a AS DOUBLE) / b)
         THEN NULL
         ELSE CAST(a AS DOUBLE) / b END;
CREATE OR REPLACE MACRO bq_ln(x) AS
    CASE WHEN x <= 0 THEN error('LN of a number that is not positive') ELSE ln(CAST(x AS DOUBLE)) END;
CREATE OR REPLACE MACRO bq_sqrt(x) AS
    CASE WHEN x < 0 THEN error('SQRT of a negative number') ELSE sqrt(CAST(x AS DOUBLE)) END;
CREATE OR REPLACE MACRO bq_exp(x) AS
    CASE WHEN isfinite(CAST(x AS DOUBLE)) AND NOT isfinite(exp(CAST(x AS DOUBLE)))
         THEN error('EXP is too large for FLOAT64') ELSE exp(CAST(x AS DOUBLE)) END;
CREATE OR REPLACE MACRO bq_pow(x, y) AS
    CASE WHEN isfinite(CAST(x AS DOUBLE)) AND isfinite(CAST(y AS DOUBLE))
          AND NOT isfinite(pow(CAST(x AS DOUBLE), CAST(y AS DOUBLE)))
         THEN error('POW is not a FLOAT64') ELSE pow(CAST(x AS DOUBLE), CAST(y AS DOUBLE)) END;
CREATE OR REPLACE MACRO bq_range_bucket(point, bounds) AS
    CASE WHEN point IS NULL OR bounds IS NULL THEN NULL ELSE len(list_filter(bounds, lambda bound: bound <= point)) END;
"""

_TEXT = """
CREATE OR REPLACE MACRO bq_substr(x, start) AS
    substr(x, CASE WHEN start = 0 OR start < -length(x) THEN 1 ELSE start END);
CREATE OR REPLACE MACRO bq_substr_n(x, start, n) AS
    CASE WHEN n < 0 THEN error('SUBSTR with a negative length')
         ELSE substr(x, CASE WHEN start = 0 OR start < -length(x) THEN 1 ELSE start END, n) END;
CREATE OR REPLACE MACRO bq_left(x, n) AS
    CASE WHEN n < 0 THEN error('LEFT with a negative length') ELSE left(x, n) END;
CREATE OR REPLACE MACRO bq_right(x, n) AS
    CASE WHEN n < 0 THEN error('RIGHT with a negative length') ELSE right(x, n) END;
CREATE OR REPLACE MACRO bq_regexp_extract(x, pattern, n) AS
    CASE WHEN regexp_matches(x, pattern) THEN regexp_extract(x, pattern, n) END;
CREATE OR REPLACE MACRO bq_json_value(x, path) AS
    CASE WHEN json_type(x, path) IN ('OBJECT', 'ARRAY', 'NULL') THEN NULL ELSE json_extract_string(x, path) END;
"""

_ARRAYS = """
-- DuckDB counts from 1, counts backwards for negative places, and never stops.
CREATE OR REPLACE MACRO bq_offset(a, i) AS
    CASE WHEN i < 0 OR i >= len(a) THEN error('array index is out of bounds') ELSE a[i + 1] END;
CREATE OR REPLACE MACRO bq_safe_offset(a, i) AS CASE WHEN i >= 0 THEN a[i + 1] END;
CREATE OR REPLACE MACRO bq_array_concat(a, b) AS
    CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN list_concat(a, b) END;
"""

_TIME = """
-- `x - DATE` is a number for a DATE only, so that a TIMESTAMP stops instead of losing its hours.
CREATE OR REPLACE MACRO bq_date(x) AS DATE '1970-01-01' + CAST(x - DATE '1970-01-01' AS INTEGER);
CREATE OR REPLACE MACRO bq_date_add(x, n) AS bq_date(x) + CAST(n AS INTEGER);
CREATE OR REPLACE MACRO bq_date_add_months(x, n) AS CAST(bq_date(x) + to_months(CAST(n AS INTEGER)) AS DATE);
CREATE OR REPLACE MACRO bq_date_diff(unit, a, b) AS date_diff(unit, bq_date(b), bq_date(a));
CREATE OR REPLACE MACRO bq_date_trunc(unit, x) AS CAST(date_trunc(unit, bq_date(x)) AS DATE);
CREATE OR REPLACE MACRO bq_date_trunc_week(shift, x) AS
    CAST(date_trunc('week', bq_date(x) + shift) AS DATE) - shift;
CREATE OR REPLACE MACRO bq_date_diff_weeks(shift, a, b) AS
    (bq_date_trunc_week(shift, a) - bq_date_trunc_week(shift, b)) // 7;
-- A BigQuery day is 24 hours; whole units are counted, not the borders between them.
CREATE OR REPLACE MACRO bq_timestamp_add(t, micros) AS make_timestamptz(epoch_us(t) + micros);
CREATE OR REPLACE MACRO bq_timestamp_diff(a, b, micros) AS (epoch_us(a) - epoch_us(b)) // micros;
CREATE OR REPLACE MACRO bq_timestamp_trunc(unit, t, zone) AS
    timezone(zone, date_trunc(unit, timezone(zone, t)));
CREATE OR REPLACE MACRO bq_timestamp_trunc_week(shift, t, zone) AS
    timezone(zone, date_trunc('week', timezone(zone, t) + to_days(shift)) - to_days(shift));
CREATE OR REPLACE MACRO bq_floor_micros(t, micros) AS
    epoch_us(t) // micros - CAST(epoch_us(t) % micros < 0 AS BIGINT);
CREATE OR REPLACE MACRO bq_week(x) AS CAST(strftime(x, '%U') AS BIGINT);
CREATE OR REPLACE MACRO bq_week_monday(x) AS CAST(strftime(x, '%W') AS BIGINT);
CREATE OR REPLACE MACRO bq_format_timestamp(t, format, zone) AS strftime(timezone(zone, t), format);
"""

_DAY_TEXT = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
_PATTERNS = {
    "INTEGER": r"\s*[+-]?[0-9]+\s*",
    "FLOAT": r"(?i)\s*[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity|nan)\s*",
    "DAY": _DAY_TEXT,
    "TIME": _DAY_TEXT + r"([ Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]{1,6})?)?(Z|z|[+-][0-9]{1,2}(:[0-9]{2})?)?",
}
# The safe form answers NULL where `bq_must` then stops. A text must look as BigQuery documents it: DuckDB also
# reads '1_000', 'yes' and '2026/11/22'. TRY_CAST keeps branches of other types from failing when they are planned.
_CASTS = r"""
CREATE OR REPLACE MACRO bq_must(x, y, type) AS
    CASE WHEN x IS NOT NULL AND y IS NULL THEN error('bad ' || type || ' value: ' || CAST(x AS VARCHAR)) ELSE y END;
CREATE OR REPLACE MACRO bq_no_cast(x, type) AS
    CASE WHEN typeof(x) <> '"NULL"' THEN error('no portable CAST from ' || typeof(x) || ' to ' || type) END;
CREATE OR REPLACE MACRO bq_safe_int64(x) AS
    CASE WHEN typeof(x) IN ('BIGINT', 'INTEGER', 'BOOLEAN') THEN TRY_CAST(x AS BIGINT)
         WHEN typeof(x) = 'DOUBLE' THEN TRY_CAST(round(TRY_CAST(x AS DOUBLE)) AS BIGINT)
         WHEN typeof(x) = 'VARCHAR'
         THEN CASE WHEN regexp_full_match(CAST(x AS VARCHAR), '<INTEGER>') THEN TRY_CAST(x AS BIGINT) END
         ELSE bq_no_cast(x, 'INT64') END;
CREATE OR REPLACE MACRO bq_safe_float64(x) AS
    CASE WHEN typeof(x) IN ('BIGINT', 'INTEGER', 'DOUBLE') THEN TRY_CAST(x AS DOUBLE)
         WHEN typeof(x) = 'VARCHAR'
         THEN CASE WHEN regexp_full_match(CAST(x AS VARCHAR), '<FLOAT>') THEN TRY_CAST(x AS DOUBLE) END
         ELSE bq_no_cast(x, 'FLOAT64') END;
CREATE OR REPLACE MACRO bq_safe_bool(x) AS
    CASE WHEN typeof(x) = 'BOOLEAN' THEN TRY_CAST(x AS BOOLEAN)
         WHEN typeof(x) IN ('BIGINT', 'INTEGER') THEN TRY_CAST(x AS BIGINT) <> 0
         WHEN typeof(x) = 'VARCHAR'
         THEN CASE lower(CAST(x AS VARCHAR)) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END
         ELSE bq_no_cast(x, 'BOOL') END;
CREATE OR REPLACE MACRO bq_safe_string(x) AS
    CASE WHEN typeof(x) IN ('VARCHAR', 'BIGINT', 'INTEGER', 'BOOLEAN', 'DATE') THEN CAST(x AS VARCHAR)
         WHEN typeof(x) = 'TIMESTAMP WITH TIME ZONE' AND epoch_us(TRY_CAST(x AS TIMESTAMPTZ)) % 1000000 = 0
         THEN strftime(timezone('UTC', TRY_CAST(x AS TIMESTAMPTZ)), '%Y-%m-%d %H:%M:%S+00')
         WHEN typeof(x) = 'TIMESTAMP WITH TIME ZONE' AND x IS NOT NULL
         THEN error('CAST of a TIMESTAMP with fractions of a second to STRING is not portable; use FORMAT_TIMESTAMP')
         WHEN typeof(x) = 'TIMESTAMP WITH TIME ZONE' THEN NULL
         ELSE bq_no_cast(x, 'STRING') END;
CREATE OR REPLACE MACRO bq_safe_date(x) AS
    CASE WHEN typeof(x) IN ('DATE', 'TIMESTAMP', 'TIMESTAMP WITH TIME ZONE') THEN TRY_CAST(x AS DATE)
         WHEN typeof(x) = 'VARCHAR'
         THEN CASE WHEN regexp_full_match(CAST(x AS VARCHAR), '<DAY>') THEN TRY_CAST(x AS DATE) END
         ELSE bq_no_cast(x, 'DATE') END;
CREATE OR REPLACE MACRO bq_safe_timestamp(x) AS
    CASE WHEN typeof(x) IN ('DATE', 'TIMESTAMP', 'TIMESTAMP WITH TIME ZONE') THEN TRY_CAST(x AS TIMESTAMPTZ)
         WHEN typeof(x) = 'VARCHAR'
         THEN CASE WHEN regexp_full_match(CAST(x AS VARCHAR), '<TIME>') THEN TRY_CAST(x AS TIMESTAMPTZ) END
         ELSE bq_no_cast(x, 'TIMESTAMP') END;
"""
for _name, _pattern in _PATTERNS.items():
    _CASTS = _CASTS.replace(f"<{_name}>", _pattern)

MACROS = _ARITHMETIC + _TEXT + _ARRAYS + _TIME + _CASTS
