"""The simulator's impressions as tab-separated columns: names, which are numbers, and where JSON lines have them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

# Ours, and the path in the simulator's JSON line.
ORIGINS = {
    "id": "id",
    "bid": "bid",
    "ts": "ts",
    "user": "user.id",
    "tags": "user.tags",
    "ua": "user.ua",
    "lang": "user.lang",
    "ip": "user.ip",
    "country": "user.geo.cc",
    "region": "user.geo.reg",
    "city": "user.geo.city",
    "exchange": "ex",
    "slot": "slot.id",
    "size": "slot.size",
    "visibility": "slot.vis",
    "format": "slot.fmt",
    "position": "slot.pos",
    "floor": "slot.floor",
    "site": "page.site",
    "url": "page.url",
    "advertiser": "ad.adv",
    "campaign": "ad.cmp",
    "creative": "ad.cr",
    "policy": "rule.name",
    "arm": "rule.arm",
    "propensity": "rule.prob",
    "model": "rule.model",
    "price": "price.bid",
    "paid": "price.paid",
    "pctr": "pctr",
}
COLUMNS = tuple(ORIGINS)
NUMBERS, FRACTIONS = ("position", "floor", "price", "paid"), ("propensity", "pctr")
# The columns of the event that are a field as it stands, or ten times it.
OURS = {
    "id": "impression_id",
    "bid": "bid_id",
    "ts": "served_at",
    "user": "user_id",
    "tags": "segments",
    "ua": "user_agent",
    "lang": "language",
    "ip": "ip_prefix",
    "slot": "placement_id",
    "visibility": "placement_visibility",
    "format": "placement_format",
    "position": "placement_position",
    "floor": "bid_floor_micros",
    "site": "site_domain",
    "url": "page_url",
    "advertiser": "advertiser_id",
    "campaign": "campaign_id",
    "creative": "creative_id",
    "propensity": "propensity",
    "model": "model_version",
    "price": "bid_price_micros",
    "paid": "clearing_price_micros",
    "pctr": "predicted_click_rate",
}


def as_tsv(lines: Path, out: Path) -> None:
    """A gzip file of the simulator's JSON lines as one of columns."""
    with (
        gzip.open(lines, "rt", encoding="utf-8") as read,
        gzip.open(out, "wt", encoding="utf-8", compresslevel=6) as write,
    ):
        for line in read:
            record = json.loads(line)
            write.write("\t".join(_field(record, origin) for origin in ORIGINS.values()) + "\n")


def _field(record: dict[str, Any], origin: str) -> str:
    value: Any = record
    for step in origin.split("."):
        value = value.get(step) if value is not None else None
    if isinstance(value, list):
        return ",".join(value)
    return "" if value is None else str(value)
