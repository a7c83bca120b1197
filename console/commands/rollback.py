"""dsp rollback: back to the bundle that was served before, at once."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from console.printing import console
from dsp_pipeline.errors import UnknownNameError
from dsp_pipeline.registry.promotion import roll_back, short
from tasks.settings import platform


@click.command(short_help="Serve what was served before, and hold it.")
@click.argument("model")
def command(model: str) -> None:
    """Point this environment back at the bundle of MODEL that it served before, at once, and hold the pointer there.

    A second rollback goes further back. While the pointer is held exports go on and are not served; `dsp promote` ends
    that.
    """
    one, registry = platform(), platform().registry
    environment = one.settings.environment
    current = registry.resolve(environment, model)
    if current is None:
        served = [name for where, name, _ in registry.pointers() if where == environment]
        raise UnknownNameError(f"model served in {environment}", model, served)
    done = roll_back(one.store, environment, model, current, datetime.now(UTC))
    out = console()
    for why in done.skipped:
        out.print(f"passed over: {why}", soft_wrap=True)
    out.print(
        f"{environment} serves {short(done.now.address)} again instead of {short(done.before.address)}, and is held "
        "there: `dsp promote` ends that.",
        soft_wrap=True,
    )
