"""From the trees' log odds to probabilities that are right on a later day than the trees were grown on.

Which kind is fitted depends on how much the day knows, because a curve through noise is worse than none:

- fewer than 100 rows of the rarer label: the slope stays 1 and only the level is moved, as far as the day's labels
  carry it against a prior that a day's rate lies some 10 % beside the days before it. A day without a positive
  hardly moves anything.
- from there on `platt`: the slope by logistic regression. Of the shift b of the level, z standard errors long, the
  share max(0, 1 - 1/z²) is taken (the non-negative garrote; Breiman, "Better Subset Regression Using the Nonnegative
  Garrote", Technometrics 37, 1995): trees that learned from many days know their level better than one day that is 2 %
  beside it with 900 clicks, and not better than one that is 30 % beside it.
- `isotonic` needs 1,000 rows of the rarer label, else it is `platt`. Isotonic regression overfits small samples; with
  about 1,000 it catches up with Platt's (Niculescu-Mizil and Caruana, "Predicting Good Probabilities With Supervised
  Learning", ICML 2005, section 5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

NONE, PLATT, ISOTONIC = "none", "platt", "isotonic"
KINDS = (NONE, PLATT, ISOTONIC)
MAX_KNOTS = 256
PLATT_NEEDS, ISOTONIC_NEEDS = 100, 1_000  # rows of the rarer label
_DRIFT = 0.1  # standard deviation, in log odds, of what a day moves by itself
_KNOT_LABELS = 10.0  # rows of the rarer label that a knot stands for, at least
_RIDGE = 0.01  # keeps the slope finite when labels are separated perfectly; a hundredth of a row's weight
_LEAST = 1e-9  # knots keep this distance from 0 and 1


@dataclass(frozen=True)
class Calibration:
    """What makes a probability of a margin, the sum of the trees in log odds with the intercept.

    `offset` is ln(share of the negatives that were trained on) and is added first. With m = margin + offset:

    - `none`: p = sigmoid(m)
    - `platt`: p = sigmoid(slope * m + intercept) (Platt, "Probabilistic Outputs for Support Vector Machines", 1999)
    - `isotonic`: p is interpolated linearly between the knots (`margins`, `probabilities`) and constant outside of
      them. Margins rise strictly, probabilities do not fall and lie in (0, 1); 1 to 256 knots.
    """

    kind: str
    offset: float = 0.0
    slope: float = 1.0
    intercept: float = 0.0
    margins: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()

    def apply(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """The probabilities of margins in log odds; both of shape (rows,)."""
        shifted = np.asarray(margins, dtype=np.float64) + self.offset
        if self.kind == ISOTONIC:
            return np.interp(shifted, self.margins, self.probabilities)
        return _sigmoid(self.slope * shifted + self.intercept)

    def as_dict(self) -> dict[str, Any]:
        """What the kind uses, as plain JSON values."""
        made: dict[str, Any] = {"kind": self.kind, "offset": self.offset}
        if self.kind == PLATT:
            made.update(slope=self.slope, intercept=self.intercept)
        elif self.kind == ISOTONIC:
            made.update(margins=list(self.margins), probabilities=list(self.probabilities))
        return made

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Calibration:
        """ValueError, with a sentence, if this is no calibration that `apply` could use."""
        kind = raw.get("kind")
        if kind not in KINDS:
            raise ValueError(f"a calibration is of kind {kind!r}; it is one of {', '.join(KINDS)}.")
        offset = _number(raw, "offset")
        if kind == NONE:
            return cls(kind, offset)
        if kind == PLATT:
            return cls(kind, offset, _number(raw, "slope"), _number(raw, "intercept"))
        margins, probabilities = _numbers(raw, "margins"), _numbers(raw, "probabilities")
        if len(margins) != len(probabilities) or not 1 <= len(margins) <= MAX_KNOTS:
            raise ValueError(
                f"an isotonic calibration has {len(margins)} margins and {len(probabilities)} probabilities; "
                f"it has as many of each, 1 to {MAX_KNOTS}."
            )
        if any(low >= high for low, high in pairwise(margins)):
            raise ValueError("the margins of an isotonic calibration do not rise from knot to knot.")
        if any(low > high for low, high in pairwise(probabilities)):
            raise ValueError("the probabilities of an isotonic calibration fall from one knot to the next.")
        if not (probabilities[0] > 0 and probabilities[-1] < 1):
            raise ValueError("the probabilities of an isotonic calibration lie between 0 and 1, both left out.")
        return cls(kind, offset, margins=margins, probabilities=probabilities)


def calibrate(
    kind: str,
    margins: NDArray[np.float64],
    labels: NDArray[np.uint8],
    weights: NDArray[np.float32] | None = None,
    *,
    offset: float = 0.0,
) -> Calibration:
    """The calibration of `kind`, or the simpler one that the labels allow (see above), fitted to a day's rows.

    `margins` in log odds, `labels` 0 or 1 and `weights` above 0 are all of shape (rows,); no rows give the kind none.
    `offset` is what the sampling of the training rows added to the margins, ln(negative_share); the rows here are not
    sampled. ValueError if there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no calibration {kind!r}; choose one of {', '.join(KINDS)}.")
    rows, positives = len(labels), int(np.count_nonzero(labels))
    if kind == NONE or not rows:
        return Calibration(NONE, offset)
    shifted = np.asarray(margins, dtype=np.float64) + offset
    heavy = np.ones(rows) if weights is None else np.asarray(weights, dtype=np.float64)
    rarer = min(positives, rows - positives)
    if kind == ISOTONIC and rarer >= ISOTONIC_NEEDS:
        curve = _isotonic(shifted, labels, heavy, offset)
        if len(curve.margins) > 1:  # one knot, from labels that are separated perfectly, would rank nothing
            return curve
    if rarer >= PLATT_NEEDS:
        slope, intercept = _platt(shifted, labels, heavy)
        if slope > 0:  # a model that is worse than none on this day is not turned around
            of_trees = _shift(slope * shifted, heavy, _sigmoid(shifted))  # the intercept that keeps their level
            share = _beyond_chance(intercept - of_trees, slope * shifted + intercept, heavy)
            return Calibration(PLATT, offset, slope, of_trees + share * (intercept - of_trees))
    return Calibration(PLATT, offset, 1.0, _shift(shifted, heavy, labels, 1 / _DRIFT**2))


def _platt(
    margins: NDArray[np.float64], labels: NDArray[np.uint8], weights: NDArray[np.float64]
) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 if all margins are alike."""
    from sklearn.linear_model import LogisticRegression

    mean = float(np.average(margins, weights=weights))
    spread = math.sqrt(float(np.average((margins - mean) ** 2, weights=weights)))
    if spread < 1e-9:
        return 0.0, 0.0
    fitted = LogisticRegression(C=1 / _RIDGE, tol=1e-8, max_iter=1000).fit(
        ((margins - mean) / spread)[:, None], labels, sample_weight=weights
    )
    slope = float(fitted.coef_[0, 0]) / spread
    return slope, float(fitted.intercept_[0]) - slope * mean


def _beyond_chance(shift: float, margins: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """The share of a shift of the level that is more than chance. `margins` are those after it."""
    odds = _sigmoid(margins)
    squared = shift**2 * float((weights / weights.mean() * odds * (1 - odds)).sum())  # z², by the rows' information
    return max(0.0, 1 - 1 / squared) if squared else 0.0


def _shift(
    margins: NDArray[np.float64], weights: NDArray[np.float64], wanted: NDArray[Any], stiffness: float = 0.0
) -> float:
    """The b at which sigmoid(margins + b) sums up to `wanted` less stiffness * b, both in rows of the mean weight.

    With labels it minimises log loss + stiffness * b² / 2.
    """
    from scipy.optimize import brentq

    relative = weights / weights.mean()
    total = float((relative * wanted).sum())

    def surplus(shift: float) -> float:
        return float((relative * _sigmoid(margins + shift)).sum()) - total + stiffness * shift

    # Beyond it every probability is 0 or 1; with stiffness a row's log loss moves by less than 1 for a shift of 1.
    most = len(margins) / stiffness if stiffness else 50.0 + float(np.abs(margins).max())
    return float(brentq(surplus, -most, most, xtol=1e-12))


def _isotonic(
    margins: NDArray[np.float64], labels: NDArray[np.uint8], weights: NDArray[np.float64], offset: float
) -> Calibration:
    """One knot in the middle of each flat piece of the isotonic regression, so that ranking survives between them
    (Oron and Flournoy, "Centered Isotonic Regression", Statistics in Biopharmaceutical Research 9, 2017).

    Pieces that stand for too few labels are joined with the next ones; then all probabilities are scaled together so
    that their sum is that of the labels, as isotonic regression promises and interpolation does not quite keep.
    """
    from sklearn.isotonic import isotonic_regression

    places, group = np.unique(margins, return_inverse=True)
    weight = np.bincount(group, weights)
    positive = np.bincount(group, weights * labels)
    level = isotonic_regression(positive / weight, sample_weight=weight)
    piece = np.concatenate([[0], np.cumsum(np.diff(level) > 0)])
    rarer = positive if 2 * positive.sum() <= weight.sum() else weight - positive
    enough = max(_KNOT_LABELS * float(weights.mean()), float(rarer.sum()) / MAX_KNOTS)
    knot = _joined(np.bincount(piece, rarer), enough)[piece]
    total = np.bincount(knot, weight)
    probabilities = np.bincount(knot, positive) / total
    made = Calibration(
        ISOTONIC,
        margins=tuple((np.bincount(knot, weight * places) / total).tolist()),
        probabilities=tuple(probabilities.tolist()),
    )
    scale = float(positive.sum()) / float((weight * made.apply(places)).sum())
    scaled = np.clip(probabilities * scale, _LEAST, 1 - _LEAST)
    return Calibration(ISOTONIC, offset, margins=made.margins, probabilities=tuple(scaled.tolist()))


def _joined(labels: NDArray[Any], enough: float) -> NDArray[np.int64]:
    """The number of its knot for each piece: pieces are joined until they hold enough, the rest goes to the last."""
    knots = np.empty(len(labels), dtype=np.int64)
    knot, held = 0, 0.0
    for place, found in enumerate(labels.tolist()):
        knots[place] = knot
        held += found
        if held >= enough:
            knot, held = knot + 1, 0.0
    return np.minimum(knots, max(knot - 1, 0))


def _sigmoid(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0.0, -margins))


def _number(raw: Mapping[str, Any], key: str) -> float:
    value = raw.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"the {key} of a calibration is {value!r}; it is a finite number.")
    return float(value)


def _numbers(raw: Mapping[str, Any], key: str) -> tuple[float, ...]:
    values = raw.get(key)
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"the {key} of a calibration are {values!r}; they are a list of numbers.")
    return tuple(_number({key: value}, key) for value in values)
