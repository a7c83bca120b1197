"""A package with one small table, and what is declared of it and of its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.events.source import load_source
from dsp_pipeline.platform import HOURS, PACKAGE
from dsp_pipeline.quality.declared import Checks
from dsp_pipeline.quality.files import CheckFiles
from dsp_pipeline.quality.inspection import Findings, Inspection
from dsp_pipeline.quality.measured import History, Measured
from dsp_pipeline.sql.catalog import Catalog
from dsp_pipeline.sql.header import Read
from dsp_pipeline.warehouse.base import QueryEngine, Slice, Table

DAY = date(2026, 11, 21)
# Every kind of column: the key is text, `clicked` is BOOL, `rate` is FLOAT64.
SHOWN = """\
-- One row per impression of @date.
-- reads: impression [0, 0]
-- key: impression_id
SELECT
  impression_id,
  served_at,
  exchange,
  bid_price_micros AS price,
  predicted_click_rate AS rate,
  bid_price_micros > 100 AS clicked
FROM impression
"""


def package(
    path: Path,
    expectations: Mapping[str, str] | None = None,
    audits: Mapping[str, str] | None = None,
    features: Mapping[str, str] | None = None,
    source: str = "simulator",
) -> CheckFiles:
    """The files, by their names without an end."""
    for folder, end, files in (
        ("features", "sql", {"shown": SHOWN, **(features or {})}),
        ("expectations", "yaml", expectations or {}),
        ("audits", "sql", audits or {}),
    ):
        (path / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (path / folder / f"{name}.{end}").write_text(text)
    return CheckFiles(path, Catalog(path / "features"), load_source(PACKAGE / "events" / "sources", source))


def declared(files: CheckFiles, name: str) -> Checks:
    found = files.of(name)
    assert found is not None
    return found


def make_impression(number: int = 0, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "impression_id": f"i{number:03}",
        "served_at": datetime(2026, 11, 21, 5, number % 60, tzinfo=UTC),
        "exchange": "adx",
        "bid_price_micros": 100,
        "predicted_click_rate": 0.01,
    }
    lists = {one.name: [] for one in EVENTS["impression"].columns if one.type in ("texts", "floats")}
    return {column.name: None for column in EVENTS["impression"].columns} | lists | given | changes


def slices(tables: Mapping[str, Table], day: date, reads: Sequence[Read]) -> dict[str, Slice]:
    """All days of the windows, with all their hours."""
    found = {}
    for read in reads:
        days = [day + timedelta(days=n) for n in range(read.first, read.last + 1)]
        table = tables[read.table]
        hourly = table.name in EVENTS
        parts = [f"{one}T{hour:02}" for one in days for hour in HOURS] if hourly else [str(one) for one in days]
        found[read.table] = Slice(table, tuple(parts))
    return found


def inspected(
    engine: QueryEngine, checks: Checks, tables: Mapping[str, Table], days: Mapping[date, Measured] | None = None
) -> Findings:
    """What comes of the checks on DAY, with these days before it."""
    inspection = Inspection(checks, tables[checks.table])
    return inspection.inspect(engine, DAY, lambda reads: slices(tables, DAY, reads), History(DAY, days or {}))
