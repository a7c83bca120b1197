"""Rows in a terminal."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from typing import Any

from rich.console import Console

from console.preview import plain, show

COLUMNS = {"date": "DATE", "campaign_id": "STRING", "clicks": "INT64"}
ROWS: list[dict[str, Any]] = [
    {"date": date(2026, 11, 21), "campaign_id": "m001", "clicks": 3},
    {"date": date(2026, 11, 21), "campaign_id": "m002", "clicks": None},
]


def printed(width: int, columns: dict[str, str], rows: list[dict[str, Any]]) -> list[str]:
    """The lines on a terminal of this width."""
    out = io.StringIO()
    show(Console(file=out, width=width), columns, rows, ["campaign_id"])
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_narrow_table_is_shown_across() -> None:
    """A line a row, below names and types; numbers stand on the right."""
    assert printed(80, COLUMNS, ROWS) == [
        "date        campaign_id  clicks",
        "DATE        STRING        INT64",
        "2026-11-21  m001              3",
        "2026-11-21  m002           null",
    ]


def test_what_does_not_fit_is_shown_down() -> None:
    """A line a column."""
    wide = {f"a_column_with_a_name_{number}": "INT64" for number in range(5)}
    rows = [dict.fromkeys(wide, place) for place in (7, 8)]
    found = printed(80, wide, rows)
    assert found[0].split() == ["column", "type", "row", "1", "row", "2"]
    assert found[1].split() == ["a_column_with_a_name_0", "INT64", "7", "8"]
    assert len(found) == 6


def test_rows_that_do_not_fit_either_are_told() -> None:
    """As many as fit are shown, and no line is longer than the terminal; long values are cut."""
    wide = {f"a_column_with_a_name_{number}": "STRING" for number in range(5)}
    rows = [dict.fromkeys(wide, "x" * 100)] * 4
    found = printed(80, wide, rows)
    assert max(map(len, found)) <= 80
    assert found[-1] == "(1 of 4 rows fit; --json shows them all.)"
    assert found[1].endswith("…")


def test_without_rows_there_are_columns() -> None:
    """With their types."""
    assert [line.split() for line in printed(80, COLUMNS, [])] == [
        ["column", "type"],
        *([name, kind] for name, kind in COLUMNS.items()),
    ]


def test_values_in_json_are_plain() -> None:
    """Times are ISO, and numbers that JSON lacks are words."""
    time = datetime(2026, 11, 21, 5, 30, tzinfo=UTC)
    assert plain([1, None, True, 0.5, float("nan"), float("-inf"), "a", time, date(2026, 11, 21), [time]]) == [
        *(1, None, True, 0.5, "nan", "-inf", "a"),
        "2026-11-21T05:30:00+00:00",
        "2026-11-21",
        ["2026-11-21T05:30:00+00:00"],
    ]
