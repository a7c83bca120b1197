"""What a model listens to, against a model whose truth is known."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

from dsp_pipeline.training.calibrate import Calibration
from dsp_pipeline.training.explain import contributions, dependence, explain, explained_rows, grouped
from dsp_pipeline.training.score_moves import Explained, score_moves
from dsp_pipeline.training.score_parts import Part, ScoreParts, calibrated_contributions, log_odds, percent, score_parts

NAMES, WORDS = ["rate", "noise", "constant", "exchange"], {"exchange": ["adx", "tanx", "baidu"]}
PLAIN = Calibration("none").apply
PLATT = Calibration("platt", offset=math.log(0.2), slope=0.8, intercept=-0.1).apply
ISOTONIC = Calibration("isotonic", margins=(-6.0, -3.0, -1.0, 3.0), probabilities=(0.001, 0.02, 0.02, 0.6)).apply


def make_matrix(rows: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Odds grow with `rate` and are thrice as high for the exchange of code 1; a tenth of `rate` is missing."""
    random = np.random.default_rng(seed)
    rate, exchange = random.normal(0, 1, rows), random.integers(0, 3, rows)
    truth = 1 / (1 + np.exp(2.5 - rate - math.log(3) * (exchange == 1)))
    rate[random.random(rows) < 0.1] = np.nan
    columns = [rate, random.random(rows), np.ones(rows), exchange]
    return np.stack(columns, axis=1).astype(np.float32), (random.random(rows) < truth).astype(np.uint8)


@cache
def booster(seed: int = 0, names: tuple[str, ...] = tuple(NAMES), rounds: int = 30) -> xgboost.Booster:
    matrix, labels = make_matrix(6000, seed)
    places = [NAMES.index(name) for name in names]
    rows = xgboost.DMatrix(
        matrix[:, places],
        label=labels,
        feature_names=list(names),
        feature_types=["c" if name == "exchange" else "float" for name in names],
        enable_categorical=True,
    )
    return xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 2, "seed": 1}, rows, rounds)


def explained(seed: int = 1, **changes: Any) -> dict[str, Any]:
    matrix, labels = make_matrix(4000, 7)
    return explain(booster(), matrix, labels, calibrate=PLAIN, seed=seed, words=WORDS, **changes)


def test_features_matter_by_what_they_know() -> None:
    """Permuting what decides costs log loss, beyond chance; noise costs none; a feature without a tree exactly none."""
    found = explained()["importance"]
    assert list(found) == NAMES
    assert found["rate"]["low"] > 0.01 and found["exchange"]["low"] > 0.005
    assert found["rate"]["low"] < found["rate"]["permutation"] < found["rate"]["high"]
    assert found["noise"]["low"] < 0 or found["noise"]["permutation"] < 0.003
    assert found["constant"] == {"permutation": 0.0, "low": 0.0, "high": 0.0, "shap": 0.0}
    assert found["rate"]["shap"] > found["exchange"]["shap"] > 3 * found["noise"]["shap"]
    assert explained() == explained()
    assert explained(seed=2)["importance"]["rate"]["permutation"] != found["rate"]["permutation"]


def test_few_positives_are_told_by_a_wide_interval() -> None:
    """A sample with a tenth of the positives, each of which weighs ten times, finds the same, less surely."""
    matrix, labels = make_matrix(4000, 7)
    kept = (labels == 0) | (np.cumsum(labels) % 10 == 0)
    weights = np.where(labels == 1, 10, 1).astype(np.float32)[kept]
    few = explain(booster(), matrix[kept], labels[kept], weights, calibrate=PLAIN, seed=1)["importance"]["rate"]
    all_ = explained()["importance"]["rate"]
    assert few["low"] < all_["permutation"] < few["high"]
    assert few["high"] - few["low"] > 1.5 * (all_["high"] - all_["low"])
    assert few["shap"] == pytest.approx(all_["shap"], rel=0.1)


def test_values_are_dealt_out_by_weight() -> None:
    """A value that hardly any weight has is given to no row: a feature that is one value by weight does not matter."""
    matrix, labels = make_matrix(4000, 7)
    matrix[:, 0] = np.where(np.arange(4000) % 2 == 0, 0, 3)
    weights = np.where(matrix[:, 0] == 0, 1, 1e-9).astype(np.float32)
    found = explain(booster(), matrix, labels, weights, calibrate=PLAIN, seed=1)["importance"]
    assert abs(found["rate"]["permutation"]) < 1e-6 < found["exchange"]["permutation"]


def test_a_day_without_positives_is_explained_too() -> None:
    """Nothing is divided by none."""
    matrix, labels = make_matrix(300, 7)
    found = explain(booster(), matrix[labels == 0], labels[labels == 0], calibrate=PLAIN, seed=1)
    assert all(math.isfinite(number) for one in found["importance"].values() for number in one.values())


def test_contributions_sum_to_the_margin() -> None:
    """TreeSHAP is exact: with where a row begins, its parts are the margin that the trees give."""
    matrix, _ = make_matrix(200, 7)
    found, begun = contributions(booster(), matrix)
    margins = booster().inplace_predict(matrix, predict_type="margin", missing=np.nan)
    assert np.allclose(found.sum(axis=1) + begun, margins, atol=1e-5)
    assert len(set(begun)) == 1
    assert (found[:, NAMES.index("constant")] == 0).all()


@pytest.mark.parametrize("calibrate", [PLAIN, PLATT, ISOTONIC])
def test_calibrated_parts_sum_to_the_score(calibrate: Any) -> None:
    """With any calibration, to a millionth of the log odds; Platt's stretches each part by its slope."""
    matrix, _ = make_matrix(500, 7)
    found, start, score = calibrated_contributions(booster(), matrix, calibrate)
    assert np.allclose(log_odds(start) + found.sum(axis=1), log_odds(score), atol=2e-6)
    margins = booster().inplace_predict(matrix, predict_type="margin", missing=np.nan)
    assert np.allclose(score, calibrate(margins.astype(np.float64)), atol=1e-6)
    if calibrate is PLATT:
        assert np.allclose(found, 0.8 * contributions(booster(), matrix)[0], atol=1e-5)


def test_large_models_are_explained_on_fewer_rows() -> None:
    """By a rule that depends on the model alone, and the rows are spread evenly."""
    small, large = explained_rows(booster(), 10_000), explained_rows(booster(rounds=1200), 10_000)
    assert len(small) == 2000 and 250 <= len(large) < 1000
    assert set(np.diff(small)) <= {4, 5, 6} and (small[0], small[-1]) == (0, 9999)
    assert len(explained_rows(booster(), 100)) == 100


def test_dependence_shows_how_values_move_the_score() -> None:
    """Rising along a number, with the missing ones last; words of a category, the most frequent first."""
    found = explained()["dependence"]
    rate = found["rate"]
    assert len(rate) == 21 and rate[-1]["value"] is None
    values, effects = ([one[name] for one in rate[:-1]] for name in ("value", "effect"))
    assert values == sorted(values) and effects[-1] - effects[0] > 2
    assert sum(one["rows"] for one in rate) == 2000
    assert all(one["low"] <= one["high"] for one in rate)
    exchange = {one["value"]: one["effect"] for one in found["exchange"]}
    assert set(exchange) == {"adx", "tanx", "baidu"}
    assert exchange["tanx"] - exchange["adx"] == pytest.approx(math.log(3), abs=0.3)


def test_rare_codes_are_put_together() -> None:
    """Fifteen codes have a point of their own; a code that has no word keeps its number."""
    codes = np.repeat(np.arange(20), np.arange(40, 20, -1)).astype(np.float32)
    points = dependence(codes, np.ones(len(codes)), np.ones(len(codes)), is_category=True, words=["zero"])
    assert [one["value"] for one in points] == ["zero", *range(1, 15), "5 others"]
    assert points[-1]["rows"] == (codes >= 15).sum()


def test_numbers_are_grouped_where_rows_are_equally_many() -> None:
    """Few values have a group each; a value that fills a group is not cut; weights count."""
    ones = np.ones(1000)
    group, labels = grouped(np.arange(1000, dtype=np.float32), ones, is_category=False, bins=10)
    assert (labels[0], labels[-1]) == ("0 … 99", "900 … 999")
    assert (np.bincount(group) == 100).all()
    skewed = np.concatenate([np.zeros(900), np.arange(1, 101)]).astype(np.float32)
    _, labels = grouped(skewed, ones, is_category=False, bins=10)
    assert labels[0] == "0" and len(labels) == 2
    assert grouped(np.array([3, np.nan, 1], dtype=np.float32), ones[:3], is_category=False)[1] == ["1", "3", None]
    assert grouped(np.full(3, np.nan, dtype=np.float32), ones[:3], is_category=True)[1] == [None]


def test_a_score_is_told_in_words() -> None:
    """How high, against the average, and what raises and lowers it most, with the values of the features."""
    row = np.array([[1.5, np.nan, 1, 1]], dtype=np.float32)
    parts = score_parts(booster(), row, model="click_rate", calibrate=PLATT, words=WORDS, average=0.02)
    assert parts.parts[0].feature == "rate" and {part.feature for part in parts.parts} == set(NAMES)
    values = {part.feature: part.value for part in parts.parts}
    assert values == {"rate": 1.5, "noise": None, "constant": 1.0, "exchange": "tanx"}
    product = math.prod(part.odds for part in parts.parts) * parts.start / (1 - parts.start)
    assert product == pytest.approx(parts.probability / (1 - parts.probability), rel=1e-5)
    told = ScoreParts(
        "click_rate",
        0.012,
        0.006,
        (
            Part("campaign_click_rate_7d", 0.021, math.log(1.4)),
            Part("exchange", "tanx", math.log(1.2)),
            Part("position", None, math.log(0.7)),
            Part("noise", 3.0, 0.001),
        ),
        average=0.0075,
    )
    assert told.words() == (
        "click_rate is 1.2 %, 1.6 times the average of 0.75 %. It is raised most by campaign_click_rate_7d = 0.021 "
        "(×1.40) and exchange = tanx (×1.20). It is lowered most by position = missing (×0.70)."
    )
    lines = told.lines()
    assert lines[0].split() == ["begins", "at", "0.60", "%"] and lines[-1].split() == ["ends", "at", "1.2", "%"]
    assert (lines[1].endswith(" │███████████"), lines[3].endswith(" ████████████│")) == (True, True)
    assert told.as_dict()["parts"][2] == {"feature": "position", "value": None, "log_odds": math.log(0.7), "odds": 0.7}
    flat = ScoreParts("m", 0.5, 0.5, (Part("a", 1.0, 0.0),), average=0.5)
    assert flat.words() == "m is 50 %, about the average of 50 %. No feature moves it by more than 2 %."


def test_probabilities_have_two_digits_that_say_something() -> None:
    """Near 0 and near 1 as well."""
    told = [percent(share) for share in (0, 0.00075, 0.012, 0.5, 0.98, 0.99912, 1)]
    assert told == ["0 %", "0.075 %", "1.2 %", "50 %", "98.0 %", "99.912 %", "100 %"]


def side(seed: int, names: tuple[str, ...] = tuple(NAMES), rounds: int = 30) -> Explained:
    matrix, _ = make_matrix(1000, 7)
    places = [NAMES.index(name) for name in names]
    return Explained(booster(seed, names, rounds), matrix[:, places], PLAIN, WORDS)


def test_what_moved_the_score_from_one_model_to_the_next_is_found() -> None:
    """A feature that the first did not know moved it most, at the value that it had wrong; slices follow."""
    exchange = [WORDS["exchange"][int(code)] for code in make_matrix(1000, 7)[0][:, 3]]
    exchange[0] = None
    moves = score_moves(side(0, ("rate", "noise")), side(0), {"exchange": exchange})
    first = moves.features[0]
    assert (first.feature, first.places[0].value) == ("exchange", "tanx")
    assert first.places[0].mean > 0.5 and first.moved > 2 * moves.features[1].moved
    slices = {one.value: one for one in moves.slices["exchange"]}
    assert slices["tanx"].after > 1.3 * slices["tanx"].before and slices["adx"].after < slices["adx"].before
    assert list(slices)[-1] is None and sum(one.rows for one in slices.values()) == 1000
    assert [one.rows for one in moves.deciles] == [100] * 10
    assert [one.before for one in moves.deciles] == sorted(one.before for one in moves.deciles)
    assert {one.feature for one in moves.features} == set(NAMES)
    assert moves.as_dict()["features"][0]["places"][0]["rows"] == first.places[0].rows
    lost = score_moves(side(0), side(0, ("rate", "noise"))).features[0]
    assert (lost.feature, lost.places[0].value, lost.places[0].mean < 0) == ("exchange", "tanx", True)


def test_a_model_against_itself_moves_nothing() -> None:
    """No place is named, and scores stay."""
    moves = score_moves(side(0), side(0))
    assert (moves.before, moves.start) == (moves.after, 0.0)
    assert all((one.moved, one.mean, one.places) == (0.0, 0.0, ()) for one in moves.features)
