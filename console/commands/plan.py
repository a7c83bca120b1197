"""dsp plan: what would run, what is reused, and why."""

from __future__ import annotations

import click

from console.asked import PASS_ON, asked_or_not, task_of
from console.forecast import REUSED, TO_BUILD, WAITS, Forecast
from console.printing import as_json, console, number, size, table, tell_json
from tasks.plan import count, ranges, span


@click.command(context_settings=PASS_ON, short_help="What would run, what is reused, and why.")
@as_json
@asked_or_not
def command(words: tuple[str, ...], as_json: bool) -> None:
    """Show what TASK would reuse and build, why, and about how much that is. Nothing runs.

    Without TASK it is the DailyPipeline of the newest day that can be made. Estimates come from what was made lately
    of the same thing; seconds are those of one worker.
    """
    task = task_of(words)
    found = Forecast([task])
    if as_json:
        tell_json(
            {"task": str(task), "steps_to_build": found.to_build, "to_serve": found.to_serve, "groups": found.groups}
        )
        return
    out = console()
    shown = table("task", "of", "when", "state", "why", "rows", "reads", "seconds", right=("rows", "reads", "seconds"))
    for group in found.groups:
        when = ", ".join(span(*one) for one in ranges(group.times))
        style = None if group.state == REUSED else "bold"
        estimates = ("", "", "")
        if group.state == TO_BUILD:
            seconds = "?" if group.seconds is None else f"{group.seconds:,.1f}"
            estimates = number(group.rows), size(group.read_bytes), seconds
        shown.add_row(group.task, group.subject, when, group.state, "; ".join(group.why), *estimates, style=style)
    out.print(shown)
    waits = sum(len(group.times) for group in found.groups if group.state == WAITS and group.task != "RawLog")
    told = [f"{count(found.to_build, 'step')} to build"] if found.to_build else [] if waits else ["nothing to build"]
    told += [f"{count(found.to_serve, 'bundle')} to serve"] if found.to_serve else []
    told += [f"{count(waits, 'step')} behind logs that have not arrived"] if waits else []
    out.print(f"{task}: {', '.join(told)}.")
