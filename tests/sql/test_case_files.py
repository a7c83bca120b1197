"""Mistakes in a case end in a sentence with the line and the cure."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.errors import SqlError
from tests.sql.case import Case, CaseError, find_cases, read_case

GOOD = """\
table: click_rate
date: 2026-11-21
given:
  impression:
    - {impression_id: i1, served_at: 2026-11-21T10:00:00Z, segments: ["a"], propensity: 1}
    - {impression_id: i2, served_at: "2026-11-21T18:00+08:00"}
  campaign_click_rate:
    - {date: 2026-11-21, campaign_id: "7", impressions: 3}
expect:
  - {impression_id: i1, clicked: false, user_click_rate_14d: 1, served_at: 2026-11-21 10:00:00}
"""


def case_of(folder: Path, text: str, name: str = "click_rate__a-sentence.yaml") -> Case:
    (folder / name).write_text(text, encoding="utf-8")
    return read_case(folder / name)


def test_every_file_of_the_folder_is_a_right_case() -> None:
    """None is passed over because of its name; each tells of a table that is there."""
    for path in find_cases():
        read_case(path)


def test_values_get_the_types_of_their_columns(tmp_path: Path) -> None:
    """Times are UTC, numbers of FLOAT64 columns are floats; what is not told is null, a list empty."""
    case = case_of(tmp_path, GOOD)
    assert (case.table.name, case.day) == ("click_rate", date(2026, 11, 21))
    ten = datetime(2026, 11, 21, 10, tzinfo=UTC)
    first, second = case.given["impression"]
    assert (first["served_at"], second["served_at"]) == (ten, ten)
    assert (first["segments"], second["segments"], first["affinities"]) == (["a"], [], [])
    assert (first["propensity"], type(first["propensity"]), second["propensity"]) == (1.0, float, None)
    assert case.given["campaign_click_rate"] == [
        {"date": date(2026, 11, 21), "campaign_id": "7", "impressions": 3, "clicks": None, "click_rate": None}
    ]
    assert case.expect == [{"impression_id": "i1", "clicked": False, "user_click_rate_14d": 1.0, "served_at": ten}]


def test_a_difference_is_seen(tmp_path: Path) -> None:
    """Another value, a row too many and a row too few; not a column that was not named, nor a float's last bit."""
    case = case_of(tmp_path, GOOD)
    ten = datetime(2026, 11, 21, 10, tzinfo=UTC)
    row: dict[str, Any] = {"impression_id": "i1", "clicked": False, "user_click_rate_14d": 1.0 + 1e-12, "position": 4}
    row["served_at"] = ten
    assert case.found([row]) == case.wanted()
    assert case.found([row | {"clicked": True}]) != case.wanted()
    assert case.found([row | {"user_click_rate_14d": 1.0 + 1e-8}]) != case.wanted()
    assert case.found([row | {"user_click_rate_14d": None}]) != case.wanted()
    assert case.found([row, row | {"impression_id": "i2"}]) != case.wanted()
    assert case.found([]) != case.wanted()


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("table: click_rate", "table: click_rat", 1, "unknown table 'click_rat': did you mean click_rate"),
        ("table: click_rate", "table: user_daily", 1, "call it user_daily__what-is-true.yaml"),
        ("date: 2026-11-21\n", "date: today\n", 2, "`date` is 'today'; it is a day such as 2026-11-21"),
        ("date: 2026-11-21\n", "date: 2026-11-21 00:00:00\n", 2, "it is a day such as 2026-11-21"),
        ("date: 2026-11-21\n", "", 1, "`date` is missing"),
        ("expect:", "expects:", 9, "unknown key 'expects': did you mean expect?"),
        ("  impression:\n", "  impressions:\n", 4, "does not read it: unknown table 'impressions': did you mean"),
        ("  impression:\n", "  bid:\n", 4, "click_rate does not read it"),
        ("{impression_id: i1, served_at", "{impresion_id: i1, served_at", 5, "unknown column 'impresion_id': did you"),
        ("{impression_id: i1, served_at", "{served_at", 5, "`impression_id` is missing; every row needs impression_id"),
        ("impression_id: i1, s", "impression_id: 1, s", 5, "`impression_id` is 1; it is a text; put it in quotes"),
        ('["a"]', "[1]", 5, "`segments` is [1]; it is a list of texts; put them in quotes"),
        ('["a"]', '["a", null]', 5, "it is a list of texts"),
        ('["a"]', "a", 5, "it is a list of texts"),
        ("propensity: 1", "propensity: yes", 5, "`propensity` is True; it is a number"),
        ("propensity: 1", "propensity: [1]", 5, "it is a number"),
        ("2026-11-21T18:00+08:00", "18:00", 6, "`served_at` is '18:00'; it is a time such as 2026-11-21T05:30:00Z"),
        ("18:00+08:00", "00:00+08:00", 6, "click_rate of 2026-11-21 reads impression of 2026-11-21 to 2026-11-21 only"),
        (
            "    - {date: 2026-11-21",
            "    - {date: 2026-11-20",
            8,
            "campaign_click_rate of 2026-11-21 to 2026-11-21 only ([0, 0])",
        ),
        ("{date: 2026-11-21, campaign_id", "{campaign_id", 8, "`date` is missing; every row needs date, campaign_id"),
        ("impressions: 3", "impressions: 3.5", 8, "`impressions` is 3.5; it is a whole number"),
        ("impression_id: i2, served_at", "impression_id: i1, served_at", 6, "row of line 5 has the same impression_id"),
        ("expect:\n", "expect:\n  - {impression_id: i1}\n", 11, "row of line 10 has the same impression_id; keep one"),
        ("clicked: false", "clicked: 0", 10, "`clicked` is 0; it is true or false"),
        ("clicked: false", "clickd: false", 10, "unknown column 'clickd': did you mean clicked"),
        ("clicked: false", "date: 2026-11-21", 10, "unknown column 'date'"),
        ("- {impression_id: i1, clicked", "- i1\n  - {impression_id: i1, clicked", 9, "`expect` needs a list of rows"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, before: str, after: str, line: int, words: str) -> None:
    """What is wrong, where, and what to write there."""
    assert before in GOOD
    with pytest.raises(CaseError) as error:
        case_of(tmp_path, GOOD.replace(before, after, 1))
    place = f"{tmp_path / 'click_rate__a-sentence.yaml'}:{line}: "
    assert str(error.value).startswith(place)
    assert words in str(error.value)


def test_a_type_that_a_case_cannot_write_is_told(tmp_path: Path) -> None:
    """A list of whole numbers, say: the sentence names the column."""
    features = tmp_path / "features"
    features.mkdir()
    header = "-- One row per click.\n-- reads: click [0, 0]\n-- key: click_id\n"
    (features / "daily.sql").write_text(f"{header}SELECT click_id, [1, 2] AS places FROM click")
    path = tmp_path / "daily__is-wrong.yaml"
    path.write_text("table: daily\ndate: 2026-11-21\ngiven: {}\nexpect: []\n")
    with pytest.raises(CaseError, match=r"daily.sql: the column places is BIGINT\[\], which a case cannot write"):
        read_case(path, features)


def test_a_case_of_a_wrong_query_tells_of_the_query(tmp_path: Path) -> None:
    """The SQL file's own sentence comes through."""
    features = tmp_path / "features"
    features.mkdir()
    (features / "daily.sql").write_text("SELECT 1 AS one")
    path = tmp_path / "daily__is-wrong.yaml"
    path.write_text("table: daily\ndate: 2026-11-21\ngiven: {}\nexpect: []\n")
    with pytest.raises(SqlError, match=r"daily.sql:1: the header does not say"):
        read_case(path, features)
