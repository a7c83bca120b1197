"""`make run-task` on a server that speaks the parts of ECS, CloudWatch Logs and SSM that it uses.

moto, to which tests/infra applies the whole platform, runs nothing: there every container ends with 0 and no line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from console.run_task import Run, RunTaskError, run_task
from dsp_pipeline.errors import SettingsError, UnknownNameError

PLACE = {
    "cluster": "dsp",
    "family": "dsp-worker",
    "subnets": ["subnet-1", "subnet-2"],
    "security_group": "sg-1",
    "log_group": "/dsp/worker",
}
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/dsp/pipeline@sha256:1"
TASK = "arn:aws:ecs:eu-central-1:123456789012:task/dsp/0a1b2c"
RUN = Run(("DailyPipeline", "--date", "2026-11-21"))


@dataclass
class Amazon:
    """`looks` are what ECS tells of the container, look by look; the log holds a line more after each."""

    looks: list[dict[str, Any]]
    lines: list[str] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    there: bool = True
    looked: int = 0
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def of(self, operation: str) -> list[dict[str, Any]]:
        return [words for name, words in self.asked if name == operation]

    def answer(self, operation: str, words: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append((operation, words))
        answer: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]] = getattr(self, f"_{operation}")
        return answer(words)

    def _GetParameter(self, words: dict[str, Any]) -> tuple[int, dict[str, Any]]:  # AWS's name
        if not self.there:
            return 400, {"__type": "ParameterNotFound"}
        return 200, {"Parameter": {"Name": words["Name"], "Value": json.dumps(PLACE)}}

    def _RunTask(self, words: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, {"tasks": [] if self.failures else [{"taskArn": TASK}], "failures": self.failures}

    def _DescribeTasks(self, words: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.looked += 1
        return 200, {"tasks": [self.looks[min(self.looked, len(self.looks)) - 1]]}

    def _GetLogEvents(self, words: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.looked < 2 and len(self.looks) > 1:
            return 400, {"__type": "ResourceNotFoundException"}  # the container has written nothing yet
        start = int(words.get("nextToken", "f/0").rpartition("/")[2])
        end = len(self.lines) if self.looked >= len(self.looks) else min(self.looked - 1, len(self.lines))
        events = [{"message": line, "timestamp": 1} for line in self.lines[start:end]]
        return 200, {"events": events, "nextForwardToken": f"f/{end}"}

    def _DescribeTaskDefinition(self, words: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        containers = [
            {"name": "pipeline", "image": IMAGE, "user": "10001:10001"},
            {"name": "agent", "image": "agent:7"},
        ]
        told = {
            "family": words["taskDefinition"],
            "cpu": "2048",
            "status": "ACTIVE",
            "containerDefinitions": containers,
        }
        return 200, {"taskDefinition": told}

    def _RegisterTaskDefinition(self, words: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, {"taskDefinition": {"taskDefinitionArn": f"arn:{words['family']}:1"}}

    def _DeregisterTaskDefinition(self, words: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, {}


def looks(code: int | None = 0, **told: Any) -> list[dict[str, Any]]:
    """Waiting, running, running, ended."""
    going: list[dict[str, Any]] = [
        {"lastStatus": status, "containers": []} for status in ("PENDING", "RUNNING", "RUNNING")
    ]
    container = {"name": "pipeline", **({} if code is None else {"exitCode": code})}
    beside = {"name": "datadog-agent", "exitCode": 143}
    return [*going, {"lastStatus": "STOPPED", "containers": [beside, container], **told}]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Amazon], str]]:
    servers = []

    def start(amazon: Amazon) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                words = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, told = amazon.answer(self.headers["X-Amz-Target"].rpartition(".")[2], words)
                text = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing on the terminal."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        url = f"http://127.0.0.1:{server.server_port}"
        for name, value in settings(url).items():
            monkeypatch.setenv(name, value)
        return url

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def settings(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "standin",
        "AWS_SECRET_ACCESS_KEY": "standin",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@pytest.mark.parametrize("code", [0, 20, 30])
def test_the_exit_code_and_the_lines_come_back(
    serve: Callable[[Amazon], str], capsys: pytest.CaptureFixture[str], code: int
) -> None:
    """Each line once, in its order, while it runs and to the last; the agent's own end does not count."""
    amazon = Amazon(looks(code), ["mode=cloud environment=production", "S3LogIngest: 12 rows", "the last line"])
    serve(amazon)
    assert run_task(RUN, pause=0) == code
    told = capsys.readouterr()
    assert told.out.splitlines() == amazon.lines
    assert "started 0a1b2c on dsp; to end it: aws ecs stop-task --cluster dsp --task 0a1b2c" in told.err
    assert amazon.of("GetLogEvents")[-1]["logStreamName"] == "worker/pipeline/0a1b2c"


def test_it_runs_in_a_private_subnet_by_the_definition_of_its_size_and_role(serve: Callable[[Amazon], str]) -> None:
    """Under the name of the task, so that a notice of its failure says what failed."""
    amazon = Amazon(looks())
    serve(amazon)
    run_task(Run(("TrainModel", "--experiment", "a b"), "large", "train"), pause=0)
    (started,) = amazon.of("RunTask")
    assert started["taskDefinition"] == "dsp-worker-large-train"
    assert started["group"] == "by-hand:TrainModel"
    assert started["overrides"] == {
        "containerOverrides": [{"name": "pipeline", "command": ["TrainModel", "--experiment", "a b"]}]
    }
    assert started["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["subnet-1", "subnet-2"],
        "securityGroups": ["sg-1"],
        "assignPublicIp": "DISABLED",
    }


def test_a_branchs_image_runs_as_branch_and_away_from_luigid(serve: Callable[[Amazon], str]) -> None:
    """By a definition like production's with just another image, which is taken away again."""
    amazon = Amazon(looks())
    serve(amazon)
    run_task(Run(RUN.command, tag="branch-0123abc"), pause=0)
    assert amazon.of("DescribeTaskDefinition") == [{"taskDefinition": "dsp-worker-medium-branch"}]
    (made,) = amazon.of("RegisterTaskDefinition")
    assert made["family"] == "dsp-worker-medium-branch-branch-0123abc"
    assert [one["image"] for one in made["containerDefinitions"]] == [
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com/dsp/pipeline:branch-0123abc",
        "agent:7",
    ]
    assert made["containerDefinitions"][0]["user"] == "10001:10001"
    (started,) = amazon.of("RunTask")
    assert started["taskDefinition"] == "arn:dsp-worker-medium-branch-branch-0123abc:1"
    assert started["overrides"]["containerOverrides"][0]["command"] == [*RUN.command, "--local-scheduler"]
    assert amazon.of("DeregisterTaskDefinition") == [{"taskDefinition": started["taskDefinition"]}]


@pytest.mark.parametrize(
    ("amazon", "told"),
    [
        (Amazon([], there=False), r"there is no parameter /dsp/run-task in this account's eu-central-1; run terraform"),
        (Amazon([], failures=[{"reason": "RESOURCE:ENI"}]), r"ECS did not start it: RESOURCE:ENI"),
        (
            Amazon(looks(None, stoppedReason="CannotPullContainerError: not found")),
            r"the container did not run: CannotPullContainerError: not found\. Push the image: make push\.",
        ),
        (Amazon(looks(None, stoppedReason="Spot interruption.")), r"the container did not run: Spot interruption\.$"),
    ],
    ids=["no platform", "no address", "no image", "interrupted"],
)
def test_a_run_that_does_not_start_is_told(serve: Callable[[Amazon], str], amazon: Amazon, told: str) -> None:
    """With ECS's own reason, and the cure where there is one."""
    serve(amazon)
    with pytest.raises(RunTaskError, match=told):
        run_task(RUN, pause=0)


def test_wrong_words_are_refused_before_aws_is_asked() -> None:
    """With what there is to choose from."""
    with pytest.raises(UnknownNameError, match="unknown size 'larg': did you mean large"):
        Run(RUN.command, "larg")
    with pytest.raises(UnknownNameError, match="unknown role 'exporter': did you mean export"):
        Run(RUN.command, "large", "exporter")
    with pytest.raises(SettingsError, match="there is no task; write make run-task"):
        Run(())


def test_the_command_ends_as_the_container_ended(serve: Callable[[Amazon], str]) -> None:
    """What `make run-task` and a pipeline of CI start."""
    url = serve(Amazon(looks(30)[-1:], ["only line"]))
    words = ["-m", "console", "run-task", "--role", "train", "TrainModel", "--date", "yesterday"]
    environment = {**os.environ, **settings(url)}
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (30, "only line\n"), done.stderr
