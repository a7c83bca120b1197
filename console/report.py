"""What a run did, in short tables, from the receipts of its graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import luigi
from rich.console import Console
from rich.table import Table

from console.quality import summary
from console.workers import Ran
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.receipts import Receipt
from tasks.changes import late
from tasks.plan import steps

# By the name of the step's class; what parameters a step has follows from its class.
Graph = dict[str, list[tuple[Any, Receipt]]]


def graph(root: luigi.Task) -> Graph:
    """Every complete step below `root` with its receipt, by the name of its class."""
    found: Graph = defaultdict(list)
    for step in steps(root):
        receipt = step.receipt()
        if receipt:
            found[step.task_family].append((step, receipt))
    return found


def show(found: Graph, ran: Ran, console: Console) -> None:
    """Print the tables: rows by event, tables, checks, models, and where the time went."""
    _show_events(found, console)
    _show_tables(found, console)
    _show_checks(found, console)
    _show_models(found, console)
    _show_time(found, ran, console)
    _show_late(found, console)


def _show_events(found: Graph, console: Console) -> None:
    table = _table("event", "hours", "lines in", "rejected", "duplicates", "rows loaded")
    for event in EVENTS:
        ingested = [receipt for task, receipt in found["S3LogIngest"] if task.event == event]
        loaded = [receipt.rows for task, receipt in found["BigQueryLoad"] if task.event == event]
        if not ingested:
            continue
        rejected = sum(sum(receipt.rejected.values()) for receipt in ingested)
        twice = sum(receipt.duplicates for receipt in ingested)
        lines = sum(receipt.rows for receipt in ingested) + rejected + twice
        table.add_row(event, *(f"{n:,}" for n in (len(ingested), lines, rejected, twice, sum(loaded))))
    console.print(table)


def _show_tables(found: Graph, console: Console) -> None:
    table = _table("table", "days", "rows")
    rows: dict[str, list[int]] = defaultdict(list)
    for task, receipt in found["FeatureBuild"]:
        rows[task.table].append(receipt.rows)
    for name in sorted(rows):
        table.add_row(name, f"{len(rows[name]):,}", f"{sum(rows[name]):,}")
    console.print(table)


def _show_checks(found: Graph, console: Console) -> None:
    if not found["CheckData"]:
        return
    table, warnings = summary(found["CheckData"])
    console.print(table)
    for sentence in warnings[:_MOST_WARNINGS]:
        console.print(sentence, style="yellow", soft_wrap=True, markup=False)
    if warnings[_MOST_WARNINGS:]:
        console.print(f"and {len(warnings) - _MOST_WARNINGS} more warnings; `dsp show CheckData TABLE DAY` tells them.")


_MOST_WARNINGS = 10


def _show_models(found: Graph, console: Console) -> None:
    table = _table("model", "learned", "log loss", "base rate's", "normalised entropy", "AUC", "predicted / observed")
    for task, receipt in sorted(found["TrainModel"], key=lambda pair: pair[0].task_id):
        metrics = receipt.details["metrics"]
        numbers = (metrics[name] for name in _METRICS)
        table.add_row(
            f"{task.experiment} / {task.arm}",
            f"{receipt.rows:,}",
            *("–" if number is None else f"{number:.5f}" for number in numbers),
        )
    console.print(table)


_METRICS = ("log_loss", "base_rate_log_loss", "normalised_entropy", "auc", "predicted_to_observed")


def _show_time(found: Graph, ran: Ran, console: Console) -> None:
    table = _table("task", "done now", "done before", "seconds", "CPU seconds", "peak memory")
    for family in ("S3LogIngest", "BigQueryLoad", "CheckData", "FeatureBuild", "TrainModel", "ExportModel"):
        receipts = [receipt for _, receipt in found[family]]
        now = [receipt for receipt in receipts if _ended(receipt) >= ran.began]
        if not receipts:
            continue
        table.add_row(
            family,
            f"{len(now):,}",
            f"{len(receipts) - len(now):,}",
            f"{sum(receipt.seconds for receipt in now):.1f}",
            f"{sum(receipt.cpu_seconds for receipt in now):.1f}",
            f"{max((receipt.peak_memory_bytes for receipt in now), default=0) / 1e6:,.0f} MB",
        )
    console.print(table)
    busy = _covered(
        (_ended(receipt) - timedelta(seconds=receipt.seconds), _ended(receipt))
        for pairs in found.values()
        for _, receipt in pairs
        if _ended(receipt) >= ran.began
    )
    outside = f", {1 - busy / ran.seconds:.0%} of them with no task at work" if busy else "; nothing was left to do"
    console.print(f"The graph took {ran.seconds:.1f} seconds{outside}.")


def _show_late(found: Graph, console: Console) -> None:
    for sentence in late(task for task, _ in found["S3LogIngest"]):
        console.print(sentence, style="yellow", soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right", overflow="fold")
    return table


def _ended(receipt: Receipt) -> datetime:
    return datetime.fromisoformat(receipt.created_at)


def _covered(spans: Iterable[tuple[datetime, datetime]]) -> float:
    """Seconds that lie in at least one span."""
    total, until = 0.0, None
    for begin, end in sorted(spans):
        begin = begin if until is None else max(begin, until)
        if end > begin:
            total += (end - begin).total_seconds()
        until = end if until is None else max(until, end)
    return total
