"""dsp try: one task on what exists upstream, or on a sample, and nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from console import preview
from console.asked import PASS_ON, asked, task_of
from console.attempts import attempt
from console.bench import Bench, Tried, Wish, bench
from console.preview import plain, show
from console.printing import as_json, console, number, size, table, tell_json
from console.quality import results_table
from tasks.plan import count
from tasks.settings import platform

_SHOWN_GAINS = 10


@click.command(context_settings=PASS_ON, short_help="Run one task on what exists or on a sample; nothing is changed.")
@click.option("--sample", is_flag=True, help="Run on a small simulated sample, although all is there.")
@click.option(
    "--rows", default=5, metavar="N", show_default="5", type=click.IntRange(0, 10_000), help="How many rows to show."
)
@click.option(
    "--most-gb", default=1.0, metavar="GB", show_default="1", type=click.FloatRange(0), help="Refuse to read more."
)
@as_json
@asked
def command(words: tuple[str, ...], sample: bool, rows: int, most_gb: float, as_json: bool) -> None:
    """Run TASK alone, show what it makes, and leave everything as it is.

    It reads what exists upstream. Where something is missing, or with --sample, it runs on a few simulated days made
    to the schema; rows of the two are never mixed. A file that was just edited is what runs.
    """
    began = time.perf_counter()
    task = task_of(words)
    with bench(task, platform(), Wish(sample, rows, most_gb)) as on:
        tried = attempt(on)
    seconds = time.perf_counter() - began
    if as_json:
        tell_json(_json(on, tried, seconds))
        return
    out = console()
    for line in _lines(on, tried, seconds):
        out.print(line, soft_wrap=True)
    if tried.columns:
        show(out, tried.columns, tried.first_rows, tried.key)
    _show_facts(out, tried.facts)


def _lines(on: Bench, tried: Tried, seconds: float) -> Iterator[str]:
    if on.why:
        yield escape(on.why)
    yield f"[bold]{escape(str(on.task))}[/bold] on {'a sample' if on.sampled else 'what exists'}:"
    yield from (f"  {escape(line)}" for line in on.used)
    columns = f" of {count(len(tried.columns), 'column')}" if tried.columns else ""
    what = "training row" if "trees" in tried.facts else "row"
    yield f"{count(tried.rows, what)}{columns} in {seconds:.1f} s; nothing was changed."
    if on.sampled and "holdout" in tried.facts:
        yield "A sample shows that it runs, not how good it is."


def _show_facts(out: Console, facts: Mapping[str, Any]) -> None:
    if "results" in facts:
        out.print(results_table(facts["results"]))
    if "value" in facts:
        out.print(escape(preview.value(facts["value"])), soft_wrap=True)
    if "lines" in facts:
        rejected = facts["rejected"]
        reasons = ", ".join(f"{number(rows)} {reason}" for reason, rows in rejected.items()) or "none"
        out.print(f"{count(facts['lines'], 'line')}, {count(facts['duplicates'], 'duplicate')}; rejected: {reasons}.")
        for one in facts["first_rejects"]:
            said = f"  {one['file']}:{one['line_number']} {one['reason']}: {one['line']}"
            out.print(escape(said), no_wrap=True, overflow="ellipsis")
    if "would_fail" in facts:
        out.print(facts["would_fail"], style="bold")
    if "holdout" in facts:
        _show_model(out, facts)
    if "files" in facts:
        files = table("file", "size", right=["size"])
        for name, bytes_ in facts["files"].items():
            files.add_row(name, size(bytes_))
        out.print(files)
        out.print(f"The bundle was loaded back, and its {count(facts['golden_rows'], 'golden row')} scored as written.")


def _show_model(out: Console, facts: Mapping[str, Any]) -> None:
    out.print(
        f"{count(facts['trees'], 'tree')}, {count(facts['data']['train']['positives'], 'positive')} to learn from."
    )
    judged = table("on the held-out day", "", right=[""])
    for name, value in facts["holdout"].items():
        said = "?" if value is None else number(value) if isinstance(value, int) else f"{value:.5f}"
        judged.add_row(name.replace("_", " "), said)
    out.print(judged)
    used = sorted(((share, name) for name, share in facts["gain"].items() if share), reverse=True)
    if used:
        gains = table("feature", "share of the gain", right=["share of the gain"])
        for share, name in used[:_SHOWN_GAINS]:
            gains.add_row(name, f"{share:.1%}")
        out.print(gains)


def _json(on: Bench, tried: Tried, seconds: float) -> dict[str, Any]:
    return {
        "task": str(on.task),
        "sample": on.sampled,
        "why": on.why,
        "ran_on": on.used,
        "rows": tried.rows,
        "columns": tried.columns,
        "key": tried.key,
        "first_rows": [{name: plain(value) for name, value in row.items()} for row in tried.first_rows],
        "seconds": round(seconds, 3),
        **tried.facts,
    }
