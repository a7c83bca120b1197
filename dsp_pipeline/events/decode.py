"""One hour of one event: raw lines in, typed Parquet and a quarantine file out."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import IO

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsp_pipeline.errors import SettingsError, SourceError, TooManyRejectsError
from dsp_pipeline.events.arrow import arrow_schema
from dsp_pipeline.events.lines import LineReader, RawFile, Reject
from dsp_pipeline.events.mapping import mapping_query
from dsp_pipeline.events.source import EventLayout, Source

_BATCH_ROWS = 32_768
_KEYS_IN_MEMORY = 500_000  # up to here counting them in memory is cheaper than planning a query


@dataclass
class Decoded:
    """What came of an hour. `rows` + rejected lines + `duplicates` is the number of lines that belong to it.

    `lines` counts those of its files that are not blank, of other hours and events too.

    `events` is Parquet of the event's schema, one row a key; `quarantine` is gzip JSON lines of
    {file, line_number, reason, line}, None when nothing was rejected.
    """

    events: Path
    quarantine: Path | None = None
    lines: int = 0
    rows: int = 0
    duplicates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    first_reject: Reject | None = None

    @property
    def rejected_share(self) -> float:
        rejected = self.rejected.total()
        return rejected / self.lines if rejected else 0.0

    def refuse_above(self, share: float) -> None:
        """TooManyRejectsError if more than this share (0 to 1) of the lines was rejected."""
        if self.rejected_share > share and self.first_reject:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.rejected.most_common())
            first = self.first_reject
            raise TooManyRejectsError(
                f"{self.rejected.total()} of {self.lines} lines were rejected "
                f"({reasons}), more than the {share * 100:g}% allowed; the first is {first.file}:{first.number} "
                f"({first.reason}): {first.line[:120]!r}"
            )


class Decoder:
    """Decodes hours of one source, one after the other, on one connection.

    Good lines are kept whatever the others are; of lines with the same key the first is kept. Memory does not grow
    with the hour: lines are streamed, and the search for doubled keys spills to disk above `memory_limit_mb`.
    """

    def __init__(self, source: Source, *, memory_limit_mb: int, threads: int) -> None:
        self.source = source
        self._connection = duckdb.connect()
        self._connection.execute(f"SET TimeZone = '{source.timezone}'")
        self._connection.execute(f"SET memory_limit = '{memory_limit_mb}MB'")
        self._connection.execute(f"SET threads = {threads}")
        self._spills = False

    def decode(self, event: str, hour: datetime, files: Sequence[RawFile], scratch: Path, *, hours: int = 1) -> Decoded:
        """Write `events.parquet` and `rejected.jsonl.gz` into `scratch`. `hour` is UTC, the first of `hours` that are
        decoded as one: to plan the query for each would take longer than to run it.

        Where a file holds several hours, its lines that cannot be told to be of any hour are counted in the first of
        them, so that they count once.

        TruncatedFileError if a file is cut off; SourceError if a file lacks a column that the source names;
        SettingsError if there is too little memory for a line.
        """
        layout = self.source.layout(event)
        if not self._spills:  # once: DuckDB keeps to the folder that it has used
            spill = scratch.parent / f"{os.getpid()}-spill"
            self._connection.execute(f"SET temp_directory = {_quoted(spill)}")
            self._spills = True
        decoded = Decoded(events=scratch / "events.parquet")
        judges = layout.path.begins(hour)
        with ExitStack() as open_files:
            quarantine = _Quarantine(scratch / "rejected.jsonl.gz", decoded, open_files, judges, files)
            writer = open_files.enter_context(
                pq.ParquetWriter(decoded.events, arrow_schema(layout.event), compression="zstd")
            )
            reader = LineReader(self.source.format, self.source.compression, quarantine.add)
            for header, group in self._by_header(reader, files):
                for batch in self._mapped(reader, layout, hour, hours, header, group, decoded):
                    good = batch.filter(pc.is_null(batch.column("reason")))
                    decoded.rows += good.num_rows
                    writer.write_table(pa.Table.from_batches([good]).select(writer.schema.names).cast(writer.schema))
                    quarantine.add_rejected(batch)
        self._drop_duplicates(layout, decoded)
        return decoded

    def _by_header(
        self, reader: LineReader, files: Sequence[RawFile]
    ) -> Iterator[tuple[tuple[str, ...] | None, list[RawFile]]]:
        """Files of the same columns together; one group unless the files carry headers that differ."""
        if self.source.format == "json" or self.source.columns is not None:
            if files:
                yield self.source.columns, list(files)
            return
        groups: dict[tuple[str, ...], list[RawFile]] = {}
        for file in files:
            header = reader.header(file)
            if header is not None:
                groups.setdefault(header, []).append(file)
        yield from groups.items()

    def _mapped(
        self,
        reader: LineReader,
        layout: EventLayout,
        hour: datetime,
        hours: int,
        header: tuple[str, ...] | None,
        files: Sequence[RawFile],
        decoded: Decoded,
    ) -> Iterator[pa.RecordBatch]:
        has_header = self.source.format != "json" and self.source.columns is None
        names = [f"path.{name}" for name in sorted(layout.path.names)]
        schema = pa.schema(
            [("file", pa.string()), ("number", pa.int64()), ("line", pa.string()), ("record", pa.string())]
            + [(name, pa.string()) for name in names]
        )
        failures: list[Exception] = []

        def batches() -> Iterator[pa.RecordBatch]:
            try:
                for file in files:
                    for batch in reader.batches(file, skip_header=has_header):
                        decoded.lines += batch.num_rows
                        yield batch
            except Exception as error:
                failures.append(error)  # DuckDB would make another error of it
                raise

        query = mapping_query(self.source, layout, hour, header, hours=hours)
        self._connection.register("lines", pa.RecordBatchReader.from_batches(schema, batches()))
        try:
            yield from self._connection.sql(query).to_arrow_reader(_BATCH_ROWS)
        except (duckdb.InvalidInputException, duckdb.BinderException) as error:
            if failures:
                raise failures[0] from None
            raise SourceError(
                self.source.file,
                None,
                f"the fields of `{layout.event.name}` cannot be made: {str(error).splitlines()[0]}; "
                "look at `match` (RE2, without look-around), `time` and names that differ in their case only.",
            ) from error
        except duckdb.OutOfMemoryException as error:
            raise SettingsError(
                f"the {layout.event.name} lines of {hour:%Y-%m-%dT%H} do not fit into [dsp] memory_limit_mb; raise it: "
                "one line of a megabyte may take a hundred."
            ) from error
        finally:
            self._connection.unregister("lines")

    def _again(self, key: str, decoded: Decoded) -> pa.Array:
        """The places, from 0, of the rows whose key stands in an earlier row."""
        if decoded.rows <= _KEYS_IN_MEMORY:
            keys = pq.read_table(decoded.events, columns=[key]).column(key)
            if pc.count_distinct(keys).as_py() == decoded.rows:
                return pa.array([], pa.int64())
            first: dict[str, int] = {}
            return pa.array(
                [place for place, one in enumerate(keys.to_pylist()) if first.setdefault(one, place) != place]
            )
        rows = f"read_parquet({_quoted(decoded.events)}, file_row_number = true, hive_partitioning = false)"
        again = self._connection.sql(
            f"WITH twice AS (SELECT {key}, min(file_row_number) AS first FROM {rows} GROUP BY ALL HAVING count(*) > 1) "
            f"SELECT file_row_number FROM {rows} SEMI JOIN twice USING ({key}) "
            "EXCEPT ALL SELECT first FROM twice"
        )
        return again.to_arrow_table().column(0).combine_chunks()

    def _drop_duplicates(self, layout: EventLayout, decoded: Decoded) -> None:
        """Rewrite the file without later rows of a key that stands twice; usually there is nothing to do."""
        places = self._again(layout.event.key, decoded)
        if not len(places):
            return
        aside = decoded.events.with_suffix(".once.parquet")
        schema, place = arrow_schema(layout.event), 0
        with pq.ParquetFile(decoded.events) as file, pq.ParquetWriter(aside, schema, compression="zstd") as writer:
            for batch in file.iter_batches(_BATCH_ROWS):
                numbers = pa.array(range(place, place + batch.num_rows), pa.int64())
                writer.write_batch(batch.filter(pc.invert(pc.is_in(numbers, places))))
                place += batch.num_rows
        kept = decoded.rows - len(places)
        aside.replace(decoded.events)
        decoded.duplicates, decoded.rows = decoded.rows - kept, kept


def _quoted(path: Path) -> str:
    """The path as SQL that means just this file, whatever is in its name."""
    return "'" + re.sub(r"([*?\[])", r"[\1]", str(path)).replace("'", "''") + "'"


class _Quarantine:
    """The file of rejected lines; made when the first one comes."""

    def __init__(
        self, path: Path, decoded: Decoded, open_files: ExitStack, judges: bool, files: Sequence[RawFile]
    ) -> None:
        self._path, self._decoded, self._open_files, self._judges = path, decoded, open_files, judges
        self._places = {file.key: place for place, file in enumerate(files)}
        self._out: IO[str] | None = None
        self._one_at_a_time = Lock()  # the reader runs in a thread of DuckDB's, while rows come out in ours

    def add_rejected(self, batch: pa.RecordBatch) -> None:
        bad = batch.filter(pc.is_valid(batch.column("reason"))).select(["file", "number", "reason", "line"])
        with self._one_at_a_time:
            for row in bad.to_pylist():
                self._keep(Reject(**row))

    def add(self, reject: Reject) -> None:
        """A line that was rejected before it became a row."""
        with self._one_at_a_time:
            self._decoded.lines += 1
            self._keep(reject)

    def _keep(self, reject: Reject) -> None:
        if not self._judges:
            return
        if self._out is None:
            out = gzip.open(self._path, "wt", encoding="utf-8")  # noqa: SIM115 (closed by open_files)
            self._out = self._open_files.enter_context(out)
            self._decoded.quarantine = self._path
        # What is not even text is rejected while it is read, which is ahead of the lines that become rows.
        if self._decoded.first_reject is None or self._place(reject) < self._place(self._decoded.first_reject):
            self._decoded.first_reject = reject
        self._decoded.rejected[reject.reason] += 1
        row = {"file": reject.file, "line_number": reject.number, "reason": reject.reason, "line": reject.line}
        self._out.write(json.dumps(row, ensure_ascii=False) + "\n")

    def _place(self, reject: Reject) -> tuple[int, int]:
        return self._places[reject.file], reject.number
