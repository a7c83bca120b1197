"""How good predicted probabilities are, on rows that the model has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Metrics:
    """Of one set of rows. None where the rows do not define it: without a positive there is nothing to rank.

    `log_loss`: mean of -(y ln p + (1 - y) ln(1 - p)), in nats; smaller is better.
    `base_rate_log_loss`: the log loss of predicting these rows' own share of positives for each of them.
    `normalised_entropy`: `log_loss / base_rate_log_loss`; below 1 the model knows more than the base rate (He et
    al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014, section 3, equation 1).
    `auc`: the probability that a positive scores above a negative, ties count half.
    `predicted_to_observed`: sum of scores / number of positives; 1 is calibrated (He et al. call it calibration).
    """

    rows: int
    positives: int
    log_loss: float
    base_rate_log_loss: float
    normalised_entropy: float | None
    auc: float | None
    predicted_to_observed: float | None

    def as_dict(self) -> dict[str, float | int | None]:
        return asdict(self)


def measure(labels: NDArray[np.uint8], scores: NDArray[np.float32]) -> Metrics:
    """The metrics of at least one row: `labels` are 0 or 1, `scores` probabilities, both of shape (rows,).

    Sums are of float64. Scores of exactly 0 or 1 count as 2e-16 or 1 - 2e-16, as scikit-learn does.
    """
    from sklearn.metrics import log_loss, roc_auc_score

    rows, positives = len(labels), int(labels.sum())
    scores64 = scores.astype(np.float64)
    loss = float(log_loss(labels, scores64, labels=[0, 1]))
    base_loss = base_rate_log_loss(rows, positives)
    return Metrics(
        rows=rows,
        positives=positives,
        log_loss=loss,
        base_rate_log_loss=base_loss,
        normalised_entropy=loss / base_loss if base_loss else None,
        auc=float(roc_auc_score(labels, scores64)) if 0 < positives < rows else None,
        predicted_to_observed=float(scores64.sum()) / positives if positives else None,
    )


def base_rate_log_loss(rows: int, positives: int) -> float:
    """The entropy in nats of a share of positives: -(p ln p + (1 - p) ln(1 - p)); 0 when all rows are alike."""
    if positives in (0, rows):
        return 0.0
    rate = positives / rows
    return float(-(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)))
