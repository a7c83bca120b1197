-- BigQuery's results where DuckDB's functions of the same name give others. local-bigquery makes these macros.
-- Positions before the first character mean the first; lengths are never negative.
CREATE MACRO _from(x, start) AS CASE WHEN start = 0 OR start < -length(x) THEN 1 ELSE start END;
CREATE MACRO _substr(x, start) AS substr(x, bq.main._from(x, start));
CREATE MACRO _substr_n(x, start, n) AS
    CASE WHEN n < 0 THEN error('Third argument in SUBSTR() cannot be negative')
         ELSE substr(x, bq.main._from(x, start), n) END;
CREATE MACRO _left(x, n) AS
    CASE WHEN n < 0 THEN error('Second argument in LEFT() cannot be negative') ELSE left(x, n) END;
CREATE MACRO _right(x, n) AS
    CASE WHEN n < 0 THEN error('Second argument in RIGHT() cannot be negative') ELSE right(x, n) END;
-- A result that is no number is an error, if the arguments were numbers.
CREATE MACRO _finite(result, given, name) AS
    CASE WHEN isfinite(given) AND NOT isfinite(result) THEN error('Floating point error in function: ' || name)
         ELSE result END;
CREATE MACRO _exp(x) AS bq.main._finite(exp(CAST(x AS DOUBLE)), CAST(x AS DOUBLE), 'EXP');
CREATE MACRO _pow(x, y) AS
    bq.main._finite(pow(CAST(x AS DOUBLE), CAST(y AS DOUBLE)), CAST(x AS DOUBLE) + CAST(y AS DOUBLE), 'POW');
-- Rounded down, also before 1970.
CREATE MACRO _unix_millis(t) AS epoch_us(t) // 1000 - CAST(epoch_us(t) % 1000 < 0 AS BIGINT);
-- Texts that DuckDB would read as a value and BigQuery does not.
CREATE MACRO _readable(x, pattern, name) AS
    CASE WHEN x IS NULL OR regexp_full_match(x, pattern) THEN x ELSE error('Bad ' || name || ' value: ' || x) END;
CREATE MACRO _readable_or_null(x, pattern) AS CASE WHEN regexp_full_match(x, pattern) THEN x END;
