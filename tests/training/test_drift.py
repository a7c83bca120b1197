"""Drift of features: the population stability index, counted page by page."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp_pipeline.training.drift import Drift
from dsp_pipeline.training.model import category, number

FEATURES = (number("price"), number("hour"), category("exchange"))


def make_rows(rows: int, seed: int, *, shift: float = 0.0, codes: Sequence[float] = (0.6, 0.4)) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    columns = [random.normal(shift, 1, rows), random.integers(0, 4, rows), random.choice(len(codes), rows, p=codes)]
    return np.stack(columns, axis=1).astype(np.float32)


def test_equal_days_drift_by_chance_alone() -> None:
    """The index of days that are alike is near what chance gives, and far below 0.1."""
    drift = Drift(FEATURES)
    drift.train(make_rows(5000, 1))
    drift.holdout(make_rows(5000, 2))
    for one in drift.as_dict().values():
        assert 0 <= one["psi"] < 4 * one["chance"] < 0.02


def test_the_index_is_as_defined() -> None:
    """Sum of (h - t) ln(h / t); shares are those of all rows, half a row is added to each count."""
    drift = Drift([category("exchange")])
    drift.train(np.repeat([0, 1], [60, 40])[:, None].astype(np.float32))
    drift.holdout(np.repeat([0, 1, 2], [20, 70, 10])[:, None].astype(np.float32))
    found = drift.as_dict({"exchange": ["adx", "tanx", "baidu"]})["exchange"]
    train, holdout = ([(count + 0.5) / 101.5 for count in counts] for counts in ((60, 40, 0), (20, 70, 10)))
    assert found["psi"] == pytest.approx(
        math.fsum((h - t) * math.log(h / t) for t, h in zip(train, holdout, strict=True))
    )
    assert found["chance"] == pytest.approx(2 * (1 / 100 + 1 / 100))
    assert found["bins"] == [
        {"bin": "adx", "train": 0.6, "holdout": 0.2},
        {"bin": "tanx", "train": 0.4, "holdout": 0.7},
        {"bin": "baidu", "train": 0.0, "holdout": 0.1},
    ]


def test_what_moved_is_found() -> None:
    """A shift of one deviation, a value that no training row had, another mix of codes, and values that are missing."""
    drift = Drift(FEATURES)
    drift.train(make_rows(5000, 1))
    later = make_rows(5000, 2, shift=1.0, codes=(0.2, 0.8))
    later[:, 1] = 9
    later[::4, 0] = np.nan
    drift.holdout(later)
    found = drift.as_dict()
    assert all(one["psi"] > 0.5 for one in found.values())
    price = {one["bin"]: (one["train"], one["holdout"]) for one in found["price"]["bins"]}
    assert price["missing"] == (0, 0.25) and len(price) == 11
    assert [one for one in found["hour"]["bins"] if one["holdout"]] == [{"bin": "others", "train": 0, "holdout": 1}]


def test_pages_are_counted_as_one() -> None:
    """How the rows come does not matter once the first page has made the bins; large pages are thinned evenly."""
    whole, parts = Drift(FEATURES), Drift(FEATURES)
    rows, later = make_rows(40_000, 1), make_rows(3000, 2, shift=0.3)
    whole.train(rows)
    whole.holdout(later)
    parts.train(rows[:16_384])
    for start in range(16_384, 40_000, 1000):
        parts.train(rows[start : start + 1000])
    for start in range(0, 3000, 500):
        parts.holdout(later[start : start + 500])
    parts.holdout(later[:0])
    for name, one in whole.as_dict().items():
        assert parts.as_dict()[name]["psi"] == pytest.approx(one["psi"], abs=0.01), name


def test_weights_undo_a_sampling() -> None:
    """Training rows of which half of a kind were left out count twice, so nothing seems to have moved."""
    rows = make_rows(20_000, 1)
    kept = (rows[:, 2] == 1) | (np.arange(len(rows)) % 4 == 0)
    plain, weighed = Drift(FEATURES), Drift(FEATURES)
    for drift, weights in ((plain, None), (weighed, np.where(rows[kept, 2] == 1, 1, 4).astype(np.float32))):
        drift.train(rows[kept], weights)
        drift.holdout(make_rows(20_000, 2))
    assert plain.as_dict()["exchange"]["psi"] > 0.25
    assert weighed.as_dict()["exchange"]["psi"] < 0.002


def test_rare_codes_are_put_together() -> None:
    """Twenty codes have a bin, the tail one, missing values one."""
    codes = np.repeat(np.arange(30), np.arange(60, 30, -1)).astype(np.float32)[:, None]
    drift = Drift([category("exchange")])
    drift.train(np.concatenate([codes, np.full((10, 1), np.nan, dtype=np.float32)]))
    drift.holdout(codes)
    names = [one["bin"] for one in drift.as_dict()["exchange"]["bins"]]
    assert names == [*map(str, range(20)), "10 others", "missing"]


def test_a_side_without_rows_has_no_drift() -> None:
    """Nothing is said where there is nothing to compare, and a column that is missing throughout is no error."""
    drift = Drift(FEATURES)
    drift.train(np.full((10, 3), np.nan, dtype=np.float32))
    assert drift.as_dict() == {}
    drift.holdout(np.full((10, 3), np.nan, dtype=np.float32))
    assert {one["psi"] for one in drift.as_dict().values()} == {0.0}
