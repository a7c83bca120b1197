"""Two models on the same rows: which is better, and is that more than noise?"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dsp_pipeline.errors import TrainingError
from dsp_pipeline.training.compare import Comparison, compare, evidence

KEY = ("impression_id",)


def make_day(rows: int, *, seed: int = 0, off: float = 0.0, users: int | None = None, **columns: Any) -> pa.Table:
    """Scores whose log odds miss the truth by `off` * noise; equal seeds give equal rows. A baseline misses it by 1."""
    random = np.random.default_rng(seed)
    odds = random.normal(-2.5, 1, rows)
    label = random.random(rows) < 1 / (1 + np.exp(-odds))
    noise, unit = random.normal(0, 1, rows), np.arange(rows) % (users or rows)
    made = {
        "impression_id": [f"{seed}-{place}" for place in range(rows)],
        "label": label.astype(np.uint8),
        "score": 1 / (1 + np.exp(-odds - off * noise)),
        "baseline": (1 / (1 + np.exp(-odds - noise))).astype(np.float32),
        "weight": np.ones(rows, dtype=np.float32),
        "unit": [f"u{one}" for one in unit],
        "hour_of_day": random.integers(0, 3, rows),
    }
    return pa.table({**made, **columns})


def of(model: list[pa.Table], rival: list[pa.Table]) -> Comparison:
    return compare(model, rival, KEY, seed=1)


def losses(table: pa.Table) -> Any:
    label, score = table["label"].to_numpy(), table["score"].to_numpy()
    return -np.log(np.where(label == 1, score, 1 - score))


def test_a_better_model_is_better_beyond_noise() -> None:
    """The truth against scores that miss it by half a standard deviation."""
    found = of([make_day(10_000)], [make_day(10_000, off=0.5)])
    assert found.log_loss.high < 0
    assert found.log_loss.value == pytest.approx(found.model.log_loss - found.rival.log_loss)
    assert found.normalised_entropy is not None and found.normalised_entropy.high < 0
    assert found.probability_better == 1
    back = of([make_day(10_000, off=0.5)], [make_day(10_000)])
    assert back.log_loss.low == pytest.approx(-found.log_loss.high)
    assert back.probability_better == 0


def test_a_model_is_not_better_than_itself() -> None:
    """No difference, and no noise in it."""
    found = of([make_day(500)], [make_day(500)])
    assert (found.log_loss.value, found.log_loss.low, found.log_loss.high) == (0, 0, 0)
    assert found.probability_better == 0.5


def test_few_rows_leave_it_open() -> None:
    """Nearly the same two models on 150 rows."""
    found = of([make_day(150, seed=4)], [make_day(150, seed=4, off=0.3)])
    assert found.log_loss.low < 0 < found.log_loss.high
    assert 0.05 < found.probability_better < 0.999


@pytest.mark.parametrize("rows", [3000, 30_000])
def test_the_interval_of_independent_rows_is_that_of_a_mean(rows: int) -> None:
    """Below and above the number of users from which on they are drawn in groups."""
    one, other = make_day(rows), make_day(rows, off=0.5)
    found = of([one], [other])
    error = np.std(losses(one) - losses(other)) / np.sqrt(rows)
    assert found.log_loss.high - found.log_loss.low == pytest.approx(2 * 1.96 * error, rel=0.06)


def test_rows_of_one_user_are_drawn_together() -> None:
    """Each row nine times, by the same user: no more is known than from one, so the interval stays as wide."""
    one, other = make_day(1000), make_day(1000, off=0.5)
    places = np.repeat(np.arange(1000), 9)
    keys = pa.array([str(place) for place in range(9000)])
    many, others = (table.take(places).set_column(0, "impression_id", keys) for table in (one, other))
    alone, together = of([one], [other]), of([many], [others])
    width = alone.log_loss.high - alone.log_loss.low
    assert together.log_loss.high - together.log_loss.low == pytest.approx(width, rel=0.15)


def test_days_are_drawn_within_themselves() -> None:
    """A day on which both models are the same adds rows and no noise."""
    one, other, quiet = make_day(2000), make_day(2000, off=0.5), make_day(2000, seed=9)
    alone, both = of([one], [other]), of([one, quiet], [other, quiet])
    assert both.rows == 4000
    assert both.log_loss.value == pytest.approx(alone.log_loss.value / 2)
    assert both.log_loss.high - both.log_loss.low == pytest.approx((alone.log_loss.high - alone.log_loss.low) / 2)


def test_each_day_is_drawn_anew() -> None:
    """Two days tell more than one, also when they are alike: noise falls with the square root of their number."""
    one, other = make_day(2000), make_day(2000, off=0.5)
    found, twice = of([one], [other]).log_loss, of([one, one], [other, other]).log_loss
    assert twice.high - twice.low == pytest.approx((found.high - found.low) / np.sqrt(2), rel=0.1)


def test_rows_are_matched_by_key_and_the_others_are_counted() -> None:
    """Whatever their order; what only one model has scored says nothing about both."""
    one, other = make_day(1000), make_day(1000, off=0.5)
    found = of([one.slice(0, 900)], [other.slice(100).take(np.arange(900)[::-1])])
    assert (found.rows, found.only_model, found.only_rival) == (800, 100, 100)
    assert found == Comparison(
        **{**vars(of([one.slice(100, 800)], [other.slice(100, 800)])), "only_model": 100, "only_rival": 100}
    )


def test_weights_count() -> None:
    """Where only the rows of weight 0 nearly differ, nothing differs."""
    weights = np.where(np.arange(1000) < 500, 1, 1e-9).astype(np.float32)
    one, other = make_day(1000, weight=weights), make_day(1000, off=0.5, weight=weights)
    half = of([one.slice(0, 500)], [other.slice(0, 500)])
    assert of([one], [other]).log_loss.value == pytest.approx(half.log_loss.value, rel=1e-4)


def test_rows_with_two_labels_are_told() -> None:
    """A day that was made anew in between cannot be compared with itself."""
    one = make_day(100)
    other = one.set_column(1, "label", pa.array(1 - one["label"].to_numpy()))
    with pytest.raises(TrainingError, match="100 of 100 rows have another label"):
        of([one], [other])


def test_models_without_a_common_row_are_told() -> None:
    """There is nothing to compare by."""
    with pytest.raises(TrainingError, match="there are no rows to compare models by"):
        of([make_day(10)], [make_day(10, seed=1)])


def test_the_evidence_of_a_promotion_is_plain_json() -> None:
    """Champion, baseline and base rate, calibration overall and by slice, over two days."""
    days = [make_day(3000, seed=seed) for seed in (1, 2)]
    champion = [make_day(3000, seed=seed, off=0.5) for seed in (1, 2)]
    found = evidence(days, key=KEY, slices=("hour_of_day",), seed=1, champion=champion)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["days"], found["rows"]) == (2, 6000)
    against = found["against"]
    assert all(against[rival]["log_loss"]["high"] < 0 for rival in ("champion", "baseline", "base_rate"))
    assert against["base_rate"]["rival"]["normalised_entropy"] == pytest.approx(1)
    assert against["champion"] == compare(days, champion, KEY, seed=1).as_dict()
    ratio = found["predicted_to_observed"]
    assert ratio["low"] < 1 < ratio["high"]
    assert ratio["value"] == pytest.approx(against["champion"]["model"]["predicted_to_observed"])
    assert [one["value"] for one in found["slices"]] and sum(one["rows"] for one in found["slices"]) == 6000


def test_without_a_champion_and_without_a_click_there_is_evidence_too() -> None:
    """What cannot be said is None."""
    found = evidence([make_day(50, label=np.zeros(50, dtype=np.uint8))], key=KEY, slices=(), seed=1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["against"]["champion"] is None
    assert found["against"]["baseline"]["normalised_entropy"] is None
    assert found["predicted_to_observed"]["value"] is found["predicted_to_observed"]["high"] is None
