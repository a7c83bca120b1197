"""The metrics, in one table: `docs/monitoring.md` shows it, dashboards, monitors and alert rules use its names alone.

Names are Datadog's; Prometheus has them with `_` for each dot. Values are in base units, which the name says where it
is not a count or a ratio. Tags have few values each, so that a metric stays a few hundred series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# DogStatsD's kinds. A Pushgateway does not add up what one run after another pushes, so there a count is a gauge: what
# the newest run counted. (`_total` would promise a counter that only rises.) A distribution is a summary of one run.
COUNT, GAUGE, DISTRIBUTION = "count", "gauge", "distribution"

# What a metric tells of. In Prometheus each is a job of its own, whose series are replaced together: those of a run by
# the next run of the same task, those of a model when it is trained again, the last success by the next success.
RUN, SUCCESS, MODEL = "dsp_run", "dsp_success", "dsp_model"
GROUPED_BY: Mapping[str, tuple[str, ...]] = {
    RUN: ("environment", "run"),
    SUCCESS: ("environment", "run"),
    MODEL: ("environment", "model", "experiment", "arm"),
}
DATADOG, PROMETHEUS = "Datadog", "Prometheus"


@dataclass(frozen=True)
class Metric:
    """One row of the table. `tags` come beside those that `about` is grouped by. `only` names the tool that gets it.

    A time is an age for Datadog, which forgets what is not sent again, and a timestamp for Prometheus, which would keep
    an age as it was at the end of the last run.
    """

    name: str
    kind: str
    unit: str
    about: str
    tags: tuple[str, ...]
    meaning: str
    only: str = ""

    @property
    def prometheus_name(self) -> str:
        return self.name.replace(".", "_")

    @property
    def all_tags(self) -> tuple[str, ...]:
        return (*GROUPED_BY[self.about], *self.tags)


@dataclass(frozen=True)
class Measurement:
    """A value of a metric. Tags that say nothing of it are left out."""

    name: str
    value: float
    tags: Mapping[str, str] = field(default_factory=dict)


_TASK = ("task", "event", "table", "experiment", "arm")
_SLICE = ("slice", "value")
_RATIO = "ratio"

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("dsp.run.duration.seconds", GAUGE, "second", RUN, (), "How long the run took, from its first line on"),
        Metric("dsp.run.success", GAUGE, "0 or 1", RUN, (), "1 if all that the run was asked for is made, 0 if not"),
        Metric(
            "dsp.run.success.timestamp.seconds",
            GAUGE,
            "second",
            SUCCESS,
            (),
            "When the newest run that succeeded ended (Unix time)",
            PROMETHEUS,
        ),
        Metric("dsp.tasks", COUNT, "task", RUN, (*_TASK, "outcome"), "Tasks that ended `done`, `failed` or `stopped`"),
        Metric("dsp.task.duration.seconds", DISTRIBUTION, "second", RUN, _TASK, "How long tasks ran that were done"),
        Metric("dsp.rows", COUNT, "row", RUN, _TASK, "Rows of what was made, as the receipts say"),
        Metric("dsp.rows.rejected", COUNT, "row", RUN, ("event", "reason"), "Raw lines that went to quarantine"),
        Metric("dsp.rows.duplicates", COUNT, "row", RUN, ("event",), "Raw lines with a key that was there already"),
        Metric(
            "dsp.newest_hour.lag.seconds",
            GAUGE,
            "second",
            RUN,
            ("event",),
            "From the end of the newest hour that is loaded to the end of the run",
            DATADOG,
        ),
        Metric(
            "dsp.newest_hour.timestamp.seconds",
            GAUGE,
            "second",
            RUN,
            ("event",),
            "The end of the newest hour that is loaded (Unix time)",
            PROMETHEUS,
        ),
        Metric(
            "dsp.model.normalised_entropy",
            GAUGE,
            _RATIO,
            MODEL,
            (),
            "Log loss on the held-out day / that of its base rate; below 1 the model knows something",
        ),
        Metric("dsp.model.calibration_ratio", GAUGE, _RATIO, MODEL, (), "Predicted / observed positives of that day"),
        Metric("dsp.model.auc", GAUGE, _RATIO, MODEL, (), "How often a positive scores above a negative on that day"),
        Metric(
            "dsp.model.day.timestamp.seconds",
            GAUGE,
            "second",
            MODEL,
            (),
            "When the held-out day began (Unix time)",
            PROMETHEUS,
        ),
        Metric("dsp.model.slice.normalised_entropy", GAUGE, _RATIO, MODEL, _SLICE, "The same of one value of a column"),
        Metric("dsp.model.slice.calibration_ratio", GAUGE, _RATIO, MODEL, _SLICE, "The same of one value of a column"),
        Metric("dsp.model.slice.auc", GAUGE, _RATIO, MODEL, _SLICE, "The same of one value of a column"),
    )
}
