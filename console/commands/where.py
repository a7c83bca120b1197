"""dsp where: the address of an output, and where its files lie."""

from __future__ import annotations

import click

from console.asked import PASS_ON, asked, task_of
from console.printing import as_json, console, number, size, table, tell_json
from tasks.plan import steps
from tasks.receipt_task import ReceiptTask, TableTask


@click.command(context_settings=PASS_ON, short_help="The address of an output, and where its files lie.")
@as_json
@asked
def command(words: tuple[str, ...], as_json: bool) -> None:
    """Tell the address of TASK's output and where its files lie; of a task of many, those of all its tasks."""
    task = task_of(words, there=True)
    found = [task] if isinstance(task, ReceiptTask) else list(steps(task))
    if as_json:
        tell_json([{"task": str(step), "address": str(step.output()), "places": places(step)} for step in found])
        return
    out = console()
    shown = table("task", "address", "rows", "size", right=("rows", "size"))
    for step in found:
        receipt = step.receipt()
        numbers = (number(receipt.rows), size(receipt.size)) if receipt else ("", "not there")
        shown.add_row(str(step) if step is not task else step.task_family, str(step.output()), *numbers)
    out.print(shown)
    if found == [task]:
        for place in places(found[0]):
            out.print(place, soft_wrap=True, markup=False)


def places(step: ReceiptTask) -> list[str]:
    """The files of the output, as paths, URIs, or partitions; none if it is not complete."""
    receipt = step.receipt()
    of_table = isinstance(step, TableTask)
    return [step.platform.place(file, of_table=of_table) for file in receipt.files] if receipt else []
