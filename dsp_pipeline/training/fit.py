"""Fit a model to a stream of training rows, calibrate it on a later day, and judge it on a day later than both.

Memory stays nearly flat: rows are quantised on disk (XGBoost's ExtMemQuantileDMatrix), what grows with them are
labels, gradients and predictions.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dsp_pipeline.errors import TrainingError
from dsp_pipeline.meter import release_memory
from dsp_pipeline.training.encode import Encoder
from dsp_pipeline.training.model import NONE, PLATT, Model
from dsp_pipeline.training.pages import Pages, write_pages

if TYPE_CHECKING:
    from xgboost import Booster

    from dsp_pipeline.training.boost import Grown, Soil
    from dsp_pipeline.training.calibrate import Calibration

Batches = Callable[[], Iterator[pa.RecordBatch]]
Margins = Callable[[NDArray[np.float32]], NDArray[np.float64]]
Progress = Callable[[int, int, float], None]
Grow = Callable[["Soil", Path, Progress | None], "Grown"]


@dataclass(frozen=True)
class Rows:
    """Where a model's rows come from; each is called once.

    `train` gives the model's columns, sampled by its `negative_share`; `validation`, of a later day, gives them all, or
    is None where there is no such day; `holdout`, of a day later than that, gives the key and `judged_by` too.
    """

    train: Batches
    validation: Batches | None
    holdout: Batches
    key: tuple[str, ...]


@dataclass(frozen=True)
class Fitted:
    """A booster and what is known of it.

    `report` is what a bundle's metrics.json says, but for what only the caller knows (days, names). `golden` holds some
    held-out rows: label, features, score. `scores` is the file of all of them (training/holdout.py).
    """

    booster: Booster
    encoder: Encoder
    calibration: Calibration
    rows: int
    report: dict[str, Any]
    golden: pa.Table
    scores: Path

    def model_bytes(self) -> bytes:
        """The model in XGBoost's own UBJSON: equal bytes for equal rows in equal order, seed and threads."""
        from dsp_pipeline.training.boost import model_bytes

        return model_bytes(self.booster)


def fit(
    model: Model,
    rows: Rows,
    *,
    threads: int,
    seed: int,
    scratch: Path,
    grow: Grow | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Grow trees, stop them and calibrate them on the validation day, and judge them on the held-out day.

    `grow` is boost.grow if left out. `progress` is told the round (from 1), the most rounds there can be and the newest
    log loss. Files in `scratch` are removed at the end, but for the scores.

    TrainingError if the rows do not allow it: none of them, labels of one kind only, a column missing or of a wrong
    type.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    encoder, offset = Encoder(model.features), math.log(model.negative_share)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="fit-") as name:
        folder = Path(name)
        train = write_pages(rows.train(), model, encoder.learn, folder / "train-pages")
        _check(train, model)
        validation = None
        if rows.validation is not None:
            validation = write_pages(rows.validation(), model, encoder.encode, folder / "validation-pages")
            validation = validation if validation.rows else None
        from dsp_pipeline.training import boost
        from dsp_pipeline.training.baseline import Baseline
        from dsp_pipeline.training.calibrate import Calibration
        from dsp_pipeline.training.drift import Drift
        from dsp_pipeline.training.judge import Judge

        soil = boost.Soil(model, encoder, train, validation, offset, threads, seed)
        release_memory()  # reading, growing and judging each keep what they freed: the peak would be of their sum
        grown = (grow or boost.grow)(soil, folder, progress)
        release_memory()
        baseline = Baseline(model.features, seed=seed, offset=offset)
        drift = Drift(model.features)
        for page in train.pages:
            matrix, labels, weights = page.read()
            baseline.add(matrix, labels, weights)
            drift.train(matrix, np.where(labels == 1, 1, 1 / model.negative_share).astype(np.float32))
        score = partial(boost.margins, grown.booster)
        calibration = Calibration(NONE, offset)
        if validation is not None:
            calibration = _calibrated(score, model.calibration, validation, offset)
            baseline.calibration = _calibrated(baseline.margins, PLATT, validation, offset)
        scores = scratch / "scores.parquet"
        judge = Judge(model, rows.key, encoder, grown.booster, calibration, baseline, drift, seed)
        release_memory()
        judged = judge.judged(rows.holdout(), scores)
    report = {
        "data": {
            "train": {"rows": train.rows, "positives": train.positives, "negative_share": model.negative_share},
            "validation": {"rows": validation.rows, "positives": validation.positives} if validation else None,
            "holdout": {"rows": judged.rows, "positives": judged.report["holdout"]["positives"]},
        },
        "trees": boost.trees(grown.booster),
        "rounds": model.rounds,
        "parameters": dict(model.parameters),
        "calibration": calibration.as_dict(),
        "curve": [vars(point) for point in grown.curve],
        **judged.report,
    }
    return Fitted(grown.booster, encoder, calibration, train.rows, report, judged.golden, scores)


def _check(pages: Pages, model: Model) -> None:
    if not pages.rows:
        raise TrainingError(f"{model.table} has no training rows; look whether its days were built from empty logs.")
    if pages.positives in (0, pages.rows):
        missing = "1" if not pages.positives else "0"
        raise TrainingError(
            f"none of the {pages.rows} training rows has {model.label} = {missing}; train on more days, or look at "
            f"how the label is made."
        )


def _calibrated(score: Margins, kind: str, validation: Pages, offset: float) -> Calibration:
    """Fitted on the validation day, of which nothing that is calibrated has learned."""
    from dsp_pipeline.training.calibrate import calibrate

    found, labels, weights = [], [], []
    for page in validation.pages:
        matrix, label, weight = page.read()
        found.append(score(matrix))
        labels.append(label)
        weights.append(weight)
    return calibrate(kind, np.concatenate(found), np.concatenate(labels), np.concatenate(weights), offset=offset)
