"""Is a model better than another one on the same rows, or is it noise? Told by a paired bootstrap by day and user.

Rows of one user are not independent, and days differ: so users are drawn within each day, with all their rows and with
what both models say of them (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13; on
users as the unit: Deng, Lu and Litz, WSDM 2017). Where a day has more than 4,096 users they are joined to as many
groups, whatever they did, which leaves the variance of sums as it is and the work bounded.

The AUC is told for both models but without an interval: it is no sum over users, and a bid is made of the probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dsp_pipeline.errors import TrainingError
from dsp_pipeline.training.metrics import Metrics, measure
from dsp_pipeline.training.slices import find_slices, unit_codes

REPLICATES = 1_000
_GROUPS = 4_096
_TAIL = 0.025
_LEAST = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A model against a rival on the same rows; differences are model - rival, so below 0 the model is better.

    `log_loss` in nats a row. `probability_better` is the share of the bootstrap's days on which the model's log loss is
    lower. `only_model` and `only_rival` are rows that only one of the two has scored; they are left out.
    """

    rows: int
    positives: int
    only_model: int
    only_rival: int
    model: Metrics
    rival: Metrics
    log_loss: Estimate
    normalised_entropy: Estimate | None
    probability_better: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(model: Sequence[pa.Table], rival: Sequence[pa.Table], key: Sequence[str], *, seed: int) -> Comparison:
    """A model and a rival on their common rows. Each has a table for each day, in the same order of days.

    Tables are what training writes of the held-out rows: the `key`, `label`, `score`, `weight` and `unit`.
    TrainingError if they have no row in common, or one row with two labels.
    """
    pairs = [_matched(mine, theirs, key) for mine, theirs in zip(model, rival, strict=True)]
    rows = _Rows([mine for mine, _ in pairs], seed)
    only_model = sum(table.num_rows for table in model) - len(rows.labels)
    only_rival = sum(table.num_rows for table in rival) - len(rows.labels)
    return rows.against(_joined([theirs for _, theirs in pairs], "score"), only_model, only_rival)


def evidence(
    model: Sequence[pa.Table],
    *,
    key: Sequence[str],
    slices: Sequence[str],
    seed: int,
    champion: Sequence[pa.Table] | None = None,
) -> dict[str, Any]:
    """All that a promotion is decided by, as plain JSON values.

    `model` and `champion` have a table for each day, in the same order of days; `champion` is None where there is none.
    The model is compared with the champion, with its own baseline, and with the share of positives of these very rows;
    `predicted_to_observed` and the slices are the model's on all of its rows. TrainingError as `compare` raises.
    """
    rows = _Rows(model, seed)
    rate = float(np.average(rows.labels, weights=rows.weights))
    whole = pa.concat_tables([table.select(list(dict.fromkeys([*slices, "unit"]))) for table in model])
    found = find_slices({name: whole[name] for name in slices}, rows.labels, rows.scores, rows.weights, whole["unit"])
    everything = {"": pa.array(np.zeros(len(rows.labels), dtype=np.int8))}
    (overall,) = find_slices(everything, rows.labels, rows.scores, rows.weights, whole["unit"])
    rivals = {
        "baseline": rows.against(_joined(model, "baseline")),
        "base_rate": rows.against(np.full(len(rows.labels), rate)),
        "champion": None if champion is None else compare(model, champion, key, seed=seed),
    }
    return {
        "days": len(model),
        "rows": overall.rows,
        "positives": overall.positives,
        "predicted_to_observed": {"value": overall.predicted_to_observed, "low": overall.low, "high": overall.high},
        "against": {name: one and one.as_dict() for name, one in rivals.items()},
        "slices": [one.as_dict() for one in found],
    }


class _Rows:
    """Rows of some days with what a model says of them, and the groups that are drawn together."""

    def __init__(self, days: Sequence[pa.Table], seed: int) -> None:
        self._seed, self._ends = seed, np.cumsum([0, *(day.num_rows for day in days)])
        if not self._ends[-1]:
            raise TrainingError("there are no rows to compare models by; look whether the held-out days have some.")
        self.labels = _joined(days, "label").astype(np.uint8)
        self.scores, self.weights = _joined(days, "score"), _joined(days, "weight")
        self._groups = [_groups(day) for day in days]
        self._metrics = measure(self.labels, self.scores, self.weights)

    def against(self, rival: NDArray[np.float64], only_model: int = 0, only_rival: int = 0) -> Comparison:
        """The model against the scores of a rival, shape (rows,)."""
        mine, theirs = self._metrics, measure(self.labels, rival, self.weights)
        difference = _loss(self.labels, self.scores) - _loss(self.labels, rival)
        weight, positive, above = self._replicates(
            [self.weights, self.weights * self.labels, self.weights * difference]
        )
        entropy = None
        if mine.base_rate_log_loss:
            rate = np.clip(positive / weight, _LEAST, 1 - _LEAST)
            base = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
            # A replicate that drew one kind of label has no entropy to normalise by.
            drawn = (positive > 0) & (positive < weight)
            entropy = _estimate(
                (mine.log_loss - theirs.log_loss) / mine.base_rate_log_loss, (above / weight / base)[drawn]
            )
        return Comparison(
            rows=mine.rows,
            positives=mine.positives,
            only_model=only_model,
            only_rival=only_rival,
            model=mine,
            rival=theirs,
            log_loss=_estimate(mine.log_loss - theirs.log_loss, above / weight),
            normalised_entropy=entropy,
            probability_better=float(np.mean((above < 0) + 0.5 * (above == 0))),
        )

    def _replicates(self, columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """The sum of each column over all days, drawn anew; shape (columns, REPLICATES)."""
        total = np.zeros((len(columns), REPLICATES))
        for place, groups in enumerate(self._groups):
            if not len(groups):
                continue
            part = slice(self._ends[place], self._ends[place + 1])
            sums = np.stack([np.bincount(groups, column[part]) for column in columns])
            number = sums.shape[1]
            drawn = np.random.default_rng([self._seed, place]).integers(0, number, (REPLICATES, number))
            drawn += np.arange(REPLICATES)[:, None] * number
            draws = np.bincount(drawn.ravel(), minlength=REPLICATES * number).reshape(REPLICATES, number)
            total += sums @ draws.T
        return total


def _groups(day: pa.Table) -> NDArray[np.int64]:
    """A group for each row: its unit, or one of 4,096 that units are joined to."""
    codes = unit_codes(day["unit"], day.num_rows)
    if len(codes) and codes.max() >= _GROUPS:
        return codes % _GROUPS
    return np.unique(codes, return_inverse=True)[1]


def _joined(days: Sequence[pa.Table], name: str) -> NDArray[np.float64]:
    return np.concatenate([day[name].to_numpy() for day in days]).astype(np.float64)


def _loss(labels: NDArray[np.uint8], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The log loss of each row, in nats."""
    clipped = np.clip(scores, _LEAST, 1 - _LEAST)
    return -np.log(np.where(labels == 1, clipped, 1 - clipped))


def _estimate(value: float, replicates: NDArray[np.float64]) -> Estimate:
    low, high = np.quantile(replicates, (_TAIL, 1 - _TAIL))
    return Estimate(float(value), float(low), float(high))


def _matched(mine: pa.Table, theirs: pa.Table, key: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """The rows that both tables have, in the order of the first."""
    names = list(key)
    if not mine.select(names).equals(theirs.select(names)):
        numbered = [
            table.select(names).append_column(side, pa.array(np.arange(table.num_rows)))
            for table, side in ((mine, "mine"), (theirs, "theirs"))
        ]
        both = numbered[0].join(numbered[1], names, join_type="inner", use_threads=False).sort_by("mine")
        mine, theirs = mine.take(both["mine"]), theirs.take(both["theirs"])
    off = int(np.count_nonzero(mine["label"].to_numpy() != theirs["label"].to_numpy()))
    if off:
        raise TrainingError(
            f"{off} of {mine.num_rows} rows have another label in the two tables of scores; score both models on the "
            "same making of the day."
        )
    return mine, theirs
