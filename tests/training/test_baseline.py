"""The baseline: a logistic regression on hashed features that learns from pages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp_pipeline.errors import TrainingError
from dsp_pipeline.training.baseline import COLUMNS, Baseline
from dsp_pipeline.training.calibrate import calibrate
from dsp_pipeline.training.metrics import measure
from dsp_pipeline.training.model import category, number

FEATURES = (number("rate"), number("hour"), category("exchange_code"))
Rows = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float64]]


def make_rows(rows: int, seed: int = 0) -> Rows:
    """Features, labels and true probabilities of 5 %: log odds of a rate (missing in a tenth), an hour, an exchange."""
    random = np.random.default_rng(seed)
    rate, hour, exchange = random.normal(0, 1, rows), random.integers(0, 24, rows), random.integers(0, 4, rows)
    truth = 1 / (1 + np.exp(3.4 - 0.7 * rate - 0.5 * np.sin(hour) - np.array([-1.0, 0.0, 0.5, 1.0])[exchange]))
    matrix = np.stack([np.where(random.random(rows) < 0.1, np.nan, rate), hour, exchange], axis=1)
    return matrix.astype(np.float32), (random.random(rows) < truth).astype(np.uint8), truth


def learned(rows: Rows, page: int = 20_000, weights: NDArray[np.float32] | None = None) -> Baseline:
    made = Baseline(FEATURES, seed=1)
    for start in range(0, len(rows[0]), page):
        part = slice(start, start + page)
        made.add(rows[0][part], rows[1][part], None if weights is None else weights[part])
    return made


def test_it_learns_numbers_categories_and_what_is_missing() -> None:
    """On later rows it is nearly as good as the truth, which bends in a number too."""
    baseline, (matrix, labels, truth) = learned(make_rows(100_000)), make_rows(100_000, seed=1)
    found, best = measure(labels, baseline.predict(matrix)), measure(labels, truth)
    assert found.log_loss < best.log_loss * 1.03
    assert found.normalised_entropy is not None and found.normalised_entropy < 0.95
    assert found.predicted_to_observed == pytest.approx(1, abs=0.15)
    hours = np.array([[0, 1.57, 0], [0, 5, 0], [np.nan, 5, 0]], dtype=np.float32)
    assert baseline.margins(hours)[0] > baseline.margins(hours)[1] + 0.5


def test_equal_pages_give_equal_scores_to_the_bit() -> None:
    """Training twice gives the same report."""
    rows = make_rows(30_000)
    assert (learned(rows).predict(rows[0]) == learned(rows).predict(rows[0])).all()


def test_the_sampling_of_negatives_is_taken_back() -> None:
    """A baseline of a tenth of the negatives predicts what all rows say, to within its own error."""
    matrix, labels, _ = make_rows(200_000)
    kept = (labels == 1) | (np.arange(len(labels)) % 10 == 0)
    baseline = Baseline(FEATURES, seed=1, offset=math.log(0.1))
    baseline.add(matrix[kept], labels[kept])
    later, _, truth = make_rows(50_000, seed=1)
    assert baseline.predict(later).sum() == pytest.approx(truth.sum(), rel=0.15)
    assert baseline.predict(later) == pytest.approx(1 / (1 + 10 * np.exp(-baseline.margins(later))), rel=1e-12)


def test_it_is_calibrated_like_the_trees() -> None:
    """The same function on the same day makes its probabilities right."""
    baseline, (matrix, labels, _) = learned(make_rows(50_000)), make_rows(50_000, seed=1)
    baseline.calibration = calibrate("platt", baseline.margins(matrix), labels)
    assert baseline.predict(matrix).sum() == pytest.approx(labels.sum(), rel=0.02)


def test_a_heavy_row_counts_more_and_the_unit_of_weights_does_not_matter() -> None:
    """Where weights favour the positives, scores are higher."""
    rows = make_rows(30_000)
    plain, heavy = learned(rows), learned(rows, weights=np.where(rows[1], 4, 1).astype(np.float32))
    assert heavy.predict(rows[0]).mean() > 2 * plain.predict(rows[0]).mean()
    alike = learned(rows, weights=np.full(30_000, 64, dtype=np.float32))
    assert alike.predict(rows[0]) == pytest.approx(plain.predict(rows[0]), rel=1e-6)


def test_a_value_that_was_never_seen_is_scored() -> None:
    """A new code has a column that nothing was learned for, a number beyond the edges has the last bucket's."""
    baseline = learned(make_rows(20_000))
    new = np.array([[0, 5, 65_535], [1e9, 5, 1], [1e6, 5, 1]], dtype=np.float32)
    scores = baseline.predict(new)
    assert np.isfinite(scores).all() and scores[1] == scores[2]


def test_what_is_missing_is_a_value_of_its_own() -> None:
    """Rows without a rate are clicked three times as often, and no rate is like them."""
    random = np.random.default_rng(0)
    rate = np.where(random.random(40_000) < 0.3, np.nan, random.normal(0, 1, 40_000)).astype(np.float32)
    labels = (random.random(40_000) < np.where(np.isnan(rate), 0.3, 0.1)).astype(np.uint8)
    baseline = Baseline((number("rate"),), seed=1)
    baseline.add(rate[:, None], labels)
    missing, *others = baseline.predict(np.array([[np.nan], [0.0], [-0.01], [3.0]], dtype=np.float32))
    assert missing > 1.4 * max(others)


def test_a_number_that_is_always_missing_on_the_first_page_is_allowed() -> None:
    """It has one bucket and the column of what is missing."""
    matrix, labels, _ = make_rows(1000)
    matrix[:, 0] = np.nan
    baseline = Baseline(FEATURES, seed=1)
    baseline.add(matrix, labels)
    baseline.add(*make_rows(1000, seed=1)[:2])
    assert np.isfinite(baseline.predict(matrix)).all()


def test_features_rarely_share_a_column() -> None:
    """Of a feature with 20,000 codes, hashing joins about as many as chance does: 20000² / 2 / 2^18 pairs."""
    baseline = Baseline((category("a"), category("b")), seed=1)
    codes = np.arange(20_000, dtype=np.float32)
    baseline.add(np.stack([codes, codes], axis=1), (codes % 2).astype(np.uint8))
    hashed = baseline._hashed(np.stack([codes, codes], axis=1))
    columns = hashed.indices.reshape(-1, 2)
    assert columns.min() >= 0 and columns.max() < COLUMNS
    assert abs(20_000 - len(np.unique(columns[:, 0])) - 763) < 120
    assert (columns[:, 0] != columns[:, 1]).mean() > 0.999


def test_a_baseline_without_rows_is_told() -> None:
    """There is nothing to compare with."""
    baseline = Baseline(FEATURES, seed=1)
    baseline.add(np.empty((0, 3), dtype=np.float32), np.empty(0, dtype=np.uint8))
    with pytest.raises(TrainingError, match="the baseline has seen no rows"):
        baseline.margins(np.zeros((1, 3), dtype=np.float32))
