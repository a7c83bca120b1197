"""Kills, storms, clocks and several machines at once on S3 and BigQuery: stand-ins that speak the real protocols."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from console.standins.cloud import Cloud
from tests.contracts.implementations import need_bigquery
from tests.e2e.folder import DAY, Folder, wait_until
from tests.e2e.test_cloud import CloudFolder
from tests.faults.cloud_lake import CloudLake
from tests.faults.lakes import STEPS, Step, assert_any_clock, assert_recovered, assert_swept, killed_at
from tests.faults.proxy import FaultProxy, LoseAnswer
from tests.faults.tally import FULL, SEED, Count
from tests.faults.weather import BIGQUERY, S3, Weather

# In the short form there is but the hour that is ingested and loaded: a whole lake takes a minute.
_STEPS = [one for one in STEPS if FULL or one.task in ("S3LogIngest", "BigQueryLoad")]
_TABLES = ("FeatureBuild", "BigQueryLoad")
_WHOLE = Step("DailyPipeline", ("--date", DAY), "-")
_MOST = 40  # moments of a step: TrainModel has 340, and half a minute passes with each
_CLOCKS = [(step, hours) for step in _STEPS for hours in ((-30, 24 * 400) if FULL else (-1,))]
full = pytest.mark.skipif(not FULL, reason="skipped: it takes minutes; `make test-faults` runs it")


@pytest.fixture(scope="module")
def team(undisturbed: Folder) -> Folder:
    """Whose logs and files are used."""
    need_bigquery()
    return undisturbed


def _made(work: Path, cloud: Cloud, team: Folder, name: str = "cloud") -> CloudFolder:
    folder = CloudFolder(work / name, cloud)
    shutil.copytree(team.path / "package", folder.path / "package")
    config = folder.path / "luigi.cfg"
    config.write_text(config.read_text().replace("[dsp]\n", "[dsp]\npackage = package\n"))  # for the janitor too
    return folder


Lakes = Callable[[Step], tuple[CloudLake, dict[str, Any]]]


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory, team: Folder) -> Iterator[Lakes]:
    """For a step a lake that nobody has disturbed yet, and all that it held at first.

    A partition is removed with its whole table before each kill, and others read that: its steps have another lake.
    """
    with ExitStack() as clouds:

        @cache
        def made(_tables: bool) -> tuple[CloudLake, dict[str, Any]]:
            work = tmp_path_factory.mktemp("faults-cloud")
            cloud = clouds.enter_context(Cloud(work / "standins"))
            one = CloudLake(_made(work, cloud, team))
            cloud.deliver(team.raw)
            for step in (_WHOLE, *STEPS) if FULL else _STEPS:
                done = one.run(*step.command)
                assert done.code == 0, done.text
            return one, one.content()

        yield lambda step: made(FULL and step.task in _TABLES)


@pytest.mark.parametrize("step", _STEPS, ids=str)
def test_a_task_that_is_killed_before_any_request_is_made_by_the_next_run(
    step: Step, lakes: Lakes, count: Count
) -> None:
    """Or between its head and its body. What counts is whole at every moment, and all is as if nothing had been."""
    lake, expected = lakes(step)
    killed_at(lake, step, _own(step, expected), lake.rows(step), count, short=4, most=_MOST)


@pytest.mark.parametrize("step", _STEPS, ids=str)
def test_of_two_workers_one_is_killed_and_the_other_ends_well(step: Step, lakes: Lakes, count: Count) -> None:
    """On two machines, each with a scheduler of its own."""
    lake, expected = lakes(step)
    killed_at(lake, step, _own(step, expected), lake.rows(step), count, short=1, most=_MOST, beside=True)


@pytest.mark.parametrize(("step", "hours"), _CLOCKS, ids=str)
def test_a_clock_that_is_off_changes_nothing(step: Step, hours: int, lakes: Lakes, count: Count) -> None:
    """The one with the clock is killed and another goes on; and the other way round."""
    lake, expected = lakes(step)
    assert_any_clock(lake, step, _own(step, expected), lake.rows(step), count, hours, (4, 18))


@pytest.mark.parametrize("step", _STEPS, ids=str)
def test_a_stormy_network_changes_nothing(step: Step, lakes: Lakes, count: Count) -> None:
    """S3 and BigQuery answer 500, 503 or late, are cut off, or do what they are asked and nobody hears of it."""
    lake, expected = lakes(step)
    own, rows = _own(step, expected), lake.rows(step)
    for round_ in range(4 if FULL else 1):
        lake.unmake(step)
        with _storm(lake, 0.2, f"{SEED} {step} {round_}") as (there, s3, bigquery):
            done = there.run(*step.command)
        assert done.code == 0, done.text
        count("faults of S3", s3.harmed)
        count("faults of BigQuery", bigquery.harmed)
        assert_recovered(lake, step, own, rows, count, f"{step} in a storm", 0)


def test_a_job_whose_start_nobody_heard_of_is_found_or_made_again(lakes: Lakes, count: Count) -> None:
    """BigQuery takes the job, every answer is lost, and the worker dies: the rows are there once."""
    (step,) = (one for one in STEPS if one.task == "BigQueryLoad")
    lake, expected = lakes(step)
    own, rows = _own(step, expected), lake.rows(step)
    lake.unmake(step)
    with FaultProxy(lake.folder.cloud.settings["bigquery.endpoint"]) as proxy:
        proxy.rule(LoseAnswer(), path="/upload/")
        worker = CloudLake(lake.folder, "--bigquery-endpoint", proxy.url).start(*step.command)
        wait_until(lambda: proxy.count(path="/upload/") > 1, "the second try")
        worker.kill()
        assert worker.ended().killed
        lost = proxy.count(path="/upload/")
    count("faults of BigQuery", lost)
    assert_recovered(lake, step, own, rows, count, "a lost job", 1)


@full
def test_the_same_day_from_two_machines_at_once(tmp_path: Path, team: Folder, lakes: Lakes, count: Count) -> None:
    """Neither knows of the other, and one of them is killed and started again: what counts is as one would make it."""
    _, expected = lakes(_WHOLE)
    with Cloud(tmp_path / "standins") as cloud:
        cloud.deliver(team.raw)
        machines = [CloudLake(_made(tmp_path, cloud, team, f"machine-{n}")) for n in range(2)]
        first, second = (one.start(*_WHOLE.command, host=f"machine-{n}.internal") for n, one in enumerate(machines))
        killed = first.ended(random.Random(SEED).uniform(10, 40))  # noqa: S311
        again = machines[0].run(*_WHOLE.command)
        done = second.ended()
        assert (again.code, done.code) == (0, 0), again.text + done.text
        count("kills", int(killed.killed))
        _assert_same(machines[0], expected, count, "two machines")
        count("recovered", int(killed.killed))


@full
def test_the_whole_day_in_a_stormy_network(tmp_path: Path, team: Folder, lakes: Lakes, count: Count) -> None:
    """One request in twenty comes to harm."""
    _, expected = lakes(_WHOLE)
    with Cloud(tmp_path / "standins") as cloud:
        cloud.deliver(team.raw)
        lake = CloudLake(_made(tmp_path, cloud, team))
        with _storm(lake, 0.05, f"{SEED} whole") as (there, s3, bigquery):
            done = there.run(*_WHOLE.command)
        assert done.code == 0, done.text
        count("faults of S3", s3.harmed)
        count("faults of BigQuery", bigquery.harmed)
        _assert_same(lake, expected, count, "the whole day")


@contextmanager
def _storm(lake: CloudLake, share: float, seed: str) -> Iterator[tuple[CloudLake, Weather, Weather]]:
    """The lake as it is seen through two proxies that harm this share of all requests."""
    cloud = lake.folder.cloud
    with (
        Weather(cloud.environment["AWS_ENDPOINT_URL"], S3, share, seed) as s3,
        Weather(cloud.settings["bigquery.endpoint"], BIGQUERY, share, seed) as bigquery,
    ):
        options = ("--bigquery-endpoint", bigquery.url)
        yield CloudLake(lake.folder, *options, environment={"AWS_ENDPOINT_URL": s3.url}), s3, bigquery


def _assert_same(lake: CloudLake, expected: dict[str, Any], count: Count, what: str) -> None:
    found = lake.content()
    wanted = {address: one for address, one in expected.items() if not address.startswith("step/")}
    assert found == wanted, what
    count("lost rows", 0)
    count("duplicate rows", 0)
    assert_swept(lake, count, what)


def _own(step: Step, expected: dict[str, Any]) -> dict[str, Any]:
    """What must stay whatever was done before: all in the store, and the step's own output."""
    return {key: one for key, one in expected.items() if "/" in key.partition("/")[2] or step.makes(key)}
