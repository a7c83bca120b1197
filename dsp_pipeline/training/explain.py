"""What a model listens to: permutation importance, exact TreeSHAP, and how the score moves with each feature.

It is measured on rows that the trees have not seen, and on few enough of them that it costs a small share of training.
Measured: 0.6 s of CPU for 17 features and 50 trees of depth 4 (which grew in 6 s on 300 thousand rows), 1.8 s for 40
features and 100 trees of depth 6 (in 21 s), 3.6 s for 40 features and 500 trees of depth 8 (in 139 s).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

Calibrate = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Words = Mapping[str, Sequence[str]]

REPEATS = 2
# Work grows with the size of the model, so a large one is looked at on fewer rows, by a rule that knows no clock. For a
# kilobyte of model TreeSHAP takes about a microsecond a row, and scoring, for each feature and repeat, ten nanoseconds.
_EXPLAINED, _FEWEST_EXPLAINED, _EXPLAINED_BYTES = 2_000, 250, 1 << 30
_PERMUTED, _FEWEST_PERMUTED, _PERMUTED_BYTES = 6_000, 1_000, 1 << 36
_DEPENDENCE_OF = 12  # features, those with the largest mean |SHAP|
_BINS, _CODES = 20, 15  # of a number, of a category
_NORMAL_95 = 1.96
_LEAST = 1e-15  # probabilities keep this distance from 0 and 1 where their logarithm is taken


def explain(
    booster: xgboost.Booster,
    matrix: NDArray[np.float32],
    labels: NDArray[np.uint8],
    weights: NDArray[np.float32] | None = None,
    *,
    calibrate: Calibrate,
    seed: int,
    words: Words | None = None,
) -> dict[str, Any]:
    """`importance` and `dependence` as a report holds them, plain values by feature.

    `matrix` of shape (rows, features) holds at least one encoded row, `labels` and `weights` are of shape (rows,), a
    weight says how many rows a row stands for. `calibrate` makes probabilities of margins. `words` are those of the
    categories whose codes are places in a list of words.
    """
    heavy = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    few = explained_rows(booster, len(labels))
    found, _ = contributions(booster, matrix[few])
    size = np.average(np.abs(found), axis=0, weights=heavy[few])
    permuted = permutation_importance(booster, matrix, labels, heavy, calibrate=calibrate, seed=seed)
    names = names_of(booster)
    largest = np.argsort(-size, kind="stable")[:_DEPENDENCE_OF]
    return {
        "importance": {
            name: {**permuted[name], "shap": float(one)} for name, one in zip(names, size.tolist(), strict=True)
        },
        "dependence": {
            names[place]: dependence(
                matrix[few, place],
                found[:, place],
                heavy[few],
                is_category=is_category(booster, place),
                words=(words or {}).get(names[place]),
            )
            for place in largest.tolist()
        },
    }


def contributions(
    booster: xgboost.Booster, matrix: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each feature adds to a row's margin in log odds, shape (rows, features), and where a row begins, (rows,).

    Exact TreeSHAP, as XGBoost computes it: a feature's Shapley value, where what is not known of a row is averaged over
    the training rows that took each branch. A row's values and its beginning sum to its margin (Lundberg et al., "From
    Local Explanations to Global Understanding with Explainable AI for Trees", Nature Machine Intelligence 2, 2020).
    """
    rows = xgboost.DMatrix(
        matrix,
        feature_names=booster.feature_names,
        feature_types=booster.feature_types,
        enable_categorical=True,
        missing=np.nan,
    )
    found = np.asarray(booster.predict(rows, pred_contribs=True), dtype=np.float64)
    return found[:, :-1], found[:, -1]


def permutation_importance(
    booster: xgboost.Booster,
    matrix: NDArray[np.float32],
    labels: NDArray[np.uint8],
    weights: NDArray[np.float64],
    *,
    calibrate: Calibrate,
    seed: int,
) -> dict[str, dict[str, float]]:
    """By how many nats the log loss rises when a feature's values are dealt out anew: `permutation`, `low` and `high`.

    Breiman, "Random Forests", Machine Learning 45, 2001, section 10. A row's new value is that of another row, drawn by
    weight, REPEATS times. `low` and `high` are a 95 % interval from how much a row's rise differs from another's, which
    holds the noise of the draws and that of the few rows; positives and negatives are sampled, and so judged, apart.
    A feature that no tree uses has 0 exactly.
    """
    used = booster.get_score(importance_type="weight")
    work = _size(booster) * REPEATS * max(1, len(used))
    rows, heavy = _stratified(labels, weights, min(_PERMUTED, max(_FEWEST_PERMUTED, _PERMUTED_BYTES // work)))
    base, label = matrix[rows], labels[rows]
    before = _losses(booster, base, label, calibrate)
    random, found = np.random.default_rng(seed), {}
    share = heavy / heavy.sum()
    for place, name in enumerate(names_of(booster)):
        donors = random.choice(len(rows), (REPEATS, len(rows)), p=share)  # drawn of each, so that none moves another's
        if name not in used:
            found[name] = {"permutation": 0.0, "low": 0.0, "high": 0.0}
            continue
        changed, rise = base.copy(), np.zeros(len(rows))
        for one in donors:
            changed[:, place] = base[one, place]
            rise += (_losses(booster, changed, label, calibrate) - before) / REPEATS
        mean, error = _mean_and_error(rise, label, share)
        found[name] = {"permutation": mean, "low": mean - _NORMAL_95 * error, "high": mean + _NORMAL_95 * error}
    return found


def dependence(
    values: NDArray[np.float32],
    effects: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    is_category: bool,
    words: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """How a feature moves the score by its value: points of `value`, mean `effect` in log odds, `rows`.

    `low` and `high` hold four fifths of the rows: far apart, other features decide what this one does. A number has up
    to 20 points of equally many rows; a category its 15 most frequent values and, as `value` "N others", the rest. The
    `value` of missing ones is None, and comes last. All three arrays are of shape (rows,).
    """
    group, labels = grouped(values, weights, is_category=is_category, words=words)
    points = []
    for place, label in enumerate(labels):
        inside = group == place
        heavy, effect = weights[inside], effects[inside]
        value = label if is_category or label is None else float(np.average(values[inside], weights=heavy))
        low, high = _quantiles(effect, heavy, (0.1, 0.9))
        mean = float(np.average(effect, weights=heavy))
        points.append({"value": value, "effect": mean, "low": low, "high": high, "rows": int(inside.sum())})
    return points


def grouped(
    values: NDArray[np.float32],
    weights: NDArray[np.float64],
    *,
    is_category: bool,
    words: Sequence[str] | None = None,
    bins: int = _BINS,
) -> tuple[NDArray[np.int64], list[Any]]:
    """The number of its group for each row, shape (rows,), and the groups' labels.

    A number's label is `low … high`; a category's its word or code, or "N others"; that of missing values None.
    No group is empty.
    """
    known = ~np.isnan(values)
    group = np.full(len(values), -1, dtype=np.int64)
    distinct, place = np.unique(values[known], return_inverse=True)
    heavy = np.bincount(place, weights[known], minlength=len(distinct))
    labels: list[Any]
    if is_category:
        order = np.argsort(-heavy, kind="stable")
        rank = np.empty(len(distinct), dtype=np.int64)
        rank[order] = np.arange(len(distinct))
        group[known] = np.minimum(rank, _CODES)[place]
        labels = [label_of(int(distinct[one]), words) for one in order[:_CODES]]
        if len(distinct) > _CODES:
            labels.append(f"{len(distinct) - _CODES} others")
    else:
        if len(distinct) <= bins:
            cut = np.arange(len(distinct))
        else:  # a value lies where its middle does among the rows in order
            cut = ((np.cumsum(heavy) - heavy / 2) * (bins / heavy.sum())).astype(np.int64)
        _, cut = np.unique(cut, return_inverse=True)
        group[known] = cut[place]
        ends = [distinct[cut == one][[0, -1]] for one in range(cut[-1] + 1 if len(cut) else 0)]
        labels = [f"{low:.4g}" if low == high else f"{low:.4g} … {high:.4g}" for low, high in ends]
    if not known.all():
        group[~known] = len(labels)
        labels.append(None)
    return group, labels


def label_of(code: int, words: Sequence[str] | None) -> str | int:
    """The word of a code, or the code where there are no words."""
    return words[code] if words is not None and 0 <= code < len(words) else code


def names_of(booster: xgboost.Booster) -> list[str]:
    """The features' names, in the order of the columns."""
    return list(booster.feature_names or [])


def is_category(booster: xgboost.Booster, place: int) -> bool:
    return (booster.feature_types or [])[place] == "c"


def explained_rows(booster: xgboost.Booster, rows: int) -> NDArray[np.int64]:
    """Which of the rows TreeSHAP is computed for: evenly spaced, fewer of them the larger the model is."""
    most = min(_EXPLAINED, max(_FEWEST_EXPLAINED, _EXPLAINED_BYTES // _size(booster)))
    return _spaced(np.arange(rows), most)


def _size(booster: xgboost.Booster) -> int:
    """Bytes of the model, which say how many nodes it has."""
    return len(booster.save_raw("ubj"))


def _spaced(places: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of the places, evenly spaced."""
    if len(places) <= most:
        return places
    return places[np.linspace(0, len(places) - 1, most).round().astype(np.int64)]


def _stratified(
    labels: NDArray[np.uint8], weights: NDArray[np.float64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows of both labels, with weights by which they stand for all: positives are few and say the most."""
    positives = _spaced(np.flatnonzero(labels == 1), most // 3)
    negatives = _spaced(np.flatnonzero(labels != 1), most - len(positives))
    heavy = [
        weights[chosen] * (weights[labels == label].sum() / weights[chosen].sum())
        for label, chosen in ((1, positives), (0, negatives))
        if len(chosen)
    ]
    return np.concatenate([positives, negatives]), np.concatenate(heavy)


def _losses(
    booster: xgboost.Booster, matrix: NDArray[np.float32], labels: NDArray[np.uint8], calibrate: Calibrate
) -> NDArray[np.float64]:
    margins = booster.inplace_predict(matrix, predict_type="margin", missing=np.nan)
    scores = np.clip(calibrate(np.asarray(margins, dtype=np.float64)), _LEAST, 1 - _LEAST)
    return -np.where(labels == 1, np.log(scores), np.log1p(-scores))


def _mean_and_error(
    values: NDArray[np.float64], labels: NDArray[np.uint8], share: NDArray[np.float64]
) -> tuple[float, float]:
    """The weighted mean and its standard error, of values that were sampled apart for each label."""
    mean, variance = float((share * values).sum()), 0.0
    for label in (0, 1):
        inside = labels == label
        if inside.any():
            heavy, part = share[inside], values[inside]
            variance += float((heavy**2 * (part - np.average(part, weights=heavy)) ** 2).sum())
    return mean, variance**0.5


def _quantiles(values: NDArray[np.float64], weights: NDArray[np.float64], shares: Sequence[float]) -> tuple[float, ...]:
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    places = np.searchsorted(below, np.asarray(shares) * below[-1])
    return tuple(float(values[order[min(place, len(values) - 1)]]) for place in places)
