"""The whole graph on simulated logs with every fault but a truncated file, by two workers under a real luigid.

The tests of this module tell one story in order on one lake, so they stay on one xdist worker (tests/conftest.py).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.simulator import Faults, Manifest, deliver_late
from dsp_pipeline.storage.local import LocalFolder
from tests.e2e.folder import DAY, FIRST, Done, Folder, assert_whole, ended, ran, table_of, unnamed
from tests.e2e.scheduler import luigid

FAULTS = Faults(
    malformed=0.004,
    not_utf8=0.002,
    wrong_type=0.004,
    missing=0.004,
    duplicates=0.01,
    late_files=0.06,
    empty_hours=(30,),
)
EVENTS = ("bid", "win", "impression", "click", "conversion")


@dataclass
class Story:
    """A lake that two workers filled, and what they printed."""

    folder: Folder
    manifest: Manifest
    workers: tuple[Done, Done]

    def hours(self, event: str) -> set[str]:
        """The hours of the event that the graph took in."""
        return {
            address.rpartition("/")[2] for address in self.folder.receipts() if address.startswith(f"ingest/{event}-")
        }


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = Folder(tmp_path_factory.mktemp("simulated") / "work", max_rejected_share="0.5")
    manifest = folder.simulate(impressions_per_day=2_000, faults=FAULTS)
    with luigid(folder) as address:
        first, second = (folder.start("DailyPipeline", "--date", DAY, scheduler=address) for _ in range(2))
        return Story(folder, manifest, (ended(first), ended(second)))


def test_both_workers_end_well(story: Story) -> None:
    """Exit code 0 of both, and no error in what they print."""
    for done in story.workers:
        assert (done.code, done.errors) == (0, []), done.text


def test_each_step_ran_once(story: Story) -> None:
    """The workers share the graph: no step is made twice, and each receipt has its step."""
    counts = ran(story.workers[0].text) + ran(story.workers[1].text)
    assert set(counts.values()) == {1}
    assert len(counts) == len(story.folder.receipts())
    assert all(ran(done.text) for done in story.workers), "one of them did all"


@pytest.mark.parametrize("event", EVENTS)
def test_counts_are_the_simulators(story: Story, event: str) -> None:
    """Rejected lines by reason, duplicates and rows of each hour are those that the simulator says it wrote."""
    receipts = story.folder.receipts()
    truth = {f"{hour.hour:%Y-%m-%dT%H}": hour for hour in story.manifest.hours}
    found = {a.rpartition("/")[2]: r for a, r in receipts.items() if a.startswith(f"ingest/{event}-")}
    loaded = {a.rpartition("/")[2]: r for a, r in receipts.items() if table_of(a) == event}
    assert found.keys() == loaded.keys()
    # The second day, the first for what looks back, the third for labels that need it.
    assert len(found) == {"bid": 48, "win": 72, "impression": 48, "click": 72, "conversion": 24}[event]
    for hour, receipt in found.items():
        wrong = dict(truth[hour].faults[event])
        assert receipt["duplicates"] == wrong.pop("duplicates", 0)
        assert receipt["rejected"] == wrong
        assert receipt["rows"] == loaded[hour]["rows"] == truth[hour].rows[event] - truth[hour].late[event]


def test_the_lake_is_whole_and_holds_nothing_else(story: Story) -> None:
    """Every file has its receipt and its checksum; nothing lies aside, and HOME and TMPDIR are empty."""
    assert_whole(story.folder)
    assert unnamed(story.folder) == set()
    assert {path.name for path in (story.folder.lake / ".scratch").iterdir()} <= {"matplotlib"}  # its list of fonts
    assert list(story.folder.home.rglob("*")) == list(story.folder.tmp.rglob("*")) == []


def bundle(story: Story, folder: Path) -> Any:
    """What a bidder of the environment `local` loads."""
    registry = BundleRegistry(LocalFolder(story.folder.lake))
    pointer = registry.resolve("local", "click_rate")
    assert pointer is not None
    return registry.fetch(pointer.address, folder, pointer.manifest_sha256)


def test_the_pointer_leads_to_a_bundle_that_loads(story: Story, tmp_path: Path) -> None:
    """Golden rows are scored again when it is loaded; it is the served arm of the day."""
    one = bundle(story, tmp_path / "bundle").manifest.identity
    assert (one.model, one.arm, str(one.date)) == ("click_rate", "control", DAY)


def test_lineage_names_every_raw_file(story: Story, tmp_path: Path) -> None:
    """From the bundle one finds each raw file of impressions and clicks that it stands on."""
    lineage = json.dumps(bundle(story, tmp_path / "bundle").lineage)
    used = [path for event in ("impression", "click") for path in (story.folder.raw / event).rglob("*.gz")]
    missing = [path for path in used if f'"raw/{path.relative_to(story.folder.raw)}"' not in lineage]
    days = {path.parent.name for path in missing}
    assert days <= {"2026-11-19"}, missing  # impressions after the held-out day
    assert len(used) - len(missing) == 48 + 72


def test_running_again_does_nothing(story: Story) -> None:
    """All receipts are there: exit code 0, no new file, and nothing to restate."""
    before = story.folder.files()
    for command in ("DailyPipeline", "Restate"):
        done = story.folder.luigi(command, "--date", DAY)
        assert (done.code, ran(done.text)) == (0, {}), done.text
    assert story.folder.files() == before


def test_a_pointer_belongs_to_an_environment_and_does_not_go_back(story: Story) -> None:
    """Another environment gets its own pointer to the bundle that is there; one that names a newer day stays."""
    folder = story.folder
    export = ("ExportModel", "--experiment", "click_rate_baseline", "--date", DAY, "--dsp-environment", "staging")
    before = folder.files()
    assert folder.luigi(*export).code == 0
    pointers = [folder.lake / "serving" / name / "click_rate.json" for name in ("local", "staging")]
    local, staging = (json.loads(pointer.read_text()) for pointer in pointers)
    assert staging["address"] == local["address"]
    decision, pointer = sorted(folder.files() - before)
    assert decision.startswith("decisions/staging/click_rate/")
    assert pointer == "serving/staging/click_rate.json"

    pointers[1].write_text(json.dumps(staging | {"date": "2026-11-19"}))
    assert folder.luigi(*export).code == 0
    assert json.loads(pointers[1].read_text())["date"] == "2026-11-19"
    pointers[1].unlink()


def test_two_experiments_cannot_serve_one_model(story: Story) -> None:
    """Bidders load one bundle a model; the file that is one too many is named before anything runs."""
    package = story.folder.package()
    (package / "experiments" / "other.yaml").write_text("model: click_rate\ntrain_days: 1\nserve: a\narms:\n  a: {}\n")
    done = story.folder.luigi("DailyPipeline", "--date", DAY, "--dsp-package", "package")
    shutil.rmtree(package)
    assert done.code == 40
    assert "other.yaml: click_rate_baseline serves the model click_rate already" in done.text


def test_raw_logs_that_are_gone_make_nothing_stale(story: Story, tmp_path: Path) -> None:
    """Raw logs may be kept for some days only; what was made of them is not replaced by nothing."""
    folder, before = story.folder, story.folder.receipts()
    raw = folder.raw / "impression" / DAY / "05-0.jsonl.gz"
    raw.rename(tmp_path / raw.name)
    done = folder.luigi("Restate", "--date", DAY)
    (tmp_path / raw.name).rename(raw)
    assert done.code == 0
    assert "which is not there any more; it stays as it is" in done.text
    assert folder.receipts() == before


def test_late_files_are_taken_in_and_nothing_else(story: Story) -> None:
    """Restate makes anew what late files touch, down to the bundle; other partitions keep their receipts."""
    folder, before = story.folder, story.folder.receipts()
    late = {(path.parts[-3], f"{path.parts[-2]}T{path.name[:2]}") for path in deliver_late(folder.raw)}
    touched = {(event, hour) for event, hour in late if hour in story.hours(event)}
    assert touched, "no late file: choose another seed"
    report = folder.python("-c", REPORT)
    for day in {hour[:10] for _, hour in touched}:
        number = sum(hour.startswith(day) for _, hour in touched)
        assert f"{number} raw file{'s' * (number > 1)} of {day} came or changed" in report.text, report.text

    done = folder.luigi("Restate", "--start", str(FIRST), "--stop", "2026-11-19")
    assert done.code == 0, done.text
    after = folder.receipts()
    changed = {address for address, receipt in after.items() if receipt != before.get(address)}
    hours = {a for a in changed if a.startswith("ingest/")}
    assert {(a.split("/")[1].rpartition("-")[0], a.split("/")[2]) for a in hours} == touched
    loads = {a for a in changed if table_of(a) in EVENTS}
    assert {(table_of(a), a.partition("/")[2]) for a in loads} == touched
    truth = {f"{hour.hour:%Y-%m-%dT%H}": hour for hour in story.manifest.hours}
    for address in loads:
        hour = address.partition("/")[2]
        assert after[address]["rows"] == truth[hour].rows[table_of(address)]
    for address, receipt in after.items():  # downstream: made anew exactly when one of its inputs was
        if address.startswith("quality/") and address not in before:
            continue  # the name of a check holds what it looked at
        if not address.startswith("ingest/"):
            news = {i["name"]: i["digest"] for i in receipt["inputs"]} != {
                i["name"]: i["digest"] for i in before[address]["inputs"]
            }
            assert (address in changed) == news, address
    assert any(address.startswith("export/") for address in changed), sorted(
        touched | {a for a in changed if a.startswith(("train", "quality"))}
    )
    assert_whole(folder)

    again = folder.luigi("Restate", "--start", str(FIRST), "--stop", "2026-11-19")
    assert (again.code, ran(again.text)) == (0, {}), again.text
    assert folder.receipts() == after


REPORT = f"""
from datetime import UTC, date, datetime
from pathlib import Path
from rich.console import Console
from console import report
from console.workers import Ran
from tasks.daily_pipeline import DailyPipeline
now = datetime.now(UTC)
found = report.graph(DailyPipeline(date=date.fromisoformat("{DAY}")))
report.show(found, Ran(now, now, (Path("x"),)), Console(width=200))
"""


def test_a_comment_changes_nothing_and_a_constant_makes_a_new_table(story: Story) -> None:
    """A version is the content: the new table lies beside the old one, which stays as it is."""
    folder, before, files = story.folder, story.folder.receipts(), story.folder.files()
    package = folder.package()
    sql = package / "features" / "click_rate.sql"
    build = ("FeatureBuild", "--table", "click_rate", "--date", DAY, "--dsp-package", "package")
    sql.write_text(sql.read_text().replace("\nSELECT\n", "\n\n-- a comment\nSELECT\n"))
    done = folder.luigi(*build)
    assert (done.code, ran(done.text)) == (0, {}), done.text
    assert folder.files() == files

    sql.write_text(sql.read_text().replace("INTERVAL 24 HOUR", "INTERVAL 23 HOUR"))
    done = folder.luigi(*build)
    assert (done.code, list(ran(done.text))) == (0, [f"FeatureBuild(table=click_rate, date={DAY})"]), done.text
    after = folder.receipts()
    assert {address: after[address] for address in before} == before
    (new,) = after.keys() - before.keys()
    assert new.startswith("click_rate_")
    assert files < folder.files()
    assert_whole(folder)
