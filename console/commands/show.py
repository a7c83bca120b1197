"""dsp show: what is in an output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from console import preview
from console.asked import PASS_ON, asked, task_of
from console.commands.where import places
from console.lineage import draw, lineage_tree
from console.printing import amount, as_json, console, holds_value, size, tell_json
from console.quality import results_table
from dsp_pipeline.errors import DspError
from dsp_pipeline.receipts import Receipt
from dsp_pipeline.warehouse.base import Slice
from tasks.check_data import CheckData
from tasks.receipt_task import ReceiptTask, TableTask, lineage
from tasks.values import columns, kept_value

if TYPE_CHECKING:
    import pyarrow as pa

_SAMPLE_OF = ("events.parquet", "golden.parquet", "rows.parquet")  # the files of outputs that hold rows


@click.command(context_settings=PASS_ON, short_help="A few rows of an output, its receipt, and what it was made from.")
@click.option(
    "--rows", "most", default=5, show_default=True, type=click.IntRange(0, 10_000), help="How many rows are shown."
)
@as_json
@asked
def command(words: tuple[str, ...], most: int, as_json: bool) -> None:
    """Show a few rows of TASK's output, its receipt, and the tree of what it was made from, down to the raw files."""
    step = task_of(words, there=True)
    if not isinstance(step, ReceiptTask):
        raise DspError(f"{step.task_family} has no output of its own; `dsp where` lists those of its tasks.")
    receipt = step.receipt()
    if receipt is None:
        raise DspError(f"{step} is not complete, so there is nothing to show; `dsp why` tells what it needs.")
    rows = sample(step, receipt, most)
    upstream = lineage(receipt.inputs)
    value = {"value": kept_value(step.platform.outputs, receipt)} if holds_value(receipt) else {}
    if as_json:
        shown = (
            [{name: preview.plain(value) for name, value in row.items()} for row in rows.to_pylist()]
            if rows is not None
            else None
        )
        tell_json({"rows": shown, **value, "receipt": json.loads(receipt.to_json()), "upstream": upstream})
        return
    out = console()
    if rows is not None:
        types = {column.name: str(column.type) for column in rows.schema}
        preview.show(out, types, rows.to_pylist())
    if value:
        out.print(escape(preview.value(value["value"])), soft_wrap=True)
    if isinstance(step, CheckData):
        out.print(results_table(receipt.details["results"]))
    for line in _said(step, receipt):
        out.print(line, soft_wrap=True, markup=False)
    out.print(draw(lineage_tree(receipt, upstream)), soft_wrap=True)


def sample(step: ReceiptTask, receipt: Receipt, most: int) -> pa.Table | None:
    """The first rows of the output; None if it holds no rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(step, TableTask):
        name, partition = step.place()
        table = step.platform.table(name)
        batches = step.platform.warehouse.read(Slice(table, (partition,)), columns(table))
        first = next(batches, None)
        return pa.Table.from_batches([first]).slice(0, most) if first is not None else None
    for file in receipt.files:
        if file.key.rpartition("/")[2] in _SAMPLE_OF:
            with step.platform.store.get(file.key) as stream:
                return pq.read_table(pa.BufferReader(stream.read())).slice(0, most)
    return None


def _said(step: ReceiptTask, receipt: Receipt) -> list[str]:
    made = receipt.created_at[:19].replace("T", " ")
    told = [
        f"{receipt.address}: {amount(receipt)}, {size(receipt.size)}",
        f"made {made} UTC in {receipt.seconds:.2f} s ({receipt.cpu_seconds:.2f} CPU s, "
        f"{receipt.peak_memory_bytes / 1e6:,.0f} MB) by revision {receipt.revision[:12] or 'unknown'}",
    ]
    if receipt.rejected or receipt.duplicates:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in receipt.rejected.items()) or "0"
        told.append(f"rejected lines: {reasons}; duplicates: {receipt.duplicates:,}")
    if not isinstance(step, CheckData):  # which has shown what it found
        told += [f"{name}: {_value(value)}" for name, value in _flat(receipt.details).items()]
    return [*told, *places(step)]


def _flat(details: Any, above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in details.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{above}{name} ")
        else:
            found[above + name] = value
    return found


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
