"""How a contract's `calibration` makes a probability of a margin. It shares no code with training, which wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp_pipeline.errors import BundleError

NONE, PLATT, ISOTONIC = KINDS = ("none", "platt", "isotonic")


@dataclass(frozen=True)
class Calibration:
    """With m = margin + offset, in log odds and float64:

    - none: p = sigmoid(m)
    - platt: p = sigmoid(slope * m + intercept)
    - isotonic: p is linear between the knots (`margins`, `probabilities`) and constant outside of them
    """

    kind: str
    offset: float = 0.0
    slope: float = 1.0
    intercept: float = 0.0
    margins: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()

    @classmethod
    def read(cls, contract: Mapping[str, Any], where: str) -> Calibration:
        """What features.json says. BundleError, naming `where`, if it is not what could be applied."""
        try:
            raw = contract["calibration"]
            kind = raw["kind"]
            found = cls(
                kind,
                float(raw["offset"]),
                *((float(raw["slope"]), float(raw["intercept"])) if kind == PLATT else (1.0, 0.0)),
                *((_floats(raw["margins"]), _floats(raw["probabilities"])) if kind == ISOTONIC else ((), ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"{where} holds no calibration ({error!r}); export the model again.") from error
        if problem := found.problem():
            raise BundleError(f"{where}: the calibration {problem}; export the model again.")
        return found

    def problem(self) -> str | None:
        """Why this cannot be applied, as the end of a sentence; None if it can."""
        if self.kind not in KINDS:
            return f"is of kind {self.kind!r} and this version knows {', '.join(KINDS)}"
        numbers = (self.offset, self.slope, self.intercept, *self.margins, *self.probabilities)
        if not np.isfinite(numbers).all():
            return "holds a value that is not finite"
        if self.kind == ISOTONIC:
            if not self.margins or len(self.margins) != len(self.probabilities):
                return f"has {len(self.margins)} margins for {len(self.probabilities)} probabilities"
            if (np.diff(self.margins) <= 0).any():
                return "has margins that do not rise"
            if min(self.probabilities) < 0 or max(self.probabilities) > 1:
                return "has probabilities outside of 0 and 1"
        return None

    def apply(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """The probabilities of margins; both of shape (rows,)."""
        shifted = margins.astype(np.float64) + self.offset
        if self.kind == ISOTONIC:
            return np.asarray(np.interp(shifted, self.margins, self.probabilities), dtype=np.float64)
        with np.errstate(over="ignore"):  # exp(-m) is infinite below -745, and 1 / infinity is the 0 that is meant
            return np.asarray(1.0 / (1.0 + np.exp(-(self.slope * shifted + self.intercept))), dtype=np.float64)


def _floats(raw: Any) -> tuple[float, ...]:
    return tuple(float(one) for one in raw)
