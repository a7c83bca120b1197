"""Raw files as lines: chunks, compression, line ends, encodings."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from dsp_pipeline.errors import RawLogError, StorageError, TruncatedFileError
from dsp_pipeline.events import lines
from dsp_pipeline.events.lines import LineReader, RawFile, Reject
from tests.events.factories import COLUMNS, decode_files, make_source, raw_file, raw_line


def read(data: bytes, format_: str = "json", compression: str = "none") -> tuple[list[tuple[int, str]], list[Reject]]:
    """The numbers and texts of all lines, and what was rejected."""
    rejected: list[Reject] = []
    reader = LineReader(format_, compression, rejected.append)
    found = []
    for block in reader.blocks([raw_file(data)], skip_header=False):
        for row in reader.records(block).to_pylist():
            line = block.reject(row["place"], "")
            assert line.line == row["record"]
            found.append((line.number, line.line))
    return found, rejected


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


PACKED: dict[str, Callable[[bytes], bytes]] = {"none": bytes, "gzip": gzip.compress, "zstd": zstd}


@pytest.mark.parametrize("compression", PACKED)
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n", []),
        (b"a", [(1, "a")]),
        (b"a\n", [(1, "a")]),
        (b"a\nb", [(1, "a"), (2, "b")]),
        (b"a\r\nb\r\n", [(1, "a"), (2, "b")]),
        (b"\n\na\n \t \r\n\nb\n\n", [(3, "a"), (6, "b")]),
        ("é🎉\n".encode(), [(1, "é🎉")]),
        (b"\xef\xbb\xbfa\nb\n", [(1, "a"), (2, "b")]),
        (b" a \n", [(1, " a ")]),
    ],
)
def test_lines_keep_their_numbers(compression: str, data: bytes, expected: list[tuple[int, str]]) -> None:
    """Blank lines count but do not come; the last one needs no newline; a byte order mark is no text."""
    assert read(PACKED[compression](data), compression=compression) == (expected, [])


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 7, 64])
def test_lines_across_chunks_are_put_together(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """Wherever the borders fall, within a sign of several bytes too."""
    monkeypatch.setattr(lines, "_CHUNK", chunk)
    data = "one\n\nzwölf\r\n🎉🎉\nlast".encode()
    expected = [(1, "one"), (3, "zwölf"), (4, "🎉🎉"), (5, "last")]
    for compression, pack in PACKED.items():
        assert read(pack(data), compression=compression) == (expected, [])


def test_a_line_that_is_not_utf8_is_rejected_alone() -> None:
    """With its number and its bytes written out."""
    found, rejected = read(b"a\nb\xff\xfec\nd\n")
    assert found == [(1, "a"), (3, "d")]
    assert rejected == [Reject("imp/2026112105.jsonl", 2, "not_utf8", "b\\xff\\xfec")]


@pytest.mark.parametrize("chunk", range(1, 11))
@pytest.mark.parametrize("length", [9, 10, 11, 21, 40])
def test_a_line_that_is_too_long_is_rejected_alone(monkeypatch: pytest.MonkeyPatch, chunk: int, length: int) -> None:
    """It is the length that counts, not where the chunks begin; the lines around it are kept with their numbers."""
    monkeypatch.setattr(lines, "_CHUNK", chunk)
    monkeypatch.setattr(lines, "MAX_LINE", 10)
    found, rejected = read(b"a\n" + b"x" * length + b"\nb\nc\n")
    assert found == [(1, "a"), *([(2, "x" * length)] if length <= 10 else []), (3, "b"), (4, "c")]
    assert [(one.number, one.reason) for one in rejected] == ([(2, "too_long")] if length > 10 else [])


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_file_may_end_with_a_line_that_is_too_long(monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    """It is counted once; a file of one endless line does not fill the memory."""
    monkeypatch.setattr(lines, "_CHUNK", 8)
    monkeypatch.setattr(lines, "MAX_LINE", 10)
    found, rejected = read(b"a\n" + b"x" * 100 + end)
    assert found == [(1, "a")]
    assert [(one.number, one.reason) for one in rejected] == [(2, "too_long")]


def test_a_gzip_file_may_have_several_members() -> None:
    """As `cat a.gz b.gz` makes them; a line may begin in one and end in the next."""
    assert read(gzip.compress(b"a\nb") + gzip.compress(b"c\nd\n"), compression="gzip")[0] == [
        (1, "a"),
        (2, "bc"),
        (3, "d"),
    ]
    assert read(zstd(b"a\n") + zstd(b"b\n"), compression="zstd")[0] == [(1, "a"), (2, "b")]


GOOD = "".join(f"{raw_line(id=str(n))}\n" for n in range(3_000)).encode()
GZ, ZST = gzip.compress(GOOD), zstd(GOOD)
DAMAGED = {
    "gzip, half": ("gzip", GZ[: len(GZ) // 2]),
    "gzip, checksum missing": ("gzip", GZ[:-8]),
    "gzip, last byte missing": ("gzip", GZ[:-1]),
    "gzip, header only": ("gzip", GZ[:10]),
    "gzip, bytes changed": ("gzip", GZ[:2000] + b"\0" * 50 + GZ[2050:]),
    "gzip, checksum wrong": ("gzip", GZ[:-8] + b"\1\2\3\4" + GZ[-4:]),
    "gzip, second member cut": ("gzip", GZ + GZ[:500]),
    "no gzip": ("gzip", GOOD),
    "gzip, 0 bytes": ("gzip", b""),
    "zstd, 0 bytes": ("zstd", b""),
    "zstd, half": ("zstd", ZST[: len(ZST) // 2]),
    "zstd, last byte missing": ("zstd", ZST[:-1]),
    "no zstd": ("zstd", GOOD),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_file_that_is_cut_off_or_damaged_is_an_error(tmp_path: Path, what: str) -> None:
    """Not fewer rows: the error names the file and the cure, and comes out of the decoder as it is."""
    compression, data = DAMAGED[what]
    source = make_source(tmp_path, compression=compression)
    with pytest.raises(TruncatedFileError, match=r"^bad\.gz is cut off( or damaged)? \(.*delivered again"):
        decode_files(source, [raw_file(PACKED[compression](b""), "a"), raw_file(data, "bad.gz")], tmp_path / "s")


def test_a_file_that_cannot_be_opened_keeps_its_error(tmp_path: Path) -> None:
    """The store's own error comes through the decoder."""

    def fail() -> None:
        raise StorageError("the lake is gone.")

    with pytest.raises(StorageError, match="the lake is gone"):
        decode_files(make_source(tmp_path), [RawFile("a", fail)], tmp_path / "s")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (b"", None),
        (b"a,b\n1,2\n", ("a", "b")),
        (b"a,b\r\n", ("a", "b")),
        (b",b,,\n", ("column_1", "b", "column_3", "column_4")),
        (b'"a,1","b"\n', ("a,1", "b")),
        (b"\xef\xbb\xbfa,b\n", ("a", "b")),
        (b"a,b", ("a", "b")),
    ],
)
def test_a_header_names_the_columns(data: bytes, header: tuple[str, ...] | None) -> None:
    """A column without a name is called by its place."""
    assert LineReader("csv", "none", lambda _: None).header(raw_file(data)) == header


def test_a_header_of_tabs(tmp_path: Path) -> None:
    """Commas are letters there."""
    assert LineReader("tsv", "none", lambda _: None).header(raw_file(b"a,b\t\tc\n")) == ("a,b", "column_2", "c")


def test_a_first_line_that_is_no_header_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old line ends and endless lines: the file and its first line are named."""
    source = make_source(tmp_path, COLUMNS)
    with pytest.raises(RawLogError, match=r"old\.csv:1 is no header line"):
        decode_files(source, [raw_file(b"id,ts\ra,b\rc,d\n", "old.csv")], tmp_path / "s")
    monkeypatch.setattr(lines, "_CHUNK", 8)
    monkeypatch.setattr(lines, "MAX_LINE", 10)
    with pytest.raises(RawLogError, match=r"long\.csv:1 is no header line: it is too long"):
        decode_files(source, [raw_file(b"x" * 50 + b"\nid,ts\n", "long.csv")], tmp_path / "s")
