"""The images, built and run as production runs them: read-only, without capabilities, as a user who owns nothing."""

from __future__ import annotations

import gzip
import json
import re
import signal
import subprocess
import tarfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.simulator import Simulation, simulate
from tests.e2e.folder import DAY, Folder, ended, wait_until
from tests.infra.containers import (
    BRANCH,
    HARDENED,
    MARK,
    REVISION,
    UID,
    Images,
    Luigid,
    Worker,
    make,
    own,
    podman,
    podman_or_skip,
)

FIRST = date(2026, 11, 17)
HOUR = "2026-11-17T05"
LOAD = ("BigQueryLoad", "--event", "click", "--hour", HOUR)
# A key of AWS, a private key, and words that give a secret a value.
SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----|(?i:(password|secret|token|api_?key)[a-z_]*\s*[=:]\s*\S{8,})"
)


def arrive(data: Path, lines: list[bytes]) -> None:
    """A log file of clicks of the hour."""
    folder = data / "raw" / "click" / HOUR[:10]
    folder.mkdir(parents=True)
    (folder / f"{HOUR[-2:]}-0.jsonl.gz").write_bytes(gzip.compress(b"".join(lines), 1, mtime=0))
    own(data)


def clicks(number: int) -> list[bytes]:
    at = int(datetime.fromisoformat(f"{HOUR}:00:00Z").timestamp()) * 1000
    return [b'{"id":"c%d","imp":"i%d","t":%d,"x":1,"y":2}\n' % (one, one, at) for one in range(number)]


def receipts(lake: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(lake.rglob("receipts/**/*.json"))]


def configuration(image: str) -> dict[str, Any]:
    done = podman("image", "inspect", image)
    (found,) = json.loads(done.text)
    return dict(found)


def test_luigid_answers_its_health_check_its_page_and_prometheus(luigid: Luigid) -> None:
    """Started read-only, it is healthy within seconds; and the page is luigi's own, with all that it loads."""
    page = luigid.get("/static/visualiser/index.html")
    assert "Luigi Task Visualiser" in page
    script = re.findall(r'src="(js/[^"]+)"', page)[-1]
    assert luigid.get(f"/static/visualiser/{script}")
    assert "# TYPE" in luigid.get("/metrics")


def test_a_luigid_that_does_not_answer_is_not_healthy(images: Images) -> None:
    """The same command, beside no luigid."""
    words = ("--rm", "--network", "none", *HARDENED, "--entrypoint", "python", images.luigid)
    done = podman("run", *words, "-m", "scheduler", "health")
    assert done.code == 1
    assert "Traceback" not in done.text


def test_a_worker_runs_a_graph_and_luigid_keeps_it_over_a_restart(luigid: Luigid, worker: Worker) -> None:
    """Two tasks end well, so the container ends with 0; receipts name the image's revision; SIGTERM saves the state."""
    arrive(worker.data, clicks(20))
    done = worker.run(*LOAD)
    assert done.code == 0, done.text
    assert re.search(r"BigQueryLoad\(event=click, hour=2026-11-17T05\): 20 rows", done.text)
    assert re.search(r"S3LogIngest\(event=click, hour=2026-11-17T05\): 20 rows", done.text)
    assert f"environment={BRANCH} " in done.text
    assert {one["revision"] for one in receipts(worker.data / "lake")} == {REVISION}
    stopped = luigid.stop()
    assert stopped.code == 0, stopped.text
    luigid.start()
    listed = luigid.get("/api/task_list?data=%7B%22status%22%3A%22DONE%22%2C%22upstream_status%22%3A%22%22%7D")
    names = {one["display_name"].partition("(")[0] for one in json.loads(listed)["response"].values()}
    assert {"S3LogIngest", "BigQueryLoad"} <= names
    again = worker.run(*LOAD)
    assert (again.code, "1 complete ones were encountered" in again.text) == (0, True), again.text


def test_what_a_container_made_is_complete_for_a_checkout(worker: Worker, tmp_path: Path) -> None:
    """The image holds the same code and libraries as the checkout, so versions agree and nothing is made twice."""
    arrive(worker.data, clicks(20))
    assert worker.run(*LOAD).code == 0
    checkout = Folder(tmp_path / "work", lake=str(worker.data / "lake"), raw=str(worker.data / "raw"))
    done = checkout.luigi(*LOAD)
    assert (done.code, "1 complete ones were encountered" in done.text) == (0, True), done.text


def test_the_exit_code_of_a_run_is_that_of_its_container(worker: Worker) -> None:
    """A task that fails, logs that are not there, a task that nobody knows, a setting that is wrong."""
    arrive(worker.data, [b"this is no JSON\n"] * 20)
    failed = worker.run(*LOAD)
    assert failed.code == 30
    assert "20 of 20 lines" in failed.text
    assert worker.run("BigQueryLoad", "--event", "click", "--hour", "2026-11-17T06").code == 20
    assert worker.run("BigQueryLod").code == 1
    assert worker.run(*LOAD, DSP_FIRST_DATE="someday").code == 40


@pytest.mark.parametrize(
    ("variable", "setting", "code"),
    [
        ("DSP_LAKE", "[dsp] lake", 40),
        ("DSP_ENVIRONMENT", "[dsp] environment", 40),
        ("DSP_SCHEDULER_HOST", "[core] scheduler_host", 1),
    ],
)
def test_a_variable_that_a_task_definition_forgets_is_named(
    images: Images, variable: str, setting: str, code: int
) -> None:
    """In one sentence, before anything is done; production has no defaults that could be wrong."""
    given = {"DSP_SCHEDULER_HOST": "127.0.0.1", "DSP_ENVIRONMENT": "production"}
    settings = [word for name, value in given.items() if name != variable for word in ("--env", f"{name}={value}")]
    done = podman("run", "--rm", "--network", "none", *settings, *HARDENED, images.pipeline, *LOAD)
    assert done.code == code
    (error,) = done.errors
    assert error.removeprefix("error: ") == f"{setting} is not set: luigi.cfg takes it from the variable {variable}."


def test_sigterm_leaves_nothing_half_written(luigid: Luigid, worker: Worker) -> None:
    """As when Fargate takes a Spot worker back: no output, no receipt, no scratch; the next run goes on at once."""
    arrive(worker.data, clicks(400_000))
    scratch = worker.data / "lake" / ".scratch"
    words = [podman_or_skip(), *worker.words(*LOAD)]
    words[2:2] = ["--name", f"{luigid.name}-worker"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: any(path.is_file() for path in scratch.rglob("*")), "work in scratch")
    assert podman("kill", "--signal", "TERM", f"{luigid.name}-worker").code == 0
    done = ended(process)
    assert done.code == 128 + signal.SIGTERM, done.text
    assert "stopped by SIGTERM; the same command goes on from here." in done.text
    left = {
        path.relative_to(worker.data / "lake").parts[0] for path in worker.data.rglob("lake/**/*") if path.is_file()
    }
    assert left == {"versions"}
    again = worker.run(*LOAD)
    assert again.code == 0, again.text


def test_the_pipeline_image_can_do_all_of_it(worker: Worker) -> None:
    """From raw logs to a bundle with its card: what was taken out of the libraries is not missed."""
    simulation = Simulation(first=FIRST, days=3, impressions_per_day=1_500, seed=7)
    simulate(simulation, worker.data / "raw", workers=2)
    own(worker.data)
    done = worker.run("ExportModel", "--experiment", "click_rate_baseline", "--date", DAY, "--workers", "2")
    assert done.code == 0, done.text
    bundles = {path.parent for path in (worker.data / "lake" / "bundles").rglob("manifest.json")}
    assert bundles
    assert all((bundle / "card.html").stat().st_size > 10_000 for bundle in bundles)
    pointers = {path.parent.name for path in (worker.data / "lake" / "serving").rglob("*.json")}
    assert pointers == {BRANCH}


@pytest.mark.parametrize("name", ["pipeline", "luigid"])
def test_nothing_but_volumes_can_be_written(images: Images, name: str) -> None:
    """As uid 10001, even if the root filesystem were not read-only; and no pip is there to bring anything in."""
    script = (
        "import importlib.util, os; print(os.getuid(), os.getgid(), importlib.util.find_spec('pip'), sorted("
        "path for path, names, _ in os.walk('/') if names.__setitem__(slice(None), [] if path in ('/proc', '/dev', "
        "'/sys') else names) is None and os.access(path, os.W_OK)))"
    )
    image = getattr(images, name)
    done = podman("run", "--rm", "--network", "none", "--entrypoint", "python", image, "-c", script)
    places = {"pipeline": ["/tmp"], "luigid": ["/state", "/tmp"]}[name]  # noqa: S108  # volumes of the images
    system = ["/dev", "/run/lock", "/var/tmp"]  # noqa: S108  # of the base image; read-only in production
    uid, gid, pip, writable = done.text.split(maxsplit=3)
    assert (int(uid), int(gid), pip) == (UID, UID, "None")
    assert set(json.loads(writable.replace("'", '"'))) - set(system) == set(places)


@pytest.mark.parametrize("name", ["pipeline", "luigid"])
def test_an_image_says_what_it_is_and_how_it_is_stopped(images: Images, name: str) -> None:
    """Its revision as a label; exec forms only, so that no shell stands between a signal and the process."""
    found = configuration(getattr(images, name))
    config = found["Config"]
    assert found["Labels"]["org.opencontainers.image.revision"] == REVISION
    assert (config["User"], config["StopSignal"], config["WorkingDir"]) == ("10001:10001", "SIGTERM", "/app")
    assert "/tmp" in config["Volumes"]  # noqa: S108  # the image's volume
    if name == "luigid":
        assert config["Entrypoint"] == ["python", "-m", "scheduler"]
        assert found["Healthcheck"]["Test"] == ["CMD", "python", "-m", "scheduler", "health"]
        assert list(config["ExposedPorts"]) == ["8082/tcp"]
    else:
        assert config["Entrypoint"] == ["luigi", "--module", "tasks"]


def test_an_image_is_no_larger_than_it_must_be(images: Images) -> None:
    """MB beside the base image: luigid needs no pipeline; a commit moves little of the pipeline's image."""
    (base,) = json.loads(podman("image", "inspect", "docker.io/library/python:3.11-slim-bookworm").text)
    added = {
        name: (configuration(getattr(images, name))["Size"] - base["Size"]) / 1e6 for name in ("pipeline", "luigid")
    }
    assert added["luigid"] < 80, added
    assert added["pipeline"] < 900, added


def test_no_layer_holds_a_secret_or_the_builds_certificates(images: Images, tmp_path: Path) -> None:
    """All files of all layers, settings and history; the certificates are marked to be found."""
    for image in (images.pipeline, images.luigid):
        archive = tmp_path / "image.tar"
        assert podman("save", "--output", archive, image).code == 0
        history = podman("history", "--no-trunc", image)
        assert not SECRET.search(history.text + json.dumps(configuration(image)["Config"]))
        with tarfile.open(archive) as outer:
            layers = [one for one in outer if one.name.endswith((".tar", "/layer.tar"))]
            assert layers
            for layer in layers:
                inner = outer.extractfile(layer)
                assert inner is not None
                with tarfile.open(fileobj=inner) as files:
                    for file in files:
                        name = file.name.rpartition("/")[2]
                        assert name not in {".env", ".git", ".npmrc", "ca_bundle", "credentials", "pip.conf"}
        assert MARK.encode() not in archive.read_bytes()
        archive.unlink()


def test_changes_that_are_not_committed_are_not_pushed() -> None:
    """A tag is a revision, and what runs must be found in git."""
    done = make("push", REVISION=f"{REVISION}-dirty", REGISTRY="127.0.0.1:9")
    assert done.code != 0
    assert "error: there are changes that no revision names; commit them first" in done.text
    nowhere = make("push", REVISION=REVISION)
    assert "error: say where to, as REGISTRY=" in nowhere.text
