"""Raw files as a stream of Arrow batches of lines. Memory is that of one chunk, whatever the file's size."""

from __future__ import annotations

import codecs
import csv
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa
from isal import igzip, isal_zlib

from dsp_pipeline.errors import RawLogError, TruncatedFileError

_CHUNK = 4 << 20
MAX_LINE = 1 << 20  # bytes; a longer line is rejected, so that none can fill the memory: as JSON it takes 30 times that
SEPARATOR = "\x1f"  # stands between the fields of a CSV record once its quotes are undone

csv.field_size_limit(MAX_LINE)  # 128 KB otherwise, and of quoted fields only


@dataclass(frozen=True)
class RawFile:
    """A raw file: its key, how to open it, and the parts of its path that the source names."""

    key: str
    open: Callable[[], BinaryIO]
    captures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reject:
    """A line that cannot be used. `number` counts from 1, headers included."""

    file: str
    number: int
    reason: str
    line: str


@dataclass
class LineReader:
    """Reads files of one format; what is not even text goes to `reject`."""

    format: str
    compression: str
    reject: Callable[[Reject], None]

    def header(self, file: RawFile) -> tuple[str, ...] | None:
        """The words of a text file's first line; a word that is empty becomes `column_<place>`. None if empty.

        RawLogError if the line is no header.
        """
        first, lines = next(self._chunks(file), (1, None))
        if lines is None:
            return None
        try:
            if first != 1:
                raise csv.Error("it is too long")
            words = next(csv.reader([lines[0].decode("utf-8", "replace")], delimiter=self._delimiter), [])
        except csv.Error as error:
            raise RawLogError(
                f"{file.key}:1 is no header line: {error}; have the file delivered again with its columns' names."
            ) from None
        return tuple(word or f"column_{place}" for place, word in enumerate(words, 1))

    def batches(self, file: RawFile, skip_header: bool) -> Iterator[pa.RecordBatch]:
        """Batches of `file`, `number`, `line` (as it stands) and `record` (its fields apart); blank lines left out."""
        for first, lines in self._chunks(file):
            numbers = range(first, first + len(lines))
            if skip_header and first == 1:
                lines, numbers = lines[1:], numbers[1:]
            kept = [(number, line) for number, line in zip(numbers, lines, strict=True) if line and not line.isspace()]
            if not kept:
                continue
            texts = self._texts(file, kept)
            line = pa.array([text for _, text in texts], pa.string())
            yield pa.RecordBatch.from_arrays(
                [
                    pa.DictionaryArray.from_arrays(pa.array([0] * len(texts), pa.int8()), [file.key]).cast(pa.string()),
                    pa.array([number for number, _ in texts], pa.int64()),
                    line,
                    self._records(line),
                    *(pa.array([value] * len(texts), pa.string()) for _, value in sorted(file.captures.items())),
                ],
                names=["file", "number", "line", "record", *(f"path.{name}" for name in sorted(file.captures))],
            )

    @property
    def _delimiter(self) -> str:
        return "\t" if self.format == "tsv" else ","

    def _chunks(self, file: RawFile) -> Iterator[tuple[int, list[bytes]]]:
        """Whole lines, a few megabytes at a time, with the number of the first."""
        number, rest, dropping, begun = 1, b"", False, False
        with file.open() as raw:
            stream = self._decompressed(raw)
            while True:
                try:
                    chunk = stream.read(_CHUNK)
                except (EOFError, zlib.error, isal_zlib.error, OSError) as error:  # type: ignore[misc]
                    raise TruncatedFileError(
                        f"{file.key} is cut off or damaged ({error}); have it delivered again and run the hour again."
                    ) from error
                if not begun and not chunk:
                    self._refuse_nothing(file)
                text = rest + (chunk if begun else chunk.removeprefix(codecs.BOM_UTF8))
                begun = True
                if dropping:  # in the middle of a line that is too long
                    _, newline, text = text.partition(b"\n")
                    dropping, number = not newline, number + len(newline)
                lines = text.split(b"\n")
                rest = lines.pop() if chunk else b""
                while lines and len(max(lines, key=len)) > MAX_LINE:
                    place = next(place for place, line in enumerate(lines) if len(line) > MAX_LINE)
                    if place:
                        yield number, lines[:place]
                    self._reject_too_long(file, number + place, lines[place])
                    number, lines = number + place + 1, lines[place + 1 :]
                if lines and (chunk or lines != [b""]):
                    yield number, lines
                    number += len(lines)
                if not chunk:
                    return
                if len(rest) > MAX_LINE:
                    self._reject_too_long(file, number, rest)
                    rest, dropping = b"", True

    def _refuse_nothing(self, file: RawFile) -> None:
        """TruncatedFileError if a file without text has no bytes either: an empty one that was compressed has some."""
        if self.compression == "none":
            return
        with file.open() as raw:
            if not raw.read(1):
                raise TruncatedFileError(
                    f"{file.key} is cut off (0 bytes, and of {self.compression} even no lines are some); "
                    "have it delivered again and run the hour again."
                )

    def _reject_too_long(self, file: RawFile, number: int, line: bytes) -> None:
        self.reject(Reject(file.key, number, "too_long", line[:200].decode("utf-8", "replace")))

    def _decompressed(self, raw: BinaryIO) -> Any:
        if self.compression == "gzip":
            return igzip.open(raw, "rb")  # type: ignore[no-untyped-call]
        if self.compression == "zstd":
            return pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")
        return raw

    def _texts(self, file: RawFile, lines: list[tuple[int, bytes]]) -> list[tuple[int, str]]:
        texts = []
        for number, line in lines:
            try:
                texts.append((number, line.decode().rstrip("\r")))
            except UnicodeDecodeError:
                self.reject(Reject(file.key, number, "not_utf8", line.decode("utf-8", "backslashreplace")))
        return texts

    def _records(self, lines: pa.Array) -> pa.Array:
        if self.format != "csv":
            return lines
        records: list[str | None] = []
        for line in lines.to_pylist():
            if SEPARATOR in line:
                records.append(None)  # malformed: it would look like two fields
            elif '"' in line:
                try:
                    records.append(SEPARATOR.join(next(csv.reader([line], strict=True))))
                except csv.Error:
                    records.append(None)
            else:
                records.append(line.replace(",", SEPARATOR))
        return pa.array(records, pa.string())
