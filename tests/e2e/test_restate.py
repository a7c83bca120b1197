"""A late file, days ago: one command makes its hour and all that stands on it anew, and nothing else.

The tests of this module tell one story in order on one lake, so they stay on one xdist worker (tests/conftest.py).
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
from typing import Any

import pytest

from tests.e2e.folder import OUTCOMES, Folder, assert_whole, only, ran, table_of, wait_until
from tests.tasks.small import counted

LATE, HOUR = "2026-11-19", "2026-11-19T12"
COUNTS = tuple(f"{one}_daily" for one in ("campaign", "creative", "placement", "segment_advertiser", "site", "user"))
LOOKUPS = (
    "segment_click_lift",
    *(f"{one}_click_rate" for one in ("overall", "campaign", "creative", "placement", "site", "user")),
)
# What the late hour of impressions is in: the counts of its day and of the next, what is looked up of them on the days
# that follow (the last one by bidders alone), the rows of its day and those that look it up, and the models that learn
# from these rows or are judged on them.
ANEW = {
    ("impression", HOUR),
    *((table, day) for table in COUNTS for day in (LATE, "2026-11-20")),
    *((table, day) for table in LOOKUPS for day in ("2026-11-20", "2026-11-21", "2026-11-22")),
    *(("click_rate", day) for day in (LATE, "2026-11-20", "2026-11-21")),
}
MODELS = {LATE, "2026-11-20", "2026-11-21"}  # not that of the 18th


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Models of three days; then a file of the second comes late, and the fourth day is made."""
    folder = Folder(tmp_path_factory.mktemp("restate") / "work", package="package")
    folder.simulate(days=6, events=OUTCOMES, impressions_per_day=300)
    package = folder.package()
    only(package, *OUTCOMES)
    experiment = package / "experiments" / "click_rate_baseline.yaml"
    experiment.write_text("model: click_rate\ntrain_days: 3\nserve: control\narms:\n  control: {rounds: 5}\n")
    days = ("--start", "2026-11-18", "--stop", "2026-11-21", "--days-back", "5000")
    done = folder.luigi("RangeDaily", "--of", "DailyPipeline", *days)
    assert done.code == 0, done.text
    assert "late" not in done.text
    assert "came or changed" not in done.text
    return folder


def deliver(folder: Folder) -> str:
    """A second file of the hour with two impressions that were not seen before; its name."""
    first = folder.raw / "impression" / HOUR[:10] / f"{HOUR[11:]}-0.jsonl.gz"
    lines = [json.loads(line) for line in gzip.decompress(first.read_bytes()).splitlines()[:2]]
    late = first.with_name(f"{HOUR[11:]}-9.jsonl.gz")
    new = [json.dumps(line | {"id": f"late-{number}"}) + "\n" for number, line in enumerate(lines)]
    late.write_bytes(gzip.compress("".join(new).encode(), mtime=0))
    return str(late.relative_to(folder.raw))


def content(folder: Folder) -> dict[str, Any]:
    """What outputs hold: their rows and the checksums of their files, but of pages and bundles: these hold the time."""
    return {
        address: (
            one["rows"],
            [
                file["sha256"]
                for file in one["files"]
                if not address.startswith("export/") and file["key"][-5:] != ".html"
            ],
        )
        for address, one in folder.receipts().items()
    }


def test_the_daily_run_warns_of_late_files(folder: Folder) -> None:
    """In one line a day, at its end, of the days that its tables read; the report of the console says the same."""
    name = deliver(folder)
    done = folder.luigi("DailyPipeline", "--date", "2026-11-21")
    assert done.code == 0, done.text
    (line,) = [line for line in done.text.splitlines() if "came or changed" in line]
    assert f"WARNING 1 raw file of {LATE} came or changed after the hour was ingested: {name}; take in with" in line
    assert f"`luigi --module tasks Restate --date {LATE}`" in line


def test_a_killed_restate_is_ended_by_the_next(folder: Folder) -> None:
    """`kill -9` after some steps: what counts is whole all the while, and the same command ends as if undisturbed."""
    other = folder.at("other")
    shutil.copytree(folder.lake, other.lake)
    before = other.receipts()
    process = other.start("Restate", "--date", LATE, "--dsp-lake", "other")

    def some_are_anew() -> bool:
        return sum(_created(other, a) != before[a]["created_at"] for a in before if table_of(a) in COUNTS) >= 3

    wait_until(some_are_anew, "a table that is made anew")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert other.receipts().keys() == before.keys()
    assert any(other.receipts()[a] == before[a] for a in before if table_of(a) == "click_rate" and a.endswith("21"))
    assert_whole(other)
    done = other.luigi("Restate", "--date", LATE, "--dsp-lake", "other")
    assert done.code == 0, done.text


def _created(folder: Folder, address: str) -> str:
    text = (folder.lake / "warehouse" / "receipts" / f"{address}.json").read_text()
    created: str = json.loads(text)["created_at"]
    return created


def test_one_command_makes_anew_all_that_stands_on_a_late_hour_and_nothing_else(folder: Folder) -> None:
    """Load, tables and models of all days that read it, bundles and the pointer; every other receipt stays."""
    before = folder.receipts()
    done = folder.luigi("Restate", "--date", LATE)
    assert done.code == 0, done.text
    after = folder.receipts()
    changed = {address for address in after if after[address] != before[address]}
    tables = {address for address in changed if "/" in address and table_of(address)}
    assert {(table_of(address), address.partition("/")[2]) for address in tables if "ingest" not in address} == ANEW
    for kind, expected in (("ingest", {HOUR}), ("train", MODELS), ("export", MODELS)):
        assert {address.rpartition("/")[2] for address in changed if address.startswith(f"{kind}/")} == expected
    assert after[next(a for a in changed if table_of(a) == "impression")]["rows"] == 2 + next(
        before[a]["rows"] for a in changed if table_of(a) == "impression"
    )
    newest = next(after[a] for a in changed if a.startswith("export/") and a.endswith("21"))
    pointer = json.loads((folder.lake / "serving" / "local" / "click_rate.json").read_text())
    assert pointer["address"] == newest["details"]["bundle"]
    assert content(folder) == content(folder.at("other"))
    assert_whole(folder)


def test_a_run_that_was_killed_before_the_pointer_moved_is_ended_too(folder: Folder) -> None:
    """The receipt names the new bundle and bidders still load the old one: Restate moves the pointer and no more."""
    pointer = folder.lake / "serving" / "local" / "click_rate.json"
    after, receipts = pointer.read_text(), folder.receipts()
    old = next(one["details"]["bundle"] for one in receipts.values() if "bundle" in one["details"])
    pointer.write_text(json.dumps(json.loads(after) | {"address": old}))
    dry = folder.luigi("Restate", "--date", LATE, "--dry-run")
    assert (
        "ExportModel click_rate_baseline/control 2026-11-21: 1 day without its pointer\n1 step would run." in dry.text
    )
    assert folder.luigi("Restate", "--date", LATE).code == 0
    assert json.loads(pointer.read_text())["address"] == json.loads(after)["address"]
    assert folder.receipts() == receipts


def test_a_restated_day_is_found_so_with_one_look_at_each_table(folder: Folder) -> None:
    """Each receipt of the store is read once at most, and each day's logs are listed once."""
    found = counted(folder, "Restate", "--date", LATE)
    steps = 2 * 24 + (len(MODELS) + 1) * 2  # its hours, models and bundles; its clicks are labels of the day before
    calls = found["calls"]
    assert (
        calls["warehouse.receipts"] == len({table for table, _ in ANEW}) + 2
    )  # clicks, and first_click, of which there is none
    bundles = len(MODELS) + 1  # each asks for the pointer
    assert (calls["raw.list"], calls["store.get"]) == (2, steps + bundles)
    assert calls["store.list"] == 5 + bundles  # two events, models, bundles, a step
    again = folder.luigi("Restate", "--date", LATE)
    assert (again.code, ran(again.text)) == (0, {})


def test_a_range_of_complete_days_is_found_so_by_luigis_own_range(folder: Folder) -> None:
    """RangeDaily asks for all days at once: one query a table, one listing of bundles, and the pointer for each day."""
    days = ("--start", "2026-11-18", "--stop", "2026-11-22", "--days-back", "5000")
    calls = counted(folder, "RangeDaily", "--of", "DailyPipeline", *days)["calls"]
    assert calls["warehouse.receipts"] == 2
    assert calls["store.list"] == 1 + 4
    assert calls["store.get"] == 2 * 4
