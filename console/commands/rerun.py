"""dsp rerun: one task anew, beside what is there."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator

import click
from luigi.task import flatten

from console.asked import PASS_ON, asked, task_of
from console.printing import console
from dsp_pipeline.errors import DspError
from tasks.changes import changes, named, stale
from tasks.downstream import standing_on
from tasks.export_model import ExportModel
from tasks.plan import count, lines
from tasks.receipt_task import ReceiptTask

_ANEW, _FIRST, _IF = "to make anew", "to make, for the first time", "to make anew if what is read comes out differently"


@click.command(context_settings=PASS_ON, short_help="Make one task's output anew; the old one counts until then.")
@click.option("--downstream", is_flag=True, help="And all that stands on it, if it comes out differently.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@asked
def command(words: tuple[str, ...], downstream: bool, yes: bool) -> None:
    """Make the output of TASK anew. The old one counts until the new one is whole, so nothing is ever missing.

    What stands on it stays as it is, unless --downstream; and then only what reads other rows than before is made anew.
    """
    step = task_of(words)
    if not isinstance(step, ReceiptTask):
        raise DspError(
            f"{step.task_family} is many tasks; name one of them, as `dsp plan {step.task_family}` lists them."
        )
    _refuse_without_inputs(step)
    below = [one for one in standing_on([step]) if one != step] if downstream else []
    out = console()
    before = step.receipt()
    planned = [
        *lines([(step, _ANEW if before else _FIRST)]),
        *lines((one, _IF) for one in below),
        *_moves([step, *below]),
    ]
    out.print("\n".join(planned), soft_wrap=True, markup=False)
    for one in (step, *below):
        runner = one.platform.running.who(one.output().address)
        if runner is not None:
            raise DspError(f"{one} is being made by {runner}; wait until that has ended, or end it.")
    if not yes:
        click.confirm("Go on?", abort=True)
    logging.getLogger("dsp").setLevel(logging.INFO)
    began = time.monotonic()
    step.run(replace=True)
    after = step.receipt()
    same = before is not None and after is not None and before.digest == after.digest
    anew = 1
    for one in below:
        if stale(one):  # which nothing is whose inputs are gone
            one.run(replace=True)
            anew += 1
        elif not one.complete():
            one.run()  # a bundle that is there, without its pointer
    how = "came out as it was" if same else "is another attempt now" if before else "is there now"
    made = f"{count(anew, 'step')} made{' anew' if before else ''} in {time.monotonic() - began:.1f} seconds"
    out.print(f"{made}; {step.output()} {how}.")


def _moves(steps: Iterable[ReceiptTask]) -> Iterator[str]:
    """Which pointers move with these steps: a new attempt of a bundle that is served is served."""
    for step in steps:
        if isinstance(step, ExportModel) and step.serves():
            environment, model = step.platform.settings.environment, step.training().trial().model.name
            current = step.platform.registry.resolve(environment, model)
            if current is None or not (current.held or current.date > step.date):
                yield f"{environment} serves the new bundle of {model} from then on, unless the gate refuses it."


def _refuse_without_inputs(step: ReceiptTask) -> None:
    """DspError if the task could not be made from all that it was made from: nothing good is replaced by less."""
    found = changes(step)
    if found is not None and found.gone:
        raise DspError(
            f"{step} was made from {named(found.gone)}, which is not there any more, so it stays as it is; "
            "bring that back first."
        )
    missing = [needed for needed in flatten(step.requires()) if not needed.complete()]
    if missing:
        raise DspError(
            f"{step} needs {missing[0]}{f' and {len(missing) - 1} more' if missing[1:] else ''}, which is not there; "
            "`dsp why` tells what makes it."
        )
