"""Impressions as raw logs → Parquet, as a user of polars would: `python -m bench.peers.polars_ingest OUT FILE …`"""

from __future__ import annotations

import json
import sys
from typing import Any

from bench.measure import cost
from dsp_pipeline.meter import Meter


def json_lines(files: list[str]) -> Any:
    import polars as pl  # type: ignore[import-not-found]

    text, whole, real = pl.String, pl.Int64, pl.Float64
    schema = {
        "id": text,
        "bid": text,
        "ts": text,
        "user": pl.Struct(
            {
                "id": text,
                "tags": pl.List(text),
                "ua": text,
                "lang": text,
                "ip": text,
                "geo": pl.Struct({"cc": text, "reg": text, "city": text}),
            }
        ),
        "ex": text,
        "slot": pl.Struct({"id": text, "size": text, "vis": text, "fmt": text, "pos": whole, "floor": whole}),
        "page": pl.Struct({"site": text, "url": text}),
        "ad": pl.Struct({"adv": text, "cmp": text, "cr": text}),
        "rule": pl.Struct({"name": text, "arm": text, "prob": real, "model": text}),
        "price": pl.Struct({"bid": whole, "paid": whole}),
        "pctr": real,
    }
    user, slot, page, ad, rule, price = (
        pl.col(name).struct for name in ("user", "slot", "page", "ad", "rule", "price")
    )
    return pl.scan_ndjson(files, schema=schema).select(
        impression_id="id",
        bid_id="bid",
        served_at=pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="us", time_zone="UTC"),
        user_id=user.field("id"),
        segments=user.field("tags"),
        exchange="ex",
        placement_id=slot.field("id"),
        placement_width=slot.field("size").str.extract(r"(\d+)x\d+").cast(pl.Int64),
        placement_height=slot.field("size").str.extract(r"\d+x(\d+)").cast(pl.Int64),
        placement_visibility=slot.field("vis"),
        placement_format=slot.field("fmt"),
        placement_position=slot.field("pos"),
        site_domain=page.field("site"),
        page_url=page.field("url"),
        user_agent=user.field("ua"),
        ip_prefix=user.field("ip"),
        country=user.field("geo").struct.field("cc"),
        region=user.field("geo").struct.field("reg"),
        city=user.field("geo").struct.field("city"),
        language=user.field("lang"),
        bid_floor_micros=slot.field("floor") * 10,
        currency=pl.lit("CNY"),
        advertiser_id=ad.field("adv"),
        campaign_id=ad.field("cmp"),
        creative_id=ad.field("cr"),
        bid_price_micros=price.field("bid") * 10,
        policy=rule.field("name"),
        arm=rule.field("arm"),
        propensity=rule.field("prob"),
        predicted_click_rate="pctr",
        model_version=rule.field("model"),
        clearing_price_micros=price.field("paid") * 10,
    )


def tsv(files: list[str]) -> Any:
    import polars as pl

    from bench.tsv import COLUMNS, FRACTIONS, NUMBERS

    kinds = dict.fromkeys(NUMBERS, pl.Int64) | dict.fromkeys(FRACTIONS, pl.Float64)
    schema = {name: kinds.get(name, pl.String) for name in COLUMNS}
    read = pl.scan_csv(files, separator="\t", has_header=False, schema=schema, quote_char=None)
    return read.select(
        impression_id="id",
        bid_id="bid",
        served_at=pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="us", time_zone="UTC"),
        user_id="user",
        segments=pl.col("tags").str.split(",").fill_null([]),
        exchange="exchange",
        placement_id="slot",
        placement_width=pl.col("size").str.extract(r"(\d+)x\d+").cast(pl.Int64),
        placement_height=pl.col("size").str.extract(r"\d+x(\d+)").cast(pl.Int64),
        placement_visibility="visibility",
        placement_format="format",
        placement_position="position",
        site_domain="site",
        page_url="url",
        user_agent="ua",
        ip_prefix="ip",
        country="country",
        region="region",
        city="city",
        language="lang",
        bid_floor_micros=pl.col("floor") * 10,
        currency=pl.lit("CNY"),
        advertiser_id="advertiser",
        campaign_id="campaign",
        creative_id="creative",
        bid_price_micros=pl.col("price") * 10,
        policy="policy",
        arm="arm",
        propensity="propensity",
        predicted_click_rate="pctr",
        model_version="model",
        clearing_price_micros=pl.col("paid") * 10,
    )


def main() -> None:
    meter = Meter()
    out, *files = sys.argv[1:]
    (tsv if files[0].endswith(".tsv.gz") else json_lines)(files).sink_parquet(f"{out}/all.parquet", compression="zstd")
    print(json.dumps(cost(meter)))


if __name__ == "__main__":
    main()
