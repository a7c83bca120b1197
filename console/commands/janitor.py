"""dsp janitor: what nobody needs any more."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import click

from console.needed import Household
from console.printing import as_json, console, number, size, table, tell_json
from dsp_pipeline.errors import DspError
from dsp_pipeline.storage.sweep import Swept
from tasks.plan import count
from tasks.settings import platform


@click.command(short_help="List, or remove, what nobody needs any more.")
@click.option(
    "--days",
    type=click.IntRange(1, 36_500),
    default=30,
    show_default=True,
    help="Whatever was written or served in this many days stays.",
)
@as_json
@click.option("--remove", is_flag=True, help="Remove it, after showing it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(days: int, remove: bool, yes: bool, as_json: bool) -> None:
    """List what nobody needs any more. Nothing is removed without --remove.

    That is versions that no environment serves or served lately, that this checkout does not make, and into which
    nothing was written lately; and what killed writers left. What a bundle was made from stays as long as the bundle.
    """
    if as_json and remove:
        raise DspError("--json only lists; leave out --remove, or leave out --json.")
    household = Household(platform(), datetime.now(UTC) - timedelta(days=days))
    needed = household.needed()
    if remove and needed.doubts:
        raise DspError(f"nothing is removed, because {needed.doubts[0]}")
    found = list(household.sweep(needed))
    if as_json:
        tell_json({"not_needed": found, "doubts": needed.doubts})
        return
    out = console()
    if found:
        shown = table("what", "parts", "size", "why", right=("parts", "size"))
        for one in found:
            shown.add_row(one.address, number(one.parts), size(one.size), one.why)
        out.print(shown)
    for doubt in needed.doubts:
        out.print(f"--remove would be refused: {doubt}", soft_wrap=True, markup=False)
    out.print(f"{_total(found)} {'is' if len(found) == 1 else 'are'} not needed." if found else "all is needed.")
    if not remove or not found:
        return
    if not yes:
        click.confirm("Remove all that?", abort=True)
    gone = list(household.sweep(household.needed(), frozenset(one.address for one in found)))
    out.print(f"{_total(gone)} removed.")


def _total(found: Iterable[Swept]) -> str:
    every = list(found)
    return f"{count(len(every), 'thing')} of {size(sum(one.size for one in every))}"
