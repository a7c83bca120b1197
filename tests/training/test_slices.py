"""Quality by slice, against metrics of the same rows alone, and intervals against many days that could have been."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2

from dsp_pipeline.training.intervals import ratio_interval
from dsp_pipeline.training.metrics import measure
from dsp_pipeline.training.slices import Slice, find_slices, unit_codes

Rows = tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float32]]


def make_rows(rows: int, seed: int = 0) -> Rows:
    """Scores of two digits, so that many are equal; weights 1 to 3."""
    random = np.random.default_rng(seed)
    scores = np.round(random.beta(1, 9, rows), 2)
    return (
        (random.random(rows) < scores).astype(np.uint8),
        scores,
        random.integers(1, 4, rows).astype(np.float32),
    )


def test_a_slice_has_the_metrics_of_its_rows_alone() -> None:
    """With weights, ties and slices in any order of rows."""
    labels, scores, weights = make_rows(5000)
    advertiser = np.random.default_rng(1).choice(["a", "b", "c"], 5000, p=[0.2, 0.7, 0.1])
    found = find_slices({"advertiser_id": pa.array(advertiser)}, labels, scores, weights)
    assert [one.value for one in found] == ["b", "a", "c"]
    for one in found:
        mine = advertiser == one.value
        alone = measure(labels[mine], scores[mine], weights[mine])
        assert (one.column, one.rows, one.positives) == ("advertiser_id", alone.rows, alone.positives)
        for name in ("log_loss", "normalised_entropy", "auc", "predicted_to_observed"):
            assert getattr(one, name) == pytest.approx(getattr(alone, name), rel=1e-9)
        assert one.predicted == pytest.approx(np.average(scores[mine], weights=weights[mine]))
        assert one.observed == pytest.approx(np.average(labels[mine], weights=weights[mine]))
        assert one.high is not None and one.predicted_to_observed is not None
        assert one.low < one.predicted_to_observed < one.high


def covered(users: int, each: int, spread: float, *, by_user: bool, days: int = 300) -> tuple[float, float]:
    """In which share of days the interval holds the true ratio 1, and how often one slice's lies above it.

    Users' rates differ by a factor exp(normal * spread) that the model does not know.
    """
    random = np.random.default_rng(7)
    held, above = 0, 0
    units = pa.array(np.repeat(np.arange(users), each))
    for _ in range(days):
        own = np.exp(random.normal(0, spread, users) - spread**2 / 2) if spread else np.ones(users)
        labels = (random.random(users * each) < np.repeat(0.02 * own, each)).astype(np.uint8)
        scores = np.full(users * each, 0.02)
        slice_column = {"all": pa.array(np.zeros(users * each, dtype=np.int64))}
        (one,) = find_slices(slice_column, labels, scores, units=units if by_user else None)
        high = math.inf if one.high is None else one.high
        held += one.low <= 1 <= high
        above += one.low > 1
    return held / days, above / days


def test_intervals_hold_the_truth_in_95_of_100_days() -> None:
    """With 100 clicks of independent rows, and with 2, where a symmetric interval would fail."""
    assert 0.92 <= covered(5000, 1, 0, by_user=True)[0] <= 0.985
    held, above = covered(100, 1, 0, by_user=True)
    assert held >= 0.95 and above <= 0.04


def test_rows_of_one_user_are_not_independent() -> None:
    """Users who differ make days differ more: intervals by row are too narrow, those by user hold."""
    assert covered(300, 40, 1.2, by_user=False)[0] < 0.8
    assert covered(300, 40, 1.2, by_user=True)[0] > 0.9


def test_a_slice_without_a_positive_tells_how_few_there_can_have_been() -> None:
    """Of 3.69 expected, none comes on one day in forty: the ratio may be that low, and has no upper end."""
    (one,) = find_slices({"x": pa.array(["a"] * 369)}, np.zeros(369, dtype=np.uint8), np.full(369, 0.01))
    assert (one.predicted_to_observed, one.high, one.auc, one.normalised_entropy) == (None, None, None, None)
    assert one.low == pytest.approx(1, abs=1e-3)
    json.dumps(one.as_dict(), allow_nan=False)


@pytest.mark.parametrize("clicks", [1, 5, 287, 100_000])
def test_the_interval_of_independent_rows_is_the_exact_one_of_poisson(clicks: int) -> None:
    """Garwood, Biometrika 28, 1936: chi-square quantiles with twice the count of degrees of freedom."""
    one = np.array([float(clicks)])
    low, high = ratio_interval(np.array([100.0]), one, one, np.ones(1))
    assert 100 / high[0] == pytest.approx(chi2.ppf(0.025, 2 * clicks) / 2)
    assert 100 / low[0] == pytest.approx(chi2.ppf(0.975, 2 * clicks + 2) / 2)


def test_small_values_of_a_column_are_told_together() -> None:
    """Its forty largest stand for themselves; every row is somewhere, null too."""
    labels, scores, _ = make_rows(6000)
    values = [f"p{place}" for place in range(50) for _ in range(100 + place)]
    column = pa.array([*values, *[None] * (6000 - len(values))] if len(values) < 6000 else values[:6000])
    found = find_slices({"placement_id": column}, labels, scores)
    assert len(found) == 41 and found[-1].value == "(others)"
    assert sum(one.rows for one in found) == 6000
    assert [one.rows for one in found[:-1]] == sorted((one.rows for one in found[:-1]), reverse=True)


def test_columns_of_any_type_are_told_as_text() -> None:
    """Whole numbers, booleans, dictionaries, chunks, and null."""
    labels, scores, _ = make_rows(6)
    columns = {
        "hour_of_day": pa.array([3, 3, 3, 17, 17, None]),
        "mobile": pa.array([True, True, True, True, False, False]),
        "exchange": pa.chunked_array(
            [pa.array(["x", "x", "y"]).dictionary_encode(), pa.array(["y", "x", "x"]).dictionary_encode()]
        ),
    }
    found = [(one.column, one.value, one.rows) for one in find_slices(columns, labels, scores)]
    assert found == [
        ("hour_of_day", "3", 3),
        ("hour_of_day", "17", 2),
        ("hour_of_day", "(none)", 1),
        ("mobile", "true", 4),
        ("mobile", "false", 2),
        ("exchange", "x", 4),
        ("exchange", "y", 2),
    ]


def test_a_row_without_a_user_is_a_unit_of_its_own() -> None:
    """Rows whose user is unknown have nothing in common."""
    codes = unit_codes(pa.array(["u", None, "u", None, "v"]), 5)
    assert codes[0] == codes[2] and len(set(codes.tolist())) == 4


def test_no_rows_have_no_slices() -> None:
    """Nothing is divided by nothing."""
    nothing: list[Slice] = find_slices({"x": pa.array([], pa.string())}, np.empty(0, dtype=np.uint8), np.empty(0))
    assert nothing == []
