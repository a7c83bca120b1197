"""model.onnx: the whole way from a row to a probability, for any language that has ONNX Runtime.

Inputs, each of shape [rows, n], n being how many of the contract's features are of that kind, in its order; an input
without features is not there:

    features   float32   numbers and whole codes; NaN where missing
    words      string    words; any text that is no word of the feature where missing, such as MISSING_WORD

Output: `probability`, float32, shape [rows].

What was found out about ONNX Runtime (1.32; tests/registry/test_onnx_model.py holds it against XGBoost):

- TreeEnsemble (ai.onnx.ml 5) compares in float32 and adds float32 in the order of the trees, after which it adds
  base values. So the base margin is a tree of its own, the first: then the sum is XGBoost's, to the bit, on one thread.
- Sets of categories are nodes of mode BRANCH_MEMBER. As chains of BRANCH_EQ that share their true child, as the older
  TreeEnsembleRegressor needs them, a model of 200 trees was seven times as large, loaded ten times as slowly and scored
  three times as slowly.
- Sigmoid of float32 is an approximation: 0.6 % off at -12, and 0 below -18. So what follows the trees is in float64.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from dsp_pipeline.registry.calibration import ISOTONIC, Calibration
from dsp_pipeline.registry.contract import MISSING_WORD, Column, columns_of
from dsp_pipeline.registry.forest import Forest, Tree, read_forest

FEATURES, WORDS, PROBABILITY = "features", "words", "probability"
CONTRACT = "contract"  # the key of the model's metadata that holds features.json
_OPSETS = {"": 21, "ai.onnx.ml": 5}
_IR_VERSION = 10
_LESS, _MEMBER = 1, 6  # node modes: value < split; value is in a set


def write_onnx(model: bytes, contract: Mapping[str, Any], where: str = "features.json") -> bytes:
    """The ONNX model of an XGBoost model and its contract; equal bytes for equal ones.

    BundleError if they do not belong together, or if the model is of a kind that is not exported.
    """
    forest = read_forest(model)
    columns = columns_of(contract, forest, where)
    calibration = Calibration.read(contract, where)
    plain = [place for place, column in enumerate(columns) if column.words is None]
    worded = [place for place, column in enumerate(columns) if column.words is not None]
    graph = _Graph()
    inputs = [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["rows", len(plain)])] if plain else []
    if worded:
        inputs.append(helper.make_tensor_value_info(WORDS, TensorProto.STRING, ["rows", len(worded)]))
    places = {place: at for at, place in enumerate([*plain, *worded])}
    matrix = _encode(graph, [columns[place] for place in worded], bool(plain))
    margin = graph.add("TreeEnsemble", [matrix], domain="ai.onnx.ml", **_ensemble(forest, places))
    probability = _calibrate(graph, graph.add("Cast", [margin], to=TensorProto.DOUBLE), calibration)
    single = graph.add("Cast", [probability], to=TensorProto.FLOAT)
    graph.add("Reshape", [single, graph.constant(np.asarray([-1], dtype=np.int64))], PROBABILITY)
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "score",
            inputs,
            [helper.make_tensor_value_info(PROBABILITY, TensorProto.FLOAT, ["rows"])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()],
        ir_version=_IR_VERSION,
        producer_name="dsp-pipeline",
    )
    helper.set_model_props(made, {CONTRACT: json.dumps(contract, sort_keys=True, allow_nan=False)})
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString(deterministic=True))


@dataclass
class _Graph:
    """Nodes in the order in which they run, and constants; each value is named by its number."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def add(self, operator: str, inputs: Sequence[str], output: str = "", /, **attributes: Any) -> str:
        """Returns the name of the node's output."""
        name = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: NDArray[Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name


def _encode(graph: _Graph, worded: Sequence[Column], plain: bool) -> str:
    """A float32 matrix of all features, those of words last, as codes."""
    parts = [FEATURES] if plain else []
    for place, column in enumerate(worded):
        words = WORDS
        if len(worded) > 1:
            words = graph.add("Gather", [WORDS, graph.constant(np.asarray([place], dtype=np.int64))], axis=1)
        known = column.words or (MISSING_WORD,)  # an encoder of no words would be refused
        codes = [float(code) if column.words else float("nan") for code in range(len(known))]
        given = {"domain": "ai.onnx.ml", "keys_strings": list(known), "values_floats": codes}
        parts.append(graph.add("LabelEncoder", [words], default_float=float("nan"), **given))
    return graph.add("Concat", parts, axis=1) if len(parts) > 1 else parts[0]


def _ensemble(forest: Forest, places: Mapping[int, int]) -> dict[str, Any]:
    """Attributes of a TreeEnsemble. `places` maps a feature to its column.

    A node has two children, so a tree that is one leaf becomes a test that leads to it whatever the answer.
    """
    column = np.asarray([places[place] for place in range(len(places))], dtype=np.int64)
    parts = [_one_leaf(forest.base_margin)]
    parts += [_inner(tree) if tree.left[0] >= 0 else _one_leaf(tree.threshold[0]) for tree in forest.trees]
    nodes = np.cumsum([0, *(len(part.feature) for part in parts)])
    leaves = np.cumsum([0, *(len(part.leaves) for part in parts)])

    def children(name: str) -> tuple[list[int], list[int]]:
        """Which node or leaf is the child, and whether it is a leaf."""
        is_leaf = np.concatenate([getattr(part, f"{name}_leaf") for part in parts])
        local = np.concatenate([getattr(part, name) for part in parts])
        sizes = [len(part.feature) for part in parts]
        return (local + np.where(is_leaf, np.repeat(leaves[:-1], sizes), np.repeat(nodes[:-1], sizes))).tolist(), (
            is_leaf.astype(np.int64).tolist()
        )

    true, true_leaf = children("true")
    false, false_leaf = children("false")
    members = [codes for part in parts for codes in part.members]
    values = np.concatenate([part.leaves for part in parts])
    made = {
        "n_targets": 1,
        "aggregate_function": 1,  # sum
        "post_transform": 0,  # none
        "tree_roots": nodes[:-1].tolist(),
        "nodes_featureids": column[np.concatenate([part.feature for part in parts])].tolist(),
        "nodes_modes": _tensor("nodes_modes", np.concatenate([part.mode for part in parts])),
        "nodes_splits": _tensor("nodes_splits", np.concatenate([part.split for part in parts])),
        "nodes_truenodeids": true,
        "nodes_trueleafs": true_leaf,
        "nodes_falsenodeids": false,
        "nodes_falseleafs": false_leaf,
        "nodes_missing_value_tracks_true": np.concatenate([part.missing_true for part in parts]).tolist(),
        "leaf_targetids": [0] * len(values),
        "leaf_weights": _tensor("leaf_weights", values),
    }
    if members:  # sets are divided by NaN
        divided = [np.append(codes.astype(np.float32), np.float32(np.nan)) for codes in members]
        made["membership_values"] = _tensor("membership_values", np.concatenate(divided))
    return made


@dataclass(frozen=True, eq=False)
class _Part:
    """A tree as TreeEnsemble has it: n tests and m leaves, numbered apart, both from 0; the first test is the root."""

    feature: NDArray[np.int64]
    mode: NDArray[np.uint8]
    split: NDArray[np.float32]
    true: NDArray[np.int64]
    true_leaf: NDArray[np.bool_]
    false: NDArray[np.int64]
    false_leaf: NDArray[np.bool_]
    missing_true: NDArray[np.int64]
    leaves: NDArray[np.float32]
    members: Sequence[NDArray[np.int32]]


def _inner(tree: Tree) -> _Part:
    """True leads left at the test of a number, value < split, and right at a set, which holds what goes right."""
    inner = tree.left >= 0
    number = np.where(inner, np.cumsum(inner), np.cumsum(~inner)) - 1  # among tests, or among leaves
    at = np.flatnonzero(inner)
    member = np.isin(at, list(tree.codes))
    true = np.where(member, tree.right[at], tree.left[at])
    false = np.where(member, tree.left[at], tree.right[at])
    return _Part(
        feature=tree.feature[at].astype(np.int64),
        mode=np.where(member, _MEMBER, _LESS).astype(np.uint8),
        split=np.where(member, np.float32(0), tree.threshold[at]).astype(np.float32),
        true=number[true],
        true_leaf=~inner[true],
        false=number[false],
        false_leaf=~inner[false],
        missing_true=(tree.default_left[at] != member).astype(np.int64),
        leaves=tree.threshold[~inner],
        members=[tree.codes[node] for node in at[member].tolist()],
    )


def _one_leaf(value: np.float32) -> _Part:
    first, always = np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.bool_)
    leaves = np.full(2, value, dtype=np.float32)
    less = np.full(1, _LESS, dtype=np.uint8)
    return _Part(first, less, np.zeros(1, np.float32), first, always, first + 1, always, first, leaves, ())


def _calibrate(graph: _Graph, margin: str, calibration: Calibration) -> str:
    """From a margin to a probability, both float64 of shape [rows, 1]."""
    if calibration.kind != ISOTONIC:
        slope = np.asarray(calibration.slope, dtype=np.float64)
        shift = np.asarray(calibration.slope * calibration.offset + calibration.intercept, dtype=np.float64)
        scaled = graph.add("Mul", [margin, graph.constant(slope)])
        return graph.add("Sigmoid", [graph.add("Add", [scaled, graph.constant(shift)])])
    # A line through knots is the first probability and what is gained on the way through each piece between two knots.
    margins = np.asarray(calibration.margins, dtype=np.float64)
    probabilities = np.asarray(calibration.probabilities, dtype=np.float64)
    if len(margins) == 1:  # a piece of no slope
        margins, probabilities = np.append(margins, margins + 1), np.repeat(probabilities, 2)
    widths = np.diff(margins)
    slopes = (np.diff(probabilities) / widths)[:, None]
    begin = graph.constant((margins[:-1] - calibration.offset)[None, :])
    above = graph.add("Max", [graph.add("Sub", [margin, begin]), graph.constant(np.zeros(1))])
    way = graph.add("Min", [above, graph.constant(widths[None, :])])
    gained = graph.add("MatMul", [way, graph.constant(slopes)])
    return graph.add("Add", [gained, graph.constant(probabilities[:1])])


def _tensor(name: str, values: NDArray[Any]) -> TensorProto:
    return numpy_helper.from_array(values, name)
