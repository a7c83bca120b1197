"""An S3 and a BigQuery of this machine, with what production finds there: two buckets and a dataset."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from console.standins.bigquery import BigQueryServer
from console.standins.s3 import S3Server
from dsp_pipeline.storage.s3 import S3Bucket, s3_client

PROJECT, DATASET, LOCATION = "acme-ads", "dsp", "EU"
LAKE, RAW = "acme-dsp-lake", "acme-ad-logs"


class Cloud:
    """Stand-ins that end with this process, and what they hold with them. Their logs lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()

    def __enter__(self) -> Cloud:
        with ExitStack() as running:
            self._forget()  # a run that was killed has left its tables
            running.callback(self._forget)
            self._s3 = running.enter_context(S3Server())
            self._bigquery = running.enter_context(BigQueryServer(self._folder / "bigquery"))
            self._running = running.pop_all()
        for bucket in (LAKE, RAW):
            self._s3_client.create_bucket(Bucket=bucket)
            self._s3_client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        self.bigquery.create_dataset(DATASET)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _forget(self) -> None:
        """Remove the tables, which the BigQuery stand-in keeps in its folder. Its log stays."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._folder / "bigquery" / "data")

    @property
    def settings(self) -> Mapping[str, str]:
        """What luigi.cfg says in production, and where the stand-ins are."""
        return {
            "dsp.mode": "cloud",
            "dsp.lake": f"s3://{LAKE}/lake",
            "dsp.raw": f"s3://{RAW}/logs",
            "bigquery.project": PROJECT,
            "bigquery.dataset": DATASET,
            "bigquery.location": LOCATION,
            "bigquery.labels": "team=ads",
            "bigquery.endpoint": self._bigquery.rest,
            "bigquery.storage_endpoint": self._bigquery.storage,
        }

    @property
    def environment(self) -> Mapping[str, str]:
        """What boto3 looks for, so that it finds the stand-in and nothing of this machine's own accounts."""
        reach = S3Server.settings_of(self._s3.url)
        return {
            "AWS_ENDPOINT_URL": reach["endpoint_url"],
            "AWS_ACCESS_KEY_ID": reach["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": reach["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": reach["region_name"],
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def lake(self) -> S3Bucket:
        return S3Bucket(LAKE, "lake", client=self._s3_client)

    @property
    def raw(self) -> S3Bucket:
        return S3Bucket(RAW, "logs", client=self._s3_client)

    @cached_property
    def bigquery(self) -> Any:
        """Google's own client, connected to the stand-in."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        options = {"api_endpoint": self._bigquery.rest}
        return bigquery.Client(PROJECT, AnonymousCredentials(), location=LOCATION, client_options=options)

    def deliver(self, folder: Path) -> int:
        """Put the raw logs of a folder into the raw bucket, as their layout names them; how many files."""
        files = sorted(_logs(folder))
        for file in files:
            self.raw.put(str(file.relative_to(folder)), file)
        return len(files)

    def tables(self) -> dict[str, int]:
        """The tables of the dataset with their numbers of rows."""
        return {
            one.table_id: self.bigquery.get_table(one.reference).num_rows for one in self.bigquery.list_tables(DATASET)
        }

    @cached_property
    def _s3_client(self) -> Any:
        return s3_client(**S3Server.settings_of(self._s3.url))


def _logs(folder: Path) -> Iterator[Path]:
    """The log files of the simulator, without the truth that it keeps beside them."""
    return (path for path in folder.rglob("*.gz") if "truth" not in path.relative_to(folder).parts)
