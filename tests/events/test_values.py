"""Times and money."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.events.factories import Result, decode_files, make_source, raw_file, raw_line


def decode(folder: Path, *lines: str, **changes: str) -> Result:
    return decode_files(make_source(folder / "source", **changes), [raw_file(lines)], folder / "scratch")


def served_at(folder: Path, value: Any, time: str, **changes: str) -> datetime | str:
    result = decode(folder, raw_line(ts=value), served_at=f"{{from: ts, time: {time}}}", **changes)
    if result.rows:
        found: datetime = result.rows[0]["served_at"]
        return found.astimezone(UTC).replace(tzinfo=UTC)
    return next(iter(result.rejected))


def at(minute: int, second: int = 0, micros: int = 0) -> datetime:
    return datetime(2026, 11, 21, 5, minute, second, micros, tzinfo=UTC)


SECONDS = 1_795_237_200  # 2026-11-21 05:00:00 UTC


@pytest.mark.parametrize(
    ("value", "time", "expected"),
    [
        ("2026-11-21T05:10:00Z", "iso", at(10)),
        ("2026-11-21 05:10:00", "iso", at(10)),
        ("2026-11-21T05:10:00.123456Z", "iso", at(10, 0, 123_456)),
        ("2026-11-21T14:10:00+09:00", "iso", at(10)),
        ("2026-11-20T21:40:00-07:30", "iso", at(10)),
        ("2026-11-21T05:59:59.999999Z", "iso", at(59, 59, 999_999)),
        (SECONDS + 600, "epoch_s", at(10)),
        (str(SECONDS + 600), "epoch_s", at(10)),
        (f"{SECONDS}.000001", "epoch_s", at(0, 0, 1)),
        (f"{SECONDS + 599}.999999", "epoch_s", at(9, 59, 999_999)),
        (SECONDS + 0.123456, "epoch_s", at(0, 0, 123_456)),
        ((SECONDS + 600) * 1000 + 7, "epoch_ms", at(10, 0, 7_000)),
        ((SECONDS + 600) * 1_000_000 + 7, "epoch_us", at(10, 0, 7)),
        ("20261121051000007", '"%Y%m%d%H%M%S%g"', at(10, 0, 7_000)),
        ("21/Nov/2026:14:10:00 +0900", '"%d/%b/%Y:%H:%M:%S %z"', at(10)),
        ("2026-11-31T05:10:00Z", "iso", "wrong_type:served_at"),
        ("21.11.2026", "iso", "wrong_type:served_at"),
        ("20261121", '"%Y%m%d%H%M%S%g"', "wrong_type:served_at"),
        ("soon", "epoch_s", "wrong_type:served_at"),
        ("1e400", "epoch_s", "wrong_type:served_at"),
        (10**25, "epoch_s", "wrong_type:served_at"),
        (2**63 - 1, "epoch_us", "wrong_type:served_at"),
        (True, "epoch_s", "wrong_type:served_at"),
        ({}, "iso", "wrong_type:served_at"),
        ("infinity", "iso", "outside_hour"),
        (0, "epoch_s", "outside_hour"),
        ("2026-11-21T06:00:00Z", "iso", "outside_hour"),
        ("2026-11-21T04:59:59.999999Z", "iso", "outside_hour"),
    ],
)
def test_a_time_is_exact_to_the_microsecond(tmp_path: Path, value: Any, time: str, expected: datetime | str) -> None:
    """Or it is rejected."""
    assert served_at(tmp_path, value, time) == expected


@pytest.mark.parametrize(("value", "time"), [("2026-11-21 14:10:00", "iso"), ("20261121141000000", '"%Y%m%d%H%M%S%g"')])
def test_a_time_without_a_zone_is_in_the_sources(tmp_path: Path, value: str, time: str) -> None:
    """One with a zone is in its own."""
    assert served_at(tmp_path, value, time, timezone="Asia/Tokyo") == at(10)
    assert served_at(tmp_path, "2026-11-21T05:10:00Z", "iso", timezone="Asia/Tokyo") == at(10)


def test_rows_of_other_hours_are_rejected_only_where_hours_have_files(tmp_path: Path) -> None:
    """A file of a whole day is read for each hour; its other rows are passed over, its bad lines counted once."""
    lines = [raw_line(id=str(n), ts=f"2026-11-21T0{n}:30:00Z") for n in (4, 5, 6)] + ["broken"]
    own = decode(tmp_path, *lines)
    assert (own.column("impression_id"), own.rejected) == (["5"], {"outside_hour": 2, "malformed": 1})
    daily = decode(tmp_path, *lines, path='"imp/{hour:%Y%m%d}.jsonl"')
    assert (daily.column("impression_id"), daily.rejected) == (["5"], {})
    source = make_source(tmp_path, path='"imp/{hour:%Y%m%d}.jsonl"')
    midnight = decode_files(source, [raw_file(lines)], tmp_path / "midnight", hour=at(0).replace(hour=0))
    assert (midnight.rows, midnight.rejected) == ([], {"malformed": 1})


def test_an_hour_that_comes_twice_takes_its_own_rows(tmp_path: Path) -> None:
    """01:00 in New York, when the clocks are set back: the file holds two hours of UTC."""
    source = make_source(tmp_path, timezone="America/New_York")
    lines = [raw_line(id=offset, ts=f"2026-11-01T01:30:00-{offset}:00") for offset in ("04", "05")]
    for hour, mine in ((5, "04"), (6, "05")):
        utc = datetime(2026, 11, 1, hour, tzinfo=UTC)
        result = decode_files(source, [raw_file(lines)], tmp_path / str(hour), hour=utc)
        assert (result.column("impression_id"), result.rejected) == ([mine], {})


@pytest.mark.parametrize(
    ("price", "times", "micros"),
    [
        (101, "10", 1010),
        ("101", "10", 1010),
        (0, "10", 0),
        (0.1, "10", 1),
        (0.05, "10", 1),
        (0.049, "10", 0),
        (-0.05, "10", -1),
        (0.25, "10", 3),
        (0.15, "10", 2),
        ("1.005", "1000", 1005),
        ("0.0000005", "1000000", 1),
        ("1.0000005", "1e6", 1_000_001),
        (1, "0.001", 0),
        (500, "0.001", 1),
        ("922337203685477580", "10", 9_223_372_036_854_775_800),
        (1e17, "10", 10**18),
        ("9223372036854775807", "10", "wrong_type:bid_price_micros"),
        ("1e40", "10", "wrong_type:bid_price_micros"),
        (10**28, "1000000000000", "wrong_type:bid_price_micros"),
        ("free", "10", "wrong_type:bid_price_micros"),
        (None, "10", None),
    ],
)
def test_money_is_exact_and_rounds_half_away_from_zero(tmp_path: Path, price: Any, times: str, micros: Any) -> None:
    """Decimal, never binary fractions; what does not fit is rejected."""
    result = decode(tmp_path, raw_line(price=price), bid_price_micros=f"{{from: price, times: {times}}}")
    found = result.column("bid_price_micros") or list(result.rejected)
    assert found == [micros]
