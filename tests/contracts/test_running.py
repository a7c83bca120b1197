"""What the notes of who makes what promise, in every store."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.errors import RunningError
from dsp_pipeline.storage.base import ObjectStore
from dsp_pipeline.storage.running import Running
from tests.contracts.implementations import STORES
from tests.contracts.other_process import REPOSITORY

ADDRESS = "click_rate_0123456789ab/2026-11-21"
NOTE = f"running/{ADDRESS}.json"
OTHER = """\
import sys
from pathlib import Path
from dsp_pipeline.storage.running import Running
from tests.contracts.implementations import STORES
with Running(STORES[sys.argv[1]](Path(sys.argv[2]))).hold(sys.argv[3]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=sorted(STORES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A kind of store, and the folder that it is made from."""
    return request.param, tmp_path / "lake"


@pytest.fixture
def store(place: tuple[str, Path]) -> ObjectStore:
    return STORES[place[0]](place[1])


@contextlib.contextmanager
def other_process(place: tuple[str, Path]) -> Iterator[subprocess.Popen[str]]:
    """It holds the address until its input ends."""
    command = [sys.executable, "-c", OTHER, place[0], str(place[1]), ADDRESS]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=REPOSITORY, **pipes) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def put_note(store: ObjectStore, **changes: Any) -> None:
    """A note of this process, which is alive, on this machine."""
    now = datetime.now(UTC)
    with Running(store).hold(ADDRESS), store.get(NOTE) as stream:
        said = json.load(stream)
    said |= {"since": now.isoformat(), "until": (now + timedelta(seconds=60)).isoformat(), **changes}
    store.put(NOTE, json.dumps(said).encode())


def test_the_note_is_there_while_the_block_runs(store: ObjectStore) -> None:
    """It tells the process and since when; afterwards, and after an error, nothing is left."""
    running = Running(store)
    assert running.who(ADDRESS) is None
    before = datetime.now(UTC)
    with pytest.raises(ZeroDivisionError), running.hold(ADDRESS):
        found = running.who(ADDRESS)
        assert found is not None
        assert found.pid == os.getpid()
        assert before <= datetime.fromisoformat(found.since) <= datetime.now(UTC) < datetime.fromisoformat(found.until)
        assert running.who(f"{ADDRESS}-2") is None
        assert running.who(ADDRESS[:-1]) is None
        raise ZeroDivisionError
    assert running.who(ADDRESS) is None
    assert not list(store.list("running/"))


def test_another_process_is_seen_and_refused(place: tuple[str, Path], store: ObjectStore) -> None:
    """Who wants to be alone gets an error that names it; who does not goes on, and the note stays the first one's."""
    running = Running(store)
    with other_process(place) as other:
        found = running.who(ADDRESS)
        assert found is not None
        assert found.pid == other.pid
        told = rf"{ADDRESS} is being made by .*\(process {other.pid}\) since"
        with pytest.raises(RunningError, match=told), running.hold(ADDRESS, alone=True):
            raise AssertionError("two make it")
        with running.hold(ADDRESS):
            assert running.who(ADDRESS) == found
        assert running.who(ADDRESS) == found
        other.communicate("")
    assert running.who(ADDRESS) is None
    with running.hold(ADDRESS, alone=True):
        pass


def test_a_killed_process_holds_nothing(place: tuple[str, Path], store: ObjectStore) -> None:
    """Its note is still there, and the next one takes it over, alone or not."""
    running = Running(store)
    with other_process(place) as other:
        other.kill()
        other.wait()
    assert list(store.list(NOTE))
    assert running.who(ADDRESS) is None
    with running.hold(ADDRESS, alone=True):
        found = running.who(ADDRESS)
        assert found is not None
        assert found.pid == os.getpid()
    assert not list(store.list("running/"))


@pytest.mark.parametrize(
    ("changes", "alive"),
    [
        ({}, True),
        ({"host": "elsewhere", "pid": 1 << 22}, True),  # nothing is known of that machine's processes
        ({"host": "elsewhere", "until": "2026-01-01T00:00:00+00:00"}, False),
        ({"until": "2026-01-01T00:00:00+00:00"}, False),
    ],
    ids=["of this machine", "of another", "of another, not renewed", "not renewed"],
)
def test_a_note_counts_until_its_time(store: ObjectStore, changes: dict[str, Any], alive: bool) -> None:
    """A process that stopped renewing its note is taken for dead, wherever it was."""
    put_note(store, **changes)
    running = Running(store)
    assert (running.who(ADDRESS) is not None) == alive
    if alive:
        with pytest.raises(RunningError), running.hold(ADDRESS, alone=True):
            pass
    else:
        with running.hold(ADDRESS, alone=True):
            pass


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"who": 1}'], ids=["empty", "torn", "list", "lacking"])
def test_a_damaged_note_holds_nobody_up(store: ObjectStore, text: bytes) -> None:
    """It says nothing that could be waited for."""
    store.put(NOTE, text)
    running = Running(store)
    assert running.who(ADDRESS) is None
    with running.hold(ADDRESS, alone=True):
        assert running.who(ADDRESS) is not None
    assert not list(store.list("running/"))


def test_of_many_who_want_to_be_alone_one_is(store: ObjectStore) -> None:
    """All others are refused, though a dead process's note lay there when they came."""
    put_note(store, until="2026-01-01T00:00:00+00:00")
    ready, ended = threading.Barrier(6), threading.Barrier(6)
    held: list[int] = []

    def take(number: int) -> None:
        ready.wait()
        with contextlib.suppress(RunningError), Running(store).hold(ADDRESS, alone=True):
            held.append(number)
            ended.wait()
            return
        ended.wait()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1
    assert not list(store.list("running/"))
