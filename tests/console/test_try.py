"""`dsp try`, as a person types it: what it runs on, what it shows, and that nothing is changed."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from console.attempts import attempt
from console.bench import Bench, Wish
from dsp_pipeline.errors import DspError
from dsp_pipeline.receipts import Receipt
from tasks.parameters import DayParameter
from tasks.receipt_task import StoreTask
from tasks.settings import platform
from tests.console.lake import answer, copied, inside
from tests.e2e.folder import DAY, FIRST, PROJECT, Folder

HOUR = f"{DAY}T13"
SQL = "package/features/campaign_daily.sql"

FONTS = "matplotlib"  # which keeps there what it knows of this machine's fonts

STEPS = """\
from datetime import date
from typing import Any, Iterator

import pyarrow as pa

from tasks.step import step


@step(reads="campaign_daily [0, 0]")
def shown(date: date, campaign_daily: pa.Table) -> pa.Table:
    return campaign_daily.select(["date", "impressions"])


@step(reads="impression [0, 0]")
def number(date: date, impression: Iterator[pa.RecordBatch], more: int = 0) -> int:
    return sum(batch.num_rows for batch in impression) + more


@step(reads="shown [-1, 0], number [-1, 0], click [0, +1]")
def top(date: date, shown: pa.Table, number: dict[date, Any], click: pa.Table) -> dict[str, Any]:
    return {
        "days": [str(day) for day in number],
        "counted": sum(number.values()),
        "impressions": sum(shown["impressions"].to_pylist()),
        "clicks": click.num_rows,
    }
"""


def tried(folder: Folder, *words: str) -> dict[str, Any]:
    """What `--json` answers."""
    done = answer(folder, "try", *words, "--json")
    assert (done.code, done.err) == (0, ""), done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def told(folder: Folder, *words: str) -> str:
    """The one sentence of a command that fails."""
    done = answer(folder, "try", *words)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ") and done.err.count("\n") == 1, done.err
    return done.err


def contents(folder: Folder) -> dict[str, tuple[bytes, int]]:
    """Every file of the lake, scratch included, with its bytes and the time of its last change."""
    files = (path for path in sorted(folder.lake.rglob("*")) if path.is_file() and path.parent.name != FONTS)
    return {str(path.relative_to(folder.lake)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def mine(made: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A copy of the lake, whose queries the tests edit."""
    return copied(made, tmp_path_factory.mktemp("try"))


@pytest.fixture
def lake(mine: Folder) -> Iterator[Folder]:
    """The same, which no test may change: neither a byte nor a time, nor what lies in the scratch folder."""
    before, sql = contents(mine), (mine.path / SQL).read_text()
    yield mine
    (mine.path / SQL).write_text(sql)
    assert contents(mine) == before
    assert {path.name for path in (mine.lake / ".scratch").iterdir()} <= {FONTS}


@pytest.fixture
def empty(tmp_path: Path) -> Folder:
    """Just luigi.cfg, and the team's files."""
    folder = Folder(tmp_path / "work", package="package")
    folder.package()
    return folder


def test_a_table_is_tried_on_what_exists(lake: Folder) -> None:
    """Its rows are those that its build made, to the last column, and it is told what was read."""
    found = tried(lake, "FeatureBuild", "--table", "click_rate", "--date", DAY, "--rows", "10000")
    built = lake.rows("click_rate", day=DAY).sort_by("impression_id").to_pylist()
    assert len(found["first_rows"]) == found["rows"] == len(built) > 200
    for mine, row in zip(found["first_rows"], built, strict=True):
        assert datetime.fromisoformat(mine.pop("served_at")) == row.pop("served_at")
        assert mine == {**row, "date": DAY}
    assert not found["sample"] and not found["why"]
    assert [line.partition(":")[0] for line in found["ran_on"]][:3] == [
        f"impression {DAY}T00 … T23",
        f"click {DAY}T00 … 2026-11-19T23",
        f"overall_click_rate {DAY}",
    ]
    assert found["columns"]["clicked"] == "BOOL" and found["key"] == ["impression_id"]


def test_a_person_reads_what_it_ran_on_and_some_rows(lake: Folder) -> None:
    """Rows of a narrow table are lines."""
    lines = answer(lake, "try", "campaign_daily", DAY, "--rows", "2").out.splitlines()
    assert lines[0] == f"FeatureBuild(table=campaign_daily, date={DAY}) on what exists:"
    assert "rows of 4 columns in " in lines[3] and lines[3].endswith(" s; nothing was changed.")
    assert lines[4].split() == ["date", "campaign_id", "impressions", "clicks"]
    assert lines[5].split() == ["DATE", "STRING", "INT64", "INT64"]
    assert lines[6].startswith(f"{DAY}  m001") and len(lines) == 8


def test_an_edited_query_runs_on_what_is_there(lake: Folder) -> None:
    """Although nothing was ever built of it."""
    path = lake.path / SQL
    path.write_text(path.read_text().replace("AS clicks", "AS first_clicks"))
    found = tried(lake, "campaign_daily", DAY)
    assert not found["sample"]
    assert "first_clicks" in found["first_rows"][0]


def test_what_stands_on_an_edited_query_runs_on_a_sample(lake: Folder) -> None:
    """Rows of the old query, and those of real and simulated logs, are not mixed; it is told what is not there."""
    path = lake.path / SQL
    path.write_text(path.read_text().replace("AS clicks", "+ 1000 AS clicks"))
    found = tried(lake, "click_rate", DAY)
    assert found["sample"]
    assert found["why"] == f"Not there: campaign_click_rate {DAY}."
    assert all(line.endswith("simulated rows") for line in found["ran_on"])
    assert found["first_rows"][0]["campaign_click_rate_14d"] > 1


def test_a_sample_can_be_asked_for(lake: Folder) -> None:
    """Its rows are not those that are there."""
    found = tried(lake, "click_rate", DAY, "--sample", "--rows", "1")
    assert found["sample"] and not found["why"]
    ours = lake.rows("click_rate", "impression_id").column(0).to_pylist()
    assert found["first_rows"][0]["impression_id"] not in ours


def test_a_model_is_tried_on_what_exists(lake: Folder) -> None:
    """It comes out as the one that was trained."""
    found = tried(lake, "TrainModel", "click_rate_baseline", DAY)
    (receipt,) = (
        one for address, one in lake.receipts().items() if address.startswith("train/") and "control" in address
    )
    assert found["holdout"] == receipt["details"]["metrics"]
    assert (found["rows"], found["trees"]) == (receipt["rows"], 5)
    assert found["ran_on"] and not found["sample"]


def test_a_bundle_is_made_of_the_trained_model(lake: Folder) -> None:
    """The files that would be published, with their sizes."""
    found = tried(lake, "click_rate_baseline", DAY)
    (receipt,) = (
        one for address, one in lake.receipts().items() if address.startswith("export/") and "control" in address
    )
    sizes = {Path(file["key"]).name: file["size"] for file in receipt["files"]}
    assert found["files"] == sizes
    assert found["ran_on"][0].startswith("train/click_rate_baseline/control/")


def test_a_load_is_tried_on_what_was_ingested(lake: Folder) -> None:
    """Its rows are those of the partition."""
    found = tried(lake, "impression", HOUR, "--rows", "1000")
    loaded = lake.receipts()[
        next(one for one in lake.receipts() if one.startswith("impression_") and one.endswith(HOUR))
    ]
    assert found["rows"] == loaded["rows"] == len(found["first_rows"]) > 5
    assert found["columns"]["segments"] == "ARRAY<STRING>"


def test_an_ingest_is_tried_on_the_raw_files(empty: Folder) -> None:
    """Bad lines are counted by reason and shown; nothing is kept, not even of an hour that would be refused."""
    path = empty.raw / "click" / DAY / "13-0.jsonl.gz"
    path.parent.mkdir(parents=True)
    good = {"id": "c1", "imp": "i1", "t": 1_795_007_400_000, "x": 1, "y": 1}
    path.write_bytes(gzip.compress(f"{json.dumps(good)}\nbad [line]\n{{}}\n".encode()))
    found = tried(empty, "S3LogIngest", "click", HOUR)
    assert (found["lines"], found["rows"], found["duplicates"]) == (3, 1, 0)
    assert found["rejected"] == {"malformed": 1, "missing:click_id": 1}
    assert found["first_rejects"][0] == {
        "file": f"click/{DAY}/13-0.jsonl.gz",
        "line_number": 2,
        "reason": "malformed",
        "line": "bad [line]",
    }
    assert found["first_rows"] == [{"click_id": "c1", "impression_id": "i1", "clicked_at": f"{DAY}T13:10:00+00:00"}]
    assert found["would_fail"].startswith("66.7% of the lines were rejected, more than [dsp] max_rejected_share, 0.05")
    shown = answer(empty, "try", "S3LogIngest", "click", HOUR).out
    assert "3 lines, 0 duplicates; rejected: 1 malformed, 1 missing:click_id." in shown
    assert f"  click/{DAY}/13-0.jsonl.gz:2 malformed: bad [line]\n" in shown
    assert not contents(empty)


def test_a_table_is_tried_with_nothing_prepared(empty: Folder) -> None:
    """An empty folder is enough, whatever the layout of the real logs is; and it is empty afterwards."""
    found = tried(empty, "click_rate", DAY)
    assert found["sample"] and found["rows"] > 1_200
    assert found["why"].startswith(f"Not there: impression {DAY}T00 … T23; click {DAY}T00 … 2026-11-19T23; ")
    assert found["first_rows"][0]["campaign_click_rate_14d"] is not None
    assert not contents(empty) and not empty.raw.exists()


def test_a_model_is_tried_with_nothing_prepared(empty: Folder) -> None:
    """On the days before the asked one; a bundle of it is made, loaded back and thrown away."""
    found = tried(empty, "click_rate_baseline", DAY)
    assert found["sample"] and found["rows"] > 1_200 // 2
    assert found["holdout"]["rows"] > 1_200
    assert {"model.ubj", "manifest.json"} < found["files"].keys()
    assert not contents(empty)


def test_an_hour_is_tried_with_nothing_prepared(empty: Folder) -> None:
    """Lines are simulated, and the ingest of them is what a load reads."""
    ingested, loaded = tried(empty, "S3LogIngest", "click", HOUR), tried(empty, "click", HOUR)
    assert ingested["sample"] and loaded["sample"]
    assert ingested["why"].startswith("Not there: ") and f"click/{DAY}/13-" in ingested["why"]
    assert loaded["why"] == f"Not there: S3LogIngest(event=click, hour={HOUR})."
    assert ingested["rows"] == loaded["rows"] > 0 and ingested["first_rows"] == loaded["first_rows"]
    assert not contents(empty)


def test_other_layouts_of_logs_do_not_matter_to_a_sample(empty: Folder) -> None:
    """It is made to the schema: a folder whose real logs are of another kind tries the same rows."""
    other = Folder(empty.path.with_name("other"), package="package", source="open_bandit")
    other.package()
    mine, theirs = (tried(folder, "campaign_daily", DAY, "--sample") for folder in (empty, other))
    assert mine["first_rows"] == theirs["first_rows"]


def test_a_function_is_tried_on_what_exists(lake: Folder) -> None:
    """With all rows that its `reads` names, and the parameters of the command."""
    found = tried(lake, "HourlyClickRate", DAY, "--least-impressions", "1000000", "--rows", "24")
    assert sum(row["impressions"] for row in found["first_rows"]) == lake.rows("click_rate").num_rows
    assert {row["click_rate"] for row in found["first_rows"]} == {None}
    assert found["ran_on"][0].startswith(f"click_rate {FIRST} … {DAY}: ") and not found["sample"]


def test_functions_that_read_each_other_are_tried_with_nothing_prepared(empty: Folder) -> None:
    """Each on the same sample; tables, events, and what other functions give come in the form that was asked for."""

    def planted(*words: str) -> str:
        done = empty.python("-m", "console.dsp", "try", "Top", DAY, *words)  # finds the tasks of its folder
        assert done.code == 0, done.text
        return done.text

    shutil.copytree(PROJECT / "tasks", empty.path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    (empty.path / "tasks" / "planted.py").write_text(STEPS)
    found = json.loads(planted("--json", "--sample"))
    days = [f"2026-11-{day}" for day in (17, 18)]
    assert found["value"]["days"] == days
    assert found["value"]["counted"] == found["value"]["impressions"] > 2 * 1_000
    assert found["value"]["clicks"] > 3
    assert f'"days": [\n  "{days[0]}",' in planted()
    assert not contents(empty)


def test_too_much_is_refused_before_it_is_read(lake: Folder) -> None:
    """In one sentence, with how much it is and the cures."""
    assert told(lake, "click_rate", DAY, "--most-gb", "0.00001").startswith(
        f"error: FeatureBuild(table=click_rate, date={DAY}) would read "
    )
    told_too = told(lake, "TrainModel", "click_rate_baseline", DAY, "--most-gb", "0.00001")
    assert "more than --most-gb 1e-05; try it on a sample (--sample), or allow that much (--most-gb 0.1)." in told_too
    assert tried(lake, "click_rate", DAY, "--most-gb", "0.00001", "--sample")["sample"]


def test_a_model_is_told_in_words(lake: Folder) -> None:
    """Trees, positives, and what the held-out day says."""
    done = answer(lake, "try", "TrainModel", "click_rate_baseline", DAY)
    assert (done.code, done.err) == (0, ""), done.err
    assert "to learn from." in done.out
    assert "log loss" in done.out


def test_partitions_of_unknown_size_are_estimated(lake: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """BigQuery does not tell how large a partition is that it has built: rows and types say about how large."""
    monkeypatch.setattr(Receipt, "size", 0)
    found = tried(lake, "TrainModel", "click_rate_baseline", DAY)
    assert "about " in found["ran_on"][0]
    # 19 columns of 8 bytes but a text of 20 and a BOOL of 1: some 160 bytes a row.
    (path,) = (lake.lake / "warehouse" / "receipts").glob(f"click_rate_*/{DAY}.json")
    rows = json.loads(path.read_text())["rows"]
    assert "would read" in told(lake, "TrainModel", "click_rate_baseline", DAY, "--most-gb", f"{rows * 200 / 1e9}")


@pytest.mark.parametrize(
    ("old", "new", "parts", "where"),
    [
        ("SELECT\n  impression.campaign_id", "SELEC\n  impression.campaign_id", (f"{SQL}:1", "cannot parse"), ()),
        (
            "impression.campaign_id,",
            "impression.campain_id AS campaign_id,",
            (f"{SQL}:", "impression has no column campain_id; did you mean campaign_id"),
            ("--sample",),
        ),
        ("GROUP BY impression.campaign_id", "GROUP BY 1, impression.city", ("its key must name one row",), ()),
        ("AS clicks", "AS clicks, CAST('x' AS INT64) AS y", ("campaign_daily of", "cannot be built: ", "value: x"), ()),
    ],
    ids=["syntax", "column", "key", "value"],
)
def test_a_wrong_query_is_told_in_a_sentence(
    lake: Folder, old: str, new: str, parts: tuple[str, ...], where: tuple[str, ...]
) -> None:
    """With the file and line, or the table and the first line of what the engine says; nothing is changed."""
    path = lake.path / SQL
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    sentence = told(lake, "campaign_daily", DAY, *where)
    for part in parts:
        assert part in sentence


def test_a_class_of_ones_own_is_not_tried(empty: Folder) -> None:
    """It is one task, and nobody knows which part of it leaves nothing behind."""

    class OfMyOwn(StoreTask):
        date = DayParameter()

    with inside(empty):
        task = OfMyOwn(date=date.fromisoformat(DAY))
        with pytest.raises(DspError, match="OfMyOwn is a class, which cannot be tried; write it as a function, or"):
            attempt(Bench(task, platform(), Wish(False, 1, 1.0), empty.path))


def test_many_tasks_are_not_one(empty: Folder) -> None:
    """The sentence says where to find the one that is meant."""
    assert "DailyPipeline is many tasks; name one of them" in told(empty, "DailyPipeline", "2026-11-21")
    done = empty.dsp("try", "RawLog", "click", HOUR)  # as a process of its own
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "try S3LogIngest, which reads it" in done.err
