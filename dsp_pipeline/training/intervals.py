"""How sure a ratio of predicted to observed positives is, when rows of one user come together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95


def ratio_interval(
    predicted: NDArray[np.float64],
    observed: NDArray[np.float64],
    variance: NDArray[np.float64],
    step: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the 95 % intervals of predicted / observed; the upper one is infinite where nothing was observed.

    `predicted` and `observed` are weighted sums of scores and labels, `variance` is that of observed, and `step` what
    one more positive would add; all of the same shape.

    Observed is a sum of rare events, so its interval is that of Fay and Feuer ("Confidence intervals for directly
    standardized rates: a method based on the gamma distribution", Statistics in Medicine 16, 1997): the exact Poisson
    interval where rows are independent and of weight 1, wider as variance / observed grows, right for 1 positive as
    for 100,000, and finite below for none.
    """
    from scipy.special import gammaincinv

    tail = (1 - CONFIDENCE) / 2
    # Without a positive there is no variance to be seen; the step alone says how many there might have been.
    some = observed > 0
    # A slice of one unit shows none either; no sum of rare events is surer than Poisson's.
    variance = np.maximum(variance, observed * step)
    spread = np.where(some, variance, 1.0) / np.where(some, observed, 1.0)
    least = np.where(some, spread * gammaincinv(np.where(some, observed / spread, 1.0), tail), 0.0)
    one = np.maximum(np.where(some, spread, 0.0), step)
    total, square = observed + one, np.where(some, variance, 0.0) + one**2
    most = square / total * gammaincinv(total**2 / square, 1 - tail)
    with np.errstate(divide="ignore"):
        return predicted / most, predicted / least
