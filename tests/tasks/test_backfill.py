"""Backfill: what is not there of a range of days is made, and what is there costs a query a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsp_pipeline.sql.catalog import Catalog
from tests.e2e.folder import OUTCOMES, PACKAGE, Folder, ended, only, ran
from tests.e2e.scheduler import luigid
from tests.tasks.small import DAYS, arrive, counted, receipt, small_folder
from tests.tasks.test_commands import assert_told

CATALOG = Catalog(PACKAGE / "features")


def below(table: str) -> set[str]:
    """The tables that a table is made of, and itself."""
    reads = [read.table for read in CATALOG.query(table).reads if read.table in CATALOG.tables()]
    return {table}.union(*map(below, reads))


FEATURES = sorted(below("click_rate"))  # those of the experiments that impressions and clicks are enough for
YEAR = ("--start", "2024-11-01", "--stop", "2025-10-31")

# Writes the receipts of a year of empty partitions, all that Backfill looks at.
FILL = f"""
FEATURES = {FEATURES}
from pathlib import Path
from datetime import date
from dsp_pipeline.receipts import Receipt
from tasks.settings import platform
one = platform()
for name in [*one.source.events, *FEATURES]:
    table = one.table(name)
    folder = Path(one.settings.lake) / "warehouse" / "receipts" / table.address
    folder.mkdir(parents=True)
    for day in one.days(date(2024, 11, 1), date(2025, 10, 31)):
        for partition in one.partitions(table, day):
            address = table.address + "/" + partition
            (folder / (partition + ".json")).write_bytes(Receipt(address, table.version, 0, ()).to_json())
"""


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A year whose impressions, clicks and feature tables are all complete."""
    folder = Folder(tmp_path_factory.mktemp("year") / "work", first_date="2024-11-01", package="package")
    only(folder.package(), *OUTCOMES)
    filled = folder.python("-c", FILL)
    assert filled.code == 0, filled.text
    return folder


def test_a_complete_year_is_found_so_by_one_query_a_table(year: Folder) -> None:
    """17,520 hours and 1,825 days of tables, no call of the store, and hardly a task of luigi."""
    found = counted(year, "Backfill", *YEAR)
    assert found["calls"] == {"warehouse.receipts": len(OUTCOMES) + len(FEATURES)}
    assert found["tasks"] < 10
    only_loads = counted(year, "Backfill", *YEAR, "--tables", "none")
    assert only_loads["calls"] == {"warehouse.receipts": len(OUTCOMES)}


def test_a_hole_in_a_year_is_found(year: Folder, tmp_path: Path) -> None:
    """Three hours and a day without a receipt: a line for each step and range, the total, and nothing runs."""
    holes = [("click", f"2025-03-04T{hour:02}") for hour in (5, 6, 7)] + [("user_daily", "2025-05-06")]
    paths = [receipt(year, *place) for place in holes]
    for path in paths:
        path.rename(tmp_path / path.name)
    before = year.files()
    done = year.luigi("Backfill", *YEAR, "--dry-run")
    assert year.files() == before
    for path in paths:
        (tmp_path / path.name).rename(path)
    told = [line for line in done.text.splitlines() if line.startswith(("S3", "Raw", "Big", "Feat"))]
    assert done.code == 0, done.text
    assert told == [
        "RawLog click 2025-03-04T05 … T07: 3 hours without logs",
        "S3LogIngest click 2025-03-04T05 … T07: 3 hours behind logs that have not arrived",
        "BigQueryLoad click 2025-03-04T05 … T07: 3 hours behind logs that have not arrived",
        "FeatureBuild user_daily 2025-05-06: 1 day without a receipt",
    ]
    assert "1 step of 1 day would run.\n1 day behind logs that have not arrived." in done.text


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (("RangeHourly", "--of", "BigQueryLoad", "--of-params", '{"event": "click"}'), {"warehouse.receipts": 1}),
        (("RangeDaily", "--of", "FeatureBuild", "--of-params", '{"table": "click_rate"}'), {"warehouse.receipts": 1}),
    ],
)
def test_luigis_own_ranges_are_answered_by_one_query(
    year: Folder, words: tuple[str, ...], calls: dict[str, int]
) -> None:
    """400 hours, or 60 days, in the past: luigi asks `bulk_complete`, and one query knows all of them."""
    hourly = words[0] == "RangeHourly"
    start, stop = ("2025-03-01T00", "2025-03-17T16") if hourly else ("2025-03-01", "2025-04-30")
    back = ("--hours-back", "100000") if hourly else ("--days-back", "5000")
    found = counted(year, *words, "--start", start, "--stop", stop, *back)
    assert found["calls"] == calls


@pytest.fixture
def small(tmp_path: Path) -> Folder:
    """Clicks alone, one table of them, no logs yet."""
    return small_folder(tmp_path / "work")


def backfill(start: str, stop: str, *more: str) -> tuple[str, ...]:
    return ("Backfill", "--start", start, "--stop", stop, "--tables", "clicks_daily", *more)


def test_a_range_is_filled_once_and_then_only_its_holes(small: Folder) -> None:
    """What has no receipt is made, with what it needs and no more; a raw file that changed is for Restate."""
    arrive(small, *DAYS[:2])
    done = small.luigi(*backfill(*DAYS[:2]))
    assert done.code == 0, done.text
    assert len(ran(done.text)) == 2 * 24 * 2 + 2

    again = small.luigi(*backfill(*DAYS[:2]))
    assert (again.code, ran(again.text)) == (0, {})

    receipt(small, "click", f"{DAYS[0]}T05").unlink()
    receipt(small, "clicks_daily", DAYS[1]).unlink()
    arrive(small, DAYS[0], number=1, hours=range(7, 8))
    dry = small.luigi(*backfill(*DAYS[:2]), "--dry-run")
    assert (dry.code, ran(dry.text)) == (0, {})
    assert f"BigQueryLoad click {DAYS[0]}T05: 1 hour without a receipt\n" in dry.text
    assert f"FeatureBuild clicks_daily {DAYS[1]}: 1 day without a receipt\n" in dry.text
    assert "2 steps of 2 days would run." in dry.text
    filled = small.luigi(*backfill(*DAYS[:2]))
    assert filled.code == 0, filled.text
    assert set(ran(filled.text)) == {
        f"BigQueryLoad(event=click, hour={DAYS[0]}T05)",
        f"FeatureBuild(table=clicks_daily, date={DAYS[1]})",
    }
    nothing = small.luigi(*backfill(*DAYS[:2]), "--dry-run")
    assert (nothing.code, "Nothing to do: nothing is missing in 2 days." in nothing.text) == (0, True)


def test_a_limit_takes_the_oldest_days_and_says_what_is_left(small: Folder) -> None:
    """One day a run: the same command again takes the next, until nothing is left."""
    arrive(small, *DAYS[:3])
    command = ("Backfill", "--start", DAYS[0], "--stop", DAYS[2], "--tables", "none", "--limit", "1")
    left = ["2 more days are not complete; the same command goes on.", "1 more day is not complete; the same"]
    for day, sentence in zip(DAYS, [*left, None], strict=False):
        done = small.luigi(*command)
        assert done.code == 0, done.text
        assert {word for word in DAYS if f"hour={word}T" in done.text} == {day}
        if sentence:
            assert sentence in done.text.splitlines()[-1]
        else:
            assert "not complete" not in done.text


def test_lost_logs_hold_up_nobody(small: Folder) -> None:
    """A day that only waits for logs does not count for the limit; it is told as not ready, with its exit code."""
    arrive(small, *DAYS[1:3])
    done = small.luigi("Backfill", "--start", DAYS[0], "--stop", DAYS[2], "--tables", "", "--limit", "1")
    assert_told(done, 20, f"24 hours of click logs have not arrived ({DAYS[0]}T00 … {DAYS[0]}T23)")
    assert {address.partition("/")[2][:10] for address in small.receipts() if address.startswith("click_")} == {DAYS[1]}
    assert "1 more day is not complete; the same command goes on." in done.text


def test_a_table_brings_what_it_needs_from_outside_the_range(small: Folder) -> None:
    """The day before the range is loaded because the table reads it."""
    arrive(small, *DAYS[:2])
    dry = small.luigi(*backfill(DAYS[1], DAYS[1], "--dry-run"))
    assert f"BigQueryLoad click {DAYS[0]}T00 … {DAYS[1]}T23: 48 hours without a receipt" in dry.text
    done = small.luigi("Backfill", "--date", DAYS[1], "--tables", "clicks_daily")
    assert done.code == 0, done.text
    assert len(ran(done.text)) == 2 * 24 * 2 + 1


def test_luigis_own_range_of_raw_logs_tells_what_has_not_arrived(small: Folder) -> None:
    """RangeHourly of RawLog makes nothing; its exit code says whether all is there."""
    arrive(small, DAYS[0])
    words = ("RangeHourly", "--of", "RawLog", "--of-params", '{"event": "click"}', "--hours-back", "100000")
    assert small.luigi(*words, "--start", f"{DAYS[0]}T00", "--stop", f"{DAYS[1]}T00").code == 0
    done = small.luigi(*words, "--start", f"{DAYS[0]}T00", "--stop", f"{DAYS[1]}T02")
    assert_told(done, 20, f"2 hours of click logs have not arrived ({DAYS[1]}T00 … {DAYS[1]}T01)")


def test_two_workers_share_a_backfill(small: Folder) -> None:
    """Under one luigid the same command twice: both end well, each step is made once; again, it takes the next day."""
    arrive(small, *DAYS[:2])
    command = ("Backfill", "--start", DAYS[0], "--stop", DAYS[1], "--tables", "clicks_daily", "--limit", "1")
    with luigid(small) as address:
        first, second = (small.start(*command, scheduler=address) for _ in range(2))
        done = [ended(first), ended(second)]
        next_day = small.luigi(*command, scheduler=address)
    assert [(one.code, one.errors) for one in (*done, next_day)] == [(0, [])] * 3, (done, next_day)
    counts = ran(done[0].text) + ran(done[1].text)
    assert set(counts.values()) == {1}
    assert len(counts) == 24 * 2 + 1
    assert len(ran(next_day.text)) == 24 * 2 + 1


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--start", DAYS[1], "--stop", DAYS[0]), (f"--start {DAYS[1]} is after --stop {DAYS[0]}",)),
        (("--start", DAYS[1]), ("Backfill needs --date DAY, or --start DAY and --stop DAY",)),
        (("--start", DAYS[0], "--stop", "2200-01-01"), ("2200-01-01 is in the future",)),
        (("--start", "2026-11-1x", "--stop", DAYS[0]), ("'2026-11-1x' is not a day",)),
        (("--start", "2026-11-16", "--stop", DAYS[0]), ("before the first day of logs",)),
        (("--date", DAYS[0], "--tables", "clicks_dail"), ("unknown table 'clicks_dail'", "did you mean clicks_daily")),
        (("--date", DAYS[0], "--tables", "click"), ("the event click", "leave it out")),
        (("--date", DAYS[0], "--limit", "0"), ("--limit is 0",)),
    ],
)
def test_a_wrong_word_is_told(small: Folder, words: tuple[str, ...], parts: tuple[str, ...]) -> None:
    """In one sentence, before anything is looked at."""
    assert_told(small.luigi("Backfill", *words), 40, *parts)
    assert not small.files()
