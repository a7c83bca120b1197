"""Raw log files of an hour → typed Parquet and a quarantine file."""

from __future__ import annotations

from datetime import UTC

from dsp_pipeline.errors import TooManyRejectsError
from dsp_pipeline.fingerprint import Version
from dsp_pipeline.receipts import Draft, Input, Receipt
from tasks.parameters import EventParameter, HourParameter
from tasks.raw_log import RawLog, listings
from tasks.receipt_task import StoreTask


class S3LogIngest(StoreTask):
    """Reads an hour of raw logs. Bad lines go to quarantine; above [dsp] max_rejected_share the task fails."""

    event = EventParameter(positional=False, description="bid, win, impression, click or conversion")
    hour = HourParameter(description="the hour in UTC, as 2026-11-21T05")

    def requires(self) -> RawLog:
        return RawLog(event=self.event, hour=self.hour)

    def place(self) -> tuple[str, str]:
        return f"ingest/{self.event}-{self.platform.table(self.event).version}/", f"{self.hour:%Y-%m-%dT%H}"

    def version(self) -> Version:
        return self.platform.version(self.event)

    def inputs(self) -> list[Input]:
        path = self.platform.source.layout(self.event).path
        found = listings().files(path, self.hour.replace(tzinfo=UTC))
        return [Input(f"raw/{stored.key}", stored.etag) for stored in found]

    def make(self, draft: Draft, *, replace: bool) -> Receipt:
        platform, hour = self.platform, self.hour.replace(tzinfo=UTC)
        listed = {given.name for given in draft.inputs}  # a file that comes meanwhile is late, and shows as such
        files = [file for stored, file in platform.raw_files(self.event, hour) if f"raw/{stored.key}" in listed]
        with platform.scratch() as scratch:
            decoded = platform.decoder.decode(self.event, hour, files, scratch)
            outputs = {"events.parquet": decoded.events}
            if decoded.quarantine:
                outputs["rejected.jsonl.gz"] = decoded.quarantine
            try:
                decoded.refuse_above(platform.settings.max_rejected_share)
            except TooManyRejectsError as error:
                kept = platform.outputs.refuse(draft.address, "jsonl.gz", outputs["rejected.jsonl.gz"])
                raise TooManyRejectsError(
                    f"{error}; all of them are in {kept} of the lake: mend the log or the source, "
                    "or raise [dsp] max_rejected_share."
                ) from None
            return platform.outputs.keep(
                draft,
                outputs,
                decoded.rows,
                rejected=decoded.rejected,
                duplicates=decoded.duplicates,
                replace=replace,
            )
