"""JSON lines: types and nesting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.errors import SourceError
from tests.events.factories import Result, decode_files, make_impression, make_source, raw_file, raw_line


def decode(folder: Path, *lines: str, **changes: str) -> Result:
    return decode_files(make_source(folder / "source", **changes), [raw_file(lines)], folder / "scratch")


def only(result: Result) -> Any:
    """The one row, or the one reason."""
    if result.rows:
        assert (len(result.rows), result.rejected) == (1, {})
        return result.rows[0]
    (reason,) = result.rejected
    return reason


def test_a_good_line_is_a_row_of_all_columns(tmp_path: Path) -> None:
    """Those that the source does not make are null, lists empty."""
    row = only(decode(tmp_path, raw_line()))
    given = {name: value for name, value in row.items() if value not in (None, [])}
    served_at = given.pop("served_at")
    assert served_at.isoformat() == "2026-11-21T05:10:00+00:00"
    assert given == {
        "impression_id": "i1",
        "user_id": "u1",
        "segments": ["a", "b"],
        "placement_position": 1,
        "propensity": 0.25,
        "bid_price_micros": 1010,
    }


WRONG = "wrong_type:placement_position"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3),
        ('"3"', 3),
        ("12.0", 12),
        ("1e3", 1000),
        ("1.5e1", 15),
        ("-7", -7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", WRONG),
        ("123456789012345678901234567890", WRONG),
        ("1e400", WRONG),
        ('"1e400"', WRONG),
        ("12.5", WRONG),
        ("12e-1", WRONG),
        ('"12e-1"', WRONG),
        ("12.0000000001", WRONG),
        ("true", WRONG),
        ("false", WRONG),
        ('"abc"', WRONG),
        ('"3 pixels"', WRONG),
        ('"nan"', WRONG),
        ("[3]", WRONG),
        ('{"a": 3}', WRONG),
        ("null", None),
        ('""', None),
        ("NaN", WRONG),
        ("Infinity", WRONG),
        ("03", "malformed"),
        ("'3'", "malformed"),
        ("", "malformed"),
    ],
)
def test_an_integer_is_whole_or_rejected(tmp_path: Path, text: str, expected: Any) -> None:
    """It may be written as text or with a zero fraction; nothing is ever rounded."""
    line = raw_line(position="@").replace('"@"', text)
    found = only(decode(tmp_path, line))
    if isinstance(expected, str) and text != "1e400":
        assert found == expected
    elif text == "1e400":
        assert found in (WRONG, "malformed")
    else:
        assert found["placement_position"] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1, 0.1),
        ("0.1", 0.1),
        (1, 1.0),
        (1e308, 1e308),
        (5e-324, 5e-324),
        (None, None),
        ("", None),
        ("nan", "wrong_type:propensity"),
        ("Infinity", "wrong_type:propensity"),
        ("1e999", "wrong_type:propensity"),
        (True, "wrong_type:propensity"),
        ("x", "wrong_type:propensity"),
        ([0.1], "wrong_type:propensity"),
        ({}, "wrong_type:propensity"),
    ],
)
def test_a_float_is_finite_or_rejected(tmp_path: Path, value: Any, expected: Any) -> None:
    """Models cannot use NaN, and JSON has none."""
    found = only(decode(tmp_path, raw_line(propensity=value)))
    assert (found if isinstance(found, str) else found["propensity"]) == expected


def test_a_float_may_be_scaled_but_not_over_the_edge(tmp_path: Path) -> None:
    """Infinity is a wrong type."""
    result = decode(
        tmp_path,
        raw_line(id="a", propensity=0.5),
        raw_line(propensity=1e308),
        propensity="{from: propensity, times: 10}",
    )
    assert result.column("propensity") == [5.0]
    assert result.rejected == {"wrong_type:propensity": 1}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("u", "u"),
        (5, "5"),
        (1.5, "1.5"),
        (True, "true"),
        (None, None),
        ("", None),
        ("null", "null"),
        ("é🎉\t\n\\\"'", "é🎉\t\n\\\"'"),
        ("a\0b", "a\0b"),
        ("{not json", "{not json"),
        ("[1]", "[1]"),
        ('{"a": 1}', '{"a": 1}'),
        ([1], "wrong_type:user_id"),
        ([], "wrong_type:user_id"),
        ({"a": 1}, "wrong_type:user_id"),
        ({}, "wrong_type:user_id"),
    ],
)
def test_text_is_a_scalar(tmp_path: Path, value: Any, expected: Any) -> None:
    """A number is its text; an object or a list is not, but a text that looks like one is."""
    found = only(decode(tmp_path, raw_line(user={"id": value})))
    assert (found if isinstance(found, str) else found["user_id"]) == expected


@pytest.mark.parametrize("value", [5, "x", None, [], {}, [{"id": "u"}], {"id": {"id": "u"}}])
def test_a_missing_path_is_absent_or_wrong(tmp_path: Path, value: Any) -> None:
    """Where an object is looked into, anything else holds nothing."""
    found = only(decode(tmp_path, raw_line(user=value)))
    if value == {"id": {"id": "u"}}:
        assert found == "wrong_type:user_id"
    else:
        assert (found["user_id"], found["segments"]) == (None, [])


def test_items_of_lists_and_deep_fields(tmp_path: Path) -> None:
    """`a.b[1].c` goes down step by step; what is not there is absent."""
    line = raw_line(a={"b": [{"c": "first"}, {"c": "second"}]})
    source = {"campaign_id": '"a.b[1].c"', "creative_id": '"a.b[0].c"', "city": '"a.b[2].c"', "region": '"a.x[0]"'}
    found = only(decode(tmp_path, line, **source))
    assert [found[name] for name in source] == ["second", "first", None, None]


def test_a_field_is_matched(tmp_path: Path) -> None:
    """The group is kept; a text that does not match is a wrong type, an absent one is absent."""
    rule = {"placement_width": "{from: size, match: '^(\\d+)x'}"}
    assert only(decode(tmp_path, raw_line(size="300x250"), **rule))["placement_width"] == 300
    assert only(decode(tmp_path, raw_line(), **rule))["placement_width"] is None
    assert only(decode(tmp_path, raw_line(size="wide"), **rule)) == "wrong_type:placement_width"


def test_fields_are_put_together(tmp_path: Path) -> None:
    """A template with an absent part is absent; quotes are letters."""
    rule = {"campaign_id": '{format: "{id}\'s-{user.id}"}'}
    assert only(decode(tmp_path, raw_line(), **rule))["campaign_id"] == "i1's-u1"
    assert only(decode(tmp_path, raw_line(user=None), **rule))["campaign_id"] is None
    assert only(decode(tmp_path, raw_line(user={"id": {}}), **rule)) == "wrong_type:user_id"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": ...}, "missing:impression_id"),
        ({"id": None}, "missing:impression_id"),
        ({"id": ""}, "missing:impression_id"),
        ({"ts": ...}, "missing:served_at"),
        ({"ts": "yesterday"}, "wrong_type:served_at"),
        ({"id": {}}, "wrong_type:impression_id"),
    ],
)
def test_the_key_and_the_time_must_be_there(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    """Everything else may be absent."""
    assert only(decode(tmp_path, raw_line(**changes))) == reason
    bare = only(decode(tmp_path, json.dumps({"id": "x", "ts": "2026-11-21T05:00:00Z"})))
    assert bare["impression_id"] == "x"


def test_a_required_column_must_be_there(tmp_path: Path) -> None:
    """A click without its impression is of no use."""
    text = make_source(tmp_path).file.read_text().partition("events:")[0]
    text += (
        'events:\n  click:\n    path: "c.{hour:%Y%m%d%H}"\n    fields:\n      click_id: id\n      impression_id: imp\n'
    )
    source = make_source(tmp_path, text + "      clicked_at: {from: ts, time: iso}\n")
    lines = [raw_line(), raw_line(imp="i9")]
    result = decode_files(source, [raw_file(lines, "c")], tmp_path / "s", "click")
    assert result.column("impression_id") == ["i9"]
    assert result.rejected == {"missing:impression_id": 1}


@pytest.mark.parametrize(
    "line",
    [
        "[1]",
        '["a", {"id": "x"}]',
        "3",
        '"text"',
        "null",
        "true",
        "{",
        '{"id": "i1"',
        "{'id': 'i1'}",
        '{"id": i1}',
        "hello",
        raw_line() + "}",
        raw_line() + raw_line(),
        '{"id": "\\ud800"}',
        '{"id": "\\x"}',
        '{"id": "a\tb"}',
        "\0",
        raw_line()[:-5],
        "[" * 50_000 + "]" * 50_000,
    ],
    ids=lambda line: line[:20],
)
def test_a_line_that_is_no_object_is_malformed(tmp_path: Path, line: str) -> None:
    """The lines around it are kept."""
    result = decode(tmp_path, raw_line(id="a"), line, raw_line(id="b"))
    assert result.column("impression_id") == ["a", "b"]
    assert result.rejected == {"malformed": 1}
    assert result.quarantine[0]["line"] == line


def test_a_deeply_nested_line_does_no_harm(tmp_path: Path) -> None:
    """A hundred thousand objects within each other."""
    deep = '{"user":' * 100_000 + "1" + "}" * 100_000
    result = decode(tmp_path, deep, raw_line())
    assert (len(result.rows), sum(result.rejected.values())) == (1, 1)


def test_of_a_doubled_key_the_first_counts(tmp_path: Path) -> None:
    """In all columns alike."""
    line = '{"id": "a", "id": "b", "ts": "2026-11-21T05:00:00Z", "user": {"id": "x"}, "user": {"id": []}}'
    found = only(decode(tmp_path, line))
    assert (found["impression_id"], found["user_id"]) == ("a", "x")


def test_names_are_those_of_the_line_to_the_letter(tmp_path: Path) -> None:
    """Another case is another field; spaces around a line do not matter."""
    found = only(decode(tmp_path, f"  {raw_line(USER={'id': 'X'}, Position=9, position=...)}  "))
    assert (found["user_id"], found["placement_position"]) == ("u1", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"campaign_id": "user"},
        {"affinities": "user"},
        {"campaign_id": "ID"},
        {"campaign_id": "{from: id, match: '(?=(i))'}"},
        {"served_at": '{from: ts, time: "%Q"}'},
    ],
    ids=str,
)
def test_fields_that_cannot_be_made_are_a_source_error(tmp_path: Path, changes: dict[str, str]) -> None:
    """Whole and in parts, names that differ in their case only, patterns that the engine does not know."""
    with pytest.raises(SourceError, match=r"given\.yaml: "):
        decode(tmp_path, raw_line(), **changes)


def test_where_is_about_raw_text(tmp_path: Path) -> None:
    """true is `"true"`, a number is as it is written; a line without the field is another event's."""
    for value, where in ((True, '"true"'), (1, "1"), ("click", "click")):
        lines = [raw_line(id="a", kind=value), raw_line(id="b", kind="other"), raw_line(id="c"), "broken"]
        result = decode(tmp_path, *lines, path=f'"x{{hour:%H}}"\n    where: {{kind: {where}}}')
        assert result.column("impression_id") == ["a"]
        assert result.rejected == {"malformed": 1}


def test_the_first_of_several_faults_is_the_reason(tmp_path: Path) -> None:
    """A line is rejected once."""
    result = decode(tmp_path, raw_line(**make_impression(id=..., position="x", price="y")))
    assert sum(result.rejected.values()) == 1
