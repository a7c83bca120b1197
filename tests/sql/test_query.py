"""Reading one SQL file: what it declares, and every way to get it wrong, with line and cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsp_pipeline.errors import NonPortableSqlError, SqlError, UndeclaredTableError
from dsp_pipeline.sql.query import Read, read_query
from tests.sql.factories import make_query, make_text, write

READS_ONE = "impression [0, 0]"


def test_header_and_columns_are_read(tmp_path: Path) -> None:
    """Grain, windows, key and output columns come out as written."""
    query = make_query(tmp_path)
    assert query.name == "labels"
    assert query.grain == "One row per impression of @date."
    assert query.reads == (Read("impression", 0, 0), Read("click", 0, 1))
    assert query.key == ("impression_id",)
    assert query.columns == ("impression_id", "clicked")


def test_header_entries_go_on_over_lines(tmp_path: Path) -> None:
    """`reads:` and `key:` may take several comment lines, and notes may follow an empty one."""
    text = """-- One row per impression,
-- with its label.
-- reads: impression [0, 0],
--   click [0, +1],
-- key: impression_id,
--   clicked
--
-- Note: clicks come late.
SELECT i.impression_id, c.click_id IS NOT NULL AS clicked
FROM impression AS i LEFT JOIN click AS c USING (impression_id)
"""
    query = read_query(write(tmp_path, text=text))
    assert query.grain == "One row per impression, with its label."
    assert query.reads == (Read("impression", 0, 0), Read("click", 0, 1))
    assert query.key == ("impression_id", "clicked")


@pytest.mark.parametrize(
    ("changes", "line", "says"),
    [
        ({"grain": None}, 1, "One row per"),
        ({"reads": None}, 1, "no `reads:`"),
        ({"key": None}, 1, "no `key:`"),
        ({"reads": "impression [0, 0], click [0 +1]"}, 2, "cannot read `click [0 +1]`"),
        ({"reads": "impression [0, 0],\n--  click (0, 1)"}, 3, "cannot read `click (0, 1)`"),
        ({"reads": "impression [0, 0], click [1, 0]"}, 2, "write click [+0, +1]"),
        ({"reads": "impression [0, 0], click [0, 0], click [0, 1]"}, 2, "declared twice"),
        ({"reads": "impression [0, 0], labels [-1, -1]"}, 2, "labels reads itself"),
        ({"reads": " "}, 2, "`reads:` is empty"),
        ({"key": "impression id"}, 3, "cannot read `impression id`"),
        ({"key": "impression_id, impression_id"}, 3, "twice"),
        ({"key": "user_id"}, 3, "there are: impression_id, clicked"),
        ({"reads": "impression [0, 0], click [0, +1], win [0, 0]"}, 2, "does not use; delete it"),
    ],
)
def test_wrong_header_is_named_with_line_and_cure(
    tmp_path: Path, changes: dict[str, str | None], line: int, says: str
) -> None:
    """A header that cannot be read tells the line and what to write."""
    with pytest.raises(SqlError) as raised:
        make_query(tmp_path, **changes)
    assert raised.value.line == line
    assert says in raised.value.problem
    assert str(raised.value).startswith(f"{tmp_path / 'labels.sql'}:{line}: ")


def test_misspelt_entry_is_not_taken_for_prose(tmp_path: Path) -> None:
    """`read:` is a mistake, not part of the grain."""
    text = make_text().replace("-- reads:", "-- read:")
    with pytest.raises(SqlError, match=r"labels\.sql:2: unknown header entry `read:`"):
        read_query(write(tmp_path, text=text))


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        ("SELECT *\nFROM impression", 4, "name the columns"),
        ("SELECT\n  impression_id,\n  i.*\nFROM impression AS i", 6, "name the columns"),
        ("SELECT impression_id,\n  bid_price_micros + 1\nFROM impression", 5, "has no name; add `AS name`"),
        ("SELECT impression_id,\n  user_id AS impression_id\nFROM impression", 5, "two output columns"),
        ("SELECT impression_id,\n  DATE(served_at) AS date\nFROM impression", 5, "adds the column `date`"),
        ("SELECT impression_id,\n  user_id AS _user\nFROM impression", 5, "begin with _"),
        ("SELECT impression_id\nFROM raw.impression", 5, "bare name"),
        ("SELECT impression_id\nFROM `impression$20261122`", 5, "bare name"),
        ("SELECT impression_id\nFROM `impression_*`", 5, "bare name"),
        ("SELECT impression_id\nFROM impression\nWHERE user_id = @user", 6, "unknown parameter @user"),
        ("SELECT impression_id\nFROM impression\nWHERE user_id = ?", None, "unknown parameter"),
        ("WITH impression AS (SELECT 1 AS x)\nSELECT impression_id FROM impression", 4, "hides the table"),
        ("SELECT impression_id\nFROM impression\nORDER BY impression_id", 6, "has no order"),
        ("SELECT impression_id\nFROM impression\nLIMIT 5", 6, "delete it"),
        ("SELECT impression_id,\n  CURRENT_TIMESTAMP() AS now\nFROM impression", 5, "use @date"),
        ("SELECT impression_id,\n  RAND() AS dice\nFROM impression", 5, "another value on each run"),
        ("SELECT impression_id,\n  GENERATE_UUID() AS id\nFROM impression", 5, "another value on each run"),
        ("SELECT impression_id FROM impression;\nSELECT 1 AS x", 5, "more than one statement"),
        ("DELETE FROM impression", 4, "not a SELECT"),
        ("SELECT 1 AS impression_id UNION ALL SELECT 2 AS impression_id", 4, "not a SELECT"),
        ("", None, "no query"),
        ("SELECT impression_id,\n  (user_id\nFROM impression", 6, "cannot parse"),
        ("SELECT 'open\nFROM impression", None, "not closed"),
    ],
)
def test_wrong_query_is_named_with_line_and_cure(tmp_path: Path, body: str, line: int | None, says: str) -> None:
    """Lines count in the file, header included."""
    with pytest.raises(SqlError) as raised:
        make_query(tmp_path, body=body, reads=READS_ONE)
    assert says in raised.value.problem
    assert line is None or raised.value.line == line


def test_undeclared_table_tells_the_near_match(tmp_path: Path) -> None:
    """A typo in FROM names what the header has."""
    with pytest.raises(UndeclaredTableError, match=r"labels\.sql:5: .*reads impresion.*did you mean impression"):
        make_query(tmp_path, body="SELECT impression_id\nFROM impresion", reads=READS_ONE)


def test_a_typo_of_the_header_is_not_blamed_on_the_query(tmp_path: Path) -> None:
    """Where the query reads what there is, an event or another file, it is `reads:` that is told to change."""
    told = r"labels\.sql:2: `reads:` declares impresion, which is nowhere; did you mean impression\?"
    with pytest.raises(UndeclaredTableError, match=told):
        make_query(tmp_path, body="SELECT impression_id\nFROM impression", reads="impresion [0, 0]")
    write(tmp_path, "rates")
    with pytest.raises(UndeclaredTableError, match=r"labels\.sql:2: `reads:` declares rate, .* did you mean rates\?"):
        make_query(tmp_path, body="SELECT impression_id\nFROM rates", reads="rate [0, 0]")


def test_tables_of_subqueries_count(tmp_path: Path) -> None:
    """A table read inside a subquery must be declared as well."""
    body = "SELECT impression_id\nFROM impression\nWHERE impression_id IN (\n  SELECT impression_id FROM click)"
    with pytest.raises(UndeclaredTableError, match=r":7: the query reads click"):
        make_query(tmp_path, body=body, reads=READS_ONE)


@pytest.mark.parametrize(
    ("expression", "construct", "use"),
    [
        ("APPROX_COUNT_DISTINCT(user_id)", "APPROX_COUNT_DISTINCT", "COUNT(DISTINCT"),
        ("MY_FUNCTION(user_id)", "MY_FUNCTION", "docs/sql.md"),
        ("my_dataset.my_udf(user_id)", "my_dataset.my_udf(user_id)", "docs/sql.md"),
        ("NET.HOST(page_url)", "NET.HOST", "REGEXP_EXTRACT"),
        ("served_at + INTERVAL 1 HOUR", "INTERVAL", "TIMESTAMP_ADD"),
        ("LOG(bid_price_micros, 10)", "LOG", "LN(x) / LN(base)"),
        ("SAFE.SUBSTR(user_id, 1)", "SAFE.", "SAFE_CAST"),
        ("segments[0]", "segments[0]", "OFFSET"),
        ("ANY_VALUE(user_id)", "ANY_VALUE", "MIN(x)"),
        ("ROW_NUMBER() OVER (PARTITION BY user_id)", "ROW_NUMBER", "add ORDER BY"),
        ("(SELECT AS STRUCT 1 AS x)", "SELECT", "docs/sql.md"),
        ("TO_JSON_STRING(segments)", "TO_JSON_STRING", "CONCAT"),
        ("SHA256(user_id)", "a hash as BYTES", "FARM_FINGERPRINT"),
        ("CAST(bid_price_micros AS NUMERIC)", "CAST to NUMERIC", "INT64"),
    ],
)
def test_unproven_construct_names_line_and_spelling(tmp_path: Path, expression: str, construct: str, use: str) -> None:
    """The refusal names the construct, its line and what to write instead."""
    with pytest.raises(NonPortableSqlError) as raised:
        make_query(tmp_path, body=f"SELECT impression_id,\n\n  {expression} AS x\nFROM impression", reads=READS_ONE)
    assert raised.value.construct.startswith(construct)
    assert use in raised.value.use
    assert raised.value.line in (6, 4 if expression.startswith("(SELECT") else 6)


@pytest.mark.parametrize(
    "body",
    [
        "SELECT impression_id FROM impression TABLESAMPLE SYSTEM (10 PERCENT)",
        "SELECT impression_id FROM impression FOR SYSTEM_TIME AS OF TIMESTAMP '2026-11-22'",
        "SELECT impression_id, COUNT(*) AS n FROM impression GROUP BY ROLLUP (impression_id)",
        "SELECT impression_id FROM impression PIVOT (COUNT(user_id) FOR exchange IN ('a', 'b'))",
        "WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 AS x FROM t) SELECT impression_id FROM impression",
        "SELECT impression_id FROM impression, UNNEST(segments)",
        "SELECT x AS impression_id FROM (SELECT user_id AS x FROM impression LIMIT 5)",
        "SELECT DISTINCT AS STRUCT impression_id FROM impression",
        "SELECT impression_id, user_id + 1 AS user_id FROM impression WHERE TRUE QUALIFY user_id > 1 "
        "AND ROW_NUMBER() OVER (ORDER BY impression_id) = 1",
    ],
)
def test_unproven_clause_is_refused(tmp_path: Path, body: str) -> None:
    """Clauses that only one engine has do not pass."""
    with pytest.raises(SqlError):
        make_query(tmp_path, body=body, reads=READS_ONE)


def test_comments_do_not_reach_the_warehouse(tmp_path: Path) -> None:
    """A comment that holds `*/` cannot break the text that is sent."""
    text = make_query(tmp_path, body="SELECT impression_id -- not */ the end\nFROM impression", reads=READS_ONE)
    assert text.tree.sql(dialect="bigquery") == "SELECT impression_id FROM impression"


def test_intervals_are_sent_as_numbers(tmp_path: Path) -> None:
    """BigQuery documents INTERVAL with an INT64; sqlglot would send a string."""
    body = "SELECT impression_id, DATE_SUB(@date, INTERVAL 7 DAY) AS from_day FROM impression"
    sql = make_query(tmp_path, body=body, reads=READS_ONE).tree.sql(dialect="bigquery")
    assert "DATE_SUB(@date, INTERVAL 7 DAY)" in sql
