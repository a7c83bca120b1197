"""The folder of feature tables: names, reads, cycles, versions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dsp_pipeline.errors import SqlError, UnknownNameError
from dsp_pipeline.sql.catalog import Catalog
from tests.sql.factories import BODY, write

EVENTS = {"impression": "i1", "click": "c1"}


def table_over(name: str) -> dict[str, str | None]:
    return {"reads": f"{name} [-7, -1]", "body": f"SELECT impression_id FROM {name}"}


def make_catalog(folder: Path) -> Catalog:
    """labels reads events, rates reads labels, other stands alone."""
    write(folder, "labels")
    write(folder, "rates", **table_over("labels"))
    write(folder, "other")
    return Catalog(folder)


def test_files_are_tables(tmp_path: Path) -> None:
    """Every .sql file is found by its name."""
    catalog = make_catalog(tmp_path)
    catalog.check()
    assert catalog.tables() == ["labels", "other", "rates"]
    assert catalog.query("rates").reads[0].table == "labels"
    assert catalog.query("rates") is catalog.query("rates")


def test_unknown_table_tells_near_matches(tmp_path: Path) -> None:
    """Tables and events both count as near."""
    with pytest.raises(UnknownNameError, match="unknown table 'lables': did you mean labels"):
        make_catalog(tmp_path).query("lables")
    with pytest.raises(UnknownNameError, match="did you mean impression"):
        make_catalog(tmp_path).query("impresion")


@pytest.mark.parametrize("name", ["Labels", "7days", "a-b", "click"])
def test_file_name_must_be_a_free_table_name(tmp_path: Path, name: str) -> None:
    """A file named like an event, or with other signs, is refused."""
    write(tmp_path, name)
    with pytest.raises(SqlError, match=rf"{name}\.sql"):
        Catalog(tmp_path).tables()


@pytest.mark.parametrize(
    ("body", "line", "told"),
    [
        ("SELECT impression_id,\n  impresion.campaign_id AS c\nFROM impression AS impresion", None, None),
        ("SELECT impression_id,\n  i.campain_id AS c\nFROM impression AS i", 5, "impression has no column campain_id"),
        ("SELECT impression_id,\n  i.clicked_at AS c\nFROM impression AS i", 5, "has no column clicked_at"),
        ("SELECT impression_id,\n  campain_id AS c\nFROM impression", 5, "no column campain_id; did you mean camp"),
        (
            "WITH i AS (SELECT impression_id, date AS d FROM impression) SELECT impression_id, i.d FROM i",
            4,
            "column date",
        ),
        ("SELECT impression_id, i.Campaign_Id AS c FROM impression AS i", None, None),
        (
            "WITH i AS (SELECT impression_id, 1 AS x FROM impression) SELECT impression_id, i.x, x AS y FROM i",
            None,
            None,
        ),
        ("SELECT impression_id, s, at FROM impression, UNNEST(segments) AS s WITH OFFSET AS at", None, None),
        ("SELECT impression_id, EXTRACT(HOUR FROM served_at) AS h FROM impression", None, None),
        ("SELECT impression_id, DATE_DIFF(@date, DATE(served_at), DAY) AS d FROM impression", None, None),
    ],
)
def test_a_column_that_nobody_has_is_told_with_its_line(
    tmp_path: Path, body: str, line: int | None, told: str | None
) -> None:
    """Before anything is built, with near matches; what the query calls a column itself is one."""
    write(tmp_path, body=body, reads="click [0, 0]" if "FROM click" in body else "impression [0, 0]")
    catalog = Catalog(tmp_path)
    if told is None:
        catalog.check()
        return
    with pytest.raises(SqlError, match=rf"labels\.sql:{line}: .*{told}"):
        catalog.check()


def test_a_table_has_the_columns_of_its_query_and_the_day(tmp_path: Path) -> None:
    """The platform adds `date`; an event has none."""
    write(tmp_path, "labels", body="SELECT impression_id, 1 AS shown FROM impression", reads="impression [0, 0]")
    write(tmp_path, "rates", body="SELECT impression_id, date AS on_day, shown FROM labels", reads="labels [-7, -1]")
    Catalog(tmp_path).check()
    write(tmp_path, "rates", body="SELECT impression_id,\n  l.show AS s FROM labels AS l", reads="labels [-7, -1]")
    with pytest.raises(SqlError, match=r"rates\.sql:5: labels has no column show; did you mean shown\?"):
        Catalog(tmp_path).check()


def test_read_of_nothing_is_refused(tmp_path: Path) -> None:
    """What is read must be an event or another file."""
    write(tmp_path, "rates", **table_over("imprssion"))
    with pytest.raises(SqlError, match=r"rates\.sql:2: .*'imprssion': did you mean impression"):
        Catalog(tmp_path).check()


def test_cycle_is_spelled_out(tmp_path: Path) -> None:
    """Tables that feed each other are named in order, with the file."""
    for name, over in (("a", "b"), ("b", "c"), ("c", "a")):
        write(tmp_path, name, **table_over(over))
    with pytest.raises(SqlError, match=r"[abc]\.sql: .*a → b → c → a"):
        Catalog(tmp_path).check()
    with pytest.raises(SqlError, match="a → b → c → a"):
        Catalog(tmp_path).version("a", EVENTS)


def test_change_upstream_changes_what_is_downstream(tmp_path: Path) -> None:
    """A new query of `labels` makes a new version of `rates` and leaves `other` alone."""
    before = make_catalog(tmp_path)
    versions = {table: before.version(table, EVENTS) for table in before.tables()}
    write(tmp_path, "labels", body=BODY.replace("IS NOT NULL", "IS NULL"))
    after = Catalog(tmp_path)
    changed = {table for table in after.tables() if after.version(table, EVENTS) != versions[table]}
    assert changed == {"labels", "rates"}


def test_event_version_reaches_all_that_read_it(tmp_path: Path) -> None:
    """A new layout of clicks makes new tables; an event that nobody reads does not."""
    catalog = make_catalog(tmp_path)
    version = catalog.version("rates", EVENTS)
    assert catalog.version("rates", {**EVENTS, "click": "c2"}) != version
    assert catalog.version("rates", {**EVENTS, "win": "w2"}) == version
    assert catalog.version("rates", dict(reversed(EVENTS.items()))) == version


def test_the_first_day_counts_where_windows_into_the_past_are_cut(tmp_path: Path) -> None:
    """And in what reads such a table; a table that looks at its own day and later is the same."""
    write(tmp_path, "labels")
    write(tmp_path, "rates", **{**table_over("labels"), "reads": "labels [0, 0]"})
    write(tmp_path, "trailing", reads="impression [-7, 0], click [0, +1]")
    write(tmp_path, "above", **table_over("trailing"))
    catalog = Catalog(tmp_path)
    versions = [
        {name: catalog.version(name, EVENTS, day) for name in catalog.tables()} for day in ("2026-11-17", "2026-11-18")
    ]
    assert {name for name in versions[0] if versions[0][name] != versions[1][name]} == {"above", "trailing"}


def test_event_without_a_version_is_named(tmp_path: Path) -> None:
    """A version cannot be told while an event's is unknown."""
    with pytest.raises(UnknownNameError, match="'click'"):
        make_catalog(tmp_path).version("labels", {"impression": "i1"})


def test_catalog_is_cheap_to_import() -> None:
    """Listing tables loads neither sqlglot nor duckdb."""
    code = "import sys, dsp_pipeline.sql.catalog; print({'sqlglot', 'duckdb', 'pyarrow'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "set()"
