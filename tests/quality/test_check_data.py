"""Checks in the graph: what fails stops what stands on it, what warns does not, what is new is checked again."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from console.needed import Household
from console.report import graph, show
from console.workers import Ran
from tasks.check_data import CheckData
from tasks.feature_build import FeatureBuild
from tasks.settings import platform
from tests.console.lake import answer, build, copied, inside
from tests.e2e.folder import FIRST, Folder, ran, table_of
from tests.tasks.small import arrive, small_folder

DAYS = [str(FIRST + timedelta(days=number)) for number in range(3)]
BUILD = ("FeatureBuild", "--table", "clicks_daily", "--date")
EXPECTATIONS = """\
warn:
  rows: [1000, null]
fail:
  nulls: {impression_id: 0}
"""
AUDIT = """\
-- One row per click of an impression that cannot be.
-- reads: click [0, 0]
-- key: click_id
-- level: fail
SELECT click_id, impression_id
FROM click
WHERE STARTS_WITH(impression_id, 'bad')
"""


def deliver(folder: Folder, day: str, *impressions: str, hour: int = 5, number: int = 1) -> None:
    """A file of the hour with a click of each of these impressions, in the place of one of this number."""
    began = 1_794_873_600_000 + DAYS.index(day) * 86_400_000  # 2026-11-17T00:00Z
    lines = [
        json.dumps({"id": f"c{place}", "imp": name, "t": began + hour * 3_600_000 + place}) + "\n"
        for place, name in enumerate(impressions)
    ]
    path = folder.raw / "click" / day / f"{hour:02}-{number}.jsonl.gz"
    path.unlink(missing_ok=True)  # it may be another folder's too
    path.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


def declare(folder: Folder, expectations: str = EXPECTATIONS, audit: str = AUDIT) -> None:
    package = folder.path / "package"
    for name in ("expectations", "audits"):
        (package / name).mkdir(exist_ok=True)
    (package / "expectations" / "click.yaml").write_text(expectations)
    (package / "audits" / "click__its-impression-cannot-be.sql").write_text(audit)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Three days of a few clicks, and a table of them; the clicks of the first two days were checked, with warnings."""
    folder = small_folder(tmp_path_factory.mktemp("checks") / "work")
    arrive(folder, *DAYS)
    for day in DAYS:
        deliver(folder, day, "i1", "i2")
    declare(folder)
    done = folder.luigi(*BUILD, DAYS[1])
    assert done.code == 0, done.text
    assert ran(done.text)[f"CheckData(table=click, date={DAYS[1]})"] == 1
    return folder


@pytest.fixture
def own(made: Folder, tmp_path: Path) -> Folder:
    return copied(made, tmp_path)


def of(folder: Folder, kind: str, day: str = "") -> dict[str, Any]:
    """The receipts of a table, or of checks (`quality`), of a day."""
    return {
        address: one
        for address, one in folder.receipts().items()
        if (table_of(address) == kind or address.startswith(f"{kind}/")) and f"/{day}" in address
    }


def outcomes(folder: Folder, day: str) -> list[str]:
    (receipt,) = of(folder, "quality", day).values()
    return [one["outcome"] for one in receipt["details"]["results"]]


def test_a_warning_is_told_and_stops_nothing(made: Folder) -> None:
    """It is in the log, in the kept result, and the table is there; the result holds what later days need."""
    assert outcomes(made, DAYS[0]) == ["warned", "passed", "passed"]
    assert set(of(made, "clicks_daily")) == {next(iter(of(made, "clicks_daily", DAYS[1])))}
    (receipt,) = of(made, "quality", DAYS[0]).values()
    assert receipt["rows"] == 2
    assert receipt["details"]["measured"]["rows"]["05"] == 2
    assert {one["name"].partition("/")[2] for one in receipt["inputs"]} == {
        f"{DAYS[0]}T{hour:02}" for hour in range(24)
    }


def test_a_failure_stops_what_stands_on_it_until_the_logs_are_mended(own: Folder) -> None:
    """In one sentence with the check, the rows and the cure; a new run of mended logs goes on."""
    deliver(own, DAYS[2], "i1", "bad2", "bad1")
    done = own.luigi(*BUILD, DAYS[2])
    assert done.code == 30, done.text
    assert not of(own, "clicks_daily", DAYS[2])
    assert not of(own, "quality", DAYS[2])
    (kept,) = (own.lake / "refused" / "quality" / "click").rglob(f"{DAYS[2]}@*.json")
    (said,) = done.errors
    assert said.endswith(
        f"CheckData(table=click, date={DAYS[2]}) failed: click of {DAYS[2]} fails a check, so nothing is built on it: "
        "its impression cannot be: 2 rows (audits/click__its-impression-cannot-be.sql), "
        "the first: click_id=c1, impression_id=bad2; click_id=c2, impression_id=bad1; mend its logs "
        f"(mended logs are taken in with `luigi --module tasks Restate --date {DAYS[2]}`), "
        f'or, if the rows are right, correct the check or write `accepted: {{"{DAYS[2]}": why}}` into '
        f"expectations/click.yaml; all that was found is in {kept.relative_to(own.lake)} of the lake."
    )
    assert [one["outcome"] for one in json.loads(kept.read_text())["results"]] == ["failed", "warned", "passed"]
    deliver(own, DAYS[2], "i1", "i2", "i3")
    assert own.luigi("Restate", "--date", DAYS[2]).code == 0
    done = own.luigi(*BUILD, DAYS[2])
    assert done.code == 0, done.text
    assert outcomes(own, DAYS[2]) == ["warned", "passed", "passed"]
    assert of(own, "clicks_daily", DAYS[2])


def test_restated_data_are_checked_again_before_anything_is_built_on_them(own: Folder) -> None:
    """A bad late file stops Restate, and any build of a day that reads it; a good one in its place is taken in."""
    before = of(own, "clicks_daily")
    deliver(own, DAYS[0], "bad", hour=6, number=2)
    plan = own.luigi("Restate", "--date", DAYS[0], "--dry-run").text.splitlines()
    assert f"CheckData click {DAYS[0]}: 1 day standing on what is made anew" in plan
    done = own.luigi("Restate", "--date", DAYS[0])
    assert done.code == 30
    assert f"click of {DAYS[0]} fails a check" in done.errors[0]
    assert of(own, "clicks_daily") == before
    assert own.luigi(*BUILD, DAYS[0]).code == 30
    assert len(of(own, "quality", DAYS[0])) == 1, "what was checked is not what is there"
    deliver(own, DAYS[0], "i9", hour=6, number=2)
    done = own.luigi("Restate", "--date", DAYS[0])
    assert done.code == 0, done.text
    assert ran(done.text)[f"CheckData(table=click, date={DAYS[0]})"] == 1
    (old,), (new,) = before.values(), of(own, "clicks_daily").values()
    assert (old["rows"], new["rows"]) == (2, 3)
    assert len(of(own, "quality", DAYS[0])) == 2
    assert "Nothing to restate." in own.luigi("Restate", "--date", DAYS[0], "--dry-run").text.splitlines()


def test_restate_builds_nothing_on_what_was_never_checked(own: Folder) -> None:
    """Checks that were declared after the table was made are made before it is made anew."""
    before = of(own, "clicks_daily")
    shutil.rmtree(own.lake / "receipts" / "quality")
    deliver(own, DAYS[0], "bad", hour=6, number=2)
    done = own.luigi("Restate", "--date", DAYS[0])
    assert done.code == 30, done.text
    assert f"click of {DAYS[0]} fails a check" in done.errors[0]
    assert of(own, "clicks_daily") == before


def test_another_bound_makes_no_table_anew(own: Folder) -> None:
    """The day is checked again where something is to be built on it, and nothing else has another version."""
    before = {address: one for address, one in own.receipts().items() if not address.startswith("quality/")}
    declare(own, EXPECTATIONS.replace("1000", "1"))
    assert ran(own.luigi(*BUILD, DAYS[1]).text) == {}
    assert ran(own.luigi("CheckData", "--table", "click", "--date", DAYS[1]).text) == {
        f"CheckData(table=click, date={DAYS[1]})": 1
    }
    after = own.receipts()
    assert {address: after[address] for address in before} == before
    assert set(after) - set(before) == set(of(own, "quality"))
    assert len(of(own, "quality", DAYS[1])) == 2
    (why,) = planned(own, "CheckData", "click", DAYS[2])["CheckData"]
    assert (why["state"], why["times"]) == ("to build", [DAYS[2]])


def planned(folder: Folder, *words: str) -> dict[str, list[dict[str, Any]]]:
    """The groups of `dsp plan`, by the task's family."""
    told = answer(folder, "plan", "--json", *words)
    assert told.code == 0, told.err
    groups: dict[str, list[dict[str, Any]]] = {}
    for group in json.loads(told.out)["groups"]:
        groups.setdefault(group["task"], []).append(group)
    return groups


def test_a_plan_says_what_is_checked_and_why(own: Folder) -> None:
    """Like any other step: reused, or to build because its checks changed."""
    (group,) = planned(own, *BUILD, DAYS[1])["CheckData"]
    assert (group["subject"], group["state"], group["times"]) == ("click", "reused", DAYS[:2])
    declare(own, EXPECTATIONS.replace("1000", "1"))
    (group,) = planned(own, "CheckData", "click", DAYS[1])["CheckData"]
    assert group["state"] == "to build"
    assert group["why"][0].startswith("its checks changed (")


def test_a_day_that_was_looked_at_may_be_accepted(own: Folder) -> None:
    """What would fail then warns, with the reason; other days, and the version of the checks, are as they were."""
    deliver(own, DAYS[2], "i1", "bad1")
    declare(own, f'{EXPECTATIONS}accepted:\n  "{DAYS[2]}": a test of the exchange\n')
    done = own.luigi(*BUILD, DAYS[2])
    assert done.code == 0, done.text
    assert (
        "1 row; accepted: a test of the exchange (audits/click__its-impression-cannot-be.sql), the first:" in done.text
    )
    assert len({address.rpartition("/")[0] for address in of(own, "quality")}) == 1


def test_history_is_what_was_measured_of_earlier_days(own: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever version of the checks measured it; a day that failed is not among them."""
    text = "warn:\n  volume: [0.9, 1.1]\n  new_values: {impression_id: 0}\n"
    monkeypatch.setattr("dsp_pipeline.quality.measured.LEAST_DAYS", 2)
    monkeypatch.setattr("dsp_pipeline.quality.measured._DAYS", 2)
    declare(own, text)
    deliver(own, DAYS[2], *(f"i{number}" for number in range(30)))
    told = [check(own, day) for day in DAYS][-1]
    assert [one["outcome"] for one in told] == ["warned", "warned", "passed"]
    assert told[0]["told"].startswith("in the hour 05 30 rows where 2 are usual (in 2 days)")
    assert told[1]["told"].startswith("0.933 of 30 rows have values of none of 2 days before: i0 (1), i10 (1), ")


def check(folder: Folder, day: str) -> list[dict[str, Any]]:
    """The results of the day, made in this process."""
    with inside(folder):
        task = CheckData(table="click", date=FIRST + timedelta(days=DAYS.index(day)))
        build(task)
        receipt = task.receipt()
        assert receipt is not None
        results: list[dict[str, Any]] = receipt.details["results"]
        return results


def test_where_nothing_is_declared_no_task_appears(own: Folder) -> None:
    """And to ask for one is told with what there is."""
    assert set(planned(own, *BUILD, DAYS[0])) == {"S3LogIngest", "BigQueryLoad", "CheckData", "FeatureBuild"}
    (group,) = planned(own, *BUILD, DAYS[0])["CheckData"]
    assert group["subject"] == "click"
    done = own.luigi("CheckData", "--table", "clicks_daily", "--date", DAYS[0])
    assert done.code == 40
    assert done.errors == [
        "nothing is declared of clicks_daily that the source simulator has; write "
        "expectations/clicks_daily.yaml, or check what there is: click."
    ]
    for folder in ("expectations", "audits"):
        shutil.rmtree(own.path / "package" / folder)
    assert set(planned(own, *BUILD, DAYS[0])) == {"S3LogIngest", "BigQueryLoad", "FeatureBuild"}


def test_a_wrong_file_is_told_before_anything_runs(own: Folder) -> None:
    """With file and line, whatever is built."""
    declare(own, "warn:\n  nulls: {impression: 0.1}\n")
    done = own.luigi(*BUILD, DAYS[2])
    assert done.code == 40
    assert "expectations/click.yaml:2: unknown column 'impression': did you mean impression_id?" in done.errors[0]
    told = answer(own, "doctor")
    assert "expectations/click.yaml:2: unknown column 'impression'" in told.out


def test_the_janitor_needs_the_checks_of_today(own: Folder) -> None:
    """Results of other versions are not needed, once they are old."""
    (old,) = {address.rpartition("/")[0] for address in of(own, "quality")}
    with inside(own):
        assert old in Household(platform(), datetime.now(UTC)).needed().stems
    declare(own, EXPECTATIONS.replace("1000", "1"))
    with inside(own):
        assert old not in Household(platform(), datetime.now(UTC)).needed().stems


def test_show_tells_each_check_with_its_rows(own: Folder) -> None:
    """And `dsp why` what was looked at."""
    declare(own, audit=AUDIT.replace("fail", "warn").replace("bad", "i2"))
    assert own.luigi("CheckData", "--table", "click", "--date", DAYS[0]).code == 0
    told = answer(own, "show", "CheckData", "click", DAYS[0])
    assert told.code == 0, told.err
    lines = [line.strip() for line in told.out.splitlines()]
    at = next(place for place, line in enumerate(lines) if line.startswith("its impression cannot be"))
    assert lines[at].split("  ")[-1].strip() == "1 row"
    assert lines[at + 1] == "click_id=c1, impression_id=i2"
    told = answer(own, "why", "CheckData", "click", DAYS[0])
    assert told.code == 0, told.err
    assert "is complete: 2 rows" in told.out


def test_a_check_is_tried_on_what_exists_and_writes_nothing(own: Folder) -> None:
    """A failure is a result like another; where nothing is loaded, it runs on a sample."""
    deliver(own, DAYS[2], "i1", "bad1")
    assert own.luigi("BigQueryLoad", "--event", "click", "--hour", f"{DAYS[2]}T05").code == 0
    before = own.files()
    told = tried(own, DAYS[1])
    assert (told["sample"], told["rows"]) == (False, 2)
    assert {one["outcome"] for one in told["results"]} == {"warned", "passed"}
    told = tried(own, DAYS[2])
    assert told["sample"]
    assert told["rows"] > 0
    assert {one["check"] for one in told["results"]} == {"rows", "nulls of impression_id", "its impression cannot be"}
    assert own.files() == before


def tried(folder: Folder, day: str) -> dict[str, Any]:
    told = answer(folder, "try", "--json", "CheckData", "click", day)
    assert told.code == 0, told.err
    found: dict[str, Any] = json.loads(told.out)
    return found


def test_the_report_counts_what_passed_and_tells_what_warned(made: Folder, run_report: Callable[[], str]) -> None:
    """By event or table."""
    lines = run_report().splitlines()
    at = next(place for place, line in enumerate(lines) if line.startswith("checks of"))
    assert lines[at + 1].split() == ["click", "2", "4", "2", "0"]
    assert lines[at + 2].startswith(f"click of {DAYS[0]}: rows: 2 rows, and at least 1,000 are expected (expectations/")


@pytest.fixture
def run_report(made: Folder) -> Callable[[], str]:
    """What the report prints of the build of the second day."""

    def run() -> str:
        out, now = StringIO(), datetime.now(UTC)
        with inside(made):
            found = graph(FeatureBuild(table="clicks_daily", date=FIRST + timedelta(days=1)))
            show(found, Ran(now, now, ()), Console(file=out, width=160))
        return out.getvalue()

    return run
