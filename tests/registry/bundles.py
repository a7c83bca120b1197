"""A small real bundle, and variations of it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost

from dsp_pipeline.registry.bundle import write_bundle
from dsp_pipeline.registry.manifest import CARD, GOLDEN, METRICS, MODEL, Identity, Manifest
from dsp_pipeline.registry.manifest import FEATURES as FEATURES_FILE
from dsp_pipeline.registry.pointer import Pointer, pointer_to
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.storage.base import ObjectStore

IDENTITY = Identity("click_rate", "baseline", "control", "abc123", date(2026, 11, 22))
NOW = datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC)
FEATURES: dict[str, Any] = {
    "label": "clicked",
    "table": "click_rate",
    "table_version": "v1",
    "features": [
        {"name": "rate", "type": "number", "missing": "null", "range": [0, 1]},
        {"name": "exchange_code", "type": "category", "missing": "null", "codes": 3},
    ],
    "calibration": {"kind": "none", "offset": 0.0},
}


@cache
def trained() -> tuple[bytes, pa.Table]:
    """A model of 200 rows and 20 golden rows, some with missing values."""
    random = np.random.default_rng(0)
    matrix = np.stack([random.random(200), random.integers(0, 3, 200)], axis=1).astype(np.float32)
    matrix[::7, 0] = np.nan
    rows = xgboost.DMatrix(
        matrix,
        label=random.random(200) < 0.3,
        feature_names=["rate", "exchange_code"],
        feature_types=["float", "c"],
        enable_categorical=True,
    )
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1, "seed": 0}, rows, 5)
    some = matrix[:20]
    golden = pa.table(
        {
            "rate": pa.array(some[:, 0], mask=np.isnan(some[:, 0])),
            "exchange_code": pa.array(some[:, 1].astype(np.int64)),
            "score": pa.array(booster.inplace_predict(some).astype(np.float64)),
        }
    )
    return bytes(booster.save_raw("ubj")), golden


def make_bundle(folder: Path, identity: Identity = IDENTITY, **changes: Any) -> Manifest:
    """Write the bundle, with other contents of `model`, `features`, `metrics` or `golden`, or other options."""
    model, golden = trained()
    contents: dict[str, Any] = {
        "model": model,
        "features": FEATURES,
        "metrics": {"holdout": {"auc": None, "log_loss": 0.5}},
        "golden": golden,
    }
    contents |= {name: changes.pop(name) for name in contents if name in changes}
    rows = io.BytesIO()
    pq.write_table(contents["golden"], rows)
    files = {
        MODEL: contents["model"],
        FEATURES_FILE: json.dumps(contents["features"]).encode(),
        METRICS: json.dumps(contents["metrics"]).encode(),
        GOLDEN: rows.getvalue(),
        CARD: b"<!doctype html><title>a card</title>",
    }
    options: dict[str, Any] = {"lineage": {"train/x": {"rows": 200}}, **changes}
    return write_bundle(folder, identity, lambda name: io.BytesIO(files[name]), **options)


def published(store: ObjectStore, folder: Path, attempt: str = "1", **changes: Any) -> str:
    """The address of a bundle that was made and published."""
    identity = replace(IDENTITY, **changes)
    address = identity.address(attempt)
    make_bundle(folder / address, identity)
    BundleRegistry(store).publish(folder / address, address)
    return address


def candidate(store: ObjectStore, address: str, current: Pointer | None = None) -> Pointer:
    return pointer_to(store, address, pointed_at=NOW, current=current)
