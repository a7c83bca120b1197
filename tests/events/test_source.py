"""Reading the YAML file of a raw log layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsp_pipeline.errors import SourceError, UnknownNameError
from dsp_pipeline.events.source import find_sources, load_source
from tests.events.factories import COLUMNS, JSON, make_source

SOURCES = Path(load_source.__code__.co_filename).parent / "sources"


def refused(folder: Path, text: str) -> SourceError:
    folder.mkdir(exist_ok=True)
    (folder / "given.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SourceError) as caught:
        load_source(folder, "given")
    assert str(caught.value).startswith(f"{folder}/given.yaml")
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", find_sources(SOURCES))
def test_our_own_sources_are_right(name: str) -> None:
    """Each has an event, a description and a version for each event."""
    source = load_source(SOURCES, name)
    assert source.description
    assert all(source.version(event) for event in source.events)


def test_an_unknown_source_names_the_near_ones() -> None:
    """A source is found by its file's name."""
    with pytest.raises(UnknownNameError, match="unknown source 'ipinyuo': did you mean ipinyou"):
        load_source(SOURCES, "ipinyuo")


@pytest.mark.parametrize(
    ("old", "new", "line", "cure"),
    [
        ("format: json", "fromat: json", 2, "unknown key 'fromat': did you mean format?"),
        ("format: json", "format: jsonl", 2, "`format` is 'jsonl'; it is one of json, csv, tsv."),
        ("format: json", "format: [json]", 2, "`format` is ['json']; it is one of json, csv, tsv."),
        ("format: json\n", "", 1, "`format` is missing; it is one of json, csv, tsv."),
        ("description: JSON lines of a test.\n", "", 1, "`description` is missing"),
        ("compression: none", "compression: gz", 3, "`compression` is 'gz'; it is one of gzip, zstd, none."),
        ("compression: none", "columns: [a]\ncompression: none", 3, "`columns` is for csv and tsv"),
        ("timezone: UTC", "timezone: Asia/Tokio", 4, "no such time zone: 'Asia/Tokio'; use a name such as Asia/Tokyo"),
        ("timezone: UTC", "timezone: America", 4, "no such time zone"),
        ("timezone: UTC", "timezone: ../UTC", 4, "no such time zone"),
        ("timezone: UTC", "timezone: 9", 4, "`timezone` is 9; it is a time zone such as"),
        ('nulls: [""]', "nulls: null word", 5, "`nulls` is 'null word'; it is a list of words"),
        (
            'nulls: [""]',
            "nulls: [null]",
            5,
            "`nulls` holds None, which YAML does not take for a word; put it in quotes",
        ),
        ('nulls: [""]', "nulls: [no]", 5, "`nulls` holds False"),
        ("  impression:", "  impresion:", 7, "unknown event 'impresion': did you mean impression or"),
        ("    path:", "    pth:", 8, "unknown key 'pth': did you mean path?"),
        ("    path:", "    where: {a: true}\n    path:", 8, "`a` holds True"),
        ("    path:", "    where: {path.x: 1}\n    path:", 8, "`where` is about fields of the line"),
        ("    path:", "    where: [a]\n    path:", 8, "`where` is ['a']"),
        ("      user_id:", "      user_ids:", 12, "unknown key 'user_ids': did you mean user_id or"),
        ("      impression_id: id\n", "", 10, "`impression_id` is missing; every impression needs it."),
        ("      served_at: {from: ts, time: iso}\n", "", 10, "`served_at` is missing"),
        ("{from: ts, time: iso}", "ts", 11, "`served_at` is time: say how it is written, `time: iso` say."),
        ("{from: ts, time: iso}", "{time: iso}", 11, "needs exactly one of `from`, `value` and `format`"),
        ("time: iso", "time: isoo", 11, "`time` is 'isoo'; it is one of iso, epoch_s, epoch_ms, epoch_us, or a format"),
        ("user.id", "{from: a, value: b}", 12, "`user_id` needs exactly one of `from`, `value` and `format`."),
        ("user.id", "{from: a, format: b}", 12, "needs exactly one of"),
        ("user.id", "{from: a, time: iso}", 12, "`user_id` is text: `time` is for times."),
        ("user.id", "{from: a, times: 2}", 12, "`times` is not for `user_id`, which is text."),
        ("user.id", '{from: a, split: ","}', 12, "`split` is not for `user_id`"),
        ("user.id", "{from: a, form: b}", 12, "unknown key 'form': did you mean f"),
        ("user.id", "{from: a, match: '('}", 12, "`match` is no regular expression: "),
        ("user.id", "{from: a, match: 'a'}", 12, "`match` needs one (group), which is what is kept; it has 0."),
        ("user.id", "{from: a, match: '(a)(b)'}", 12, "it has 2."),
        ("user.id", "{value: null}", 12, "`value` holds None"),
        ("user.id", "{value: 2026-11-21}", 12, "put it in quotes"),
        ("user.id", "[a]", 12, "write their field's name, or {from: …}"),
        ("user.id", "true", 12, "write their field's name, or {from: …}"),
        ("user.id", "a b", 12, "is made from 'a b', which is no field name"),
        ("user.id", '"[0].id"', 12, "which is no field name"),
        ("user.id", "a..b", 12, "which is no field name"),
        ("user.id", '"a[x]"', 12, "which is no field name"),
        ("user.id", '"a*"', 12, "which is no field name"),
        ("user.id", "path.policy", 12, "is made from path.policy, but the path has no {policy}."),
        ("user.id", '{format: "{path.policy}-{id}"}', 12, "the path has no {policy}"),
        ("user.tags", "{value: a}", 13, "`segments` is a list, and this is one text; add `split`."),
        ("user.tags", '{from: a, split: ","\n        , each: 0}', 13, "`split` is the text between the items"),
        ("user.tags", '{from: a, split: ""}', 13, "`split` is the text between the items"),
        ("user.tags", "{from: a, each: -1}", 13, "`each` is -1; it is a place in the pair, from 0."),
        ("user.tags", "{from: a, each: true}", 13, "`each` is True"),
        ("position\n", "{format: '{a}'}\n", 14, "`format` makes text, and `placement_position` is integer."),
        ("times: 10", "times: ten", 16, "`times` is 'ten'; it is a number above 0, of up to 9 decimals."),
        ("times: 10", "times: .nan", 16, "`times` is nan"),
        ("times: 10", "times: -1", 16, "`times` is -1"),
        ("times: 10", "times: 0.0000000001", 16, "up to 9 decimals"),
        ("times: 10", "times: true", 16, "`times` is True"),
        ("user.id", "{a: 1", 13, "not YAML"),
        ("user.id", "x\n      user_id: y", 13, "`user_id` stands twice; it is on line 12 too."),
        ("user.id", "&x user.id", None, None),
        ("timezone: UTC", "timezone: &z UTC\ndescription2: *z", None, "aliases (*name) are not allowed"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_cure(
    tmp_path: Path, old: str, new: str, line: int | None, cure: str | None
) -> None:
    """One sentence: file, line, what is wrong, what to write."""
    text = JSON.replace(old, new, 1)
    assert text != JSON
    if cure is None:  # an anchor that nobody uses is harmless
        make_source(tmp_path, text)
        return
    error = refused(tmp_path, text)
    assert cure in str(error)
    assert error.line == line


@pytest.mark.parametrize(
    ("old", "new", "cure"),
    [
        ("user\n", "{from: user, each: 0}\n", "`each` is not for `user_id`"),
        ("user\n", '"user_*"\n', "cannot be made from user_*: * makes a list"),
        (
            "      user_id: user\n",
            "      segments: user\n",
            "`segments` is a list; add `split`, or take several columns",
        ),
        (
            "      user_id: user\n",
            "      segments: {from: a, each: 0}\n",
            "`each` is for JSON lists; use `split` for text.",
        ),
        (
            "format: csv",
            "format: csv\ncolumns: [id, ts, user_name, position]",
            "`user_id`: unknown column 'user': did you",
        ),
        ("format: csv", "format: csv\ncolumns: [id, ts, user, position, yes]", "`columns` holds True"),
        ("format: csv", "format: csv\ncolumns: id", "`columns` is 'id'; it is the list of the columns' names"),
    ],
)
def test_a_mistake_about_columns_is_told(tmp_path: Path, old: str, new: str, cure: str) -> None:
    """CSV and TSV have their own."""
    assert COLUMNS.replace(old, new, 1) != COLUMNS
    assert cure in str(refused(tmp_path, COLUMNS.replace(old, new, 1)))


@pytest.mark.parametrize("events", ["", " {}", " []", " {impression: 3}", " {impression: }"])
def test_a_source_needs_an_event_with_its_fields(tmp_path: Path, events: str) -> None:
    """An empty or half-written one is refused."""
    refused(tmp_path, f"{JSON.partition('events:')[0]}events:{events}\n")


KEPT = {
    "comments": JSON.replace("timezone: UTC", "timezone: UTC   # of the servers"),
    "spacing": JSON.replace("{from: ts, time: iso}", "{ time: iso,   from: ts }"),
    "order of fields": JSON.replace("      user_id: user.id\n", "").replace(
        "fields:\n", "fields:\n      user_id: user.id\n"
    ),
    "order of keys": "".join(sorted(JSON.partition("events:")[0].splitlines(keepends=True)))
    + "events:"
    + JSON.partition("events:")[2],
    "quotes": JSON.replace("user.id", '"user.id"'),
    "description": JSON.replace("of a test", "of another test"),
    "long form": JSON.replace("user_id: user.id", "user_id: {from: user.id}"),
    "compression": JSON.replace("compression: none", "compression: gzip"),
    "arrival": JSON.replace("    fields:", '    arrival: "done/{hour:%H}"\n    fields:'),
    "another event": JSON
    + '  click:\n    path: "c"\n    fields: {click_id: a, impression_id: b, clicked_at: {from: t, '
    "time: iso}}\n",
}


@pytest.mark.parametrize("what", KEPT)
def test_a_version_does_not_know_how_the_file_is_written(tmp_path: Path, what: str) -> None:
    """Nor what does not decide the rows."""
    assert KEPT[what] != JSON
    assert make_source(tmp_path / "new", KEPT[what]).version("impression") == make_source(tmp_path / "old").version(
        "impression"
    )


CHANGED = {
    "format": {"format": "tsv", "segments": '{from: user.tags, split: ","}'},
    "timezone": {"timezone": "Asia/Tokyo"},
    "nulls": {"nulls": '["", "-"]'},
    "path": {"path": '"other/{hour:%Y%m%d%H}.jsonl"'},
    "field": {"user_id": "user.name"},
    "field more": {"city": "city"},
    "time": {"served_at": "{from: ts, time: epoch_s}"},
    "times": {"bid_price_micros": "{from: price, times: 100}"},
    "no times": {"bid_price_micros": "price"},
    "value": {"user_id": "{value: user.id}"},
    "template": {"user_id": '{format: "{user.id}"}'},
    "match": {"user_id": "{from: user.id, match: '(.*)'}"},
    "split": {"segments": '{from: user.tags, split: ","}'},
    "each": {"segments": "{from: user.tags, each: 0}"},
    "where": {"path": '"imp/{hour:%Y%m%d%H}.jsonl"\n    where: {position: 1}'},
}


def test_any_change_of_the_mapping_is_another_version(tmp_path: Path) -> None:
    """Another version is another table, so nothing old is taken for new."""
    sources = {"": make_source(tmp_path / "old")}
    sources |= {what: make_source(tmp_path / what, **changes) for what, changes in CHANGED.items()}
    versions = {what: source.version("impression") for what, source in sources.items()}
    assert len(set(versions.values())) == len(versions), versions


def test_a_where_value_is_part_of_the_version(tmp_path: Path) -> None:
    """Not only its name."""
    versions = {
        make_source(tmp_path, path=f'"a"\n    where: {{position: {value}}}').version("impression") for value in (1, 2)
    }
    assert len(versions) == 2


def test_an_event_that_the_source_does_not_make_is_unknown(tmp_path: Path) -> None:
    """The error lists those that it makes."""
    with pytest.raises(UnknownNameError, match="impression"):
        make_source(tmp_path).layout("click")
