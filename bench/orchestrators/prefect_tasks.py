"""Prefect 3 with a server, until the server has recorded each run: its flow returns long before.

As it comes, it sends a line of log for each run too; `--quiet yes` leaves these out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.request
from typing import Any

from bench.orchestrators.loop import program, write

_PATIENCE = 60.0  # seconds in which not one more run is recorded


def _run(days: int, folder: str, asked: argparse.Namespace) -> None:
    from prefect import flow, task
    from prefect.task_runners import ThreadPoolTaskRunner

    @task
    def step(path: str) -> None:
        write(path)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2), log_prints=False)
    def run() -> None:
        last = []
        for day in range(days):
            ingests = [step.submit(f"{folder}/{day}-ingest-{hour:02d}") for hour in range(24)]
            loads = [step.submit(f"{folder}/{day}-load-{hour:02d}", wait_for=[ingests[hour]]) for hour in range(24)]
            features = step.submit(f"{folder}/{day}-features", wait_for=loads)
            model = step.submit(f"{folder}/{day}-model", wait_for=[features])
            last.append(step.submit(f"{folder}/{day}-bundle", wait_for=[model]))
        for bundle in last:
            bundle.wait()

    run()
    before, since = -1, time.monotonic()
    while (now := _recorded(asked.url)) < days * 51:
        if now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > _PATIENCE:
            sys.exit(f"Prefect's server has recorded {now} of {days * 51} runs and goes no further")
        time.sleep(0.5)


def _recorded(url: str) -> int:
    question: Any = {"task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    request = urllib.request.Request(  # noqa: S310  # the address is ours
        f"{url}/task_runs/count", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        return int(json.load(answer))


if __name__ == "__main__":
    if "--quiet" in sys.argv:  # read when prefect is imported
        os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"
    program(_run, "--url", "--quiet")
