"""Several hours decoded as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsp_pipeline.events.decode import Decoder
from tests.events.factories import HOUR, make_source, raw_file, raw_line, read_back

TIMES = [f"2026-11-21T0{hour}:30:00Z" for hour in (4, 5, 6, 7)]
DAILY = '"imp/{hour:%Y%m%d}.jsonl"'


@pytest.mark.parametrize(("hours", "kept"), [(1, ["5"]), (2, ["5", "6"])])
def test_lines_of_all_the_hours_are_kept(tmp_path: Path, hours: int, kept: list[str]) -> None:
    """Those before and after are outside, as they are outside of one hour."""
    file = raw_file([raw_line(id=time[12], ts=time) for time in TIMES])
    decoder = Decoder(make_source(tmp_path), memory_limit_mb=200, threads=1)
    result = read_back(decoder.decode("impression", HOUR, [file], tmp_path, hours=hours))
    assert result.column("impression_id") == kept
    assert result.rejected == {"outside_hour": 4 - len(kept)}


def test_a_file_of_a_day_gives_just_these_hours(tmp_path: Path) -> None:
    """Its lines of other hours are passed over in silence."""
    file = raw_file([raw_line(id=time[12], ts=time) for time in TIMES], "imp/20261121.jsonl")
    decoder = Decoder(make_source(tmp_path, path=DAILY), memory_limit_mb=200, threads=1)
    result = read_back(decoder.decode("impression", HOUR, [file], tmp_path, hours=2))
    assert (result.column("impression_id"), result.rejected) == (["5", "6"], {})
