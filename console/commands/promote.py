"""dsp promote: which bundle bidders load from now on."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from console.bundles import MAIN, cells, main_metrics, trained_here
from console.printing import console, table
from dsp_pipeline.registry.pointer import pointer_to
from dsp_pipeline.registry.promotion import meant, short
from tasks.settings import platform


@click.command(short_help="Serve a published bundle in this environment.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("name")
def command(name: str, yes: bool) -> None:
    """Point this environment at the bundle NAME: EXPERIMENT/ARM (its newest day), EXPERIMENT/ARM/DAY, or as `dsp
    models` prints it. Without a version it is a bundle of the version that this checkout trains.

    The environment is [dsp] environment; no other one is touched. Exports move the pointer on as before: to keep
    another arm for good, name it in the experiment's `serve`.
    """
    one, registry = platform(), platform().registry
    environment, chosen = one.settings.environment, meant(registry.versions(), name, trained_here)
    current = registry.resolve(environment, chosen.model)
    pointer = pointer_to(one.store, chosen.address, pointed_at=datetime.now(UTC), current=current)
    out = console()
    if current is not None and current.address == chosen.address and not current.held:
        out.print(f"{environment} serves {short(chosen.address)} already.", soft_wrap=True)
        return
    pair = {"from": current.address, "to": chosen.address} if current else {"to": chosen.address}
    metrics = main_metrics(registry, pair.values())
    shown = table(f"{chosen.model} of {environment}", "bundle", *MAIN.values(), right=MAIN.values())
    for which, address in pair.items():
        shown.add_row(which, short(address), *cells(metrics[address]))
    out.print(shown)
    if not yes:
        click.confirm("Go on?", abort=True)
    registry.point(environment, chosen.model, pointer, current.etag if current else None)
    out.print(f"{environment} serves {short(chosen.address)} now.", soft_wrap=True)
