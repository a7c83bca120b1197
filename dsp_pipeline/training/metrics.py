"""How good predicted probabilities are, on rows that the model has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 20


@dataclass(frozen=True)
class Metrics:
    """Of one set of rows. None where the rows do not define it: without a positive there is nothing to rank.

    Where rows have weights, each counts as often as its weight says in all but `rows` and `positives`.

    `log_loss`: mean of -(y ln p + (1 - y) ln(1 - p)), in nats; smaller is better.
    `base_rate_log_loss`: the log loss of predicting these rows' own share of positives for each of them.
    `normalised_entropy`: `log_loss / base_rate_log_loss`; below 1 the model knows more than the base rate (He et
    al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014, section 3, equation 1).
    `auc`: the probability that a positive scores above a negative, ties count half.
    `predicted_to_observed`: sum of scores / number of positives; 1 is calibrated (He et al. call it calibration).
    `expected_calibration_error`: the mean of |mean score - share of positives| over up to 20 bins of equally many rows
    by score, each counting with its share of the rows (Naeini et al., "Obtaining Well Calibrated Probabilities Using
    Bayesian Binning", AAAI 2015); a difference of probabilities. Noise alone makes it about the square root of
    positives per bin, divided by the rows per bin, so it never is 0.
    """

    rows: int
    positives: int
    log_loss: float
    base_rate_log_loss: float
    normalised_entropy: float | None
    auc: float | None
    predicted_to_observed: float | None
    expected_calibration_error: float

    def as_dict(self) -> dict[str, float | int | None]:
        return asdict(self)


@dataclass(frozen=True)
class Bins:
    """Rows in the order of their scores, cut where about equally many are in each bin; rows of equal scores are in one.

    All of shape (bins,): number of `rows` and of `positives`, and the sums of weights (`weight`), of their squares, of
    weighted scores (`predicted`) and of weighted labels (`observed`).
    """

    rows: NDArray[np.int64]
    positives: NDArray[np.int64]
    weight: NDArray[np.float64]
    squares: NDArray[np.float64]
    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]


def measure(
    labels: NDArray[np.uint8], scores: NDArray[np.floating], weights: NDArray[np.floating] | None = None
) -> Metrics:
    """The metrics of at least one row: `labels` are 0 or 1, `scores` probabilities, `weights` above 0; shape (rows,).

    Sums are of float64. Scores of exactly 0 or 1 count as 2e-16 or 1 - 2e-16, as scikit-learn does.
    """
    from sklearn.metrics import log_loss, roc_auc_score

    rows, positives = len(labels), int(np.count_nonzero(labels))
    scores64 = scores.astype(np.float64)
    weights64 = None if weights is None else weights.astype(np.float64)
    loss = float(log_loss(labels, scores64, labels=[0, 1], sample_weight=weights64))
    auc = float(roc_auc_score(labels, scores64, sample_weight=weights64)) if 0 < positives < rows else None
    bins = equal_count_bins(labels, scores64, weights64)
    weight, observed = float(bins.weight.sum()), float(bins.observed.sum())
    base_loss = base_rate_log_loss(weight, observed)
    return Metrics(
        rows=rows,
        positives=positives,
        log_loss=loss,
        base_rate_log_loss=base_loss,
        normalised_entropy=loss / base_loss if base_loss else None,
        auc=auc,
        predicted_to_observed=float(bins.predicted.sum()) / observed if positives else None,
        expected_calibration_error=float(np.abs(bins.predicted - bins.observed).sum()) / weight,
    )


def equal_count_bins(
    labels: NDArray[np.uint8], scores: NDArray[np.float64], weights: NDArray[np.float64] | None = None, bins: int = BINS
) -> Bins:
    """At most `bins` bins, of low scores first, none of them empty; at least one row is needed."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    wanted = np.unique(np.linspace(0, len(order), bins + 1)[1:].round().astype(np.int64).clip(1))
    ends = np.unique(np.searchsorted(ordered, ordered[wanted - 1], side="right"))
    starts = np.concatenate([[0], ends[:-1]])
    truth = labels[order].astype(np.float64)
    weight = np.ones(len(order)) if weights is None else weights[order]
    return Bins(
        rows=np.diff(ends, prepend=0),
        positives=np.add.reduceat(truth, starts).astype(np.int64),
        weight=np.add.reduceat(weight, starts),
        squares=np.add.reduceat(weight**2, starts),
        predicted=np.add.reduceat(weight * ordered, starts),
        observed=np.add.reduceat(weight * truth, starts),
    )


def base_rate_log_loss(rows: float, positives: float) -> float:
    """The entropy in nats of a share of positives: -(p ln p + (1 - p) ln(1 - p)); 0 when all rows are alike."""
    if positives in (0, rows):
        return 0.0
    rate = positives / rows
    return float(-(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)))
