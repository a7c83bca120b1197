"""Trees as arrays: they score as XGBoost does, to the bit, whatever the row and however the trees were grown."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xgboost

from dsp_pipeline.errors import BundleError
from dsp_pipeline.registry.forest import Forest, read_forest

from .forests import GROWN, trained


def depth(forest: Forest) -> int:
    """Of the deepest leaf."""
    deepest = 0
    for tree in forest.trees:
        level = {0: 0}
        for node in np.flatnonzero(tree.left >= 0).tolist():
            level[int(tree.left[node])] = level[int(tree.right[node])] = level[node] + 1
        deepest = max(deepest, *level.values())
    return deepest


@pytest.mark.parametrize("grown", GROWN)
def test_margins_are_those_of_xgboost_to_the_bit(grown: str) -> None:
    """Missing values, codes that training never saw, infinite and denormal values, values on a threshold."""
    one = trained(grown)
    found = read_forest(one.model).margins(one.matrix)
    assert found.dtype == np.float32
    assert np.array_equal(found, one.margins)


def test_the_models_of_these_tests_have_what_they_are_for() -> None:
    """Sets of one code and of many, both defaults at both kinds of splits, deep trees, trees of one leaf."""
    mixed = read_forest(trained("depthwise").model)
    sizes = {len(codes) for tree in mixed.trees for codes in tree.codes.values()}
    assert 1 in sizes
    assert max(sizes) > 20
    splits = {
        (node in tree.codes, bool(tree.default_left[node]))
        for tree in mixed.trees
        for node in np.flatnonzero(tree.left >= 0).tolist()
    }
    assert len(splits) == 4
    assert depth(read_forest(trained("lossguide").model)) > 12
    assert {len(tree.left) for tree in read_forest(trained("leaves").model).trees} == {1}


def test_codes_that_are_not_whole_or_negative_are_taken_as_xgboost_takes_them() -> None:
    """No contract allows them, but a forest that differed would hide a wrong row."""
    one = trained()
    rows = one.matrix.copy()
    rows[::2, 3], rows[1::4, 3], rows[3::4, 2] = 2.5, -0.5, -7
    rows[::5, 3], rows[1::5, 3] = 2.0**24, np.inf
    expected = one.booster.inplace_predict(rows, predict_type="margin")
    assert np.array_equal(read_forest(one.model).margins(rows), expected)


def test_trees_that_were_pruned_and_models_that_stopped_early_score_alike() -> None:
    """Pruning leaves dead nodes behind, and a slice of a booster is what early stopping keeps."""
    random = np.random.default_rng(3)
    matrix = random.normal(size=(500, 2)).astype(np.float32)
    rows = xgboost.DMatrix(matrix, label=matrix[:, 0] > random.normal(size=500), feature_names=["a", "b"])
    given = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1, "gamma": 3.0, "tree_method": "exact"}
    booster = xgboost.train(given, rows, 10)  # its base_score is learned from the labels
    dumped = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    assert any(int(tree["tree_param"]["num_deleted"]) for tree in dumped)
    first = booster[:4]
    found = read_forest(bytes(first.save_raw("ubj")))
    assert len(found.trees) == 4
    assert np.array_equal(found.margins(matrix), first.inplace_predict(matrix, predict_type="margin"))


@pytest.mark.parametrize("rate", [0.5, 0.0079, 0.9999, 1e-6])
def test_the_base_margin_is_xgboosts_own(rate: float) -> None:
    """Log odds of `base_score`, of whatever size."""
    matrix = np.zeros((4, 1), dtype=np.float32)
    rows = xgboost.DMatrix(matrix, label=[0, 1, 0, 1], feature_names=["a"])
    booster = xgboost.train({"objective": "binary:logistic", "base_score": rate, "nthread": 1}, rows, 2)
    found = read_forest(bytes(booster.save_raw("ubj")))
    assert float(found.base_margin) == pytest.approx(np.log(rate / (1 - rate)), rel=1e-5)
    assert np.array_equal(found.margins(matrix), booster.inplace_predict(matrix, predict_type="margin"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"objective": "reg:squarederror"}, "binary:logistic"),
        ({"objective": "multi:softprob", "num_class": 2}, "binary:logistic"),
        ({"objective": "binary:logistic", "booster": "dart"}, "gbtree"),
        ({"objective": "binary:logistic", "booster": "gblinear"}, "gbtree"),
    ],
)
def test_a_model_of_another_kind_is_refused(given: dict[str, Any], told: str) -> None:
    """The sentence says what to train instead."""
    rows = xgboost.DMatrix(np.zeros((4, 1), dtype=np.float32), label=[0, 1, 0, 1], feature_names=["a"])
    booster = xgboost.train({**given, "nthread": 1, "verbosity": 0}, rows, 1)
    with pytest.raises(BundleError, match=told):
        read_forest(bytes(booster.save_raw("ubj")))


def test_a_model_without_names_of_features_is_refused() -> None:
    """They are what a contract is held against."""
    rows = xgboost.DMatrix(np.zeros((4, 1), dtype=np.float32), label=[0, 1, 0, 1])
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, rows, 1)
    with pytest.raises(BundleError, match="feature_names"):
        read_forest(bytes(booster.save_raw("ubj")))


def test_bytes_that_are_no_model_are_refused() -> None:
    """By name, in one sentence."""
    with pytest.raises(BundleError, match=r"^x/model\.ubj is no XGBoost model"):
        read_forest(b"not a model", "x/model.ubj")
