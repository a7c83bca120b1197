"""No name that somebody gives leads out of the lake, the raw logs or the team's folder."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from console.open_bandit import _CAMPAIGNS, _FOLDER, _POLICIES, _lay_out
from dsp_pipeline.errors import BundleError, DspError, StorageError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.receipts import Draft, File
from dsp_pipeline.registry.manifest import Identity
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.storage.outputs import Outputs
from dsp_pipeline.storage.receipts import ReceiptBook
from dsp_pipeline.warehouse.base import Slice, Table
from tests.contracts.implementations import duckdb_warehouse
from tests.e2e.folder import DAY
from tests.events.factories import make_source
from tests.faults.lakes import LocalLake

OUT = "../../../../../../../../etc/passwd"
HOSTILE = (OUT, "/etc/passwd", "..", "a/../b", "click; rm -rf /", "$(id)", "%2e%2e%2f", "\\\\host\\share")


@pytest.mark.parametrize("name", HOSTILE)
def test_parameters_name_what_is_there_and_nothing_else(name: str, whole: LocalLake) -> None:
    """One sentence, a code that is not 0, and no file anywhere that was not there."""
    before = whole.folder.files()
    for words in (
        ("S3LogIngest", "--event", name, "--hour", f"{DAY}T05"),
        ("S3LogIngest", "--event", "click", "--hour", name),
        ("FeatureBuild", "--table", name, "--date", DAY),
        ("CheckData", "--table", name, "--date", DAY),
        ("TrainModel", "--experiment", name, "--date", DAY),
        ("ExportModel", "--experiment", "click_rate_baseline", "--arm", name, "--date", DAY),
        ("DailyPipeline", "--date", DAY, "--dsp-source", name),
        ("DailyPipeline", "--date", DAY, "--dsp-environment", name),
    ):
        done = whole.run(*words)
        assert done.code != 0, (words, done.text)
        assert "Traceback" not in done.text, (words, done.text)
        assert "root:x:0" not in done.text
    for command in (("new", "model", name), ("new", "source", name), ("promote", name), ("show", name), ("why", name)):
        done = whole.act("dsp", *command)
        assert done.code != 0, (command, done.text)
        assert "root:x:0" not in done.text
    assert whole.folder.files() == before


@pytest.mark.parametrize("path", ["../{hour:%H}.gz", "/etc/{hour:%H}", "a/../../{hour:%H}.gz"])
def test_a_source_pattern_stays_below_the_raw_folder(path: str, tmp_path: Path) -> None:
    """As a sentence that names the file and the line."""
    with pytest.raises(DspError, match=r"given\.yaml:\d+: .*it must stay below the raw folder"):
        make_source(tmp_path, path=json.dumps(path)).layout("impression")


def test_a_step_argument_is_no_path(whole: LocalLake) -> None:
    """What would be a path stands in an address as a fingerprint."""
    from tasks.argument import output_name

    assert "/" not in output_name(date(2026, 11, 18), {"segment": OUT})
    assert ".." not in output_name(date(2026, 11, 18), {"segment": ".."}).split(",")


@pytest.mark.parametrize("key", ["../../secret.parquet", "/etc/passwd", "tables/../../../secret.parquet"])
def test_a_receipt_cannot_name_a_file_outside(key: str, tmp_path: Path) -> None:
    """Whoever reads what it names is told that it is no key, in the store and in the warehouse."""
    lake = tmp_path / "a" / "lake"
    (tmp_path / "secret.parquet").write_bytes(b"PAR1")
    receipt = Draft("click_v1/2026-11-18T05", "v1").finish(1, [File(key, 4, "0" * 64)])
    store = LocalFolder(lake)
    with pytest.raises(StorageError, match="not a key"):
        Outputs(store).open(receipt, key.rpartition("/")[2])
    ReceiptBook(LocalFolder(lake / "warehouse")).write(receipt)
    table = Table("click", "v1", EVENTS["click"])
    with pytest.raises(StorageError, match="not a key"):
        list(duckdb_warehouse(lake / "warehouse").read(Slice(table, ("2026-11-18T05",)), ["click_id"]))


@pytest.mark.parametrize("address", ["../../bundle", "/etc", "bundles/../../etc"])
def test_a_bundle_lies_in_the_store(address: str, tmp_path: Path) -> None:
    """Where a pointer, or a person, says that it lies elsewhere it is not fetched."""
    registry = BundleRegistry(LocalFolder(tmp_path / "lake"))
    with pytest.raises(StorageError, match="not a key"):
        registry.fetch(address, tmp_path / "there")
    with pytest.raises(BundleError, match="cannot be part of a bundle's address"):
        replace(Identity("m", "e", "a", "v", date(2026, 11, 18)), model=address).address("1")
    with pytest.raises(StorageError, match="not a key"):
        registry.resolve(OUT, "click_rate")


def test_members_of_an_archive_are_not_written_where_they_say(tmp_path: Path) -> None:
    """Of the one archive that we read, files of known names are taken; where they go, we say."""
    content, times = io.BytesIO(), f"{datetime(2026, 11, 18, 5, tzinfo=UTC):%Y-%m-%d %H:%M:%S}"
    with zipfile.ZipFile(content, "w") as archive:
        for policy in _POLICIES:
            for campaign in _CAMPAIGNS:
                archive.writestr(f"{_FOLDER}/{policy}/{campaign}/{campaign}.csv", f",timestamp\n0,{times}\n")
        archive.writestr("../../outside.csv", "x")
        archive.writestr("/tmp/outside.csv", "x")  # noqa: S108  # nothing is written there
    with zipfile.ZipFile(content) as archive:
        _lay_out(archive, tmp_path / "work" / "raw")
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"05.csv"} | {f"{n:02}" for n in range(24)}
    assert [path for path in tmp_path.iterdir() if path.name != "work"] == []
