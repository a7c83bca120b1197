"""`dsp diff`: which outputs its words name, and what it tells of two versions of them."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from console.commands.diff import model_differences
from tests.console.lake import SQL, answer, copied, edited, shortened
from tests.e2e.folder import DAY, FIRST, Folder

TABLE, ARM = "campaign_daily", "click_rate_baseline/control"
SHORTER = ("--set", "dsp.package=shorter")


@pytest.fixture(scope="module")
def two(made: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A lake with two versions of campaign_daily, and of all that hangs on it. Only read."""
    folder = copied(made, tmp_path_factory.mktemp("diff"))
    shortened(folder)
    edited(folder, SQL, "COUNTIF(DATE(impression.served_at) = @date) AS impressions,", TWICE, "shorter")
    done = folder.luigi("DailyPipeline", "--date", DAY, "--dsp-package", "shorter", "--dsp-environment", "shorter")
    assert done.code == 0, done.text
    return folder


TWICE = "2 * COUNTIF(DATE(impression.served_at) = @date) AS impressions, 'n' AS note,"


def version_of(folder: Folder, of: str, newest: bool = False) -> str:
    """The older or the newer version on record."""
    records = {path.stem: json.loads(path.read_text())["at"] for path in (folder.lake / "versions" / of).glob("*.json")}
    return sorted(records, key=lambda name: records[name])[-1 if newest else 0]


def diff(folder: Folder, *words: str) -> dict[str, Any]:
    told = answer(folder, *SHORTER, "diff", "--json", *words)
    assert told.code == 0, told.err
    said: dict[str, Any] = json.loads(told.out)
    return said


def test_two_versions_of_a_table_are_told(made: Folder, two: Folder) -> None:
    """What changed in the SQL, the column that came, and the rows that differ; the lake is as it was."""
    files = {name for name in two.files() if not name.startswith(".scratch")}
    old = version_of(two, f"table/{TABLE}")
    words = (f"{TABLE}@{old[:4]}/{FIRST}", f"{TABLE}/{FIRST}")
    said = diff(two, *words)
    (why,) = said["versions"]
    assert (why["of"], why["a"]) == (f"table/{TABLE}", old)
    assert why["what"][0].startswith("its SQL changed (")
    lines = why["files"][SQL]
    assert any(line.startswith("-") and "INTERVAL 24 HOUR" in line for line in lines)
    assert any(line.startswith("+") and "INTERVAL 12 HOUR" in line for line in lines)
    found = said["found"]
    assert (found["added"], found["removed"], found["retyped"]) == ({"note": "string"}, {}, {})
    assert found["rows"] == [found["common"], found["common"]]
    rows = {row["campaign_id"]: row for row in made.rows(TABLE, day=str(FIRST)).to_pylist()}
    assert found["columns"]["impressions"] == sum(row["impressions"] > 0 for row in rows.values())
    for one in found["sample"]:
        if one["column"] == "impressions":
            assert one["b"] == 2 * one["a"] == 2 * rows[one["key"]["campaign_id"]]["impressions"]
    plain = answer(two, *SHORTER, "diff", *words)
    assert plain.code == 0, plain.err
    assert "Column note (string) is only in B." in plain.out
    assert f"Rows: {len(rows)} in A, {len(rows)} in B." in plain.out
    assert {name for name in two.files() if not name.startswith(".scratch")} == files


def test_what_is_read_is_followed_to_what_changed(two: Folder) -> None:
    """A table that reads the changed one, and a model of that: the text stands where it changed, and nowhere else."""
    old = version_of(two, "table/click_rate")
    said = diff(two, f"click_rate@{old}/{DAY}", f"click_rate/{DAY}")
    assert [(one["of"], bool(one["files"])) for one in said["versions"]] == [
        ("table/click_rate", False),
        ("table/campaign_click_rate", False),
        (f"table/{TABLE}", True),
    ]
    assert set(said["found"]["columns"]) == {"campaign_click_rate_14d"}
    old = version_of(two, f"model/{ARM}")
    said = diff(two, f"{ARM}@{old}/{DAY}", f"{ARM}/{DAY}")
    assert [one["of"] for one in said["versions"]] == [
        f"model/{ARM}",
        "table/click_rate",
        "table/campaign_click_rate",
        f"table/{TABLE}",
    ]
    assert said["found"]["rows"][0] == said["found"]["rows"][1] > 0
    assert said["found"]["metrics"]["log_loss"][0] > 0
    # Each model is given the rows as its own version of the table has them.
    assert said["found"]["scores"]["rows"] == len(two.rows("click_rate", day=DAY)) // 2


def test_a_version_of_the_other_checkout_is_named_as_any(two: Folder) -> None:
    """Each checkout's own needs no version; the other's is told by the record of it, definition included."""
    new = version_of(two, f"table/{TABLE}", newest=True)
    told = answer(two, "diff", f"{TABLE}/{FIRST}", f"{TABLE}@{new}/{FIRST}")
    assert told.code == 0, told.err
    assert "Column note (string) is only in B." in told.out


def test_two_arms_are_compared(made: Folder) -> None:
    """Their parameters differ, and so do their metrics; which features moved the score is told, and where."""
    words = ("diff", f"{ARM}/{DAY}", f"click_rate_baseline/deeper/{DAY}")
    told = answer(made, *words)
    assert told.code == 0, told.err
    assert "max_depth 3 → 8" in told.out
    assert "held-out log loss" in told.out
    scores = json.loads(answer(made, *words, "--json").out)["found"]["scores"]
    assert f"On {scores['rows']:,} rows the mean score goes from {scores['before']:.4%} to " in told.out
    assert sum(one["rows"] for one in scores["deciles"]) == scores["rows"] > 0
    moved = [one["moved"] for one in scores["features"]]
    assert moved == sorted(moved, reverse=True) and len(moved) > 10


def test_equal_things_are_told_as_equal(made: Folder) -> None:
    """A difference is no error, and none is neither."""
    for name in (f"{TABLE}/{FIRST}", f"click/{FIRST}T12"):
        told = answer(made, "diff", name, name)
        assert told.code == 0, told.err
        assert "Both are of one version." in told.out
        assert told.out.splitlines()[-1] == "All rows are equal."
    told = answer(made, "diff", f"{ARM}/{DAY}", f"{ARM}/{DAY}")
    assert "The features have the same order by gain." in told.out


def test_two_hours_of_an_event_are_compared(made: Folder) -> None:
    """Any two partitions are."""
    told = answer(made, "diff", f"impression/{FIRST}T12", f"impression/{FIRST}T13")
    assert told.code == 0, told.err
    assert "Only in A: " in told.out
    assert "keys (impression_id): impression_id " in told.out


def test_an_hour_of_an_event_that_lacks_a_column_is_compared(own: Folder) -> None:
    """What was written before the event had the column is null there."""
    import pyarrow.parquet as pq

    (file,) = (own.lake / "warehouse" / "tables").glob(f"click_*/{FIRST}T12/*.parquet")
    rows = pq.read_table(file)
    pq.write_table(rows.drop_columns(["clicked_at"]), file)
    (told,) = (own.lake / "warehouse" / "receipts").glob(f"click_*/{FIRST}T12.json")
    receipt = json.loads(told.read_text())
    receipt["files"][0]["size"] = file.stat().st_size
    told.write_text(json.dumps(receipt))
    said = json.loads(answer(own, "diff", "--json", f"click/{FIRST}T12", f"click/{FIRST}T13").out)
    assert (said["found"]["added"], said["found"]["removed"]) == ({}, {})


def test_steps_are_compared(own: Folder) -> None:
    """A function's rows, whole; parameters of one day are told apart by the whole name."""
    for least in ("1", "100"):
        done = own.luigi("HourlyClickRate", "--date", DAY, "--least-impressions", least)
        assert done.code == 0, done.text
    one, many = (f"hourly_click_rate/{DAY},least_impressions={least}" for least in (1, 100))
    told = answer(own, "diff", one, many)
    assert told.code == 0, told.err
    assert "Rows: " in told.out
    told = answer(own, "diff", f"hourly_click_rate/{DAY}", many)
    assert (told.code, told.out) == (1, "")
    assert f"may be {many} or {one}" in told.err or f"may be {one} or {many}" in told.err


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("click_rate", ("'click_rate' has no day; write NAME/DAY or NAME@VERSION/DAY",)),
        ("click_rate_baseline/control", ("'click_rate_baseline/control' has no day; write NAME/DAY",)),
        (f"click_rte/{DAY}", ("unknown table, event, step or EXPERIMENT/ARM 'click_rte'", "did you mean click_rate")),
        (f"click_rate_baseline/contrl/{DAY}", ("'click_rate_baseline/contrl'", "click_rate_baseline/control")),
        (f"click_rate_baseline/{DAY}", ("'click_rate_baseline'", "click_rate_baseline/control")),
        (f"click/{DAY}", ("click", "an hour, as click/2026-11-21T05")),
        (f"click_rate/{DAY}T05", ("click_rate", "a day, as click_rate/2026-11-21")),
        (f"{TABLE}@xyz/{FIRST}", ("a version is 4 to 12 of the digits 0 to 9 and a to f", "on record are ")),
        (f"{TABLE}@abc/{FIRST}", ("a version is 4 to 12 of the digits",)),
        (f"{TABLE}/2026-11-19", ("campaign_daily/2026-11-19 is not there: its version is ", f"it made {DAY}, {FIRST}")),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_not_there_is_told_in_one_sentence(made: Folder, name: str, parts: tuple[str, ...]) -> None:
    """Whichever of the two it is."""
    for words in ((name, f"{TABLE}/{FIRST}"), (f"{TABLE}/{FIRST}", name)):
        told = answer(made, "diff", *words)
        assert (told.code, told.out) == (1, "")
        assert told.err.startswith("error: ") and told.err.count("\n") == 1, told.err
        for part in parts:
            assert part in told.err


def test_an_unknown_version_tells_those_on_record(two: Folder) -> None:
    """The newest first, each with when it was first made and by which revision."""
    old, new = (version_of(two, f"table/{TABLE}", newest) for newest in (False, True))
    begins = next(digits for digits in ("0000", "1111", "2222") if digits not in (old[:4], new[:4]))
    told = answer(two, "diff", f"{TABLE}@{begins}/{FIRST}", f"{TABLE}/{FIRST}")
    assert told.code == 1
    assert f"no version of {TABLE} begins with {begins}; on record are {new} (first made 20" in told.err
    assert told.err.index(new) < told.err.index(old)
    assert " UTC by revision " in told.err


def test_a_beginning_of_two_versions_is_not_guessed(own: Folder) -> None:
    """Both are told."""
    folder = own.lake / "versions" / "table" / TABLE
    (record,) = folder.glob("*.json")
    twin = f"{record.stem[:4]}{'0' * 8}"
    shutil.copyfile(record, folder / f"{twin}.json")
    told = answer(own, "diff", f"{TABLE}@{record.stem[:4]}/{FIRST}", f"{TABLE}/{FIRST}")
    assert told.code == 1
    assert f"2 versions of {TABLE} begin with {record.stem[:4]}: " in told.err
    assert twin in told.err
    assert record.stem in told.err


def test_a_changed_file_whose_version_made_nothing_names_the_others(own: Folder) -> None:
    """Who edits and compares before anything ran is told what there is to compare."""
    settings = shortened(own)
    old = version_of(own, f"table/{TABLE}")
    told = answer(own, *settings, "diff", f"{TABLE}/{FIRST}", f"{TABLE}@{old}/{FIRST}")
    assert told.code == 1
    assert f"nothing of it is there; on record are {old} (first made" in told.err


def test_a_table_is_not_compared_with_a_model(made: Folder) -> None:
    """The sentence names both."""
    told = answer(made, "diff", f"{TABLE}/{FIRST}", f"{ARM}/{DAY}")
    assert (told.code, told.out) == (1, "")
    assert "are things of two kinds; compare tables with tables, and models with models." in told.err


def test_features_that_moved_farthest_come_first() -> None:
    """By their place in the order of gain; one that a model does not have is behind all others."""
    train = {"train": {"rows": 10, "positives": 1}}
    a = {"data": train, "holdout": {"auc": 0.7}, "gain": {"w": 0.4, "x": 0.3, "y": 0.2, "z": 0.1}}
    b = {"data": train, "holdout": {"auc": 0.8, "new": 1.0}, "gain": {"z": 0.4, "w": 0.3, "x": 0.2}}
    found = model_differences(a, b, "no day is there")
    assert found.metrics == {"auc": (0.7, 0.8), "new": (None, 1.0)}
    assert list(found.moved.items()) == [("z", (4, 1)), ("y", (3, None)), ("w", (1, 2)), ("x", (2, 3))]
