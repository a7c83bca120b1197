"""SIGTERM, as ECS sends it: work is taken back, luigid knows, and the next run goes on."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from luigi.rpc import RemoteScheduler

from dsp_pipeline.warehouse.base import Table
from tests.contracts.implementations import bigquery_client, bigquery_warehouse, new_dataset
from tests.contracts.rows import CLICK, load, make_click, make_clicks
from tests.e2e.folder import PROJECT, Done, Folder, ended, wait_until
from tests.e2e.scheduler import luigid
from tests.tasks.small import DAYS, arrive, small_folder

SENTENCE = "stopped by SIGTERM; the same command goes on from here."


def start(folder: Folder, task: str, *words: str, **settings: Any) -> subprocess.Popen[str]:
    """One of the slow tasks in a luigi of its own."""
    given = ["--folder", str(folder.path), "--settings", json.dumps(settings), *words]
    environment = folder.environment() | {"PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("luigi")), "--module", "tests.tasks.slow", task, *given],
        cwd=folder.path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def stop(process: subprocess.Popen[str]) -> Done:
    """Only the process itself is told, as that of a container."""
    process.send_signal(signal.SIGTERM)
    return ended(process)


def jobs_of(root: Path, state: str) -> list[Any]:
    settings = new_dataset(root)
    found = bigquery_client(settings).list_jobs(state_filter=state)
    return [one for one in found if f"{settings.dataset}-endless" in one.job_id]


@pytest.mark.parametrize(("task", "workers", "count"), [("SlowBuild", 1, 1), ("SlowBuilds", 2, 2)])
def test_a_stopped_run_cancels_its_bigquery_jobs(tmp_path: Path, task: str, workers: int, count: int) -> None:
    """They end as "stopped", nothing has a receipt, scratch is empty, and luigid gives the tasks to the next run."""
    folder = Folder(tmp_path / "work")
    load(bigquery_warehouse(folder.path), make_clicks(2))
    settings = asdict(new_dataset(folder.path))
    with luigid(folder) as scheduler:
        process = start(folder, task, "--workers", str(workers), "--scheduler-url", scheduler, **settings)
        wait_until(lambda: len(jobs_of(folder.path, "running")) == count, f"{count} running jobs")
        done = stop(process)
        assert done.code == 128 + signal.SIGTERM, done.text
        assert len(done.errors) == count, done.text
        assert all(SENTENCE in line for line in done.errors), done.text
        assert "Traceback" not in done.text
        wait_until(lambda: len(jobs_of(folder.path, "done")) == count, "the end of the jobs")
        assert [job.error_result["reason"] for job in jobs_of(folder.path, "done")] == ["stopped"] * count
        assert RemoteScheduler(scheduler).task_list("RUNNING", "") == {}
        again = start(folder, task, "--workers", str(workers), "--scheduler-url", scheduler, **settings)
        wait_until(lambda: len(jobs_of(folder.path, "running")) == count, "the next run's jobs")
        assert stop(again).code == 128 + signal.SIGTERM
    warehouse = bigquery_warehouse(folder.path)
    for version in ("v0", "v1", "v2"):
        assert warehouse.receipts(Table("endless", version, CLICK.definition)) == {}


def test_a_stopped_ingest_leaves_nothing_behind(tmp_path: Path) -> None:
    """No output, no receipt, no note, no scratch; and the same command makes what an undisturbed one makes.

    What its version is made of is on record, as it was begun.
    """
    folder = small_folder(tmp_path / "work")
    arrive(folder, DAYS[0], hours=range(1))
    (raw,) = (folder.raw / "click" / DAYS[0]).iterdir()
    lines = b"".join(json.dumps(make_click(n), default=str).encode() + b"\n" for n in range(400_000))
    raw.write_bytes(gzip.compress(lines, 1, mtime=0))
    words = ("S3LogIngest", "--event", "click", "--hour", f"{DAYS[0]}T00")
    process = folder.start(*words)
    scratch = folder.lake / ".scratch"
    wait_until(lambda: scratch.is_dir() and any(path.is_file() for path in scratch.rglob("*")), "work in scratch")
    done = stop(process)
    assert done.code == 128 + signal.SIGTERM, done.text
    assert [SENTENCE in line for line in done.errors] == [True], done.text
    assert {name.partition("/")[0] for name in folder.files()} == {"versions"}
