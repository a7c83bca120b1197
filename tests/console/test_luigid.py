"""Luigid as `make run`, `make ui` and `make stop` start and end it, in a folder of its own."""

from __future__ import annotations

import gzip
import json
import os
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.folder import Done, Folder

# `ui` opens a browser: here it is a command that does nothing.
QUIET = (
    "-c",
    "import os, sys; os.environ['BROWSER'] = 'true'; from console.__main__ import main; sys.exit(main(sys.argv[1:]))",
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A folder whose luigid is ended after the test."""
    folder = Folder(tmp_path / "work", first_date="2019-11-24")
    yield folder
    console(folder, "stop")


def console(folder: Folder, *words: str) -> Done:
    return folder.python(*QUIET, *words)


def started(folder: Folder) -> tuple[str, dict[str, int]]:
    """The address that `ui` tells, and the note that it leaves."""
    done = console(folder, "ui")
    assert done.code == 0, done.text
    return done.text.split()[-1], json.loads((folder.path / ".dsp" / "luigid.json").read_text())


def use_port(folder: Folder, port: int) -> None:
    config = folder.path / "luigi.cfg"
    config.write_text(config.read_text().replace("[core]\n", f"[core]\nscheduler_port = {port}\n"))


def test_luigid_listens_on_loopback_only(folder: Folder) -> None:
    """It takes state-changing calls from anybody who reaches it: nobody but this machine may."""
    address, note = started(folder)
    assert address == f"http://127.0.0.1:{note['port']}"
    local = f"{note['port']:04X}"
    listening = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        if (path := Path(f"/proc/{note['pid']}/net/{table}")).exists()
        for line in path.read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{local}") and line.split()[3] == "0A"
    ]
    assert listening == [f"0100007F:{local}"]


def test_a_taken_port_is_left_alone(folder: Folder) -> None:
    """When the port of luigi.cfg (8082 unless it says so) is taken, a free one is used, and `dsp doctor` tells."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        use_port(folder, taken)
        address, note = started(folder)
    assert note["port"] != taken
    with urllib.request.urlopen(f"{address}/static/visualiser/index.html", timeout=10) as page:  # noqa: S310
        assert page.status == 200
    (told,) = [one for one in json.loads(folder.dsp("doctor", "--json").out) if one["check"] == "luigid"]
    assert (told["state"], told["found"]) == (
        "warning",
        f"{address}, 0 tasks running; a plain `luigi` asks http://localhost:{taken}, so give it "
        f"--scheduler-url {address}.",
    )


def test_the_port_of_luigi_cfg_is_used(folder: Folder) -> None:
    """When it is free, so that `luigi --module tasks …` finds this luigid without being told."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    use_port(folder, free)
    assert started(folder)[1]["port"] == free


def test_a_second_start_finds_the_first(folder: Folder) -> None:
    """One luigid a folder."""
    assert started(folder) == started(folder)


def test_stop_ends_it_and_ui_brings_the_history_back(folder: Folder) -> None:
    """What ran is shown again after a stop: its state is saved in .dsp/."""
    address, note = started(folder)
    done = folder.luigi("RawLog", "--event", "click", "--hour", "2019-11-24T00", scheduler=address)
    assert done.code == 20, done.text
    assert "luigid ended." in console(folder, "stop").text
    with pytest.raises(ProcessLookupError):
        os.kill(note["pid"], 0)
    assert "luigid was not running." in console(folder, "stop").text
    again, _ = started(folder)
    with urllib.request.urlopen(f"{again}/api/task_list?data=%7B%7D", timeout=10) as answer:  # noqa: S310
        known = json.load(answer)["response"]
    assert [task["name"] for task in known.values()] == ["RawLog"]


def test_a_failed_task_may_be_tried_again_at_once(folder: Folder) -> None:
    """Luigid does not hold a failure against a task: what was mended runs in the next command."""
    address, _ = started(folder)
    words = ("S3LogIngest", "--event", "click", "--hour", "2019-11-24T05")
    path = folder.raw / "click" / "2019-11-24" / "05-0.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no gzip")
    failed = folder.luigi(*words, scheduler=address)
    assert failed.code == 30, failed.text
    assert len(failed.errors) == 1, failed.text
    path.write_bytes(gzip.compress(b""))
    assert folder.luigi(*words, scheduler=address).code == 0
