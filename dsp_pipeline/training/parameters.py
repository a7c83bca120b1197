"""Which settings of the trees a team may choose: XGBoost's parameters that make sense for a probability.

Names and ranges follow XGBoost's parameter reference (https://xgboost.readthedocs.io/en/stable/parameter.html). What
the platform decides itself (threads, seed, tree method, intercept) is not among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dsp_pipeline.errors import UnknownNameError

Value = int | float | str

MAX_ROUNDS = 10_000
# What an arm may change beside XGBoost's parameters: fields of a model.
RECIPE = ("rounds", "early_stopping_rounds", "negative_share")

_ALIASES = {
    "learning_rate": "eta",
    "min_split_loss": "gamma",
    "reg_lambda": "lambda",
    "reg_alpha": "alpha",
}

_REFUSED = {
    "scale_pos_weight": "it moves the predicted rate away from the observed one, and a bid is made of that rate",
    "base_score": "it is set to the rate of positives in the training rows",
    "tree_method": "it is always hist, which can train from disk",
    "nthread": "it is a setting of the platform (threads)",
    "n_jobs": "it is a setting of the platform (threads)",
    "seed": "it is set by the platform, so that the same rows give the same model",
    "random_state": "it is set by the platform, so that the same rows give the same model",
    "eval_metric": "every model is judged by the same metrics",
    "num_boost_round": "write `rounds` instead",
    "n_estimators": "write `rounds` instead",
}


@dataclass(frozen=True)
class _Range:
    """A number from `low` to `high`, whole if `whole`; `open_low` leaves `low` itself out."""

    low: float
    high: float | None = None
    whole: bool = False
    open_low: bool = False

    def holds(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < float("inf") if self.high is None else value <= self.high)

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        low = f"above {self.low:g}" if self.open_low else f"from {self.low:g}"
        return f"{kind} {low}" + ("" if self.high is None else f" to {self.high:g}")


@dataclass(frozen=True)
class _Word:
    words: tuple[str, ...]

    def holds(self, value: object) -> bool:
        return value in self.words

    def __str__(self) -> str:
        return " or ".join(self.words)


_SHARE = _Range(0, 1, open_low=True)
_ALLOWED: Mapping[str, _Range | _Word] = MappingProxyType(
    {
        "objective": _Word(("binary:logistic",)),
        "eta": _Range(0, 1, open_low=True),
        "gamma": _Range(0),
        "max_depth": _Range(1, 16, whole=True),
        "max_leaves": _Range(0, 4096, whole=True),
        "grow_policy": _Word(("depthwise", "lossguide")),
        "min_child_weight": _Range(0),
        "max_delta_step": _Range(0),
        "subsample": _SHARE,
        "colsample_bytree": _SHARE,
        "colsample_bylevel": _SHARE,
        "colsample_bynode": _SHARE,
        "lambda": _Range(0),
        "alpha": _Range(0),
        "max_bin": _Range(2, 1024, whole=True),
        "max_cat_threshold": _Range(1, 4096, whole=True),
        "max_cat_to_onehot": _Range(1, 4096, whole=True),
        "device": _Word(("cpu", "cuda")),
        "rounds": _Range(1, MAX_ROUNDS, whole=True),
        "early_stopping_rounds": _Range(0, MAX_ROUNDS, whole=True),
        "negative_share": _SHARE,
    }
)


def canonical(name: str) -> str:
    """The one name of a parameter that XGBoost knows by two (`learning_rate` is `eta`)."""
    return _ALIASES.get(name, name)


def parameter_problem(name: str, value: object) -> str | None:
    """What is wrong with a parameter, as a sentence with the cure; None if nothing is."""
    if name in _REFUSED:
        return f"`{name}` cannot be chosen: {_REFUSED[name]}."
    allowed = _ALLOWED.get(canonical(name))
    if allowed is None:
        return str(UnknownNameError("parameter", name, [*_ALLOWED, *_ALIASES]))
    return None if allowed.holds(value) else f"`{name}` is {value!r}; it is {allowed}."
