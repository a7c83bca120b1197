"""Machines whose clocks are off."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dsp_pipeline.warehouse.bigquery.log import Entry, ReceiptLog
from tests.contracts.implementations import bigquery_warehouse
from tests.faults.lakes import STEPS, LocalLake, Step, assert_any_clock
from tests.faults.tally import FULL, Count

_SOME = STEPS if FULL else [one for one in STEPS if one.task in ("FeatureBuild", "ExportModel")]


@pytest.mark.parametrize("hours", [-30, 24 * 400])
@pytest.mark.parametrize("step", _SOME, ids=str)
def test_a_clock_that_is_off_changes_nothing(step: Step, hours: int, whole: LocalLake, count: Count) -> None:
    """The one with the clock is killed and another goes on; and the other way round."""
    assert_any_clock(whole, step, whole.content(), whole.rows(step), count, hours, (5, 20))


def test_a_slow_clock_does_not_wait_for_a_dead_writer_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BigQuery says that the job of a writer who died ended an hour from now: its receipt is waited for as ever."""
    log = bigquery_warehouse(tmp_path, patience=1.0)._log
    monkeypatch.setattr(ReceiptLog, "entry", lambda *_: Entry())
    begun = time.monotonic()
    assert log.wait("click_v1", "2026-11-18T05", -1, datetime.now(UTC) + timedelta(hours=1)) is None
    assert time.monotonic() - begun < 10
