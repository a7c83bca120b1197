"""Days and hours that are counted from the time for which a run was scheduled."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from dsp_pipeline.errors import SettingsError
from tasks.parameters import DayParameter, HourParameter, scheduled

SET = "DSP_SCHEDULED_AT"


def test_a_late_start_still_means_the_day_it_was_scheduled_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduled time counts and not the clock, in whatever zone it is written."""
    monkeypatch.setenv(SET, "2026-11-22T05:00:00Z")
    assert DayParameter().parse("yesterday") == date(2026, 11, 21)
    assert HourParameter().parse("last") == datetime(2026, 11, 22, 4)
    monkeypatch.setenv(SET, "2026-11-22T01:30:00+09:00")
    assert DayParameter().parse("yesterday") == date(2026, 11, 20)
    assert HourParameter().parse("last") == datetime(2026, 11, 21, 15)


def test_without_a_schedule_it_is_counted_from_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person, or a crontab, may write the same words."""
    monkeypatch.delenv(SET, raising=False)
    before = datetime.now(UTC)
    assert before <= scheduled() <= datetime.now(UTC)
    assert DayParameter().parse("yesterday") in {
        (now - timedelta(days=1)).date() for now in (before, datetime.now(UTC))
    }
    monkeypatch.setenv(SET, "")
    assert scheduled() >= before


def test_a_scheduled_time_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a schedule passes the name of the time on in the place of the time."""
    monkeypatch.setenv(SET, "<aws.scheduler.scheduled-time>")
    with pytest.raises(SettingsError, match=r"DSP_SCHEDULED_AT is '<aws\.scheduler\.scheduled-time>'; give a time as"):
        DayParameter().parse("yesterday")
