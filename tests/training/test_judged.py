"""Curves of a report against what is known of the rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp_pipeline.training.judged import judged, wilson
from dsp_pipeline.training.metrics import measure

Rows = tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float32]]


def make_rows(rows: int, seed: int = 0) -> Rows:
    """Calibrated scores around 3 %; weights 1 or 2."""
    random = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(3.8 - random.normal(0, 0.9, rows)))
    return (
        (random.random(rows) < scores).astype(np.uint8),
        scores,
        random.integers(1, 3, rows).astype(np.float32),
    )


def area(points: list[list[float]]) -> float:
    across, up = np.array(points).T
    return float(np.trapezoid(up, across))


def test_the_intervals_of_calibrated_bins_hold_the_mean_score_in_95_of_100() -> None:
    """Of 600 bins of 30 days."""
    bins = [one for seed in range(30) for one in judged(*make_rows(20_000, seed)[:2])["reliability"]]
    assert len(bins) == 600
    held = [one["low"] <= one["predicted"] <= one["high"] for one in bins]
    assert 0.92 < np.mean(held) < 0.98
    assert all(one["rows"] == 1000 and one["low"] < one["observed"] < one["high"] for one in bins)
    assert bins[0]["predicted"] < bins[19]["predicted"] / 10


def test_wilson_intervals_are_those_of_the_literature() -> None:
    """81 of 263 (Newcombe, Statistics in Medicine 17, 1998, table I), and 0 of 20."""
    low, high = wilson(np.array([81 / 263, 0.0]), np.array([263.0, 20.0]))
    assert (low[0], high[0]) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (low[1], high[1]) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_weights_make_intervals_wider_not_narrower() -> None:
    """A weight of two is no second observation."""
    labels, scores, weights = make_rows(20_000)
    plain, twice = judged(labels, scores), judged(labels, scores, np.full(20_000, 2, dtype=np.float32))
    assert plain["reliability"] == twice["reliability"]
    wide = judged(labels, scores, np.where(weights == 1, 1, 20).astype(np.float32))["reliability"]
    width = {
        name: sum(one["high"] - one["low"] for one in bins)
        for name, bins in (("plain", plain["reliability"]), ("wide", wide))
    }
    assert width["wide"] > 1.2 * width["plain"]


def test_a_thinned_curve_has_the_area_of_the_whole_one() -> None:
    """At most 200 points tell the AUC to three digits, with weights too."""
    labels, scores, weights = make_rows(50_000)
    found = judged(labels, scores, weights)
    assert 100 < len(found["roc"]) <= 200 and 100 < len(found["precision_recall"]) <= 200
    assert area(found["roc"]) == pytest.approx(measure(labels, scores, weights).auc, abs=1e-3)
    assert found["roc"][0] == [0, 0] and found["roc"][-1] == [1, 1]
    recall, precision = np.array(found["precision_recall"]).T
    assert (np.diff(recall) >= 0).all() and recall[-1] == 1
    assert precision[-1] == pytest.approx(np.average(labels, weights=weights))


def test_curves_of_few_rows_are_exact() -> None:
    """Two clicks among four rows, one of them on top."""
    found = judged(np.array([1, 0, 1, 0], dtype=np.uint8), np.array([0.8, 0.6, 0.4, 0.2]))
    assert found["roc"] == [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]
    assert found["precision_recall"][0] == [0.5, 1.0]
    assert found["precision_recall"][-1] == [1.0, 0.5]


def test_the_histogram_counts_every_row_once() -> None:
    """Also the few that lie outside of its edges."""
    labels, scores, _ = make_rows(20_000)
    scores[:5] = 1e-300
    found = judged(labels, scores)["score_histogram"]
    assert len(found["edges"]) == 41 and len(found["positives"]) == len(found["negatives"]) == 40
    assert sum(found["positives"]) == labels.sum() and sum(found["negatives"]) == 20_000 - labels.sum()
    assert -4 < found["edges"][0] < found["edges"][-1] < 0


@pytest.mark.parametrize("label", [0, 1])
def test_rows_of_one_kind_have_bins_and_no_ranking(label: int) -> None:
    """All scores alike, as of a model without trees; the result is JSON without NaN."""
    found = judged(np.full(30, label, dtype=np.uint8), np.full(30, 0.01))
    assert found["roc"] == found["precision_recall"] == []
    assert len(found["reliability"]) == 1
    assert sum(found["score_histogram"]["positives" if label else "negatives"]) == 30
    json.dumps(found, allow_nan=False)
