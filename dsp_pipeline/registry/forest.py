"""The trees of an XGBoost model as arrays, scored as XGBoost scores them, to the bit.

What XGBoost 3.2 does with a value v at a node, found by comparing with it (tests/registry/test_forest.py):

- NaN goes where the node's default says;
- a number goes left if v < threshold, compared in float32;
- a category goes right if its code is in the node's set, else left: a negative code, or one that training never saw,
  is in no set. A split of one code against the rest is a set of one code.

A margin is the float32 sum of the base margin and of one leaf of each tree, added in the order of the trees.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp_pipeline.errors import BundleError, first_line


@dataclass(frozen=True, eq=False)
class Tree:
    """A tree of n nodes, the root first; each array is of shape (n,).

    A leaf has no children (-1), and its `threshold` is the value that it adds. `codes` are the sets of the categorical
    splits by node: what goes right, sorted.
    """

    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    default_left: NDArray[np.bool_]
    codes: Mapping[int, NDArray[np.int32]]


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees over `features`, of which `categories` tells which hold codes. `base_margin` is in log odds."""

    base_margin: np.float32
    features: tuple[str, ...]
    categories: tuple[bool, ...]
    trees: tuple[Tree, ...]

    def margins(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The margins of rows of shape (rows, features), shape (rows,)."""
        total = np.full(len(matrix), self.base_margin, dtype=np.float32)
        for tree in self.trees:
            total += tree.threshold[_leaves(tree, matrix)]
        return total


@contextmanager
def refusing_what_is_no_model(where: str) -> Iterator[None]:
    """BundleError, naming `where`, if XGBoost cannot read what the block has it read."""
    import xgboost

    try:
        yield
    except (xgboost.core.XGBoostError, ValueError) as error:  # of bytes that are no text it makes a ValueError
        raise BundleError(f"{where} is no XGBoost model ({first_line(error)}); export the model again.") from error


def read_forest(model: bytes, where: str = "model.ubj") -> Forest:
    """The trees of a model of one probability, as `Booster.save_raw` gives it.

    BundleError, naming `where`, if it is no such model.
    """
    import xgboost

    with refusing_what_is_no_model(where):
        booster = xgboost.Booster(model_file=bytearray(model))
        raw = json.loads(booster.save_raw("json"))
    learner = raw["learner"]
    names = tuple(booster.feature_names or ())
    _check(learner, names, where)
    return Forest(
        _base_margin(raw),
        names,
        tuple(kind == "c" for kind in booster.feature_types or ["float"] * len(names)),
        tuple(_tree(one, where) for one in learner["gradient_booster"]["model"]["trees"]),
    )


def _check(learner: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    """BundleError if the model is of a kind that these arrays could not hold."""
    booster, shape = learner["gradient_booster"], learner["learner_model_param"]
    objective = learner["objective"]["name"]
    if booster["name"] != "gbtree":
        raise BundleError(f"{where} is of booster {booster['name']!r}; train with the booster gbtree.")
    if objective != "binary:logistic" or shape["num_target"] != "1":
        raise BundleError(f"{where} has objective {objective!r}; train one probability with binary:logistic.")
    if not names:
        raise BundleError(f"{where} does not name its features; train with feature_names.")
    if booster["model"].get("cats", {}).get("enc"):
        raise BundleError(f"{where} encodes categories by itself; train on codes, not on a data frame.")


def _base_margin(raw: dict[str, Any]) -> np.float32:
    """What the model gives before its first tree, asked of XGBoost itself: the model without its trees is loaded.

    `base_score` is a probability; its log odds would differ by the last bit between libraries of mathematics.
    """
    import xgboost

    model = raw["learner"]["gradient_booster"]["model"]
    sizes = {**model["gbtree_model_param"], "num_trees": "0"}
    bare = {**model, "trees": [], "tree_info": [], "iteration_indptr": [0], "gbtree_model_param": sizes}
    # A model without trees and with boost_from_average would wait for labels before it makes log odds of base_score.
    shape = {**raw["learner"]["learner_model_param"], "boost_from_average": "0"}
    booster = {**raw["learner"]["gradient_booster"], "model": bare}
    learner = {**raw["learner"], "gradient_booster": booster, "learner_model_param": shape}
    loaded = xgboost.Booster(model_file=bytearray(json.dumps({**raw, "learner": learner}).encode()))
    row = np.full((1, int(shape["num_feature"])), np.nan, dtype=np.float32)
    return np.float32(loaded.inplace_predict(row, predict_type="margin")[0])


def _tree(raw: Mapping[str, Any], where: str) -> Tree:
    firsts, sizes = raw["categories_segments"], raw["categories_sizes"]
    codes = {
        node: np.sort(np.asarray(raw["categories"][first : first + size], dtype=np.int32))
        for node, first, size in zip(raw["categories_nodes"], firsts, sizes, strict=True)
    }
    left, right = np.asarray(raw["left_children"], np.int32), np.asarray(raw["right_children"], np.int32)
    threshold = np.asarray(raw["split_conditions"], dtype=np.float64).astype(np.float32)
    if not np.isfinite(threshold).all() or not all(len(found) for found in codes.values()):
        raise BundleError(f"{where} has a tree with a value that is not finite or an empty set; train it again.")
    return Tree(
        left,
        right,
        np.asarray(raw["split_indices"], dtype=np.int32),
        threshold,
        np.asarray(raw["default_left"], dtype=np.bool_),
        {node: found for node, found in codes.items() if left[node] >= 0},
    )


def _leaves(tree: Tree, matrix: NDArray[np.float32]) -> NDArray[np.intp]:
    """The leaf that each row comes to, shape (rows,)."""
    node = np.zeros(len(matrix), dtype=np.intp)
    rows = np.arange(len(matrix)) if tree.left[0] >= 0 else np.empty(0, dtype=np.intp)
    while len(rows):
        at = node[rows]
        value = matrix[rows, tree.feature[at]]
        goes_left = value < tree.threshold[at]
        for one in tree.codes.keys() & set(at.tolist()):
            here = at == one
            goes_left[here] = ~np.isin(np.trunc(value[here]), tree.codes[one]) | (value[here] < 0)
        goes_left = np.where(np.isnan(value), tree.default_left[at], goes_left)
        node[rows] = np.where(goes_left, tree.left[at], tree.right[at])
        rows = rows[tree.left[node[rows]] >= 0]
    return node
