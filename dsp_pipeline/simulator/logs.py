"""The raw layout: what each event's log line looks like. `events/sources/simulator.yaml` reads it back.

bid         {"id","ts","user":{"id","tags","ua","lang","ip","geo":{"cc","reg","city"}},"ex","slot":{"id","size","vis",
            "fmt","pos","floor"},"page":{"site","url"},"ad":{"adv","cmp","cr"},"rule":{"name","arm","prob","model"},
            "price":{"bid"},"pctr"}
win         {"bid","t","ex","paid"}
impression  as bid, with "bid" (the bid's id) after "id", and "paid" in "price"
click       {"id","imp","t","x","y"}
conversion  {"id","imp","clk","t","type","worth":{"fen"}}

`ts` is ISO 8601 with Z, `t` epoch milliseconds. Prices of auctions are whole fen per THOUSAND impressions; the worth
of a conversion is whole fen. `page` names and user ids are hashed, the last part of the address is masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from dsp_pipeline.simulator import traffic
from dsp_pipeline.simulator.market import HIGHEST_FEN, Levels, floors_fen
from dsp_pipeline.simulator.parameters import Simulation
from dsp_pipeline.simulator.text import Matrix, clock, digits, fixed, hexadecimal, join, words
from dsp_pipeline.simulator.traffic import HOUR_MS, Chunk, identifiers
from dsp_pipeline.simulator.world import (
    AGENTS,
    ARMS,
    CREATIVES,
    CREATIVES_PER_CAMPAIGN,
    FORMATS,
    LANGUAGES,
    PLACEMENTS,
    POLICIES,
    SEGMENTS,
    SIZES,
    VISIBILITIES,
    Ints,
    World,
)

MODELS = ("click_rate-2026w44-3f9a21", "click_rate-2026w45-b07c5e")  # by arm
KINDS = ("purchase", "sign-up", "install")  # of conversions; a campaign has one


@dataclass(frozen=True)
class Pieces:
    """The texts that do not change from line to line, by number of the thing that they describe."""

    user: pa.BinaryArray
    placement: pa.BinaryArray
    ad: pa.BinaryArray  # arm * CREATIVES + creative
    whole: pa.BinaryArray  # "0", "1", … the prices
    exchange: pa.BinaryArray  # by placement
    kind: pa.BinaryArray  # by campaign


def make_pieces(world: World, levels: Levels) -> Pieces:
    """Write each user, placement and ad down once; about 0.3 s for the largest population."""
    tag = [f'"{10_000 + 7 * number}"' for number in range(SEGMENTS)]
    user = [
        f'"user":{{"id":"u{number:016x}","tags":[' + ",".join([tag[s] for s in tags if s < SEGMENTS]) + "],"
        f'"ua":"{AGENTS[agent]}","lang":"{LANGUAGES[language]}",'
        f'"ip":"{36 + region}.{number >> 8 & 255}.{number & 255}.*",'
        f'"geo":{{"cc":"CN","reg":"r{region + 1}","city":"c{city + 1}"}}}},'
        for number, tags, agent, language, region, city in zip(
            world.user_number.tolist(),
            world.user_segments.tolist(),
            world.user_agent.tolist(),
            world.user_language.tolist(),
            world.user_region.tolist(),
            world.user_city.tolist(),
            strict=True,
        )
    ]
    floor = floors_fen(world, levels)
    placement = []
    for number in range(PLACEMENTS):
        site = hexadecimal(_hashed(int(world.placement_site[number]), 1)).tobytes().decode()
        page = hexadecimal(_hashed(number, 2)).tobytes().decode()
        placement.append(
            f'"ex":"{_exchange(world, number)}","slot":{{"id":"s{number + 1:04d}",'
            f'"size":"{SIZES[world.placement_size[number]]}","vis":"{VISIBILITIES[world.placement_visibility[number]]}",'
            f'"fmt":"{FORMATS[world.placement_format[number]]}","pos":{world.placement_position[number]},'
            f'"floor":{floor[number]}}},"page":{{"site":"{site[:10]}","url":"{site[:10]}/{page}"}},'
        )
    ad = []
    for arm, policy in enumerate(POLICIES):
        for creative in range(CREATIVES):
            campaign = creative // CREATIVES_PER_CAMPAIGN
            ad.append(
                f'"ad":{{"adv":"a{world.campaign_advertiser[campaign] + 1:02d}","cmp":"m{campaign + 1:03d}",'
                f'"cr":"k{creative + 1:04d}"}},"rule":{{"name":"{policy}","arm":"{ARMS[arm]}",'
                f'"prob":{world.ad_probability[arm, creative]:.9f},"model":"{MODELS[arm]}"}},"price":{{"bid":'
            )
    return Pieces(
        user=words(user),
        placement=words(placement),
        ad=words(ad),
        whole=words([str(number) for number in range(HIGHEST_FEN + 1)]),
        exchange=words([_exchange(world, number) for number in range(PLACEMENTS)]),
        kind=words([KINDS[number % len(KINDS)] for number in range(CREATIVES // CREATIVES_PER_CAMPAIGN)]),
    )


def bid_lines(simulation: Simulation, pieces: Pieces, chunk: Chunk) -> pa.BinaryArray:
    """All bids of the chunk, in order of time."""
    rows = np.arange(len(chunk.bid_ms))
    ids = hexadecimal(identifiers(simulation, chunk, traffic.BID, rows))
    head = fixed(len(rows), b'{"id":"', ids, b'","ts":"', _day_hour(chunk.hour), *clock(chunk.bid_ms), b'Z",')
    return join(head, *_context(pieces, chunk, rows), _tail(chunk, rows))


def win_lines(simulation: Simulation, pieces: Pieces, chunk: Chunk) -> pa.BinaryArray:
    """The bids that won, in order of the notice."""
    rows, size = chunk.win, len(chunk.win)
    ids = hexadecimal(identifiers(simulation, chunk, traffic.BID, rows))
    at = digits(chunk.hour * HOUR_MS + chunk.won_ms, 13)
    return join(
        fixed(size, b'{"bid":"', ids, b'","t":', at, b',"ex":"'),
        _take(pieces.exchange, chunk.requests.placement[rows]),
        fixed(size, b'","paid":'),
        _take(pieces.whole, chunk.paid_fen),
        fixed(size, b"}\n"),
    )


def impression_lines(simulation: Simulation, pieces: Pieces, chunk: Chunk) -> pa.BinaryArray:
    """The wins that were shown, in order of time."""
    rows, size = chunk.impression, len(chunk.impression)
    bid = hexadecimal(identifiers(simulation, chunk, traffic.BID, rows))
    time = (_day_hour(chunk.hour), *clock(chunk.served_ms))
    head = fixed(size, b'{"id":"', impression_ids(simulation, chunk), b'","bid":"', bid, b'","ts":"', *time, b'Z",')
    paid = (fixed(size, b',"paid":'), _take(pieces.whole, chunk.impression_paid_fen))
    return join(head, *_context(pieces, chunk, rows), *paid, _tail(chunk, rows))


def click_lines(simulation: Simulation, chunk: Chunk) -> pa.BinaryArray:
    """Clicks of the chunk's impressions, in no order of time and not all of this hour; see `Chunk.click_at`."""
    bids, impressions = chunk.impression[chunk.click], impression_ids(simulation, chunk)[chunk.click]
    first = identifiers(simulation, chunk, traffic.CLICK, bids)
    second = identifiers(simulation, chunk, traffic.SECOND_CLICK, bids)
    ids = np.where(chunk.click_second, second, first)
    across, down = (digits((ids >> np.uint64(shift)).astype(np.int64) % 250 + 100, 3) for shift in (8, 20))
    at = digits(chunk.click_at, 13)
    parts = (b'{"id":"', hexadecimal(ids), b'","imp":"', impressions, b'","t":', at, b',"x":', across, b',"y":', down)
    return fixed(len(bids), *parts, b"}\n")


def conversion_lines(simulation: Simulation, pieces: Pieces, chunk: Chunk) -> pa.BinaryArray:
    """Conversions after the chunk's clicks, whenever they happen; see `Chunk.conversion_at`."""
    bids, impressions = chunk.impression[chunk.conversion], impression_ids(simulation, chunk)[chunk.conversion]
    ids = hexadecimal(identifiers(simulation, chunk, traffic.CONVERSION, bids))
    click = hexadecimal(identifiers(simulation, chunk, traffic.CLICK, bids))
    at, campaign = digits(chunk.conversion_at, 13), chunk.requests.creative[bids] // CREATIVES_PER_CAMPAIGN
    parts = (b'{"id":"', ids, b'","imp":"', impressions, b'","clk":"', click, b'","t":', at, b',"type":"')
    worth = words([f'","worth":{{"fen":{fen}}}}}\n' for fen in chunk.conversion_fen.tolist()])
    return join(fixed(len(bids), *parts), _take(pieces.kind, campaign), worth)


def impression_ids(simulation: Simulation, chunk: Chunk) -> Matrix:
    """(impressions, 16) hexadecimal digits."""
    return hexadecimal(identifiers(simulation, chunk, traffic.IMPRESSION, chunk.impression))


def _context(pieces: Pieces, chunk: Chunk, rows: Ints) -> tuple[pa.BinaryArray, ...]:
    requests = chunk.requests
    return (
        _take(pieces.user, requests.user[rows]),
        _take(pieces.placement, requests.placement[rows]),
        _take(pieces.ad, requests.arm[rows] * CREATIVES + requests.creative[rows]),
        _take(pieces.whole, chunk.bid_fen[rows]),
    )


def _tail(chunk: Chunk, rows: Ints) -> pa.BinaryArray:
    millionths = np.clip(np.rint(chunk.predicted[rows] * 1e6), 1, 999_999).astype(np.int64)
    return fixed(len(rows), b'},"pctr":0.', digits(millionths, 6), b"}\n")


def _take(pieces: pa.BinaryArray, numbers: Ints) -> pa.BinaryArray:
    return pieces.take(pa.array(numbers))


def _day_hour(hour: int) -> bytes:
    return datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y-%m-%dT%H:").encode()


def _exchange(world: World, placement: int) -> str:
    return f"adx{world.placement_exchange[placement] + 1}"


def _hashed(number: int, kind: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    mixed = (number * 8 + kind + 1) * 0x9E3779B97F4A7C15
    return np.array([(mixed ^ (mixed >> 29)) % 2**64], dtype=np.uint64)
