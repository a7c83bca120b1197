"""The feature tables behind `click_rate` as a user of pandas would make them: events and tables in, tables out.

What each table means is said in dsp_pipeline/features/<table>.sql. Days are timestamps at midnight, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import farmhash
import numpy as np
import pandas as pd  # type: ignore[import-untyped]

DAY = pd.Timedelta(days=1)
COUNTED = {  # the tables <name>_daily and <name>_click_rate, and the column that they count by
    "campaign": "campaign_id",
    "creative": "creative_id",
    "placement": "placement_id",
    "site": "site_domain",
    "user": "user_id",
}
HISTORY = {
    "segment_advertiser_daily": ["advertiser_id", "segment"],
    **{f"{name}_daily": [key] for name, key in COUNTED.items()},
}
_COUNTS = ["impressions", "clicks"]
_DRAWN_TOWARDS_ALL = 300  # impressions

Tables = dict[str, Any]  # a DataFrame each


def daily_counts(impressions: Any, clicks: Any, day: Any) -> Tables:
    """What was shown on the day, and what was first clicked on it, by campaign, creative, …; events of two days."""
    rows = impressions.merge(_first_clicks(clicks), how="left", on="impression_id")
    rows["impressions"] = (rows["served_at"].dt.floor("D") == day).astype("int64")
    clicked = (rows["first_clicked_at"].dt.floor("D") == day) & (rows["first_clicked_at"] < rows["served_at"] + DAY)
    rows["clicks"] = clicked.astype("int64")
    segments = rows.rename(columns={"segments": "segment"}).explode("segment").dropna(subset="segment")
    return {
        name: (segments if "segment" in key else rows).groupby(key)[_COUNTS].sum().reset_index()
        for name, key in HISTORY.items()
    }


def rates(history: Mapping[str, Any], day: Any) -> Tables:
    """What is known when the day begins. `history` has the daily tables of 14 days, each with its `date`."""
    impressions, clicks = history["creative_daily"][_COUNTS].sum()
    overall = clicks / impressions if impressions else np.nan
    made = {
        "overall_click_rate": pd.DataFrame(
            {"scope": ["all"], "impressions": [impressions], "clicks": [clicks], "click_rate": [overall]}
        )
    }
    for name, key in COUNTED.items():
        rows = history[f"{name}_daily"].groupby(key)[_COUNTS].sum()
        rows["click_rate"] = (rows["clicks"] + _DRAWN_TOWARDS_ALL * overall) / (
            rows["impressions"] + _DRAWN_TOWARDS_ALL
        )
        made[f"{name}_click_rate"] = rows.reset_index()
    made["user_click_rate"] = _with_recency(made["user_click_rate"], history["user_daily"], day)
    made["segment_click_lift"] = _segment_lift(history["segment_advertiser_daily"])
    return made


def _with_recency(rates_of_users: Any, daily: Any, day: Any) -> Any:
    daily = daily.assign(ago=(day - daily["date"]).dt.days)
    recent = {
        "impressions_7d": daily[daily["ago"] <= 7].groupby("user_id")["impressions"].sum(),
        "impressions_1d": daily[daily["ago"] <= 1].groupby("user_id")["impressions"].sum(),
        "days_since_seen": daily[daily["impressions"] > 0].groupby("user_id")["ago"].min(),
        "days_since_clicked": daily[daily["clicks"] > 0].groupby("user_id")["ago"].min(),
    }
    made = rates_of_users.assign(**{name: rates_of_users["user_id"].map(one) for name, one in recent.items()})
    made[list(recent)] = made[list(recent)].astype("float64")  # of no users pandas would not know what they are
    return made.fillna({"impressions_7d": 0, "impressions_1d": 0})


def _segment_lift(daily: Any) -> Any:
    pair = daily.groupby(["advertiser_id", "segment"])[_COUNTS].sum().reset_index()
    advertiser = pair.groupby("advertiser_id")[_COUNTS].transform("sum")
    pair["expected"] = pair["impressions"] * (advertiser["clicks"] / advertiser["impressions"]).fillna(0)
    segment = pair.groupby("segment")[["clicks", "expected"]].transform("sum")
    lift = (segment["clicks"] + 25) / (segment["expected"] + 25)
    pair["log_lift"] = (65536 * np.log(lift * (pair["clicks"] + 8) / (pair["expected"] * lift + 8))).round() / 65536
    return pair.drop(columns="expected")


def training_table(impressions: Any, clicks: Any, known: Mapping[str, Any]) -> Any:
    """A row an impression: whether it was clicked within a day, and what was known before. `known` as of `rates`."""
    rows = impressions.sort_values("served_at").drop_duplicates("impression_id").reset_index(drop=True)
    rows = rows.merge(_first_clicks(clicks), how="left", on="impression_id")
    rows["clicked"] = rows.pop("first_clicked_at") < rows["served_at"] + DAY
    rows["size"] = rows["placement_width"].astype("str") + "x" + rows["placement_height"].astype("str")
    rows["device_code"] = _hashed(rows["user_agent"], 63)
    rows["city_code"] = _hashed(rows["city"], 255)
    rows["creative_placement_code"] = _hashed(rows["creative_id"] + "|" + rows["placement_id"], 1023)
    rows["hour_of_day"] = rows["served_at"].dt.hour
    rows["day_of_week"] = (rows["served_at"].dt.dayofweek + 1) % 7 + 1
    rows["segment_count"] = rows["segments"].str.len()
    overall = known["overall_click_rate"]["click_rate"].iloc[0]
    for name, key in COUNTED.items():
        found = known[f"{name}_click_rate"].set_index(key)["click_rate"]
        rows[f"{name}_click_rate_14d"] = rows[key].map(found).astype("float64").fillna(overall)
    user = known["user_click_rate"].drop(columns=[*_COUNTS, "click_rate"]).set_index("user_id").add_prefix("user_")
    rows = rows.merge(user, how="left", left_on="user_id", right_index=True)
    seen = ["user_impressions_1d", "user_impressions_7d"]
    rows[seen] = rows[seen].fillna(0).astype("int64")
    lifts = (
        rows[["impression_id", "advertiser_id", "segments"]]
        .rename(columns={"segments": "segment"})
        .explode("segment")
        .astype({"segment": "str"})
        .merge(known["segment_click_lift"], on=["advertiser_id", "segment"])
        .groupby("impression_id")["log_lift"]
        .agg(segments_log_lift_14d="sum", segments_highest_log_lift_14d="max")
    )
    rows = rows.merge(lifts, how="left", left_on="impression_id", right_index=True)
    rows[list(lifts)] = rows[list(lifts)].fillna(0.0)
    of_placement = rows["placement_id"].map(known["placement_click_rate"].set_index("placement_id")["click_rate"])
    rows["combined_click_rate_14d"] = (
        rows["creative_click_rate_14d"]
        * (of_placement.astype("float64") / overall).fillna(1.0)
        * np.exp(rows["segments_log_lift_14d"])
    )
    return rows.rename(columns=_NAMES)[_COLUMNS]


def _first_clicks(clicks: Any) -> Any:
    return clicks.groupby("impression_id")["clicked_at"].min().rename("first_clicked_at").reset_index()


def _hashed(texts: Any, mask: int) -> Any:
    """BigQuery's FARM_FINGERPRINT, lowest bits, of each distinct text once."""
    return texts.map({text: farmhash.fingerprint64(text) & mask for text in texts.unique()})


_NAMES = {
    "placement_visibility": "visibility",
    "placement_format": "format",
    "bid_floor_micros": "floor_micros",
    "placement_position": "position",
}
_COLUMNS = [
    "impression_id",
    "served_at",
    "clicked",
    "user_id",
    "placement_id",
    "advertiser_id",
    "exchange",
    "region",
    "visibility",
    "format",
    "size",
    "device_code",
    "city_code",
    "creative_placement_code",
    "hour_of_day",
    "day_of_week",
    "floor_micros",
    "position",
    "segment_count",
    "campaign_click_rate_14d",
    "creative_click_rate_14d",
    "placement_click_rate_14d",
    "site_click_rate_14d",
    "user_click_rate_14d",
    "user_impressions_1d",
    "user_impressions_7d",
    "user_days_since_seen",
    "user_days_since_clicked",
    "segments_log_lift_14d",
    "segments_highest_log_lift_14d",
    "combined_click_rate_14d",
]
