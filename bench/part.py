"""What a part of the suite is, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from bench.measure import median


@dataclass(frozen=True)
class Sizes:
    """How much is measured. `times` is how often each contender runs; the median counts.

    `lines` are ingested, features are made of `impressions` a day, `rows` and `base` are those of bench/train.py,
    `growth` says how many times the smallest size. `hours` are complete already, `s3_hours` in the stand-in for
    S3, which lists in the square of them. `whole` impressions a day go all the way.
    """

    name: str
    times: int
    lines: int
    impressions: int
    rows: int
    base: int
    growth: Sequence[int]
    s3_hours: int
    whole: int
    hours: int = 8_760


MODERATE = Sizes("moderate", 5, 120_000, 200_000, 100_000, 50_000, (1, 2, 4), 2_190, 10_000)
FULL = Sizes("full", 5, 1_000_000, 2_500_000, 500_000, 250_000, (1, 2, 4, 8), 8_760, 250_000)


@dataclass(frozen=True)
class Figure:
    """A line of the table: a contender, what it took beside the other one, and the target if that has one.

    `ratio` is of what `beside` names. `skipped` says why there is no figure.
    """

    contender: str
    beside: str = ""
    ratio: float | None = None
    target: float | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_bytes: float | None = None
    skipped: str = ""

    @property
    def verdict(self) -> str:
        if self.skipped:
            return f"skipped: {self.skipped}"
        if self.ratio is None or self.target is None:
            return ""
        return "met" if self.ratio <= self.target else "not met"


@dataclass(frozen=True)
class Measured:
    """What a part found. `runs` are the single runs behind the medians, by contender."""

    figures: Sequence[Figure]
    runs: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "figures": [{**asdict(one), "verdict": one.verdict} for one in self.figures],
            "runs": dict(self.runs),
        }


class Part(Protocol):
    """A module of this folder: it is named in bench/__main__.py, and that is all."""

    def measure(self, sizes: Sizes) -> Measured: ...


Runs = Mapping[str, Sequence[Mapping[str, Any]]]
_WORDS = {"cpu_seconds": "CPU", "seconds": "time", "peak_bytes": "memory"}


def alone(runs: Runs, name: str, about: str = "") -> Figure:
    """What a contender took, beside nobody."""
    spent = {key: median(runs[name], key) for key in _WORDS}
    return Figure(
        about + name, seconds=spent["seconds"], cpu_seconds=spent["cpu_seconds"], peak_bytes=spent["peak_bytes"]
    )


def compared(
    runs: Runs,
    ours: str,
    beside: str,
    key: str = "cpu_seconds",
    target: float | None = None,
    about: str = "",
    times: float = 1,
) -> Figure:
    """The median of `key` of one contender over that of the other, a unit where it did so many times the work."""
    ratio = median(runs[ours], key) / median(runs[beside], key) / times
    return replace(alone(runs, ours, about), beside=f"{_WORDS[key]} of {beside}", ratio=ratio, target=target)
