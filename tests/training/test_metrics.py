"""Metrics against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dsp_pipeline.training.metrics import Metrics, base_rate_log_loss, measure


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
