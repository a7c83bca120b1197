"""How good a model is for each advertiser, exchange, placement, hour: quality by the values of some columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dsp_pipeline.training.intervals import ratio_interval
from dsp_pipeline.training.metrics import base_rate_log_loss

MAX_VALUES = 40
NONE, OTHERS = "(none)", "(others)"
Column: TypeAlias = pa.Array | pa.ChunkedArray


@dataclass(frozen=True)
class Slice:
    """The rows with one value of a column. `predicted` and `observed` are their mean score and share of positives.

    `predicted_to_observed` lies between `low` and `high` in 95 of 100 such days. It and `high` are None without a
    positive, `normalised_entropy` and `auc` where rows are of one kind. All but the two counts are weighted.
    """

    column: str
    value: str
    rows: int
    positives: int
    predicted: float
    observed: float
    predicted_to_observed: float | None
    low: float
    high: float | None
    log_loss: float
    normalised_entropy: float | None
    auc: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_slices(
    columns: Mapping[str, Column],
    labels: NDArray[np.uint8],
    scores: NDArray[np.float64],
    weights: NDArray[np.floating] | None = None,
    units: Column | None = None,
) -> list[Slice]:
    """The slices of each column in turn, those of most rows first.

    A column's 40 values of most rows are slices of their own, all others together are "(others)"; null is "(none)".
    `units` are the users whose rows were drawn together; each row is its own where it is left out or null. The
    variance of a ratio is the delta method's over the sums of units (Deng, Lu and Litz, "Trustworthy Analysis of
    Online A/B Tests: Pitfalls, challenges and solutions", WSDM 2017), its interval that of `ratio_interval`.
    """
    if not len(labels):
        return []
    rows = _Rows(labels, scores, weights, units)
    return [one for name, column in columns.items() for one in rows.slices(name, column)]


class _Rows:
    """Rows in the order of their scores and in that of their units: a slice column then needs a sort by few codes."""

    def __init__(
        self,
        labels: NDArray[np.uint8],
        scores: NDArray[np.float64],
        weights: NDArray[np.floating] | None,
        units: Column | None,
    ) -> None:
        scores = np.asarray(scores, dtype=np.float64)
        self._labels = labels
        self._weights = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
        self._positive, self._predicted = self._weights * labels, self._weights * scores
        tiny = np.finfo(np.float64).eps
        clipped = np.clip(scores, tiny, 1 - tiny)
        self._loss = -self._weights * np.log(np.where(labels == 1, clipped, 1 - clipped))
        self._ranked = _Ordered(scores, self._positive, self._weights - self._positive)
        self._grouped = _Ordered(unit_codes(units, len(labels)), self._positive, self._predicted)

    def slices(self, name: str, column: Column) -> list[Slice]:
        codes, values = _coded(column)
        number = len(values)

        def summed(what: NDArray[Any] | None) -> NDArray[np.float64]:
            return np.bincount(codes, what, number).astype(np.float64)

        weight, observed, predicted = summed(self._weights), summed(self._positive), summed(self._predicted)
        variance = self._variance(codes, np.divide(observed, predicted, out=np.zeros(number), where=predicted > 0))
        low, high = ratio_interval(predicted, observed, variance, summed(self._weights**2) / weight)
        loss, auc = summed(self._loss) / weight, self._auc(codes, number)
        rows, positives = summed(None), summed(self._labels)
        made = []
        for place, value in enumerate(values):
            base = base_rate_log_loss(weight[place], observed[place])
            made.append(
                Slice(
                    column=name,
                    value=value,
                    rows=int(rows[place]),
                    positives=int(positives[place]),
                    predicted=float(predicted[place] / weight[place]),
                    observed=float(observed[place] / weight[place]),
                    predicted_to_observed=float(predicted[place] / observed[place]) if positives[place] else None,
                    low=float(low[place]),
                    high=float(high[place]) if np.isfinite(high[place]) else None,
                    log_loss=float(loss[place]),
                    normalised_entropy=float(loss[place] / base) if base else None,
                    auc=float(auc[place]) if np.isfinite(auc[place]) else None,
                )
            )
        return made

    def _variance(self, codes: NDArray[np.uint8], ratio: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the observed sum of each slice: the squares of what units have above what is predicted of them."""
        sliced, observed, predicted = self._grouped.sums(codes)
        return np.asarray(np.bincount(sliced, (observed - ratio[sliced] * predicted) ** 2, len(ratio)))

    def _auc(self, codes: NDArray[np.uint8], number: int) -> NDArray[np.float64]:
        """NaN where a slice has positives or negatives only."""
        sliced, positive, negative = self._ranked.sums(codes)
        positives, negatives = np.bincount(sliced, positive, number), np.bincount(sliced, negative, number)
        before = np.cumsum(negative) - negative - (np.cumsum(negatives) - negatives)[sliced]
        won = np.bincount(sliced, positive * (before + negative / 2), number)
        pairs = positives * negatives
        return np.asarray(np.divide(won, pairs, out=np.full(number, np.nan), where=pairs > 0))


class _Ordered:
    """Two columns of rows in the order of a third, to be summed by its values within slices."""

    def __init__(self, by: NDArray[Any], first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
        self._order = np.argsort(by, kind="stable")
        self._by, self._first, self._second = by[self._order], first[self._order], second[self._order]

    def sums(self, codes: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
        """For each slice and value that rows have, in this order: the slice's code and the two sums."""
        mine = codes[self._order]
        order = np.argsort(mine, kind="stable")  # of bytes: linear in the rows
        sliced, by = mine[order], self._by[order]
        starts = np.flatnonzero(np.concatenate([[True], (sliced[1:] != sliced[:-1]) | (by[1:] != by[:-1])]))
        return (
            sliced[starts],
            np.add.reduceat(self._first[order], starts),
            np.add.reduceat(self._second[order], starts),
        )


def unit_codes(units: Column | None, rows: int) -> NDArray[np.int64]:
    """A number for each unit, shape (rows,); each row where `units` is None or null has one of its own."""
    own = np.arange(rows, dtype=np.int64)
    if units is None:
        return own
    encoded = _plain(units).dictionary_encode()
    codes = np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
    return np.where(codes < 0, len(encoded.dictionary) + own, codes)


def _coded(column: Column) -> tuple[NDArray[np.uint8], list[str]]:
    """A code for each row, and the text of each code; by number of rows, "(others)" last."""
    encoded = _plain(column).dictionary_encode()
    nowhere = len(encoded.dictionary)
    places = np.asarray(encoded.indices.fill_null(nowhere).to_numpy(zero_copy_only=False), dtype=np.int64)
    texts = [*(str(text) for text in encoded.dictionary.cast(pa.string()).to_pylist()), NONE]
    counts = np.bincount(places, minlength=len(texts)).tolist()
    ranked = sorted((place for place in range(len(texts)) if counts[place]), key=lambda at: (-counts[at], texts[at]))
    kept = ranked if len(ranked) <= MAX_VALUES + 1 else ranked[:MAX_VALUES]
    code_of = np.full(len(texts), len(kept), dtype=np.uint8)
    code_of[kept] = np.arange(len(kept))
    values = [texts[place] for place in kept]
    return np.asarray(code_of[places]), values if len(kept) == len(ranked) else [*values, OTHERS]


def _plain(column: Column) -> pa.Array:
    """One array that is not dictionary-encoded."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole
