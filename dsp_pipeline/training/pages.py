"""Rows as float32 pages on disk: the source is read once, however often the trees are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dsp_pipeline.training.encode import encode_label, encode_weight
from dsp_pipeline.training.model import Model

PAGE_ROWS = 131_072

Encoded = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]


@dataclass(frozen=True)
class Page:
    """Up to PAGE_ROWS rows on disk."""

    path: Path

    def read(self) -> Encoded:
        """`features` float32 of shape (rows, features), `labels` uint8 and `weights` float32 of shape (rows,)."""
        with self.path.open("rb") as file:
            return np.load(file), np.load(file), np.load(file)


@dataclass(frozen=True)
class Pages:
    """All rows of a stream, how many of them are positive, and the share of the positives by weight."""

    pages: tuple[Page, ...]
    rows: int
    positives: int
    positive_share: float


def write_pages(
    batches: Iterable[pa.RecordBatch],
    model: Model,
    encode: Callable[[pa.RecordBatch], NDArray[np.float32]],
    folder: Path,
) -> Pages:
    """Encode a stream of batches into pages in the folder.

    Pages are cut at the same rows whatever the size of the batches, so the batches' size has no influence on the
    model. Holds one page and one batch. TrainingError as `encode`, `encode_label` and `encode_weight` raise.
    """
    folder.mkdir(exist_ok=True)
    pages: list[Page] = []
    rows = positives = 0
    weight = positive_weight = 0.0
    for matrix, labels, weights in _regrouped(batches, model, encode):
        page = Page(folder / f"{len(pages):05}.npy")
        with page.path.open("wb") as file:
            for part in (matrix, labels, weights):
                np.save(file, part)
        pages.append(page)
        rows, positives = rows + len(labels), positives + int(labels.sum())
        weight += float(weights.sum(dtype=np.float64))
        positive_weight += float(weights[labels == 1].sum(dtype=np.float64))
    return Pages(tuple(pages), rows, positives, positive_weight / weight if rows else 0.0)


def _regrouped(
    batches: Iterable[pa.RecordBatch], model: Model, encode: Callable[[pa.RecordBatch], NDArray[np.float32]]
) -> Iterator[Encoded]:
    """The encoded rows in groups of PAGE_ROWS; a group is valid until the next one is asked for."""
    matrix = np.empty((PAGE_ROWS, len(model.features)), dtype=np.float32)
    labels, weights = np.empty(PAGE_ROWS, dtype=np.uint8), np.empty(PAGE_ROWS, dtype=np.float32)
    filled = 0
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, PAGE_ROWS - filled)
            end = filled + part.num_rows
            matrix[filled:end] = encode(part)
            labels[filled:end] = encode_label(part, model.label)
            weights[filled:end] = encode_weight(part, model.weight)
            start, filled = start + part.num_rows, end
            if filled == PAGE_ROWS:
                yield matrix, labels, weights
                filled = 0
    if filled:
        yield matrix[:filled], labels[:filled], weights[:filled]
