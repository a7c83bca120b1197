"""The same on S3 and BigQuery: killed before each request, and between its head and its body."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from console.standins.bigquery import python_for_bigquery
from console.standins.cloud import Cloud
from tests.e2e.folder import DAY, Folder
from tests.e2e.test_cloud import CloudFolder
from tests.faults.cloud_lake import CloudLake
from tests.faults.lakes import STEPS, Step, killed_at
from tests.faults.tally import FULL, Count

# The load's table is removed with all its hours before each kill, so it comes last. In the short form there is but the
# hour that is ingested and loaded: a whole lake takes a minute.
_SHORT = ("S3LogIngest", "BigQueryLoad")
_STEPS = sorted(STEPS if FULL else [one for one in STEPS if one.task in _SHORT], key=lambda one: one.task == _SHORT[1])


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, undisturbed: Folder) -> Iterator[CloudLake]:
    if python_for_bigquery() is None:
        pytest.skip("skipped: no Python 3.13")
    work = tmp_path_factory.mktemp("faults-cloud")
    with Cloud(work / "standins") as cloud:
        folder = CloudFolder(work / "cloud", cloud)
        shutil.copytree(undisturbed.path / "package", folder.path / "package")
        cloud.deliver(undisturbed.raw)
        one = CloudLake(folder)
        for step in (Step("DailyPipeline", ("--date", DAY), "-"), *STEPS) if FULL else _STEPS:
            done = one.run(*step.command)
            assert done.code == 0, done.text
        yield one


@pytest.mark.parametrize("step", _STEPS, ids=str)
def test_a_task_that_is_killed_before_any_request_is_made_by_the_next_run(
    step: Step, lake: CloudLake, count: Count
) -> None:
    """What counts is whole at every moment; after the same command once more all is as if nothing had been."""
    killed_at(lake, step, _expected(lake, step), lake.rows(step), count, short=5)


@pytest.mark.parametrize("step", _STEPS, ids=str)
def test_of_two_workers_one_is_killed_and_the_other_ends_well(step: Step, lake: CloudLake, count: Count) -> None:
    """On two machines, each with a scheduler of its own."""
    killed_at(lake, step, _expected(lake, step), lake.rows(step), count, short=1, beside=True)


def _expected(lake: CloudLake, step: Step) -> dict[str, object]:
    """What must stay: all in the store, and the step's own output."""
    tables = set(lake.tables())
    return {key: one for key, one in lake.content().items() if key not in tables or step.makes(key)}
