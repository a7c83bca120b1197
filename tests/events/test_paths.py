"""Where the raw files of an hour lie."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dsp_pipeline.errors import SourceError
from dsp_pipeline.events.paths import PathPattern
from tests.events.factories import make_source


def hour(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}:00:00+00:00")


@pytest.mark.parametrize(
    ("timezone", "utc", "name"),
    [
        ("UTC", "2026-11-21T05", "2026112105"),
        ("Asia/Shanghai", "2013-10-18T16", "2013101900"),
        ("Asia/Shanghai", "2013-10-18T15", "2013101823"),
        ("America/New_York", "2026-07-01T00", "2026063020"),
        ("America/New_York", "2026-01-01T00", "2025123119"),
        ("Pacific/Kiritimati", "2026-12-31T10", "2027010100"),
    ],
)
def test_the_hour_is_written_in_the_sources_time_zone(timezone: str, utc: str, name: str) -> None:
    """Also over the borders of days and years, and in summer."""
    pattern = PathPattern("imp.{hour:%Y%m%d%H}.gz", timezone)
    assert pattern.example(hour(utc)) == f"imp.{name}.gz"
    assert pattern.match(hour(utc), f"imp.{name}.gz") == {}
    assert pattern.match(hour(utc) + timedelta(hours=1), f"imp.{name}.gz") is None


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("imp.{hour:%Y%m%d%H}.gz", "imp.20261121"),
        ("bid/{hour:%Y-%m-%d}/{hour:%H}-*.gz", "bid/2026-11-21/"),
        ("{policy}/{hour:%H}.csv", ""),
        ("a/*/{hour:%Y}", "a/"),
        ("all.jsonl", "all.jsonl"),
        ("{hour:%H}.gz", ""),
    ],
)
def test_the_prefix_is_the_same_for_all_hours_of_a_day(text: str, prefix: str) -> None:
    """So one listing serves a day; every file of the hour starts with it."""
    pattern = PathPattern(text, "UTC")
    assert {pattern.prefix(hour(f"2026-11-21T{n:02}")) for n in range(24)} == {prefix}


def test_parts_of_the_path_are_captured() -> None:
    """A {name} is any text without a slash, a * too but not kept; all other signs mean themselves."""
    pattern = PathPattern("{policy}/{campaign}/{hour:%Y-%m-%d}/{hour:%H}*.csv", "UTC")
    at = hour("2026-11-21T05")
    assert pattern.match(at, "bts/men/2026-11-21/05-1.csv") == {"policy": "bts", "campaign": "men"}
    assert pattern.match(at, "bts/men/2026-11-21/05.csv") == {"policy": "bts", "campaign": "men"}
    assert pattern.names == ["policy", "campaign"]
    for key in (
        "bts/men/more/2026-11-21/05.csv",
        "bts/2026-11-21/05.csv",
        "bts/men/2026-11-21/06.csv",
        "bts/men/2026-11-22/05.csv",
        "bts/men/2026-11-21/05/x.csv",
        "bts/men/2026-11-21/05xcsv",
        "bts/men/2026-11-21/05.csv.gz",
        "x/bts/men/2026-11-21/05.csv",
        "bts/men/2026-11-21/05.csv\n",
    ):
        assert pattern.match(at, key) is None, key


@pytest.mark.parametrize(
    ("text", "separates"),
    [
        ("{hour:%Y%m%d%H}", True),
        ("{hour:%Y-%m-%d}/{hour:%-H}", True),
        ("{hour:%Y%m%d}", False),
        ("all*.gz", False),
        ("%H.gz", False),
    ],
)
def test_a_pattern_tells_whether_an_hour_has_its_own_files(text: str, separates: bool) -> None:
    """Also at midnight, where the file of a day begins or ends."""
    for at in ("2026-11-21T00", "2026-11-21T05", "2026-11-21T23"):
        assert PathPattern(text, "UTC").separates(hour(at)) is separates


def test_an_hour_that_comes_twice_shares_its_files() -> None:
    """When New York sets its clocks back, 01:00 local is 05:00 and 06:00 UTC."""
    pattern = PathPattern("{hour:%Y%m%d%H}", "America/New_York")
    assert [pattern.separates(hour(f"2026-11-01T{n:02}")) for n in (4, 5, 6, 7)] == [True, False, False, True]


@pytest.mark.parametrize(
    ("path", "cure"),
    [
        ("/abs/{hour:%H}", "it must stay below the raw folder"),
        ("a/../b", "it must stay below the raw folder"),
        ("{Policy}/x", "the parts in braces are {hour:%Y…} and {lower_case_names}"),
        ("{hour:%H", "the parts in braces are"),
        ("{}", "the parts in braces are"),
        ("{a}/{a}", "a {name} stands twice"),
        ("{hour}.gz", "{hour} needs its format, such as {hour:%Y%m%d%H}"),
    ],
)
def test_a_wrong_path_is_refused_with_the_cure(tmp_path: Path, path: str, cure: str) -> None:
    """With the line of the source's file."""
    with pytest.raises(SourceError) as caught:
        make_source(tmp_path, path=f'"{path}"')
    assert caught.value.line == 8
    assert cure in str(caught.value)


def test_hours_that_begin_at_half_past_are_refused(tmp_path: Path) -> None:
    """An hourly file of Calcutta holds halves of two hours of UTC; a daily one is fine."""
    with pytest.raises(SourceError, match="do not begin with those of UTC; have hourly files named in UTC"):
        make_source(tmp_path, timezone="Asia/Kolkata")
    make_source(tmp_path, timezone="Asia/Kolkata", path='"{hour:%Y%m%d}.jsonl"')


def test_times_need_a_time_zone_of_their_own_kind() -> None:
    """The pattern takes the UTC hour whatever zone the given time is in."""
    pattern = PathPattern("{hour:%Y%m%d%H}", "UTC")
    assert pattern.example(datetime(2026, 11, 21, 5, tzinfo=UTC)) == "2026112105"
