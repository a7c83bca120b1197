"""Steps that tests put into tasks/. Their inputs are small: what matters is how they are run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from tasks.arithmetic import total

from tasks.step import step

if TYPE_CHECKING:
    import pyarrow as pa


@step(reads="click [0, 0]")
def clicks_by_hour(date: date, click: Iterator[pa.RecordBatch], least: float = 0) -> dict[str, int]:
    """Clicks by hour, of hours that have at least so many."""
    found: dict[str, int] = {}
    for batch in click:
        for at in batch["clicked_at"].to_pylist():
            found[str(at.hour)] = found.get(str(at.hour), 0) + 1
    return {hour: clicks for hour, clicks in found.items() if clicks >= least}


@step(reads="clicks_by_hour [-1, 0]")
def clicks_of_two_days(
    date: date, clicks_by_hour: dict[date, Any], kind: Literal["sum", "days"] = "sum", twice: bool = False
) -> int:
    """A value for each day, by day."""
    clicks = total(sum(hours.values()) for hours in clicks_by_hour.values())
    return (clicks if kind == "sum" else len(clicks_by_hour)) * (2 if twice else 1)


@step(reads="clicks_by_hour [0, 0], impression [0, 0]")
def same_day(date: date, clicks_by_hour: Any, impression: pa.Table) -> list[int]:
    """A value of one day, and an event as a table."""
    return [sum(clicks_by_hour.values()), impression.num_rows, len(impression.column_names)]


@step(reads="campaign_daily [-1, -1]")
def columns_of_yesterday(date: date, campaign_daily: pa.Table) -> list[str]:
    """The columns are the same before there were logs."""
    return [str(campaign_daily.schema), str(campaign_daily.num_rows)]


@step(reads="click [0, 0]")
def many_rows(date: date, click: Iterator[pa.RecordBatch], name: str = "") -> Iterator[pa.RecordBatch]:
    """Sixty megabytes, of which a few are in memory at any time."""
    import random

    import pyarrow as pa

    noise = random.Random(1).randbytes(1_000_000)  # noqa: S311  # that compresses badly
    batch = pa.RecordBatch.from_pydict({"noise": [noise[at : at + 100] for at in range(0, 1_000_000, 100)]})
    for _ in range(60):
        assert pa.total_allocated_bytes() < 30_000_000
        yield batch.take(pa.array(range(10_000)))


@step(reads="many_rows [-1, 0]")
def rows_counted(date: date, many_rows: Iterator[pa.RecordBatch]) -> int:
    """A stream of another step's rows."""
    import pyarrow as pa

    rows = 0
    for batch in many_rows:
        assert pa.total_allocated_bytes() < 30_000_000
        rows += batch.num_rows
    return rows
