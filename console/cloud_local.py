"""`make run-cloud-local`: the graph on S3 and BigQuery, without an account."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

from console import luigid
from console.demo import new_console, run, simulated
from console.standins.bigquery import python_for_bigquery
from console.standins.cloud import DATASET, PROJECT, Cloud
from dsp_pipeline.errors import DspError
from dsp_pipeline.simulator import DEMO_FAULTS, Simulation

# Small, because each load costs the stand-in a second: BigQuery's own would not take longer for a thousand times more.
_SIMULATED = Simulation(first=date(2026, 11, 17), days=3, impressions_per_day=5_000, seed=20, faults=DEMO_FAULTS)
_DAY = date(2026, 11, 18)


def run_cloud_local() -> int:
    """Simulate three days, deliver their logs to S3, run the graph there, and tell what lies where."""
    if python_for_bigquery() is None:
        raise DspError("there is no Python 3.13 or newer for the BigQuery stand-in; install one and run this again.")
    console = new_console()
    folder = luigid.STATE / "cloud-local"
    raw = folder / "raw"
    simulated(_SIMULATED, raw, console)
    with Cloud(folder) as cloud:
        files = cloud.deliver(raw)
        console.print(f"{files} of them were delivered to {cloud.raw}.")
        os.environ.update(cloud.environment)
        run(console, _DAY, {**cloud.settings, "dsp.scratch": str(Path(folder, "scratch").absolute())})
        console.print(f"In {cloud.lake} are now {sum(1 for _ in cloud.lake.list('')):,} objects.")
        for name, rows in sorted(cloud.tables().items()):
            console.print(f"  {PROJECT}.{DATASET}.{name}: {rows:,} rows")
    console.print("The stand-ins have ended, and what they held is gone. On the real ones: docs/cloud.md.")
    return 0
