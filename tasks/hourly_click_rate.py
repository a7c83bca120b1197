"""Clicks and impressions by hour of the day, over a week."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from tasks.step import step

if TYPE_CHECKING:  # slow to import, and planning does not need it
    import pyarrow as pa


@step(reads="click_rate [-6, 0]")
def hourly_click_rate(date: date, click_rate: pa.Table, least_impressions: int = 100) -> pa.Table:
    """One row per hour of the day (UTC) with impressions in the week that ends with `date`, in their order.

    `click_rate` is clicks per impression; null for an hour of fewer than `least_impressions`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = (
        pa.table({"hour_of_day": click_rate["hour_of_day"], "clicked": pc.cast(click_rate["clicked"], pa.int64())})
        .group_by("hour_of_day")
        .aggregate([([], "count_all"), ("clicked", "sum")])
        .rename_columns(["hour_of_day", "impressions", "clicks"])
        .sort_by("hour_of_day")
    )
    rate = pc.divide(pc.cast(counts["clicks"], pa.float64()), counts["impressions"])
    enough = pc.greater_equal(counts["impressions"], least_impressions)
    return counts.append_column("click_rate", pc.if_else(enough, rate, None))
