"""Small trained models of each kind that a bundle may hold, with rows that are hard to score."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost
from numpy.typing import NDArray

WORDS = ("adx", "tanx", "", "öffentlich", "东京")
PLATT = {"kind": "platt", "offset": -1.2039728043259361, "slope": 1.05, "intercept": -0.02}
ISOTONIC = {
    "kind": "isotonic",
    "offset": -0.5,
    "margins": [-6.0, -3.25, -1.0, -0.9999, 0.5, 2.0],
    "probabilities": [0.0021, 0.04, 0.21, 0.24, 0.24, 0.93],
}
NONE = {"kind": "none", "offset": 0.0}

# Two numbers, one of them rounded so that rows meet thresholds exactly, a category of few codes (splits of one code),
# one of many (splits by sets), and one of words.
NAMES = ("rate", "hour", "device_code", "site_code", "exchange")
KINDS = ("float", "float", "c", "c", "c")
GROWN: dict[str, dict[str, Any]] = {
    "depthwise": {"max_depth": 6, "eta": 0.3},
    # Deep and thin: at each level the best split cuts off a little.
    "lossguide": {"grow_policy": "lossguide", "max_depth": 0, "max_leaves": 48, "min_child_weight": 0, "lambda": 0},
    "stumps": {"max_depth": 1, "max_cat_to_onehot": 1000},
    "leaves": {"max_depth": 3, "gamma": 1e9},  # nothing is worth a split
}


@dataclass(frozen=True)
class Trained:
    """A model, its contract, and rows with what XGBoost gives for them (`margins`, float32)."""

    booster: xgboost.Booster
    model: bytes
    contract: dict[str, Any]
    matrix: NDArray[np.float32]
    margins: NDArray[np.float32]


@cache
def trained(grown: str = "depthwise", rounds: int = 25) -> Trained:
    """25 trees of 3,000 rows, and 600 rows to score: known, missing, unknown and infinite values."""
    random = np.random.default_rng(5)
    matrix = _rows(random, 3000)
    known = np.nan_to_num(matrix)
    odds = known[:, 0] * 2 + np.sin(known[:, 1]) + (known[:, 2] == 1) + np.cos(known[:, 3] * 5) - (known[:, 4] == 1) - 2
    odds += 6 * (known[:, 0] > 1.9) + 3 * (known[:, 3] == 17)
    rows = xgboost.DMatrix(
        matrix,
        label=random.random(len(odds)) < 1 / (1 + np.exp(-odds)),
        feature_names=list(NAMES),
        feature_types=list(KINDS),
        enable_categorical=True,
    )
    given = {"objective": "binary:logistic", "nthread": 1, "base_score": 0.17, "max_cat_to_onehot": 4, **GROWN[grown]}
    booster = xgboost.train(given, rows, rounds)
    hard = _rows(random, 600)
    hard[::3, 3] = random.integers(0, 300, len(hard[::3]))  # mostly codes that training never saw
    hard[1::41, 3], hard[2::41, 3] = 65_535, 31
    hard[3::41, 0], hard[4::41, 0], hard[5::41, :2] = np.inf, -np.inf, -0.0
    hard[6::41], hard[7::41] = np.nan, 0
    hard[8::41, 1] = np.float32(1e-42)  # denormal
    margins = booster.inplace_predict(hard, predict_type="margin")
    return Trained(booster, bytes(booster.save_raw("ubj")), make_contract(), hard, margins)


def make_contract(calibration: dict[str, Any] = PLATT) -> dict[str, Any]:
    features = [
        {"name": "rate", "type": "number", "missing": "null", "range": [-3.0, 3.0]},
        {"name": "hour", "type": "number", "missing": "null", "range": [0.0, 23.0]},
        {"name": "device_code", "type": "category", "missing": "null", "codes": 3},
        {"name": "site_code", "type": "category", "missing": "null", "codes": 70},
        {"name": "exchange", "type": "category", "missing": "null", "words": list(WORDS)},
    ]
    made = {"label": "clicked", "table": "click_rate", "table_version": "v1", "features": features, "lookups": []}
    return {**made, "calibration": calibration}


def as_table(matrix: NDArray[np.float32]) -> pa.Table:
    """The rows as a bidder has them: nulls, whole codes, and words of which two are in no vocabulary."""
    words = [None if np.isnan(code) else WORDS[int(code)] for code in matrix[:, 4].tolist()]
    words = ["never seen" if place % 50 == 9 else word for place, word in enumerate(words)]
    columns: dict[str, pa.Array] = {
        name: pa.array(matrix[:, place], mask=np.isnan(matrix[:, place])) for place, name in enumerate(NAMES[:4])
    }
    columns |= {name: columns[name].cast(pa.int64()) for name in ("device_code", "site_code")}
    return pa.table({**columns, "exchange": pa.array(words, pa.string())})


def _rows(random: np.random.Generator, count: int) -> NDArray[np.float32]:
    matrix = np.stack(
        [
            random.normal(size=count),
            np.round(random.normal(size=count) * 4) / 4,
            random.integers(0, 3, count),
            random.integers(0, 70, count),
            random.integers(0, len(WORDS), count),
        ],
        axis=1,
    ).astype(np.float32)
    matrix[random.random(matrix.shape) < 0.08] = np.nan
    return matrix
