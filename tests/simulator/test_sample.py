"""A sample is what the simulator would have written, and its tables are answered as a warehouse would answer them."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dsp_pipeline.errors import DspError
from dsp_pipeline.events.decode import Decoder
from dsp_pipeline.events.source import load_source
from dsp_pipeline.platform import PACKAGE
from dsp_pipeline.simulator.lines import hours
from dsp_pipeline.simulator.sample import Sample, Span
from dsp_pipeline.sql.catalog import Catalog
from dsp_pipeline.warehouse.memory import Memory
from tests.simulator.conftest import Folder

DAY = date(2026, 11, 21)
SOURCE = load_source(PACKAGE / "events" / "sources", "simulator")
CATALOG = Catalog(PACKAGE / "features")


def make_sample(folder: Path, before: int = 2, source: Any = SOURCE) -> Sample:
    """The asked day, `before` days and the day after."""
    folder.mkdir()
    limits = {"memory_limit_mb": 200, "threads": 1}
    span = Span(DAY - timedelta(days=before), DAY + timedelta(days=1))
    memory = Memory(**limits, spill=folder / "spill")
    return Sample(source, CATALOG, span, Decoder(SOURCE, **limits), memory, folder)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """Two days, the asked one and the next."""
    yield make_sample(tmp_path_factory.mktemp("sample") / "it")


def test_the_lines_are_those_of_the_files(small: Folder) -> None:
    """Byte for byte, hour after hour, of every event."""
    written = list(hours(small.simulation))
    assert len(written) == 24
    for hour, lines in enumerate(written):
        for event, text in lines.items():
            path = small.out / event / f"{small.simulation.first}" / f"{hour:02}-0.jsonl.gz"
            assert gzip.decompress(path.read_bytes()) == text
    assert sum(lines["impression"].count(b"\n") for lines in written) == small.manifest.rows["impression"] > 1_000


def test_only_the_asked_events_are_made(small: Folder) -> None:
    """Clicks are the same whether impressions are written or not."""
    alone = dataclasses.replace(small.simulation, events=("click",))
    assert [lines["click"] for lines in hours(alone)] == [lines["click"] for lines in hours(small.simulation)]
    assert {event for lines in hours(alone) for event in lines} == {"click"}


def test_the_asked_day_is_one_that_a_model_could_be_judged_on(sample: Sample) -> None:
    """Its rows are all of that day, some are clicked, and what is known before it is known."""
    answer = sample.answer("click_rate", DAY)
    rows = answer.head(10_000)
    assert len(rows) == answer.rows > 1_200
    assert {row["served_at"].date() for row in rows} == {row["date"] for row in rows} == {DAY}
    assert 3 < sum(row["clicked"] for row in rows) < 60
    assert all(row["campaign_click_rate_14d"] > 0 for row in rows)
    assert [row["impression_id"] for row in rows] == sorted(row["impression_id"] for row in rows)
    assert answer.columns["segment_count"] == "INT64"


def test_days_outside_of_a_span_are_not_in_it() -> None:
    """A window that reaches over both ends is cut there; one beside it holds no day."""
    span = Span(DAY, DAY + timedelta(days=2))
    assert span.within(DAY - timedelta(days=7), DAY + timedelta(days=1)) == [DAY, DAY + timedelta(days=1)]
    assert span.within(DAY + timedelta(days=2), DAY + timedelta(days=9)) == [DAY + timedelta(days=2)]
    assert span.within(DAY - timedelta(days=7), DAY - timedelta(days=1)) == []


def test_windows_are_cut_at_the_first_day(sample: Sample) -> None:
    """Of the first day nothing is known before it; of the second, one day."""
    first, second = (sample.answer("click_rate", sample.span.first + timedelta(days=back)) for back in (0, 1))
    assert {row["user_click_rate_14d"] for row in first.head(10_000)} == {None}
    assert None not in {row["user_click_rate_14d"] for row in second.head(10_000)}
    daily = sample.answer("campaign_daily", sample.span.first).head(10_000)
    assert sum(row["impressions"] for row in daily) == first.rows


def test_the_same_days_give_the_same_rows(sample: Sample, tmp_path: Path) -> None:
    """Whatever was asked for before, and through batches as well."""
    other = make_sample(tmp_path / "other").answer("click_rate", DAY)
    mine = sample.answer("click_rate", DAY)
    assert other.head(10_000) == mine.head(10_000)
    columns = ["impression_id", "clicked"]
    streamed = [row for batch in mine.batches(columns) for row in batch.to_pylist()]
    assert streamed == [{name: row[name] for name in columns} for row in mine.head(10_000)]


def test_an_hour_of_lines_is_of_that_hour(sample: Sample, tmp_path: Path) -> None:
    """All of them are good, and clicks are among them too."""
    hour = datetime(2026, 11, 21, 13, tzinfo=UTC)
    for event, time in (("impression", "served_at"), ("click", "clicked_at")):
        (tmp_path / event).mkdir()
        decoder = Decoder(SOURCE, memory_limit_mb=200, threads=1)
        decoded = decoder.decode(event, hour, [sample.lines(event, hour)], tmp_path / event)
        assert decoded.rows == decoded.lines > 0
        times = pq.read_table(decoded.events)[time].to_pylist()
        assert {one.replace(minute=0, second=0, microsecond=0) for one in times} == {hour}


def test_an_event_that_the_sample_lacks_is_told(tmp_path: Path) -> None:
    """With what the simulator does make, before anything is simulated."""
    without = dataclasses.replace(SOURCE, events={"impression": SOURCE.events["impression"]})
    sample = make_sample(tmp_path / "it", source=without)
    with pytest.raises(DspError, match=r"the sample has no event click: the simulator makes impression; try it on"):
        sample.answer("click_rate", DAY)
    assert not sample.rows


def test_days_after_are_those_that_the_label_window_needs() -> None:
    """click_rate reads clicks of the next day, conversion_rate conversions of three; daily tables and lookups none."""
    assert (CATALOG.days_after("click_rate"), CATALOG.days_after("campaign_daily")) == (1, 0)
    assert (CATALOG.days_after("conversion_rate"), CATALOG.days_after("campaign_conversion_rate")) == (3, 0)
    assert CATALOG.days_after("click") == 0
