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
from typing import IO

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsp_pipeline.errors import SettingsError, SourceError, TooManyRejectsError
from dsp_pipeline.events.arrow import arrow_schema
from dsp_pipeline.events.lines import Block, LineReader, RawFile, Reject
from dsp_pipeline.events.mapping import mapping_query
from dsp_pipeline.events.source import EventLayout, Source
from dsp_pipeline.events.trusted import NotAsBelievedError, TrustingReader

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
        keys: list[pa.ChunkedArray] = []
        with ExitStack() as open_files:
            quarantine = _Quarantine(scratch / "rejected.jsonl.gz", decoded, open_files, judges, files)
            schema = arrow_schema(layout.event)
            writer = open_files.enter_context(_writer(decoded.events, schema))
            reader = LineReader(self.source.format, self.source.compression, quarantine.add)
            for header, group in self._by_header(reader, files):
                for block, rows in self._mapped(reader, layout, hour, hours, header, group, decoded):
                    good = rows
                    if rows.column("reason").null_count < len(rows):
                        good = rows.filter(pc.is_null(rows.column("reason")))
                        quarantine.add_rejected(block, rows)
                    decoded.rows += good.num_rows
                    writer.write_table(good.select(schema.names).cast(schema))
                    keys = [*keys, good.column(layout.event.key)] if decoded.rows <= _KEYS_IN_MEMORY else []
        self._drop_duplicates(layout, decoded, keys)
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
    ) -> Iterator[tuple[Block, pa.Table]]:
        """Blocks of the files, with `place`, `reason` and the event's columns of those lines that belong to it."""
        has_header = self.source.format != "json" and self.source.columns is None
        query = mapping_query(self.source, layout, hour, header, hours=hours)
        trusting = TrustingReader(self._connection, self.source, layout, hour, hours, header)
        for block in reader.blocks(files, skip_header=has_header):
            try:
                rows = trusting.rows(block)
                decoded.lines += len(block)
            except NotAsBelievedError:
                records = reader.records(block)
                decoded.lines += len(records)
                rows = self._carefully(query, layout, hour, block, records)
            yield block, rows

    def _carefully(self, query: str, layout: EventLayout, hour: datetime, block: Block, records: pa.Table) -> pa.Table:
        for name in layout.path.names:
            records = records.append_column(f"path.{name}", block.captures(name).take(records.column("place")))
        self._connection.register("lines", records)
        try:
            return self._connection.sql(query).to_arrow_table()
        except (duckdb.InvalidInputException, duckdb.BinderException) as error:
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

    def _again(self, key: str, decoded: Decoded, kept: list[pa.ChunkedArray]) -> pa.Array:
        """The places, from 0, of the rows whose key stands in an earlier row; `kept` are the keys, if they are few."""
        if decoded.rows <= _KEYS_IN_MEMORY:
            keys = pa.chunked_array([chunk for one in kept for chunk in one.chunks], pa.string())
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

    def _drop_duplicates(self, layout: EventLayout, decoded: Decoded, keys: list[pa.ChunkedArray]) -> None:
        """Rewrite the file without later rows of a key that stands twice; usually there is nothing to do."""
        places = self._again(layout.event.key, decoded, keys)
        if not len(places):
            return
        aside = decoded.events.with_suffix(".once.parquet")
        schema, place = arrow_schema(layout.event), 0
        with pq.ParquetFile(decoded.events) as file, _writer(aside, schema) as writer:
            for batch in file.iter_batches(_BATCH_ROWS):
                numbers = pa.array(range(place, place + batch.num_rows), pa.int64())
                writer.write_batch(batch.filter(pc.invert(pc.is_in(numbers, places))))
                place += batch.num_rows
        kept = decoded.rows - len(places)
        aside.replace(decoded.events)
        decoded.duplicates, decoded.rows = decoded.rows - kept, kept


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Least and greatest texts and lists are of no use to anybody, and take a tenth of the writing.
    counted = [one.name for one in schema if pa.types.is_primitive(one.type)]
    return pq.ParquetWriter(path, schema, compression="zstd", write_statistics=counted)


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

    def add_rejected(self, block: Block, rows: pa.Table) -> None:
        bad = rows.select(["place", "reason"]).filter(pc.is_valid(rows.column("reason")))
        for batch in bad.to_batches(_BATCH_ROWS):
            for row in batch.to_pylist():
                self._keep(block.reject(row["place"], row["reason"]))

    def add(self, reject: Reject) -> None:
        """A line that was rejected before it became a row."""
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
