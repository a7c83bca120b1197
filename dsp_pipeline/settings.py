"""What a run may be told. Frozen; reads neither files nor the environment: `tasks/settings.py` does that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path


@dataclass(frozen=True)
class Federation:
    """How the role of a container on ECS becomes a service account of Google.

    `configuration` is JSON as `gcloud iam workload-identity-pools create-cred-config` writes it; it holds no key.
    `keys_at` is the URL at which the container is told the keys of its role, `region` that of AWS.
    """

    configuration: str
    keys_at: str
    region: str


@dataclass(frozen=True)
class BigQuerySettings:
    """Where tables live in BigQuery, and what a job may cost.

    `dataset` must be there already. A query that would read more than `max_bytes_billed` is refused before it runs.
    `labels` stand on every table and job, for the bill. `staging` is a place in Cloud Storage (`gs://bucket/prefix`)
    through which loads of more than one file go; without it they go over the wire as one file.
    `federation` is None where Google's clients find credentials by their own rules.
    `endpoint` (a URL), `storage_endpoint` (host:port) and `staging_endpoint` (a URL) are those of stand-ins without
    credentials; empty for Google's own.
    """

    project: str
    dataset: str
    location: str
    max_bytes_billed: int
    labels: Mapping[str, str] = field(default_factory=dict)
    staging: str = ""
    federation: Federation | None = None
    endpoint: str = ""
    storage_endpoint: str = ""
    staging_endpoint: str = ""


@dataclass(frozen=True)
class MetricsSettings:
    """Who gets numbers about runs; nobody where these are empty.

    `dogstatsd_host` and `dogstatsd_port` are those of a Datadog agent, `pushgateway` is the URL of a Prometheus
    Pushgateway.
    """

    dogstatsd_host: str = ""
    dogstatsd_port: int = 8125
    pushgateway: str = ""


@dataclass(frozen=True)
class Settings:
    """Settings of one run.

    `mode` is `local` (folders and the embedded warehouse) or `cloud` (S3 and BigQuery).
    `raw` is where raw logs arrive, in the layout that `source` names; `lake` is where everything we make goes. Each is
    a folder, or `s3://bucket/prefix` in cloud mode. `scratch` is a folder of this machine for work in progress.
    `first_date` is the first day that there are logs of: windows are cut there, days before it hold nothing.
    `max_rejected_share` is the share of an hour's lines (0 to 1) above which an ingest fails.
    `memory_limit_mb` bounds the memory of the query engine in one task. `dask_scheduler` is the address of the cluster
    on which experiments with `engine: dask` train; empty where there is none. `mlflow_tracking_uri`, which may hold a
    password, is where trainings are logged too; empty: nowhere.
    """

    mode: str
    environment: str
    lake: str
    raw: str
    scratch: Path
    source: str
    first_date: date
    max_rejected_share: float = 0.05
    memory_limit_mb: int = 600
    threads: int = 2
    revision: str = ""
    bigquery: BigQuerySettings | None = None
    dask_scheduler: str = ""
    mlflow_tracking_uri: str = field(default="", repr=False)
