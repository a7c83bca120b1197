"""The parts of a model's report that are curves: what its plots are drawn from, small enough for a bundle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp_pipeline.training.metrics import equal_count_bins

POINTS = 200
HISTOGRAM_BINS = 40
_Z = 1.959964  # of a two-sided interval of 95 %
_TAIL = 0.0005  # share of the rows at either end that does not stretch the histogram


def judged(
    labels: NDArray[np.uint8], scores: NDArray[np.float64], weights: NDArray[np.float32] | None = None
) -> dict[str, Any]:
    """`reliability`, `roc`, `precision_recall` and `score_histogram` of at least one row, as plain JSON values.

    `labels` are 0 or 1, `scores` probabilities, `weights` above 0 (1 if left out); all of shape (rows,).
    """
    scores = np.asarray(scores, dtype=np.float64)
    heavy = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    return {
        "reliability": reliability(labels, scores, heavy),
        "roc": roc(labels, scores, heavy),
        "precision_recall": precision_recall(labels, scores, heavy),
        "score_histogram": score_histogram(labels, scores, heavy),
    }


def reliability(
    labels: NDArray[np.uint8], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> list[dict[str, float | int]]:
    """The mean score and the share of positives, with its 95 % interval, of up to 20 bins of equally many rows.

    The interval is Wilson's (JASA 22, 1927), which holds for shares near 0 too; weighted rows count as
    (Σ weight)² / Σ weight² rows (Kish, "Survey Sampling", 1965). It takes rows for independent.
    """
    bins = equal_count_bins(labels, scores, weights)
    observed = bins.observed / bins.weight
    low, high = wilson(observed, bins.weight**2 / bins.squares)
    columns = {
        "predicted": bins.predicted / bins.weight,
        "observed": observed,
        "low": low,
        "high": high,
        "rows": bins.rows,
        "positives": bins.positives,
    }
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*(column.tolist() for column in columns.values()), strict=True)
    ]


def roc(labels: NDArray[np.uint8], scores: NDArray[np.float64], weights: NDArray[np.float64]) -> list[list[float]]:
    """At most 200 points [false positive rate, true positive rate] from [0, 0] to [1, 1]; none if labels are alike."""
    from sklearn.metrics import roc_curve

    if labels.min() == labels.max():
        return []
    false, true, _ = roc_curve(labels, scores, sample_weight=weights)
    return _thinned(false, true, false + true)


def precision_recall(
    labels: NDArray[np.uint8], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> list[list[float]]:
    """At most 200 points [recall, precision], recall rising to 1; none if labels are alike.

    The first is that of the highest scores, not the made-up [0, 1].
    """
    from sklearn.metrics import precision_recall_curve

    if labels.min() == labels.max():
        return []
    precision, recall, _ = precision_recall_curve(labels, scores, sample_weight=weights, drop_intermediate=True)
    return _thinned(recall[-2::-1], precision[-2::-1], recall[-2::-1])


def score_histogram(
    labels: NDArray[np.uint8], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> dict[str, list[float]]:
    """How positives and negatives spread: 41 `edges` in log10 of the probability, and the weight between them.

    The edges span all but the outermost 0.1 % of the rows, which count in the first and last bin.
    """
    logs = np.log10(np.maximum(scores, np.finfo(np.float64).tiny))
    first, last = np.quantile(logs, (_TAIL, 1 - _TAIL))
    if last - first < 1e-6:  # one score for all
        first, last = first - 0.5, last + 0.5
    edges = np.linspace(first, last, HISTOGRAM_BINS + 1)
    inside = np.clip(logs, first, last)
    positive = labels == 1
    return {
        "edges": edges.tolist(),
        "positives": np.histogram(inside[positive], edges, weights=weights[positive])[0].tolist(),
        "negatives": np.histogram(inside[~positive], edges, weights=weights[~positive])[0].tolist(),
    }


def wilson(
    shares: NDArray[np.float64], numbers: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the 95 % intervals of shares that were observed in so many rows."""
    spread = _Z**2 / numbers
    middle = (shares + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * np.sqrt(shares * (1 - shares) / numbers + spread / (4 * numbers))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def _thinned(across: NDArray[np.float64], up: NDArray[np.float64], along: NDArray[np.float64]) -> list[list[float]]:
    """Points of a curve about evenly spaced in `along`, which does not fall; the first and the last among them."""
    wanted = np.linspace(along[0], along[-1], POINTS)
    places = np.unique(np.searchsorted(along, wanted).clip(0, len(along) - 1))
    places[-1] = len(along) - 1
    points: list[list[float]] = np.column_stack([across[places], up[places]]).tolist()
    return points
