"""Which raw files came too late, and what it costs to take them in."""

from __future__ import annotations

from tasks.changes import Changes, changes, named
from tasks.days import DaysTask
from tasks.plan import lines, tell
from tasks.restate import plan
from tasks.s3_log_ingest import S3LogIngest


class LateLogs(DaysTask):
    """Tells which raw files of some days came, changed or went after their hour was ingested. It writes nothing."""

    def complete(self) -> bool:
        """Asking is all there is to do, and it is told where it was asked for, whoever works for luigid."""
        tell(self._told())
        return True

    def _told(self) -> list[str]:
        found = [(step, one) for step in self.ingests() if (one := changes(step)) is not None]
        if not found:
            return ["No raw file is late."]
        told = [_line(step, one) for step, one in found]
        late = [step for step, one in found if one.stale]
        if not late:
            return [*told, "Nothing is made anew for files that are gone: what was made from them is all there is."]
        first, last = (choose(step.day for step in late) for choose in (min, max))
        given = f"--date {first}" if first == last else f"--start {first} --stop {last}"
        built = lines(plan(late))
        return [*told, *built, f"Take them in with `luigi --module tasks Restate {given}`."]


def _line(step: S3LogIngest, found: Changes) -> str:
    numbers = [
        f"{len(names)} {kind}"
        for kind, names in (("new", found.new), ("changed", found.changed), ("gone", found.gone))
        if names
    ]
    return f"{step.event} {step.hour:%Y-%m-%dT%H}: {', '.join(numbers)}: {named(found.late + found.gone)}"
