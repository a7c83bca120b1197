"""Leaks are found where they were planted, and strong but honest features are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from dsp_pipeline.training.leaks import AUC, FUTURE, GAIN, Leak, LeakBounds, LeakCheck, future_leaks
from dsp_pipeline.training.metrics import measure
from dsp_pipeline.training.model import Feature, category, number

ROWS = 40_000
Column = NDArray[Any]


def honest(seed: int = 0) -> tuple[NDArray[np.uint8], dict[str, Column], Column]:
    """Labels of 3 %, features that earn their AUC of 0.8, and users."""
    random = np.random.default_rng(seed)
    rate, campaign = random.normal(0, 1.2, ROWS), random.integers(0, 50, ROWS)
    odds = np.exp(rate + np.linspace(-1, 1, 50)[campaign] - 4.5)
    labels = (random.random(ROWS) < odds / (1 + odds)).astype(np.uint8)
    columns = {
        "rate": rate,
        "noise": random.random(ROWS),
        "sparse": np.where(random.random(ROWS) < 0.9, np.nan, random.random(ROWS)),
        "campaign_code": campaign,
        "user_code": random.integers(0, 20_000, ROWS),
    }
    return labels, columns, np.char.add("user", random.integers(0, 15_000, ROWS).astype(str))


def check(
    labels: NDArray[np.uint8], columns: dict[str, Column], users: Column | None = None, size: int = 5000
) -> LeakCheck:
    """Columns named …_code are categories; rows come in batches of `size`."""
    made = LeakCheck([_feature(name) for name in columns])
    made.add(np.empty((0, len(columns)), dtype=np.float32), labels[:0], pa.array([], pa.string()))
    matrix = np.stack(list(columns.values()), axis=1).astype(np.float32)
    texts = None if users is None else pa.array(users.tolist())
    for start in range(0, len(labels), size):
        part = slice(start, start + size)
        made.add(matrix[part], labels[part], None if texts is None else texts[part])
    return made


def _feature(name: str) -> Feature:
    return category(name) if name.endswith("_code") else number(name)


def planted(leak: Column, name: str, *, with_users: bool = True) -> list[Leak]:
    labels, columns, users = honest()
    return check(labels, {**columns, name: leak}, users if with_users else None).leaks({})


def test_strong_honest_features_are_no_leaks() -> None:
    """An AUC of 0.8 is earned; a category with as many codes as users learns nothing from its own half."""
    labels, columns, users = honest()
    auc = measure(labels, 1 / (1 + np.exp(-columns["rate"]))).auc
    assert auc is not None and auc > 0.75
    assert check(labels, columns, users).leaks({"rate": 0.6, "campaign_code": 0.4}) == []
    found = check(labels, columns, users).leaks({}, LeakBounds(auc=0.7))
    assert [leak.feature for leak in found] == ["rate"]
    assert found[0].value == pytest.approx(auc, abs=0.005)


@pytest.mark.parametrize("with_users", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_copy_of_the_label_is_found_in_either_direction(sign: int, with_users: bool) -> None:
    """As a number, and with its reason in words."""
    labels = honest()[0]
    (leak,) = planted(sign * labels.astype(np.float32), "clicked_again", with_users=with_users)
    assert (leak.feature, leak.kind, leak.bound) == ("clicked_again", AUC, 0.9)
    assert leak.value > 0.99
    assert leak.message == (
        "clicked_again alone ranks the held-out rows with an AUC of 1.000 (bound 0.9); look whether it is made of what "
        "is only known later, or take it out."
    )
    assert set(leak.as_dict()) == {"feature", "kind", "value", "bound", "message"}


def test_a_falling_copy_is_found_where_all_rows_are_of_one_user() -> None:
    """There is no second half to judge values by, but there is an order."""
    labels, columns, _ = honest()
    same = np.full(ROWS, "u")
    (leak,) = check(labels, {**columns, "copy": -labels.astype(np.float32)}, same).leaks({})
    assert leak.feature == "copy"


def test_a_noisy_copy_of_the_label_is_found() -> None:
    """Nine in ten clicks are known, and one in twenty other rows is taken for one."""
    labels, random = honest()[0], np.random.default_rng(1)
    copy = np.where(labels == 1, random.random(ROWS) < 0.97, random.random(ROWS) < 0.05)
    (leak,) = planted(copy + random.normal(0, 0.01, ROWS), "seconds_on_page")
    assert leak.feature == "seconds_on_page" and 0.93 < leak.value < 0.98


def test_a_number_that_is_missing_where_nothing_happened_is_found() -> None:
    """A delay until the click is null without a click; it has no order that tells."""
    labels, random = honest()[0], np.random.default_rng(1)
    (leak,) = planted(np.where(labels == 1, random.random(ROWS), np.nan), "delay_seconds")
    assert leak.value > 0.99


def test_a_number_that_is_in_the_middle_where_something_happened_is_found() -> None:
    """Neither rising nor falling order shows it, its buckets do."""
    labels, random = honest()[0], np.random.default_rng(1)
    centre = np.where(labels == 1, 0.5, random.random(ROWS)) + random.normal(0, 1e-3, ROWS)
    (leak,) = planted(centre, "click_position")
    assert leak.value > 0.95


def test_a_category_that_leaks_is_found() -> None:
    """As iPinYou's usertag: 300 tags that those get who click, 3,000 for the others, and some in common."""
    labels, random = honest()[0], np.random.default_rng(1)
    tag = np.where(labels == 1, random.integers(0, 300, ROWS), random.integers(290, 3000, ROWS))
    (leak,) = planted(tag, "usertag_code")
    assert leak.kind == AUC and leak.value > 0.95


def test_what_a_user_does_is_not_learned_from_the_same_user() -> None:
    """A user's code tells that user's repeated label: no leak, and no signal for other users either."""
    random = np.random.default_rng(0)
    user = random.integers(0, 3000, ROWS)
    labels = (user % 30 == 7).astype(np.uint8)
    texts = np.char.add("user", user.astype(str))
    assert check(labels, {"user_code": user}, texts).leaks({}) == []
    assert [leak.feature for leak in check(labels, {"user_code": user}).leaks({})] == ["user_code"]


def test_chance_among_few_clicks_is_no_leak() -> None:
    """With 12 clicks some honest feature of a hundred ranks them well; with 9 a perfect order proves nothing."""
    random = np.random.default_rng(3)
    labels = (np.arange(2000) % 167 == 0).astype(np.uint8)
    assert labels.sum() == 12
    columns = {f"noise_{place}": random.normal(0, 1, 2000) + 1.2 * labels for place in range(100)}
    assert check(labels, columns).leaks({}) == []
    nine = (np.arange(2000) % 223 == 0).astype(np.uint8)
    assert nine.sum() == 9
    assert check(nine, {"copy": nine}).leaks({}) == []


def test_the_result_does_not_depend_on_how_rows_are_batched() -> None:
    """Buckets are made of the first rows, not of the first batch."""
    labels, columns, users = honest()
    bounds = LeakBounds(auc=0.3)
    assert check(labels, columns, users, size=700).leaks({}, bounds) == check(labels, columns, users, ROWS).leaks(
        {}, bounds
    )


def test_one_feature_with_nearly_all_gain_is_reported() -> None:
    """Of five features; of two, one may well be the better."""
    labels, columns, users = honest()
    (leak,) = check(labels, columns, users).leaks({"noise": 0.85, "rate": 0.15})
    assert (leak.feature, leak.kind, leak.value, leak.bound) == ("noise", GAIN, 0.85, 0.8)
    assert "noise alone has 85% of the gain of all trees (bound 80%)" in leak.message
    two = {name: columns[name] for name in ("rate", "noise")}
    assert check(labels, two).leaks({"rate": 0.95, "noise": 0.05}) == []


def test_a_day_without_rows_has_no_leaks() -> None:
    """There is nothing to look at."""
    assert LeakCheck([number("rate")]).leaks({"rate": 1.0}) == []


def rows(**changes: Any) -> pa.Table:
    made = {
        "impression_id": ["a", "b", "c", "d"],
        "user_clicks_7d": [1, 2, None, 0],
        "rate": [0.1, 0.2, None, 0.3],
        "exchange": ["x", None, "y", "x"],
        "clicked": [True, False, False, True],
    }
    return pa.table({**made, **changes})


FEATURES = ["user_clicks_7d", "rate", "exchange"]


def test_values_that_stay_when_later_partitions_go_are_no_leaks() -> None:
    """The label may change, rows may come in another order, sums may differ in the last digit."""
    before = rows(clicked=[False] * 4, rate=[0.1 + 1e-16, 0.2, None, 0.3]).take([3, 1, 0, 2])
    assert future_leaks(rows(), before, ["impression_id"], FEATURES) == []


@pytest.mark.parametrize(
    ("column", "values", "share"),
    [
        ("user_clicks_7d", [1, 2, None, 1], 0.25),
        ("user_clicks_7d", [1, None, 0, 0], 0.5),
        ("rate", [0.1, 0.2, 0.0, 0.3], 0.25),
        ("rate", [0.1, 0.2001, None, 0.3], 0.25),
        ("exchange", [None, None, "z", "x"], 0.5),
    ],
)
def test_a_value_that_changes_when_later_partitions_go_is_found(column: str, values: list[Any], share: float) -> None:
    """From a value to another one, from null, and to null."""
    (leak,) = future_leaks(rows(), rows(**{column: values}), ["impression_id"], FEATURES)
    assert (leak.feature, leak.kind, leak.value, leak.bound) == (column, FUTURE, share, 0)
    assert (
        f"{column} has another value in {int(share * 4)} of 4 rows when later partitions are taken away" in leak.message
    )


def test_rows_that_only_exist_with_later_partitions_are_a_difference() -> None:
    """Which impressions a model sees must not depend on the future either."""
    found = future_leaks(rows(), rows().slice(0, 3), ["impression_id"], FEATURES)
    assert [(leak.feature, leak.value) for leak in found] == [(name, 0.25) for name in FEATURES]
