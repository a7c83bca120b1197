"""Raw log files of an hour → typed Parquet and a quarantine file."""

from __future__ import annotations

from datetime import UTC

from dsp_pipeline.errors import TooManyRejectsError
from dsp_pipeline.receipts import Input
from targets.receipt import ReceiptTarget
from tasks.parameters import EventParameter, HourParameter
from tasks.raw_log import RawLog
from tasks.receipt_task import ReceiptTask, store_index


class S3LogIngest(ReceiptTask):
    """Reads an hour of raw logs. Bad lines go to quarantine; above [dsp] max_rejected_share the task fails."""

    event = EventParameter(positional=False, description="bid, win, impression, click or conversion")
    hour = HourParameter(description="the hour in UTC, as 2026-11-21T05")

    def requires(self) -> RawLog:
        return RawLog(event=self.event, hour=self.hour)

    def output(self) -> ReceiptTarget:
        shelf = f"ingest/{self.event}-{self.platform.table(self.event).version}/"
        return ReceiptTarget(store_index(shelf), f"{shelf}{self.hour:%Y-%m-%dT%H}")

    def run(self) -> None:
        platform, address = self.platform, self.output().address
        found = platform.raw_files(self.event, self.hour.replace(tzinfo=UTC))
        inputs = [Input(f"raw/{stored.key}", stored.etag) for stored, _ in found]
        draft = platform.draft(address, platform.table(self.event).version, inputs)
        with platform.scratch() as scratch:
            files = [file for _, file in found]
            decoded = platform.decoder.decode(self.event, self.hour.replace(tzinfo=UTC), files, scratch)
            outputs = {"events.parquet": decoded.events}
            if decoded.quarantine:
                outputs["rejected.jsonl.gz"] = decoded.quarantine
            try:
                decoded.refuse_above(platform.settings.max_rejected_share)
            except TooManyRejectsError as error:
                platform.store.put(f"refused/{address}.jsonl.gz", outputs["rejected.jsonl.gz"])
                raise TooManyRejectsError(
                    f"{error}; all of them are in refused/{address}.jsonl.gz of the lake: mend the log or the source, "
                    "or raise [dsp] max_rejected_share."
                ) from None
            receipt = platform.outputs.keep(
                draft, outputs, decoded.rows, rejected=decoded.rejected, duplicates=decoded.duplicates
            )
        self.done(receipt)
