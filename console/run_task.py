"""One run in production, from here: start a container on ECS, show its lines, end with its exit code.

What to start is in the parameter /dsp/run-task, which Terraform writes. Credentials are found by boto3's own rules.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dsp_pipeline.errors import DspError, SettingsError, UnknownNameError

PARAMETER = "/dsp/run-task"
SIZES = ("small", "medium", "large")
ROLES = ("ingest", "train", "export", "branch")
CONTAINER = "pipeline"

# What register_task_definition takes of what describe_task_definition tells.
_COPIED = (
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "containerDefinitions",
    "volumes",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "runtimePlatform",
    "ephemeralStorage",
)


class RunTaskError(DspError):
    """The run could not be started, or ended without an exit code."""


@dataclass(frozen=True)
class Run:
    """What to run: `command` begins with a task.

    `tag` is that of another image than production's, which then works as `branch`.
    """

    command: Sequence[str]
    size: str = "medium"
    role: str = "export"
    tag: str = ""

    def __post_init__(self) -> None:
        if not self.command:
            raise SettingsError('there is no task; write make run-task TASK="DailyPipeline --date 2026-11-21".')
        if self.size not in SIZES:
            raise UnknownNameError("size", self.size, SIZES)
        if self.role not in ROLES:
            raise UnknownNameError("role", self.role, ROLES)


@dataclass(frozen=True)
class Place:
    """Where containers run, as Terraform wrote it down. Task definitions are called <family>-<size>-<role>."""

    cluster: str
    family: str
    subnets: Sequence[str]
    security_group: str
    log_group: str


def run_task(run: Run, *, pause: float = 3.0) -> int:
    """Run it and wait; the exit code of its container. `pause` is in seconds, between two looks.

    RunTaskError, with the cure, if AWS refuses it or the container does not start.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        # boto3 itself knows AWS_DEFAULT_REGION only, other tools of AWS this one.
        session = boto3.session.Session(region_name=os.environ.get("AWS_REGION"))
        return _Runner(session, pause).run(run)
    except ClientError as error:
        told = error.response["Error"]
        raise RunTaskError(f"AWS refuses {error.operation_name}: {told['Code']}: {told['Message']}") from error
    except BotoCoreError as error:
        raise RunTaskError(
            f"AWS cannot be asked ({error}); set AWS_PROFILE and AWS_REGION, after aws sso login."
        ) from error


class _Runner:
    """The clients of one run."""

    def __init__(self, session: Any, pause: float) -> None:
        self._ecs, self._logs, self._ssm = (session.client(name) for name in ("ecs", "logs", "ssm"))
        self._pause = pause

    def run(self, run: Run) -> int:
        place = self._place()
        task = self._start(place, run)
        number = task.rpartition("/")[2]
        stop = f"aws ecs stop-task --cluster {place.cluster} --task {number}"
        print(f"started {number} on {place.cluster}; to end it: {stop}", file=sys.stderr)
        lines = _Lines(self._logs, place.log_group, f"worker/{CONTAINER}/{number}")
        try:
            while (told := self._look(place, task))["lastStatus"] != "STOPPED":
                lines.show()
                time.sleep(self._pause)
            lines.show()
        except KeyboardInterrupt:
            print(f"it goes on without you; to end it: {stop}", file=sys.stderr)
            raise
        return _exit_code(told)

    def _place(self) -> Place:
        try:
            text = self._ssm.get_parameter(Name=PARAMETER)["Parameter"]["Value"]
        except self._ssm.exceptions.ParameterNotFound:
            region = self._ssm.meta.region_name
            raise RunTaskError(
                f"there is no parameter {PARAMETER} in this account's {region}; run terraform apply, or set AWS_REGION."
            ) from None
        return Place(**json.loads(text))

    def _start(self, place: Place, run: Run) -> str:
        """The ARN of the started task."""
        command = list(run.command)
        if run.tag:
            # luigid knows tasks by name and parameters, and would take the branch's for production's.
            command.append("--local-scheduler")
            definition = self._of_branch(f"{place.family}-{run.size}-branch", run.tag)
        else:
            definition = f"{place.family}-{run.size}-{run.role}"
        try:
            answer = self._ecs.run_task(
                cluster=place.cluster,
                taskDefinition=definition,
                launchType="FARGATE",
                count=1,
                group=f"by-hand:{command[0]}",
                startedBy=re.sub(r"[^A-Za-z0-9_/-]", "-", getpass.getuser())[:36],
                propagateTags="TASK_DEFINITION",
                networkConfiguration={
                    "awsvpcConfiguration": {
                        "subnets": list(place.subnets),
                        "securityGroups": [place.security_group],
                        "assignPublicIp": "DISABLED",
                    }
                },
                overrides={"containerOverrides": [{"name": CONTAINER, "command": command}]},
            )
        finally:
            if run.tag:  # what was started goes on with it
                self._ecs.deregister_task_definition(taskDefinition=definition)
        for failure in answer["failures"]:
            raise RunTaskError(f"ECS did not start it: {failure.get('reason')} {failure.get('detail', '')}".strip())
        return str(answer["tasks"][0]["taskArn"])

    def _of_branch(self, family: str, tag: str) -> str:
        """A task definition as `family`, with the image of this tag."""
        like = self._ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]
        made = {name: like[name] for name in _COPIED if like.get(name)}
        for container in made["containerDefinitions"]:
            if container["name"] == CONTAINER:
                container["image"] = f"{re.split('[:@]', container['image'])[0]}:{tag}"
        registered = self._ecs.register_task_definition(family=f"{family}-{tag}"[:255], **made)
        return str(registered["taskDefinition"]["taskDefinitionArn"])

    def _look(self, place: Place, task: str) -> dict[str, Any]:
        told = self._ecs.describe_tasks(cluster=place.cluster, tasks=[task])["tasks"]
        if not told:
            raise RunTaskError(f"ECS no longer knows {task}; look for its lines in {place.log_group}.")
        return dict(told[0])


class _Lines:
    """The lines of one container, each shown once."""

    def __init__(self, logs: Any, group: str, stream: str) -> None:
        self._logs, self._from = logs, {"logGroupName": group, "logStreamName": stream, "startFromHead": True}
        self._token: dict[str, str] = {}

    def show(self) -> None:
        for line in self._new():
            print(line, flush=True)

    def _new(self) -> Iterator[str]:
        """Pages until there are no more, which is told by the same token again."""
        while True:
            try:
                page = self._logs.get_log_events(**self._from, **self._token)
            except self._logs.exceptions.ResourceNotFoundException:
                return  # it has not written yet
            yield from (event["message"] for event in page["events"])
            token = {"nextToken": page["nextForwardToken"]}
            if token == self._token:
                return
            self._token = token


def _exit_code(told: dict[str, Any]) -> int:
    container: dict[str, Any] = next((one for one in told["containers"] if one["name"] == CONTAINER), {})
    if container.get("exitCode") is not None:
        return int(container["exitCode"])
    why = container.get("reason") or told.get("stoppedReason") or "ECS gives no reason"
    cure = " Push the image: make push." if "CannotPull" in why else ""
    raise RunTaskError(f"the container did not run: {why}{'' if why.endswith('.') else '.'}{cure}")
