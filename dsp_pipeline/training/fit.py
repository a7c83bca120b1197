"""Fit a model to a stream of training rows and judge it on a stream of held-out rows.

Memory stays nearly flat: rows are quantised on disk (XGBoost's ExtMemQuantileDMatrix), what grows with them are
labels, gradients and predictions. Measured with 25 features and 60 trees of depth 6, when training rows grew 8 times,
from 300 thousand to 2.4 million, the peak of the process grew 1.3 times, imports and judging included. With all
quantised rows in memory (QuantileDMatrix) it grew 2.4 times, to 1.7 times as much, and was no faster.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dsp_pipeline.errors import TrainingError
from dsp_pipeline.training.encode import encode, encode_label
from dsp_pipeline.training.golden import GoldenRows
from dsp_pipeline.training.metrics import Metrics, measure
from dsp_pipeline.training.model import Model
from dsp_pipeline.training.pages import Pages, write_pages
from dsp_pipeline.training.parameters import Value

if TYPE_CHECKING:
    from xgboost import Booster

Batches = Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class CurvePoint:
    """Log loss, in nats, of the first `rounds` trees on the training and the held-out rows."""

    rounds: int
    train_log_loss: float
    log_loss: float


@dataclass(frozen=True)
class Fitted:
    """A booster and what is known of it.

    `metrics` are of the held-out rows. `gain` is each feature's share (they sum to 1) of what all splits took off the
    training loss; 0 if no tree uses it. `golden` holds some held-out rows: label, features, score.
    """

    booster: Booster
    rows: int
    positives: int
    metrics: Metrics
    curve: tuple[CurvePoint, ...]
    gain: Mapping[str, float]
    golden: pa.Table

    def model_bytes(self) -> bytes:
        """The model in XGBoost's own UBJSON: equal bytes for equal rows in equal order, seed and threads."""
        return bytes(self.booster.save_raw("ubj"))

    def report(self) -> dict[str, Any]:
        """Everything but booster and rows, as plain values for a bundle's metrics.json."""
        return {
            "train": {"rows": self.rows, "positives": self.positives},
            "holdout": self.metrics.as_dict(),
            "curve": [vars(point) for point in self.curve],
            "gain": dict(self.gain),
        }


def fit(
    model: Model,
    parameters: Mapping[str, Value],
    rounds: int,
    train: Batches,
    holdout: Batches,
    *,
    threads: int,
    seed: int,
    scratch: Path,
    progress: Callable[[int, int, float], None] | None = None,
) -> Fitted:
    """Grow `rounds` trees. `train` and `holdout` are called once each; files in `scratch` are removed at the end.

    The intercept is set to the share of positives among the training rows: trees then start from a calibrated
    prediction, and it does not depend on how a version of XGBoost estimates it. `progress` is told the round (from
    1), the number of rounds and the log loss on some 10 thousand of the training rows.

    TrainingError if the rows do not allow it: none of them, labels of one kind only, a column missing or of a wrong
    type.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="fit-") as folder:
        pages = write_pages(train(), model, Path(folder))
        _check(pages, model)
        from dsp_pipeline.training.boost import grow
        from dsp_pipeline.training.curve import Curve

        booster = grow(
            pages,
            model.features,
            parameters,
            rounds,
            threads=threads,
            seed=seed,
            scratch=Path(folder),
            progress=progress,
        )
        on_train = Curve(booster, rounds)
        for page in pages.pages:
            on_train.add(*page.read())
    judge = _Judge(model, booster, rounds, seed)
    for batch in holdout():
        judge.add(batch)
    metrics = judge.metrics()
    return Fitted(
        booster=booster,
        rows=pages.rows,
        positives=pages.positives,
        metrics=metrics,
        curve=tuple(map(CurvePoint, on_train.rounds, on_train.losses(), judge.curve.losses())),
        gain=_gain(booster, model),
        golden=judge.golden.table(),
    )


def _check(pages: Pages, model: Model) -> None:
    if not pages.rows:
        raise TrainingError(f"{model.table} has no training rows; look whether its days were built from empty logs.")
    if pages.positives in (0, pages.rows):
        missing = "1" if not pages.positives else "0"
        raise TrainingError(
            f"none of the {pages.rows} training rows has {model.label} = {missing}; train on more days, or look at "
            f"how the label is made."
        )


class _Judge:
    """Scores held-out batches one by one; keeps a label and a score a row, and sums for the curve."""

    def __init__(self, model: Model, booster: Booster, rounds: int, seed: int) -> None:
        from dsp_pipeline.training.curve import Curve

        self._model, self._booster = model, booster
        self._labels: list[NDArray[np.uint8]] = []
        self._scores: list[NDArray[np.float32]] = []
        self.curve, self.golden = Curve(booster, rounds), GoldenRows(model.columns, seed)

    def add(self, batch: pa.RecordBatch) -> None:
        from dsp_pipeline.training.boost import score

        if not batch.num_rows:
            return
        matrix, labels = encode(batch, self._model.features), encode_label(batch, self._model.label)
        scores = score(self._booster, matrix)
        self._labels.append(labels)
        self._scores.append(scores)
        self.golden.add(batch, labels, scores)
        self.curve.add(matrix, labels)

    def metrics(self) -> Metrics:
        if not self._labels:
            raise TrainingError(
                f"{self._model.table} has no held-out rows; look whether the held-out day was built from empty logs."
            )
        return measure(np.concatenate(self._labels), np.concatenate(self._scores))


def _gain(booster: Booster, model: Model) -> dict[str, float]:
    found = booster.get_score(importance_type="total_gain")
    gains = {feature.name: float(found.get(feature.name, 0.0)) for feature in model.features}  # type: ignore[arg-type]
    total = math.fsum(gains.values())
    return {name: gain / total if total else 0.0 for name, gain in gains.items()}
