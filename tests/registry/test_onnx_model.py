"""model.onnx: ONNX Runtime gives XGBoost's calibrated probability from what a bidder has, texts included."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import xgboost
from numpy.typing import NDArray

from dsp_pipeline.errors import BundleError
from dsp_pipeline.registry.calibration import Calibration
from dsp_pipeline.registry.contract import MISSING_WORD
from dsp_pipeline.registry.forest import read_forest
from dsp_pipeline.registry.onnx_model import write_onnx

from .forests import GROWN, ISOTONIC, NONE, PLATT, WORDS, as_table, make_contract, trained

STEEP = {**ISOTONIC, "margins": [-2.0, -1.9999999, 0.0], "probabilities": [0.01, 0.3, 0.31]}
ONE_KNOT = {**ISOTONIC, "margins": [0.1], "probabilities": [0.3]}


def run(model: bytes, inputs: dict[str, NDArray[Any]], threads: int = 1) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["probability"], inputs)[0])


def inputs_of(matrix: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """The rows as a bidder hands them in: the last feature is words."""
    words = as_table(matrix)["exchange"].fill_null(MISSING_WORD).to_pylist()
    return {"features": matrix[:, :4].copy(), "words": np.asarray(words, dtype=object)[:, None]}


def encoded(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the trees see of the same rows: of a word that is in no vocabulary, nothing."""
    known = as_table(matrix)["exchange"].to_pylist()
    codes = [WORDS.index(word) if word in WORDS else np.nan for word in known]
    return np.column_stack([matrix[:, :4], np.asarray(codes, dtype=np.float32)])


def expected(grown: str, calibration: dict[str, Any]) -> NDArray[np.float64]:
    one = trained(grown)
    margins = one.booster.inplace_predict(encoded(one.matrix), predict_type="margin")
    return Calibration.read({"calibration": calibration}, "here").apply(margins)


@pytest.mark.parametrize("grown", GROWN)
@pytest.mark.parametrize("calibration", [NONE, PLATT, ISOTONIC, STEEP, ONE_KNOT])
def test_the_probability_is_xgboosts_calibrated(grown: str, calibration: dict[str, Any]) -> None:
    """Off by no more than the rounding to float32, relative to the probability however small it is."""
    one = trained(grown)
    found = run(write_onnx(one.model, make_contract(calibration)), inputs_of(one.matrix))
    assert found.dtype == np.float32
    assert found.shape == (len(one.matrix),)
    assert np.allclose(found, expected(grown, calibration), rtol=1e-7, atol=0)


def test_rows_one_by_one_and_on_several_threads_give_the_same() -> None:
    """On several threads sums are added in another order: the difference stays far below 1e-6."""
    one = trained()
    model, inputs = write_onnx(one.model, make_contract()), inputs_of(one.matrix)
    together = run(model, inputs)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    alone = [
        session.run(None, {name: value[row : row + 1] for name, value in inputs.items()})[0][0] for row in range(50)
    ]
    assert np.abs(np.asarray(alone) - together[:50]).max() < 5e-7
    assert np.abs(run(model, inputs, threads=2) - together).max() < 5e-7


def test_small_probabilities_keep_their_digits() -> None:
    """A bid is a price times this: 3e-9 must not become 0, as it would by float32's sigmoid."""
    one = trained("leaves")
    found = run(write_onnx(one.model, make_contract({**NONE, "offset": -18.0})), inputs_of(one.matrix))
    assert found == pytest.approx(expected("leaves", {**NONE, "offset": -18.0}), rel=1e-6)
    assert 0 < found.max() < 1e-8


def only(names: list[str], matrix: NDArray[np.float32], words: dict[str, list[str]]) -> tuple[bytes, dict[str, Any]]:
    """A model of these columns, with its contract; those that have words are categories."""
    kinds = ["c" if name in words else "float" for name in names]
    label = np.nan_to_num(matrix).sum(axis=1) > np.nan_to_num(matrix).sum(axis=1).mean()
    rows = xgboost.DMatrix(matrix, label=label, feature_names=names, feature_types=kinds, enable_categorical=True)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, rows, 5)
    features = [
        {"name": name, "type": "category", "words": words[name]} if name in words else {"name": name, "type": "number"}
        for name in names
    ]
    return bytes(booster.save_raw("ubj")), {"features": features, "calibration": NONE}


def margins_of(model: bytes, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-read_forest(model).margins(matrix).astype(np.float64)))


def test_there_are_only_the_inputs_that_there_are_features_for() -> None:
    """Numbers alone need no words, words alone no numbers; several words may lie between numbers."""
    random = np.random.default_rng(4)
    numbers = random.normal(size=(300, 2)).astype(np.float32)
    codes = random.integers(0, 3, (300, 2)).astype(np.float32)
    known = {"a": ["x", "y", "z"], "b": ["z", "x", "y"]}
    text = np.asarray([[known["a"][int(a)], known["b"][int(b)]] for a, b in codes], dtype=object)

    model, contract = only(["n", "m"], numbers, {})
    assert run(write_onnx(model, contract), {"features": numbers}) == pytest.approx(
        margins_of(model, numbers), rel=1e-6
    )
    model, contract = only(["a", "b"], codes, known)
    assert run(write_onnx(model, contract), {"words": text}) == pytest.approx(margins_of(model, codes), rel=1e-6)
    mixed = np.column_stack([codes[:, 0], numbers[:, 0], codes[:, 1], numbers[:, 1]])
    model, contract = only(["a", "n", "b", "m"], mixed, known)
    found = run(write_onnx(model, contract), {"features": numbers, "words": text})
    assert found == pytest.approx(margins_of(model, mixed), rel=1e-6)


def test_a_category_of_which_training_saw_no_word_is_always_missing() -> None:
    """Its column held nothing but nulls."""
    random = np.random.default_rng(4)
    matrix = np.column_stack([random.normal(size=200), np.full(200, np.nan)]).astype(np.float32)
    model, contract = only(["n", "a"], matrix, {"a": []})
    text = np.full((200, 1), "anything", dtype=object)
    found = run(write_onnx(model, contract), {"features": matrix[:, :1].copy(), "words": text})
    assert found == pytest.approx(margins_of(model, matrix), rel=1e-6)


def test_the_same_model_gives_the_same_bytes_and_tells_its_contract() -> None:
    """Who has only this file knows its columns."""
    one = trained()
    made = write_onnx(one.model, make_contract())
    assert made == write_onnx(one.model, make_contract())
    loaded = onnx.load_from_string(made)
    onnx.checker.check_model(loaded, full_check=True)
    assert loaded.producer_name == "dsp-pipeline"
    assert json.loads({one.key: one.value for one in loaded.metadata_props}["contract"]) == make_contract()


def test_a_contract_that_is_not_the_models_is_refused() -> None:
    """And a word that could not be told from a missing one."""
    contract = make_contract()
    *others, exchange = contract["features"]
    with pytest.raises(BundleError, match="name other features"):
        write_onnx(trained().model, {**contract, "features": others})
    for word in ("a\0b", "\uffff"):
        with pytest.raises(BundleError, match=r"exchange holds U\+0000 or U\+FFFF"):
            write_onnx(trained().model, {**contract, "features": [*others, {**exchange, "words": ["a", word]}]})
    with pytest.raises(BundleError, match="lists a word twice"):
        write_onnx(trained().model, {**contract, "features": [*others, {**exchange, "words": ["a", "a"]}]})
