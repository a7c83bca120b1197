"""Large loads go through Cloud Storage: one job then takes all files, as a whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dsp_pipeline.errors import WarehouseError
from dsp_pipeline.warehouse.bigquery.clients import Clients
from dsp_pipeline.warehouse.bigquery.jobs import Jobs

log = logging.getLogger("dsp")


class Staging:
    """The place that [bigquery] staging names. What is put there is taken away when its load has ended."""

    def __init__(self, clients: Clients, jobs: Jobs) -> None:
        self._clients, self._jobs = clients, jobs
        self._bucket, _, prefix = clients.settings.staging.removeprefix("gs://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @contextmanager
    def holding(self, files: Sequence[Path], name: str) -> Iterator[list[str]]:
        """The files' addresses in Cloud Storage, for as long as the context lasts."""
        bucket = self._clients.storage.bucket(self._bucket)
        blobs = [bucket.blob(f"{self._prefix}{name}/{file.name}") for file in files]
        what = f"files cannot be staged in {self._clients.settings.staging}"
        try:
            with self._jobs.told(what):
                for blob, file in zip(blobs, files, strict=True):
                    blob.upload_from_filename(str(file), if_generation_match=0)
            yield [f"gs://{self._bucket}/{blob.name}" for blob in blobs]
        finally:
            try:
                with self._jobs.told("staged files cannot be removed"):
                    bucket.delete_blobs(blobs, on_error=lambda blob: None)
            except WarehouseError as error:
                log.warning("%s They cost money until they are: %s", error, ", ".join(blob.name for blob in blobs[:3]))
