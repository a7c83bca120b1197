"""The same graph in a folder, and on S3 and BigQuery (stand-ins that speak the real protocols), with one luigid.

In the cloud one worker is killed in the middle and two go on. Nothing but luigi.cfg differs: there it is the file
that the production image holds. The tests of this module tell one story, so they stay on one xdist worker.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from console.standins.cloud import DATASET, PROJECT, Cloud
from dsp_pipeline.registry.bundle import Bundle
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.storage.local import LocalFolder
from tests.contracts.implementations import need_bigquery
from tests.e2e.folder import DAY, FIRST, Done, Folder, ended, only, ran, wait_until
from tests.e2e.folder import PROJECT as CHECKOUT
from tests.e2e.scheduler import luigid

COMMAND = ("DailyPipeline", "--date", DAY, "--dsp-package", "package")
ALIKE = ("model.ubj", "features.json", "metrics.json", "golden.parquet")


class CloudFolder(Folder):
    """A working folder whose luigi.cfg is that of production; its lake, logs and tables are in a cloud."""

    def __init__(self, path: Path, cloud: Cloud) -> None:
        super().__init__(path)
        self.cloud = cloud
        production = (CHECKOUT / "docker" / "production.cfg").read_text()
        endpoints = "".join(f"{name.partition('.')[2]} = {cloud.settings[name]}\n" for name in ENDPOINTS)
        (path / "luigi.cfg").write_text(production.replace("[bigquery]\n", f"[bigquery]\n{endpoints}"))

    def environment(self) -> dict[str, str]:
        settings = self.cloud.settings
        return {
            **super().environment(),
            **self.cloud.environment,
            "DSP_ENVIRONMENT": "production",
            "DSP_SCHEDULER_HOST": "luigid.dsp.internal",
            "DSP_LAKE": settings["dsp.lake"],
            "DSP_RAW": settings["dsp.raw"],
            "DSP_SOURCE": "simulator",
            "DSP_FIRST_DATE": FIRST.isoformat(),
            "DSP_BIGQUERY_PROJECT": PROJECT,
            "DSP_BIGQUERY_DATASET": DATASET,
            "DSP_BIGQUERY_LOCATION": settings["bigquery.location"],
            "DSP_BIGQUERY_LABELS": "team=ads",
            "DSP_BIGQUERY_MAX_GIB_BILLED": "1",
            "DSP_BIGQUERY_STAGING": "",
        }


ENDPOINTS = ("bigquery.endpoint", "bigquery.storage_endpoint")


@dataclass
class Story:
    """The two lakes, and what the workers printed."""

    local: Folder
    there: CloudFolder
    killed: Done
    workers: tuple[Done, Done]

    def bundles(self, folder: Path) -> tuple[Bundle, Bundle]:
        """What bidders load, here and there."""
        found = []
        for name, store, environment in (
            ("local", LocalFolder(self.local.lake), "local"),
            ("cloud", self.there.cloud.lake, "production"),
        ):
            registry = BundleRegistry(store)
            pointer = registry.resolve(environment, "click_rate")
            assert pointer is not None
            found.append(registry.fetch(pointer.address, folder / name, pointer.manifest_sha256))
        return found[0], found[1]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    need_bigquery()
    work = tmp_path_factory.mktemp("cloud")
    local = Folder(work / "local")
    local.simulate(impressions_per_day=600)
    only(local.package(), "impression", "click")
    done = local.luigi(*COMMAND)
    assert done.code == 0, done.text
    with Cloud(work / "standins") as cloud:
        there = CloudFolder(work / "cloud", cloud)
        shutil.copytree(local.path / "package", there.path / "package")
        cloud.deliver(local.raw)
        with luigid(there) as address:
            first = there.start(*COMMAND, scheduler=address)
            wait_until(lambda: "receipts" in cloud.tables() and cloud.tables()["receipts"] > 5, "the sixth load")
            os.kill(first.pid, signal.SIGKILL)
            killed = ended(first)
            workers = tuple(ended(one) for one in [there.start(*COMMAND, scheduler=address) for _ in range(2)])
        assert len(workers) == 2
        yield Story(local, there, killed, workers)


def test_the_workers_end_well(story: Story) -> None:
    """After the kill two workers finish the graph: exit code 0, no error."""
    assert story.killed.code == -signal.SIGKILL
    for done in story.workers:
        assert (done.code, done.errors) == (0, []), done.text


def test_the_first_line_says_where_a_run_works(story: Story) -> None:
    """Mode, bucket, project, dataset and environment."""
    for done in (story.killed, *story.workers):
        first = done.text.splitlines()[0]
        for words in ("mode=cloud", "environment=production", "lake=s3://", "raw=s3://", "project=", "dataset="):
            assert words in first


def test_no_step_is_made_twice(story: Story) -> None:
    """Each receipt is written once, by one of the three workers; the receipt table has a row for each partition."""
    counts = ran(story.killed.text) + ran(story.workers[0].text) + ran(story.workers[1].text)
    assert set(counts.values()) == {1}
    rows = list(
        story.there.cloud.bigquery.query_and_wait(
            f"SELECT table_id, partition_id, COUNT(*) AS n FROM `{DATASET}.receipts` GROUP BY table_id, partition_id"
        )
    )
    assert {row["n"] for row in rows} == {1}
    here = [address for address in story.local.receipts() if not address.startswith(("ingest/", "train/", "export/"))]
    assert sorted(f"{row['table_id']}/{row['partition_id']}" for row in rows) == sorted(here)


def test_tables_hold_the_same_rows(story: Story) -> None:
    """The training table, row by row and column by column, whichever engine ran its SQL."""
    (name,) = (table for table in story.there.cloud.tables() if re.fullmatch(r"click_rate_\w+", table))
    there = story.there.cloud.bigquery.query_and_wait(
        f"SELECT * FROM `{DATASET}.{name}` WHERE date >= '2000-01-01'"
    ).to_arrow(create_bqstorage_client=False)
    here = story.local.rows("click_rate")
    assert here.num_rows > 1_000
    assert sorted_rows(there.select(here.column_names)) == sorted_rows(here)


def sorted_rows(table: pa.Table) -> list[dict[str, object]]:
    return table.sort_by([("date", "ascending"), ("impression_id", "ascending")]).to_pylist()  # type: ignore[no-any-return]


def test_the_bundles_are_the_same_bytes(story: Story, tmp_path: Path) -> None:
    """Model, contract, metrics and golden rows; lineage tells of other places and times."""
    here, there = story.bundles(tmp_path)
    for name in ALIKE:
        assert (there.folder / name).read_bytes() == (here.folder / name).read_bytes(), name
    assert there.metrics == here.metrics
    assert there.lineage.keys() == here.lineage.keys()


def test_running_again_does_nothing(story: Story) -> None:
    """All receipts are there: exit code 0, no new object, no new row."""
    cloud = story.there.cloud
    before = ({stored.key: stored.etag for stored in cloud.lake.list("")}, cloud.tables())
    done = story.there.luigi(*COMMAND)
    assert (done.code, ran(done.text)) == (0, {}), done.text
    assert ({stored.key: stored.etag for stored in cloud.lake.list("")}, cloud.tables()) == before


def test_nothing_is_left_on_the_machine(story: Story) -> None:
    """The work folder holds the configuration and no data; HOME is empty, and scratch folders are gone."""
    files = {path.name for path in story.there.path.iterdir()} - {"luigi.cfg", "package", "luigid.state"}
    assert files == set()
    assert list(story.there.home.rglob("*")) == []
    left = {path.name for path in story.there.tmp.rglob("*") if path.is_file() and path.parent.name != "matplotlib"}
    assert left == set()  # but matplotlib's list of fonts
