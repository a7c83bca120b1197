"""dsp decisions: which bundles were served or refused, and why."""

from __future__ import annotations

from pathlib import Path

import click

from console.printing import as_json, console, tell_json
from dsp_pipeline.errors import DspError, UnknownNameError
from dsp_pipeline.registry.decisions import Decision, kept
from tasks.settings import platform

_MOST = 10  # that the terminal shows; the page and --json have more


@click.command(short_help="Which bundles were served or refused, and why, with the numbers.")
@as_json
@click.option("--page", type=click.Path(path_type=Path), help="Write one page to read in a browser to this file.")
@click.argument("model", required=False)
def command(model: str | None, page: Path | None, as_json: bool) -> None:
    """Show what was decided about serving bundles of MODEL, or of all models, in this environment, newest first."""
    one = platform()
    environment = one.settings.environment
    found = kept(one.store, environment, model or "")
    if model and not found:
        known = sorted({decision.model for decision in kept(one.store, environment)})
        raise UnknownNameError("model with decisions", model, known)
    if page is not None:
        _write(page, found)
    elif as_json:
        tell_json(found)
    else:
        _show(found[:_MOST], environment)


def _show(found: list[Decision], environment: str) -> None:
    out = console()
    for one in found:
        verdict = "[green]accepted[/green]" if one.accepted else "[red]refused[/red]"
        place = f"in place of {one.champion}" if one.champion else "where nothing was served"
        out.print(f"{one.decided_at} {one.model}: {one.candidate} {place} {verdict} ({one.kind})", soft_wrap=True)
        for check in one.checks:
            out.print(f"  {'passed' if check.passed else 'FAILED'}  {check.reason}", soft_wrap=True, markup=False)
    if not found:
        out.print(f"nothing was decided in {environment} yet; ExportModel of a served arm decides.")


def _write(page: Path, found: list[Decision]) -> None:
    from dsp_pipeline.registry.decisions_page import decisions_page

    try:
        page.write_text(decisions_page(found), encoding="utf-8")
    except OSError as error:
        raise DspError(f"{page} cannot be written: {error.strerror}; give --page another file.") from None
    console().print(f"{len(found)} decisions are in {page}.", soft_wrap=True)
