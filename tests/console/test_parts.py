"""The console's own arithmetic, the layout of the Open Bandit logs, and what a failing run tells."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from console import open_bandit, report, workers
from tests.e2e.folder import Folder
from tests.e2e.scheduler import luigid

HEADER = ",timestamp,item_id,position,click,propensity_score\n"
NOON = datetime(2026, 11, 17, 12, tzinfo=UTC)


def span(begin: float, end: float) -> tuple[datetime, datetime]:
    return NOON + timedelta(seconds=begin), NOON + timedelta(seconds=end)


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([], 0),
        ([span(0, 2)], 2),
        ([span(0, 2), span(1, 3)], 3),
        ([span(0, 10), span(1, 2), span(3, 4)], 10),
        ([span(5, 6), span(0, 1)], 2),
        ([span(0, 1), span(1, 2)], 2),
        ([span(0, 4), span(1, 2), span(3, 6), span(8, 8)], 6),
    ],
)
def test_covered_time_counts_each_second_once(spans: list[tuple[datetime, datetime]], seconds: float) -> None:
    """Spans that overlap, touch, lie within each other or apart."""
    assert report._covered(spans) == pytest.approx(seconds)


def archive(lines: dict[str, list[str]]) -> zipfile.ZipFile:
    """A wheel's six files; those that are not given have a header alone."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as made:
        for policy in ("random", "bts"):
            for campaign in ("all", "men", "women"):
                text = HEADER + "".join(lines.get(f"{policy}/{campaign}", []))
                made.writestr(f"obp/dataset/obd/{policy}/{campaign}/{campaign}.csv", text)
    return zipfile.ZipFile(memory)


def test_open_bandit_lines_are_laid_out_by_hour(tmp_path: Path) -> None:
    """Lines are copied as they stand, each file with its header; every hour of the days and of the next is marked."""
    first = "0,2019-11-24 00:00:05.000001+00:00,3,1,0,0.0125\n"
    second = "1,2019-11-24 00:59:59.999999+00:00,4,2,1,0.0125\n"
    third = "0,2019-11-25 23:10:00.000000+00:00,5,3,0,0.5\n"
    open_bandit._lay_out(archive({"random/all": [first, second], "bts/men": [third]}), tmp_path)
    files = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.csv")}
    assert files == {
        "random/all/2019-11-24/00.csv": HEADER + first + second,
        "bts/men/2019-11-25/23.csv": HEADER + third,
    }
    marks = sorted(str(path.relative_to(tmp_path / "arrived")) for path in (tmp_path / "arrived").rglob("??"))
    days = ("2019-11-24", "2019-11-25", "2019-11-26")
    assert marks == [f"{day}/{hour:02}" for day in days for hour in range(24)]


def test_a_failing_run_tells_each_error_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three workers meet the same broken file: the sentence comes once, with the folder of all that they said."""
    folder = Folder(tmp_path / "work", first_date="2019-11-24")
    path = folder.raw / "click" / "2019-11-24" / "05-0.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no gzip")
    monkeypatch.chdir(folder.path)
    with luigid(folder) as address, pytest.raises(Exception, match="05-0") as told:
        workers.run(
            ["S3LogIngest", "--event", "click", "--hour", "2019-11-24T05"],
            {},
            complete=lambda: False,
            address=address,
            assistants=1,
            console=Console(file=io.StringIO()),
        )
    assert str(told.value).count("05-0.jsonl.gz") == 1
    assert "Traceback" not in str(told.value)
    assert ".dsp/logs/" in str(told.value)


def test_the_console_exits_non_zero_with_a_sentence(tmp_path: Path) -> None:
    """A raw folder that cannot be made: one sentence, exit code 1."""
    folder = Folder(tmp_path / "work")
    (folder.path / "raw").write_text("a file")
    done = folder.python("-m", "console", "demo")
    assert done.code == 1, done.text
    assert done.text.count("error: raw/simulator") == 1, done.text
    assert "Traceback" not in done.text
