"""The same lake on S3 and BigQuery: stand-ins that speak the real protocols."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from console.standins.cloud import DATASET
from dsp_pipeline.receipts import Receipt
from dsp_pipeline.storage.receipts import ReceiptBook
from tests.e2e.test_cloud import CloudFolder
from tests.faults import forks
from tests.faults.forks import Ended, Fork
from tests.faults.lakes import KEPT, LocalLake, Step

_COUNTS = "QUALIFY ROW_NUMBER() OVER (PARTITION BY table_id, partition_id ORDER BY generation DESC, number DESC) = 1"


class CloudLake(LocalLake):
    """A folder with luigi.cfg and the team's files; logs, lake and tables are in the stand-ins."""

    folder: CloudFolder

    def __init__(self, folder: CloudFolder, *options: str, environment: Mapping[str, str] | None = None) -> None:
        """`options` and `environment` go before the folder's: other addresses of S3 and BigQuery, say."""
        super().__init__(folder)
        self.store = folder.cloud.lake
        self.book = ReceiptBook(self.store)
        self._options, self._environment = options, {**folder.environment(), **(environment or {})}

    def start(
        self, *words: str, kill_at: int | None = None, skew: timedelta = timedelta(), host: str | None = None
    ) -> Fork:
        where = () if "--scheduler-url" in words else ("--local-scheduler",)
        words = (*words, *self._options, *where)
        given = {"folder": self.folder.path, "environment": self._environment, "kill_at": kill_at, "skew": skew}
        return forks.start(*words, **given, host=host)  # type: ignore[arg-type]

    def run(self, *words: str, kill_at: int | None = None, skew: timedelta = timedelta()) -> Ended:
        return self.start(*words, kill_at=kill_at, skew=skew).ended()

    def tables(self) -> dict[str, Receipt]:
        from google.api_core.exceptions import NotFound

        try:
            found = self.folder.cloud.bigquery.query_and_wait(
                f"SELECT table_id, partition_id, receipt FROM `{DATASET}.receipts` WHERE true {_COUNTS}"
            )
        except NotFound:
            return {}
        return {
            f"{row['table_id']}/{row['partition_id']}": Receipt.from_json(row["receipt"].encode())
            for row in found
            if row["receipt"] is not None
        }

    def assert_whole(self) -> None:
        """By one listing: what S3 keeps with an object tells that it is the one that was put."""
        sizes = {stored.key: stored.size for stored in self.store.list("")}
        for receipt in self.book.read_all("").values():
            for file in receipt.files:
                assert sizes.get(file.key) == file.size, file.key
        self.assert_pointed()

    def table_rows(self, step: Step) -> Counter[str]:
        found: Counter[str] = Counter()
        for address in self.tables():
            if step.makes(address):
                table, _, partition = address.partition("/")
                when = "date" if len(partition) == 10 else _TIMES[table.partition("_")[0]]
                first = datetime.fromisoformat(partition).replace(tzinfo=UTC)
                last = first + (timedelta(days=1) if when == "date" else timedelta(hours=1))
                form = "%Y-%m-%d" if when == "date" else "%Y-%m-%d %H:%M:%S+00"
                sql = (
                    f"SELECT * FROM `{DATASET}.{table}` WHERE {when} >= '{first.strftime(form)}' "
                    f"AND {when} < '{last.strftime(form)}'"
                )
                found.update(repr(sorted(row.items())) for row in self.folder.cloud.bigquery.query_and_wait(sql))
        return found

    def unmake_partition(self, step: Step) -> None:
        """With its whole table, as the janitor removes one: what is made next is the first of another."""
        if step.task in ("BigQueryLoad", "FeatureBuild"):
            swept = self.act("sweep", step.address.partition("/")[0])
            assert swept.code == 0, swept.text

    def loose(self) -> set[str]:
        named = {file.key for receipt in self.book.read_all("").values() for file in receipt.files}
        keys = {stored.key for stored in self.store.list("")} - named
        scratch = self.folder.tmp / "dsp"
        aside = {str(path) for path in scratch.rglob("*") if path.is_file() and "matplotlib" not in path.parts}
        served = self.served()
        return {key for key in keys if not key.startswith(KEPT) and key.rpartition("/")[0] not in served} | aside

    def act(self, act: str, *words: str, kill_at: int | None = None) -> Ended:
        given: dict[str, Any] = {"folder": self.folder.path, "environment": self._environment}
        return forks.run(*words, **given, act=act, kill_at=kill_at)


_TIMES = {"impression": "served_at", "click": "clicked_at"}
