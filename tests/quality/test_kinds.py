"""Each kind of expectation: rows in, result out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dsp_pipeline.events.arrow import arrow_schema
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.quality.inspection import Findings
from dsp_pipeline.quality.judging import FAILED, NOT_JUDGED, PASSED, WARNED, Result
from dsp_pipeline.quality.measured import Measured, days_compared
from dsp_pipeline.warehouse.base import Table
from dsp_pipeline.warehouse.memory import Memory
from tests.quality.package import DAY, declared, inspected, make_impression, package, slices

Row = dict[str, Any]
Inspect = Callable[..., Findings]
IMPRESSION = Table("impression", "v1", EVENTS["impression"])


@pytest.fixture
def inspect(tmp_path: Path) -> Iterator[Inspect]:
    """The findings of one file of expectations over impressions, or over the table of them; each call adds its rows."""
    memory = Memory(memory_limit_mb=300, threads=1, spill=tmp_path / "spill")

    def run(
        text: str, rows: list[Row], days: Mapping[date, Measured] | None = None, of: str = "impression"
    ) -> Findings:
        files = package(tmp_path / "package", {of: text})
        memory.hold(IMPRESSION, [pa.Table.from_pylist(rows, arrow_schema(EVENTS["impression"]))])
        tables = {"impression": IMPRESSION}
        if of == "shown":
            query = files._catalog.query("shown")
            tables["shown"] = Table("shown", "v1", query, dict(tables))
            memory.answer(tables["shown"], DAY, slices(tables, DAY, query.reads))
        return inspected(memory, declared(files, of), tables, days)

    yield run
    memory.close()


def only(findings: Findings) -> Result:
    (result,) = findings.results
    return result


def at(hour: int, minute: int = 0) -> datetime:
    row: datetime = make_impression()["served_at"]
    return row.replace(hour=hour, minute=minute)


def make(rows: int, **changes: Any) -> list[Row]:
    return [make_impression(number, **changes) for number in range(rows)]


def past(measured: Measured, days: int = 3) -> dict[date, Measured]:
    """The same on each of the last days."""
    return {DAY - timedelta(days=back): measured for back in range(1, days + 1)}


def test_too_few_rows_of_a_day_are_told(inspect: Inspect) -> None:
    """`rows` bounds the day as a whole."""
    result = only(inspect("fail: {rows: [4, null]}", make(3)))
    assert (result.outcome, result.told) == (FAILED, "3 rows, and at least 4 are expected")
    assert result.place == "expectations/impression.yaml:1"


def test_a_day_within_its_bounds_passes(inspect: Inspect) -> None:
    """The bounds themselves are within."""
    assert only(inspect("fail: {rows: [3, 3]}", make(3))).outcome == PASSED


def test_an_hour_without_the_usual_rows_is_told(inspect: Inspect) -> None:
    """By hour of an event: also of an hour without a row at all."""
    usual = Measured({f"{hour:02}": 0 for hour in range(24)} | {"05": 3, "06": 100})
    result = only(inspect("warn: {volume: [0.5, 2]}", make(3), past(usual)))
    assert result.outcome == WARNED
    assert result.told == (
        "in the hour 06 0 rows where 100 are usual (in 3 days), and 0.5 … 2 times the usual number is expected"
    )


def test_a_few_rows_more_or_less_are_chance(inspect: Inspect) -> None:
    """Four standard deviations of a count: none where eight are usual, and three where none is, tell nothing."""
    usual = Measured({f"{hour:02}": 0 for hour in range(24)} | {"06": 8})
    assert only(inspect("warn: {volume: [0.5, 2]}", make(3), past(usual))).outcome == PASSED


def test_too_many_rows_of_a_table_are_told(inspect: Inspect) -> None:
    """By day of a table. The same weekday of two weeks counts more than the days between."""
    days = past(Measured({"day": 100}), 6) | {
        DAY - timedelta(weeks=1): Measured({"day": 4}),
        DAY - timedelta(weeks=2): Measured({"day": 6}),
    }
    result = only(inspect("warn: {volume: [null, 2]}", make(40), days, "shown"))
    assert result.outcome == WARNED
    assert result.told == "40 rows where 5 are usual (in 2 days), and at most 2 times the usual number is expected"


@pytest.mark.parametrize("kind", ["volume: [0.5, 2]", "new_values: {exchange: 0}", "drift: {bid_price_micros: 0.1}"])
def test_without_enough_earlier_days_nothing_is_judged(inspect: Inspect, kind: str) -> None:
    """Two days are no habit."""
    before = Measured({"05": 1}, values={"exchange": {"b": 9}}, sizes={"bid_price_micros": {"4001": 9}})
    result = only(inspect(f"fail: {{{kind}}}", make(3), past(before, 2)))
    assert (result.outcome, result.told) == (NOT_JUDGED, "fewer than 3 earlier days were checked")


def test_the_days_that_are_compared_are_the_last_week_and_the_weekday_before_it() -> None:
    """Ten at most, whatever else is kept."""
    back = [(DAY - one).days for one in days_compared(DAY)]
    assert back == [28, 21, 14, 7, 6, 5, 4, 3, 2, 1]


def test_a_day_that_ends_early_is_told(inspect: Inspect) -> None:
    """The newest row of the day itself is of 05:00, eighteen hours before it ends."""
    rows = [*make(2), make_impression(9, served_at=at(0))]
    result = only(inspect("warn: {freshness: {served_at: 17}}", rows))
    assert result.outcome == WARNED
    assert result.told == "the newest is 18 hours before the day's end, and at most 17 are expected"
    assert only(inspect("warn: {freshness: {served_at: 18}}", [])).outcome == PASSED


def test_a_day_without_a_row_is_not_fresh(inspect: Inspect) -> None:
    """Nor does it fail for want of rows in the query."""
    assert only(inspect("warn: {freshness: {served_at: 23}}", [])).told.startswith("no row is of the day itself")


def test_too_many_absent_values_are_told_with_hours_and_rows(inspect: Inspect) -> None:
    """The hours where they are too many, and the first rows by their key."""
    rows = [*make(6), *(make_impression(n, exchange=None, served_at=at(7)) for n in (8, 7))]
    result = only(inspect("fail: {nulls: {exchange: 0.2}}", rows))
    assert result.outcome == FAILED
    assert result.told == "absent in 0.25 of 8 rows, in the hours 07, and at most 0.2 is expected"
    assert result.rows == ({"impression_id": "i007", "exchange": None}, {"impression_id": "i008", "exchange": None})
    assert only(inspect("fail: {nulls: {exchange: 0.25}}", [])).outcome == PASSED


def test_values_out_of_range_are_told_with_their_rows(inspect: Inspect) -> None:
    """The bounds themselves are within; what is absent is not out of range; five rows are told of those there are."""
    prices = [0, 100, None, -1, 101, 102, 103, 104, 105]
    result = only(
        inspect(
            "fail: {range: {bid_price_micros: [0, 100]}}",
            [make_impression(number, bid_price_micros=price) for number, price in enumerate(prices)],
        )
    )
    assert (result.outcome, result.told) == (FAILED, "6 of 9 rows are not within 0 … 100")
    assert [row["bid_price_micros"] for row in result.rows] == [-1, 101, 102, 103, 104]


def test_what_is_not_a_number_is_out_of_every_range(inspect: Inspect) -> None:
    """NaN is larger than all numbers in one engine and than none in the other."""
    rows = [make_impression(number, predicted_click_rate=rate) for number, rate in enumerate((0.5, float("nan")))]
    for bound in ("[0, null]", "[null, 1]"):
        result = only(inspect(f"fail: {{range: {{predicted_click_rate: {bound}}}}}", rows))
        assert result.outcome == FAILED
        assert result.rows == ({"impression_id": "i001", "predicted_click_rate": "nan"},)
        rows = []


def test_values_that_are_not_allowed_are_told(inspect: Inspect) -> None:
    """Quotes in a value are a part of it."""
    rows = [make_impression(number, exchange=name) for number, name in enumerate(("it's", "adx", "other", None))]
    result = only(inspect('fail: {values: {exchange: ["it\'s", adx]}}', rows))
    assert (result.outcome, result.told) == (FAILED, "1 of 4 rows have none of it's, adx")
    assert result.rows == ({"impression_id": "i002", "exchange": "other"},)


def test_a_rate_is_of_the_rows_that_have_a_value(inspect: Inspect) -> None:
    """One of two prices is above 100; the third is not known."""
    rows = [make_impression(number, bid_price_micros=price) for number, price in enumerate((100, 101, None))]
    result = only(inspect("fail: {rate: {clicked: [0.6, 1]}}", rows, of="shown"))
    assert (result.outcome, result.told) == (FAILED, "true in 0.5 of 2 rows, and 0.6 … 1 is expected")


def test_new_values_are_told_with_their_rows_and_only_above_their_share(inspect: Inspect) -> None:
    """What came on any of the last seven days is not new."""
    before = past(Measured({}, values={"exchange": {"adx": 5}})) | {
        DAY - timedelta(days=4): Measured({}, values={"exchange": {"old": 1}})
    }
    rows = [make_impression(number, exchange=name) for number, name in enumerate(("adx", "old", "new", None))]
    result = only(inspect("warn: {new_values: {exchange: 0.3}}", rows, before))
    assert result.outcome == WARNED
    assert result.told == "0.333 of 3 rows have values of none of 4 days before: new (1); at most 0.3 is expected"
    assert only(inspect("warn: {new_values: {exchange: 0.34}}", [], before)).outcome == PASSED


def test_a_column_of_too_many_values_is_told(inspect: Inspect) -> None:
    """A thousand are kept; a column with more is not one of categories."""
    rows = [make_impression(number, exchange=f"x{number}") for number in range(1_001)]
    result = only(inspect("warn: {new_values: {exchange: 1}}", rows, past(Measured({}, values={"exchange": {}}))))
    assert result.outcome == WARNED
    assert result.told == "more than 1,000 values, and new_values is for columns that have fewer"


def test_the_same_numbers_again_have_not_drifted(inspect: Inspect) -> None:
    """Compared with what was measured of them before."""
    rows = [make_impression(number, bid_price_micros=10 * (number % 100)) for number in range(1_200)]
    before = inspect("warn: {drift: {bid_price_micros: 0}}", rows).measured
    assert before is not None
    result = only(inspect("warn: {drift: {bid_price_micros: 0}}", [], past(before)))
    assert result.outcome == PASSED
    assert result.told.startswith("PSI 0.000")


def test_sizes_that_moved_are_told_with_where(inspect: Inspect) -> None:
    """The bin that has most part in it, and its shares."""
    before = past(Measured({}, sizes={"bid_price_micros": {"4018": 500, "4019": 500}}))
    result = only(inspect("warn: {drift: {bid_price_micros: 0.2}}", make(1_000), before))
    # 100 lies between e^(18/4) = 90.0 and e^(19/4) = 115.6.
    assert result.outcome == WARNED
    assert result.told.startswith("PSI ")
    assert "90 … 116" in result.told or "116 … 148" in result.told


def test_a_few_rows_do_not_drift(inspect: Inspect) -> None:
    """Below a thousand they wobble."""
    before = past(Measured({}, sizes={"bid_price_micros": {"4001": 9_000}}))
    result = only(inspect("warn: {drift: {bid_price_micros: 0.2}}", make(999), before))
    assert (result.outcome, result.told) == (NOT_JUDGED, "fewer than 1,000 rows have a value, now or before")


def test_a_mix_of_values_that_moved_is_told(inspect: Inspect) -> None:
    """From halves to three quarters: (0.25) ln 1.5 + (-0.25) ln 0.5 = 0.275."""
    before = past(Measured({}, values={"exchange": {"adx": 500, "tanx": 500}}))
    rows = [make_impression(number, exchange="tanx" if number % 4 else "adx") for number in range(1_000)]
    result = only(inspect("warn: {mix: {exchange: 0.27}}", rows, before))
    assert result.outcome == WARNED
    assert result.told == (
        "PSI 0.275 (mostly adx in 0.5 of 3 days before and in 0.25 now), and at most 0.27 is expected"
    )
    assert only(inspect("warn: {mix: {exchange: 0.28}}", [], before)).outcome == PASSED


def test_one_query_asks_all(inspect: Inspect, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is expected, of a day on which all is right."""
    asked = []
    ask = Memory.ask
    monkeypatch.setattr(
        Memory, "ask", lambda self, query, day, inputs: asked.append(query) or ask(self, query, day, inputs)
    )
    text = """\
    fail: {rows: [1, null], nulls: {exchange: 0}, range: {bid_price_micros: [0, 100]}, values: {exchange: [adx]}}
    warn: {volume: [0.5, 2], freshness: {served_at: 19}, new_values: {exchange: 0}, mix: {exchange: 1}}
    """
    assert not inspect(text, make(3)).of(FAILED)
    assert len(asked) == 1


def test_what_the_source_does_not_map_is_not_looked_at(tmp_path: Path) -> None:
    """The Open Bandit Dataset tells no price, no user and no exchange, and has no conversions."""
    text = "warn: {volume: [0.5, 2], nulls: {user_id: 0.1, creative_id: 0}}"
    files = package(tmp_path, {"impression": text, "conversion": "warn: {rows: [1, null]}"}, source="open_bandit")
    assert [one.name for one in declared(files, "impression").expected.expectations] == [
        "volume",
        "nulls of creative_id",
    ]
    assert files.names() == ["impression"]
