"""The whole graph by two workers under a luigid, while one after the other of the three is killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import pytest

from console.standins.processes import accepts, free_port
from tests.e2e.folder import DAY, Folder, wait_until
from tests.faults.lakes import LocalLake, assert_swept
from tests.faults.tally import FULL, SEED, Count

COMMAND = ("DailyPipeline", "--date", DAY)
_ALL = 250  # receipts that the graph has at least
# Whoever loses luigid, or finds that it has forgotten the graph, may say so by one of luigi.cfg's codes.
_CODES = {0, 10, 20, 25, 30, 35, 40}


class _Luigid:
    """A luigid that can be killed; the next one listens where it did, and knows nothing."""

    def __init__(self, lake: LocalLake, port: int) -> None:
        self._process = subprocess.Popen(
            [
                os.path.join(os.path.dirname(sys.executable), "luigid"),
                *("--address", "127.0.0.1", "--port", str(port)),
                *("--state-path", str(lake.folder.path / "luigid.state")),
            ],
            cwd=lake.folder.path,
            env=lake.folder.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: accepts(port), "luigid")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def _luigid(lake: LocalLake, port: int) -> Iterator[_Luigid]:
    one = _Luigid(lake, port)
    try:
        yield one
    finally:
        one.kill()


@pytest.mark.parametrize("story", range(5 if FULL else 1))
def test_whoever_is_killed_the_work_ends_as_if_nothing_had_been(
    story: int, undisturbed: Folder, raw_only: LocalLake, count: Count
) -> None:
    """Luigid is killed and started again while they work; then the same command ends all that is left."""
    draw, lake = random.Random(f"{SEED} luigid {story}"), raw_only  # noqa: S311
    expected = {key: one for key, one in LocalLake(undisturbed).content().items() if not key.startswith("step/")}
    port, kills = free_port(), 0
    url = f"http://127.0.0.1:{port}"
    for _ in range(4):
        with _luigid(lake, port) as luigid:
            workers = [lake.start(*COMMAND, "--scheduler-url", url) for _ in range(2)]
            least = _so_far(lake) + draw.randint(5, 90)
            wait_until(partial(_reached, lake, least), "the moment")
            victim = draw.choice(["luigid", "luigid", "a worker", "all"])
            killed = 0
            if victim != "a worker":
                luigid.kill()
                killed += 1
            for worker in {"luigid": [], "a worker": workers[:1], "all": workers}[victim]:
                worker.kill()
            with _luigid(lake, port) if victim != "a worker" else nullcontext():
                ended = [worker.ended() for worker in workers]
        killed += sum(one.killed for one in ended)
        kills += killed
        for one in ended:
            assert one.killed or one.code in _CODES, one.text
            assert "Traceback" not in one.text, one.text
        lake.assert_whole()
    with _luigid(lake, port):
        workers = [lake.start(*COMMAND, "--scheduler-url", url) for _ in range(2)]
        for worker in workers:
            done = worker.ended()
            assert done.code == 0, done.text
    count("kills", kills)
    count("recovered", kills)
    count("lost rows", 0)
    assert lake.content() == expected
    assert_swept(lake, count, f"story {story}")
    assert lake.content() == expected


def _reached(lake: LocalLake, least: int) -> bool:
    """Whether there are so many receipts, or all that the graph has."""
    return _so_far(lake) >= min(least, _ALL)


def _so_far(lake: LocalLake) -> int:
    """How many receipts there are, without reading them."""
    roots = (lake.folder.lake / "receipts", lake.folder.lake / "warehouse" / "receipts")
    return sum(name.endswith(".json") for root in roots for _, _, names in os.walk(root) for name in names)
