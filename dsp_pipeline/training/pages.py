"""Training rows as float32 pages on disk: the source is read once, however often the trees are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dsp_pipeline.training.encode import encode, encode_label
from dsp_pipeline.training.model import Model

PAGE_ROWS = 131_072


@dataclass(frozen=True)
class Page:
    """Up to PAGE_ROWS rows on disk: `features` float32 of shape (rows, features), `labels` uint8 of shape (rows,)."""

    features: Path
    labels: Path

    def read(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        return np.load(self.features), np.load(self.labels)


@dataclass(frozen=True)
class Pages:
    """All rows of a stream, and how many of them are positive."""

    pages: tuple[Page, ...]
    rows: int
    positives: int


def write_pages(batches: Iterable[pa.RecordBatch], model: Model, folder: Path) -> Pages:
    """Encode a stream of batches into pages in the folder.

    Pages are cut at the same rows whatever the size of the batches, so the batches' size has no influence on the
    model. Holds one page and one batch. TrainingError as `encode` and `encode_label` raise.
    """
    pages: list[Page] = []
    rows = positives = 0
    for matrix, labels in _regrouped(batches, model):
        page = Page(folder / f"{len(pages):05}.features.npy", folder / f"{len(pages):05}.labels.npy")
        np.save(page.features, matrix)
        np.save(page.labels, labels)
        pages.append(page)
        rows, positives = rows + len(labels), positives + int(labels.sum())
    return Pages(tuple(pages), rows, positives)


def _regrouped(
    batches: Iterable[pa.RecordBatch], model: Model
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """The encoded rows in groups of PAGE_ROWS; a group is valid until the next one is asked for."""
    matrix = np.empty((PAGE_ROWS, len(model.features)), dtype=np.float32)
    labels = np.empty(PAGE_ROWS, dtype=np.uint8)
    filled = 0
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, PAGE_ROWS - filled)
            end = filled + part.num_rows
            matrix[filled:end] = encode(part, model.features)
            labels[filled:end] = encode_label(part, model.label)
            start, filled = start + part.num_rows, end
            if filled == PAGE_ROWS:
                yield matrix, labels
                filled = 0
    if filled:
        yield matrix[:filled], labels[:filled]
