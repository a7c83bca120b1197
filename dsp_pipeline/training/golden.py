"""A few held-out rows with their scores, kept beside a model to show wherever it is loaded that it still scores so."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

POSITIVES, NEGATIVES = 50, 150


class GoldenRows:
    """Up to 50 positive and 150 negative rows of a stream: those that drew the smallest number.

    The draws are seeded and one a row, so the same rows in the same order give the same choice, whatever the size
    of the batches.
    """

    def __init__(self, columns: tuple[str, ...], seed: int) -> None:
        self._columns, self._random = list(columns), np.random.default_rng(seed)
        self._kept: dict[bool, pa.Table | None] = {True: None, False: None}

    def add(self, batch: pa.RecordBatch, labels: NDArray[np.uint8], scores: NDArray[np.float64]) -> None:
        draws = self._random.random(batch.num_rows)
        for positive, most in ((True, POSITIVES), (False, NEGATIVES)):
            places = np.flatnonzero(labels == positive)
            places = places[np.argsort(draws[places], kind="stable")[:most]]
            found = pa.Table.from_batches([batch.select(self._columns).replace_schema_metadata(None)]).take(places)
            found = found.append_column("score", pa.array(scores[places]))
            found = found.append_column("draw", pa.array(draws[places]))
            kept = self._kept[positive]
            together = found if kept is None else pa.concat_tables([kept, found])
            self._kept[positive] = together.sort_by("draw").slice(0, most)

    def table(self) -> pa.Table:
        """The kept rows, positives first, with the columns asked for and `score`."""
        kept = [table for table in self._kept.values() if table is not None]
        return pa.concat_tables(kept).drop_columns("draw").combine_chunks()
