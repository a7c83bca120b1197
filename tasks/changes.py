"""What an output was made from, against what is there now."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from dsp_pipeline.errors import NotFoundError, NotReadyError
from tasks.receipt_task import ReceiptTask
from tasks.s3_log_ingest import S3LogIngest

log = logging.getLogger("dsp")
_NAMED = 3  # files that a message names


@dataclass(frozen=True)
class Changes:
    """The names of what a step would read now and did not (new), read as it was before (changed), cannot (gone)."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def late(self) -> tuple[str, ...]:
        return self.new + self.changed

    @property
    def stale(self) -> bool:
        """Whether the step is to be made anew.

        What is gone (a retention rule, a disk that is not mounted) makes nothing stale: what was made from it is all
        that is left of it.
        """
        return bool(self.late) and not self.gone


def changes(step: ReceiptTask) -> Changes | None:
    """None if the step is not complete, or was made from just what is there now."""
    receipt = step.receipt()
    if receipt is None:
        return None
    then = {given.name: given.digest for given in receipt.inputs}
    try:
        now = {given.name: given.digest for given in step.inputs()}
    except (NotReadyError, NotFoundError):
        return Changes((), (), tuple(then))
    found = Changes(
        tuple(name for name in now if name not in then),
        tuple(name for name in now if now[name] != then.get(name, now[name])),
        tuple(name for name in then if name not in now),
    )
    return found if found.late or found.gone else None


def stale(step: ReceiptTask) -> bool:
    """Whether the step is to be made anew; it is told if it would be and cannot."""
    found = changes(step)
    if found is not None and found.gone:
        log.warning("%s was made from %s, which is not there any more; it stays as it is", step, named(found.gone))
    return found is not None and found.stale


def late(ingests: Iterable[S3LogIngest]) -> list[str]:
    """A sentence for each day with raw files that came or changed after their hour was ingested."""
    files: dict[date, list[str]] = defaultdict(list)
    for step in ingests:
        found = changes(step)
        if found is not None:
            files[step.day] += found.late
    return [
        f"{len(names)} raw {'files' if names[1:] else 'file'} of {day} came or changed after the hour was ingested: "
        f"{named(names)}; take in with `luigi --module tasks Restate --date {day}`."
        for day, names in sorted(files.items())
        if names
    ]


def named(files: Iterable[str]) -> str:
    """The first few names."""
    names = [name.removeprefix("raw/") for name in files]
    return ", ".join(names[:_NAMED]) + (" …" if names[_NAMED:] else "")
