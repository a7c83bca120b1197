"""What the five events of an ad hold: bid → win → impression → click → conversion.

Money is int64 micros of `currency` for ONE impression: a price of 101 fen per thousand impressions is
101 / 100 / 1000 CNY = 1,010 micros. (So the sum of `clearing_price_micros` is the spend.)
Time is UTC with microseconds. Identifiers are strings, whatever they look like.

A bid request that we answered with no bid is a `bid` whose `bid_price_micros` is null.
A column is nullable unless it is the event's key, its time, or named in `required`; an absent list is an empty one.

No list holds an absent item, since BigQuery keeps none. Of texts the absent ones are left out. Of numbers the place
counts: a list with an absent one is left empty. A segment without a name is left out together with its weight, so
`segment_weights` has as many entries as `segments`, or none when a weight is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

# The words that sources, SQL and both warehouses understand; see `Column.type`.
TEXT, INTEGER, FLOAT, TIME, TEXTS, FLOATS = "text", "integer", "float", "time", "texts", "floats"
LISTS = frozenset({TEXTS, FLOATS})
# Lists that go in pairs: the numbers belong to the texts at the same places.
WEIGHTS_OF: Mapping[str, str] = MappingProxyType({"segment_weights": "segments"})


@dataclass(frozen=True)
class Column:
    """A column of an event. `type` is text, integer (int64), float (double), time (UTC µs), texts or floats (lists)."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True)
class Event:
    """One kind of log line. `key` identifies a row: of lines with the same key the first is kept."""

    name: str
    key: str
    time: str
    columns: tuple[Column, ...]
    required: frozenset[str] = field(default_factory=frozenset)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


_INVENTORY = (
    Column("user_id", TEXT, "the exchange's or our own cookie or device id, hashed"),
    Column("segments", TEXTS, "audience segments or tags of the user or the page"),
    Column("segment_weights", FLOATS, "the weight of each entry of `segments`, none if the log lacks one"),
    Column("exchange", TEXT, "who offered the impression"),
    Column("placement_id", TEXT, "the slot on the page or in the app"),
    Column("placement_width", INTEGER, "pixels"),
    Column("placement_height", INTEGER, "pixels"),
    Column("placement_visibility", TEXT, "the exchange's word for above or below the fold"),
    Column("placement_format", TEXT, "the exchange's word for banner, native, video, fixed, pop-up"),
    Column("placement_position", INTEGER, "place in a list of slots, 1 is first"),
    Column("site_domain", TEXT, "site, as named or hashed by the exchange"),
    Column("page_url", TEXT, "page address, as named or hashed by the exchange"),
    Column("page_id", TEXT, "anonymous page id, where the address is withheld"),
    Column("user_agent", TEXT, "browser or app string, or its class"),
    Column("ip_prefix", TEXT, "IP address with the host part masked"),
    Column("country", TEXT, "country code or id"),
    Column("region", TEXT, "region code or id"),
    Column("city", TEXT, "city name or id"),
    Column("language", TEXT, "language of the browser"),
    Column("bid_floor_micros", INTEGER, "lowest price the exchange takes"),
    Column("currency", TEXT, "ISO 4217 code of every `_micros` of the row"),
)

_DECISION = (
    Column("advertiser_id", TEXT, "whose ad"),
    Column("campaign_id", TEXT, "whose budget"),
    Column("creative_id", TEXT, "which ad"),
    Column("bid_price_micros", INTEGER, "what we offered"),
    Column("policy", TEXT, "which decision rule chose the ad"),
    Column("arm", TEXT, "arm of the experiment that the user was in"),
    Column("propensity", FLOAT, "probability with which the policy chose this ad"),
    Column("predicted_click_rate", FLOAT, "the click probability that the bidder used"),
    Column("model_version", TEXT, "which bundle scored it"),
    Column("affinities", FLOATS, "scores of the user for each item, in the log's own order"),
)

_CLEARED = Column("clearing_price_micros", INTEGER, "what we paid")
_CURRENCY = Column("currency", TEXT, "ISO 4217 code of every `_micros` of the row")

EVENTS: Mapping[str, Event] = MappingProxyType(
    {
        event.name: event
        for event in (
            Event(
                "bid",
                key="bid_id",
                time="bid_at",
                columns=(
                    Column("bid_id", TEXT, "joins a bid with its win and its impression"),
                    Column("bid_at", TIME, "when we answered the exchange"),
                    *_INVENTORY,
                    *_DECISION,
                ),
            ),
            Event(
                "win",
                key="bid_id",
                time="won_at",
                columns=(
                    Column("bid_id", TEXT, "the bid that won"),
                    Column("won_at", TIME, "when the exchange told us"),
                    _CLEARED,
                    _CURRENCY,
                ),
            ),
            Event(
                "impression",
                key="impression_id",
                time="served_at",
                columns=(
                    Column("impression_id", TEXT, "joins an impression with its clicks and conversions"),
                    Column("bid_id", TEXT, "the bid that bought it"),
                    Column("served_at", TIME, "when the ad was shown"),
                    *_INVENTORY,
                    *_DECISION,
                    _CLEARED,
                ),
            ),
            Event(
                "click",
                key="click_id",
                time="clicked_at",
                columns=(
                    Column("click_id", TEXT, "one click; an impression may have several"),
                    Column("impression_id", TEXT, "the impression that was clicked"),
                    Column("clicked_at", TIME, "when"),
                ),
                required=frozenset({"impression_id"}),
            ),
            Event(
                "conversion",
                key="conversion_id",
                time="converted_at",
                columns=(
                    Column("conversion_id", TEXT, "one conversion"),
                    Column("impression_id", TEXT, "the impression it is attributed to"),
                    Column("click_id", TEXT, "the click it is attributed to"),
                    Column("converted_at", TIME, "when"),
                    Column("kind", TEXT, "purchase, sign-up, install …"),
                    Column("value_micros", INTEGER, "what it was worth to the advertiser"),
                    _CURRENCY,
                ),
                required=frozenset({"impression_id"}),
            ),
        )
    }
)
