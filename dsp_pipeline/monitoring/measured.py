"""Receipts and reports → measurements. What is not in them is not measured: there is one source of truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from dsp_pipeline.monitoring.metrics import Measurement
from dsp_pipeline.receipts import Receipt

# Of a column's values, the biggest become series of their own, and only where a ratio says something: of 50 positives
# its standard error is 14 %.
MOST_VALUES, LEAST_ROWS, LEAST_POSITIVES = 10, 1_000, 50
_NUMBERS = {
    "normalised_entropy": "normalised_entropy",
    "calibration_ratio": "predicted_to_observed",
    "auc": "auc",
}


def of_receipt(subject: Mapping[str, str], receipt: Receipt) -> list[Measurement]:
    """`subject` are the tags of the task that made it."""
    event = {name: subject[name] for name in ("event",) if name in subject}
    found = [Measurement("dsp.rows", receipt.rows, subject)]
    found += [
        Measurement("dsp.rows.rejected", lines, {**event, "reason": reason})
        for reason, lines in receipt.rejected.items()
    ]
    if receipt.duplicates:
        found.append(Measurement("dsp.rows.duplicates", receipt.duplicates, event))
    return found


def of_model(report: Mapping[str, Any]) -> list[Measurement]:
    """`report` is a bundle's metrics.json. What its rows do not define (no positive, say) is left out."""
    about = report["model"]
    tags = {"model": about["name"], "experiment": about["experiment"], "arm": about["arm"]}
    day = date.fromisoformat(about["date"])
    began = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    return [
        Measurement("dsp.model.day.timestamp.seconds", began, tags),
        *_numbers("dsp.model", report["holdout"], tags),
        *(
            measurement
            for one in _big(report["slices"])
            for measurement in _numbers("dsp.model.slice", one, {**tags, "slice": one["column"], "value": one["value"]})
        ),
    ]


def of_newest_hour(event: str, end: datetime, now: datetime) -> list[Measurement]:
    """`end` is the end of the newest hour of the event that is loaded, both times with a zone."""
    return [
        Measurement("dsp.newest_hour.lag.seconds", (now - end).total_seconds(), {"event": event}),
        Measurement("dsp.newest_hour.timestamp.seconds", end.timestamp(), {"event": event}),
    ]


def _numbers(prefix: str, found: Mapping[str, Any], tags: Mapping[str, str]) -> list[Measurement]:
    return [
        Measurement(f"{prefix}.{name}", found[reported], tags)
        for name, reported in _NUMBERS.items()
        if found[reported] is not None
    ]


def _big(slices: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """They come by column, those of most rows first."""
    from dsp_pipeline.training.slices import OTHERS  # with libraries that only training needs

    taken: Counter[str] = Counter()
    for one in slices:
        enough = one["rows"] >= LEAST_ROWS and one["positives"] >= LEAST_POSITIVES
        if enough and one["value"] != OTHERS and taken[one["column"]] < MOST_VALUES:
            taken[one["column"]] += 1
            yield one
