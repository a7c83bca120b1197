"""Images as `make image` builds them, and containers of them as production runs them: by podman, in .cache/infra."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.folder import PROJECT, Done, until_ended, wait_until

CACHE = PROJECT / ".cache" / "infra"
PATIENCE = 480.0  # seconds
UID = 10001
BRANCH = "shorter-window"
REVISION = "5ca1ab1e" * 5
# What an image must never hold: it stands in the certificates that a build is given.
MARK = "only-the-build-knows-these-certificates"
# The settings of a task definition: nothing may be written but volumes, nothing may be gained.
HARDENED = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges")


def podman_or_skip() -> str:
    """The podman of .cache/infra (tests/infra/containers.sh); the test is skipped where there is none."""
    missing = CACHE / "podman.missing"
    if missing.exists():
        pytest.skip(f"skipped: images cannot be built here, for {missing.read_text().strip()}")
    podman = CACHE / "podman"
    if not podman.exists():
        pytest.skip("skipped: podman is not set up; run `make test-infra`")
    return str(podman)


def podman(*words: str | Path, seconds: float = PATIENCE) -> Done:
    """`podman WORDS`, until it ends."""
    return until_ended([podman_or_skip(), *words], seconds=seconds)


@dataclass(frozen=True)
class Images:
    """Names of the two that were built."""

    pipeline: str
    luigid: str


def build(**variables: str) -> Images:
    """`make image`, with certificates that are marked, and a revision and a branch that are no real ones."""
    program, certificates = podman_or_skip(), CACHE / "certificates.pem"
    system = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
    certificates.write_text(f"{MARK}\n{system.read_text() if system.exists() else ''}")
    given = {"DOCKER": program, "REVISION": REVISION, "BRANCH": BRANCH, "TAG": "test", **variables}
    if system.exists():
        given["CA_BUNDLE"] = str(certificates)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other processes of these tests then find all layers there
        done = make("image", **given)
    assert done.code == 0, done.text
    return Images(*(f"localhost/dsp/{name}:{given['TAG']}" for name in ("pipeline", "luigid")))


def make(*words: str, **variables: str) -> Done:
    """`make WORDS NAME=VALUE …` in the project."""
    return until_ended(
        ["make", *words, *(f"{name}={value}" for name, value in variables.items())],
        seconds=PATIENCE,
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))},
    )


def new_name(what: str) -> str:
    return f"{what}-{uuid.uuid4().hex[:8]}"


class Luigid:
    """A luigid in a container without a network; workers join its loopback. `state` outlives it."""

    def __init__(self, image: str, state: Path) -> None:
        self.name = new_name("luigid")
        self._image, self._state = image, state

    def start(self) -> None:
        """Return when it is healthy, as the image itself tells that."""
        words = ("--detach", "--name", self.name, "--network", "none", "--volume", f"{self._state}:/state")
        done = podman("run", *words, *HARDENED, self._image)
        assert done.code == 0, done.text
        wait_until(self._healthy, "luigid's health")

    def _healthy(self) -> bool:
        running = podman("inspect", "--format", "{{.State.Running}}", self.name).text.strip()
        assert running == "true", podman("logs", self.name).text
        return podman("healthcheck", "run", self.name).code == 0

    def get(self, path: str) -> str:
        """What it answers there; asked from inside, for nothing listens outside."""
        script = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"
        done = podman("exec", self.name, "python", "-c", script, f"http://127.0.0.1:8082{path}")
        assert done.code == 0, done.text
        return done.text

    def stop(self) -> Done:
        """SIGTERM, and its exit code and what it said."""
        podman("stop", "--time", "30", self.name)
        code = podman("inspect", "--format", "{{.State.ExitCode}}", self.name)
        said = podman("logs", self.name)
        podman("rm", "--force", self.name)
        return Done(int(code.text), said.text)


@contextmanager
def running(image: str, state: Path) -> Iterator[Luigid]:
    """A luigid that is healthy, and gone afterwards."""
    luigid = Luigid(image, state)
    try:
        luigid.start()
        yield luigid
    finally:
        podman("rm", "--force", "--time", "1", luigid.name)


def own(folder: Path) -> Path:
    """The folder, made if missing, with all in it given to the uid of the images."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, UID, UID)
    return folder


@dataclass(frozen=True)
class Worker:
    """How containers of the pipeline's image run: on a folder in the place of S3 and BigQuery, for a luigid."""

    image: str
    luigid: Luigid
    data: Path

    def words(self, *words: str, **variables: str) -> list[str]:
        """The words of `podman run` for a task."""
        given: Mapping[str, Any] = {
            "DSP_ENVIRONMENT": "branch",
            "DSP_SCHEDULER_HOST": "127.0.0.1",
            "DSP_LAKE": "/data/lake",
            "DSP_RAW": "/data/raw",
            "DSP_SOURCE": "simulator",
            "DSP_FIRST_DATE": "2026-11-17",
            **variables,
        }
        settings = [word for name, value in given.items() for word in ("--env", f"{name}={value}")]
        where = ["--network", f"container:{self.luigid.name}", "--volume", f"{self.data}:/data"]
        return ["run", "--rm", *where, *settings, *HARDENED, self.image, *words, "--dsp-mode", "local"]

    def run(self, *words: str, **variables: str) -> Done:
        """A task, until its container ends."""
        return podman(*self.words(*words, **variables))
