"""Who and what there is: advertisers, campaigns, creatives, sites, placements, users; and what moves a click.

Every effect is an addend to the log-odds of a click. Their spread (standard deviation about 1.2 in all) makes a
placement or a campaign several times better than another, as in iPinYou's logs, where advertisers' click rates differ
tenfold (Zhang, Yuan, Wang, Shen: "Real-Time Bidding Benchmarking with iPinYou Dataset", arXiv:1407.7073).
The base level is not set here; see `market.calibrate`.

A user's own taste stands in no log, so no model can know it. It is small (0.2 for clicks, 0.15 for conversions), so
that a good model can come near to the true probabilities: who knows all but it has 0.4 % more log loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ADVERTISERS, CAMPAIGNS, CREATIVES_PER_CAMPAIGN = 12, 30, 4
CREATIVES = CAMPAIGNS * CREATIVES_PER_CAMPAIGN
EXCHANGES, SITES, PLACEMENTS = 5, 150, 500
SEGMENTS, SEGMENTS_PER_USER = 48, 6
REGIONS, CITIES_PER_REGION = 31, 12
USERS = (2_000, 200_000)  # fewest, most; the world's memory does not grow with the traffic beyond that

SIZES = ("300x250", "728x90", "160x600", "336x280", "950x90", "250x250", "320x50", "640x100")
FORMATS = ("banner", "native", "fixed", "popup")
VISIBILITIES = ("FirstView", "SecondView", "ThirdView", "OtherView")
AGENTS = (
    "chrome/windows",
    "ie/windows",
    "edge/windows",
    "safari/mac",
    "chrome/android",
    "wechat/android",
    "safari/ios",
)
MOBILE = (False, False, False, False, True, True, True)
LANGUAGES = ("zh-CN", "zh-TW", "en-US")
ARMS = ("control", "challenger")
POLICIES = ("epsilon_greedy", "softmax")

# Requests by hour of the day in Shanghai, relative: a trough before dawn, peaks at lunch and in the evening, in the
# manner of the hourly curve of arXiv:1407.7073, figure 2.
LOCAL_CURVE = np.array(
    [34, 22, 15, 11, 9, 11, 18, 29, 43, 55, 62, 66, 68, 67, 66, 66, 65, 63, 64, 70, 76, 78, 70, 52], dtype=np.float64
)
UTC_CURVE: Floats = np.roll(LOCAL_CURVE, -8) / LOCAL_CURVE.sum()  # by UTC hour; sums to 1


@dataclass(frozen=True)
class World:
    """All that is fixed for a seed and a size. Arrays are indexed by the number of the thing that they describe."""

    # users
    user_number: NDArray[np.uint64]
    user_cdf: Floats  # cumulative activity, ends at 1
    user_agent: Ints
    user_region: Ints
    user_city: Ints
    user_language: Ints
    user_segments: Ints  # (users, SEGMENTS_PER_USER), SEGMENTS where there are fewer
    user_arm: Ints
    user_effect: Floats  # own propensity, segments, region and agent together
    user_campaign_effect: NDArray[np.float32]  # (users, CAMPAIGNS): advertiser x segment
    user_conversion_effect: Floats  # own propensity and agent together
    # placements
    placement_cdf: Floats
    placement_exchange: Ints
    placement_site: Ints
    placement_size: Ints
    placement_format: Ints
    placement_visibility: Ints
    placement_position: Ints  # 1 is first
    placement_effect: Floats  # site, exchange, size, visibility, position and its own together
    placement_market_effect: Floats  # on the log of the market price
    placement_floor_share: Floats  # floor / typical market price
    # ads
    campaign_advertiser: Ints
    campaign_value: Floats  # worth of a click, relative
    campaign_conversion_effect: Floats
    campaign_sale: Floats  # median worth of a conversion, fen
    creative_effect: Floats  # advertiser, campaign and its own together
    ad_probability: Floats  # (arms, CREATIVES): with which the arm's policy chooses the creative; a row sums to 1
    ad_cdf: Floats
    # interactions and time
    mobile_format_effect: Floats  # (2, FORMATS)
    hour_effect: Floats  # by UTC hour

    @property
    def users(self) -> int:
        """How many users there are."""
        return len(self.user_number)


def users_for(impressions_per_day: int) -> int:
    """About two impressions a day for each user, within bounds."""
    return int(np.clip(impressions_per_day // 2, *USERS))


def build_world(seed: int, impressions_per_day: int) -> World:
    """Draw the world. Depends on nothing but the two arguments; takes about 0.1 s for 50,000 users."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    normal = rng.standard_normal

    campaign_advertiser = np.sort(rng.integers(0, ADVERTISERS, CAMPAIGNS))
    advertiser_effect, campaign_effect = 0.2 * normal(ADVERTISERS), 0.45 * normal(CAMPAIGNS)
    creative_own = 0.35 * normal(CREATIVES)
    creative_campaign = np.arange(CREATIVES) // CREATIVES_PER_CAMPAIGN
    creative_effect = advertiser_effect[campaign_advertiser][creative_campaign] + campaign_effect[creative_campaign]
    creative_effect = creative_effect + creative_own
    ad_probability = _ad_probability(rng, creative_own)

    site_effect, site_exchange = 0.45 * normal(SITES), rng.integers(0, EXCHANGES, SITES)
    site_popularity = 1.0 / np.arange(1, SITES + 1) ** 0.8
    site = rng.choice(SITES, PLACEMENTS, p=site_popularity / site_popularity.sum())
    placement_popularity = np.exp(0.9 * normal(PLACEMENTS))
    visibility = rng.choice(len(VISIBILITIES), PLACEMENTS, p=[0.35, 0.25, 0.1, 0.3])
    position = rng.integers(1, 6, PLACEMENTS)
    size, form = rng.integers(0, len(SIZES), PLACEMENTS), rng.choice(len(FORMATS), PLACEMENTS, p=[0.6, 0.2, 0.15, 0.05])
    exchange = site_exchange[site]
    placement_effect = (
        site_effect[site]
        + (0.2 * normal(EXCHANGES))[exchange]
        + (0.3 * normal(len(SIZES)))[size]
        + np.array([0.3, 0.0, -0.2, -0.1])[visibility]
        - 0.12 * (position - 3)
        + 0.35 * normal(PLACEMENTS)
    )
    market_effect = 0.3 * placement_effect + (0.15 * normal(EXCHANGES))[exchange] + 0.3 * normal(PLACEMENTS)

    users = users_for(impressions_per_day)
    activity = np.exp(1.1 * normal(users))
    agent = rng.choice(len(AGENTS), users, p=[0.28, 0.12, 0.05, 0.05, 0.22, 0.13, 0.15])
    region_popularity = 1.0 / np.arange(1, REGIONS + 1) ** 0.6
    region = rng.choice(REGIONS, users, p=region_popularity / region_popularity.sum())
    segment_popularity = 1.0 / np.arange(1, SEGMENTS + 1) ** 0.7
    drawn = rng.choice(SEGMENTS, (users, SEGMENTS_PER_USER), p=segment_popularity / segment_popularity.sum())
    segments = _distinct(drawn, rng.integers(0, SEGMENTS_PER_USER + 1, users))
    base = np.append(0.2 * normal(SEGMENTS), 0.0)
    match = 0.8 * normal((SEGMENTS + 1, ADVERTISERS)) * (rng.random((SEGMENTS + 1, ADVERTISERS)) < 0.2)
    match[SEGMENTS] = 0.0
    match32 = match.astype(np.float32)[:, campaign_advertiser]
    user_campaign_effect = np.zeros((users, CAMPAIGNS), dtype=np.float32)
    user_effect = 0.2 * normal(users) + (0.15 * normal(REGIONS))[region] + (0.25 * normal(len(AGENTS)))[agent]
    for slot in range(SEGMENTS_PER_USER):  # a sum in a fixed order: a matrix product may round by thread count
        user_campaign_effect += match32[segments[:, slot]]
        user_effect = user_effect + base[segments[:, slot]]

    return World(
        user_number=rng.integers(0, 2**63, users, dtype=np.uint64),
        user_cdf=_cdf(activity),
        user_agent=agent,
        user_region=region,
        user_city=region * CITIES_PER_REGION + rng.integers(0, CITIES_PER_REGION, users),
        user_language=rng.choice(len(LANGUAGES), users, p=[0.93, 0.03, 0.04]),
        user_segments=segments,
        user_arm=(rng.random(users) < 0.1).astype(np.int64),
        user_effect=user_effect,
        user_campaign_effect=user_campaign_effect,
        user_conversion_effect=0.15 * normal(users) + (0.3 * normal(len(AGENTS)))[agent],
        placement_cdf=_cdf(placement_popularity),
        placement_exchange=exchange,
        placement_site=site,
        placement_size=size,
        placement_format=form,
        placement_visibility=visibility,
        placement_position=position,
        placement_effect=placement_effect,
        placement_market_effect=market_effect,
        placement_floor_share=rng.choice([0.0, 0.02, 0.05, 0.1], PLACEMENTS),
        campaign_advertiser=campaign_advertiser,
        campaign_value=np.exp(0.25 * normal(CAMPAIGNS)),
        campaign_conversion_effect=0.5 * normal(CAMPAIGNS),
        campaign_sale=8_000.0 * np.exp(0.8 * normal(CAMPAIGNS)),
        creative_effect=creative_effect,
        ad_probability=ad_probability,
        ad_cdf=np.stack([_cdf(row) for row in ad_probability]),
        mobile_format_effect=0.3 * normal((2, len(FORMATS))),
        hour_effect=0.25 * np.sin((np.arange(24) + 8 - 14) / 24 * 2 * np.pi) + 0.05 * normal(24),
    )


def click_effect(world: World, user: Ints, placement: Ints, creative: Ints, hour: Ints | int) -> Floats:
    """Log-odds of a click less the base level; one for each request. `hour` is the UTC hour of the day."""
    mobile = np.array(MOBILE, dtype=np.int64)[world.user_agent[user]]
    return np.asarray(
        world.user_effect[user]
        + world.placement_effect[placement]
        + world.creative_effect[creative]
        + world.user_campaign_effect[user, creative // CREATIVES_PER_CAMPAIGN]
        + world.mobile_format_effect[mobile, world.placement_format[placement]]
        + world.hour_effect[hour],
        dtype=np.float64,
    )


def pick(cdf: Floats, uniform: Floats) -> Ints:
    """The numbers of the things drawn by their cumulative weights."""
    return np.asarray(np.searchsorted(cdf, uniform, side="right"), dtype=np.int64)


def _cdf(weights: Floats) -> Floats:
    total = np.cumsum(weights)
    total /= total[-1]
    total[-1] = 1.0
    return np.asarray(total, dtype=np.float64)


def _distinct(drawn: Ints, wanted: Ints) -> Ints:
    """Sort each row, and put SEGMENTS (none) for repeats and for all beyond `wanted`."""
    rows = np.sort(np.where(np.arange(drawn.shape[1]) < wanted[:, None], drawn, SEGMENTS), axis=1)
    repeats = np.zeros(rows.shape, dtype=bool)
    repeats[:, 1:] = rows[:, 1:] == rows[:, :-1]
    return np.asarray(np.sort(np.where(repeats, SEGMENTS, rows), axis=1), dtype=np.int64)


def _ad_probability(rng: np.random.Generator, creative_own: Floats) -> Floats:
    """(arms, CREATIVES): budget share of the campaign times the policy's choice among its creatives.

    `epsilon_greedy` shows the creative that it believes best, another in 30 % of cases; `softmax` weighs all by belief.
    """
    share = np.exp(0.7 * rng.standard_normal(CAMPAIGNS))
    share = np.repeat(share / share.sum(), CREATIVES_PER_CAMPAIGN)
    grid = (CAMPAIGNS, CREATIVES_PER_CAMPAIGN)
    believed = (creative_own + 0.3 * rng.standard_normal(CREATIVES)).reshape(grid)
    greedy = np.full(grid, 0.3 / CREATIVES_PER_CAMPAIGN)
    greedy[np.arange(CAMPAIGNS), believed.argmax(axis=1)] += 0.7
    better = np.exp(2 * (creative_own + 0.15 * rng.standard_normal(CREATIVES)).reshape(grid))
    softmax = better / better.sum(axis=1, keepdims=True)
    return np.stack([share * greedy.ravel(), share * softmax.ravel()])
