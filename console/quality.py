"""Results of checks in the terminal, and how a check is tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any

from rich.table import Table
from rich.text import Text

from console.bench import HISTORY, Bench, Tried
from console.printing import table
from dsp_pipeline.receipts import Receipt
from dsp_pipeline.sql.header import Read
from dsp_pipeline.warehouse.base import Slice
from tasks.check_data import CheckData

_STYLES = {"failed": "bold red", "warned": "yellow", "not judged": "dim"}
_Results = Iterable[Mapping[str, Any]]


def results_table(results: _Results) -> Table:
    """Each check with its outcome and what was found, and below it the first rows that should not be."""
    shown = table("check", "level", "outcome", "found")
    for one in results:
        rows = [", ".join(f"{name}={value}" for name, value in row.items()) for row in one["rows"]]
        found = Text("\n".join([one["told"], *rows]))
        shown.add_row(Text(one["check"]), one["level"], Text(one["outcome"], _STYLES.get(one["outcome"], "")), found)
    return shown


def summary(checked: Sequence[tuple[Any, Receipt]]) -> tuple[Table, list[str]]:
    """How the checks of some days came out, by event or table; and a sentence for each that warned."""
    shown = table(
        "checks of", "days", "passed", "warned", "not judged", right=("days", "passed", "warned", "not judged")
    )
    told = []
    for name in sorted({task.table for task, _ in checked}):
        mine = [(task, receipt) for task, receipt in checked if task.table == name]
        results = [one for _, receipt in mine for one in receipt.details["results"]]
        numbers = [sum(one["outcome"] == word for one in results) for word in ("passed", "warned", "not judged")]
        shown.add_row(name, *(f"{number:,}" for number in (len(mine), *numbers)))
        for task, receipt in sorted(mine, key=lambda pair: str(pair[0].date)):
            warned = [one for one in receipt.details["results"] if one["outcome"] == "warned"]
            told += [f"{name} of {task.date}: {one['check']}: {one['told']} ({one['place']})" for one in warned]
    return shown, told


def try_check(task: CheckData, on: Bench) -> Tried:
    """Check what exists, or a sample, which has no past to be compared with; a failure is a result like another."""
    if not on.lacks([] if on.wish.sample else list(task.slices().values())):
        findings = task.findings()
    else:
        from dsp_pipeline.quality.inspection import Inspection
        from dsp_pipeline.quality.measured import History

        reads, catalog = task.declared.reads, on.platform.catalog
        before = max(HISTORY, *(-read.first for read in reads))
        after = max(0, *(read.last + catalog.days_after(read.table) for read in reads))
        sample = on.sample(task.date, before=before, after=after)

        def slices(asked: Sequence[Read]) -> dict[str, Slice]:
            found = {}
            for read in asked:
                first, last = (task.date + timedelta(days=n) for n in (read.first, read.last))
                days = sample.span.within(first, last)
                sample.read(read.table, first, last)  # which holds the rows
                mine = sample.table(read.table)
                found[read.table] = Slice(mine, tuple(chain(*(on.platform.partitions(mine, day) for day in days))))
            return found

        inspection = Inspection(task.declared, sample.table(task.table))
        findings = inspection.inspect(on.memory, task.date, slices, History(task.date))
        on.sample_used(sample)
    rows = findings.measured.total if findings.measured else 0
    return Tried(rows, facts={"results": findings.as_dict()["results"]})
