"""`dsp rerun`: a new attempt beside the old one, which counts until the new one is whole."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.console.lake import answer, unmade
from tests.e2e.folder import DAY, FIRST, PROJECT, Folder, assert_whole, table_of

HOUR = f"{FIRST}T12"
BUILD = ("campaign_daily", str(FIRST))
COUNTS = ("campaign_daily", "creative_daily", "placement_daily", "segment_advertiser_daily", "site_daily", "user_daily")
HOLDER = """\
import sys
from pathlib import Path
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.storage.running import Running
with Running(LocalFolder(Path(sys.argv[1]))).hold(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def receipt_of(folder: Folder, words: tuple[str, ...]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(answer(folder, "why", "--json", *words).out)["receipt"]
    return said


@contextlib.contextmanager
def held(folder: Folder, address: str) -> Iterator[subprocess.Popen[str]]:
    """Another process says that it makes the output."""
    command = [sys.executable, "-c", HOLDER, str(folder.lake), address]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=PROJECT, **pipes) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


def others(folder: Folder, address: str) -> dict[str, Any]:
    """The receipts of everything else."""
    return {name: receipt for name, receipt in folder.receipts().items() if name != address}


@pytest.mark.parametrize("words", [BUILD, ("TrainModel", "click_rate_baseline", DAY)], ids=" ".join)
def test_a_new_attempt_lies_beside_the_old(own: Folder, words: tuple[str, ...]) -> None:
    """The receipt names the new files; the old ones stay where they are; equal inputs give equal bytes."""
    before = receipt_of(own, words)
    rest, files = others(own, before["address"]), own.files()
    told = answer(own, "rerun", "--yes", *words)
    assert told.code == 0, told.err
    assert "1 day to make anew\n" in told.out
    assert "serves the new bundle" not in told.out
    assert "1 step made anew in " in told.out
    after = receipt_of(own, words)
    assert "came out as it was." in told.out
    contents = [
        [file["sha256"] for file in one["files"] if not file["key"].endswith(".html")] for one in (before, after)
    ]  # a page tells the cost of its attempt too
    assert contents[0] == contents[1]
    assert not {file["key"] for file in before["files"]} & {file["key"] for file in after["files"]}
    assert after["created_at"] > before["created_at"]
    assert files <= own.files()
    assert others(own, before["address"]) == rest
    assert_whole(own)


def test_a_rerun_that_is_killed_leaves_the_old_attempt(own: Folder) -> None:
    """`kill -9` when all is written but the receipt: the old receipt and its files count, and the next rerun ends."""
    before = own.receipts()
    command = [sys.executable, "-m", "tests.console.before_receipt", "rerun", "--yes", *BUILD]
    environment = {**own.environment(), "PYTHONPATH": str(PROJECT)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=own.path, env=environment, **pipes) as process:
        assert process.stdout is not None
        assert any(line == "before the receipt\n" for line in process.stdout)
        running = answer(own, "why", *BUILD)
        assert "It is being made by " in running.out
        assert f"(process {process.pid}) since " in running.out
        process.kill()
    assert own.receipts() == before
    assert_whole(own)
    assert "It is being made by" not in answer(own, "why", *BUILD).out
    done = answer(own, "rerun", "--yes", *BUILD)
    assert done.code == 0, done.err
    assert {name for name, receipt in own.receipts().items() if receipt != before[name]} == {
        receipt_of(own, BUILD)["address"]
    }


def test_what_comes_out_as_it_was_changes_nothing_downstream(own: Folder) -> None:
    """--downstream tells all that stands on it before, and makes none of it."""
    address = receipt_of(own, BUILD)["address"]
    rest = others(own, address)
    told = answer(own, "rerun", "--yes", "--downstream", *BUILD)
    assert told.code == 0, told.err
    if_different = "to make anew if what is read comes out differently"
    assert f"FeatureBuild click_rate {DAY}: 1 day {if_different}" in told.out
    assert f"TrainModel click_rate_baseline/control {DAY}: 1 day {if_different}" in told.out
    assert "local serves the new bundle of click_rate from then on, unless the gate refuses it.\n" in told.out
    assert "1 step made anew in " in told.out
    assert others(own, address) == rest


def test_what_was_never_made_is_made(own: Folder) -> None:
    """And nobody is told that it was there before."""
    unmade(own, "campaign_daily", DAY)
    told = answer(own, "rerun", "--yes", "campaign_daily", DAY)
    assert told.code == 0, told.err
    assert f"FeatureBuild campaign_daily {DAY}: 1 day to make, for the first time\n" in told.out
    assert "1 step made in " in told.out and told.out.endswith(f"/{DAY} is there now.\n")


def test_downstream_makes_only_what_differs(own: Folder) -> None:
    """A late file of an hour: its load, the tables that read it, and no further than rows differ."""
    file = own.raw / "click" / HOUR[:10] / f"{HOUR[11:]}-0.jsonl.gz"
    line = json.loads(gzip.decompress(file.read_bytes()).splitlines()[0])
    late = json.dumps({**line, "id": "late"}) + "\n"
    file.with_name(f"{HOUR[11:]}-9.jsonl.gz").write_bytes(gzip.compress(late.encode(), mtime=0))
    before = own.receipts()
    told = answer(own, "rerun", "--yes", "--downstream", "S3LogIngest", "click", HOUR)
    assert told.code == 0, told.err
    after = own.receipts()
    assert set(after) == set(before)
    changed = {name for name in after if after[name] != before[name]}
    # It is a second click on an impression: the tables that read the hour come out as they were, and so nothing that
    # reads only these is made anew.
    assert {(table_of(name), name.rpartition("/")[2]) for name in changed} == {
        ("", HOUR),  # the ingest, which is no table
        ("click", HOUR),
        ("click_rate", str(FIRST)),
        *((table, day) for table in COUNTS for day in (str(FIRST), DAY)),
    }
    assert f"{len(changed)} steps made anew in " in told.out
    for name in changed:
        inputs = {given["name"]: given["digest"] for given in after[name]["inputs"]}
        assert inputs != {given["name"]: given["digest"] for given in before[name]["inputs"]}
    assert_whole(own)


def test_without_downstream_what_stands_on_it_stays(own: Folder) -> None:
    """It is stale then, and `why` says so."""
    line = b'{"broken'
    (own.raw / "click" / HOUR[:10] / f"{HOUR[11:]}-9.jsonl.gz").write_bytes(gzip.compress(line, mtime=0))
    file = own.raw / "click" / HOUR[:10] / f"{HOUR[11:]}-0.jsonl.gz"
    file.unlink()
    file.write_bytes(gzip.compress(b"", mtime=0))
    told = answer(own, "--set", "dsp.max_rejected_share=1", "rerun", "--yes", "S3LogIngest", "click", HOUR)
    assert told.code == 0, told.err
    assert "is another attempt now." in told.out
    assert "It is stale: ingest/click-" in answer(own, "why", "click", HOUR).out


def test_an_answer_of_no_changes_nothing(own: Folder) -> None:
    """And so does no answer at all; both end with exit code 1."""
    before = {name for name in own.files() if not name.startswith(".scratch")}
    for said in ("n\n", ""):
        done = subprocess.run(
            [sys.executable, "-m", "console.dsp", "rerun", *BUILD],
            cwd=own.path,
            env=own.environment(),
            input=said,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == "nothing was changed."
        assert "Traceback" not in done.stderr
    assert {name for name in own.files() if not name.startswith(".scratch")} == before


def test_what_is_being_made_is_not_made_anew(own: Folder) -> None:
    """The sentence says by whom and since when; the same for what stands on it, if that is to be made anew too."""
    before = own.receipts()
    build, load = receipt_of(own, BUILD)["address"], receipt_of(own, ("click", HOUR))["address"]
    with held(own, build) as holder:
        told = answer(own, "rerun", "--yes", *BUILD)
        assert told.code == 1
        assert f"campaign_daily, date={FIRST}) is being made by " in told.err
        assert f"(process {holder.pid}) since 20" in told.err
        assert told.err.endswith("; wait until that has ended, or end it.\n")
        told = answer(own, "rerun", "--yes", "--downstream", "click", HOUR)
        assert told.code == 1
        assert f"campaign_daily, date={FIRST}) is being made by " in told.err
        assert own.receipts() == before
        assert answer(own, "rerun", "--yes", "click", HOUR).code == 0
        assert {name for name, receipt in own.receipts().items() if receipt != before[name]} == {load}


def test_the_note_of_a_dead_process_is_taken_over(own: Folder) -> None:
    """Its writer was killed and could not remove it; nothing is to be waited for."""
    address = receipt_of(own, BUILD)["address"]
    with held(own, address):
        pass
    note = own.lake / "running" / f"{address}.json"
    assert json.loads(note.read_text())["pid"] != os.getpid()
    told = answer(own, "rerun", "--yes", *BUILD)
    assert told.code == 0, told.err
    assert not note.exists()


def test_many_tasks_are_not_made_anew(made: Folder) -> None:
    """The sentence says where their names are found."""
    told = answer(made, "rerun", "--yes", "DailyPipeline", DAY)
    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("error: DailyPipeline is many tasks; name one of them")


def test_what_was_made_from_files_that_are_gone_stays(own: Folder) -> None:
    """It is all that is left of them."""
    raw = next((own.raw / "click" / str(FIRST)).glob("12-*"))
    before = own.receipts()
    raw.unlink()
    told = answer(own, "rerun", "--yes", "S3LogIngest", "click", HOUR)
    assert (told.code, told.err.count("\n")) == (1, 1)
    assert "which is not there any more, so it stays as it is" in told.err
    assert own.receipts() == before


def test_what_lacks_its_inputs_is_not_made_of_nothing(own: Folder) -> None:
    """An hour without logs, and what stands on it."""
    later = "2026-11-23T05"
    before = own.receipts()
    for family in ("S3LogIngest", "BigQueryLoad"):
        told = answer(own, "rerun", "--yes", family, "click", later)
        assert told.code == 1
        assert f"{family}(event=click, hour={later}) needs " in told.err
    assert own.receipts() == before
