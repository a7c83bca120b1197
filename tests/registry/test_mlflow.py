"""Runs in a real MLflow, whose store is a SQLite file."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.receipts import File, Receipt
from dsp_pipeline.registry.mlflow_log import log_bundle, log_training

mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
pytest.importorskip("sqlalchemy", reason="SQLAlchemy, which the store of the tests needs, is not installed")


def make_report(experiment: str) -> dict[str, Any]:
    return {
        "model": {
            "name": "click_rate",
            "experiment": experiment,
            "arm": "deeper",
            "version": "v1",
            "date": "2026-11-21",
            "label": "clicked",
            "table": "click_rate",
            "table_version": "t1",
        },
        "data": {
            "train": {"days": ["2026-11-18", "2026-11-19"], "rows": 200, "positives": 9, "negative_share": 0.5},
            "validation": None,
            "holdout": {"days": ["2026-11-21"], "rows": 100, "positives": 4},
        },
        "trees": 37,
        "rounds": 200,
        "parameters": {"max_depth": 8, "eta": 0.1},
        "libraries": {"xgboost": "3.2.0"},
        "engine": "local",
        "holdout": {"log_loss": 0.25, "auc": None},
        "calibration": {"kind": "platt", "slope": 1.5},
        "curve": [
            {"rounds": 1, "train_log_loss": 0.5, "validation_log_loss": 0.75},
            {"rounds": 2, "train_log_loss": 0.375, "validation_log_loss": None},
        ],
        "gain": {"rate": 0.75, "noise": 0.25},
        "leaks": [],
    }


def make_receipt(**changes: Any) -> Receipt:
    one = Receipt(
        address="train/click_rate_baseline/deeper/v1/2026-11-21",
        version="v1",
        rows=200,
        files=(File("model.ubj", 10, "abc"),),
        revision="c0ffee",
        seconds=2.5,
        created_at="2026-11-22T03:00:00.000+00:00",
    )
    return replace(one, **changes)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A card and a report; MLflow keeps its own files in the working folder."""
    monkeypatch.chdir(tmp_path)
    made = [tmp_path / "card.html", tmp_path / "metrics.json"]
    for path in made:
        path.write_text(path.name)
    return made


def runs(uri: str, experiment: str) -> list[Any]:
    client = mlflow.MlflowClient(tracking_uri=uri)
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def contents(run: Any) -> dict[str, str]:
    """The files of a run, with what is in them."""
    root = Path(run.info.artifact_uri.removeprefix("file://"))
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_a_training_is_one_run_with_its_numbers_files_and_bundle(uri: str, files: list[Path], tmp_path: Path) -> None:
    """However often it is told."""
    receipt, bundle = make_receipt(), tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "model.ubj").write_text("trees")
    for _ in range(2):
        log_training(uri, receipt, make_report("twice"), files)
        log_bundle(uri, "twice", receipt, "bundles/click_rate/1", bundle)
    (run,) = runs(uri, "twice")
    assert (run.info.run_name, run.info.status) == ("deeper/2026-11-21/v1", "FINISHED")
    assert run.info.end_time - run.info.start_time == 2500
    assert run.data.params == {
        "max_depth": "8",
        "eta": "0.1",
        "rounds": "200",
        "engine": "local",
        "calibration": "platt",
        "negative_share": "0.5",
        "xgboost": "3.2.0",
        "train_days": "2026-11-18 2026-11-19",
        "holdout_days": "2026-11-21",
    }
    expected = {
        "holdout/log_loss": 0.25,
        "trees": 37,
        "data/train/positives": 9,
        "gain/rate": 0.75,
        "cost/seconds": 2.5,
    }
    assert expected.items() <= run.data.metrics.items()
    assert "holdout/auc" not in run.data.metrics
    history = mlflow.MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, "curve/train_log_loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.375)]
    tags = {name: run.data.tags[f"dsp.{name}"] for name in ("version", "revision", "address", "bundle")}
    assert tags == {
        "version": "v1",
        "revision": "c0ffee",
        "address": receipt.address,
        "bundle": "bundles/click_rate/1",
    }
    assert contents(run) == {"card.html": "card.html", "metrics.json": "metrics.json", "bundle/model.ubj": "trees"}


def test_another_attempt_is_another_run(uri: str, files: list[Path]) -> None:
    """A training that was made anew has another receipt at the same address."""
    log_training(uri, make_receipt(), make_report("anew"), files)
    log_training(uri, make_receipt(rows=201), make_report("anew"), files)
    assert len(runs(uri, "anew")) == 2


def test_a_run_that_broke_off_does_not_count(
    uri: str, files: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What could not be logged to its end is a warning, and is logged anew."""
    log_training(uri, make_receipt(), make_report("broken"), [tmp_path / "missing.html"])
    assert "is not in MLflow, or not all of it" in caplog.text and "missing.html" in caplog.text
    log_training(uri, make_receipt(), make_report("broken"), files)
    log_bundle(uri, "broken", make_receipt(), "bundles/click_rate/1", tmp_path)
    assert sorted((run.info.status, "dsp.bundle" in run.data.tags) for run in runs(uri, "broken")) == [
        ("FINISHED", True),
        ("RUNNING", False),
    ]


def test_a_bundle_of_an_unknown_training_is_left_out(uri: str, files: list[Path], tmp_path: Path) -> None:
    """Of one that was trained before there was an MLflow, say."""
    log_training(uri, make_receipt(), make_report("known"), files)
    log_bundle(uri, "known", make_receipt(rows=7), "bundles/click_rate/1", tmp_path)
    log_bundle(uri, "never", make_receipt(), "bundles/click_rate/1", tmp_path)
    assert [run.data.tags.get("dsp.bundle") for run in runs(uri, "known")] == [None]


def test_an_mlflow_that_is_away_costs_a_warning_without_its_secrets(
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """One sentence that says what is whole all the same; user and password are nowhere."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    log_training("http://me:s3cr%21t@127.0.0.1:9", make_receipt(), make_report("away"), files)
    (record,) = [record for record in caplog.records if record.name == "dsp"]
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert record.getMessage().startswith(f"{make_receipt().address} is not in MLflow, or not all of it (MlflowExc")
    assert "127.0.0.1" in record.getMessage() and record.getMessage().endswith("files are whole")
    everything = caplog.text + "".join(capfd.readouterr())
    assert not [word for word in ("me:", "s3cr") if word in everything]


def test_without_the_extra_or_the_variable_nothing_fails(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the variable nothing is even said."""
    monkeypatch.setitem(sys.modules, "mlflow", None)
    log_training("", make_receipt(), make_report("silent"), files)
    log_bundle("", "silent", make_receipt(), "bundles/click_rate/1", files[0].parent)
    assert not caplog.records
    log_training("sqlite:///mlflow.db", make_receipt(), make_report("silent"), files)
    assert "mlflow is not installed; install this project with its extra `mlflow`" in caplog.text
