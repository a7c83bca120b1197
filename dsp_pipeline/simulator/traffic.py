"""One chunk of an hour: requests, auctions, impressions, clicks, conversions, as arrays.

A chunk is a slice of its hour in time. Bid, win and impression of one auction fall into the same hour: the delays
between them are cut at the end of the slice. Clicks and conversions happen whenever they happen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp_pipeline.simulator.market import (
    HIGHEST_FEN,
    RENDER_RATE,
    WIN_RATE,
    Levels,
    Requests,
    draw_requests,
    floors_fen,
    predicted_rate,
    relative_bid,
    relative_price,
    sigmoid,
)
from dsp_pipeline.simulator.parameters import Simulation
from dsp_pipeline.simulator.world import CREATIVES_PER_CAMPAIGN, UTC_CURVE, Floats, Ints, World

CHUNK = 60_000  # expected bids; bounds the memory of a worker (a line is about 600 bytes)
HOUR_MS = 3_600_000
LONGEST_CLICK_MS = 23 * HOUR_MS  # so that every click lies within 24 h of its impression
LONGEST_CONVERSION_MS = 7 * 24 * HOUR_MS
CONVERSION_LOG_ODDS = math.log(0.06 / 0.94)  # of a conversion after a click
MEDIAN_CONVERSION_MS, CONVERSION_SIGMA = 3 * HOUR_MS, 1.6  # of the time from click to conversion; sigma of its log

# Kinds of identifiers: no two kinds ever share one.
BID, IMPRESSION, CLICK, SECOND_CLICK, CONVERSION = range(5)


@dataclass(frozen=True)
class Chunk:
    """What happened. Index arrays point into the longer array before: `impression` into bids, `click` into impressions.

    Times of bids, wins and impressions are milliseconds of the hour; of clicks and conversions, epoch milliseconds.
    """

    hour: int  # since 1970
    number: int
    requests: Requests
    bid_ms: Ints
    bid_fen: Ints
    predicted: Floats
    win: Ints  # rows of bids, in the order of `won_ms`
    won_ms: Ints
    paid_fen: Ints  # of wins
    impression: Ints  # rows of bids, in the order of `served_ms`
    impression_paid_fen: Ints
    served_ms: Ints
    click_probability: Floats  # of impressions
    conversion_probability: Floats  # of impressions: of a click and a conversion after it
    click: Ints  # rows of impressions; a second click repeats its row
    click_at: Ints
    click_second: NDArray[np.bool_]
    conversion: Ints  # rows of impressions
    conversion_at: Ints
    conversion_fen: Ints  # what it was worth


def chunks_of(simulation: Simulation, hour: int) -> int:
    """How many chunks make the hour (since 1970); 0 when there is no traffic."""
    if simulation.impressions_per_day == 0 or hour - simulation.first_hour in simulation.faults.empty_hours:
        return 0
    return max(1, math.ceil(_expected_bids(simulation, hour) / CHUNK))


def stream(simulation: Simulation, hour: int, *key: int) -> np.random.Generator:
    """Random numbers that belong to this hour and key alone, whoever draws them and in whatever order."""
    return np.random.default_rng(np.random.SeedSequence((simulation.seed, hour), spawn_key=key))


def draw_chunk(simulation: Simulation, world: World, levels: Levels, hour: int, number: int) -> Chunk:
    """Draw chunk `number` of the hour. The same for every choice of `events` and `faults`."""
    rng = stream(simulation, hour, 0, number)
    chunks = chunks_of(simulation, hour)
    begin, end = HOUR_MS * number // chunks, HOUR_MS * (number + 1) // chunks
    size = int(rng.poisson(_expected_bids(simulation, hour) / chunks))
    requests = draw_requests(world, rng, size, hour % 24)
    bid_ms = np.sort(rng.integers(begin, end, size))

    predicted = predicted_rate(requests, levels.base, levels.model_shift, rng.standard_normal(size))
    offer = levels.bid * relative_bid(world, requests, predicted, rng.standard_normal(size))
    bid_fen = np.clip(np.rint(offer), 1, HIGHEST_FEN).astype(np.int64)
    price = levels.market * relative_price(world, requests.placement, rng.standard_normal(size))
    price_fen = np.maximum(np.clip(np.rint(price), 1, None), floors_fen(world, levels)[requests.placement])

    win = np.flatnonzero(bid_fen > price_fen)
    won_ms = np.minimum(bid_ms[win] + rng.integers(40, 250, len(win)), end - 1)
    win, won_ms = _by_time(won_ms, win)
    impression = win[rng.random(len(win)) < RENDER_RATE]
    served_ms = bid_ms[impression] + 250 + np.minimum(rng.exponential(400, len(impression)), 20_000).astype(np.int64)
    impression, served_ms = _by_time(np.minimum(served_ms, end - 1), impression)

    user, creative = requests.user[impression], requests.creative[impression]
    campaign = creative // CREATIVES_PER_CAMPAIGN
    click_probability = sigmoid(levels.base + requests.effect[impression])
    after_click = sigmoid(
        CONVERSION_LOG_ODDS + world.campaign_conversion_effect[campaign] + world.user_conversion_effect[user]
    )
    shown = len(impression)
    clicked = np.flatnonzero(rng.random(shown) < click_probability)
    at = hour * HOUR_MS + served_ms[clicked] + click_delay_ms(rng, len(clicked))
    again = np.flatnonzero(rng.random(len(clicked)) < 0.03)
    again_at = at[again] + rng.integers(300, 8_000, len(again))
    converted = np.flatnonzero(rng.random(len(clicked)) < after_click[clicked])
    delay = np.exp(np.log(MEDIAN_CONVERSION_MS) + CONVERSION_SIGMA * rng.standard_normal(len(converted)))
    delay = np.clip(delay, 60_000, LONGEST_CONVERSION_MS).astype(np.int64)
    worth = world.campaign_sale[campaign[clicked[converted]]] * np.exp(0.5 * rng.standard_normal(len(converted)))

    return Chunk(
        hour=hour,
        number=number,
        requests=requests,
        bid_ms=bid_ms,
        bid_fen=bid_fen,
        predicted=predicted,
        win=win,
        won_ms=won_ms,
        paid_fen=price_fen[win].astype(np.int64),
        impression=impression,
        impression_paid_fen=price_fen[impression].astype(np.int64),
        served_ms=served_ms,
        click_probability=click_probability,
        conversion_probability=click_probability * after_click,
        click=np.concatenate([clicked, clicked[again]]),
        click_at=np.concatenate([at, again_at]),
        click_second=np.arange(len(clicked) + len(again)) >= len(clicked),
        conversion=clicked[converted],
        conversion_at=at[converted] + delay,
        conversion_fen=np.rint(worth).astype(np.int64),
    )


def identifiers(simulation: Simulation, chunk: Chunk, kind: int, rows: Ints) -> NDArray[np.uint64]:
    """64-bit identifiers of the things of `kind` that began with the bids `rows`; distinct in the whole simulation.

    Hour, chunk, row and kind are packed into 54 bits and stirred by a bijection (splitmix64's finaliser), so they look
    like hashes and cannot collide.
    """
    packed = rows.astype(np.uint64) | np.uint64(kind << 18 | chunk.number << 21 | chunk.hour << 33)
    return _stir(packed ^ _stir(np.array([simulation.seed % 2**64], dtype=np.uint64)))


def conversions_within(days: float) -> float:
    """The share of conversions that come within so many days (less than seven) of the click."""
    return (1 + math.erf(math.log(days * 24 * HOUR_MS / MEDIAN_CONVERSION_MS) / CONVERSION_SIGMA / math.sqrt(2))) / 2


def _expected_bids(simulation: Simulation, hour: int) -> float:
    return float(simulation.impressions_per_day / (WIN_RATE * RENDER_RATE) * UTC_CURVE[hour % 24])


def click_delay_ms(rng: np.random.Generator, size: int) -> Ints:
    """Seconds to minutes; one in thirty comes back to an open page up to hours later."""
    delay = np.exp(np.log(12_000) + 1.1 * rng.standard_normal(size))
    slow = rng.random(size) < 0.03
    delay[slow] = rng.exponential(2 * HOUR_MS, int(slow.sum()))
    return np.asarray(np.clip(delay, 600, LONGEST_CLICK_MS), dtype=np.int64)


def _by_time(ms: Ints, rows: Ints) -> tuple[Ints, Ints]:
    order = np.argsort(ms, kind="stable")
    return rows[order], ms[order]


def _stir(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
