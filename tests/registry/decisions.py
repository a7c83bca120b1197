"""Evidence as training gives it, by hand, and decisions made of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from dsp_pipeline.registry.decisions import Decision
from dsp_pipeline.registry.gate import Bounds, decide
from dsp_pipeline.registry.manifest import Identity

CHAMPION = Identity("click_rate", "baseline", "control", "abc123", date(2026, 11, 22))
NEWER = replace(CHAMPION, date=date(2026, 11, 23))
DEEPER = replace(NEWER, arm="deeper", version="def456")
NOW = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)

Ends = tuple[float | None, float, float | None]


def make_evidence(
    *,
    ratio: Ends = (1.0, 0.97, 1.03),
    baseline: tuple[float, float, float] = (-0.001, -0.0015, -0.0005),
    base_rate: tuple[float, float, float] = (-0.004, -0.005, -0.003),
    against_champion: tuple[float, float, float] | None = (-0.0005, -0.0008, -0.0002),
    slices: list[dict[str, Any]] | None = None,
    positives: int = 3000,
) -> dict[str, Any]:
    """A model with a log loss of 0.05 against rivals, each with its difference and the ends of the interval."""
    rivals = {"baseline": baseline, "base_rate": base_rate, "champion": against_champion}
    return {
        "days": 2,
        "rows": 300_000,
        "positives": positives,
        "predicted_to_observed": dict(zip(("value", "low", "high"), ratio, strict=True)),
        "against": {name: ends and _comparison(ends, positives) for name, ends in rivals.items()},
        "slices": [make_slice()] if slices is None else slices,
    }


def _comparison(ends: tuple[float, float, float], positives: int) -> dict[str, Any]:
    return {
        "rows": 300_000,
        "positives": positives,
        "only_model": 0,
        "only_rival": 0,
        "model": {"log_loss": 0.05, "auc": 0.71},
        "rival": {"log_loss": 0.05 - ends[0], "auc": None},
        "log_loss": dict(zip(("value", "low", "high"), ends, strict=True)),
        "normalised_entropy": None,
        "probability_better": 0.98,
    }


def make_slice(value: str = "7", *, ratio: Ends = (1.0, 0.9, 1.1), **changes: Any) -> dict[str, Any]:
    made = {
        "column": "advertiser_id",
        "value": value,
        "rows": 60_000,
        "positives": 600,
        "predicted": 0.01,
        "observed": 0.01,
        **dict(zip(("predicted_to_observed", "low", "high"), ratio, strict=True)),
    }
    return {**made, **changes}


def make_decision(
    candidate: Identity = DEEPER, champion: Identity | None = CHAMPION, bounds: Bounds | None = None, **changes: Any
) -> Decision:
    at, environment = changes.pop("at", NOW), changes.pop("environment", "production")
    evidence = make_evidence(**changes)
    return decide(candidate, champion, evidence, bounds or Bounds(), environment=environment, at=at)
