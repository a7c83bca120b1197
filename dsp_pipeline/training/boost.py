"""Trees from pages on disk. With explain.py the only module of training that imports XGBoost when it is loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from xgboost.callback import EarlyStopping, TrainingCallback

from dsp_pipeline.training.encode import Encoder
from dsp_pipeline.training.model import CATEGORY, Model
from dsp_pipeline.training.pages import Pages

Progress = Callable[[int, int, float], None]
MAX_BIN = 256  # XGBoost's default, given explicitly as matrix and trees must agree on it
_POINTS = 50  # of a curve, at most


@dataclass(frozen=True)
class CurvePoint:
    """Log loss, in nats, of the first `rounds` trees on the training rows and on those of the validation day."""

    rounds: int
    train_log_loss: float
    validation_log_loss: float | None


@dataclass(frozen=True)
class Grown:
    """A booster that ends at its best tree, and how its loss fell; the curve goes on to where it was stopped."""

    booster: xgboost.Booster
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class Soil:
    """What trees are grown from. `offset` is ln(negative_share): what a margin lacks on rows that are not sampled."""

    model: Model
    encoder: Encoder
    train: Pages
    validation: Pages | None
    offset: float
    threads: int
    seed: int


def grow(soil: Soil, scratch: Path, progress: Progress | None) -> Grown:
    """Up to `rounds` trees; fewer if the validation day's log loss has not fallen for `early_stopping_rounds`.

    Rows are quantised into files in `scratch` (ExtMemQuantileDMatrix), and so memory hardly grows with them.
    """
    parameters, features = parameters_of(soil), column_types(soil.model)
    options = {"max_bin": parameters["max_bin"], "nthread": soil.threads, "enable_categorical": True}
    train = xgboost.ExtMemQuantileDMatrix(_PageReader(soil, soil.train, features, scratch / "train"), **options)
    watched = [(train, "train")]
    if soil.validation is not None:
        reader = _PageReader(
            soil, soil.validation, features, scratch / "validation", base_margin(soil), highest=highest_codes(soil)
        )
        watched.append((xgboost.ExtMemQuantileDMatrix(reader, ref=train, **options), "validation"))
    told: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        parameters,
        train,
        num_boost_round=soil.model.rounds,
        evals=watched,
        evals_result=told,
        verbose_eval=False,
        callbacks=[*stopping(soil), *([Reporter(progress, soil.model.rounds)] if progress else [])],
    )
    return Grown(booster, curve(told))


def parameters_of(soil: Soil) -> dict[str, Any]:
    """All that XGBoost is told. The intercept is the training rows' own share of positives: trees then start from a
    calibrated prediction, and it does not depend on how a version of XGBoost estimates it.
    """
    features = soil.model.features
    increasing = [int(feature.increasing) for feature in features]
    return {
        "max_bin": MAX_BIN,
        **soil.model.parameters,
        **({"monotone_constraints": f"({','.join(map(str, increasing))})"} if any(increasing) else {}),
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "base_score": soil.train.positive_share,
        "nthread": soil.threads,
        "seed": soil.seed,
        "verbosity": 0,
    }


def column_types(model: Model) -> dict[str, list[str]]:
    """Names and types of the features, as XGBoost takes them."""
    return {
        "feature_names": [feature.name for feature in model.features],
        "feature_types": ["c" if feature.kind == CATEGORY else "float" for feature in model.features],
    }


def base_margin(soil: Soil) -> float:
    """Where the margins of rows begin that are not sampled: the intercept, corrected for the sampling."""
    share = soil.train.positive_share
    return math.log(share / (1 - share)) + soil.offset


def curve(told: dict[str, dict[str, list[float]]]) -> tuple[CurvePoint, ...]:
    """Evenly spaced points of what XGBoost tells of its evaluations; the last one is always among them."""
    train = told["train"]["logloss"]
    validation = told["validation"]["logloss"] if "validation" in told else None
    steps = min(len(train), _POINTS)
    ends = [round(len(train) * step / steps) for step in range(1, steps + 1)]
    return tuple(CurvePoint(end, train[end - 1], validation[end - 1] if validation else None) for end in ends)


def margins(booster: xgboost.Booster, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """The sum of the trees with the intercept, in log odds, of rows of shape (rows, features); shape (rows,)."""
    return np.asarray(booster.inplace_predict(matrix, predict_type="margin", missing=np.nan), dtype=np.float64)


def trees(booster: xgboost.Booster) -> int:
    return int(booster.num_boosted_rounds())


def gain(booster: xgboost.Booster, names: Sequence[str]) -> dict[str, float]:
    """Each feature's share of what all splits took off the training loss (they sum to 1); 0 if no tree uses it."""
    found = booster.get_score(importance_type="total_gain")
    gains = {name: float(found.get(name, 0.0)) for name in names}  # type: ignore[arg-type]
    total = math.fsum(gains.values())
    return {name: one / total if total else 0.0 for name, one in gains.items()}


def model_bytes(booster: xgboost.Booster) -> bytes:
    """The model in XGBoost's own UBJSON: equal bytes for equal rows in equal order, seed and threads."""
    for name in booster.attributes():  # the stopping leaves its state, which is in the curve
        booster.set_attr(**{name: None})
    return bytes(booster.save_raw("ubj"))


def intercept(booster: xgboost.Booster) -> float:
    """What the booster predicts before its first tree, in log odds."""
    config = json.loads(booster.save_config())
    rate = float(str(config["learner"]["learner_model_param"]["base_score"]).strip("[]"))
    return math.log(rate / (1 - rate))


def stopping(soil: Soil) -> list[TrainingCallback]:
    """What ends the trees at the best one, if there is a day to tell which that is."""
    if soil.validation is None or not soil.model.early_stopping_rounds:
        return []
    return [EarlyStopping(rounds=soil.model.early_stopping_rounds, data_name="validation", save_best=True)]


def highest_codes(soil: Soil) -> list[float]:
    """The highest code of each category that the trees know, infinite for numbers."""
    codes = soil.encoder.codes
    return [codes.get(feature.name, math.inf) - 1 for feature in soil.model.features]


class _PageReader(xgboost.DataIter):
    """Hands XGBoost one page after another; it quantises them and keeps the result in files beside `cache`.

    A code above `highest` is handed over as missing: a quantised matrix has no bin for what training has not met.
    """

    def __init__(
        self,
        soil: Soil,
        pages: Pages,
        features: dict[str, list[str]],
        cache: Path,
        margin: float | None = None,
        highest: Sequence[float] | None = None,
    ) -> None:
        super().__init__(cache_prefix=str(cache), release_data=True)
        self._pages, self._next, self._features = pages.pages, 0, features
        # All pages or none: a page that is handed over without weights would get those of the page before it.
        self._weighted = soil.model.weight is not None
        self._margin, self._highest = margin, None if highest is None else np.asarray(highest, dtype=np.float32)

    def next(self, input_data: Callable[..., Any]) -> bool:
        if self._next == len(self._pages):
            return False
        matrix, labels, weights = self._pages[self._next].read()
        self._next += 1
        given: dict[str, Any] = dict(self._features)
        if self._margin is not None:
            given["base_margin"] = np.full(len(labels), self._margin, dtype=np.float32)
        if self._highest is not None:
            matrix[matrix > self._highest] = np.nan
        if self._weighted:
            given["weight"] = weights
        input_data(data=matrix, label=labels, **given)
        return True

    def reset(self) -> None:
        self._next = 0


class Reporter(TrainingCallback):
    """Tells the round (from 1), the number of rounds and the newest log loss: the validation day's, if there is one."""

    def __init__(self, progress: Progress, rounds: int) -> None:
        super().__init__()
        self._progress, self._rounds = progress, rounds

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        newest = evals_log.get("validation", evals_log["train"])
        self._progress(epoch + 1, self._rounds, float(newest["logloss"][-1]))
        return False
