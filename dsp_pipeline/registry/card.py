"""The card of a model: one HTML file that says what it is, how good it is and how sure that is, for people.

It holds all that it shows: nothing is fetched, and there is no script. Equal reports give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dsp_pipeline.registry import card_figures, card_tables
from dsp_pipeline.registry.card_words import percent, verdicts

_TEMPLATE = "card.html.j2"
_CURVES = 9  # features whose dependence is shown
_BARS = 8  # values of a category that are as high as a plot


def render_card(report: Mapping[str, Any], lineage: Mapping[str, Any], cost: Mapping[str, Any]) -> bytes:
    """The page, in UTF-8. `report` is a bundle's metrics.json, `lineage` its lineage.json (receipts by address).

    `cost` has `seconds`, `cpu_seconds`, `peak_memory_bytes` and `revision` of the training. Any part of the three may
    be missing, or None; what the page says of it is left out then.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "number": _number,
        "bytes": _bytes,
        "seconds": _seconds,
        "value": _value,
    }
    held_out = report.get("holdout") or {}
    rate = held_out["positives"] / held_out["rows"] if held_out.get("rows") else None
    page = environment.get_template(_TEMPLATE).render(
        model={
            name: _text(report, name) for name in ("name", "experiment", "arm", "version", "date", "label", "table")
        },
        verdicts=verdicts(report),
        scores=card_tables.scores(report),
        calibration=report.get("calibration") or {},
        figures={
            "calibration": card_figures.calibration(report.get("reliability") or []),
            "histogram": card_figures.histogram(report.get("score_histogram") or {}),
            "roc": card_figures.roc(report.get("roc") or []),
            "precision_recall": card_figures.precision_recall(report.get("precision_recall") or [], rate),
            "curve": card_figures.curve(report.get("curve") or [], report.get("trees")),
        },
        importance=card_tables.importance(report),
        shown=card_tables.SHOWN,
        dependence=_dependence(report),
        slices=card_tables.slices(report),
        drift=card_tables.drift(report),
        leaks=report.get("leaks"),
        days=_days(report.get("data") or {}),
        validated=any(one.get("validation_log_loss") is not None for one in report.get("curve") or []),
        trees=report.get("trees"),
        rounds=report.get("rounds"),
        parameters=report.get("parameters") or {},
        libraries=report.get("libraries") or {},
        engine=report.get("engine"),
        table_version=_text(report, "table_version"),
        lineage=card_tables.lineage(lineage),
        cost={name: cost.get(name) for name in ("seconds", "cpu_seconds", "peak_memory_bytes", "revision")},
    )
    return page.encode()


def _text(report: Mapping[str, Any], name: str) -> str:
    found = (report.get("model") or {}).get(name)
    return "" if found is None else str(found)


def _days(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What is known of the days that were learned from, stopped and calibrated on, and judged on, by part."""
    known = ("days", "rows", "positives", "negative_share")
    return {
        part: {name: data[part].get(name) for name in known}
        for part in ("train", "validation", "holdout")
        if data.get(part)
    }


def _dependence(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The features that move scores most, as a plot where they are numbers and as bars where they are not."""
    found, importance = report.get("dependence") or {}, report.get("importance") or {}
    names = sorted(found, key=lambda name: (-(importance.get(name) or {}).get("shap", 0.0), name))[:_CURVES]
    low, high = card_tables.effect_ends({name: found[name] for name in names})
    made = []
    for name in names:
        points = found[name]
        plot = None if _is_category(points) else card_figures.dependence(name, points, low, high)
        rest = [one for one in points if plot is None or one["value"] is None]
        bars = card_tables.effects(rest, low, high)
        made.append({"feature": name, "plot": plot, "bars": bars[:_BARS], "folded": bars[_BARS:]})
    return made


def _is_category(points: list[Mapping[str, Any]]) -> bool:
    """Codes are whole numbers and words are texts; a number's points are means."""
    return not any(isinstance(one["value"], float) for one in points)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _value(value: Any) -> str:
    """A setting, or what was read of one, in few characters."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _seconds(value: float) -> str:
    if value < 90:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 5400 else f"{value / 3600:.1f} h"


def _bytes(value: float) -> str:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e3:.3g} kB"
