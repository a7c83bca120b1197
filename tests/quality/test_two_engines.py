"""The same checks of the same rows: DuckDB and BigQuery's stand-in count, judge and tell exactly the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.events.source import load_source
from dsp_pipeline.platform import PACKAGE
from dsp_pipeline.quality.files import CheckFiles
from dsp_pipeline.quality.inspection import Inspection
from dsp_pipeline.quality.judging import FAILED, PASSED, WARNED
from dsp_pipeline.quality.measured import History, Measured
from dsp_pipeline.quality.question import Question, unexpected
from dsp_pipeline.sql import portable
from dsp_pipeline.sql.catalog import Catalog
from dsp_pipeline.warehouse.base import Slice, Table
from tests.contracts.implementations import WAREHOUSES
from tests.contracts.rows import build, load
from tests.quality.package import DAY, declared, make_impression, package

HOURS = ("2026-11-21T05", "2026-11-21T06")
EVENT = """\
fail:
  rows: [7, null]
  nulls: {exchange: 0.1}
  range: {bid_price_micros: [0, 900], predicted_click_rate: [0, null]}
  values: {exchange: ["it's", adx]}
warn:
  volume: [0.5, 2]
  freshness: {served_at: 17}
  new_values: {exchange: 0, placement_width: 0}
  drift: {bid_price_micros: 0.1, predicted_click_rate: 0.1}
  mix: {exchange: 0.1, placement_width: 0.1}
"""
TABLE = """\
fail:
  rows: [1, null]
  range: {rate: [0, 1]}
  values: {clicked: [true]}
  nulls: {price: 0}
warn:
  rate: {clicked: [0.6, 1]}
  freshness: {served_at: 17}
  new_values: {price: 0}
  drift: {rate: 0.1}
"""
AUDIT = """\
-- One row per impression of the exchange adx, with a time, a price and a list.
-- reads: impression [0, 0]
-- key: impression_id
-- level: warn
SELECT impression_id, served_at, bid_price_micros, predicted_click_rate, segments, @date AS day
FROM impression
WHERE exchange = 'adx';
"""


def rows() -> list[dict[str, Any]]:
    """A dozen of the first hour, with all that is odd, and one of the second."""
    odd = [
        {"exchange": None, "bid_price_micros": None},
        {"exchange": "it's"},
        {"exchange": "näheres", "bid_price_micros": -90},
        {"predicted_click_rate": float("nan"), "bid_price_micros": 0},
        {"predicted_click_rate": float("inf")},
        {"predicted_click_rate": -1e-300, "placement_width": 300},
        {"predicted_click_rate": 0.0, "bid_price_micros": 2**53, "segments": ["a", "b"]},
    ]
    return [make_impression(number, **one) for number, one in enumerate([*odd, *[{}] * 5])]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[Any, dict[str, Table]]]]:
    """Each warehouse with the two hours and the table's day."""
    found = []
    for name, make in sorted(WAREHOUSES.items()):
        folder = tmp_path_factory.mktemp(name.split()[0])
        warehouse, impression = make(folder), Table("impression", "v1", EVENTS["impression"])
        load(warehouse, rows(), HOURS[0], impression)
        last = make_impression(99, served_at=datetime(2026, 11, 21, 6, tzinfo=UTC))
        load(warehouse, [last], HOURS[1], impression)
        package(folder / "package")
        shown = Table(
            "shown", "v1", Catalog(folder / "package" / "features").query("shown"), {"impression": impression}
        )
        build(warehouse, shown, DAY, slices={"impression": HOURS})
        found.append((warehouse, {"impression": impression, "shown": shown}))
    yield found


def test_both_find_the_same(engines: list[tuple[Any, dict[str, Table]]], tmp_path: Path) -> None:
    """Of each kind of expectation something, and of an audit; the few rows too, in their order."""
    files = package(tmp_path, {"impression": EVENT, "shown": TABLE}, {"impression__it-is-of-adx": AUDIT})
    before = Measured(
        {f"{hour:02}": 40 for hour in range(24)},
        values={"exchange": {"adx": 2_000}, "placement_width": {"300": 2_000}, "price": {"100": 5}},
        sizes={"bid_price_micros": {"4018": 2_000}, "predicted_click_rate": {"3981": 2_000}, "rate": {"3981": 2_000}},
    )
    history = History(DAY, {DAY - timedelta(days=back): before for back in (1, 2, 3)})
    for name in ("impression", "shown"):
        told = []
        for engine, tables in engines:
            parts = {"impression": HOURS, "shown": (str(DAY),)}

            def slices(reads: Any, tables: Any = tables, parts: Any = parts) -> dict[str, Slice]:
                return {read.table: Slice(tables[read.table], parts[read.table]) for read in reads}

            inspection = Inspection(declared(files, name), tables[name])
            told.append(inspection.inspect(engine, DAY, slices, history).as_dict())
        assert told[0] == told[1]
        outcomes = {one["check"]: (one["outcome"], one["told"].split(",")[0]) for one in told[0]["results"]}
        assert outcomes == EXPECTED[name]


EXPECTED = {
    "impression": {
        "rows": (PASSED, "13 rows"),
        "nulls of exchange": (PASSED, "absent in 0.0769 of 13 rows"),
        "range of bid_price_micros": (FAILED, "2 of 13 rows are not within 0 … 900"),
        "range of predicted_click_rate": (FAILED, "2 of 13 rows are not within at least 0"),
        "values of exchange": (FAILED, "1 of 13 rows have none of it's"),
        "volume": (WARNED, "in the hour 00 0 rows where 40 are usual (in 3 days)"),
        "freshness of served_at": (PASSED, "the newest is 17 hours before the day's end"),
        "new_values of exchange": (
            WARNED,
            "0.167 of 12 rows have values of none of 3 days before: it's (1)",
        ),
        "new_values of placement_width": (PASSED, "none is new"),
        "drift of bid_price_micros": ("not judged", "fewer than 1"),
        "drift of predicted_click_rate": ("not judged", "fewer than 1"),
        "mix of exchange": ("not judged", "fewer than 1"),
        "mix of placement_width": ("not judged", "fewer than 1"),
        "it is of adx": (WARNED, "10 rows"),
    },
    "shown": {
        "rows": (PASSED, "13 rows"),
        "range of rate": (FAILED, "3 of 13 rows are not within 0 … 1"),
        "values of clicked": (FAILED, "11 of 13 rows have none of True"),
        "nulls of price": (FAILED, "absent in 0.0769 of 13 rows"),
        "rate of clicked": (WARNED, "true in 0.0833 of 12 rows"),
        "freshness of served_at": (PASSED, "the newest is 17 hours before the day's end"),
        "new_values of price": (WARNED, "0.25 of 12 rows have values of none of 3 days before: -90 (1)"),
        "drift of rate": ("not judged", "fewer than 1"),
    },
}


def test_what_is_asked_is_in_the_dialect_that_means_the_same_in_both(tmp_path: Path) -> None:
    """Of this test's checks and of all that are shipped; the rows that are told too."""
    ours = package(tmp_path, {"impression": EVENT, "shown": TABLE})
    for files, catalog in ((ours, Catalog(tmp_path / "features")), (shipped(), Catalog(PACKAGE / "features"))):
        for name in files.names():
            expectations = declared(files, name).expected.expectations
            table = Table(name, "v1", EVENTS[name] if name in EVENTS else catalog.query(name))
            question = Question(table, expectations, tmp_path)
            portable.check(question.query.tree, tmp_path)
            for one in filter(unexpected, expectations):
                portable.check(question.few(one).tree, tmp_path)


def shipped() -> CheckFiles:
    source = load_source(PACKAGE / "events" / "sources", "simulator")
    return CheckFiles(PACKAGE, Catalog(PACKAGE / "features"), source)
