"""Reading lines in the belief that they are right: what comes of it is what the careful query makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsp_pipeline.events import lines
from dsp_pipeline.events.decode import Decoder
from dsp_pipeline.events.lines import Block
from dsp_pipeline.events.source import Source
from dsp_pipeline.events.trusted import NotAsBelievedError, TrustingReader
from tests.events.factories import COLUMNS, Result, decode_files, make_impression, make_source, raw_file, raw_line

RULES = {
    "placement_width": r"{from: size, match: '(\d+)x\d+'}",
    "user_agent": "agent",
    "currency": "{value: CNY}",
    "campaign_id": '{format: "{user.id}-{id}"}',
    "segment_weights": "weights",
    "affinities": '{from: numbers, split: ","}',
    "clearing_price_micros": "{from: paid, times: 0.5}",
    "predicted_click_rate": "{from: pctr, times: 2}",
    "creative_id": "spots[0].id",
}
ODD: tuple[Any, ...] = (
    *("", "null", "0x1F", "-0", "+5", " 5", "5 ", "007", "1_0", "1e3", "1.0", "1.5", "nan", "inf", "1e999", "9" * 25),
    *("[a]", "{", "[]", "x\ry", "\x00", "é", "true", "2026-11-21T05:59:59+09:00", "2026-11-21", "3x4", "x4", "1,x"),
    *(None, True, 0, -7, 1.5, 1e300, 1e-7, -0.0, 2**63, 2**63 - 1, 10**18, [], ["a", None, 1e-7], [1.5, ""], {}),
    *([{"id": "s"}], {"id": 5}, {"id": {"a": 1}}, [[1]]),
)
FIELDS = (
    *("id", "ts", "user", "position", "propensity", "price", "size", "agent", "weights", "numbers", "paid", "pctr"),
    *("spots", "tags"),
)


def careful(source: Source, data: bytes, folder: Path) -> Result:
    """What comes of the data when nothing is believed."""

    def nothing(*_: object) -> pa.Table:
        raise NotAsBelievedError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TrustingReader, "rows", nothing)
        return decode_files(source, [raw_file(data)], folder)


def same(mine: Result, theirs: Result) -> bool:
    """Rows, rejects with their places and reasons, duplicates, numbers of lines."""
    order = [sorted(map(json.dumps, result.quarantine)) for result in (mine, theirs)]
    decoded = [(one.lines, one.duplicates, one.rejected, one.first_reject) for one in (mine.decoded, theirs.decoded)]
    # As text, because NaN is not NaN and -0.0 is 0.0.
    return order[0] == order[1] and decoded[0] == decoded[1] and repr(mine.rows) == repr(theirs.rows)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    odd=st.lists(st.tuples(st.sampled_from(FIELDS), st.sampled_from(ODD)), max_size=2),
    rows=st.lists(st.booleans(), min_size=1, max_size=5),
)
def test_json_lines_are_the_same_by_either_way(
    tmp_path_factory: pytest.TempPathFactory, odd: list[tuple[str, Any]], rows: list[bool]
) -> None:
    """Whatever stands in a field, in some lines or in all."""
    folder = tmp_path_factory.mktemp("either")
    source = make_source(folder, **RULES)
    good = {"size": "3x4", "agent": "a", "weights": [1.5, None], "numbers": "1,2", "paid": 3, "pctr": 0.5}
    data = []
    for number, is_odd in enumerate(rows):
        line = make_impression(id=f"i{number}", spots=[{"id": "s"}], **good)
        data.append(json.dumps(line | dict(odd) if is_odd else line))
    content = "\n".join(data).encode()
    mine = decode_files(source, [raw_file(content)], folder / "mine")
    assert same(mine, careful(source, content, folder / "theirs")), content


@pytest.mark.parametrize("form", ["csv", "tsv"])
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    odd=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([one for one in ODD if isinstance(one, str)])), max_size=2
    ),
    rows=st.lists(st.booleans(), min_size=1, max_size=4),
    end=st.sampled_from(["\n", "\r\n", "\n\n", "\r\r\n", '"\n']),
)
def test_text_columns_are_the_same_by_either_way(
    tmp_path_factory: pytest.TempPathFactory, form: str, odd: list[tuple[int, str]], rows: list[bool], end: str
) -> None:
    """Whatever stands in a field, and however lines end."""
    folder = tmp_path_factory.mktemp("either")
    source = make_source(folder, COLUMNS, format=f"{form}\ncolumns: [id, ts, user, position]")
    data = ""
    for number, is_odd in enumerate(rows):
        fields = [f"i{number}", "2026-11-21T05:10:00Z", "u", "7"]
        for place, value in odd if is_odd else ():
            fields[place] = value
        data += ("," if form == "csv" else "\t").join(fields) + (end if is_odd else "\n")
    mine = decode_files(source, [raw_file(data.encode())], folder / "mine")
    assert same(mine, careful(source, data.encode(), folder / "theirs")), data


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
