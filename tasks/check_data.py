"""One day of an event or table against what is declared of it: between the data and all that stands on them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

import luigi

from dsp_pipeline.errors import ConflictError, NotReadyError, QualityError, SettingsError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.fingerprint import Version, fingerprint
from dsp_pipeline.receipts import Draft, Input, Receipt
from dsp_pipeline.sql.header import Read
from dsp_pipeline.warehouse.base import Slice
from targets.receipt import ReceiptTarget
from tasks.parameters import CheckedDayParameter
from tasks.receipt_task import StoreTask, receipts, store_index
from tasks.settings import platform

if TYPE_CHECKING:
    from dsp_pipeline.quality.declared import Checks
    from dsp_pipeline.quality.inspection import Findings
    from dsp_pipeline.quality.measured import History

log = logging.getLogger("dsp")

_LONG_AFTER = 1_000_000  # more than the number of any day


class CheckData(StoreTask):
    """Checks one day of an event or table against expectations/ and audits/. What fails there stops what reads it.

    The name of the result holds a fingerprint of the receipts of all that was looked at, so data that were made anew
    count as not checked. What was counted is kept with the result: later days are compared with it.
    """

    table = luigi.Parameter(positional=False, description="an event, or the name of a .sql file in features/")
    date = CheckedDayParameter(description="the day, as 2026-11-21")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.platform.table(self.table)
        files = self.platform.checks
        if files.of(self.table) is None:
            raise SettingsError(
                f"nothing is declared of {self.table} that the source {self.platform.source.name} has; write "
                f"expectations/{self.table}.yaml, or check what there is: {', '.join(files.names()) or 'nothing'}."
            )

    @property
    def priority(self) -> int:  # type: ignore[override]  # luigi allows it, and annotates an attribute
        """Before all else, so that what is wrong is told early; and older days first, as they are the newer's past."""
        return _LONG_AFTER - int(self.date.toordinal())

    @property
    def declared(self) -> Checks:
        found = self.platform.checks.of(self.table)
        assert found is not None
        return found

    def requires(self) -> list[luigi.Task]:
        from tasks.feature_build import upstream  # which stands on checks

        return [upstream(name, partition) for name, slice_ in self.slices().items() for partition in slice_.partitions]

    def slices(self) -> dict[str, Slice]:
        """All that is looked at."""
        return self.platform.windows(self.declared.reads, self.date)

    def place(self) -> tuple[str, str]:
        shelf = f"quality/{self.table}/{self.version().name}/"
        try:
            looked_at = [word for one in self.inputs() for word in (one.name, one.digest)]
        except NotReadyError:
            return shelf, f"{self.date}"  # where nothing is ever kept
        return shelf, f"{self.date}@{fingerprint(*looked_at)}"

    def output(self) -> ReceiptTarget:
        return ReceiptTarget(store_index(f"quality/{self.table}/"), "".join(self.place()))

    def version(self) -> Version:
        return self.declared.version

    def inputs(self) -> list[Input]:
        return [receipt.as_input() for slice_ in self.slices().values() for receipt in receipts(slice_)]

    def was_checked(self) -> bool:
        """Whether these checks passed on the day, whatever its data were then."""
        begin = f"quality/{self.table}/{self.version().name}/{self.date}@"
        return any(name.startswith(begin) for name in store_index(f"quality/{self.table}/").names())

    def make(self, draft: Draft, *, replace: bool) -> Receipt:
        from dsp_pipeline.quality.inspection import sentence
        from dsp_pipeline.quality.judging import FAILED, WARNED

        platform, findings = self.platform, self.findings()
        details = findings.as_dict()
        for result in findings.of(WARNED):
            log.warning("%s of %s: %s", self.table, self.date, sentence(result))
        if findings.of(FAILED):
            kept = platform.outputs.refuse(draft.address, "json", json.dumps(details, indent=1).encode())
            raise QualityError(self._told(findings, kept))
        own = platform.windows([Read(self.table, 0, 0)], self.date)[self.table]
        receipt = draft.finish(sum(one.rows for one in receipts(own)), [], details=details)
        try:
            platform.outputs.receipts.write(receipt, replace=replace)
        except ConflictError:  # the other's result is as good
            return platform.outputs.receipts.read(draft.address)
        return receipt

    def findings(self) -> Findings:
        """What comes of the checks at this moment; nothing is written."""
        platform, day = self.platform, self.date
        inspection = platform.checks.inspection(platform.table(self.table))
        found = inspection.inspect(platform.engine, day, lambda reads: platform.windows(reads, day), self.history())
        reason = self.declared.expected.accepted.get(day.isoformat())
        return found.accepted(reason) if reason else found

    def history(self) -> History:
        """The days that this one is compared with: of each the newest result, one of these checks if there is any."""
        from dsp_pipeline.quality.measured import History, Measured, days_compared

        index = store_index(f"quality/{self.table}/")
        by_day: dict[str, list[str]] = {}
        for name in index.names():
            by_day.setdefault(name.rpartition("/")[2].partition("@")[0], []).append(name)
        own, days = f"/{self.version().name}/", {}
        for day in days_compared(self.date):
            kept = [one for name in by_day.get(day.isoformat(), []) if (one := index.get(name)) is not None]
            measured = [one for one in kept if one.details["measured"] is not None]
            if measured:
                newest = max(measured, key=lambda one: (own in one.address, one.created_at))
                days[day] = Measured.from_dict(newest.details["measured"])
        return History(self.date, days)

    def _told(self, findings: Findings, kept: str) -> str:
        from dsp_pipeline.quality.inspection import sentence
        from dsp_pipeline.quality.judging import FAILED

        failed = findings.of(FAILED)
        number = "a check" if len(failed) == 1 else f"{len(failed)} checks"
        mend = "mend its logs" if self.table in EVENTS else "mend its SQL, or the logs that it is built from"
        return (
            f"{self.table} of {self.date} fails {number}, so nothing is built on it: "
            f"{'; '.join(sentence(one) for one in failed)}; {mend} (mended logs are taken in with "
            f"`luigi --module tasks Restate --date {self.date}`), or, if the rows are right, correct the check or write"
            f' `accepted: {{"{self.date}": why}}` into expectations/{self.table}.yaml; '
            f"all that was found is in {kept} of the lake."
        )


def checks(name: str, days: Iterable[date]) -> list[CheckData]:
    """The checks of these days of an event or table; none if nothing is declared of it."""
    if platform().checks.of(name) is None:
        return []
    return [CheckData(table=name, date=day) for day in days]
