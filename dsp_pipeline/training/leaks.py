"""Features that know too much: what they say was not known yet at the moment of the row.

A leak makes a model look excellent in every report and worthless in every auction, so it is looked for where it
shows: a feature that ranks the held-out rows almost by itself, one that takes nearly all gain of the trees, and one
whose value changes when later partitions are taken away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dsp_pipeline.training.model import CATEGORY, Feature

AUC, GAIN, FUTURE = "auc", "gain", "future"
MIN_POSITIVES = 10  # of fewer rows, chance ranks some feature almost perfectly
_BUCKETS = 64  # of a number
_EDGE_ROWS = 16_384
_BUFFER_ROWS = 65_536
_Z = 1.959964  # of a two-sided interval of 95 %
_SAME = 1e-9  # relative: two engines may add in another order
_CURE = "look whether it is made of what is only known later, or take it out"


@dataclass(frozen=True)
class Leak:
    """A feature that is suspected; `value` is what was found and `bound` what it should not exceed."""

    feature: str
    kind: str
    value: float
    bound: float
    message: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class LeakBounds:
    """From where on a feature is suspected.

    `auc`: of the feature alone. Trailing rates of clicks reach 0.6 to 0.8, a copy of the label 1; a feature that
    decides by its nature, as the bid price decides a win, may need a higher bound. `gain`: share of one feature in the
    gain of all trees, asked of models with at least `gain_features` features.
    """

    auc: float = 0.9
    gain: float = 0.8
    gain_features: int = 5


class LeakCheck:
    """Counts held-out rows by the values of each feature; the counts depend on nothing but the rows and their order.

    Numbers are counted in up to 64 buckets with quantiles of the first rows as edges, categories by code; memory does
    not grow with the rows.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = tuple(features)
        self._edges: list[NDArray[np.float32] | None] = []
        self._counts: list[NDArray[np.int64]] = []
        self._waiting: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []
        self._rows = self._waiting_rows = 0

    def add(self, matrix: NDArray[np.float32], labels: NDArray[np.uint8], units: pa.Array | None = None) -> None:
        """Count rows: `matrix` of shape (rows, features), NaN where missing, `labels` 0 or 1.

        Rows of the same unit (a text) fall into the same half of the rows; without units, every other row.
        """
        if not len(labels):
            return
        half = np.arange(self._rows, self._rows + len(labels)) % 2 if units is None else _halves(units)
        self._rows += len(labels)
        self._waiting.append((matrix, half * 2 + labels))
        self._waiting_rows += len(labels)
        if self._waiting_rows >= _BUFFER_ROWS:
            self._count()

    def leaks(self, gain: Mapping[str, float], bounds: LeakBounds | None = None) -> list[Leak]:
        """The suspected features, in the order of the model's.

        `gain` is each feature's share. The AUC of a number is that of its order, rising or falling, with what is
        missing at either end; or, if higher, as for categories, that of each value's mean label, learned from one half
        of the rows and judged on the other. It counts as too high when its 95 % interval (Hanley and McNeil, "The
        meaning and use of the area under a receiver operating characteristic curve", Radiology 143, 1982) is.
        """
        bounds = bounds or LeakBounds()
        if self._waiting:
            self._count()
        found = []
        for feature, edges, counts in zip(self._features, self._edges, self._counts, strict=False):
            negatives, positives = counts.sum(axis=1).reshape(2, 2).sum(axis=0).tolist()
            if min(positives, negatives) < MIN_POSITIVES:
                continue
            auc = _best_auc(counts, ordered=edges is not None)
            if auc - _Z * _auc_error(auc, positives, negatives) > bounds.auc:
                told = f"{feature.name} alone ranks the held-out rows with an AUC of {auc:.3f} (bound {bounds.auc:g})"
                found.append(Leak(feature.name, AUC, auc, bounds.auc, f"{told}; {_CURE}."))
        for feature in self._features if len(self._features) >= bounds.gain_features else ():
            share = gain.get(feature.name, 0.0)
            if share > bounds.gain:
                told = f"{feature.name} alone has {share:.0%} of the gain of all trees (bound {bounds.gain:.0%})"
                found.append(Leak(feature.name, GAIN, share, bounds.gain, f"{told}; {_CURE}."))
        places = {feature.name: place for place, feature in enumerate(self._features)}
        return sorted(found, key=lambda leak: places[leak.feature])

    def _count(self) -> None:
        matrix = np.concatenate([rows for rows, _ in self._waiting])
        groups = np.concatenate([groups for _, groups in self._waiting])
        self._waiting, self._waiting_rows = [], 0
        if not self._edges:
            self._edges = [
                None if feature.kind == CATEGORY else _quantiles(matrix[:_EDGE_ROWS, place])
                for place, feature in enumerate(self._features)
            ]
            self._counts = [np.zeros((4, 1), dtype=np.int64) for _ in self._features]
        for place, edges in enumerate(self._edges):
            values = matrix[:, place]
            missing = np.isnan(values)
            known = np.where(missing, np.float32(0), values)
            tokens = known.astype(np.int64) if edges is None else np.searchsorted(edges, known)
            tokens = np.where(missing, 0, tokens + 1)
            before = self._counts[place]
            width = max(before.shape[1], int(tokens.max()) + 1)
            counts = np.bincount(groups * width + tokens, minlength=4 * width).reshape(4, width)
            counts[:, : before.shape[1]] += before
            self._counts[place] = counts


def future_leaks(
    with_later: pa.Table, without_later: pa.Table, key: Sequence[str], columns: Sequence[str]
) -> list[Leak]:
    """The `columns` whose values differ between two makings of the same rows, with and without later partitions.

    Rows are matched by their `key`; null equals null, and floating numbers may differ in the last digits. A key that is
    only there in one of the two is a difference of every column. The label, which comes later by its nature, is not to
    be among `columns`.
    """
    with_rows, without_rows = _matched(with_later, without_later, key)
    alone = with_later.num_rows + without_later.num_rows - 2 * len(with_rows)
    rows = len(with_rows) + alone
    found = []
    for column in columns:
        differ = alone + _differences(with_later[column].take(with_rows), without_later[column].take(without_rows))
        if differ:
            told = f"{column} has another value in {differ} of {rows} rows when later partitions are taken away"
            found.append(Leak(column, FUTURE, differ / rows, 0.0, f"{told}; let its query read no later day."))
    return found


def _matched(left: pa.Table, right: pa.Table, key: Sequence[str]) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The places of the rows whose key both tables have."""
    numbered = [
        table.select(list(key)).append_column(side, pa.array(np.arange(table.num_rows)))
        for table, side in ((left, "left place"), (right, "right place"))
    ]
    both = numbered[0].join(numbered[1], list(key), join_type="inner", use_threads=False)
    return both["left place"], both["right place"]


def _differences(left: pa.ChunkedArray, right: pa.ChunkedArray) -> int:
    if left.type != right.type:
        right = right.cast(left.type)
    if pa.types.is_floating(left.type):
        same = np.isclose(left.to_numpy(), right.to_numpy(), rtol=_SAME, atol=0.0, equal_nan=True)
        return int(len(same) - np.count_nonzero(same))
    unequal = pc.fill_null(pc.not_equal(left, right), False)
    return int(pc.sum(pc.or_(unequal, pc.xor(pc.is_null(left), pc.is_null(right)))).as_py() or 0)


def _quantiles(values: NDArray[np.float32]) -> NDArray[np.float32]:
    known = values[~np.isnan(values)]
    if not len(known):
        return known
    return np.unique(np.quantile(known, np.arange(1, _BUCKETS) / _BUCKETS, method="inverted_cdf"))


def _best_auc(counts: NDArray[np.int64], *, ordered: bool) -> float:
    """`counts` of shape (half * 2 + label, values); the first value is what is missing."""
    halves = counts.reshape(2, 2, -1)
    found = []
    if ordered:
        negatives, positives = halves.sum(axis=0)
        at = np.arange(counts.shape[1], dtype=np.float64)
        for missing in (-1.0, float(counts.shape[1])):
            at[0] = missing
            rising = _auc(at, positives, negatives)
            found += [rising, 1 - rising]
    sides = []
    for learn, judge in ((halves[0], halves[1]), (halves[1], halves[0])):
        if not (learn.sum(axis=1).all() and judge.sum(axis=1).all()):
            return max(found, default=0.5)
        rate = learn[1].sum() / learn.sum()
        # One more positive among as many rows as have one: a value that was not met has the overall rate.
        means = (learn[1] + 1) / (learn.sum(axis=0) + 1 / rate)
        sides.append(_auc(means, judge[1], judge[0]))
    return max([*found, sum(sides) / 2])


def _auc(scores: NDArray[np.float64], positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> float:
    """How often a positive scores above a negative, ties half; rows counted by value, each value with its score."""
    _, place = np.unique(scores, return_inverse=True)
    positive, negative = np.bincount(place, positives), np.bincount(place, negatives)
    won = positive @ (np.cumsum(negative) - negative / 2)
    return float(won / (positive.sum() * negative.sum()))


def _auc_error(auc: float, positives: int, negatives: int) -> float:
    """The standard error of an AUC."""
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (positives - 1) * (first - auc**2) + (negatives - 1) * (second - auc**2)
    return math.sqrt(max(spread, 0.0) / (positives * negatives))


def _halves(units: pa.Array) -> NDArray[np.int64]:
    """0 or 1 for each text, the same for equal texts, by a hash of their letters."""
    texts = units.cast(pa.large_binary())
    _, offsets, letters = texts.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    numbers = np.random.default_rng(0).integers(0, 1 << 63, 256, dtype=np.uint64)
    sums = np.zeros(ends[-1] - ends[0] + 1, dtype=np.uint64)
    if letters is not None:
        np.cumsum(numbers[np.frombuffer(letters, dtype=np.uint8)[ends[0] : ends[-1]]], out=sums[1:])
    mixed = np.diff(sums[ends - ends[0]])
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray((mixed >> np.uint64(40)) & np.uint64(1), dtype=np.int64)
