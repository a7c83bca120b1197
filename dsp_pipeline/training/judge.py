"""What is found out about a fitted model, on a day that it has not seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost
from numpy.typing import NDArray

from dsp_pipeline.errors import TrainingError
from dsp_pipeline.meter import release_memory
from dsp_pipeline.training.baseline import Baseline
from dsp_pipeline.training.boost import gain, margins
from dsp_pipeline.training.calibrate import NONE, Calibration
from dsp_pipeline.training.drift import Drift
from dsp_pipeline.training.encode import Encoder
from dsp_pipeline.training.explain import explain
from dsp_pipeline.training.holdout import Holdout, Scored, SeenRows
from dsp_pipeline.training.judged import judged
from dsp_pipeline.training.leaks import LeakCheck
from dsp_pipeline.training.metrics import measure
from dsp_pipeline.training.model import Model
from dsp_pipeline.training.slices import find_slices


@dataclass(frozen=True)
class Judged:
    """Of how many `rows`, what a bundle's metrics.json says of them, and golden ones: label, features, score."""

    rows: int
    report: dict[str, Any]
    golden: pa.Table


class Judge:
    """Knows the model, the baseline, and in `drift` how the features of the training rows were spread."""

    def __init__(
        self,
        model: Model,
        key: tuple[str, ...],
        encoder: Encoder,
        booster: xgboost.Booster,
        calibration: Calibration,
        baseline: Baseline,
        drift: Drift,
        seed: int,
    ) -> None:
        self._model, self._key, self._encoder = model, key, encoder
        self._booster, self._calibration, self._baseline = booster, calibration, baseline
        self._drift, self._seed = drift, seed

    def judged(self, batches: Iterable[pa.RecordBatch], path: Path) -> Judged:
        """Score the rows into the file at `path`, and look at the scores. TrainingError if there are none."""
        leaks = LeakCheck(self._model.features)
        with Holdout(self._model, self._key, self._encoder, self._scored, path, self._seed) as day:
            for batch in batches:
                rows, units = day.add(batch)
                self._drift.holdout(rows.matrix)
                leaks.add(rows.matrix, rows.labels, units)
        if not day.rows:
            raise TrainingError(
                f"{self._model.table} has no held-out rows; look whether the held-out day was built from empty logs."
            )
        release_memory()  # what scoring freed is not beside what measuring needs
        shares = gain(self._booster, [feature.name for feature in self._model.features])
        report = {
            **self._measured(path),
            "gain": shares,
            "drift": self._drift.as_dict(self._encoder.words),
            "leaks": [leak.as_dict() for leak in leaks.leaks(shares)],
            **self._explained(day.sample()),
        }
        return Judged(day.rows, report, day.golden.table())

    def _measured(self, path: Path) -> dict[str, Any]:
        """What the scores of all rows say."""
        rows = pq.read_table(path, columns=["label", "score", "margin", "baseline", "weight"])
        labels, scores, margin, simple, weights = (column.to_numpy() for column in rows.columns)
        plain = Calibration(NONE, self._calibration.offset).apply(margin.astype(np.float64))
        columns = pq.read_table(path, columns=[*self._model.slices, "unit"])
        by = {name: columns[name] for name in self._model.slices}
        return {
            "holdout": measure(labels, scores, weights).as_dict(),
            "uncalibrated": measure(labels, plain, weights).as_dict(),
            "baseline": measure(labels, simple.astype(np.float64), weights).as_dict(),
            **judged(labels, scores, weights),
            "slices": [one.as_dict() for one in find_slices(by, labels, scores, weights, columns["unit"])],
        }

    def _explained(self, rows: SeenRows) -> dict[str, Any]:
        return explain(
            self._booster,
            rows.matrix,
            rows.labels,
            rows.weights,
            calibrate=self._calibration.apply,
            seed=self._seed,
            words=self._encoder.words,
        )

    def _scored(self, matrix: NDArray[np.float32]) -> Scored:
        found = margins(self._booster, matrix)
        return Scored(found, self._calibration.apply(found), self._baseline.predict(matrix))
