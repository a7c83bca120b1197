"""dsp models: the published bundles, and who serves which."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from console.bundles import MAIN, cells, main_metrics
from console.printing import as_json, console, size, table, tell_json
from dsp_pipeline.errors import UnknownNameError
from dsp_pipeline.registry.pointer import Pointer, made_again
from dsp_pipeline.registry.promotion import short
from dsp_pipeline.registry.registry import BundleRegistry, Version
from tasks.plan import count
from tasks.settings import platform

_MOST = 20  # bundles of a model that are shown, with those that are served


@click.command(short_help="The published bundles of models, and which of them each environment serves.")
@as_json
@click.option("--all", "all_", is_flag=True, help=f"All bundles, not only the newest {_MOST} of a model.")
@click.argument("model", required=False)
def command(model: str | None, all_: bool, as_json: bool) -> int:
    """List the bundles of MODEL, or of all models, newest day first, and in which environments each is served.

    A bundle is shown as EXPERIMENT/ARM/VERSION/DAY/ATTEMPT; `dsp promote` takes that, or EXPERIMENT/ARM/DAY.
    Metrics are those of the held-out day: a normalised entropy below 1 is better than the base rate alone, and
    predicted to observed is best at 1. The exit code is 1 if what this environment points at is gone.
    """
    one = platform()
    registry, environment = one.registry, one.settings.environment
    versions, pointers = registry.versions(), list(registry.pointers())
    known = sorted({version.model for version in versions} | {of for _, of, _ in pointers})
    if model is not None and model not in known:
        raise UnknownNameError("model", model, known)
    answers = []
    for name in known if model is None else [model]:
        serving = [(where, pointer) for where, of, pointer in pointers if of == name]
        mine = [version for version in versions if version.model == name]
        answers.append(_answer(registry, name, mine, serving, all_))
    gone = any(lost["environment"] == environment for answer in answers for lost in answer["gone"])
    if as_json:
        tell_json(answers)
        return int(gone)
    for answer in answers:
        _show(answer)
    if not answers:
        console().print("no bundle is published yet; an experiment's ExportModel publishes one.")
    return int(gone)


def _answer(
    registry: BundleRegistry, model: str, versions: list[Version], serving: list[tuple[str, Pointer]], all_: bool
) -> dict[str, Any]:
    """What is told of a model, as plain data."""
    served = {pointer.address for _, pointer in serving}
    shown = [one for place, one in enumerate(versions) if all_ or place < _MOST or one.address in served]
    metrics = main_metrics(registry, [one.address for one in shown])
    there = {one.address for one in versions}
    return {
        "model": model,
        "bundles": [
            {
                "address": one.address,
                "experiment": one.experiment,
                "arm": one.arm,
                "version": one.version,
                "date": one.date,
                "metrics": metrics[one.address],
                "size": one.size,
                "published": datetime.fromtimestamp(one.published, UTC),
                "served": [
                    {"environment": environment, "held": pointer.held}
                    for environment, pointer in serving
                    if pointer.address == one.address
                ],
            }
            for one in shown
        ],
        "not_shown": len(versions) - len(shown),
        "gone": [
            {"environment": environment, "address": pointer.address}
            for environment, pointer in serving
            if pointer.address not in there
        ],
    }


def _show(answer: dict[str, Any]) -> None:
    out = console()
    out.print(answer["model"], style="bold")
    shown = table("bundle", *MAIN.values(), "size", "published (UTC)", "served in", right=(*MAIN.values(), "size"))
    for one in answer["bundles"]:
        served = ", ".join(f"{by['environment']}{' (held)' if by['held'] else ''}" for by in one["served"])
        published = f"{one['published']:%Y-%m-%d %H:%M}"
        style = "bold" if served else None
        shown.add_row(short(one["address"]), *cells(one["metrics"]), size(one["size"]), published, served, style=style)
    out.print(shown)
    if answer["not_shown"]:
        out.print(f"and {count(answer['not_shown'], 'older bundle')}; --all shows all.")
    for one in answer["gone"]:
        out.print(
            f"{one['environment']} points at {one['address']}, which is gone: `dsp rollback {answer['model']}`, "
            f"`dsp promote` another, or {made_again(one['address'])}.",
            soft_wrap=True,
        )
