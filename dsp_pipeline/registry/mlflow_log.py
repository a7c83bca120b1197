"""Training runs and their bundles, told to an MLflow that a team looks at beside our own cards.

It is told after the receipt is written: what counts is in the lake, and an MLflow that is away costs a warning. A run
is found again by the digest of its receipt, so telling it twice is telling it once. MLflow is imported when the first
run is logged.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dsp_pipeline.receipts import Receipt

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

log = logging.getLogger("dsp")

_RECEIPT = "dsp.receipt"
_BUNDLE = "dsp.bundle"
_AT_ONCE = 1_000  # metrics that MLflow takes in one call
_USERINFO = re.compile(r"(?<=://)[^/@\s]*@")


def log_training(uri: str, receipt: Receipt, report: Mapping[str, Any], artifacts: Iterable[Path]) -> None:
    """A run in MLflow's experiment of the same name: parameters, numbers of the report, and files.

    `uri` is that of the tracking server or its database; empty: nothing is done. `report` is a bundle's metrics.json.
    """
    if not uri:
        return
    with _told(uri, receipt):
        client = _client(uri)
        experiment = _experiment(client, report["model"]["experiment"])
        if _find(client, experiment, receipt):
            return
        one = report["model"]
        tags = {
            _RECEIPT: receipt.digest,
            "dsp.address": receipt.address,
            "dsp.version": receipt.version,
            "dsp.revision": receipt.revision,
            "dsp.model": one["name"],
            **{f"dsp.{name}": one[name] for name in ("arm", "date", "table", "table_version")},
        }
        created_at = round(datetime.fromisoformat(receipt.created_at).timestamp() * 1000)
        begun = created_at - round(receipt.seconds * 1000)
        name = f"{one['arm']}/{one['date']}/{one['version']}"
        run = client.create_run(experiment, start_time=begun, tags=tags, run_name=name).info.run_id
        _log_values(client, run, receipt, report, created_at)
        for path in artifacts:
            client.log_artifact(run, str(path))
        client.set_terminated(run, end_time=created_at)


def log_bundle(uri: str, experiment: str, trained: Receipt, address: str, folder: Path) -> None:
    """The bundle's files, in the run of the training that it was exported from; nothing if that was never logged."""
    if not uri:
        return
    with _told(uri, trained):
        client = _client(uri)
        found = client.get_experiment_by_name(experiment)
        run = _find(client, found.experiment_id, trained) if found else None
        if run is None or run.data.tags.get(_BUNDLE) == address:
            return
        client.log_artifacts(run.info.run_id, str(folder), "bundle")
        client.set_tag(run.info.run_id, _BUNDLE, address)


@contextmanager
def _told(uri: str, receipt: Receipt) -> Iterator[None]:
    """Whatever goes wrong becomes a warning without the secrets that the URI may hold."""
    try:
        yield
    except ModuleNotFoundError as error:
        log.warning(
            "%s is not in MLflow: MLFLOW_TRACKING_URI is set and %s is not installed; install this project with its "
            "extra `mlflow`, or unset the variable",
            receipt.address,
            error.name,
        )
    except Exception as error:  # MLflow's stores raise what their libraries raise
        told = (str(error).splitlines() or [""])[0]
        log.warning(
            "%s is not in MLflow, or not all of it (%s: %s); the model is trained, and its receipt and files are whole",
            receipt.address,
            type(error).__name__,
            _without_secrets(told, uri),
        )


def _without_secrets(text: str, uri: str) -> str:
    parts = urlsplit(uri)
    secret = parts.password or ""
    for word in filter(None, (uri, secret, unquote(secret), *(value for _, value in parse_qsl(parts.query)))):
        text = text.replace(word, "…")
    return _USERINFO.sub("…@", text)


def _client(uri: str) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _experiment(client: MlflowClient, name: str) -> str:
    """The id of the experiment, which is made if it is not there."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # unless another arm made it at this moment, there is none now either
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _find(client: MlflowClient, experiment: str, receipt: Receipt) -> Run | None:
    """The finished run of the training with this receipt; one that broke off does not count."""
    wanted = f"tags.`{_RECEIPT}` = '{receipt.digest}' and attributes.status = 'FINISHED'"
    return next(iter(client.search_runs([experiment], wanted, max_results=1)), None)


def _log_values(client: MlflowClient, run: str, receipt: Receipt, report: Mapping[str, Any], created_at: int) -> None:
    from mlflow.entities import Metric, Param

    parameters = {
        **report["parameters"],
        "rounds": report["rounds"],
        "engine": report["engine"],
        "calibration": report["calibration"]["kind"],
        "negative_share": report["data"]["train"]["negative_share"],
        **report["libraries"],
        **{f"{part}_days": " ".join(used["days"]) for part, used in report["data"].items() if used},
    }
    client.log_batch(run, params=[Param(name, str(value)) for name, value in parameters.items()])
    cost = {name: getattr(receipt, name) for name in ("seconds", "cpu_seconds", "peak_memory_bytes")}
    numbers = {name: part for name, part in report.items() if name not in ("model", "parameters", "libraries")}
    metrics = [Metric(name, value, created_at, 0) for name, value in _flat({**numbers, "cost": cost})]
    metrics += _curve(report["curve"], created_at)
    for start in range(0, len(metrics), _AT_ONCE):
        client.log_batch(run, metrics=metrics[start : start + _AT_ONCE])


def _curve(points: Iterable[Mapping[str, Any]], created_at: int) -> Iterator[Metric]:
    from mlflow.entities import Metric

    for point in points:
        for name in ("train_log_loss", "validation_log_loss"):
            if point[name] is not None:
                yield Metric(f"curve/{name}", point[name], created_at, point["rounds"])


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in nested mappings by their path, with slashes; lists and texts stay in the report."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{before}{name}", float(value)
