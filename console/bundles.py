"""How published bundles look in answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dsp_pipeline.errors import BundleError, UnknownNameError
from dsp_pipeline.registry.manifest import METRICS
from dsp_pipeline.registry.registry import BundleRegistry
from tasks.settings import platform

# Those of the held-out day that a promotion is decided by, and how they are headed.
MAIN = {
    "log_loss": "log loss",
    "normalised_entropy": "entropy",
    "auc": "AUC",
    "predicted_to_observed": "pred/obs",
}
_AT_ONCE = 8  # requests


def main_metrics(registry: BundleRegistry, addresses: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The main metrics by bundle, a small read each; none where they cannot be read."""

    def read(address: str) -> Mapping[str, Any]:
        try:
            held_out = registry.contents(address, METRICS).get("holdout", {})
        except BundleError:
            held_out = {}
        return {name: held_out.get(name) for name in MAIN}

    wanted = list(addresses)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return dict(zip(wanted, threads.map(read, wanted), strict=True))


def cells(metrics: Mapping[str, Any]) -> list[str]:
    """The main metrics as they stand in a table."""
    return ["?" if metrics[name] is None else f"{metrics[name]:.5f}" for name in MAIN]


def trained_here(experiment: str, arm: str) -> str | None:
    """The version that this checkout trains; None if it does not know the arm."""
    try:
        return platform().trial(experiment, arm).version.name
    except UnknownNameError:
        return None
