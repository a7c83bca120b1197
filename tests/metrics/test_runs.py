"""What a real run sends: to a UDP socket, and to a real Pushgateway that is then scraped."""

from __future__ import annotations

import gzip
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dsp_pipeline.monitoring.metrics import COUNT, DATADOG, DISTRIBUTION, GAUGE, METRICS, PROMETHEUS, Measurement
from dsp_pipeline.monitoring.pushgateway import push
from tests.console.lake import EXPERIMENT, copied
from tests.e2e.folder import DAY, OUTCOMES, Done, Folder, only, table_of
from tests.metrics import receivers
from tests.metrics.receivers import Agent, agent, free_port, pushgateway, scraped, small, watched
from tests.tasks.small import DAYS, arrive

NEWEST = "2026-11-19"  # the held-out day of the models; DAY is the one before
KINDS = {"c": COUNT, "g": GAUGE, "d": DISTRIBUTION}
HOUR = ("BigQueryLoad", "--event", "click", "--hour", f"{DAYS[0]}T00", "--dsp-package", "package")


@dataclass(frozen=True)
class Sent:
    """A datagram, read as DogStatsD is documented."""

    name: str
    value: float
    kind: str
    tags: dict[str, str]

    @classmethod
    def read(cls, line: str) -> Sent:
        head, kind, tags = line.split("|")[:3]
        name, _, value = head.rpartition(":")
        return cls(
            name, float(value), KINDS[kind], dict(tag.split(":", 1) for tag in tags.removeprefix("#").split(","))
        )


def sent(listener: Agent) -> list[Sent]:
    return [Sent.read(line) for line in listener.lines() if line]


def values(found: list[Sent], name: str, **tags: str) -> list[float]:
    return [one.value for one in found if one.name == name and tags.items() <= one.tags.items()]


def clicks(folder: Folder, good: int = 4, bad: int = 0, twice: int = 0) -> None:
    """A file of the first hour with good lines, lines that are no JSON, and lines that are there already."""
    arrive(folder, DAYS[0], hours=range(2))
    (raw,) = (folder.raw / "click" / DAYS[0]).glob("00-*")
    began = int(datetime.fromisoformat(f"{DAYS[0]}T00:00:00+00:00").timestamp() * 1000)
    lines = [json.dumps({"id": f"c{number}", "imp": f"i{number}", "t": began + number}) for number in range(good)]
    raw.write_bytes(gzip.compress("\n".join([*lines, *lines[:twice], *["{"] * bad, ""]).encode(), mtime=0))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Folder, list[Sent], str]]:
    """The lake of a DailyPipeline that trained two arms, what the agent got, and what the Pushgateway shows."""
    base = tmp_path_factory.mktemp("whole")
    folder = Folder(base / "work", package="package")
    only(folder.package(), *OUTCOMES)
    (folder.path / "package" / "experiments" / "click_rate_baseline.yaml").write_text(EXPERIMENT)
    folder.simulate(events=OUTCOMES, impressions_per_day=1_200, days=4)
    there = receivers.found("prometheus-pushgateway") is not None
    with agent() as listener, pushgateway(base) if there else nullcontext("") as gateway:
        port = str(listener.port)
        watched(folder, DD_AGENT_HOST="127.0.0.1", DD_DOGSTATSD_PORT=port, PUSHGATEWAY_URL=gateway)
        done = folder.luigi("DailyPipeline", "--date", NEWEST)
        assert done.code == 0, done.text
        yield folder, sent(listener), scraped(gateway) if there else ""


def series(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Every series of ours in an exposition, by name. Without a Pushgateway there is none."""
    receivers.tool("prometheus-pushgateway")
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("dsp_"):
                found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def test_all_that_is_sent_is_in_the_table(whole: tuple[Folder, list[Sent], str]) -> None:
    """Each datagram has the kind and the tags that the table says, and each of the table was sent to its tool."""
    _, found, text = whole
    for one in found:
        metric = METRICS[one.name]
        assert (one.kind, metric.only != PROMETHEUS) == (metric.kind, True)
        assert one.tags.keys() <= set(metric.all_tags), one
        assert one.tags["environment"] == "local"
    small = {name for name in METRICS if ".slice." in name} | {"dsp.rows.rejected", "dsp.rows.duplicates"}
    assert {one.name for one in found} >= {n for n, m in METRICS.items() if m.only != PROMETHEUS} - small
    shown = {name.removesuffix("_sum").removesuffix("_count") for name in series(text)}
    ours = {metric.prometheus_name for name, metric in METRICS.items() if metric.only != DATADOG}
    assert ours - {name.replace(".", "_") for name in small} <= shown <= ours


def test_prometheus_has_nothing_to_say_against_names_and_units(whole: tuple[Folder, list[Sent], str]) -> None:
    """Its own linter: base units, suffixes, a help text."""
    ours = [line for line in whole[2].splitlines(keepends=True) if "dsp_" in line.partition("{")[0]]
    words = [receivers.tool("promtool"), "check", "metrics"]
    done = subprocess.run(words, input="".join(ours), capture_output=True, text=True, timeout=60)
    assert len(ours) > 50
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_numbers_are_those_of_the_receipts(whole: tuple[Folder, list[Sent], str]) -> None:
    """Tasks, rows, rejects and duplicates of every step, in both tools."""
    folder, found, text = whole
    receipts = folder.receipts()
    scraped_series = series(text)
    ingests = {address: one for address, one in receipts.items() if address.startswith("ingest/click-")}
    for name, field in (("dsp.rows.duplicates", "duplicates"), ("dsp.rows", "rows")):
        tags = {"event": "click"} if name != "dsp.rows" else {"event": "click", "task": "s3logingest"}
        assert sum(values(found, name, **tags)) == sum(one[field] for one in ingests.values())
    made = Counter(table_of(address) for address in receipts)
    assert len(values(found, "dsp.tasks", task="bigqueryload", event="click", outcome="done")) == made["click"]
    done = [
        value
        for labels, value in scraped_series["dsp_tasks"]
        if (labels["task"], labels["event"], labels["outcome"]) == ("BigQueryLoad", "click", "done")
    ]
    assert done == [made["click"]]
    durations = [v for labels, v in scraped_series["dsp_task_duration_seconds_count"] if labels["event"] == "click"]
    assert sum(durations) == 2 * made["click"]
    rows = {labels["table"]: v for labels, v in scraped_series["dsp_rows"] if labels["task"] == "FeatureBuild"}
    for table, number in rows.items():
        assert number == sum(one["rows"] for address, one in receipts.items() if table_of(address) == table)


def test_a_model_is_told_by_its_report(whole: tuple[Folder, list[Sent], str]) -> None:
    """Of both arms, the metrics of the held-out day that their receipts hold."""
    folder, found, text = whole
    for arm in ("control", "deeper"):
        tags = {"model": "click_rate", "experiment": "click_rate_baseline", "arm": arm}
        (address,) = (name for name in folder.receipts() if name.startswith(f"train/click_rate_baseline/{arm}/"))
        holdout = folder.receipts()[address]["details"]["metrics"]
        for name, reported in (
            ("normalised_entropy", "normalised_entropy"),
            ("calibration_ratio", "predicted_to_observed"),
            ("auc", "auc"),
        ):
            assert values(found, f"dsp.model.{name}", **tags) == [pytest.approx(holdout[reported])]
            (shown,) = (v for labels, v in series(text)[f"dsp_model_{name}"] if labels["arm"] == arm)
            assert shown == holdout[reported]
        ((labels, day),) = (one for one in series(text)["dsp_model_day_timestamp_seconds"] if one[0]["arm"] == arm)
        assert time.strftime("%Y-%m-%d", time.gmtime(day)) == NEWEST
        assert labels["job"] == "dsp_model"


def test_an_older_day_does_not_pass_for_the_newest(whole: tuple[Folder, list[Sent], str], tmp_path: Path) -> None:
    """A challenger is trained for the champion's day too; what a model is worth is what its newest day says."""
    folder = copied(whole[0], tmp_path)
    with agent() as listener:
        words = ("--experiment", "click_rate_baseline", "--arm", "deeper", "--date", DAY)
        done = folder.luigi("TrainModel", *words, "--metrics-dogstatsd", f"127.0.0.1:{listener.port}")
        assert done.code == 0, done.text
        found = sent(listener)
    assert values(found, "dsp.tasks", task="trainmodel", arm="deeper", outcome="done") == [1]
    assert [one for one in found if one.name.startswith("dsp.model.")] == []


def test_a_model_that_is_trained_again_replaces_all_of_itself(tmp_path: Path) -> None:
    """Also the slices that it has no more, whether in the same run or in a later one; other arms stay."""

    def batch(arm: str, *exchanges: str) -> list[Measurement]:
        tags = {"environment": "production", "model": "m", "experiment": "e", "arm": arm}
        name = "dsp.model.slice.auc"
        return [Measurement(name, 0.7, {**tags, "slice": "exchange", "value": one}) for one in exchanges]

    def shown(gateway: str) -> set[tuple[str, str]]:
        return {(one["arm"], one["value"]) for one, _ in series(scraped(gateway))["dsp_model_slice_auc"]}

    with pushgateway(tmp_path) as gateway:
        push(gateway, [batch("a", "old", "older"), batch("b", "x"), batch("a", "new")])
        assert shown(gateway) == {("a", "new"), ("b", "x")}
        push(gateway, [batch("a", "newest")])
        assert shown(gateway) == {("a", "newest"), ("b", "x")}


def test_the_lag_counts_from_the_end_of_the_newest_hour(whole: tuple[Folder, list[Sent], str]) -> None:
    """For Datadog as an age, for Prometheus as a time."""
    folder, found, text = whole
    newest = max(address[-13:] for address in folder.receipts() if table_of(address) == "click")
    (end,) = {v for labels, v in series(text)["dsp_newest_hour_timestamp_seconds"] if labels["event"] == "click"}
    assert time.strftime("%Y-%m-%dT%H", time.gmtime(end - 3600)) == newest
    ((_, ended),) = series(text)["dsp_run_success_timestamp_seconds"]
    assert values(found, "dsp.newest_hour.lag.seconds", event="click") == [pytest.approx(ended - end, abs=0.001)]


def test_rejected_and_repeated_lines_are_told_by_reason(tmp_path: Path) -> None:
    """Numbers of the hour's receipt; an agent that a setting names gets them too."""
    with agent() as listener:
        folder = small(tmp_path / "work")
        clicks(folder, good=40, bad=2, twice=3)
        done = folder.luigi(*HOUR, "--metrics-dogstatsd", f"127.0.0.1:{listener.port}")
        assert done.code == 0, done.text
        found = sent(listener)
    assert values(found, "dsp.rows.rejected", event="click", reason="malformed") == [2]
    assert values(found, "dsp.rows.duplicates", event="click") == [3]
    assert values(found, "dsp.rows", task="s3logingest", event="click", run="bigqueryload") == [40]
    assert values(found, "dsp.run.success", run="bigqueryload") == [1]


def test_worker_processes_measure_for_their_run(tmp_path: Path) -> None:
    """With --workers 2 each task runs in a process of its own; the run that is pushed has them all."""
    with agent() as listener, pushgateway(tmp_path) as gateway:
        folder = small(tmp_path / "work", DD_AGENT_HOST="127.0.0.1", DD_DOGSTATSD_PORT=str(listener.port))
        arrive(folder, DAYS[0], hours=range(1))
        done = folder.luigi(*HOUR, "--workers", "2", "--metrics-pushgateway", gateway)
        assert done.code == 0, done.text
        found, shown = sent(listener), series(scraped(gateway))
    tasks = {"S3LogIngest": 1, "BigQueryLoad": 1}
    assert {one: sum(values(found, "dsp.tasks", run="bigqueryload", task=one.lower())) for one in tasks} == tasks
    assert {labels["task"]: value for labels, value in shown["dsp_tasks"]} == tasks
    assert {labels["task"]: value for labels, value in shown["dsp_task_duration_seconds_count"]} == tasks
    assert {labels["run"] for labels, _ in shown["dsp_tasks"]} == {"BigQueryLoad"}


def test_a_failed_run_keeps_the_time_of_the_last_success(tmp_path: Path) -> None:
    """Its own series take the place of those of the run before; the success is another job's."""
    with pushgateway(tmp_path) as gateway:
        folder = small(tmp_path / "work", PUSHGATEWAY_URL=gateway)
        clicks(folder)
        assert folder.luigi(*HOUR).code == 0
        before = series(scraped(gateway))
        clicks(folder, good=1, bad=9)
        (receipt,) = (folder.lake / "receipts").rglob(f"{DAYS[0]}T00.json")
        receipt.unlink()
        for one in (folder.lake / "warehouse" / "receipts").rglob(f"{DAYS[0]}T00.json"):
            one.unlink()
        assert folder.luigi(*HOUR).code == 30
        after = series(scraped(gateway))
    assert [value for _, value in before["dsp_run_success"]] == [1]
    assert [value for _, value in after["dsp_run_success"]] == [0]
    assert after["dsp_run_success_timestamp_seconds"] == before["dsp_run_success_timestamp_seconds"]
    assert [(one["task"], one["outcome"], value) for one, value in after["dsp_tasks"]] == [("S3LogIngest", "failed", 1)]
    assert "dsp_rows" not in after


def warnings(done: Done) -> list[str]:
    return [line[9:] for line in done.text.splitlines() if "WARNING" in line]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_receivers_that_are_away_cost_a_warning_each(tmp_path: Path, workers: str) -> None:
    """A run ends as well as any, and says once what is not reached, in however many processes."""
    folder = small(tmp_path / "work", DD_AGENT_HOST="127.0.0.1", DD_DOGSTATSD_PORT=str(free_port()))
    arrive(folder, DAYS[0], hours=range(1))
    gateway = f"http://127.0.0.1:{free_port()}"
    done = folder.luigi(*HOUR, "--workers", workers, "--metrics-pushgateway", gateway)
    assert done.code == 0, done.text
    agent_away, gateway_away = warnings(done)
    assert agent_away.startswith("WARNING metrics do not reach the DogStatsD agent at 127.0.0.1:")
    assert gateway_away.startswith("WARNING metrics do not reach the Pushgateway at 127.0.0.1 (")
    assert "Traceback" not in done.text


def test_an_agent_without_an_address_is_told_once(tmp_path: Path) -> None:
    """Its name is looked up once, and not for each metric."""
    folder = small(tmp_path / "work", DD_AGENT_HOST="agent.invalid")
    arrive(folder, DAYS[0], hours=range(1))
    done = folder.luigi(*HOUR)
    assert done.code == 0, done.text
    (told,) = warnings(done)
    assert told.startswith("WARNING metrics are not sent: the DogStatsD agent agent.invalid has no address (")


@pytest.mark.parametrize(
    ("variables", "words", "told"),
    [
        (
            {"DD_AGENT_HOST": "agent", "DD_DOGSTATSD_PORT": "http"},
            (),
            "the port of the DogStatsD agent agent is 'http'",
        ),
        ({}, ("--metrics-dogstatsd", "agent:0"), "the port of the DogStatsD agent agent is '0'"),
        ({"PUSHGATEWAY_URL": "me:hunter2@gateway"}, (), "[metrics] pushgateway (or PUSHGATEWAY_URL) is no address"),
    ],
)
def test_an_address_that_is_none_stops_the_run(
    tmp_path: Path, variables: dict[str, Any], words: tuple[str, ...], told: str
) -> None:
    """Before anything runs, in a sentence that holds no password."""
    folder = small(tmp_path / "work", **variables)
    arrive(folder, DAYS[0], hours=range(1))
    done = folder.luigi(*HOUR, *words)
    assert done.code == 40
    (error,) = done.errors
    assert told in error
    assert "hunter2" not in done.text


def test_nothing_is_sent_unless_somebody_is_named(tmp_path: Path) -> None:
    """Neither library is even imported: a run without receivers is as it was."""
    folder = small(tmp_path / "work")
    arrive(folder, DAYS[0], hours=range(1))
    (folder.path / "run.py").write_text(
        "import sys, luigi, tasks\n"
        "done = luigi.run(sys.argv[1:], local_scheduler=True)\n"
        "print(done, sorted({'datadog', 'prometheus_client'} & sys.modules.keys()))\n"
    )
    assert folder.run(folder.path / "run.py", *HOUR).text.splitlines()[-1] == "True []"
