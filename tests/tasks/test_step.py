"""Functions as tasks, run by real commands on a small lake. Wrong ones: test_step_errors.py.

The tests of this module share one lake, so they stay on one xdist worker (tests/conftest.py).
"""

from __future__ import annotations

import re
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsp_pipeline.platform import PACKAGE
from dsp_pipeline.sql.catalog import Catalog
from tasks.hourly_click_rate import hourly_click_rate
from tests.console.lake import lake
from tests.e2e.folder import FIRST, PROJECT, ran
from tests.tasks.steps import SECOND, StepsFolder, steps_folder

CLICK_RATE = """\
-- One row per impression of @date: whether it was clicked on that day.
-- reads: impression [0, 0], click [0, 0]
-- key: impression_id
SELECT
  impression.impression_id,
  MIN(EXTRACT(HOUR FROM impression.served_at)) AS hour_of_day,
  LOGICAL_OR(click.click_id IS NOT NULL) AS clicked
FROM impression
LEFT JOIN click
  ON impression.impression_id = click.impression_id
GROUP BY impression.impression_id
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StepsFolder:
    """Impressions and clicks are loaded; two tables, and the planted steps."""
    folder = steps_folder(lake(tmp_path_factory), tmp_path_factory.mktemp("steps"))
    (folder.path / "package" / "features" / "click_rate.sql").write_text(CLICK_RATE)
    return folder


def test_the_shipped_step_runs_once(folder: StepsFolder) -> None:
    """Its inputs are made first; its rows are those of the day's impressions; a second run makes nothing."""
    done = folder.luigi("HourlyClickRate", "--date", SECOND)
    assert done.code == 0, done.text
    (receipt,) = folder.kept("hourly_click_rate")
    rows = pq.read_table(folder.file(receipt))
    impressions, clicks = (
        sum(folder.rows("impression", day=day).num_rows for day in (str(FIRST), SECOND)),
        folder.rows("click_rate").filter(pa.compute.field("clicked")),
    )
    assert sum(rows["impressions"].to_pylist()) == impressions > 0
    assert sum(rows["clicks"].to_pylist()) == clicks.num_rows > 0
    assert receipt["rows"] == rows.num_rows == 24
    assert receipt["files"][0]["key"].endswith("/rows.parquet")
    assert [given["name"].split("_")[0] for given in receipt["inputs"]] == ["click", "click"]  # click_rate, two days
    again = folder.luigi("HourlyClickRate", "--date", SECOND)
    assert again.code == 0
    assert not ran(again.text)


def test_parameters_stand_in_the_address(folder: StepsFolder) -> None:
    """Another value is another output of the same version; one that is no key stands there as a fingerprint."""
    assert folder.luigi("HourlyClickRate", "--date", SECOND).code == 0
    assert folder.luigi("HourlyClickRate", "--date", SECOND, "--least-impressions", "5").code == 0
    addresses = [receipt["address"] for receipt in folder.kept("hourly_click_rate")]
    assert len({address.rpartition("/")[0] for address in addresses}) == 1
    names = {address.rpartition("/")[2] for address in addresses}
    assert names >= {f"{SECOND},least_impressions=100", f"{SECOND},least_impressions=5"}
    made = folder.asked(
        "from tasks.planted import many_rows as step",
        *(f"step.task(date=DAY, name={name!r}).place()[1]" for name in ("a-b.c", "a=b", "a/../b", "", "x" * 300)),
    )
    assert made[0] == f"{SECOND},name=a-b.c"
    assert all(re.fullmatch(rf"{SECOND},name=@[0-9a-f]{{12}}", name) for name in made[1:])
    assert len(set(made)) == 5


def test_the_shipped_step_fits_the_shipped_table() -> None:
    """The columns that it takes are in the real query, and its numbers are right."""
    assert {"hour_of_day", "clicked"} <= set(Catalog(PACKAGE / "features").query("click_rate").columns)
    rows = pa.table({"hour_of_day": [5, 3, 5, 5], "clicked": [True, True, False, False]})
    assert hourly_click_rate(date(2026, 11, 21), rows, 3).to_pylist() == [
        {"hour_of_day": 3, "impressions": 1, "clicks": 1, "click_rate": None},
        {"hour_of_day": 5, "impressions": 3, "clicks": 1, "click_rate": 1 / 3},
    ]
    assert hourly_click_rate(date=date(2026, 11, 21), click_rate=rows.slice(0, 0)).num_rows == 0


def test_steps_read_steps(folder: StepsFolder) -> None:
    """JSON of one day is the value, of several days a dict by day; parameters have the types of their annotations."""
    for words in (
        ("SameDay",),
        ("ClicksOfTwoDays", "--kind", "days", "--twice"),
        ("ClicksOfTwoDays", "--twice", "false"),
    ):
        done = folder.luigi(*words, "--date", SECOND, "--workers", "2")
        assert done.code == 0, done.text
    impressions = folder.rows("impression", day=SECOND)
    (of_a_day,) = folder.kept("same_day")
    clicks = folder.rows("click", day=SECOND).num_rows
    assert folder.value(of_a_day) == [clicks, impressions.num_rows, impressions.num_columns]
    assert of_a_day["rows"] == 3
    values = {
        receipt["address"].rpartition("/")[2]: folder.value(receipt) for receipt in folder.kept("clicks_of_two_days")
    }
    assert values == {
        f"{SECOND},kind=days,twice=True": 4,
        f"{SECOND},kind=sum,twice=False": sum(folder.rows("click", day=day).num_rows for day in (str(FIRST), SECOND)),
    }
    assert {receipt["rows"] for receipt in folder.kept("clicks_of_two_days")} == {1}


def test_the_lineage_of_a_step_goes_down_to_raw_files(folder: StepsFolder) -> None:
    """Through the step that it reads, the loads and the ingests."""
    assert folder.luigi("ClicksOfTwoDays", "--date", SECOND).code == 0
    (found,) = folder.asked(
        "from tasks.planted import clicks_of_two_days as step\nfrom tasks.receipt_task import lineage",
        "lineage(step.task(date=DAY).inputs())",
    )
    kinds = {address.split("/")[0].split("_")[0] for address in found}
    assert kinds == {"step", "click", "ingest"}
    named = {given["name"].split("/")[0] for receipt in found.values() for given in receipt["inputs"]}
    assert "raw" in named
    assert len([address for address in found if address.startswith("ingest/")]) == 48


def test_a_table_has_the_same_columns_before_there_were_logs(folder: StepsFolder) -> None:
    """A window that is cut away altogether is a table without rows."""
    for day in ("2026-11-17", SECOND):
        done = folder.luigi("ColumnsOfYesterday", "--date", day)
        assert done.code == 0, done.text
    nothing, something = (folder.value(receipt) for receipt in folder.kept("columns_of_yesterday"))
    assert nothing[0] == something[0]
    assert nothing[0].splitlines()[0].startswith("date: date32")
    assert int(nothing[1]) == 0 < int(something[1])


def test_streams_are_flat(folder: StepsFolder) -> None:
    """Each batch is written before the next is asked for, and read as it is needed; the steps themselves look."""
    done = folder.luigi("RowsCounted", "--date", SECOND)
    assert done.code == 0, done.text
    (counted,) = folder.kept("rows_counted")
    assert folder.value(counted) == 1_200_000
    assert {(receipt["rows"], receipt["files"][0]["size"] > 50_000_000) for receipt in folder.kept("many_rows")} == {
        (600_000, True)
    }


def test_tasks_survive_every_kind_of_worker_process(folder: StepsFolder) -> None:
    """A step's task runs in a process that was forked, spawned or made by a fork server; so does one of the script."""
    script = folder.path / "processes.py"
    script.write_text(PROCESSES)
    done = folder.python(str(script))
    assert done.code == 0, done.text
    kept = {receipt["address"].rpartition("=")[2] for receipt in folder.kept("clicks_by_hour")}
    assert kept >= {"1.0", "2.0", "3.0"}
    assert len(folder.kept("of_the_script")) == 3


PROCESSES = """\
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from tasks.planted import clicks_by_hour
from tasks.step import step

@step(reads="clicks_by_hour [0, 0]")
def of_the_script(date: date, clicks_by_hour: dict, number: int) -> dict:
    return clicks_by_hour

def run(task):
    task.run()
    return task

if __name__ == "__main__":
    for number, method in enumerate(("fork", "spawn", "forkserver"), start=1):
        with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
            day = date(2026, 11, 18)
            for task in (clicks_by_hour.task(day, least=number), of_the_script.task(day, number=number)):
                assert pool.submit(run, task).result() == task
"""


ADDRESSES = (
    "from tasks.planted import clicks_of_two_days as one\nfrom tasks.hourly_click_rate import hourly_click_rate as two",
    "one.task(date=DAY).output().address",
    "two.task(date=DAY).output().address",
)


@pytest.fixture(scope="module")
def addresses(folder: StepsFolder) -> list[Any]:
    """Before anything is changed."""
    return folder.asked(*ADDRESSES)


@pytest.mark.parametrize(
    ("file", "old", "new", "is_new"),
    [
        ("code/tasks/arithmetic.py", "return sum(numbers)", "return sum(numbers) + 0", True),
        ("code/tasks/arithmetic.py", "return max(numbers)", "return max(numbers) + 0", False),
        ("code/tasks/arithmetic.py", "return sum(numbers)", "return sum(numbers)  # all of them", False),
        ("code/tasks/planted.py", '"""A value for each day, by day."""', '"""By day."""', False),
        ("code/tasks/planted.py", "* (2 if twice else 1)", "* (3 if twice else 1)", True),
        ("code/tasks/planted.py", 'reads="clicks_by_hour [-1, 0]"', 'reads="clicks_by_hour [-2, 0]"', True),
        ("code/tasks/planted.py", "if clicks >= least}", "if clicks > least}", True),
        ("code/tasks/planted.py", "impression.num_rows", "2", False),
        ("code/tasks/step.py", 'f"step/{self.name}"', 'f"step/{self.name}" + ""', False),
        ("package/features/click_rate.sql", "impression of @date", "impression of that day", False),
        ("package/features/click_rate.sql", "click.click_id IS NOT NULL", "click.click_id IS NULL", True),
    ],
)
def test_what_counts_makes_another_address(
    folder: StepsFolder, addresses: list[Any], tmp_path: Path, file: str, old: str, new: str, is_new: bool
) -> None:
    """The code that is reached and all that is read, through another step too; comments and neighbours do not."""
    other = StepsFolder(tmp_path / "work", package="package")
    for name in ("code", "package"):
        shutil.copytree(folder.path / name, other.path / name)
    text = (other.path / file).read_text()
    assert old in text
    (other.path / file).write_text(text.replace(old, new))
    assert (other.asked(*ADDRESSES) != addresses) is is_new


def test_a_harmless_change_may_keep_the_address(folder: StepsFolder) -> None:
    """`compatible_with` names the code before and after; one that speaks of other code is refused with the cure."""
    asked = (
        "from tasks.planted import clicks_by_hour as step",
        "step.task(date=DAY).place()[0]",
        "step.task(date=DAY).version().parts['code']",
    )
    before, old = folder.asked(*asked)
    file = folder.path / "code" / "tasks" / "planted.py"
    text = file.read_text()
    changed = text.replace("if clicks >= least}", "if not clicks < least}")
    try:
        file.write_text(changed)
        _, new = folder.asked(*asked)
        file.write_text(changed.replace('"click [0, 0]")', f'"click [0, 0]", compatible_with="{old} = {new}")', 1))
        assert folder.asked(*asked) == [before, old]
        file.write_text(text.replace('"click [0, 0]")', f'"click [0, 0]", compatible_with="{new} = {new}")', 1))
        done = folder.luigi("ClicksByHour", "--date", SECOND)
        assert done.code == 40
        line = text[: text.index("@step")].count("\n") + 1
        assert f"planted.py:{line}: `compatible_with` speaks of {new}" in done.errors[0]
    finally:
        file.write_text(text)


def test_the_page_about_steps_is_true(folder: StepsFolder, tmp_path: Path) -> None:
    """Its function and its class give the same, its commands run, and its test passes."""
    page = (PROJECT / "docs" / "steps.md").read_text()
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", page, re.DOTALL)
    assert [name for name, _ in blocks] == ["tasks/best_campaigns.py"] * 2 + ["tests/tasks/test_best_campaigns.py"]
    (commands,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    values: list[Any] = []
    file = folder.path / "code" / "tasks" / "best_campaigns.py"
    for _, text in blocks[:2]:
        file.write_text(text)
        before = folder.receipts()
        for line in commands.splitlines():
            words = line.replace("2026-11-21", SECOND).removeprefix("luigi --module tasks ").split()
            done = folder.luigi(*words)
            assert done.code == 0, done.text
        made = [receipt for receipt in folder.kept("best_campaigns") if receipt["address"] not in before]
        values.append([folder.value(receipt) for receipt in made])
        assert [len(receipt["inputs"]) for receipt in made] == [2, 2]
        assert [receipt["rows"] for receipt in made] == [10, 3]
    assert values[0] == values[1]
    file.write_text(blocks[0][1])
    (folder.path / "test_best_campaigns.py").write_text(blocks[2][1])
    done = folder.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_best_campaigns.py")
    assert done.code == 0, done.text
    assert "1 passed" in done.text


def test_importing_the_tasks_takes_nothing_that_only_a_run_needs(folder: StepsFolder) -> None:
    """The names that are offered are found in the files; the code of a step is not looked at."""
    names, asked = folder.asked(
        "import tasks, dsp_pipeline.syntax", "tasks.__all__", "list(dsp_pipeline.syntax._files)"
    )
    assert names == sorted(names)
    assert {"DailyPipeline", "HourlyClickRate", "ClicksByHour", "Backfill"} <= set(names)
    assert not {"StoreTask", "StepTask", "dsp", "DaysTask"} & set(names)
    assert asked == []
    assert folder.asked("from tasks import *", "DailyPipeline.__name__, ClicksByHour.__module__") == [
        ["DailyPipeline", "tasks.planted"]
    ]
