"""The logs are those of a DSP: ids join, rates are as published, delays are as they should be, clicks can be learnt."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from dsp_pipeline.errors import UnknownNameError
from dsp_pipeline.simulator.traffic import click_delay_ms, conversions_within
from dsp_pipeline.simulator.truth import known
from tests.simulator.conftest import Folder
from tests.simulator.parsing import TIMES, files_of, lines_of, ms_of, rows_of

HOUR_MS = 3_600_000


def test_ids_are_unique_and_join(small: Folder) -> None:
    """Each win has its bid, each impression its win, each click its impression, each conversion its click."""
    bids = [row["id"] for row in rows_of(small.out, "bid")]
    wins = [row["bid"] for row in rows_of(small.out, "win")]
    impressions = list(rows_of(small.out, "impression"))
    assert all(len(ids) == len(set(ids)) for ids in (bids, wins, [row["id"] for row in impressions]))
    assert set(wins) < set(bids)
    assert {row["bid"] for row in impressions} < set(wins)
    assert not set(bids) & {row["id"] for row in impressions}


def test_outcomes_join(large: Folder) -> None:
    """Each click has its impression, each conversion the first click of the same impression."""
    impressions = {row["id"] for row in rows_of(large.out, "impression")}
    clicks = {row["id"]: row["imp"] for row in rows_of(large.out, "click")}
    conversions = list(rows_of(large.out, "conversion"))
    assert len(clicks) == large.manifest.rows["click"] and set(clicks.values()) < impressions
    assert len({row["id"] for row in conversions}) == len(conversions) > 5
    assert all(clicks[row["clk"]] == row["imp"] for row in conversions)


def test_a_bid_and_its_impression_tell_the_same(small: Folder) -> None:
    """User, place, ad, rule, prediction and offer are those of the bid; only the price paid is new, and lower."""
    bids = {row["id"]: row for row in rows_of(small.out, "bid")}
    paid = {row["bid"]: row["paid"] for row in rows_of(small.out, "win")}
    for row in rows_of(small.out, "impression"):
        bid = bids[row["bid"]]
        assert {key: row[key] for key in ("user", "ex", "slot", "page", "ad", "rule", "pctr")}.items() <= bid.items()
        assert row["price"] == bid["price"] | {"paid": paid[row["bid"]]}
        assert row["slot"]["floor"] <= row["price"]["paid"] < row["price"]["bid"]


def test_every_event_has_a_file_for_every_hour_and_its_times_lie_inside(small: Folder, large: Folder) -> None:
    """A file for each of the hours, and no line of another hour in it."""
    for folder in (small, large):
        for event in folder.simulation.events:
            assert len(list((folder.out / event).rglob("*.gz"))) == folder.simulation.hours
        for hour in folder.manifest.hours:
            for event in folder.simulation.events:
                (path,) = files_of(folder.out, event, hour.hour)
                rows = [json.loads(line) for line in lines_of(path)]
                assert len(rows) == hour.rows[event]
                begin = hour.hour.timestamp() * 1000
                assert all(begin <= ms_of(event, row) < begin + HOUR_MS for row in rows)


def test_rates_are_as_published(large: Folder) -> None:
    """24 % of bids win, 0.8 % of impressions are clicked, the median price paid is near 70 fen per thousand."""
    impressions = large.manifest.rows["impression"]
    clicked = len({row["imp"] for row in rows_of(large.out, "click")})
    paid = [row["paid"] for row in rows_of(large.out, "win")]
    assert 0.95 < impressions / 60_000 < 1.03
    assert 0.0065 < clicked / impressions < 0.0095
    assert 62 < median(paid) < 78
    assert np.mean(paid) > 1.15 * median(paid)  # skewed to the right


def test_bids_win_at_the_published_rate_and_more_where_more_is_offered(small: Folder) -> None:
    """About 24 % of bids win; the upper half of offers wins most."""
    won = {row["bid"] for row in rows_of(small.out, "win")}
    bids = sorted((row["price"]["bid"], row["id"] in won) for row in rows_of(small.out, "bid"))
    wins = np.array([win for _, win in bids])
    assert 0.21 < wins.mean() < 0.27
    assert wins[len(wins) // 2 :].mean() > 4 * wins[: len(wins) // 2].mean()


def test_traffic_follows_the_hour(large: Folder) -> None:
    """Ten at night in Shanghai (13:00 UTC) has several times the traffic of four in the morning (20:00 UTC)."""
    by_hour: defaultdict[int, int] = defaultdict(int)
    for hour in large.manifest.hours:
        by_hour[hour.hour.hour] += hour.rows["impression"]
    assert by_hour[13] > 4 * by_hour[20] > 0


def test_hours_are_drawn_apart(small: Folder) -> None:
    """The users of one hour's bids are not those of another's, nor are they in its order."""
    first, second = (
        [json.loads(line)["user"]["id"] for line in lines_of(files_of(small.out, "bid", hour.hour)[0])]
        for hour in small.manifest.hours[4:6]
    )
    assert sum(a == b for a, b in zip(first, second, strict=False)) < len(first) / 20


def test_delays_are_seconds_for_clicks_and_hours_for_conversions(large: Folder) -> None:
    """Most clicks come within a minute, some after hours, all within a day; conversions within a week."""
    served = {row["id"]: ms_of("impression", row) for row in rows_of(large.out, "impression")}
    clicks = {row["id"]: row for row in rows_of(large.out, "click")}
    delays = [row["t"] - served[row["imp"]] for row in clicks.values()]
    assert min(delays) > 0 and max(delays) < 24 * HOUR_MS
    assert 5_000 < median(delays) < 60_000
    assert any(delay > HOUR_MS / 2 for delay in delays)
    waits = [row["t"] - clicks[row["clk"]]["t"] for row in rows_of(large.out, "conversion")]
    assert min(waits) >= 60_000 and max(waits) <= 7 * 24 * HOUR_MS
    assert max(waits) > 8 * HOUR_MS > median(waits)


def test_no_click_is_later_than_a_day() -> None:
    """Of a hundred thousand delays the longest lies within 23 hours; one in thirty is slow, the others minutes."""
    delays = click_delay_ms(np.random.default_rng(1), 100_000)
    assert delays.max() <= 23 * HOUR_MS
    assert 0.02 < (delays > HOUR_MS / 4).mean() < 0.04


def test_outcomes_are_in_order_of_time(large: Folder) -> None:
    """Clicks and conversions of many hours' impressions are written in the order in which they happen."""
    for event in ("click", "conversion"):
        times = [row["t"] for row in rows_of(large.out, event)]
        assert times == sorted(times)


def test_truth_is_calibrated(large: Folder) -> None:
    """One row an impression; the probabilities add up to the clicks, within four standard deviations."""
    truth = pq.read_table(large.out / "truth").to_pydict()
    assert sorted(truth["impression_id"]) == sorted(row["id"] for row in rows_of(large.out, "impression"))
    probability = dict(zip(truth["impression_id"], truth["click_probability"], strict=True))
    clicked = {row["imp"] for row in rows_of(large.out, "click")}
    # Clicks after the last hour have not happened yet: about one in 300, far less than the noise.
    ordered = sorted(probability, key=probability.__getitem__)
    for part in (ordered, ordered[: len(ordered) * 9 // 10], ordered[len(ordered) * 9 // 10 :]):
        p = np.array([probability[key] for key in part])
        assert abs(len(clicked & set(part)) - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())
    together = zip(truth["click_probability"], truth["conversion_probability"], strict=True)
    assert all(0 < conversion < click < 1 for click, conversion in together)


def test_clicks_can_be_learnt_from_what_is_logged(large: Folder) -> None:
    """Two days' click rates by placement, campaign and user's tags tell the third day's clicks better than the mean."""
    clicked = {row["imp"] for row in rows_of(large.out, "click")}
    rows = list(rows_of(large.out, "impression"))
    label = np.array([row["id"] in clicked for row in rows], dtype=float)
    past = np.array([row["ts"] < "2026-11-19" for row in rows])
    base = label[past].mean()
    log_odds = np.full(len(rows), np.log(base / (1 - base)))
    keys: tuple[Callable[[dict[str, Any]], str], ...] = (
        lambda row: str(row["slot"]["id"]),
        lambda row: str(row["ad"]["cr"]),
        lambda row: str(row["user"]["ua"]),
    )
    for key in keys:
        shown: defaultdict[str, float] = defaultdict(lambda: 150.0)
        clicks: defaultdict[str, float] = defaultdict(lambda: 150.0 * base)
        for row, before, click in zip(rows, past, label, strict=True):
            if before:
                shown[key(row)] += 1
                clicks[key(row)] += click
        log_odds += [np.log(clicks[key(row)] / shown[key(row)] / base) for row in rows]
    p, y = 1 / (1 + np.exp(-log_odds[~past])), label[~past]
    learnt = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    unlearnt = -np.mean(y * np.log(base) + (1 - y) * np.log(1 - base))
    assert learnt < 0.99 * unlearnt


def test_propensities_are_those_of_the_policies(large: Folder) -> None:
    """An ad's share of an arm's impressions' bids follows its propensity; an arm has one policy and one model."""
    rules = {(row["rule"]["arm"], row["ad"]["cr"]): row["rule"] for row in rows_of(large.out, "impression")}
    for arm in ("control", "challenger"):
        mine = [rule for (name, _), rule in rules.items() if name == arm]
        assert len({(rule["name"], rule["model"]) for rule in mine}) == 1
        assert 0.9 < sum(rule["prob"] for rule in mine) < 1.000001


def test_truth_is_apart_from_the_logs(small: Folder) -> None:
    """No log line tells a true probability; every log line has the time field of its event."""
    for event in small.simulation.events:
        for row in rows_of(small.out, event):
            assert TIMES[event] in row and "probability" not in json.dumps(row)


def test_truth_of_bids_is_calibrated(fresh: Callable[..., Folder]) -> None:
    """One row a bid; the probabilities add up to the wins, within four standard deviations, for low and high ones."""
    folder = fresh(impressions_per_day=10_000, events=("bid", "win"))
    truth = pq.read_table(folder.out / "truth_of_bids").to_pydict()
    prices = {row["id"]: (row["price"]["bid"], row["slot"]["floor"]) for row in rows_of(folder.out, "bid")}
    assert sorted(truth["bid_id"]) == sorted(prices)
    won = {row["bid"] for row in rows_of(folder.out, "win")}
    found = sorted(zip(truth["win_probability"], truth["bid_id"], strict=True))
    for part in (found, *(found[len(found) * n // 5 : len(found) * (n + 1) // 5] for n in range(5))):
        p = np.array([probability for probability, _ in part])
        assert abs(sum(bid in won for _, bid in part) - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum()) + 1
    assert all((probability == 0) == (prices[bid][0] <= max(prices[bid][1], 1)) for probability, bid in found)


def test_truth_of_a_conversion_is_that_within_the_window(large: Folder) -> None:
    """Of clicks, and of three days: about 2 % come later; a model without a truth is refused."""
    day = large.simulation.first
    key, shown = known(large.out, "conversion_rate", day)
    rate = np.array(shown["probability"])
    assert key == "impression_id" and 0.03 < rate.mean() < 0.12
    written = pq.read_table(large.out / "truth" / str(day)).to_pydict()
    ratio = rate * np.array(written["click_probability"]) / np.array(written["conversion_probability"])
    assert np.allclose(ratio, conversions_within(3)) and 0.97 < conversions_within(3) < 0.98
    assert known(large.out, "click_rate", day)[1]["probability"].to_pylist() == written["click_probability"]
    with pytest.raises(UnknownNameError, match="view_rate"):
        known(large.out, "view_rate", day)
