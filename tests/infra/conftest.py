"""Images that are built once for all tests of them; and by name what no machine but the clouds' own can test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.containers import Images, Luigid, Worker, build, own, running

# Told at the end of each run. They are looked at by hand at the first deployment: docs/deploy.md, "See that it works".
NOT_TESTED = (
    "EventBridge Scheduler starts a run at its time, tries again, and puts what cannot start into the dead letters",
    "luigid's container mounts EFS, and has its state again after a restart there",
    "the load balancer signs people in (OpenID Connect), and shows luigid's page to nobody else",
    "images are pushed to ECR, and scanned and pulled there; ECS fills in secrets",
    "ECS stops a Spot container with two minutes' notice",
    "alarms and failed runs arrive as mails",
    "ECS brings a real exit code and lines to `make run-task` (tested on a server that speaks its protocol)",
    "CI becomes its two roles of AWS by its own tokens; GitHub's and Jenkins' own runs of the steps",
    "the images on Docker Hub's python:3.11-slim-bookworm (here on Debian's own Python 3.11), and Trivy's look at them",
    "the lake refuses requests without TLS (the stand-in has none, and would read the rule as: nobody)",
    "terraform/modules/google makes dataset, federation and budget, and Google lets our AWS roles in",
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("not tested here, because only the clouds themselves do it")
    for one in NOT_TESTED:
        terminalreporter.write_line(f"- {one}")


@pytest.fixture(scope="session")
def images() -> Images:
    return build()


@pytest.fixture
def luigid(images: Images, tmp_path: Path) -> Iterator[Luigid]:
    with running(images.luigid, own(tmp_path / "state")) as found:
        yield found


@pytest.fixture
def worker(images: Images, luigid: Luigid, tmp_path: Path) -> Worker:
    return Worker(images.pipeline, luigid, own(tmp_path / "data"))
