"""Metrics against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dsp_pipeline.training.metrics import Metrics, base_rate_log_loss, equal_count_bins, measure


def of(labels: list[int], scores: list[float]) -> Metrics:
    return measure(np.array(labels, dtype=np.uint8), np.array(scores, dtype=np.float32))


def test_metrics_of_four_rows_are_those_worked_out_by_hand() -> None:
    """One click in four; scores are powers of two, so float32 holds them exactly."""
    found = of([1, 0, 0, 0], [0.5, 0.25, 0.5, 0.125])
    log_loss = -(math.log(0.5) + math.log(0.75) + math.log(0.5) + math.log(0.875)) / 4
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert (found.rows, found.positives) == (4, 1)
    assert found.log_loss == pytest.approx(log_loss, rel=1e-12)
    assert found.base_rate_log_loss == pytest.approx(entropy, rel=1e-12)
    assert found.normalised_entropy == pytest.approx(log_loss / entropy, rel=1e-12)
    assert found.auc == pytest.approx((1 + 0.5 + 1) / 3, rel=1e-12)
    assert found.predicted_to_observed == 1.375


def test_predicting_the_base_rate_has_a_normalised_entropy_of_one() -> None:
    """And nothing is ranked."""
    found = of([1, 0, 0, 0], [0.25] * 4)
    assert found.normalised_entropy == pytest.approx(1, rel=1e-12)
    assert found.auc == 0.5


@pytest.mark.parametrize("label", [0, 1])
def test_rows_of_one_kind_have_no_ranking_and_no_entropy(label: int) -> None:
    """What is undefined is None, never NaN."""
    found = of([label, label], [0.5, 0.5])
    assert found.log_loss == pytest.approx(math.log(2))
    assert found.base_rate_log_loss == 0
    assert found.auc is None and found.normalised_entropy is None
    assert found.predicted_to_observed == (0.5 if label else None)


def test_a_certain_and_wrong_score_costs_much_but_not_everything() -> None:
    """Log loss stays finite."""
    assert 30 < of([0, 1], [1.0, 0.0]).log_loss < 40


def test_the_entropy_of_a_rare_click_is_exact() -> None:
    """At 1 in a million the terms differ by five orders of magnitude."""
    rate = 1e-6
    assert base_rate_log_loss(1_000_000, 1) == pytest.approx(-rate * math.log(rate) + rate, rel=1e-6)


def test_a_row_of_weight_three_counts_as_three_rows() -> None:
    """In all but the numbers of rows, which are counts."""
    random = np.random.default_rng(0)
    labels, scores = (random.random(500) < 0.3).astype(np.uint8), random.random(500)
    weights = random.integers(1, 4, 500)
    weighted = measure(labels, scores, weights.astype(np.float32))
    repeated = measure(np.repeat(labels, weights), np.repeat(scores, weights))
    assert (weighted.rows, weighted.positives) == (500, labels.sum())
    for name in ("log_loss", "base_rate_log_loss", "normalised_entropy", "auc", "predicted_to_observed"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), rel=1e-12)


def test_probabilities_keep_their_sixteen_digits() -> None:
    """A calibrated score of 1e-9 is not rounded to float32."""
    scores = np.array([1e-9, 1 - 1e-9])
    assert measure(np.array([0, 1], dtype=np.uint8), scores).log_loss == pytest.approx(1e-9, rel=1e-6)


def test_the_calibration_error_is_the_mean_distance_of_bins_weighted_by_rows() -> None:
    """40 rows in 20 bins of two: scores rise by 1 % from bin to bin and nothing is clicked."""
    labels = np.zeros(40, dtype=np.uint8)
    scores = np.repeat(np.arange(20) / 100, 2)
    assert of(labels.tolist(), [0.5] * 40).expected_calibration_error == 0.5
    found = measure(labels, scores).expected_calibration_error
    assert found == pytest.approx(np.arange(20).mean() / 100, rel=1e-12)
    heavy = np.where(scores < 0.1, 3, 1).astype(np.float32)
    assert measure(labels, scores, heavy).expected_calibration_error == pytest.approx(
        np.average(scores, weights=heavy), rel=1e-6
    )


def test_errors_in_opposite_directions_do_not_cancel_across_bins() -> None:
    """The sum of predictions is right here, and no bin is."""
    labels = np.repeat([0, 1], 100).astype(np.uint8)
    found = measure(labels, np.repeat([0.2, 0.8], 100))
    assert found.predicted_to_observed == pytest.approx(1)
    assert found.expected_calibration_error == pytest.approx(0.2)


def test_bins_hold_equally_many_rows_and_do_not_split_equal_scores() -> None:
    """Rows that the model cannot tell apart are not told apart by the order in which they came."""
    labels = (np.arange(1000) % 7 == 0).astype(np.uint8)
    spread = equal_count_bins(labels, np.linspace(0, 1, 1000))
    assert spread.rows.tolist() == [50] * 20
    assert spread.positives.sum() == labels.sum()
    tied = equal_count_bins(labels, np.where(np.arange(1000) % 2, 0.1, np.linspace(0.2, 1, 1000)))
    assert tied.rows.tolist()[0] == 500 and tied.rows.sum() == 1000
    assert tied.predicted[0] == pytest.approx(50)
    assert equal_count_bins(labels[:1], np.array([0.5])).rows.tolist() == [1]
    assert equal_count_bins(labels[:3], np.array([0.3, 0.1, 0.2])).predicted.tolist() == [0.1, 0.2, 0.3]
