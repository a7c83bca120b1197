"""Calibration: margins of trees become probabilities that are right on the day they were fitted to, and after it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp_pipeline.training.calibrate import KINDS, Calibration, calibrate

Rows = tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.float64]]


def sigmoid(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-margins))


def make_rows(
    rows: int, seed: int = 0, *, slope: float = 1.0, intercept: float = 0.0, bend: float = 0.0, mean: float = -3.0
) -> Rows:
    """Margins, labels and true probabilities, which are sigmoid(slope * m + intercept - bend * (m - mean)²)."""
    random = np.random.default_rng(seed)
    margins = random.normal(mean, 1, rows)
    truth = sigmoid(slope * margins + intercept - bend * (margins - mean) ** 2)
    return margins, (random.random(rows) < truth).astype(np.uint8), truth


def test_the_sampling_of_negatives_is_taken_back_exactly() -> None:
    """With one negative in ten, odds were ten times too high."""
    found = Calibration("none", offset=math.log(0.1)).apply(np.array([0.0, math.log(10)]))
    assert found == pytest.approx([1 / 11, 0.5], rel=1e-15)


def test_extreme_margins_give_probabilities_and_no_warning() -> None:
    """The exponential of neither end overflows."""
    assert Calibration("none").apply(np.array([-800.0, 0.0, 800.0])).tolist() == [0.0, 0.5, 1.0]


def test_platt_finds_the_slope_and_intercept_that_made_the_labels() -> None:
    """Of a model whose log odds are a third too wide and too high."""
    margins, labels, _ = make_rows(100_000, slope=0.75, intercept=-0.9)
    found = calibrate("platt", margins, labels)
    assert found.kind == "platt"
    assert found.slope == pytest.approx(0.75, abs=0.06)
    assert found.intercept == pytest.approx(-0.9, abs=0.15)
    assert found.apply(margins).sum() == pytest.approx(labels.sum(), rel=1e-3)


@pytest.mark.parametrize(("intercept", "most"), [(0.0, 0.7), (0.3, 1.1)])
def test_a_level_that_may_be_chance_is_left_to_the_trees(intercept: float, most: float) -> None:
    """Over many days of 800 positives that is nearer to the truth, and a shift that is plain is taken as it is."""
    off, to_the_labels = [], []
    for seed in range(20):
        margins, labels, truth = make_rows(13_000, seed, intercept=intercept)
        found = calibrate("platt", margins, labels).apply(margins)
        off.append(abs(found.sum() / truth.sum() - 1))
        to_the_labels.append(abs(labels.sum() / truth.sum() - 1))
    assert np.mean(off) < most * np.mean(to_the_labels)


def test_the_offset_is_added_before_slope_and_intercept() -> None:
    """So the curve does not depend on how the negatives were sampled."""
    margins, labels, _ = make_rows(20_000, slope=0.75)
    whole = calibrate("platt", margins, labels)
    sampled = calibrate("platt", margins - math.log(0.1), labels, offset=math.log(0.1))
    assert (sampled.slope, sampled.intercept) == pytest.approx((whole.slope, whole.intercept), rel=1e-6)
    assert sampled.apply(margins - math.log(0.1)) == pytest.approx(whole.apply(margins), rel=1e-6)


def test_isotonic_follows_a_bend_that_platt_cannot() -> None:
    """On rows that it has not seen, at both ends."""
    margins, labels, _ = make_rows(300_000, bend=0.15)
    later, _, truth = make_rows(300_000, seed=1, bend=0.15)
    isotonic, platt = calibrate("isotonic", margins, labels), calibrate("platt", margins, labels)
    assert isotonic.kind == "isotonic" and len(isotonic.margins) <= 256
    off = {"isotonic": isotonic.apply(later), "platt": platt.apply(later)}
    for rows in (later < -3.5, later > -1.5):
        ratio = {kind: scores[rows].sum() / truth[rows].sum() for kind, scores in off.items()}
        assert abs(ratio["isotonic"] - 1) < 0.04 and abs(ratio["platt"] - 1) > 0.1
    assert isotonic.apply(margins).sum() == pytest.approx(labels.sum(), rel=1e-9)


def test_isotonic_keeps_the_ranking_between_its_outermost_knots() -> None:
    """Flat pieces would make ties of rows that the trees tell apart."""
    margins, labels, _ = make_rows(100_000)
    found = calibrate("isotonic", margins, labels)
    inside = np.linspace(found.margins[0], found.margins[-1], 1000)
    assert (np.diff(found.apply(inside)) > 0).all()
    assert 0 < found.apply(np.array([-50.0]))[0] < found.apply(np.array([50.0]))[0] < 1


@pytest.mark.parametrize(("positives", "kind"), [(999, "platt"), (1000, "isotonic")])
def test_isotonic_needs_a_thousand_of_the_rarer_label(positives: int, kind: str) -> None:
    """Below that a curve is noise; which label is the rarer one does not matter."""
    margins, labels = np.linspace(-4, 1, 10_000), np.zeros(10_000, dtype=np.uint8)
    odds = np.exp(margins)
    labels[np.random.default_rng(0).choice(10_000, positives, replace=False, p=odds / odds.sum())] = 1
    assert calibrate("isotonic", margins, labels).kind == kind
    assert calibrate("isotonic", -margins, 1 - labels).kind == kind


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
@pytest.mark.parametrize("label", [0, 1])
def test_a_day_of_one_label_hardly_moves_a_rare_prediction(kind: str, label: int) -> None:
    """Three clicks were expected of 600 rows and none came: that happens once in twenty days."""
    margins = np.full(600, math.log(0.005 / 0.995)) * (1 if label == 0 else -1)
    found = calibrate(kind, margins, np.full(600, label, dtype=np.uint8))
    assert found.slope == 1
    assert 0.96 < abs(found.apply(margins)[0] - label) / 0.005 < 0.98


def test_a_day_of_few_positives_moves_the_rate_as_far_as_they_carry_it() -> None:
    """With 50 clicks where 100 were expected: between half way and what was expected, and no new slope."""
    margins = np.full(10_000, math.log(0.01 / 0.99))
    labels = (np.arange(10_000) < 50).astype(np.uint8)
    found = calibrate("platt", margins, labels)
    assert found.slope == 1
    assert 70 < found.apply(margins).sum() < 80


def test_a_model_that_ranks_the_wrong_way_is_not_turned_around() -> None:
    """A day on which it fails says that something is wrong, not that its opposite is right."""
    margins, labels, _ = make_rows(20_000, slope=-1.0, intercept=-5.0)
    assert calibrate("platt", margins, labels).slope == 1


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_labels_that_are_separated_perfectly_give_finite_numbers(kind: str) -> None:
    """Logistic regression alone would look for an infinite slope."""
    margins = np.linspace(-5, 5, 4000)
    found = calibrate(kind, margins, (margins > 0).astype(np.uint8))
    scores = found.apply(margins)
    assert np.isfinite(scores).all()
    assert scores[-1] - scores[0] > 0.99
    assert Calibration.from_dict(json.loads(json.dumps(found.as_dict()))) == found


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_margins_that_are_all_alike_give_the_share_of_positives(kind: str) -> None:
    """There is no slope to be found."""
    labels = (np.arange(40_000) % 10 == 0).astype(np.uint8)
    found = calibrate(kind, np.full(40_000, -1.0), labels)
    assert found.apply(np.array([-1.0]))[0] == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_a_row_of_weight_three_counts_as_three_rows(kind: str) -> None:
    """Within what the number of rows decides."""
    margins, labels, _ = make_rows(30_000, slope=0.8)
    weights = np.where(np.arange(30_000) % 2, 3.0, 1.0).astype(np.float32)
    counts = weights.astype(np.int64)
    weighted = calibrate(kind, margins, labels, weights)
    repeated = calibrate(kind, np.repeat(margins, counts), np.repeat(labels, counts))
    assert weighted.kind == kind
    at = np.linspace(-5, -1, 50)
    tolerance = 1e-3 if kind == "platt" else 0.25
    assert weighted.apply(at) == pytest.approx(repeated.apply(at), rel=tolerance)
    assert (weighted.apply(margins) * weights).sum() == pytest.approx((labels * weights).sum(), rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_calibration_survives_json_to_the_bit(kind: str) -> None:
    """Training, bundle and bidder use the same numbers; what a kind does not use is not written."""
    margins, labels, _ = make_rows(30_000, bend=0.1)
    found = calibrate(kind, margins, labels, offset=-0.25)
    raw = json.loads(json.dumps(found.as_dict()))
    assert Calibration.from_dict(raw) == found
    assert (
        set(raw)
        == {
            "none": {"kind", "offset"},
            "platt": {"kind", "offset", "slope", "intercept"},
            "isotonic": {"kind", "offset", "margins", "probabilities"},
        }[kind]
    )


def test_no_rows_and_no_wish_give_the_trees_as_they_are() -> None:
    """With the offset, which is known without any label."""
    nothing = np.empty(0), np.empty(0, dtype=np.uint8)
    assert calibrate("platt", *nothing, offset=-2.0) == Calibration("none", -2.0)
    margins, labels, _ = make_rows(1000)
    assert calibrate("none", margins, labels) == Calibration("none")
    with pytest.raises(ValueError, match="there is no calibration 'plat'; choose one of none, platt, isotonic"):
        calibrate("plat", margins, labels)


KNOTS: dict[str, Any] = {"kind": "isotonic", "offset": 0.0, "margins": [-1.0, 0.0], "probabilities": [0.1, 0.2]}


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"kind": "beta"}, "of kind 'beta'"),
        ({"kind": "none"}, "the offset of a calibration is None"),
        ({"kind": "platt", "offset": 0, "slope": float("nan"), "intercept": 0}, "the slope of a calibration is nan"),
        ({"kind": "platt", "offset": 0, "slope": True, "intercept": 0}, "the slope of a calibration is True"),
        ({**KNOTS, "margins": "all"}, "they are a list of numbers"),
        ({**KNOTS, "margins": [0.0]}, "1 margins and 2 probabilities"),
        ({**KNOTS, "margins": [], "probabilities": []}, "0 margins and 0 probabilities"),
        ({**KNOTS, "margins": [0.0, 0.0]}, "do not rise"),
        ({**KNOTS, "probabilities": [0.2, 0.1]}, "fall from one knot"),
        ({**KNOTS, "probabilities": [0.0, 0.1]}, "both left out"),
        ({**KNOTS, "probabilities": [0.2, 1.0]}, "both left out"),
    ],
)
def test_what_is_no_calibration_is_told(raw: dict[str, Any], told: str) -> None:
    """A bundle's contract may have been damaged or written by another hand."""
    with pytest.raises(ValueError, match=told):
        Calibration.from_dict(raw)
