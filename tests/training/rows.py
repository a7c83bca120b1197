"""Rows whose true click probabilities are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dsp_pipeline.training.fit import Fitted, Rows, fit
from dsp_pipeline.training.metrics import Metrics
from dsp_pipeline.training.model import Model, category, number

MODEL = Model(
    table="click_rate",
    label="clicked",
    features=(number("rate"), number("noise"), category("exchange_code")),
    parameters={"max_depth": 3, "eta": 0.3, "min_child_weight": 5},
    rounds=20,
    name="click_rate",
)


def make_rows(rows: int, seed: int = 0, **columns: Any) -> pa.RecordBatch:
    """Clicks at exp(rate) times an effect of the exchange; `rate` is missing in every tenth row. 5 % on average."""
    random = np.random.default_rng(seed)
    rate, exchange = random.normal(-3.4, 0.8, rows), random.integers(0, 4, rows)
    truth = np.clip(np.exp(rate) * np.array([0.3, 1.0, 2.0, 0.6])[exchange], 0, 0.9)
    made: dict[str, Any] = {
        "impression_id": pa.array([f"{seed}-{number}" for number in range(rows)]),
        "clicked": pa.array(random.random(rows) < truth),
        "rate": pa.array(rate, mask=np.arange(rows) % 10 == 0),
        "noise": pa.array(random.random(rows)),
        "exchange_code": pa.array(exchange),
        "truth": pa.array(truth),
    }
    return pa.record_batch({**made, **columns})


def batches(rows: pa.RecordBatch, size: int = 1000) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)


def fit_rows(
    scratch: Path,
    train: pa.RecordBatch,
    holdout: pa.RecordBatch,
    validation: pa.RecordBatch | None = None,
    **changes: Any,
) -> Fitted:
    """Fit MODEL, with these of its fields changed; `size` is that of the batches, the others are options of `fit`."""
    size = changes.pop("size", 1000)
    given = {"threads": 2, "seed": 1, "scratch": scratch}
    given |= {name: changes.pop(name) for name in ("progress", "grow", "threads") if name in changes}
    return fit(
        replace(changes.pop("model", MODEL), **changes),
        Rows(
            lambda: batches(train, size),
            None if validation is None else lambda: batches(validation, size),
            lambda: batches(holdout, size),
            ("impression_id",),
        ),
        **given,
    )


def metrics(fitted: Fitted, of: str = "holdout") -> Metrics:
    return Metrics(**fitted.report[of])
