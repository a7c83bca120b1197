"""Secrets stand in the environment and nowhere else: not in what is printed, kept, shown or sent."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import fields
from datetime import date
from pathlib import Path

from dsp_pipeline.platform import Platform
from dsp_pipeline.settings import BigQuerySettings, MetricsSettings, Settings
from tests.e2e.folder import DAY
from tests.e2e.scheduler import luigid
from tests.faults import forks
from tests.faults.lakes import LocalLake

SECRET = "hunter2-not-to-be-seen"  # noqa: S105  # nobody's
VARIABLES = {
    "MLFLOW_TRACKING_URI": f"http://somebody:{SECRET}@127.0.0.1:9/",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": SECRET,
    "DD_API_KEY": SECRET,
    "DSP_SLACK_WEBHOOK_URL": f"https://hooks.example.test/{SECRET}",
}
TRAIN = ("TrainModel", "--experiment", "click_rate_baseline", "--arm", "control", "--date", DAY)


def settings(**changes: object) -> Settings:
    given: dict[str, object] = {
        "mode": "local",
        "environment": "local",
        "lake": "lake",
        "raw": "raw",
        "scratch": Path("scratch"),
        "source": "simulator",
        "first_date": date(2026, 11, 17),
        **changes,
    }
    return Settings(**given)  # type: ignore[arg-type]


def test_settings_do_not_show_a_secret(tmp_path: Path) -> None:
    """Neither do the parts that are made from them."""
    made = settings(mlflow_tracking_uri=VARIABLES["MLFLOW_TRACKING_URI"], lake=str(tmp_path))
    platform = Platform(made)
    for shown in (repr(made), str(made), repr(platform), str(platform), repr(platform.store), repr(platform.warehouse)):
        assert SECRET not in shown
    # Whoever adds a setting with such a name thinks of this.
    named = re.compile(r"password|secret|token|key|credential|webhook")
    for kind in (Settings, BigQuerySettings, MetricsSettings):
        assert [field.name for field in fields(kind) if named.search(field.name) and field.repr] == []


def test_a_run_shows_no_secret_anywhere(whole: LocalLake) -> None:
    """What it prints, what is in the lake, what luigid shows of it, and what stands in its processes' command lines."""
    folder = whole.folder
    for task in ("train", "export"):
        for receipt in (folder.lake / "receipts" / task).rglob("*.json"):
            receipt.unlink()
    with luigid(folder) as address:
        done = forks.run(
            *(*TRAIN, "--scheduler-url", address),
            folder=folder.path,
            environment={**folder.environment(), **VARIABLES},
        )
        assert done.code == 0, done.text
        assert "is not in MLflow" in done.text  # it was read, and the server is not there
        shown = done.text
        for path in (
            "api/task_list?data=" + "%7B%22status%22%3A%22DONE%22%2C%22upstream_status%22%3A%22%22%7D",
            *("api/worker_list", "api/graph", "static/visualiser/index.html"),
        ):
            with urllib.request.urlopen(f"{address}/{path}", timeout=30) as answer:  # noqa: S310
                shown += answer.read().decode()
        assert "TrainModel" in shown
    assert SECRET not in shown
    everything = [path for path in folder.path.rglob("*") if path.is_file()]
    assert len(everything) > 100
    assert [path for path in everything if SECRET.encode() in path.read_bytes()] == []


def test_a_setting_that_would_hold_a_secret_is_refused_without_it(whole: LocalLake) -> None:
    """An address of a gateway has no password in it; what is told of it does not show it."""
    done = whole.run(*TRAIN, "--metrics-pushgateway", f"http://somebody:{SECRET}@127.0.0.1:9091")
    assert done.code != 0
    assert "pushgateway" in done.text
    assert SECRET not in done.text, done.text
