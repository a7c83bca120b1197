"""The score of one row in parts, and in words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from dsp_pipeline.training.explain import Calibrate, Words, contributions, is_category, label_of, names_of

_BAR, _VALUE = 12, 24  # characters of a bar to either side, and of a value
_NAMED = 3  # features that the words name for each direction
_FLAT = 1e-3  # log odds: nearer to its beginning than that, a row lies where the calibration's slope is taken
_LEAST = 1e-15  # probabilities keep this distance from 0 and 1
_TELLING = 0.02  # log odds: what moves the score by less is not worth a word


@dataclass(frozen=True)
class Part:
    """What one feature does to a row's score: `log_odds` are added to it. `value` is None where it is missing."""

    feature: str
    value: float | int | str | None
    log_odds: float

    @property
    def odds(self) -> float:
        """What the feature multiplies the odds by."""
        return math.exp(self.log_odds)

    def __str__(self) -> str:
        return f"{self.feature} = {told(self.value)}"


@dataclass(frozen=True)
class ScoreParts:
    """The score of one row of `model`.

    `probability` is the score; its log odds are those of `start`, the score of a row of which nothing is known, and
    the `log_odds` of all `parts`, the largest first. `average` is the share of positives to compare with, if known.
    """

    model: str
    probability: float
    start: float
    parts: tuple[Part, ...]
    average: float | None = None

    def words(self) -> str:
        """Two or three sentences that a person can read out."""
        said = f"{self.model} is {percent(self.probability)}"
        if self.average:
            said += f", {_times(self.probability / self.average)} the average of {percent(self.average)}"
        raised = [part for part in self.parts if part.log_odds >= _TELLING]
        lowered = [part for part in self.parts if part.log_odds <= -_TELLING]
        told = [f"{said}."]
        if raised:
            told.append(f"It is raised most by {_listed(raised[:_NAMED])}.")
        if lowered:
            told.append(f"It is lowered most by {_listed(lowered[:_NAMED])}.")
        if not raised and not lowered:
            told.append("No feature moves it by more than 2 %.")
        return " ".join(told)

    def lines(self) -> list[str]:
        """The parts below each other, each with a bar: to the right if it raises the score, to the left if not."""
        width = max(map(len, (part.feature for part in self.parts)), default=0)
        values = [told(part.value) for part in self.parts]
        values = [value if len(value) <= _VALUE else f"{value[: _VALUE - 1]}…" for value in values]
        wide = max(map(len, values), default=0)
        longest = max((abs(part.log_odds) for part in self.parts), default=0.0) or 1.0
        made = [f"{'begins at':<{width}}  {'':>{wide}}  {percent(self.start)}"]
        for part, value in zip(self.parts, values, strict=True):
            bar = "█" * round(_BAR * abs(part.log_odds) / longest)
            left, right = ("", bar) if part.log_odds >= 0 else (bar, "")
            drawn = f"{left:>{_BAR}}│{right}"
            made.append(f"{part.feature:<{width}}  {value:>{wide}}  ×{part.odds:<5.2f} {drawn}".rstrip())
        return [*made, f"{'ends at':<{width}}  {'':>{wide}}  {percent(self.probability)}"]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        parts = [{**vars(part), "odds": part.odds} for part in self.parts]
        return {**vars(self), "parts": parts, "words": self.words()}


def score_parts(
    booster: xgboost.Booster,
    row: NDArray[np.float32],
    *,
    model: str,
    calibrate: Calibrate,
    words: Words | None = None,
    average: float | None = None,
) -> ScoreParts:
    """The score of an encoded row of shape (1, features), in parts. `calibrate` makes probabilities of margins."""
    found, start, score = calibrated_contributions(booster, row, calibrate)
    parts = [
        Part(name, _value(row[0, place], is_category(booster, place), (words or {}).get(name)), one)
        for place, (name, one) in enumerate(zip(names_of(booster), found[0].tolist(), strict=True))
    ]
    parts.sort(key=lambda part: -abs(part.log_odds))
    return ScoreParts(model, float(score[0]), float(start[0]), tuple(parts), average)


def calibrated_contributions(
    booster: xgboost.Booster, matrix: NDArray[np.float32], calibrate: Calibrate
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What each feature adds to the log odds of the calibrated score, shape (rows, features); the score of a row of
    which nothing is known, and the row's own, both of shape (rows,).

    The calibration stretches TreeSHAP's values alike by its mean slope between the two scores. That is the
    Aumann-Shapley value of a function of a sum (Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML
    2017, section 3), so the parts still sum to the score; for Platt's calibration it is the slope itself.
    """
    found, begun = contributions(booster, matrix)
    moved = found.sum(axis=1)
    start, score = calibrate(begun), calibrate(begun + moved)
    near = np.abs(moved) < _FLAT
    low, high = np.where(near, begun - _FLAT, begun), np.where(near, begun + _FLAT, begun + moved)
    slope = (log_odds(calibrate(high)) - log_odds(calibrate(low))) / (high - low)
    return found * slope[:, None], start, score


def log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    probabilities = np.clip(probabilities, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(probabilities) - np.log1p(-probabilities))


def percent(share: float) -> str:
    """A probability with two digits that say something, as 1.2 % or 0.075 %."""
    number = 100 * share
    if not 0 < number < 100:
        return f"{number:g} %"
    digits = max(0, 1 - math.floor(math.log10(min(number, 100 - number))))
    return f"{number:.{digits}f} %"


def told(value: float | int | str | None) -> str:
    if value is None:
        return "missing"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _value(code: float, is_code: bool, words: Any) -> float | int | str | None:
    if math.isnan(code):
        return None
    return label_of(int(code), words) if is_code else float(code)


def _times(ratio: float) -> str:
    if 0.95 <= ratio <= 1.05:
        return "about"
    return f"{ratio:.2g} times" if ratio < 10 else f"{ratio:.0f} times"


def _listed(parts: Iterable[Part]) -> str:
    named = [f"{part} (×{part.odds:.2f})" for part in parts]
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
