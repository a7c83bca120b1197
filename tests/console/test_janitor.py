"""What nobody needs any more, on a real lake that holds two versions; and what an export makes of a held pointer."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.registry.pointer import Pointer
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.storage.local import LocalFolder
from tasks.export_model import ExportModel
from tests.console.lake import SQL, answer, build, copied, edited, inside
from tests.e2e.folder import DAY, PATIENCE, Answer, Folder

EXPORT = ("ExportModel", "--experiment", "click_rate_baseline", "--date", DAY)
EXPERIMENT = "experiments/click_rate_baseline.yaml"
TARGET = f"click_rate_baseline/control/{DAY}"
LEFTOVER = "left by a writer that was killed or replaced"
DEAD = 2**22 + 1  # no process of this machine has this number
DAYS_AGO = 60


@pytest.fixture(scope="module")
def two(made: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A model of a day; then a constant of a query is changed, and the model made again. Nothing serves either."""
    folder = copied(made, tmp_path_factory.mktemp("janitor"))
    edited(folder, EXPERIMENT, "  deeper: {rounds: 5, max_depth: 8}\n", "")
    for path in folder.lake.rglob("deeper"):
        shutil.rmtree(path)
    edited(folder, SQL, "INTERVAL 24 HOUR", "INTERVAL 23 HOUR")
    with inside(folder):
        build(ExportModel(experiment="click_rate_baseline", date=date.fromisoformat(DAY)))
    shutil.rmtree(folder.lake / "serving")
    return folder


@pytest.fixture
def folder(two: Folder, tmp_path: Path) -> Folder:
    """A copy of that lake, all of it written two months ago."""
    own = copy.copy(two)
    own.lake = tmp_path / "lake"
    shutil.copytree(two.lake, own.lake)
    grow_old(own.lake)
    return own


def grow_old(root: Path) -> None:
    """As if what was written below was written two months before."""
    for path in root.rglob("*"):
        at = path.stat().st_mtime
        if at > time.time() - DAYS_AGO / 2 * 86_400:
            os.utime(path, (at - DAYS_AGO * 86_400,) * 2)


def dsp(folder: Folder, *words: str) -> Answer:
    return answer(folder, "--set", f"dsp.lake={folder.lake}", *words)


def registry(folder: Folder) -> BundleRegistry:
    return BundleRegistry(LocalFolder(folder.lake))


def bundles(folder: Folder) -> tuple[str, str]:
    """The addresses of the old version's bundle and of the new one's."""
    addresses = [one.address for one in registry(folder).versions()]
    old, new = sorted(addresses, key=lambda address: born(folder, address))
    return old, new


def born(folder: Folder, address: str) -> str:
    _, _, *parts, day, _ = address.split("/")
    receipt = folder.lake / "receipts" / "export" / "/".join(parts) / f"{day}.json"
    return str(json.loads(receipt.read_text())["created_at"])


def everything(folder: Folder) -> dict[str, tuple[int, bytes]]:
    return {
        name: ((folder.lake / name).stat().st_mtime_ns, (folder.lake / name).read_bytes()) for name in files(folder)
    }


def files(folder: Folder) -> set[str]:
    return {name for name in folder.files() if not name.startswith(".")}


def lineage(folder: Folder, address: str) -> set[str]:
    """All files of the lake and of the warehouse that what a bundle was made from consists of."""
    found: dict[str, Any] = json.loads((folder.lake / address / "lineage.json").read_text())
    store, tables = ("ingest/", "train/"), "warehouse/"
    named = set()
    for name, receipt in found.items():
        root = "" if name.startswith(store) else tables
        named |= {f"{root}receipts/{name}.json", *(f"{root}{file['key']}" for file in receipt["files"])}
    return named


def of_version(folder: Folder, address: str, other: str) -> set[str]:
    """The files that only this bundle's version accounts for."""
    _, _, experiment, arm, version, *_ = address.split("/")
    mine = lineage(folder, address) - lineage(folder, other)
    tables = {name.split("/")[2] for name in mine if name.startswith("warehouse/receipts/")}
    records = {f"versions/table/{table.rpartition('_')[0]}/{table.rpartition('_')[2]}.json" for table in tables}
    records.add(f"versions/model/{experiment}/{arm}/{version}.json")
    exported = f"receipts/export/{experiment}/{arm}/{version}/{DAY}.json"
    assert {table.rpartition("_")[0] for table in tables} == {"campaign_daily", "campaign_click_rate", "click_rate"}
    return mine | records | {exported} | {name for name in files(folder) if name.startswith(f"{address}/")}


def plant_leftovers(folder: Folder) -> set[str]:
    """What a killed ingest, a killed export, a killed worker and a refused hour leave."""
    shelf = next((folder.lake / "outputs" / "ingest").glob("click-*"))
    left = {
        f"outputs/ingest/{shelf.name}/{DAY}T05/0a1b2c3d/events.parquet": b"half of it",
        f"{bundles(folder)[1].rpartition('/')[0]}/0a1b2c3d/model.ubj": b"half of it",
        f"refused/ingest/{shelf.name}/{DAY}T05.jsonl.gz": b"lines",
        f"running/ingest/{shelf.name}/{DAY}T05.json": json.dumps(
            {"who": "ann", "host": os.uname().nodename, "pid": DEAD, "since": "", "until": "2999-01-01T00:00:00+00:00"}
        ).encode(),
    }
    for name, text in left.items():
        (folder.lake / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.lake / name).write_bytes(text)
    grow_old(folder.lake)
    return set(left)


def pointer(folder: Folder, environment: str = "local") -> Pointer:
    found = registry(folder).resolve(environment, "click_rate")
    assert found is not None
    return found


def test_the_dry_run_tells_and_changes_nothing(folder: Folder) -> None:
    """Every part of the version that nothing needs, with the reason; not a byte is different afterwards."""
    left = plant_leftovers(folder)
    old, new = bundles(folder)
    before = everything(folder)
    answer = dsp(folder, "janitor")
    assert (answer.code, answer.err) == (0, "")
    assert everything(folder) == before
    lines = answer.out.splitlines()
    told = {line.split()[0]: line for line in lines[1:-1]}
    version = old.split("/")[4]
    assert f"train/click_rate_baseline/control/{version}" in told
    assert "nothing needs this version, last written" in told[old]
    assert (
        len([name for name in told if name.startswith(("campaign_daily_", "campaign_click_rate_", "click_rate_"))]) == 3
    )
    assert (
        "nothing that this version made is left" in told[f"versions/model/click_rate_baseline/control/{version}.json"]
    )
    assert sum(LEFTOVER in line for line in lines) == 2
    assert sum("the process that wrote it is dead" in line for line in lines) == 1
    assert sum("lines of an hour that was refused" in line for line in lines) == 1
    assert not any(new.split("/")[4] in line for line in lines if LEFTOVER not in line)
    assert lines[-1] == f"{len(told)} things of {lines[-1].split(' of ')[1]}"
    assert len(told) == 1 + 2 + 3 + 4 + len(left)  # bundle, shelves, tables, records


def test_remove_takes_just_that_and_all_that_is_current_stays_complete(folder: Folder, tmp_path: Path) -> None:
    """Without an answer nothing goes. After it there is nothing to build, and what is served loads."""
    assert dsp(folder, "promote", "--yes", TARGET).code == 0
    left, (old, new) = plant_leftovers(folder), bundles(folder)
    assert pointer(folder).address == new
    there, unneeded = everything(folder), of_version(folder, old, new) | left
    asked = dsp(folder, "janitor", "--remove")
    assert (asked.code, everything(folder)) == (1, there)
    assert "nothing was changed" in asked.err
    total = next(line for line in asked.out.splitlines() if " things of " in line).removesuffix(" are not needed.")
    done = dsp(folder, "janitor", "--remove", "--yes")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == f"{total} removed."
    assert set(there) - files(folder) == unneeded
    assert {name: text for name, text in there.items() if name not in unneeded} == everything(folder)
    assert "nothing to build" in dsp(folder, "plan", *EXPORT).out
    assert registry(folder).fetch(new, tmp_path / "bidder", pointer(folder).manifest_sha256).score
    assert dsp(folder, "janitor").out == "all is needed.\n"


def test_what_an_environment_serves_stays_with_all_that_it_was_made_from(folder: Folder) -> None:
    """Whichever environment, and however old: here one whose pointer is at the old version."""
    old, new = bundles(folder)
    assert dsp(folder, "--set", "dsp.environment=production", "promote", "--yes", old).code == 0
    assert (pointer(folder, "production").address, new != old) == (old, True)
    there = everything(folder)
    assert dsp(folder, "janitor").out == "all is needed.\n"
    assert dsp(folder, "janitor", "--remove", "--yes").code == 0
    assert everything(folder) == there
    assert lineage(folder, old) <= set(there)


def test_what_was_served_stays_while_bidders_may_load_it(folder: Folder) -> None:
    """What a rollback goes back to for good; what was rolled back from until it is long ago."""
    old, new = bundles(folder)
    for address in (new, old):
        assert dsp(folder, "promote", "--yes", address).code == 0
    assert pointer(folder).history == (new,)
    assert dsp(folder, "rollback", "click_rate").code == 0
    held = pointer(folder)
    assert (held.address, held.history, set(held.left)) == (new, (), {old})
    assert dsp(folder, "janitor").out == "all is needed.\n"
    key = folder.lake / "serving" / "local" / "click_rate.json"
    raw, then = json.loads(key.read_text()), datetime.now(UTC) - timedelta(days=29)
    for left, history, needed in ((then, [], True), (then - timedelta(days=2), [], False), (then, [old], True)):
        left_at = left if not history else datetime(2020, 1, 1, tzinfo=UTC)
        key.write_text(json.dumps({**raw, "left": {old: left_at.isoformat()}, "history": history}))
        assert (dsp(folder, "janitor").out == "all is needed.\n") == needed, (left_at, history)


def test_what_somebody_serves_while_the_question_waits_stays(folder: Folder) -> None:
    """The bundle and all that it was made from; what was shown besides goes."""
    (old, _), left = bundles(folder), plant_leftovers(folder)
    there = everything(folder)
    waiting = subprocess.Popen(
        [str(Path(sys.executable).with_name("dsp")), "--set", f"dsp.lake={folder.lake}", "janitor", "--remove"],
        cwd=folder.path,
        env=folder.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert waiting.stdout is not None
    shown = b""
    while b"Remove all that?" not in shown:
        read = os.read(waiting.stdout.fileno(), 65_536)
        assert read, shown
        shown += read
    assert old in shown.decode()
    assert dsp(folder, "promote", "--yes", old).code == 0
    said, _ = waiting.communicate(b"y\n", timeout=PATIENCE)
    assert waiting.returncode == 0
    assert said.decode().splitlines()[-1].startswith(f"{len(left)} things of ")
    assert set(there) - files(folder) == left
    assert pointer(folder).address == old


def test_what_was_written_lately_stays(folder: Folder) -> None:
    """A bundle of these days keeps the old tables that it was made from, though no pointer is at it."""
    old, _ = bundles(folder)
    for path in (folder.lake / old).iterdir():
        os.utime(path)
    assert dsp(folder, "janitor").out == "all is needed.\n"
    for path in (folder.lake / old).iterdir():
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
    assert dsp(folder, "janitor").out == "all is needed.\n"
    assert old in dsp(folder, "janitor", "--days", "1").out


def test_a_table_that_is_still_written_to_stays_with_its_record(folder: Folder) -> None:
    """Somebody's branch may need it; its bundle and what else is of its version are old, and go."""
    old, new = bundles(folder)
    rows = min(name for name in of_version(folder, old, new) if name.startswith("warehouse/tables/click_rate_"))
    os.utime(folder.lake / rows)
    table, version = rows.split("/")[2], rows.split("/")[2].rpartition("_")[2]
    told = [line.split()[0] for line in dsp(folder, "janitor").out.splitlines()[1:-1]]
    assert old in told
    assert table not in told
    assert f"versions/table/click_rate/{version}.json" not in told
    assert len([name for name in told if name.startswith("versions/")]) == 3


def test_nothing_is_removed_while_it_is_not_known_what_a_bundle_was_made_from(folder: Folder) -> None:
    """Of a bundle that is gone, or whose lineage cannot be read, or of a pointer that is none."""
    old, _ = bundles(folder)
    assert dsp(folder, "promote", "--yes", old).code == 0
    shutil.rmtree(folder.lake / old)
    for text in (None, b"{"):
        if text is not None:
            (folder.lake / old).mkdir()
            (folder.lake / old / "lineage.json").write_bytes(text)
        there = everything(folder)
        refused = dsp(folder, "janitor", "--remove", "--yes")
        assert (refused.code, everything(folder)) == (1, there)
        assert refused.err.startswith(f"error: nothing is removed, because what {old} was made from is not known: ")
        dry = dsp(folder, "janitor")
        assert (dry.code, f"--remove would be refused: what {old}" in dry.out) == (0, True)
    (folder.lake / "serving" / "local" / "click_rate.json").write_text("{}")
    for words in (("janitor",), ("janitor", "--remove", "--yes")):
        damaged = dsp(folder, *words)
        assert (damaged.code, "click_rate.json is no pointer" in damaged.err) == (1, True)


def test_the_list_is_there_for_programs(folder: Folder) -> None:
    """It is what the table shows; nothing is removed that way."""
    there, shown = everything(folder), dsp(folder, "janitor")
    said = json.loads(dsp(folder, "janitor", "--json").out)
    assert [one["address"] for one in said["not_needed"]] == [line.split()[0] for line in shown.out.splitlines()[1:-1]]
    assert said["doubts"] == [] and all(one["size"] > 0 and one["why"] for one in said["not_needed"])
    refused = dsp(folder, "janitor", "--json", "--remove", "--yes")
    assert (refused.code, "--json only lists" in refused.err, everything(folder)) == (1, True, there)


def test_days_below_one_are_refused(folder: Folder) -> None:
    """What was written a moment ago may be somebody's work in progress."""
    refused = dsp(folder, "janitor", "--days", "0", "--remove", "--yes")
    assert (refused.code, "0 is not in the range" in refused.err) == (2, True)


def test_an_export_leaves_a_held_pointer_alone_and_says_so(folder: Folder) -> None:
    """The new bundle is complete and not served, until somebody promotes; it is told once."""
    old, new = bundles(folder)
    for address in (old, new):
        assert dsp(folder, "promote", "--yes", address).code == 0
    assert dsp(folder, "rollback", "click_rate").code == 0
    held = pointer(folder)
    assert (held.address, held.held) == (old, True)
    shutil.rmtree(folder.lake / "receipts" / "export")
    done = folder.luigi(*EXPORT, "--dsp-lake", str(folder.lake))
    assert done.code == 0, done.text
    warnings = [line for line in done.text.splitlines() if "WARNING" in line]
    assert len(warnings) == 1
    assert f"click_rate of local was rolled back and is held at {old}, so newer exports" in warnings[0]
    assert "`dsp promote EXPERIMENT/ARM` serves the newest again" in warnings[0]
    assert pointer(folder) == held
    assert "nothing to build" in dsp(folder, "plan", *EXPORT).out
    assert dsp(folder, "promote", "--yes", "click_rate_baseline/control").code == 0
    now = pointer(folder)
    assert (now.address not in (old, new), now.held, now.history[0]) == (True, False, old)
