"""What changes when one model takes another's place: on the same rows, which features moved the score, and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from dsp_pipeline.training.explain import Calibrate, Words, grouped, is_category, names_of
from dsp_pipeline.training.score_parts import calibrated_contributions, log_odds

_DECILES = 10
_PLACES = 3  # of a feature, those with the largest share in its moving of the score
_SLICES = 15  # values of a column, the most frequent


@dataclass(frozen=True)
class Explained:
    """A model and rows as it sees them: `matrix` float32 of shape (rows, features). `words` as for `explain`."""

    booster: xgboost.Booster
    matrix: NDArray[np.float32]
    calibrate: Calibrate
    words: Words


@dataclass(frozen=True)
class Place:
    """Some of the rows: those whose feature, or whose column, has this value (None: missing).

    `mean` is the mean difference of log odds there, the second model's less the first's.
    """

    value: str | int | None
    rows: int
    mean: float


@dataclass(frozen=True)
class FeatureMove:
    """`moved` is the mean absolute difference of what the feature adds to the log odds; `mean` has its sign.

    `places` are values of the feature at which it moved most in all, the first one most.
    """

    feature: str
    moved: float
    mean: float
    places: tuple[Place, ...]


@dataclass(frozen=True)
class ScoreChange:
    """Mean scores of some rows by the first and by the second model."""

    value: str | int | None
    rows: int
    before: float
    after: float


@dataclass(frozen=True)
class ScoreMoves:
    """Of two models on the same rows. `start` is the difference of where rows begin, in log odds.

    `features` come with the one first that moved the score most; `deciles` are tenths of the rows by the first model's
    score; `slices` are the most frequent values of some columns.
    """

    rows: int
    before: float
    after: float
    start: float
    features: tuple[FeatureMove, ...]
    deciles: tuple[ScoreChange, ...]
    slices: Mapping[str, tuple[ScoreChange, ...]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def score_moves(first: Explained, second: Explained, columns: Mapping[str, Sequence[Any]] | None = None) -> ScoreMoves:
    """Both have the same rows in the same order, at least one; their features may differ.

    A feature that only one of them knows adds nothing to the other's score. `columns` are those whose slices are told,
    each with a value for every row.
    """
    rows = len(first.matrix)
    (old, old_start, before), (new, new_start, after) = (
        calibrated_contributions(side.booster, side.matrix, side.calibrate) for side in (first, second)
    )
    places = [{name: place for place, name in enumerate(names_of(side.booster))} for side in (first, second)]
    moves = []
    for name in dict.fromkeys([*places[1], *places[0]]):
        difference = np.zeros(rows)
        if name in places[1]:
            difference += new[:, places[1][name]]
        if name in places[0]:
            difference -= old[:, places[0][name]]
        side, place = (second, places[1][name]) if name in places[1] else (first, places[0][name])
        moves.append(_move(name, difference, side, place))
    tenth = np.minimum(np.argsort(np.argsort(before, kind="stable"), kind="stable") * _DECILES // rows, _DECILES - 1)
    return ScoreMoves(
        rows,
        float(before.mean()),
        float(after.mean()),
        float(log_odds(new_start)[0] - log_odds(old_start)[0]),  # all rows begin alike
        tuple(sorted(moves, key=lambda move: -move.moved)),
        tuple(_changes(tenth, [f"{place + 1}" for place in range(_DECILES)], before, after)),
        {name: tuple(_slices(values, before, after)) for name, values in (columns or {}).items()},
    )


def _move(name: str, difference: NDArray[np.float64], side: Explained, place: int) -> FeatureMove:
    group, labels = grouped(
        side.matrix[:, place],
        np.ones(len(difference)),
        is_category=is_category(side.booster, place),
        words=side.words.get(name),
        bins=_DECILES,
    )
    total, rows = np.bincount(group, difference, len(labels)), np.bincount(group, minlength=len(labels))
    most = [one for one in np.argsort(-np.abs(total), kind="stable")[:_PLACES].tolist() if total[one]]
    return FeatureMove(
        name,
        float(np.abs(difference).mean()),
        float(difference.mean()),
        tuple(Place(labels[one], int(rows[one]), float(total[one] / rows[one])) for one in most),
    )


def _slices(values: Sequence[Any], before: NDArray[np.float64], after: NDArray[np.float64]) -> list[ScoreChange]:
    texts = [None if value is None else str(value) for value in values]
    counts = Counter(texts)
    kept = sorted(counts, key=lambda text: (-counts[text], text is None, text))[:_SLICES]
    codes = {text: place for place, text in enumerate(kept)}
    group = np.array([codes.get(text, len(kept)) for text in texts], dtype=np.int64)
    inside = group < len(kept)
    return _changes(group[inside], kept, before[inside], after[inside])


def _changes(
    group: NDArray[np.int64], labels: Sequence[str | None], before: NDArray[np.float64], after: NDArray[np.float64]
) -> list[ScoreChange]:
    """One for each label whose number some rows have in `group`."""
    rows = np.bincount(group, minlength=len(labels))
    sums = [np.bincount(group, scores, len(labels)) for scores in (before, after)]
    return [
        ScoreChange(label, int(rows[one]), float(sums[0][one] / rows[one]), float(sums[1][one] / rows[one]))
        for one, label in enumerate(labels)
        if rows[one]
    ]
