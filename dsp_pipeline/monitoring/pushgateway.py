"""Measurements of a run to a Prometheus Pushgateway, at its end: a run is gone before anybody could scrape it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from dsp_pipeline.errors import first_line
from dsp_pipeline.monitoring.metrics import COUNT, DATADOG, GAUGE, GROUPED_BY, METRICS, MODEL, Measurement, Metric

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger("dsp")

_PATIENCE = 3.0  # seconds for one group: what a gateway that is away may cost a run
_Group: TypeAlias = tuple[str, tuple[str, ...]]  # the job, and the values of what it is grouped by


def push(url: str, batches: Iterable[Sequence[Measurement]]) -> None:
    """Replace, on the Pushgateway at `url`, the groups of these measurements. What goes wrong is a warning.

    What was measured at once comes in one batch: a later one of the same model replaces an earlier one.
    """
    try:
        from prometheus_client import push_to_gateway

        for (job, values), registry in _registries(batches).items():
            grouped = dict(zip(GROUPED_BY[job], values, strict=True))
            push_to_gateway(url, job, registry, grouped, timeout=_PATIENCE)
    except ModuleNotFoundError as error:
        log.warning("metrics are not pushed: %s is not installed; install the extra `metrics`", error.name)
    except Exception as error:  # of urllib and http.client, and of whatever else answers there
        log.warning("metrics do not reach the Pushgateway at %s (%s)", urlsplit(url).hostname, first_line(error))


def _registries(batches: Iterable[Sequence[Measurement]]) -> dict[_Group, CollectorRegistry]:
    from prometheus_client import CollectorRegistry, disable_created_metrics

    # Each summary would have a series more, which tells when the process made it.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations
    found: dict[_Group, CollectorRegistry] = {}
    known: dict[_Group, dict[str, Any]] = {}
    for batch in batches:
        for place, one in enumerate(batch):
            metric = METRICS[one.name]
            if metric.only == DATADOG:
                continue
            group = metric.about, tuple(one.tags.get(name, "") for name in GROUPED_BY[metric.about])
            if group not in found or (metric.about == MODEL and place == 0):
                found[group], known[group] = CollectorRegistry(), {}
            if one.name not in known[group]:
                known[group][one.name] = _collector(metric, found[group])
            _add(metric, known[group][one.name], one)
    return found


def _collector(metric: Metric, registry: CollectorRegistry) -> Any:
    from prometheus_client import Gauge, Summary

    kind = Gauge if metric.kind in (COUNT, GAUGE) else Summary
    return kind(metric.prometheus_name, f"{metric.meaning}.", metric.tags, registry=registry)


def _add(metric: Metric, collector: Any, one: Measurement) -> None:
    series = collector.labels(*(one.tags.get(name, "") for name in metric.tags)) if metric.tags else collector
    add = {COUNT: "inc", GAUGE: "set"}.get(metric.kind, "observe")
    getattr(series, add)(one.value)
