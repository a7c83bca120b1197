"""Raw files as blocks of lines. Memory is that of one block, whatever a file's size."""

from __future__ import annotations

import codecs
import csv
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from isal import igzip, isal_zlib

from dsp_pipeline.errors import RawLogError, TruncatedFileError

_CHUNK = 4 << 20
_BLOCK = 16 << 20  # bytes; what is done once a block takes some milliseconds
_PER_LINE = 16  # bytes that a line counts for besides its text: millions of tiny ones take far more memory than it
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


@dataclass(frozen=True)
class Piece:
    """Whole lines of a file, one after the other. `text` ends with a newline; `lines` are as they stand in it."""

    file: RawFile
    first: int
    text: bytes
    lines: pa.BinaryArray


class Block:
    """Pieces of one or several files. The `place` of a line counts from 0, blank ones too."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self._starts = list(accumulate((len(piece.lines) for piece in pieces), initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def reject(self, place: int, reason: str) -> Reject:
        """The line at this place, which is text, as a reject."""
        number = bisect_right(self._starts, place) - 1
        piece, within = self.pieces[number], place - self._starts[number]
        line = _stripped(piece.lines[within].as_py())
        return Reject(piece.file.key, piece.first + within, reason, line)

    def captures(self, name: str) -> pa.ChunkedArray:
        """The part of the path that has this name, for each line."""
        return pa.chunked_array(
            [pa.repeat(pa.scalar(piece.file.captures[name], pa.string()), len(piece.lines)) for piece in self.pieces]
        )


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
        piece = next(self._pieces(file), None)
        if piece is None:
            return None
        try:
            if piece.first != 1:
                raise csv.Error("it is too long")
            line = piece.lines[0].as_py().decode("utf-8", "replace")
            words = next(csv.reader([line], delimiter=self.delimiter), [])
        except csv.Error as error:
            raise RawLogError(
                f"{file.key}:1 is no header line: {error}; have the file delivered again with its columns' names."
            ) from None
        return tuple(word or f"column_{place}" for place, word in enumerate(words, 1))

    def blocks(self, files: Sequence[RawFile], skip_header: bool) -> Iterator[Block]:
        """The lines of the files, small files together; blank ones count, but a header does not come."""
        pieces: list[Piece] = []
        size = 0
        for file in files:
            for piece in self._pieces(file):
                if skip_header and piece.first == 1:
                    piece = Piece(file, 2, piece.text.partition(b"\n")[2], piece.lines[1:])
                if piece.lines:
                    pieces.append(piece)
                    size += len(piece.text) + _PER_LINE * len(piece.lines)
                if size >= _BLOCK:
                    yield Block(pieces)
                    pieces, size = [], 0
        if pieces:
            yield Block(pieces)

    def records(self, block: Block) -> pa.Table:
        """`place` and `record`, the line with its fields apart, of the lines that are text and not blank.

        What is not text is rejected.
        """
        places: list[int] = []
        texts: list[str] = []
        start = 0
        for piece in block.pieces:
            for within, line in enumerate(piece.lines.to_pylist()):
                if not line or line.isspace():
                    continue
                try:
                    texts.append(_stripped(line))
                    places.append(start + within)
                except UnicodeDecodeError:
                    told = line.decode("utf-8", "backslashreplace")
                    self.reject(Reject(piece.file.key, piece.first + within, "not_utf8", told))
            start += len(piece.lines)
        return pa.table({"place": pa.array(places, pa.int64()), "record": pa.array(self._apart(texts), pa.string())})

    @property
    def delimiter(self) -> str:
        return "\t" if self.format == "tsv" else ","

    def _pieces(self, file: RawFile) -> Iterator[Piece]:
        """The file's lines, a few megabytes at a time."""
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
                end = text.rfind(b"\n") + 1
                whole, rest = (text[:end], text[end:]) if chunk else (text and text + b"\n", b"")
                if whole:
                    # The text ends with a newline, behind which there is no line.
                    lines = pc.split_pattern(pa.scalar(whole, pa.binary()), pattern=b"\n").values[:-1]
                    yield from self._short(file, number, whole, lines)
                    number += len(lines)
                if not chunk:
                    return
                if len(rest) > MAX_LINE:
                    self._reject_too_long(file, number, rest)
                    rest, dropping = b"", True

    def _short(self, file: RawFile, number: int, text: bytes, lines: pa.BinaryArray) -> Iterator[Piece]:
        """The lines that are not too long; those are rejected."""
        while len(lines) and pc.max(pc.binary_length(lines)).as_py() > MAX_LINE:
            lengths = pc.binary_length(lines)
            place = pc.index(pc.greater(lengths, MAX_LINE), True).as_py()
            start = (pc.sum(lengths[:place]).as_py() or 0) + place
            if place:
                yield Piece(file, number, text[:start], lines[:place])
            self._reject_too_long(file, number + place, lines[place].as_py())
            number, text = number + place + 1, text[start + lengths[place].as_py() + 1 :]
            lines = lines[place + 1 :]
        if len(lines):
            yield Piece(file, number, text, lines)

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

    def _apart(self, lines: list[str]) -> list[str | None]:
        if self.format != "csv":
            return list(lines)
        records: list[str | None] = []
        for line in lines:
            if SEPARATOR in line:
                records.append(None)  # malformed: it would look like two fields
            elif '"' in line:
                try:
                    records.append(SEPARATOR.join(next(csv.reader([line], strict=True))))
                except csv.Error:
                    records.append(None)
            else:
                records.append(line.replace(",", SEPARATOR))
        return records


def _stripped(line: bytes) -> str:
    """The line as text, without the first half of a line end of two signs."""
    return line.decode().rstrip("\r")
