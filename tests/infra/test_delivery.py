"""From a commit to production: Makefile, workflows, Jenkinsfile and compose file, linted, read and run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from console.standins.processes import HOST, Server, free_port
from tests.e2e.folder import PROJECT
from tests.infra.containers import CACHE, PATIENCE, REVISION, Images, make, podman, podman_or_skip

WORKFLOWS = {path.stem: path.read_text() for path in (PROJECT / ".github" / "workflows").glob("*.yml")}
JENKINSFILE = (PROJECT / "Jenkinsfile").read_text()
COMPOSE = PROJECT / "docker" / "compose.yaml"
GATES = ["check", "test", "test-infra", "image", "scan", "push", "plan"]
# A key of AWS, a token of GitHub, of Slack, a private key.
SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|xox[abp]-|hooks\.slack\.com/services/"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
# What would be a stored key, where a role is to be assumed.
STORED = re.compile(r"secrets\.|AWS_SECRET_ACCESS_KEY|aws-secret-access-key|aws-access-key-id", re.IGNORECASE)


def targets(text: str) -> list[str]:
    return re.findall(r"\bmake ([a-z-]+)", re.sub(r"(?m)^\s*(#|//).*$", "", text))


def jobs(name: str) -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load(WORKFLOWS[name])["jobs"])


def test_every_way_to_production_takes_the_same_steps() -> None:
    """Nothing is built before it is tested, pushed before it is scanned, applied before it is planned."""
    assert targets(WORKFLOWS["branch"]) == [*GATES, "plan-comment"]
    assert targets(WORKFLOWS["main"]) == [*GATES, "apply", "smoke"]
    assert targets(JENKINSFILE) == [*GATES, "plan-comment", "apply", "smoke"]
    for name in ("branch", "main"):
        later = [job for job in jobs(name).values() if "needs" in job]
        assert [job["needs"] for job in later] == ["test"]


def test_workflows_call_make_and_nothing_else() -> None:
    """So what CI does, a person can do; and every target that is called tells what it does."""
    steps = [step for name in WORKFLOWS for job in jobs(name).values() for step in job["steps"]]
    assert all(re.fullmatch(r"make [a-z-]+", step["run"]) for step in steps if "run" in step)
    assert all(re.fullmatch(r"'make [a-z-]+'", words) for words in re.findall(r"\bsh (.*)", JENKINSFILE))
    told = make("help").text
    for target in targets("\n".join([*WORKFLOWS.values(), JENKINSFILE])):
        assert f"  make {target} " in told


def test_workflows_may_do_no_more_than_they_must() -> None:
    """No right that is not asked for by a job, no key that is stored, no action by a name that others can move."""
    for text in WORKFLOWS.values():
        read = yaml.safe_load(text)
        assert read["permissions"] == {}
        for name, job in read["jobs"].items():
            given = job["permissions"]
            assert given.pop("contents") == "read"
            assert given.pop("id-token", None) == (None if name == "test" else "write")
            assert given in ({}, {"pull-requests": "write"})
            assert ("role-to-assume" in json.dumps(job)) == (name != "test")
        assert "pull_request_target" not in text
        assert not STORED.search(text)
        for action in re.findall(r"uses: (.*)", text):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    assert not STORED.search(JENKINSFILE)
    (production,) = (job for job in jobs("main").values() if "needs" in job)
    assert production["environment"] == "production"
    assert "cancel-in-progress: false" in WORKFLOWS["main"]


def test_a_branchs_name_is_never_a_part_of_a_command(tmp_path: Path) -> None:
    """Git allows `$(…)` in it, and a pull request brings it."""
    told = tmp_path / "told"
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{told}\n')
    docker.chmod(0o755)
    touched = tmp_path / "touched"
    for branch in (
        f"x$(shell touch {touched})",
        f"x$(touch {touched})",
        f"x';touch {touched};'",
        f'x"`touch {touched}`',
    ):
        told.unlink(missing_ok=True)
        done = subprocess.run(
            ["make", "image", f"DOCKER={docker}", f"REVISION={REVISION}"],
            cwd=PROJECT,
            env={"PATH": "/usr/bin:/bin", "BRANCH": branch},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert f"BRANCH={branch}" in told.read_text().splitlines()
        assert f"dsp/pipeline:branch-{REVISION}" in told.read_text().splitlines()
    assert not touched.exists()


def test_no_file_of_the_delivery_holds_a_secret() -> None:
    """Names of them only; and what the builder gets to see is what the images hold."""
    paths = [PROJECT / "Makefile", PROJECT / "Jenkinsfile", PROJECT / ".dockerignore", PROJECT / ".ci" / "run"]
    for folder in ("docker", ".github"):
        paths += [path for path in (PROJECT / folder).rglob("*") if path.is_file()]
    for path in paths:
        assert not SECRET.search(path.read_text()), path
    first, *rest = [
        line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert first == "*"
    assert not any(line.strip("!").startswith((".git", ".venv", "terraform", "tests")) for line in rest)


def test_an_image_installs_what_the_project_has_locked() -> None:
    """The same versions with the same hashes: one lock, of which each image takes what it needs."""
    everything = _pins(PROJECT / "requirements.lock")
    for name, holds in (("pipeline", {"xgboost-cpu", "boto3", "duckdb"}), ("luigid", {"luigi", "sqlalchemy"})):
        own = _pins(PROJECT / "docker" / f"{name}.lock")
        assert holds <= {pin.partition("==")[0] for pin in own}
        assert {pin: hashes for pin, hashes in own.items() if everything.get(pin) != hashes} == {}
    assert not {"pytest", "moto", "mypy"} & {pin.partition("==")[0] for pin in _pins(PROJECT / "docker/pipeline.lock")}


def _pins(lock: Path) -> dict[str, set[str]]:
    """`name==version` → its hashes."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in lock.read_text().splitlines():
        if pin := re.match(r"([a-z0-9_.-]+==[^ ;]+)", line):
            name = pin[1]
            found[name] = set()
        elif line.strip().startswith("--hash="):
            found[name].add(line.strip(" \\"))
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("hadolint", "docker/pipeline.Dockerfile", "docker/luigid.Dockerfile"),
        ("shellcheck", ".ci/run", "tests/infra/containers.sh"),
        ("actionlint",),
    ],
    ids=lambda words: words[0],
)
def test_a_linter_finds_nothing(words: tuple[str, ...]) -> None:
    """Each by its own rules, without exceptions."""
    tool = CACHE / "tools" / "bin" / words[0]
    if not tool.exists():
        pytest.skip(f"skipped: {words[0]} is not installed; run `make test-infra`")
    done = subprocess.run([tool, *words[1:]], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_jenkinsfile_is_linted(tmp_path: Path) -> None:
    """By npm-groovy-lint, which also parses it; in a folder of its own, for it looks at all files beside it."""
    tool = CACHE / "npm" / "node_modules" / ".bin" / "npm-groovy-lint"
    if not tool.exists() or shutil.which("java") is None:
        pytest.skip("skipped: npm-groovy-lint needs npm and java")
    for name in ("Jenkinsfile", "tests/infra/groovylint.json"):
        shutil.copy(PROJECT / name, tmp_path)
    words = ("--noserver", "--config", "groovylint.json", "--failon", "warning", "Jenkinsfile")
    done = subprocess.run([tool, *words], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A registry of images, on loopback."""
    program = CACHE / "debian" / "usr" / "bin" / "docker-registry"
    podman_or_skip()
    port = free_port()
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": f"{HOST}:{port}"},
    }
    (tmp_path / "registry.yml").write_text(yaml.safe_dump(settings))
    server = Server([program, "serve", tmp_path / "registry.yml"], tmp_path / "registry.log", {"PATH": "/bin"})
    try:
        server.wait_until(lambda: _answers(f"http://{HOST}:{port}/v2/"), 60)
        yield f"{HOST}:{port}"
    finally:
        server.stop()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()  # noqa: S310  # the address is ours
    except OSError:
        return False
    return True


def test_images_are_pushed_and_known_by_their_digest(images: Images, registry: str, tmp_path: Path) -> None:
    """What Terraform is told names just the bytes that the registry has; a second push takes them as they are."""
    told = tmp_path / "release.tfvars.json"
    given = {
        "DOCKER": podman_or_skip(),
        "REVISION": REVISION,
        "TAG": REVISION,
        "REGISTRY": registry,
        "RELEASE": f"{told}",
    }
    names = {name: f"{registry}/dsp/{name}:{REVISION}" for name in ("pipeline", "luigid")}
    for name, there in names.items():
        assert podman("tag", getattr(images, name), there).code == 0
    try:
        pushed = make("push", **given)
        assert pushed.code == 0, pushed.text
        release = json.loads(told.read_text())
        assert release["revision"] == REVISION
        for name in names:
            request = urllib.request.Request(
                f"http://{registry}/v2/dsp/{name}/manifests/{release['digests'][name]}",
                headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
            )
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                assert answer.headers["Docker-Content-Digest"] == release["digests"][name]
        assert podman("tag", images.luigid, names["pipeline"]).code == 0  # another build of the same revision
        again = make("push", **given)
        assert again.code == 0, again.text
        assert json.loads(told.read_text()) == release
    finally:
        podman("rmi", "--force", *names.values())


def test_the_compose_file_opens_nothing_beyond_this_machine() -> None:
    """Its ports are on loopback; containers are as in production; the worker has all settings that it needs."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert set(services) == {"luigid", "s3", "logs", "worker"}
    for service in services.values():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert "privileged" not in service
    needed = set(re.findall(r"\$\{(DSP_\w+)\}", (PROJECT / "docker" / "production.cfg").read_text()))
    assert needed <= set(services["worker"]["environment"])
