"""Blocks are read in the belief that their lines are right; only one that shows that they are not is read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dsp_pipeline.events import lines
from dsp_pipeline.events.decode import Decoder
from dsp_pipeline.events.lines import Block
from tests.events.factories import COLUMNS, decode_files, make_source, raw_file, raw_line

CLEAN = {
    "json": b"".join(raw_line(id=f"i{n}").encode() + b"\r\n" for n in range(9)),
    "csv": b"".join(b"i%d,2026-11-21T05:10:00Z,u,7\n" % n for n in range(9)),
    "tsv": b"".join(b"i%d\t2026-11-21T05:10:00Z\t\t7\r\n" % n for n in range(9)),
}


@pytest.mark.parametrize("form", CLEAN)
@pytest.mark.parametrize("block", [100, 1 << 20])
def test_good_lines_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, block: int) -> None:
    """Not by the careful query, also where lines are rejected for what they say: only that makes ingest fast."""

    def fail(*_: object) -> pa.Table:
        raise AssertionError("read carefully")

    monkeypatch.setattr(Decoder, "_carefully", fail)
    monkeypatch.setattr(lines, "_BLOCK", block)
    text = "" if form == "json" else COLUMNS
    changes = {} if form == "json" else {"format": f"{form}\ncolumns: [id, ts, user, position]"}
    source = make_source(tmp_path, text, **changes) if text else make_source(tmp_path)
    late = CLEAN[form].replace(b"T05", b"T07").replace(b"i8", b"")
    result = decode_files(source, [raw_file(CLEAN[form], "a"), raw_file(late, "b")], tmp_path / "s")
    assert (result.decoded.rows, result.decoded.lines) == (9, 18)
    assert result.rejected == {"outside_hour": 8, "missing:impression_id": 1}
    assert {(row["file"], row["line_number"]) for row in result.quarantine} == {("b", n) for n in range(1, 10)}


@pytest.mark.parametrize("data", [raw_line(propensity=...), raw_line(price=0.5, position=7.0, propensity="+1")])
def test_absent_and_fractional_numbers_are_read_once_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    """A log that never has a number, or writes all in its own way, is as fast."""

    def fail(*_: object) -> pa.Table:
        raise AssertionError("read carefully")

    monkeypatch.setattr(Decoder, "_carefully", fail)
    assert decode_files(make_source(tmp_path), [raw_file(data)], tmp_path / "s").decoded.rows == 1


@pytest.mark.parametrize("block", [60, 1 << 20])
def test_only_the_block_with_a_bad_line_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """The others are as fast as ever; rows keep their order."""
    blocks: list[int] = []
    carefully = Decoder._carefully

    def counted(self: Decoder, query: str, layout: Any, hour: Any, block: Block, records: pa.Table) -> pa.Table:
        blocks.append(len(records))
        return carefully(self, query, layout, hour, block, records)

    monkeypatch.setattr(Decoder, "_carefully", counted)
    monkeypatch.setattr(lines, "_CHUNK", 50)
    monkeypatch.setattr(lines, "_BLOCK", block)
    data = [raw_line(id=f"i{n}", position=n) for n in range(20)]
    result = decode_files(make_source(tmp_path), [raw_file([*data[:9], "broken", *data[9:]])], tmp_path / "s")
    assert result.column("placement_position") == list(range(20))
    assert [(row["line_number"], row["reason"]) for row in result.quarantine] == [(10, "malformed")]
    assert len(blocks) == 1
    assert blocks[0] <= (2 if block == 60 else 21)


def test_a_byte_order_mark_in_the_middle_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a block begins with it too, which another reader would pass over."""
    monkeypatch.setattr(lines, "_CHUNK", 5)
    monkeypatch.setattr(lines, "_BLOCK", 5)
    source = make_source(tmp_path, COLUMNS, format="tsv\ncolumns: [id, ts, user, position]")
    data = "\ufeffa\t2026-11-21T05:10:00Z\tu\t1\n\ufeffb\t2026-11-21T05:10:00Z\tu\t1\n"
    result = decode_files(source, [raw_file(data.encode())], tmp_path / "s")
    assert result.column("impression_id") == ["a", "\ufeffb"]
