"""Real logs through the real tasks: iPinYou, OpenRTB bid requests, the Open Bandit Dataset."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.folder import PROJECT, Folder, assert_whole, table_of

DATA = PROJECT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="skipped: ../shared/data is not here")
HOURS = 146  # that have an impression file


def loaded(folder: Folder, event: str) -> dict[str, int]:
    """Rows by hour."""
    return {
        address.partition("/")[2]: receipt["rows"]
        for address, receipt in folder.receipts().items()
        if table_of(address) == event
    }


@pytest.fixture(scope="module")
def ipinyou(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """All hours of the seven days in Shanghai that begin 2013-10-19, by luigi's own RangeHourly."""
    folder = Folder(
        tmp_path_factory.mktemp("ipinyou") / "work",
        raw=str(DATA / "ipinyou"),
        source="ipinyou",
        first_date="2013-10-18",
    )
    for event in ("impression", "click"):
        done = folder.luigi(
            *("RangeHourly", "--of", "BigQueryLoad", "--of-params", json.dumps({"event": event})),
            *("--start", "2013-10-18T16", "--stop", "2013-10-25T16", "--hours-back", "1000000"),
            *("--task-limit", "200"),
        )
        assert done.code == 20, done.text  # the hours without logs are missing, the others are done
    return folder


@needs_data
def test_all_impressions_of_ipinyou_are_loaded(ipinyou: Folder) -> None:
    """12,526 lines of which one stands twice; 22 of the 168 hours have no file and are not complete."""
    hours = loaded(ipinyou, "impression")
    assert (len(hours), sum(hours.values())) == (HOURS, 12_525)
    receipts = [one for address, one in ipinyou.receipts().items() if address.startswith("ingest/impression")]
    assert sum(one["duplicates"] for one in receipts) == 1
    assert not any(one["rejected"] for one in receipts)
    files = {path.name for path in (DATA / "ipinyou").glob("imp.*")}
    assert {one["name"].removeprefix("raw/") for receipt in receipts for one in receipt["inputs"]} == files


@needs_data
def test_all_clicks_of_ipinyou_are_loaded(ipinyou: Folder) -> None:
    """Five clicks; an hour with impressions and without a click file is complete and empty."""
    hours = loaded(ipinyou, "click")
    assert (len(hours), sum(hours.values())) == (HOURS, 5)


@needs_data
def test_money_of_ipinyou_is_in_micros_of_one_impression(ipinyou: Folder) -> None:
    """A price in the log is fen for a thousand impressions: its sum times ten is what was spent, in micros."""
    spent = {}
    for path in (DATA / "ipinyou").glob("imp.*.gz"):
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            fields = line.split("\t")
            spent[fields[0]] = int(fields[20])
    found = ipinyou.rows("impression", "impression_id, clearing_price_micros")
    assert sum(found["clearing_price_micros"].to_pylist()) == 10 * sum(spent.values())
    assert_whole(ipinyou)


@needs_data
def test_bid_requests_of_openrtb_are_loaded(tmp_path: Path) -> None:
    """20,000 requests of January 2012, each in its hour, of two exchanges."""
    times = first_and_last()
    folder = Folder(
        tmp_path / "work", raw=str(DATA / "openrtb"), source="openrtb", first_date=times[0][:10], max_rejected_share="1"
    )
    done = folder.luigi(
        *("RangeHourly", "--of", "BigQueryLoad", "--of-params", '{"event": "bid"}'),
        *("--start", times[0], "--stop", times[1], "--hours-back", "1000000", "--task-limit", "1000"),
    )
    assert done.code == 0, done.text
    found = folder.rows("bid", "exchange")
    assert sorted(Counter(found["exchange"].to_pylist()).values()) == [9_011, 10_989]


def first_and_last() -> tuple[str, str]:
    """The first hour of the bid requests and the one after their last."""
    with gzip.open(DATA / "openrtb" / "bid_requests_masked.jsonl.gz", "rt") as lines:
        times = [json.loads(line)["timestamp"] for line in lines]
    last = datetime.fromtimestamp(max(times), UTC) + timedelta(hours=1)
    return f"{datetime.fromtimestamp(min(times), UTC):%Y-%m-%dT%H}", f"{last:%Y-%m-%dT%H}"


def test_the_open_bandit_run_ends_with_models(tmp_path: Path) -> None:
    """`python -m console open-bandit`: 60,000 impressions and 287 clicks from PyPI's wheel, and both arms exported."""
    folder = Folder(tmp_path / "work")
    try:
        done = folder.python("-m", "console", "open-bandit", own_home=False)
    finally:
        folder.python("-m", "console", "stop")
    if "pip could not download" in done.text:
        pytest.skip("skipped: PyPI cannot be reached")
    assert done.code == 0, done.text
    lake = folder.at("lake-open-bandit")
    assert sum(loaded(lake, "impression").values()) == 60_000
    assert sum(loaded(lake, "click").values()) == 287
    exported = [one["rows"] for address, one in lake.receipts().items() if address.startswith("export/")]
    assert len(exported) == 2
    assert_whole(lake)
    assert list(folder.tmp.rglob("*")) == []
