"""dsp why: why a task is not complete, or what made it so."""

from __future__ import annotations

import json
from typing import Any

import click
import luigi
from luigi.task import flatten

from console import reasons
from console.ancestry import older
from console.asked import PASS_ON, asked, task_of
from console.lineage import draw, lineage_tree
from console.printing import amount, as_json, console, size, tell_json
from console.serving import not_served
from console.workers import options
from dsp_pipeline.errors import DspError
from dsp_pipeline.receipts import Receipt
from tasks.changes import changes, late, named
from tasks.plan import MISSING, NO_LOGS, Pending, lines, steps
from tasks.receipt_task import ReceiptTask, lineage
from tasks.s3_log_ingest import S3LogIngest


@click.command(context_settings=PASS_ON, short_help="Why a task is not complete, or what made it so.")
@as_json
@asked
def command(words: tuple[str, ...], as_json: bool) -> None:
    """Tell why TASK is not complete, or what made it so: its version, and the receipts down to the raw files."""
    step = task_of(words, there=True)
    if not isinstance(step, ReceiptTask):
        raise DspError(f"{step.task_family} has no output of its own; `dsp plan {' '.join(words)}` lists its tasks.")
    receipt = step.receipt()
    said = _complete(step, receipt) if receipt else _missing(step)
    if as_json:
        tell_json(said)
        return
    out = console()
    for line in said.pop("lines"):
        out.print(line, soft_wrap=True, markup=False)
    if receipt:
        out.print(draw(lineage_tree(receipt, lineage(receipt.inputs))), soft_wrap=True)


def _complete(step: ReceiptTask, receipt: Receipt) -> dict[str, Any]:
    version = step.version()
    made = receipt.created_at[:19].replace("T", " ")
    told = [
        f"{step} is complete: {amount(receipt)}, {size(receipt.size)}, made {made} UTC in "
        f"{receipt.seconds:.1f} s by revision {receipt.revision[:12] or 'unknown'}.",
        f"Its version {receipt.version} is made of: {_parts(version.parts)}.",
    ]
    if receipt.compatible_with:
        told.append(f"A file declared it compatible: {receipt.compatible_with}.")
    if unserved := not_served(step):
        told.append(f"{unserved[0].upper()}{unserved[1:]}{'' if unserved.endswith('.') else '.'}")
        if not step.complete():
            told.append(f"Serve it with `luigi --module tasks {_words(step)}`.")
    found = changes(step)
    if found is not None and found.late:
        told.append(f"It is stale: {named(found.late)} came or changed since; `dsp rerun` makes it anew.")
    if found is not None and found.gone:
        told.append(f"What it was made from is gone: {named(found.gone)}.")
    below = late(one for one in steps(step) if isinstance(one, S3LogIngest) and one != step)
    told += [f"Below it, {sentence}" for sentence in below]
    told += _running(step)
    return {
        "task": str(step),
        "complete": True,
        "not_served": unserved,
        "stale": bool(found and found.stale),
        "late_below": below,
        "version": version.parts,
        "receipt": _json(receipt),
        "upstream": lineage(receipt.inputs),
        "lines": told,
    }


def _missing(step: ReceiptTask) -> dict[str, Any]:
    version = step.version()
    new = reasons.news(step.platform, version)
    pending = Pending()
    able = [pending.can_run(one) for one in flatten(step.requires())]  # all are looked at
    told = [f"{step} is not complete: it has no receipt at {step.output()}."]
    old = older(step.platform, version)
    if new:
        told.append(f"Nothing was made by its version {version.name} yet: {'; '.join(new)}.")
        if old:
            told.append(f"That is against {old}{f', {old.why}' if old.why else ', of those on record the most alike'}.")
    else:
        told.append(f"Its version {version.name} has made other days; this one was not made.")
    if pending.found:
        told += ["It needs first:", *(f"  {line}" for line in lines(pending.found))]
        logs = [task for task, why in pending.found if why == NO_LOGS]
        if logs:
            told.append(f"The first of these logs is looked for at {step.platform.settings.raw}/{logs[0].output()}.")
    else:
        told.append("All that it needs is there.")
    told += [*_refused(step, pending), *_running(step)]
    if all(able):
        told.append(f"Make it with `luigi --module tasks {_words(step)}`.")
    keep = reasons.cure(step.platform, version) if new else None
    if keep:
        told += _kept(keep)
    return {
        "task": str(step),
        "complete": False,
        "version": version.parts,
        "why": new,
        "against": old.recorded.name if new and old else None,
        "keep": keep.line if keep else None,
        "lines": told,
    }


def _kept(keep: reasons.Cure) -> list[str]:
    told = [f"What was made by {keep.older}, {keep.older.why}, differs in this:"]
    for name, difference in keep.files.items():
        told += [f"  {name}", *(f"    {line}" for line in difference)]
    return [*told, f"If that makes the same rows, this keeps what is there (docs/versions.md): {keep.line}"]


def _refused(step: ReceiptTask, pending: Pending) -> list[str]:
    """Of the step and of the hours below it: what its last try left for a person to look at."""
    kept = step.platform.outputs.refused()
    tried = [one for one, why in pending.found if isinstance(one, S3LogIngest) and why == MISSING]
    found = {one: kept.get(one.output().address) for one in [*tried, step]}
    return [f"{one} was refused when it was tried; why is in {key} of the lake." for one, key in found.items() if key]


def _running(step: ReceiptTask) -> list[str]:
    runner = step.platform.running.who(step.output().address)
    return [f"It is being made by {runner}."] if runner else []


def _parts(parts: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in parts.items())


def _words(step: luigi.Task) -> str:
    """Luigi's words for it, with the settings that this command was given."""
    given, context = step.to_str_params(), click.get_current_context()
    settings = options(context.find_root().params.get("settings", {}))
    return " ".join(
        [step.task_family, *settings, *(f"--{name.replace('_', '-')} {value}" for name, value in given.items())]
    )


def _json(receipt: Receipt) -> Any:
    return json.loads(receipt.to_json())
