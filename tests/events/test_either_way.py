"""What is made of lines that are believed to be right is what the careful query makes of them, whatever they are."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsp_pipeline.errors import TruncatedFileError
from dsp_pipeline.events import lines
from dsp_pipeline.events.source import Source
from dsp_pipeline.events.trusted import NotAsBelievedError, TrustingReader
from tests.events.factories import COLUMNS, JSON, Result, decode_files, make_impression, make_source, raw_file, raw_line

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


NUMBERS = (
    *(
        "0x",
        "0x1F",
        "0XfF",
        "-0x1",
        "0xFFFFFFFFFFFFFFFF",
        "0b11",
        "1_000",
        "1__0",
        "_1",
        "007.5",
        f"{'0' * 40}5",
        "- 5",
    ),
    *("-9223372036854775808", "9223372036854775807", "9223372036854775808", "922337203685477580.7", "1e18", "0.1e1"),
    *(
        "1.",
        ".5",
        "-.5",
        ".",
        "-",
        "1E+5",
        "1e",
        "e5",
        "1d",
        "0x1p3",
        "1e-400",
        "3e-324",
        "1.8e308",
        "0e999",
        "1e999999",
    ),
    *("NaN", "-nan", "Infinity", "-inf", "t", "\u0663", "5\x00", "5\x0b", "5\u00a0", "0.30000000000000004441"),
)


@pytest.mark.parametrize("times", ["", ", times: 10", ", times: 0.5"])
@pytest.mark.parametrize("column", ["placement_position", "propensity"])
def test_every_way_to_write_a_number_means_the_same(tmp_path: Path, column: str, times: str) -> None:
    """Each in a file of its own, so that none is read carefully for the sake of another."""
    wanted = column if not times else {"placement_position": "clearing_price_micros"}.get(column, column)
    source = make_source(
        tmp_path, COLUMNS, **{"format": "tsv\ncolumns: [id, ts, user, position]", wanted: f"{{from: user{times}}}"}
    )
    for place, number in enumerate(NUMBERS):
        data = f"a\t2026-11-21T05:10:00Z\t1\t1\nb\t2026-11-21T05:10:00Z\t{number}\t1\n".encode()
        mine = decode_files(source, [raw_file(data)], tmp_path / f"{place}")
        assert same(mine, careful(source, data, tmp_path / f"{place}-careful")), number


GOOD = raw_line(id="good")
STRANGE = {
    "a number that is none": raw_line().replace("0.25", "NaN"),
    "infinity": raw_line().replace("0.25", "-Infinity"),
    "a name twice": raw_line().replace('"position": 1', '"position": 1, "position": "x"'),
    "the key twice": raw_line().replace('"position": 1', '"id": "i2"'),
    "a comma too many": raw_line().replace("}}", "},}"),
    "half a surrogate": raw_line().replace("u1", r"\ud800"),
    "a whole surrogate": raw_line().replace("u1", r"\ud83d\ude00"),
    "an escaped nothing": raw_line().replace("u1", r"a\u0000b"),
    "a nothing": raw_line().replace("u1", "a\x00b"),
    "a control sign": raw_line().replace("u1", "a\x01b"),
    "two objects": raw_line() + raw_line(),
    "text behind it": raw_line() + " x",
    "a comment": raw_line() + " // x",
    "spaces around it": f"  {raw_line()}\t",
    "a byte order mark": "\ufeff" + raw_line(),
    "another kind of space": "\u00a0" + raw_line(),
    "a list": f"[{raw_line()}]",
    "a word": "null",
    "no object's end": raw_line()[:-1],
    "no fields": "{}",
    "deep": raw_line(more=json.loads("[" * 500 + "]" * 500)),
    "deeper than its end": '{"a":' * 3_000 + raw_line() + "}" * 2_999,
    "names in capitals": raw_line().upper(),
    "a text that is JSON": raw_line(user={"id": '{"a": 1}'}),
    "an offset of minutes": raw_line(ts="2026-11-21T10:55:00+05:45"),
    "an offset of seconds": raw_line(ts="2026-11-21T05:10:00+00:00:59"),
    "an offset of days": raw_line(ts="2026-11-21T05:10:00+99:00"),
    "a leap second": raw_line(ts="2026-11-21T05:59:60Z"),
    "the year 0": raw_line(ts="0000-01-01T00:00:00Z"),
    "a far year": raw_line(ts="294247-01-10T04:00:54.775807Z"),
    "no year": raw_line(ts="infinity"),
    "a name": raw_line(ts="epoch"),
    "nanoseconds": raw_line(ts="2026-11-21T05:59:59.999999999Z"),
    "a lone return": raw_line().replace(", ", ",\r"),
    "two returns at its end": raw_line() + "\r\r",
    "only a return": "\r",
    "only spaces": " \t\x0b\x0c",
    "a very long number": raw_line().replace("0.25", "0." + "3" * 5_000),
}


@pytest.mark.parametrize("strange", STRANGE)
def test_a_strange_json_line_is_the_same_by_either_way(tmp_path: Path, strange: str) -> None:
    """First, last and between good lines; it harms none of those."""
    source = make_source(tmp_path)
    for place, lines_ in enumerate(([STRANGE[strange], GOOD], [GOOD, STRANGE[strange]], [STRANGE[strange]])):
        data = "\n".join(lines_).encode()
        mine = decode_files(source, [raw_file(data)], tmp_path / f"{place}")
        assert same(mine, careful(source, data, tmp_path / f"{place}-careful"))
        assert ("good" in mine.column("impression_id")) == (GOOD in lines_)


@pytest.mark.parametrize("form", ["csv", "tsv"])
@pytest.mark.parametrize(
    "strange",
    [
        *("\t\t\t", " \t\x0b\t\x0c\t ", ",,,", " ", "\x0c", "\x00", "\x1c", "\u00a0", "\x85", "\u2028", "\ufeff"),
        *('"a",b', 'b"c', '"a\tb"\tc\td\te', '"a,b",2026-11-21T05:10:00Z,c,1', r"a\tb", "a\x1fb", "a\tb", "a,b,c,d,e"),
    ],
)
def test_a_strange_text_line_is_the_same_by_either_way(tmp_path: Path, form: str, strange: str) -> None:
    """First and last, of one column and of four: what is blank does not count."""
    delimiter = "," if form == "csv" else "\t"
    good = delimiter.join(("good", "2026-11-21T05:10:00Z", "u", "7"))
    four = make_source(tmp_path / "four", COLUMNS, format=f"{form}\ncolumns: [id, ts, user, position]")
    rules = {"impression_id": "ts", "user_id": "ts", "placement_position": "{value: '7'}"}
    one = make_source(tmp_path / "one", COLUMNS, format=f"{form}\ncolumns: [ts]", **rules)
    for source, line in ((four, good), (one, "2026-11-21T05:10:00Z")):
        for place, text in enumerate((f"{strange}\n{line}", f"{line}\r\n{strange}\r\n")):
            folder = tmp_path / f"{len(line)}-{place}"
            mine = decode_files(source, [raw_file(text.encode())], folder / "mine")
            assert same(mine, careful(source, text.encode(), folder / "theirs")), text
            assert mine.decoded.rows >= 1


def test_what_a_line_is_of_is_told_by_its_raw_value(tmp_path: Path) -> None:
    """Also where that is a word for what is absent, and a column is made of the same field."""
    source = make_source(
        tmp_path, JSON.replace("    fields:", "    where: {position: '0'}\n    fields:"), nulls='["0"]'
    )
    data = "\n".join(raw_line(id=f"i{place}", position=place % 2) for place in range(4)).encode()
    mine = decode_files(source, [raw_file(data)], tmp_path / "mine")
    assert same(mine, careful(source, data, tmp_path / "theirs"))
    assert mine.column("impression_id") == ["i0", "i2"]
    assert mine.column("placement_position") == [None, None]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    chunk=st.integers(1, 400),
    block=st.integers(1, 600),
    longest=st.sampled_from([300, 1 << 20]),
    cuts=st.lists(st.integers(1, 900), max_size=3),
    given_lines=st.lists(st.sampled_from([GOOD, *STRANGE.values(), "", "x" * 400]), min_size=1, max_size=6),
    end=st.sampled_from(["", "\n", "\r\n", "\n\n"]),
)
def test_where_blocks_and_gzip_members_end_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    chunk: int,
    block: int,
    longest: int,
    cuts: list[int],
    given_lines: list[str],
    end: str,
) -> None:
    """Lines go over the borders of both; one that is too long is told by its number as ever."""
    folder = tmp_path_factory.mktemp("borders")
    source = make_source(folder, compression="gzip")
    data = ("\n".join(line[:1_000] for line in given_lines) + end).encode()
    places = [0, *sorted(cuts), len(data)]
    packed = b"".join(gzip.compress(data[start:stop]) for start, stop in pairwise(places))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lines, "MAX_LINE", longest)
        whole = careful(source, gzip.compress(data), folder / "whole")
        patched.setattr(lines, "_CHUNK", chunk)
        patched.setattr(lines, "_BLOCK", block)
        mine = decode_files(source, [raw_file(packed)], folder / "mine")
        assert same(mine, whole)
        with pytest.raises(TruncatedFileError):
            decode_files(source, [raw_file(packed[:-9])], folder / "cut")
