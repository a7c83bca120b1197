"""Which experiments DailyPipeline trains, and on which day each is judged."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from tasks.daily_pipeline import DailyPipeline
from tasks.export_model import ExportModel
from tests.console.lake import inside
from tests.e2e.folder import FIRST, Folder

LONG = """\
-- One row per click of @date: was it followed by a conversion of the sixth day after it?
-- reads: click [0, 0], conversion_days [+1, +3]
-- key: click_id
SELECT
  click.click_id,
  conversion_days.click_id IS NOT NULL AS converted,
  EXTRACT(HOUR FROM click.clicked_at) AS hour_of_day
FROM click
LEFT JOIN conversion_days
  ON click.click_id = conversion_days.click_id
"""
DAYS = """\
-- One row per click that was converted in the three days after @date.
-- reads: conversion [0, +3]
-- key: click_id
SELECT DISTINCT click_id
FROM conversion
WHERE click_id IS NOT NULL
"""
MODEL = """\
from dsp_pipeline.training.model import Model, number

model = Model(table="long_rate", label="converted", features=(number("hour_of_day"),))
"""


def judged(folder: Folder, day: date) -> dict[str, date]:
    """The day on which each experiment is judged, by its name."""
    with inside(folder):
        return {one.experiment: one.date for one in DailyPipeline(date=day).requires() if isinstance(one, ExportModel)}


def test_each_experiment_is_judged_on_the_newest_day_whose_labels_are_whole(tmp_path: Path) -> None:
    """The logs reach to the end of the day after: a click counts for one day, a conversion for three."""
    folder, day = Folder(tmp_path / "work"), FIRST + timedelta(days=4)
    assert judged(folder, day) == {
        "click_rate_baseline": day,
        "win_rate_baseline": day,
        "conversion_rate_baseline": day - timedelta(days=2),
    }


def test_days_ahead_are_counted_through_the_tables_that_are_read(tmp_path: Path) -> None:
    """A table that reads three days ahead, of one that reads three more, waits for six."""
    folder, day = Folder(tmp_path / "work", package="package"), FIRST + timedelta(days=6)
    package = folder.package()
    (package / "features" / "long_rate.sql").write_text(LONG)
    (package / "features" / "conversion_days.sql").write_text(DAYS)
    (package / "models" / "long_rate.py").write_text(MODEL)
    (package / "experiments" / "long.yaml").write_text("model: long_rate\ntrain_days: 2\narms:\n  a: {}\n")
    assert judged(folder, day)["long"] == day - timedelta(days=5)


@pytest.mark.parametrize(("days", "trained"), [(0, set()), (2, {"click", "win"}), (3, {"click", "conversion", "win"})])
def test_what_has_no_day_before_its_own_is_not_trained_yet(tmp_path: Path, days: int, trained: set[str]) -> None:
    """On the first days of logs there is nothing to learn from, for longer where labels take longer."""
    found = judged(Folder(tmp_path / "work"), FIRST + timedelta(days=days))
    assert found.keys() == {f"{name}_rate_baseline" for name in trained}


def test_experiments_that_the_logs_cannot_fill_are_left_out(tmp_path: Path) -> None:
    """Open Bandit's logs have impressions and clicks; no bids, wins and conversions."""
    folder = Folder(tmp_path / "work", source="open_bandit")
    assert judged(folder, FIRST + timedelta(days=4)).keys() == {"click_rate_baseline"}
