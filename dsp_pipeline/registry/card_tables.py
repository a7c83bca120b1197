"""What the tables of a model card hold: names, values, and bars as shares of the longest one, in percent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsp_pipeline.registry.card_words import DRIFTED_FAR, outside_of

SHOWN = 10  # values of a slice column, or features, before the rest is folded away
_ORDERED = 24  # values of a column of few whole numbers, as hours are, which stand in their order
_RATIOS = (1.25, 1.5, 2.0, 4.0)  # where the axis of predicted / observed may end
_METRICS = (
    ("log_loss", "log loss", ".5f"),
    ("normalised_entropy", "normalised entropy", ".4f"),
    ("auc", "AUC", ".4f"),
    ("predicted_to_observed", "predicted / observed", ".3f"),
    ("expected_calibration_error", "calibration error", ".5f"),
)


@dataclass(frozen=True)
class Bar:
    """A length from 0 to 100, with the ends of its interval if there is one, and the number as text."""

    at: float
    text: str
    low: float | None = None
    high: float | None = None


def scores(report: Mapping[str, Any]) -> dict[str, Any]:
    """`who` is judged, and by each metric's name a number for each of them; empty if nobody is."""
    held_out = report.get("holdout") or {}
    judged = {
        "the model": held_out,
        "before calibration": report.get("uncalibrated"),
        "logistic regression": report.get("baseline"),
    }
    base = held_out.get("base_rate_log_loss")
    if base is not None:
        judged["the base rate"] = {
            "log_loss": base,
            "normalised_entropy": 1.0,
            "auc": 0.5,
            "predicted_to_observed": 1.0,
        }
    known = {who: found for who, found in judged.items() if found}
    if not known:
        return {}
    rows = {heading: [_number(found.get(name), form) for found in known.values()] for name, heading, form in _METRICS}
    return {"who": list(known), "rows": rows}


def importance(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A feature a row, the one first that moves scores most: bars of gain, permutation and mean |SHAP|.

    Permutation is told as a share of the held-out log loss, where that is known.
    """
    loss = (report.get("holdout") or {}).get("log_loss")
    gain, found = report.get("gain") or {}, report.get("importance") or {}
    names = sorted({*gain, *found}, key=lambda name: (-(found.get(name) or {}).get("shap", gain.get(name, 0.0)), name))
    most_gain = max(gain.values(), default=0.0)
    most_high = max((one["high"] for one in found.values()), default=0.0)
    most_shap = max((one["shap"] for one in found.values()), default=0.0)
    rows = []
    for name in names:
        one = found.get(name)
        row: dict[str, Any] = {"feature": name, "gain": None, "permutation": None, "shap": None}
        if name in gain:
            row["gain"] = Bar(_share(gain[name], most_gain), f"{100 * gain[name]:.1f} %")
        if one is not None:
            ends = _share(one["low"], most_high), _share(one["high"], most_high)
            row["permutation"] = Bar(_share(one["permutation"], most_high), _rise(one["permutation"], loss), *ends)
            row["shap"] = Bar(_share(one["shap"], most_shap), f"{one['shap']:.3f}")
        rows.append(row)
    return rows


def effects(points: Sequence[Mapping[str, Any]], low: float, high: float) -> list[dict[str, Any]]:
    """A value of a category a row, with its effect on an axis of log odds from `low` to `high`: from 0 to where."""
    zero = _place(0.0, low, high)
    rows = []
    for one in points:
        at = _place(one["effect"], low, high)
        rows.append(
            {
                "value": "missing" if one["value"] is None else str(one["value"]),
                "start": min(zero, at),
                "width": abs(at - zero),
                "raises": one["effect"] >= 0,
                "odds": f"×{math.exp(one['effect']):.2f}",
                "rows": one["rows"],
            }
        )
    return rows


def effect_ends(dependence: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[float, float]:
    """The ends, in log odds, of an axis that holds all effects."""
    all_ = [
        end
        for points in dependence.values()
        for one in points
        for end in (one["effect"], one.get("low"), one.get("high"))
    ]
    found = [end for end in all_ if end is not None]
    low, high = min([*found, -0.1]), max([*found, 0.1])
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def slices(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A column a table, each of its values a row with predicted / observed drawn on a logarithmic axis."""
    columns: dict[str, list[Mapping[str, Any]]] = {}
    for one in report.get("slices") or []:
        columns.setdefault(str(one["column"]), []).append(one)
    return [_slice_table(name, found) for name, found in columns.items()]


def _slice_table(name: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ratios = [one["predicted_to_observed"] for one in found if one.get("predicted_to_observed")]
    far = max((max(ratio, 1 / ratio) for ratio in ratios), default=1.0)
    end = next((one for one in _RATIOS if far <= one), _RATIOS[-1])
    ordered = len(found) <= _ORDERED and all(str(one["value"]).isdecimal() for one in found)
    shown = _ORDERED if ordered else SHOWN
    rows = []
    for one in sorted(found, key=lambda one: int(one["value"])) if ordered else found:
        ratio, high = one.get("predicted_to_observed"), one.get("high")
        at = None if not ratio else _place(math.log(ratio), -math.log(end), math.log(end))
        low_at = _place(math.log(max(one.get("low") or 0.0, 1 / end / 2)), -math.log(end), math.log(end))
        high_at = 100.0 if high is None else _place(math.log(high), -math.log(end), math.log(end))
        rows.append(
            {
                "value": str(one["value"]),
                "rows": one["rows"],
                "positives": one["positives"],
                "observed": one["observed"],
                "predicted": one["predicted"],
                "at": at,
                "low": low_at,
                "high": high_at,
                "outside": outside_of(one),
                "ratio": "–" if not ratio else f"{ratio:.2f}",
                "interval": f"{one.get('low') or 0:.2f} to {'any' if high is None else f'{high:.2f}'}",
                "entropy": _number(one.get("normalised_entropy"), ".3f"),
                "auc": _number(one.get("auc"), ".3f"),
            }
        )
    outside = sum(row["outside"] for row in rows)
    axis = [f"{1 / end:.2g}", "1", f"{end:.3g}"]
    return {"column": name, "outside": outside, "shown": rows[:shown], "folded": rows[shown:], "axis": axis}


def drift(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A feature a row, the one first that drifted most; the bar ends at twice what counts as far."""
    found = report.get("drift") or {}
    rows = []
    for name in sorted(found, key=lambda name: (-found[name]["psi"], name)):
        one, bins = found[name], found[name].get("bins") or []
        most = max((max(bin_["train"], bin_["holdout"]) for bin_ in bins), default=0.0)
        rows.append(
            {
                "feature": name,
                "psi": Bar(min(100.0, 50 * one["psi"] / DRIFTED_FAR), f"{one['psi']:.3f}"),
                "bins": [
                    {
                        "bin": str(bin_["bin"]),
                        "train": Bar(_share(bin_["train"], most), f"{100 * bin_['train']:.1f} %"),
                        "holdout": Bar(_share(bin_["holdout"], most), f"{100 * bin_['holdout']:.1f} %"),
                    }
                    for bin_ in bins
                ],
            }
        )
    return rows


def lineage(receipts: Mapping[str, Any]) -> dict[str, Any]:
    """What the model stands on: a line a table and step, the number of raw files, and what it took to make it all."""
    groups: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for address in sorted(receipts):
        stem, _, partition = address.rpartition("/")
        groups.setdefault(stem, []).append((partition, receipts[address]))
    raw = {given["name"] for stem, found in groups.items() if stem.startswith("ingest/") for given in _inputs(found)}
    lines = [_line(stem, found) for stem, found in groups.items() if not stem.startswith("train/")]
    return {
        "lines": sorted(lines, key=lambda line: (line["order"], line["name"])),
        "raw_files": len(raw),
        "seconds": math.fsum(line["seconds"] for line in lines),
        "billed_bytes": sum(line["billed_bytes"] for line in lines),
        "revisions": sorted({one["revision"][:12] for one in receipts.values() if one.get("revision")}),
    }


def _line(stem: str, found: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    name, version, order, what = stem, "", 2, "step"
    if stem.startswith("ingest/"):
        (name, _, version), order, what = stem.removeprefix("ingest/").partition("-"), 3, "raw logs, as typed rows"
    elif "/" not in stem:
        (name, _, version), what = stem.rpartition("_"), "table"
        order = 1 if "T" in found[0][0] else 0
    first, last = found[0][0], found[-1][0]
    return {
        "order": order,
        "name": name,
        "version": version,
        "what": what,
        "partitions": len(found),
        "span": first if first == last else f"{first} … {last}",
        "rows": sum(one.get("rows", 0) for _, one in found),
        "rejected": sum(sum((one.get("rejected") or {}).values()) for _, one in found),
        "seconds": math.fsum(one.get("seconds", 0.0) for _, one in found),
        "billed_bytes": sum((one.get("details") or {}).get("billed_bytes") or 0 for _, one in found),
    }


def _inputs(found: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    return [given for _, one in found for given in one.get("inputs") or []]


def _rise(nats: float, loss: float | None) -> str:
    return f"{100 * nats / loss:+.2f} %" if loss else f"{nats:+.2g}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _share(value: float, most: float) -> float:
    return max(0.0, min(100.0, 100 * value / most)) if most > 0 else 0.0


def _place(value: float, low: float, high: float) -> float:
    return max(0.0, min(100.0, 100 * (value - low) / (high - low)))
