"""`make up` and `make down` on a real Docker Engine, which runs in a network of its own."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from console.standins.processes import Server
from tests.e2e.folder import PROJECT, Done, until_ended
from tests.infra.containers import CACHE, PATIENCE, Images, make, podman_or_skip

DOCKER = CACHE / "docker-cli"
MOTO = "motoserver/moto:5.2.5"
ADDRESS = r"127\.0\.0\.1:(8082|5000)->"


def docker(*words: str | Path) -> Done:
    return until_ended([DOCKER, *words], seconds=PATIENCE)


def moto(pipeline: str, folder: Path) -> None:
    """moto's server in the place of its own image: what `make test-infra` has installed, on top of the pipeline's."""
    (site,) = (CACHE / "tools" / "lib").glob("python3*/site-packages")
    installed = {one.metadata["Name"].lower(): one for one in metadata.distributions(path=[str(site)])}
    known = set(re.findall(r"(?m)^([a-z0-9-]+)==", (PROJECT / "docker" / "pipeline.lock").read_text()))
    needed = ["moto", "flask", "flask-cors", "py-partiql-parser"]
    while needed:
        name = needed.pop()
        if name in known or name not in installed:  # one for another Python
            continue
        known.add(name)
        required = [one for one in installed[name].requires or [] if "extra ==" not in one]
        needed += [re.split(r"[^\w.-]", one, maxsplit=1)[0].lower() for one in required]
        for file in installed[name].files or []:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = folder / "lib" / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.hardlink_to(site / file)
    (folder / "Dockerfile").write_text(
        f"FROM {pipeline}\nCOPY lib /opt/moto\nENV PYTHONPATH=/opt/moto\n"
        'ENTRYPOINT ["python", "-m", "moto.server", "-H", "0.0.0.0"]\n'
    )
    built = docker("build", "--quiet", "--tag", MOTO, folder)
    assert built.code == 0, built.text


@pytest.fixture
def engine(images: Images, tmp_path: Path) -> Iterator[None]:
    """A Docker Engine that has the images."""
    server = Server(["unshare", "--net", str(CACHE / "dockerd")], tmp_path / "dockerd.log")
    try:
        try:
            server.wait_until(lambda: docker("info").code == 0, 60)
        except RuntimeError as error:
            pytest.skip(f"skipped: a Docker Engine does not start here: {error}")
        names = (images.pipeline, images.luigid)
        archive = tmp_path / "images.tar"
        saved = subprocess.run(
            [podman_or_skip(), "save", "--multi-image-archive", "--output", archive, *names], check=False
        )
        assert saved.returncode == 0
        loaded = docker("load", "--quiet", "--input", archive)
        assert loaded.code == 0, loaded.text
        archive.unlink()
        for name in names:
            assert docker("tag", name, name.removeprefix("localhost/")).code == 0
        moto(images.pipeline, tmp_path / "moto")
        yield
    finally:
        server.stop()


def test_a_person_with_docker_sees_luigid_an_s3_and_a_worker_at_work(engine: None) -> None:
    """A day goes from S3 to S3, ports are open on loopback only, and nothing is left afterwards."""
    given = {"DOCKER": str(DOCKER), "TAG": "test"}
    try:
        up = make("--assume-old", "image", "up", **given)  # built by another test: the engine's network has no way out
        assert up.code == 0, up.text
        assert len(set(re.findall(r"S3LogIngest\(event=impression, hour=\S+\): [\d,]+ rows", up.text))) == 24, up.text
        listed = [json.loads(line) for line in docker("ps", "--all", "--format", "{{json .}}").text.splitlines()]
        states = {one["Names"]: one["Status"] for one in listed}
        assert "(healthy)" in states["dsp-luigid-1"], states
        assert states["dsp-worker-1"].startswith("Exited (0)"), states
        ports = [port for one in listed for port in one["Ports"].split(", ") if "->" in port]
        assert len(ports) == 2
        assert all(re.match(ADDRESS, port) for port in ports), ports
    finally:
        down = make("down", **given)
    assert down.code == 0, down.text
    assert docker("ps", "--all", "--quiet").text == docker("volume", "ls", "--quiet").text == ""
