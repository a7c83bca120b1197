"""Real logs of two DSPs, where they are at hand: beside the checkout, not in it."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dsp_pipeline.events.decode import Decoded, Decoder
from dsp_pipeline.events.lines import RawFile
from dsp_pipeline.events.source import Source, load_source
from dsp_pipeline.storage.local import LocalFolder
from tests.events.test_source import SOURCES

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip("skipped: ../shared/data is not here")
    return DATA


def decode_all(source: Source, event: str, raw: Path, hours: list[datetime], scratch: Path) -> tuple[pa.Table, Decoded]:
    """All rows of the hours, and the sums of what was counted; files are found by the source's own pattern."""
    store = LocalFolder(raw)
    path = source.layout(event).path
    keys = [stored.key for stored in store.list("")]
    decoder = Decoder(source, memory_limit_mb=300, threads=1)
    tables, total = [], Decoded(scratch)
    for hour in hours:
        files = [
            RawFile(key, lambda key=key: store.get(key), found)  # type: ignore[misc]
            for key in keys
            if (found := path.match(hour, key)) is not None
        ]
        if not files:
            continue
        assert all(file.key.startswith(path.prefix(hour)) for file in files)
        decoded = decoder.decode(event, hour, files, scratch)
        tables.append(pq.ParquetFile(decoded.events).read())
        total.rows += decoded.rows
        total.duplicates += decoded.duplicates
        total.rejected += decoded.rejected
    return pa.concat_tables(tables), total


def raw_rows(folder: Path, pattern: str) -> Iterator[list[str]]:
    for path in sorted(folder.glob(pattern)):
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            yield from csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)


def test_ipinyou_hours_decode(data: Path, tmp_path: Path) -> None:
    """A week of real impressions in China's time: one bidid stands twice, nothing is rejected, the prices add up."""
    raw = list(raw_rows(data / "ipinyou", "imp.*"))
    assert len(raw) == 12_526
    hours = [datetime(2013, 10, 18, 16, tzinfo=UTC) + timedelta(hours=n) for n in range(7 * 24)]
    source = load_source(SOURCES, "ipinyou")
    rows, total = decode_all(source, "impression", data / "ipinyou", hours, tmp_path)
    assert (total.rows, total.duplicates, total.rejected) == (12_525, 1, Counter())
    assert pc.count_distinct(rows["impression_id"]).as_py() == 12_525
    assert pc.min(rows["served_at"]).as_py() == datetime(2013, 10, 18, 16, 1, 3, 642_000, tzinfo=UTC)
    once = {row[0]: row for row in reversed(raw)}
    for column, place in (("clearing_price_micros", 20), ("bid_price_micros", 19), ("bid_floor_micros", 17)):
        expected = [10 * int(row[place]) for row in once.values()]
        assert pc.sum(rows[column]).as_py() == sum(expected)
        assert pc.mean(rows[column]).as_py() == pytest.approx(sum(expected) / len(expected))
    tags = Counter(tag for row in once.values() if row[23] not in ("null", "") for tag in row[23].split(","))
    assert Counter(pc.list_flatten(rows["segments"]).to_pylist()) == tags


def test_ipinyou_has_a_file_for_each_of_146_hours(data: Path) -> None:
    """Each of them is found by the path of one hour."""
    path = load_source(SOURCES, "ipinyou").layout("impression").path
    hours = [datetime(2013, 10, 18, 16, tzinfo=UTC) + timedelta(hours=n) for n in range(7 * 24)]
    keys = [file.name for file in (data / "ipinyou").glob("imp.*")]
    found = [key for hour in hours for key in keys if path.match(hour, key) is not None]
    assert len(found) == 146
    assert sorted(found) == sorted(keys)


def test_ipinyou_clicks_decode(data: Path, tmp_path: Path) -> None:
    """All five, each of an impression that is there."""
    raw = {row[0] for row in raw_rows(data / "ipinyou", "clk.*")}
    hours = [datetime(2013, 10, 18, 16, tzinfo=UTC) + timedelta(hours=n) for n in range(7 * 24)]
    rows, total = decode_all(load_source(SOURCES, "ipinyou"), "click", data / "ipinyou", hours, tmp_path)
    assert (total.rows, total.rejected) == (5, Counter())
    assert set(rows["click_id"].to_pylist()) == raw
    assert raw <= {row[0] for row in raw_rows(data / "ipinyou", "imp.*")}


def test_openrtb_bid_requests_decode(data: Path, tmp_path: Path) -> None:
    """20,000 nested requests of two exchanges in one file: each hour takes its own."""
    import json

    with gzip.open(data / "openrtb" / "bid_requests_masked.jsonl.gz", "rt", encoding="utf-8") as lines:
        raw = [json.loads(line) for line in lines]
    stamps = [float(row["timestamp"]) for row in raw]
    hours = [datetime.fromtimestamp(hour * 3600, UTC) for hour in sorted({int(stamp // 3600) for stamp in stamps})]
    assert len(hours) < 200
    rows, total = decode_all(load_source(SOURCES, "openrtb"), "bid", data / "openrtb", hours, tmp_path)
    assert total.rejected == Counter()
    assert total.rows + total.duplicates == len(raw) == 20_000
    assert sorted(Counter(rows["exchange"].to_pylist()).values()) == [9_011, 10_989]
    micros = sorted(round(stamp * 1_000_000) for stamp in stamps)
    assert sorted(rows["bid_at"].cast(pa.int64()).to_pylist()) == micros
    told = {row["id"]: (row.get("segments") or {}).get("adxVerticals") or [] for row in raw}
    for bid, names, weights in zip(
        *(rows[name].to_pylist() for name in ("bid_id", "segments", "segment_weights")), strict=True
    ):
        pairs = [item if isinstance(item, list) else [item, None] for item in told[bid]]
        assert names == [str(name) for name, _ in pairs]
        assert weights == ([] if any(weight is None for _, weight in pairs) else [weight for _, weight in pairs])
    assert sum(1 for value in rows["segments"].to_pylist() if value) > 9_000
