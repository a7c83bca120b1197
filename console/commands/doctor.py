"""dsp doctor: whether all that a run needs is there and right."""

from __future__ import annotations

import sys

import click

from console.checks import OK, PROBLEM, WARNING, findings
from console.printing import as_json, tell_json

_MARKS = {OK: ("✓", "ok", "green"), WARNING: ("!", "!", "yellow"), PROBLEM: ("✗", "x", "red")}


@click.command(short_help="Look whether all that a run needs is there and right.")
@as_json
def command(as_json: bool) -> int:
    """Look at settings, the team's files, libraries, luigid, the lake, raw logs, the warehouse, what is served, disk
    and memory: a line each with what was found and what to do. The exit code is 1 if something is wrong.
    """
    found, bad = [], False
    for one in findings():
        bad |= one.state == PROBLEM
        found.append(one)
        if not as_json:
            _tell(_MARKS[one.state], f"{one.check:<10} {one.found}")
    if as_json:
        tell_json(found)
    return int(bad)


def _tell(mark: tuple[str, str, str], line: str) -> None:
    """A terminal that can gets a sign, everything else plain letters."""
    sign, plain, colour = mark
    encoding = sys.stdout.encoding or "ascii"
    if not sys.stdout.isatty() or encoding.lower().replace("-", "") != "utf8":
        click.echo(f"{plain:<3}{line}".encode(encoding, "replace").decode(encoding))
    else:
        click.echo(f"{click.style(sign, fg=colour)} {line}")
