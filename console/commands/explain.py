"""dsp explain: why one row has its score."""

from __future__ import annotations

from datetime import date

import click

from console.bundles import trained_here
from console.printing import as_json, console, tell_json
from console.references import table_of_version
from dsp_pipeline.errors import DspError, UnknownNameError
from dsp_pipeline.registry.promotion import meant, short
from dsp_pipeline.warehouse.base import Table
from tasks.parameters import DayParameter
from tasks.settings import platform

_DAYS = 7  # the newest ones, in which a row is looked for


@click.command(short_help="Why one row has its score: what each feature does to it.")
@click.option("--date", "day", metavar="DAY", help="The day that the row is of; the newest seven are searched if not.")
@click.option(
    "--bundle", "name", metavar="NAME", help="A bundle, as `dsp models` names it, in place of the served one."
)
@click.argument("model")
@click.argument("key")
@as_json
def command(model: str, key: str, day: str | None, name: str | None, as_json: bool) -> None:
    """Tell the score of the row KEY in parts, by the bundle of MODEL that bidders of this environment load.

    The row is looked up in the model's feature table: KEY is an impression's id where a row is an impression. Of each
    feature you see what it multiplies the odds by (exact TreeSHAP).
    """
    one = platform()
    address, sha256 = _bundle(model, name)
    from dsp_pipeline.explained import Side, explain_row, find_row

    with one.scratch() as scratch:
        bundle = one.registry.fetch(address, scratch / "bundle", sha256)
        table = table_of_version(bundle.features["table"], bundle.features["table_version"], scratch)
        side = Side(bundle.scorer, bundle.features, table)
        row = find_row(one.warehouse, table, _days(table, day), key, side.columns)
        parts = explain_row(model, side, bundle.metrics, row)
    if as_json:
        tell_json(
            {"bundle": address, "row": {"table": table.name, "date": row.partition, "key": key}, **parts.as_dict()}
        )
        return
    out = console()
    for line in (parts.words(), "", *parts.lines(), "", f"{table.name} {key} of {row.partition}, by {short(address)}"):
        out.print(line, soft_wrap=True, markup=False)


def _bundle(model: str, name: str | None) -> tuple[str, str | None]:
    """The address, and the SHA-256 of the manifest where a pointer says it."""
    registry, environment = platform().registry, platform().settings.environment
    if name is not None:
        found = meant(registry.versions(model), name, trained_here)
        return found.address, None
    pointer = registry.resolve(environment, model)
    if pointer is not None:
        return pointer.address, pointer.manifest_sha256
    known = {one.model for one in registry.versions()}
    if model not in known:
        raise UnknownNameError("model", model, known)
    raise DspError(f"{environment} serves no bundle of {model} yet; `dsp promote` one, or name one with --bundle.")


def _days(table: Table, day: str | None) -> list[str]:
    """The partitions to search, newest first. DspError if there are none."""
    there = sorted(platform().warehouse.receipts(table), reverse=True)
    if not there:
        raise DspError(f"{table.name} has no day of version {table.version}; build one, or take a newer bundle.")
    if day is None:
        return there[:_DAYS]
    wanted: date = DayParameter().parse(day)
    if wanted.isoformat() not in there:
        raise DspError(f"{table.name} of version {table.version} has no {wanted}; it has {_span(there)}.")
    return [wanted.isoformat()]


def _span(days: list[str]) -> str:
    return days[0] if len(days) == 1 else f"{len(days)} days from {days[-1]} to {days[0]}"
