"""What people are told of a task that failed, by real servers that speak Slack's and Amazon's protocols."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from moto.sns import sns_backends

from dsp_pipeline.monitoring.notice import LINES, WIDEST, Notice, post_to_slack, without_secrets
from tests.e2e.folder import Done, Folder, ended, wait_until
from tests.metrics.receivers import agent, free_port, posts, small
from tests.metrics.test_runs import HOUR, clicks, sent, values, warnings
from tests.tasks.small import DAYS, arrive
from tests.tasks.test_cloud_settings import COMMAND, Image

WEBHOOK = "DSP_NOTIFY_SLACK_WEBHOOK_URL"
TOPIC = "DSP_NOTIFY_SNS_TOPIC_ARN"
PATH = "/services/T0000/B0000/hunter2"
INGEST = f"S3LogIngest --event click --hour {DAYS[0]}T00"
PATIENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test-secret", "AWS_MAX_ATTEMPTS": "1"}


@dataclass(frozen=True)
class Topic:
    """A topic of a moto server, with what was published to it: subject and text."""

    arn: str
    variables: dict[str, str]

    def published(self) -> list[tuple[str, str]]:
        region, account = self.arn.split(":")[3:5]
        sent = sns_backends[account][region].topics[self.arn].sent_notifications
        return [(subject, message) for _, message, subject, *_ in sent]


@pytest.fixture
def topic() -> Iterator[Topic]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        url = f"http://127.0.0.1:{port}"
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        client = boto3.client("sns", region_name="eu-central-1", endpoint_url=url, **keys)
        arn = client.create_topic(Name=f"alarms-{port}")["TopicArn"]
        client.close()
        yield Topic(arn, {TOPIC: arn, "AWS_ENDPOINT_URL": url, **PATIENT})
    finally:
        server.stop()


def failing(folder: Folder, *words: str) -> Done:
    """A run of which one task fails: most of the lines of its hour are no JSON."""
    clicks(folder, good=1, bad=9)
    return folder.luigi(*HOUR, *words)


def slack_text(body: bytes) -> str:
    payload: dict[str, Any] = json.loads(body)
    assert list(payload) == ["text"]
    return str(payload["text"])


def test_a_failed_task_is_told_once_with_all_that_helps(tmp_path: Path, topic: Topic) -> None:
    """To Slack and by SNS: task, run, reason, the commands that run it again, and the last log lines."""
    with posts() as (server, given):
        folder = small(tmp_path / "work", **topic.variables, **{WEBHOOK: server + PATH})
        done = failing(folder)
    assert done.code == 30, done.text
    assert warnings(done) == []
    ((subject, text),) = topic.published()
    assert subject == f"local: S3LogIngest(event=click, hour={DAYS[0]}T00) failed"
    head, why, attempt, *_, last = text.splitlines()
    assert head == f"S3LogIngest(event=click, hour={DAYS[0]}T00) failed (local)."
    assert why.startswith(
        "Why: 9 of 10 lines were rejected (9 malformed), more than the 5% allowed; the first is click/"
    )
    assert attempt.startswith("Attempt: in the run of `luigi --module tasks BigQueryLoad --event click --hour")
    assert "(process " in attempt
    assert f"\nRun it again:\n    luigi --module tasks {INGEST}\n" in text
    assert "make run-task" not in text  # which is for what runs in the cloud
    assert f" ERROR   S3LogIngest(event=click, hour={DAYS[0]}T00) failed: " in last
    assert why.removeprefix("Why: ") in last
    (body,) = given
    assert slack_text(body) == f"```{text}```"


def test_the_command_of_the_notice_runs_the_task(tmp_path: Path) -> None:
    """Word by word, when the logs are mended."""
    with posts() as (server, given):
        folder = small(tmp_path / "work", **{WEBHOOK: server + PATH})
        assert failing(folder).code == 30
        (command,) = [line.strip() for line in slack_text(given[0]).splitlines() if "    luigi --module" in line]
        clicks(folder)
        done = folder.luigi(*command.split()[3:], "--dsp-package", "package")
    assert done.code == 0, done.text
    assert len(given) == 1


def test_each_task_that_failed_is_told_also_from_worker_processes(tmp_path: Path) -> None:
    """With --workers 2 the log lines are those of the process in which the task failed."""
    with posts() as (server, given):
        folder = small(tmp_path / "work", **{WEBHOOK: server + PATH})
        clicks(folder, good=1, bad=9)
        (bad,) = (folder.raw / "click" / DAYS[0]).glob("00-*")
        (other,) = (folder.raw / "click" / DAYS[0]).glob("01-*")
        other.write_bytes(bad.read_bytes())
        words = ("Backfill", "--start", DAYS[0], "--stop", DAYS[0], "--tables", "none", "--workers", "2")
        done = folder.luigi(*words, "--dsp-package", "package")
    assert done.code == 30, done.text
    texts = sorted(slack_text(body) for body in given)
    assert len(texts) == 2
    for hour, text in zip(("00", "01"), texts, strict=True):
        assert text.startswith(f"```S3LogIngest(event=click, hour={DAYS[0]}T{hour}) failed")
        assert f"ERROR   S3LogIngest(event=click, hour={DAYS[0]}T{hour}) failed: " in text


def test_a_task_that_is_tried_again_is_told_once(tmp_path: Path) -> None:
    """A scheduler that hands a failed task out again within a run makes no second notice."""
    with posts() as (server, given):
        folder = small(tmp_path / "work", **{WEBHOOK: server + PATH})
        done = failing(folder, "--scheduler-retry-delay", "0.01", "--scheduler-retry-count", "3")
    assert (done.code, len(done.errors), len(given)) == (30, 3, 1), done.text


def test_a_task_whose_process_was_killed_is_told(tmp_path: Path) -> None:
    """As by the kernel when memory runs out: the process had no time to say anything."""
    with posts() as (server, given), agent() as listener:
        variables = {"DD_AGENT_HOST": "127.0.0.1", "DD_DOGSTATSD_PORT": str(listener.port), WEBHOOK: server + PATH}
        folder = small(tmp_path / "work", **variables)
        (folder.path / "run.py").write_text(
            "import os, signal, sys, luigi, tasks\n"
            "class Dies(luigi.Task):\n"
            "    def run(self): os.kill(os.getpid(), signal.SIGKILL)\n"
            "    def complete(self): return False\n"
            "luigi.run(sys.argv[1:], local_scheduler=True)\n"
        )
        folder.run(folder.path / "run.py", "Dies", "--workers", "2")
        assert values(sent(listener), "dsp.tasks", task="dies", outcome="failed") == [1]
    (body,) = given
    assert "Why: Task Dies__99914b932b died unexpectedly with exit code -9" in slack_text(body)


def test_a_worker_that_was_told_to_stop_tells_nobody(tmp_path: Path) -> None:
    """SIGTERM takes work back, and another run goes on: that is no failure, and is not counted as one."""
    with posts() as (server, given), agent() as listener:
        variables = {"DD_AGENT_HOST": "127.0.0.1", "DD_DOGSTATSD_PORT": str(listener.port), WEBHOOK: server + PATH}
        folder = small(tmp_path / "work", **variables)
        clicks(folder, good=400_000)
        process = folder.start(*HOUR)
        working = folder.lake / ".scratch"
        wait_until(lambda: any(path.name == "events.parquet" for path in working.rglob("*")), "work in scratch")
        process.terminate()
        done = ended(process)
        found = sent(listener)
    assert done.code == 128 + signal.SIGTERM, done.text
    assert values(found, "dsp.tasks", task="s3logingest", outcome="stopped") == [1]
    assert values(found, "dsp.tasks", outcome="failed") == values(found, "dsp.run.success") == given == []


def test_a_task_that_cannot_be_planned_is_told(tmp_path: Path) -> None:
    """Luigi would call it a failed run, and nobody would hear why."""
    with posts() as (server, given):
        folder = small(tmp_path / "work", **{WEBHOOK: server + PATH})
        arrive(folder, DAYS[0], hours=range(1))
        (folder.path / "tasks_of_ours.py").write_text(
            "import luigi, tasks\n"
            "from dsp_pipeline.errors import SettingsError\n"
            "class Broken(luigi.Task):\n"
            "    some_flag = luigi.BoolParameter()\n"
            "    two_words = luigi.Parameter(default='x')\n"
            "    def complete(self): return False\n"
            "    def requires(self): raise SettingsError('nobody knows; ask somebody.')\n"
        )
        run = folder.path / "run.py"
        run.write_text("import sys, luigi, tasks_of_ours\nluigi.run(sys.argv[1:], local_scheduler=True)\n")
        done = folder.run(run, "Broken", "--some-flag", "--two-words", "a b")
    (body,) = given
    text = slack_text(body)
    assert "cannot be planned (local)." in text, done.text
    assert "Why: nobody knows; ask somebody." in text
    assert "luigi --module tasks Broken --some-flag --two-words 'a b'\n" in text


def test_a_notice_from_the_cloud_says_how_to_run_the_task_there(tmp_path: Path) -> None:
    """By one command from a laptop, and which of the scheduled runs it was."""
    with posts() as (server, given):
        image = Image(tmp_path / "work")
        image.variables |= {
            WEBHOOK: server + PATH,
            "DSP_SCHEDULED_AT": "2026-11-21T05:00:00Z",
            "DSP_REVISION": "a1b2c3",
        }
        done = image.luigi(*COMMAND)
    (body,) = given
    text = slack_text(body)
    assert "RawLog(event=click, hour=2026-11-20T05) cannot be planned (production)." in text, done.text
    assert '\n    make run-task TASK="RawLog --event click --hour 2026-11-20T05"\n' in text
    assert "scheduled for 2026-11-21T05:00:00Z, on " in text
    assert "revision a1b2c3)" in text


@pytest.mark.parametrize("status", [403, 302, None])
def test_a_notice_that_is_not_taken_is_a_warning_without_the_webhook(tmp_path: Path, status: int | None) -> None:
    """Neither the log nor luigid's page may hold the address, for who knows it can post."""
    with posts(status or 200) as (server, given):
        address = server if status else f"http://127.0.0.1:{free_port()}"
        done = failing(small(tmp_path / "work", **{WEBHOOK: address + PATH}))
    assert done.code == 30
    (told,) = warnings(done)
    why = f"it answers {status}" if status else "ConnectionError"
    task = f"S3LogIngest(event=click, hour={DAYS[0]}T00)"
    assert told == f"WARNING the notice that {task} failed did not reach Slack ({why})"
    assert "hunter2" not in done.text
    assert len(given) == (1 if status else 0)


def test_a_topic_that_is_not_there_is_a_warning(tmp_path: Path, topic: Topic) -> None:
    """And Slack is told all the same."""
    with posts() as (server, given):
        variables = topic.variables | {TOPIC: topic.arn + "-gone", WEBHOOK: server + PATH}
        done = failing(small(tmp_path / "work", **variables))
    assert done.code == 30
    (told,) = warnings(done)
    assert "could not be sent (NotFoundException: " in told
    assert (len(given), topic.published()) == (1, [])


def test_a_run_that_is_well_or_waits_for_logs_tells_nobody(tmp_path: Path, topic: Topic) -> None:
    """Neither is a failed task."""
    with posts() as (server, given):
        folder = small(tmp_path / "work", **topic.variables, **{WEBHOOK: server + PATH})
        clicks(folder)
        assert folder.luigi(*HOUR).code == 0
        waiting = ("S3LogIngest", "--event", "click", "--hour", f"{DAYS[1]}T05", "--dsp-package", "package")
        assert folder.luigi(*waiting).code == 20
    assert (given, topic.published()) == ([], [])


def test_what_luigi_cfg_says_of_mail_wins(tmp_path: Path, topic: Topic) -> None:
    """[email] names another topic than the variable."""
    with (tmp_path / "cfg").open("w") as extra:
        extra.write(f"\n[email]\nmethod = sns\nreceiver = {topic.arn}\n")
    folder = small(tmp_path / "work", **topic.variables | {TOPIC: topic.arn + "-other"})
    with (folder.path / "luigi.cfg").open("a") as config:
        config.write((tmp_path / "cfg").read_text())
    assert failing(folder).code == 30
    assert len(topic.published()) == 1


def test_a_notice_holds_no_secret(tmp_path: Path) -> None:
    """A line that holds one, by a library that logs its addresses, goes out without it."""
    with posts() as (server, given):
        variables = {"MY_API_TOKEN": "tok-12345", "DB_PASSWORD": "swordfish", WEBHOOK: server + PATH}
        folder = small(tmp_path / "work", **variables)
        clicks(folder)
        (folder.path / "run.py").write_text(
            "import os, sys, luigi, tasks, logging\n"
            "class Talks(luigi.Task):\n"
            "    def run(self):\n"
            "        logging.getLogger('dsp').info('asked postgres://me:swordfish@db/x with tok-12345')\n"
            f"        raise RuntimeError('no answer from ' + os.environ['{WEBHOOK}'])\n"
            "    def complete(self): return False\n"
            "luigi.run(sys.argv[1:], local_scheduler=True)\n"
        )
        folder.run(folder.path / "run.py", "Talks")
    text = slack_text(given[0])
    assert "asked postgres://…@db/x with …" in text
    assert "Why: RuntimeError: no answer from …" in text
    assert not [word for word in ("swordfish", "tok-12345", "hunter2") if word in text]


def test_a_long_log_is_cut() -> None:
    """To the last lines, each of them to what can be read."""
    lines = [f"{number} " + "x" * 1_000 for number in range(50)]
    text = Notice("T()", "production", "failed", "it did", "here", ["luigi"], lines).text
    told = text.partition("Last log lines:\n")[2].splitlines()
    assert [line.split()[0] for line in told] == [str(number) for number in range(50 - LINES, 50)]
    assert {len(line) for line in told} == {WIDEST + 4}


def test_slack_reads_angle_brackets_as_text() -> None:
    """`<!channel>` in a log line would wake everybody."""
    with posts() as (server, given):
        assert post_to_slack(server + PATH, "<!channel> a & b") == ""
    assert slack_text(given[0]) == "```&lt;!channel&gt; a &amp; b```"


def test_short_values_are_no_secrets() -> None:
    """A variable that says `true` does not blacken the text."""
    text = without_secrets("it is true", {"SECRETS_ON": "true", "SECRET_KEY": ""})
    assert text == "it is true"
