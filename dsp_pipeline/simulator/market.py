"""What we bid, what the market asks, and the levels that make the rates come out right for every seed.

The targets are iPinYou's published figures as rounded by this project (arXiv:1407.7073, sections 3 and 4): we win
about 24 % of our bids, the price paid is skewed with a median near 70 fen per thousand impressions. The click rate is
ten times theirs (0.8 %, not 0.08 %), so that a demo of a few days has clicks enough to learn from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dsp_pipeline.simulator.world import (
    CREATIVES_PER_CAMPAIGN,
    UTC_CURVE,
    Floats,
    Ints,
    World,
    click_effect,
    pick,
)

WIN_RATE = 0.24
RENDER_RATE = 0.985  # of wins; the rest is never shown
CLICK_RATE = 0.008  # of impressions
MEDIAN_PAID_FEN = 70.0  # per thousand impressions
MARKET_SIGMA = 0.8  # of the log of the market price, within a placement
BID_SIGMA = 0.2  # of the log of the bid: budget pacing
HIGHEST_FEN = 9_999  # per thousand impressions: our own limit

REQUESTS = 60_000  # on which the levels are found; with a sixth of them click rates come out up to 7 % off

# The bidder's model by arm: it sees a share of the true effect, and errs. The challenger's is better.
MODEL_SLOPE = np.array([0.6, 0.75])
MODEL_NOISE = np.array([0.7, 0.45])


@dataclass(frozen=True)
class Levels:
    """What `calibrate` finds."""

    base: float  # log-odds
    model_shift: Floats  # by arm: makes the mean prediction that of the requests
    bid: float  # fen per thousand impressions for one unit of relative value x predicted rate
    market: float  # fen per thousand impressions, typical


@dataclass(frozen=True)
class Requests:
    """What was asked of us, one entry a request, and which ad we answered with."""

    user: Ints
    placement: Ints
    creative: Ints
    arm: Ints
    effect: Floats


def draw_requests(world: World, rng: np.random.Generator, size: int, hour: Ints | int) -> Requests:
    """Draw `size` requests of the UTC hour(s) of the day `hour`."""
    user = pick(world.user_cdf, rng.random(size))
    placement = pick(world.placement_cdf, rng.random(size))
    arm, uniform = world.user_arm[user], rng.random(size)
    creative = np.where(arm == 0, pick(world.ad_cdf[0], uniform), pick(world.ad_cdf[1], uniform))
    return Requests(user, placement, creative, arm, click_effect(world, user, placement, creative, hour))


def predicted_rate(requests: Requests, base: float, shift: Floats, noise: Floats) -> Floats:
    """The click probability that the bidder believes in; `noise` is standard normal."""
    arm = requests.arm
    return sigmoid(base + shift[arm] + MODEL_SLOPE[arm] * requests.effect + MODEL_NOISE[arm] * noise)


def relative_bid(world: World, requests: Requests, predicted: Floats, noise: Floats) -> Floats:
    """Value times prediction, before the level; `noise` is standard normal."""
    value = world.campaign_value[requests.creative // CREATIVES_PER_CAMPAIGN]
    return np.asarray(value * predicted * np.exp(BID_SIGMA * noise), dtype=np.float64)


def relative_price(world: World, placement: Ints, noise: Floats) -> Floats:
    """Highest rival bid or the floor, before the level; `noise` is standard normal."""
    typical = np.exp(world.placement_market_effect[placement])
    return np.asarray(
        typical * np.maximum(np.exp(MARKET_SIGMA * noise), world.placement_floor_share[placement]), dtype=np.float64
    )


def floors_fen(world: World, levels: Levels) -> Ints:
    """Floor of each placement, fen per thousand impressions."""
    floor = levels.market * np.exp(world.placement_market_effect) * world.placement_floor_share
    return np.asarray(np.rint(floor), dtype=np.int64)


def win_probability(world: World, levels: Levels, placement: Ints, bid_fen: Ints) -> Floats:
    """Probability that bids of so many whole fen win: that the price, rounded to whole fen, is lower.

    The price is log-normal above the floor (`relative_price`), so below it there is nothing to win.
    """
    typical = np.log(levels.market) + world.placement_market_effect[placement]
    deviation = (np.log(np.maximum(bid_fen - 0.5, 0.5)) - typical) / MARKET_SIGMA
    normal = np.fromiter(map(math.erf, (deviation / math.sqrt(2)).tolist()), np.float64, len(deviation))
    lowest = np.maximum(floors_fen(world, levels)[placement], 1)
    return np.where(bid_fen > lowest, (1 + normal) / 2, 0.0)


def calibrate(world: World, seed: int, sample: int = REQUESTS) -> Levels:
    """Find the levels on a sample of requests: win rate, click rate of what is won, and median price paid."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    hour = np.asarray(rng.choice(24, sample, p=UTC_CURVE), dtype=np.int64)
    requests = draw_requests(world, rng, sample, hour)
    model, pacing, market = rng.standard_normal((3, sample))
    price = relative_price(world, requests.placement, market)
    base, shift = float(np.log(CLICK_RATE)) - 1.0, np.zeros(len(MODEL_SLOPE))
    bid_per_market = 1.0
    for _ in range(12):  # each turn moves the base by most of what is missing; four are enough
        true = sigmoid(base + requests.effect)
        predicted = predicted_rate(requests, base, shift, model)
        for arm in range(len(shift)):
            mine = requests.arm == arm
            if mine.any():
                shift[arm] += np.log(true[mine].mean() / predicted[mine].mean())
        threshold = price / relative_bid(world, requests, predicted_rate(requests, base, shift, model), pacing)
        bid_per_market = float(np.quantile(threshold, WIN_RATE))
        won = threshold < bid_per_market
        base += float(np.log(CLICK_RATE / true[won].mean()))
    level = MEDIAN_PAID_FEN / float(np.median(price[won]))
    return Levels(base=base, model_shift=shift, bid=level * bid_per_market, market=level)


def sigmoid(log_odds: Floats) -> Floats:
    """Probability of log-odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds)), dtype=np.float64)
