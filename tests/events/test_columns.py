"""CSV and TSV lines."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.errors import SourceError
from dsp_pipeline.events.source import load_source
from tests.events.factories import COLUMNS, HOUR, Result, decode_files, make_source, raw_file
from tests.events.test_source import SOURCES

HEADER = "id,ts,user,position"
TS = "2026-11-21T05:10:00Z"


def decode(folder: Path, *files: str, **changes: str) -> Result:
    source = make_source(folder / "source", COLUMNS, **changes)
    given = [raw_file(text, f"f{number}.csv") for number, text in enumerate(files, 1)]
    return decode_files(source, given, folder / "scratch")


@pytest.mark.parametrize(
    ("field", "user"),
    [
        ("u1", "u1"),
        ('"u1"', "u1"),
        ('"a,b"', "a,b"),
        ('"say ""hi"""', 'say "hi"'),
        (" u ", " u "),
        ("", None),
        ('""', None),
        ("null", "null"),
        ("é🎉", "é🎉"),
        ("a\tb", "a\tb"),
        ('"' + "x" * 200_000 + '"', "x" * 200_000),
    ],
)
def test_quotes_are_undone(tmp_path: Path, field: str, user: str | None) -> None:
    """A quoted field may hold separators and doubled quotes; the source's words for nothing are null."""
    result = decode(tmp_path, f"{HEADER}\ni1,{TS},{field},3\n")
    assert result.column("user_id") == [user]
    assert result.column("placement_position") == [3]


@pytest.mark.parametrize(
    "line",
    [f"i1,{TS},u1", f"i1,{TS},u1,3,4", f'i1,{TS},"u1,3', f'i1,{TS},"u"1,3', f"i1,{TS},u\x1f3", "x", f'"i1,{TS},u1,3"'],
)
def test_a_line_of_another_number_of_fields_is_malformed(tmp_path: Path, line: str) -> None:
    """Too few, too many, a quote that is not closed, or the sign that we use ourselves."""
    result = decode(tmp_path, f"{HEADER}\n{line}\ni2,{TS},u2,3\n")
    assert result.rejected == {"malformed": 1}
    assert result.quarantine == [{"file": "f1.csv", "line_number": 2, "reason": "malformed", "line": line}]
    assert result.column("impression_id") == ["i2"]


def test_a_malformed_line_of_one_column_is_malformed(tmp_path: Path) -> None:
    """Though nothing is as long as one empty field."""
    result = decode(
        tmp_path, 'id\n"x\n"y"z\nok\n', served_at=f'{{value: "{TS}", time: iso}}', user_id="id", placement_position="id"
    )
    assert result.rejected == {"malformed": 2, "wrong_type:placement_position": 1}


def test_files_may_have_different_headers(tmp_path: Path) -> None:
    """Each file's columns are found by name; a column that nobody needs may come and go."""
    result = decode(
        tmp_path, f"{HEADER}\na,{TS},u1,1\n", f"more,position,user,ts,id\nx,2,u2,{TS},b\n", f"{HEADER}\nc,{TS},u3,3\n"
    )
    assert sorted(zip(result.column("impression_id"), result.column("user_id"), strict=True)) == [
        ("a", "u1"),
        ("b", "u2"),
        ("c", "u3"),
    ]


def test_a_column_that_a_file_lacks_is_a_source_error(tmp_path: Path) -> None:
    """It names the column, the source's file, and what there is."""
    with pytest.raises(SourceError, match=r"given\.yaml: a file has no column 'user'; it has id, ts, position\.$"):
        decode(tmp_path, f"{HEADER}\na,{TS},u1,1\n", f"id,ts,position\nb,{TS},1\n")


def test_files_without_lines_make_no_rows(tmp_path: Path) -> None:
    """Neither an empty file, nor one of a header only, nor none at all."""
    for files in ([], [""], [HEADER], [f"{HEADER}\n\n"], ["", f"{HEADER}\n"]):
        result = decode(tmp_path, *files)
        assert (result.rows, result.decoded.rejected_share, result.decoded.quarantine) == ([], 0.0, None)


def test_line_numbers_count_the_header(tmp_path: Path) -> None:
    """So an editor finds the line, in each file."""
    result = decode(tmp_path, f"{HEADER}\na,{TS},u,1\nbad\n", f"{HEADER}\n\n\nbad\n")
    assert [(row["file"], row["line_number"]) for row in result.quarantine] == [("f1.csv", 3), ("f2.csv", 4)]


def test_columns_given_by_the_source_leave_no_header(tmp_path: Path) -> None:
    """Then the first line is a row."""
    result = decode(tmp_path, f"a,{TS},u,1\n", format="tsv\ncolumns: [id, ts, user, position]")
    assert result.rejected == {"malformed": 1}
    result = decode(tmp_path, f"a,{TS},u,1\n", format="csv\ncolumns: [id, ts, user, position]")
    assert result.column("impression_id") == ["a"]


def test_tabs_have_no_quotes(tmp_path: Path) -> None:
    """In TSV a quote is a letter like any other."""
    result = decode(tmp_path, f'id\tts\tuser\tposition\na\t{TS}\t"u, ""1\t1\n', format="tsv")
    assert result.column("user_id") == ['"u, ""1']


def test_columns_of_a_name_make_a_list(tmp_path: Path) -> None:
    """`*` takes them in the order of the file; of texts the absent ones are left out, of numbers then all."""
    lines = f"id,ts,user,position,w_2,w_1\na,{TS},u,1,0.5,2\nb,{TS},u,1,x,1\nc,{TS},u,1,0.5,\n"
    result = decode(tmp_path, lines, affinities="w_*", segments="w_*")
    assert result.column("affinities") == [[0.5, 2.0], []]
    assert result.column("segments") == [["0.5", "2"], ["0.5"]]
    assert result.rejected == {"wrong_type:affinities": 1}
    assert decode(tmp_path, f"{HEADER}\na,{TS},u,1\n", affinities="w_*").column("affinities") == [[]]


def test_text_is_split_into_a_list(tmp_path: Path) -> None:
    """An absent text is an empty list."""
    result = decode(tmp_path, f"{HEADER}\na,{TS},x|y,1\nb,{TS},,1\nc,{TS},z,1\n", segments='{from: user, split: "|"}')
    assert result.column("segments") == [["x", "y"], [], ["z"]]


def test_floats_may_be_split_from_text(tmp_path: Path) -> None:
    """A text among them is a wrong type."""
    result = decode(tmp_path, f"{HEADER}\na,{TS},1|2.5,1\nb,{TS},1|x,1\n", affinities='{from: user, split: "|"}')
    assert result.column("affinities") == [[1.0, 2.5]]
    assert result.rejected == {"wrong_type:affinities": 1}


def test_only_lines_with_the_right_value_are_the_event(tmp_path: Path) -> None:
    """Others are passed over; lines that cannot be judged are rejected."""
    lines = f"{HEADER}\na,{TS},u,1\nb,{TS},u,2\nc,{TS}\nd,{TS},u,\n"
    result = decode(tmp_path, lines, path='"x{hour:%H}"\n    where: {position: 2}')
    assert result.column("impression_id") == ["b"]
    assert result.rejected == {"malformed": 1}


def open_bandit(rows: list[dict[str, Any]]) -> str:
    names = ["", "timestamp", "item_id", "position", "click", "propensity_score", "user_feature_0", "user_feature_1"]
    names += ["user-item_affinity_0", "user-item_affinity_1"]
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def test_open_bandit_logs_are_impressions_and_clicks(tmp_path: Path) -> None:
    """The ids come from the path and the row's number, whose column has no name; a click is a row with click 1."""
    source = load_source(SOURCES, "open_bandit")
    common = {"item_id": 7, "position": 2, "propensity_score": 0.0125, "user_feature_0": "h0", "user_feature_1": "h1"}
    rows = [
        {"": n, "timestamp": f"2026-11-21 05:00:0{n}.5+00:00", "click": int(n == 1), "user-item_affinity_0": 0.5 * n}
        | {"user-item_affinity_1": 0, **common}
        for n in range(3)
    ]
    files = [
        raw_file(open_bandit(rows), f"{policy}/men/2026-11-21/05.csv", policy=policy, campaign="men")
        for policy in ("bts", "random")
    ]
    impressions = decode_files(source, files, tmp_path / "a")
    assert impressions.column("impression_id") == [f"{p}-men-{n}" for p in ("bts", "random") for n in range(3)]
    assert impressions.column("policy") == ["bts"] * 3 + ["random"] * 3
    assert impressions.rows[1] == dict.fromkeys(impressions.rows[1]) | {
        "impression_id": "bts-men-1",
        "served_at": datetime(2026, 11, 21, 5, 0, 1, 500_000, tzinfo=UTC),
        "segments": ["h0", "h1"],
        "segment_weights": [],
        "placement_position": 2,
        "campaign_id": "men",
        "creative_id": "7",
        "policy": "bts",
        "arm": "bts",
        "propensity": 0.0125,
        "affinities": [0.5, 0.0],
    }
    clicks = decode_files(source, files, tmp_path / "b", "click")
    assert clicks.column("click_id") == clicks.column("impression_id") == ["bts-men-1", "random-men-1"]
    assert (impressions.rejected, clicks.rejected) == ({}, {})
    layout = source.layout("impression").path
    assert layout.match(HOUR, files[0].key) == files[0].captures
