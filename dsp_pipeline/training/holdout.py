"""The held-out day: every row is scored as it streams by, and what judging needs of it is kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dsp_pipeline.training.encode import Encoder, encode_label, encode_weight
from dsp_pipeline.training.golden import GoldenRows
from dsp_pipeline.training.model import Model

SAMPLE_ROWS = 20_000  # that explanations are made from


@dataclass(frozen=True)
class Scored:
    """What a model says of some rows, all of shape (rows,): log odds, probability, and the baseline's probability."""

    margins: NDArray[np.float64]
    scores: NDArray[np.float64]
    baseline: NDArray[np.float64]


@dataclass(frozen=True)
class SeenRows:
    """Some rows as trees see them: `matrix` float32 of shape (rows, features), the others of shape (rows,)."""

    matrix: NDArray[np.float32]
    labels: NDArray[np.uint8]
    weights: NDArray[np.float32]


class Holdout:
    """Scores batches one by one into a Parquet file; holds a batch, the golden rows and a sample.

    The file has a row for each row: the key, `label`, `score`, `margin`, `baseline`, `weight`, `unit` (a text; the key
    where the unit is null or the model names none) and the slice columns. Equal rows in equal order give equal bytes,
    whatever the size of the batches.
    """

    def __init__(
        self,
        model: Model,
        key: tuple[str, ...],
        encoder: Encoder,
        score: Callable[[NDArray[np.float32]], Scored],
        path: Path,
        seed: int,
    ) -> None:
        self.path, self.rows = path, 0
        self.golden = GoldenRows((model.label, *(feature.name for feature in model.features)), seed)
        self._model, self._key, self._encoder, self._score = model, key, encoder, score
        self._sample = _Sample(seed)
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Holdout:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, batch: pa.RecordBatch) -> tuple[SeenRows, pa.Array]:
        """The encoded rows, and the unit of each. TrainingError as encoding raises."""
        model = self._model
        rows = SeenRows(
            self._encoder.encode(batch), encode_label(batch, model.label), encode_weight(batch, model.weight)
        )
        units = self._units(batch)
        if len(rows.labels):
            scored = self._score(rows.matrix)
            self._write(batch, rows, units, scored)
            self.golden.add(batch, rows.labels, scored.scores)
            self._sample.add(rows)
            self.rows += len(rows.labels)
        return rows, units

    def sample(self) -> SeenRows:
        """Up to SAMPLE_ROWS rows, the same ones for the same rows in the same order."""
        return self._sample.rows()

    def _units(self, batch: pa.RecordBatch) -> pa.Array:
        key = [batch.column(name).cast(pa.string()) for name in self._key]
        whose = pc.binary_join_element_wise(*key, "|")
        if self._model.unit is None:
            return whose
        return pc.coalesce(batch.column(self._model.unit).cast(pa.string()), whose)

    def _write(self, batch: pa.RecordBatch, rows: SeenRows, units: pa.Array, scored: Scored) -> None:
        columns = {
            **{name: batch.column(name) for name in self._key},
            "label": pa.array(rows.labels),
            "score": pa.array(scored.scores),
            "margin": pa.array(scored.margins.astype(np.float32)),
            "baseline": pa.array(scored.baseline.astype(np.float32)),
            "weight": pa.array(rows.weights),
            "unit": units,
        }
        for name in self._model.slices:
            columns.setdefault(name, batch.column(name))
        table = pa.table(columns)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path, table.schema, compression="zstd")
        self._writer.write_table(table)


class _Sample:
    """The rows that drew the smallest numbers: seeded, one draw a row, whatever the size of the batches."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng([seed, SAMPLE_ROWS])
        self._draws: NDArray[np.float64] = np.empty(0)
        self._kept: SeenRows | None = None

    def add(self, rows: SeenRows) -> None:
        draws = self._random.random(len(rows.labels))
        if self._kept is not None:
            draws = np.concatenate([self._draws, draws])
            rows = SeenRows(
                *(np.concatenate(pair) for pair in zip(_parts(self._kept), _parts(rows), strict=True))  # type: ignore[arg-type]
            )
        places = np.sort(np.argsort(draws, kind="stable")[:SAMPLE_ROWS])
        self._draws = draws[places]
        self._kept = SeenRows(rows.matrix[places], rows.labels[places], rows.weights[places])

    def rows(self) -> SeenRows:
        assert self._kept is not None
        return self._kept


def _parts(rows: SeenRows) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
    return rows.matrix, rows.labels, rows.weights
