"""Trees from pages on disk. The only module of training that imports XGBoost when it is loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from xgboost.callback import TrainingCallback

from dsp_pipeline.training.model import CATEGORY, Feature
from dsp_pipeline.training.pages import Pages
from dsp_pipeline.training.parameters import Value

Progress = Callable[[int, int, float], None]
_MAX_BIN = 256  # XGBoost's default, given explicitly as matrix and trees must agree on it
_SAMPLE_ROWS = 10_000


def grow(
    pages: Pages,
    features: tuple[Feature, ...],
    parameters: Mapping[str, Value],
    rounds: int,
    *,
    threads: int,
    seed: int,
    scratch: Path,
    progress: Progress | None,
) -> xgboost.Booster:
    """A booster of `rounds` trees. `progress` hears the log loss on a sample of the rows, which costs little."""
    max_bin = int(parameters.get("max_bin", _MAX_BIN))
    matrix = xgboost.ExtMemQuantileDMatrix(
        _PageReader(pages, features, scratch / "trees"),
        max_bin=max_bin,
        nthread=threads,
        enable_categorical=True,
    )
    return xgboost.train(
        {
            **parameters,
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "tree_method": "hist",
            "max_bin": max_bin,
            "base_score": pages.positives / pages.rows,
            "nthread": threads,
            "seed": seed,
            "verbosity": 0,
        },
        matrix,
        num_boost_round=rounds,
        evals=[(_sample(pages, features), "sample")] if progress else [],
        verbose_eval=False,
        callbacks=[_Reporter(progress, rounds)] if progress else None,
    )


def score(booster: xgboost.Booster, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probabilities of rows of shape (rows, features), shape (rows,)."""
    return np.asarray(booster.inplace_predict(matrix, missing=np.nan), dtype=np.float32)


def margins(booster: xgboost.Booster, matrix: NDArray[np.float32], first: int, end: int) -> NDArray[np.float64]:
    """The sum of the trees `first` to `end` - 1, with the intercept, in log odds; shape (rows,)."""
    found = booster.inplace_predict(matrix, iteration_range=(first, end), predict_type="margin", missing=np.nan)
    return np.asarray(found, dtype=np.float64)


def intercept(booster: xgboost.Booster) -> float:
    """What the booster predicts before its first tree, in log odds."""
    config = json.loads(booster.save_config())
    rate = float(str(config["learner"]["learner_model_param"]["base_score"]).strip("[]"))
    return math.log(rate / (1 - rate))


class _PageReader(xgboost.DataIter):
    """Hands XGBoost one page after another; it quantises them and keeps the result in files beside `cache`."""

    def __init__(self, pages: Pages, features: tuple[Feature, ...], cache: Path) -> None:
        super().__init__(cache_prefix=str(cache), release_data=True)
        self._pages, self._next = pages.pages, 0
        self._names, self._types = _names(features), _types(features)

    def next(self, input_data: Callable[..., Any]) -> bool:
        if self._next == len(self._pages):
            return False
        matrix, labels = self._pages[self._next].read()
        self._next += 1
        input_data(data=matrix, label=labels, feature_names=self._names, feature_types=self._types)
        return True

    def reset(self) -> None:
        self._next = 0


def _names(features: tuple[Feature, ...]) -> list[str]:
    return [feature.name for feature in features]


def _types(features: tuple[Feature, ...]) -> list[str]:
    return ["c" if feature.kind == CATEGORY else "float" for feature in features]


def _sample(pages: Pages, features: tuple[Feature, ...]) -> xgboost.DMatrix:
    """Some rows of the first page, evenly spaced."""
    matrix, labels = pages.pages[0].read()
    step = max(1, len(labels) // _SAMPLE_ROWS)
    return xgboost.DMatrix(
        matrix[::step].copy(),
        label=labels[::step].copy(),
        feature_names=_names(features),
        feature_types=_types(features),
        enable_categorical=True,
    )


class _Reporter(TrainingCallback):
    def __init__(self, progress: Progress, rounds: int) -> None:
        super().__init__()
        self._progress, self._rounds = progress, rounds

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self._progress(epoch + 1, self._rounds, float(evals_log["sample"]["logloss"][-1]))
        return False
