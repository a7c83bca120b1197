"""Raw files as a stream of Arrow batches of lines. Memory is that of one chunk, whatever the file's size."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa
from isal import igzip, isal_zlib

from dsp_pipeline.errors import TruncatedFileError

_CHUNK = 4 << 20
MAX_LINE = 16 << 20  # bytes; a longer line is rejected, so that a file without newlines cannot fill the memory
SEPARATOR = "\x1f"  # stands between the fields of a CSV record once its quotes are undone


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
        """The words of a text file's first line; a word that is empty becomes `column_<place>`. None if empty."""
        for _, lines in self._chunks(file):
            if lines:
                words = next(csv.reader([lines[0].decode("utf-8", "replace")], delimiter=self._delimiter))
                return tuple(word or f"column_{place}" for place, word in enumerate(words, 1))
        return None

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
        number, rest, dropping = 1, b"", False
        with file.open() as raw:
            stream = self._decompressed(raw)
            while True:
                try:
                    chunk = stream.read(_CHUNK)
                except (EOFError, zlib.error, isal_zlib.error, igzip.BadGzipFile, OSError) as error:
                    raise TruncatedFileError(
                        f"{file.key} is cut off or damaged after line {number - 1} ({error}); "
                        "have it delivered again and run the hour again."
                    ) from error
                if dropping:  # in the middle of a line that is too long
                    end = chunk.find(b"\n")
                    if end < 0 and chunk:
                        continue
                    chunk, dropping, number = chunk[end + 1 :] if end >= 0 else b"", False, number + 1
                lines = (rest + chunk).split(b"\n")
                rest = lines.pop() if chunk else b""
                if lines and (chunk or lines != [b""]):
                    yield number, lines
                    number += len(lines)
                if not chunk:
                    return
                if len(rest) > MAX_LINE:
                    self.reject(Reject(file.key, number, "too_long", rest[:200].decode("utf-8", "replace")))
                    rest, dropping = b"", True

    def _decompressed(self, raw: BinaryIO) -> Any:
        if self.compression == "gzip":
            return igzip.open(raw, "rb")
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
        records = []
        for line in lines.to_pylist():
            if '"' in line:
                try:
                    records.append(SEPARATOR.join(next(csv.reader([line], strict=True))))
                except csv.Error:
                    records.append("")  # too few fields, so the line is rejected as malformed
            else:
                records.append(line.replace(",", SEPARATOR))
        return pa.array(records, pa.string())
