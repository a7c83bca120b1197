"""How far the features of held-out rows lie from those of the training rows: the population stability index.

PSI = Σ over bins (h - t) ln(h / t), where t and h are a bin's shares of the training and of the held-out rows (Siddiqi,
"Credit Risk Scorecards", 2006, chapter 8); it is the symmetrised Kullback-Leibler divergence. Below 0.1 little has
changed, above 0.25 much has. Without any drift it is on average (bins - 1) (1 / training rows + 1 / held-out rows)
(Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of Risk Model Validation 14,
2020), which a report gives as `chance`. Half a row is added to each count, so that an empty bin has a logarithm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp_pipeline.training.model import CATEGORY, MAX_CATEGORY, Feature

_BINS = 10  # of a number, each with a tenth of the first training page
_CODES = 20  # of a category: its most frequent ones among the training rows
_ROWS = 16_384  # of a page that are counted: shares need no more, and a page costs a millisecond a feature


class Drift:
    """Counts page by page; holds counts alone, never rows.

    The bins are made of the first page that `train` is given, which comes before `holdout`. Of each page evenly spaced
    rows are counted, and stand for the others.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self._columns = [_Codes() if feature.kind == CATEGORY else _Numbers() for feature in features]
        self._names = [feature.name for feature in features]
        self._rows = [0, 0]

    def train(self, matrix: NDArray[np.float32], weights: NDArray[np.float32] | None = None) -> None:
        """Count training rows of shape (rows, features), NaN for missing.

        `weights` (rows,) undo a sampling: a row that was read with probability p weighs 1 / p.
        """
        self._count(0, matrix, weights)

    def holdout(self, matrix: NDArray[np.float32], weights: NDArray[np.float32] | None = None) -> None:
        """Count held-out rows, as `train` does."""
        self._count(1, matrix, weights)

    def as_dict(self, words: Mapping[str, Sequence[str]] | None = None) -> dict[str, dict[str, Any]]:
        """By feature `psi`, `chance` and `bins`, each with its name and its shares of the training and held-out rows.

        `words` are those of the categories whose codes are places in a list of words. Empty if one side has no rows.
        """
        if not all(self._rows):
            return {}
        return {
            name: self._told(column, (words or {}).get(name))
            for name, column in zip(self._names, self._columns, strict=True)
        }

    def _count(self, side: int, matrix: NDArray[np.float32], weights: NDArray[np.float32] | None) -> None:
        rows = len(matrix)
        if not rows:
            return
        step = -(-rows // _ROWS)
        some = matrix[::step]
        heavy = np.ones(len(some)) if weights is None else np.asarray(weights[::step], dtype=np.float64)
        heavy = heavy * (rows / len(some))
        for place, column in enumerate(self._columns):
            column.count(side, some[:, place], heavy)
        self._rows[side] += len(some)

    def _told(self, column: _Numbers | _Codes, words: Sequence[str] | None) -> dict[str, Any]:
        names, counts = column.bins(words)
        # Counts of rows that stand for others are brought back to the rows that were counted.
        kept = counts * (np.array(self._rows) / counts.sum(axis=1))[:, None]
        train, holdout = (kept + 0.5) / (kept.sum(axis=1) + 0.5 * len(names))[:, None]
        shares = (counts / counts.sum(axis=1)[:, None]).tolist()
        return {
            "psi": float(((holdout - train) * np.log(holdout / train)).sum()),
            "chance": (len(names) - 1) * (1 / self._rows[0] + 1 / self._rows[1]),
            "bins": [
                {"bin": name, "train": before, "holdout": after}
                for name, before, after in zip(names, *shares, strict=True)
            ],
        }


class _Numbers:
    """A bin for each value of the first page if there are few, else bins between its quantiles.

    Where each value has its bin, all that the first page does not hold share one. Missing values have theirs.
    """

    def __init__(self) -> None:
        self._ends: NDArray[np.float32] | None = None  # the values, or the highest value of each bin but the last
        self._discrete = False

    def count(self, side: int, values: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        known = ~np.isnan(values)
        if self._ends is None:
            self._ends = np.unique(values[known])
            self._discrete = len(self._ends) <= _BINS
            if not self._discrete:
                cuts = np.arange(1, _BINS) / _BINS
                self._ends = np.unique(np.quantile(values[known], cuts, method="inverted_cdf"))
            self._counts = np.zeros((2, len(self._ends) + 2))
        last = len(self._ends)
        bins = np.searchsorted(self._ends, values, side="left")
        if self._discrete and last:
            bins[self._ends[np.minimum(bins, last - 1)] != values] = last
        bins[~known] = last + 1
        self._counts[side] += np.bincount(bins, weights, minlength=last + 2)

    def bins(self, _words: Sequence[str] | None) -> tuple[list[str], NDArray[np.float64]]:
        assert self._ends is not None
        ends = [f"{one:.4g}" for one in self._ends.tolist()]
        if self._discrete:
            names = [*ends, "others"]
        else:
            names = [f"to {ends[0]}", *(f"{low} … {high}" for low, high in pairwise(ends)), f"above {ends[-1]}"]
        return _without_empty([*names, "missing"], self._counts)


class _Codes:
    """A bin for each code, of which the rare ones are put together in the end."""

    def __init__(self) -> None:
        self._counts = np.zeros((2, MAX_CATEGORY + 2))

    def count(self, side: int, values: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        codes = np.where(np.isnan(values), MAX_CATEGORY + 1, values).astype(np.int64)
        self._counts[side] += np.bincount(codes, weights, minlength=MAX_CATEGORY + 2)

    def bins(self, words: Sequence[str] | None) -> tuple[list[str], NDArray[np.float64]]:
        counts, missing = self._counts[:, :-1], self._counts[:, -1:]
        seen = np.flatnonzero(counts.sum(axis=0))
        order = seen[np.argsort(-counts[0, seen], kind="stable")]
        head, tail = order[:_CODES], order[_CODES:]
        names = [words[code] if words is not None and code < len(words) else str(code) for code in head.tolist()]
        names += [f"{len(tail)} others", "missing"]
        parts = [counts[:, head], counts[:, tail].sum(axis=1, keepdims=True), missing]
        return _without_empty(names, np.concatenate(parts, axis=1))


def _without_empty(names: Sequence[str], counts: NDArray[np.float64]) -> tuple[list[str], NDArray[np.float64]]:
    there = np.flatnonzero(counts.sum(axis=0))
    return [names[place] for place in there.tolist()], counts[:, there]
