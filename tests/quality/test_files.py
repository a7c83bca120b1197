"""The files of checks: found by their names, and a mistake in one is told with file, line and cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsp_pipeline.errors import DefinitionError
from dsp_pipeline.events.source import find_sources, load_source
from dsp_pipeline.platform import PACKAGE
from dsp_pipeline.quality.files import CheckFiles
from dsp_pipeline.sql import portable
from dsp_pipeline.sql.catalog import Catalog
from tests.quality.package import declared, package

AUDIT = """\
-- One row per click without its impression.
-- reads: click [0, 0], impression [-1, 0]
-- key: click_id
-- level: fail
SELECT click.click_id
FROM click
LEFT JOIN impression
  ON click.impression_id = impression.impression_id
WHERE impression.impression_id IS NULL
"""
DOWNSTREAM = """\
-- One row per exchange.
-- reads: shown [0, 0]
-- key: exchange
SELECT exchange, COUNT(*) AS impressions
FROM shown
GROUP BY exchange
"""


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("wrn: {rows: [1, 2]}", 1, "unknown key 'wrn': did you mean warn?"),
        ("warn: {row: [1, 2]}", 1, "unknown key 'row': did you mean rows?"),
        ("warn:\n  nulls: {user: 0.1}", 2, "unknown column 'user': did you mean user_id"),
        ("warn:\n  nulls: {user_id: 2}", 2, "`user_id` is 2; nulls takes a share from 0 to 1."),
        ("warn:\n  nulls: 0.1", 2, "`nulls` is 0.1; it is a mapping of columns to a share from 0 to 1."),
        ("warn:\n  nulls:", 2, "`nulls` is empty; it is a mapping of columns to a share from 0 to 1."),
        ("warn:\n  volume: 0.5", 2, "`volume` is 0.5; volume takes a pair [least, most]."),
        ("warn:\n  volume: [2, 1]", 2, "`volume` is [2, 1], and its least is more than its most; exchange them."),
        ("warn:\n  volume: [null, null]", 2, "`volume` bounds nothing; give it a least or a most."),
        ("warn:\n  rows: [.inf, null]", 2, "rows takes a pair [least, most]."),
        ("warn:\n  range: {exchange: [0, 1]}", 2, "`range` is of columns of integer or float, and exchange is text."),
        ("warn:\n  nulls: {segments: 0}", 2, "and segments is texts."),
        ("warn:\n  rate: {user_id: [0, 1]}", 2, "`rate` is of BOOL columns, and the event impression has none."),
        ("warn:\n  values: {exchange: []}", 2, "values takes a list of texts or whole numbers."),
        ("warn:\n  drift: {bid_price_micros: -1}", 2, "drift takes a number of 0 or more."),
        ('accepted:\n  "yesterday": why', 2, '`yesterday` is not a day; write it as "2026-11-21", in quotes.'),
        ('accepted:\n  "2026-02-30": why', 2, "`2026-02-30` is not a day"),
        ('accepted:\n  "2026-11-21": 1', 2, "`2026-11-21` is 1; it is the reason, a text."),
        ("warn:\n  rows: [1, 2]\n  rows: [1, 3]", 3, "`rows` stands twice"),
    ],
)
def test_a_wrong_expectation_is_told(tmp_path: Path, text: str, line: int, told: str) -> None:
    """In one sentence with file and line."""
    files = package(tmp_path, {"impression": text})
    with pytest.raises(DefinitionError) as caught:
        files.of("impression")
    assert str(caught.value).startswith(f"{tmp_path}/expectations/impression.yaml:{line}: ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("click__it-is-alone", "-- level: fail\n", "", "the header of an audit says its level; write `-- level: warn`"),
        ("click__it-is-alone", "level: fail", "level: error", ".sql:4: `level:` is 'error'; write `-- level: warn`"),
        ("click__it-is-alone", "level: fail", "lvel: fail", "unknown header entry `lvel:`"),
        ("click__it-is-alone", "level: fail", "level: fail\n-- compatible_with: a = b", "an audit makes nothing"),
        ("click__it-is-alone", "-- key: click_id\n", "", "the header has no `key:`"),
        ("bid__it-is-alone", "", "", "an audit of bid reads bid; name it so, or name the file for what it reads"),
        ("click__it-is-alone", "IS NULL", "= RAND()", "RAND gives another value on each run"),
        ("clik__it-is-alone", "", "", "call it TABLE__what-must-not-be.sql; 'clik' is an unknown event or table"),
        ("click", "", "", "call it click__what-must-not-be.sql"),
        ("click__it-is-alone", "impression [-1, 0]", "impressions [-1, 0]", "did you mean impression"),
    ],
)
def test_a_wrong_audit_is_told(tmp_path: Path, name: str, old: str, new: str, told: str) -> None:
    """Before anything runs, with the file and, where there is one, the line."""
    files = package(tmp_path, audits={name: AUDIT.replace(old, new, 1)})
    with pytest.raises(DefinitionError) as caught:
        files.of(name.partition("__")[0])
    assert f"audits/{name}.sql" in str(caught.value)
    assert told in str(caught.value)


def test_a_file_that_is_named_for_nothing_is_told(tmp_path: Path) -> None:
    """Whichever table is asked for: else it would never be noticed."""
    files = package(tmp_path, {"impressions": "warn: {rows: [1, null]}"})
    with pytest.raises(
        DefinitionError, match=r"impressions.yaml: .*unknown event or table 'impressions': did you mean"
    ):
        files.of("click")


def test_an_audit_may_not_read_what_is_built_from_its_table(tmp_path: Path) -> None:
    """It would wait for what waits for it."""
    text = AUDIT.replace("click [0, 0], impression [-1, 0]", "shown [0, 0], by_exchange [0, 0]")
    text = text[: text.index("SELECT")] + "SELECT shown.impression_id AS click_id FROM shown CROSS JOIN by_exchange"
    features = {"by_exchange": DOWNSTREAM}
    files = package(tmp_path, audits={"shown__it-is-odd": text}, features=features)
    with pytest.raises(DefinitionError, match=r"and by_exchange is none of them; name the file by_exchange__…"):
        files.of("shown")
    (tmp_path / "audits" / "shown__it-is-odd.sql").rename(tmp_path / "audits" / "by_exchange__it-is-odd.sql")
    assert declared(package(tmp_path, features=features), "by_exchange").audits


def test_an_event_stands_on_events_alone(tmp_path: Path) -> None:
    """Its audits may not read a table."""
    text = AUDIT.replace("impression", "shown").replace("shown_id", "impression_id")
    files = package(tmp_path, audits={"click__it-is-alone": text})
    with pytest.raises(DefinitionError, match="an audit of click may read events"):
        files.of("click")


def test_a_table_has_no_level(tmp_path: Path) -> None:
    """The header's entry is of audits."""
    files = package(tmp_path, {"by_day": "warn: {rows: [1, null]}"}, features={"by_day": AUDIT})
    with pytest.raises(DefinitionError, match=r"by_day.sql:4: `level:` is of an audit; delete it, or move the file"):
        files.of("by_day")


def test_what_is_looked_at_covers_all_windows(tmp_path: Path) -> None:
    """The day itself, and what audits declare."""
    files = package(tmp_path, {"click": "warn: {rows: [1, null]}"}, {"click__it-is-alone": AUDIT})
    reads = {read.table: (read.first, read.last) for read in declared(files, "click").reads}
    assert reads == {"click": (0, 0), "impression": (-1, 0)}


def test_an_audit_of_an_event_that_the_source_lacks_is_left_out(tmp_path: Path) -> None:
    """The Open Bandit Dataset has no conversions."""
    text = AUDIT.replace("impression", "conversion").replace("conversion_id", "impression_id")
    audits = {"click__it-is-alone": text}
    assert declared(package(tmp_path, audits=audits), "click").audits
    assert package(tmp_path, audits=audits, source="open_bandit").of("click") is None


def test_the_version_is_of_what_is_checked(tmp_path: Path) -> None:
    """A bound, a level and an audit's query count; comments, layout, order and accepted days do not."""
    texts = {
        "same": "warn: {rows: [1, 2], volume: [1, 2]}",
        "other order": "# a comment\nwarn:\n  volume: [1, 2]\n  rows: [1, 2]\naccepted: {'2026-11-21': looked at}",
        "other bound": "warn: {rows: [1, 3], volume: [1, 2]}",
        "other level": "warn: {rows: [1, 2]}\nfail: {volume: [1, 2]}",
    }
    names = [declared(package(tmp_path, {"impression": text}), "impression").version.name for text in texts.values()]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    audits = [AUDIT, f"-- Clicks.\n{AUDIT}", AUDIT.replace("fail", "warn"), AUDIT.replace("IS NULL", "IS NOT NULL")]
    names = [declared(package(tmp_path, audits={"click__x": one}), "click").version.name for one in audits]
    assert names[0] == names[1]
    assert len(set(names)) == 3


@pytest.mark.parametrize("source", find_sources(PACKAGE / "events" / "sources"))
def test_every_shipped_check_is_right(source: str) -> None:
    """With each source; and what is asked of a warehouse is in the dialect that means the same in both."""
    files = CheckFiles(PACKAGE, Catalog(PACKAGE / "features"), load_source(PACKAGE / "events" / "sources", source))
    for name in files.names():
        checks = declared(files, name)
        for audit in checks.audits:
            portable.check(audit.question.tree, audit.query.path)
        assert checks.expected.expectations or checks.audits
