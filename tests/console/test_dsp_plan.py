"""`dsp plan` and `dsp where`: what would run and why, before anything does; and where outputs lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from dsp_pipeline.registry.decisions import Check, Decision, keep
from tasks.settings import platform
from tests.console.lake import SQL, answer, edited, inside, shortened
from tests.e2e.folder import DAY, FIRST, Folder

DAILY = ("DailyPipeline", DAY)
# What campaign_daily is in; of the models both arms.
BELOW = {
    "campaign_daily",
    "campaign_click_rate",
    "click_rate",
    "click_rate_baseline/control",
    "click_rate_baseline/deeper",
}


def planned(folder: Folder, *words: str, settings: list[str] | None = None) -> dict[str, Any]:
    told = answer(folder, *(settings or []), "plan", "--json", *words)
    assert told.code == 0, told.err
    plan: dict[str, Any] = json.loads(told.out)
    return plan


def states(plan: dict[str, Any]) -> dict[str, set[str]]:
    """The state of everything, by what it is of."""
    found: dict[str, set[str]] = {}
    for group in plan["groups"]:
        found.setdefault(group["subject"], set()).add(group["state"])
    return found


def test_what_is_there_is_reused(made: Folder) -> None:
    """After a run, and in another process, there is nothing to build; no line is without its state."""
    before = made.files()
    told = made.dsp("plan", *DAILY)
    assert told.code == 0, told.err
    assert told.out.splitlines()[-1] == f"DailyPipeline(date={DAY}): nothing to build."
    assert "to build  " not in told.out
    assert made.files() == before
    plan = planned(made, *DAILY)
    assert plan["steps_to_build"] == 0
    assert {state for found in states(plan).values() for state in found} == {"reused"}


def test_in_an_empty_lake_everything_is_to_build(made: Folder) -> None:
    """Each step once, with the days that it is of; there is no past to estimate from, and raw bytes are known."""
    plan = planned(made, *DAILY, settings=["--set", "dsp.lake=nowhere"])
    shutil.rmtree(made.path / "nowhere")
    # Counts of two days, what is known before the two and for bidders on the day after, two days of rows, two arms.
    assert plan["steps_to_build"] == 2 * (24 * 3 + 24 * 2) + 6 * 2 + 7 * 3 + 2 + 2 * 2
    assert {state for found in states(plan).values() for state in found} == {"to build"}
    (clicks,) = [one for one in plan["groups"] if (one["task"], one["subject"]) == ("S3LogIngest", "click")]
    files = (made.raw / "click").rglob("*.jsonl.gz")
    assert clicks["times"][0] == f"{FIRST}T00"
    assert len(clicks["times"]) == 72
    assert clicks["read_bytes"] == sum(path.stat().st_size for path in files)
    assert clicks["rows"] is None
    assert clicks["why"] == ["it was never made"]


def test_a_changed_constant_builds_its_table_and_what_hangs_on_it(own: Folder) -> None:
    """And nothing else: the reason is told at each, the SQL where it changed, and estimates come from the past."""
    before = own.files()
    plan = planned(own, *DAILY, settings=shortened(own))
    assert {of for of, found in states(plan).items() if "to build" in found} == BELOW
    groups = {(one["task"], one["subject"]): one for one in plan["groups"] if one["state"] == "to build"}
    (changed,) = groups["FeatureBuild", "campaign_daily"]["why"]
    assert changed.startswith("its SQL changed (")
    assert groups["FeatureBuild", "click_rate"]["why"] == ["it reads campaign_click_rate, which changed"]
    assert groups["FeatureBuild", "campaign_click_rate"]["why"] == ["it reads campaign_daily, which changed"]
    assert groups["TrainModel", "click_rate_baseline/deeper"]["why"] == ["it reads click_rate, which changed"]
    receipts = own.receipts()
    rows = [one["rows"] for address, one in receipts.items() if address.startswith("click_rate_")]
    assert abs(groups["FeatureBuild", "click_rate"]["rows"] - sum(rows)) <= len(rows)
    assert all(one["seconds"] > 0 for one in groups.values())
    assert all(one["read_bytes"] > 0 for one in groups.values())
    assert plan["steps_to_build"] == sum(len(one["times"]) for one in groups.values()) == 2 + 3 + 2 + 2 * 2
    assert own.files() == before


def test_on_a_fresh_branch_there_is_only_a_pointer_to_move(own: Folder) -> None:
    """The bundle is there, so nothing is built: the environment does not serve it yet, and `why` says the same."""
    other = ["--set", "dsp.environment=branch-of-mine"]
    plan = planned(own, *DAILY, settings=other)
    (group,) = [one for one in plan["groups"] if one["state"] != "reused"]
    assert (group["task"], group["subject"]) == ("ExportModel", "click_rate_baseline/control")
    assert (group["state"], group["why"]) == ("to serve", ["branch-of-mine does not serve it yet"])
    assert group["rows"] is group["read_bytes"] is group["seconds"] is None
    assert (plan["steps_to_build"], plan["to_serve"]) == (0, 1)
    told = answer(own, *other, "plan", *DAILY)
    assert told.out.splitlines()[-1].endswith("nothing to build, 1 bundle to serve.")
    told = answer(own, *other, "why", "click_rate_baseline", DAY)
    assert "Branch-of-mine does not serve it yet." in told.out
    words = "ExportModel --dsp-environment branch-of-mine --experiment click_rate_baseline --arm control"
    assert f"Serve it with `luigi --module tasks {words} --date {DAY}`." in told.out


def test_what_the_gate_refused_says_so(own: Folder) -> None:
    """It is complete, and is not served: the reason is the decision's."""
    (receipt,) = [one for name, one in own.receipts().items() if name.startswith("export/click_rate_baseline/control")]
    shutil.rmtree(own.lake / "serving")
    with inside(own):
        for refused in (False, True):
            checks = (Check("log_loss", not refused, "its log loss is 0.1, above 0.05."),)
            numbers = {"bundle": receipt["details"]["bundle"]}
            said = Decision(
                *("local", "click_rate", f"2099-11-22T0{int(refused)}:00:00.000+00:00", "first", not refused),
                *("click_rate_baseline/control/x/2026-11-18", None, checks, numbers),
            )
            keep(platform().store, said)
    (group,) = [one for one in planned(own, *DAILY)["groups"] if one["why"]]
    assert group["state"] == "reused"
    assert group["why"] == ["the gate refused to serve it in local: its log loss is 0.1, above 0.05."]
    told = answer(own, "why", "click_rate_baseline", DAY)
    assert "The gate refused to serve it in local: its log loss is 0.1, above 0.05.\n" in told.out


def test_hours_are_estimated_from_those_of_a_whole_day(own: Folder) -> None:
    """The newest few are of the night, when there is less traffic."""
    hours = {name: one for name, one in own.receipts().items() if name.startswith("ingest/impression-")}
    (own.lake / "receipts" / f"{min(hours)}.json").unlink()
    (group,) = [
        one for one in planned(own, "S3LogIngest", "impression", f"{FIRST}T00")["groups"] if one["rows"] is not None
    ]
    lately = [hours[name]["rows"] for name in sorted(hours)[-24:]]
    assert group["rows"] == round(sum(lately) / 24)
    assert group["rows"] != round(sum(lately[-3:]) / 3)


def test_a_comment_and_layout_build_nothing(own: Folder) -> None:
    """Versions are of what is parsed."""
    edited(own, SQL, "FROM impression\n", "\n  -- all of them\nFROM    impression\n")
    assert planned(own, *DAILY)["steps_to_build"] == 0


def test_what_waits_for_logs_is_told_apart(made: Folder) -> None:
    """Days that nothing can be made of yet: the hours without logs, and what is behind them; no estimate for these."""
    told = answer(made, "plan", "click_rate", "2026-11-19")
    assert told.code == 0, told.err
    lines = told.out.splitlines()
    assert any("RawLog" in line and "click" in line and "waits for logs" in line for line in lines)
    assert any("FeatureBuild" in line and " click_rate " in line and "waits for logs" in line for line in lines)
    assert any("S3LogIngest" in line and "impression" in line and "to build" in line for line in lines)


def test_a_table_on_its_own_is_planned(made: Folder) -> None:
    """What it does not need is not in the plan."""
    plan = planned(made, "campaign_daily", str(FIRST))
    assert set(states(plan)) == {"impression", "click", "campaign_daily"}


def test_where_tells_address_and_files(made: Folder) -> None:
    """The file that the receipt names: a path that is there, for a table and for a model."""
    for words, of in ((("click_rate", DAY), "warehouse"), (("TrainModel", "click_rate_baseline", DAY), "")):
        told = answer(made, "where", "--json", *words)
        assert told.code == 0, told.err
        (one,) = json.loads(told.out)
        receipt = made.receipts()[one["address"]]
        assert one["places"] == [str(made.lake / of / file["key"]) for file in receipt["files"]]
        assert all(Path(place).is_file() for place in one["places"])
        plain = answer(made, "where", *words)
        assert one["address"] in plain.out
        assert all(place in plain.out for place in one["places"])


def test_where_of_many_tasks_tells_those_of_all(made: Folder) -> None:
    """One line for each step of the day; what is not there says so."""
    told = answer(made, "where", "--json", *DAILY)
    assert {one["address"] for one in json.loads(told.out)} == set(made.receipts())
    told = answer(made, "where", "campaign_daily", "2026-11-19")
    assert told.code == 0
    assert "not there" in told.out
