"""LateLogs: which raw files came too late, what stands on their hours, and the command that takes them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.folder import Folder
from tests.tasks.small import DAYS, arrive, counted, small_folder
from tests.tasks.test_commands import assert_told


@pytest.fixture
def small(tmp_path: Path) -> Folder:
    """Two days of clicks, loaded, and a table of both."""
    folder = small_folder(tmp_path / "work")
    arrive(folder, *DAYS[:2])
    done = folder.luigi("Backfill", "--start", DAYS[0], "--stop", DAYS[1], "--tables", "clicks_daily")
    assert done.code == 0, done.text
    return folder


def told(folder: Folder, *words: str) -> list[str]:
    """What the command answers; it changes nothing."""
    before = folder.files()
    done = folder.luigi(*words)
    assert (done.code, done.errors) == (0, []), done.text
    assert folder.files() == before
    answer = done.text.partition("\n")[2].partition(" INFO ")[0].splitlines()[:-1]
    return [line for line in answer if line]


def test_late_files_are_told_with_what_stands_on_them(small: Folder) -> None:
    """New and changed files by event and hour, the partitions and days made from them, and the cure."""
    arrive(small, DAYS[0], number=1, hours=range(5, 7))
    arrive(small, DAYS[0], hours=range(9, 10))  # written again
    built = [
        f"S3LogIngest click {DAYS[0]}T05 … T06: 2 hours made from other inputs than are there now",
        f"S3LogIngest click {DAYS[0]}T09: 1 hour made from other inputs than are there now",
        f"BigQueryLoad click {DAYS[0]}T05 … T06: 2 hours standing on what is made anew",
        f"BigQueryLoad click {DAYS[0]}T09: 1 hour standing on what is made anew",
        f"FeatureBuild clicks_daily {DAYS[0]} … {DAYS[1]}: 2 days standing on what is made anew",
    ]
    assert told(small, "LateLogs", "--start", DAYS[0], "--stop", DAYS[1]) == [
        f"click {DAYS[0]}T05: 1 new: click/{DAYS[0]}/05-1.jsonl.gz",
        f"click {DAYS[0]}T06: 1 new: click/{DAYS[0]}/06-1.jsonl.gz",
        f"click {DAYS[0]}T09: 1 changed: click/{DAYS[0]}/09-0.jsonl.gz",
        *built,
        f"Take them in with `luigi --module tasks Restate --date {DAYS[0]}`.",
    ]
    assert told(small, "Restate", "--date", DAYS[0], "--dry-run") == [*built, "8 steps would run."]
    assert told(small, "LateLogs", "--date", DAYS[1]) == ["No raw file is late."]


def test_a_range_is_taken_in_as_a_range(small: Folder) -> None:
    """Late files of two days: one command restates both, and then nothing is late."""
    arrive(small, *DAYS[:2], number=1, hours=range(1))
    assert told(small, "LateLogs", "--start", DAYS[0], "--stop", DAYS[1])[-1] == (
        f"Take them in with `luigi --module tasks Restate --start {DAYS[0]} --stop {DAYS[1]}`."
    )
    assert small.luigi("Restate", "--start", DAYS[0], "--stop", DAYS[1]).code == 0
    assert told(small, "LateLogs", "--start", DAYS[0], "--stop", DAYS[1]) == ["No raw file is late."]
    assert told(small, "Restate", "--date", DAYS[0], "--dry-run") == ["Nothing to restate."]


def test_files_that_are_gone_are_told_and_kept_as_they_were_read(small: Folder) -> None:
    """A retention rule took them: nothing can be made anew from them, not even with a new file of the same hour."""
    (small.raw / "click" / DAYS[0] / "05-0.jsonl.gz").unlink()
    arrive(small, DAYS[0], number=1, hours=range(5, 6))
    names = f"click/{DAYS[0]}/05-1.jsonl.gz, click/{DAYS[0]}/05-0.jsonl.gz"
    assert told(small, "LateLogs", "--date", DAYS[0]) == [
        f"click {DAYS[0]}T05: 1 new, 1 gone: {names}",
        "Nothing is made anew for files that are gone: what was made from them is all there is.",
    ]
    assert told(small, "Restate", "--date", DAYS[0], "--dry-run") == ["Nothing to restate."]


def test_many_files_of_an_hour_are_counted_and_a_few_named(small: Folder) -> None:
    """Three names, and three dots for the others."""
    for number in range(1, 6):
        arrive(small, DAYS[0], number=number, hours=range(5, 6))
    (line,) = [line for line in told(small, "LateLogs", "--date", DAYS[0]) if line.startswith("click ")]
    assert line.startswith(f"click {DAYS[0]}T05: 5 new: click/{DAYS[0]}/05-1.jsonl.gz, ")
    assert line.endswith(", click/2026-11-17/05-3.jsonl.gz …")


def test_a_day_is_looked_through_with_one_listing_of_logs_and_one_of_receipts(small: Folder) -> None:
    """Beside them each receipt is read once, because what it was made from stands there alone."""
    calls = counted(small, "LateLogs", "--date", DAYS[0])["calls"]
    assert calls == {"raw.list": 1, "store.list": 1, "store.get": 24}


@pytest.mark.parametrize("task", ["LateLogs", "Restate"])
@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((), ("needs --date DAY, or --start DAY and --stop DAY",)),
        (("--date", DAYS[0], "--stop", DAYS[1]), ("give one of the two",)),
        (("--start", DAYS[1], "--stop", DAYS[0]), (f"--start {DAYS[1]} is after --stop {DAYS[0]}",)),
        (("--date", "2026-11-16"), ("before the first day of logs",)),
    ],
)
def test_a_wrong_day_is_told(tmp_path: Path, task: str, words: tuple[str, ...], parts: tuple[str, ...]) -> None:
    """In one sentence, before anything is looked at."""
    folder = Folder(tmp_path / "work")
    assert_told(folder.luigi(task, *words), 40, *parts)
    assert not folder.files()
