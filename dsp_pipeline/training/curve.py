"""Log loss by number of trees, from one extra scoring of the rows however many points the curve has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dsp_pipeline.training.boost import intercept, margins

if TYPE_CHECKING:
    from xgboost import Booster

POINTS = 20


class Curve:
    """Sums the log loss of a stream of rows after each of up to 20 evenly spaced numbers of trees."""

    def __init__(self, booster: Booster, rounds: int) -> None:
        steps = min(rounds, POINTS)
        self.rounds = [round(rounds * step / steps) for step in range(1, steps + 1)]
        self._booster, self._intercept = booster, intercept(booster)
        self._sums, self._rows = np.zeros(steps), 0

    def add(self, matrix: NDArray[np.float32], labels: NDArray[np.uint8]) -> None:
        total, first = np.full(len(labels), self._intercept), 0
        for step, end in enumerate(self.rounds):
            total += margins(self._booster, matrix, first, end) - self._intercept
            # The log loss of a margin m is ln(1 + e^m) - y m.
            self._sums[step] += float(np.logaddexp(0.0, total).sum() - total[labels == 1].sum())
            first = end
        self._rows += len(labels)

    def losses(self) -> list[float]:
        """The mean log loss in nats, one for each of `rounds`."""
        return [float(total) / self._rows for total in self._sums]
