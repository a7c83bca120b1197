"""Whatever happens to a worker, what counts in the end is what an undisturbed run makes."""

from __future__ import annotations

import os
import random
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.folder import DAY, OUTCOMES, Folder, assert_whole, ended, only, unnamed, wait_until

COMMAND = ("DailyPipeline", "--date", DAY, "--dsp-package", "package")
TABLES = ("impression", "click", "campaign_daily", "creative_daily", "placement_daily", "user_daily", "click_rate")


def make_folder(path: Path) -> Folder:
    """Logs of three days, impressions and clicks alone."""
    folder = Folder(path)
    folder.simulate(events=OUTCOMES, impressions_per_day=600)
    only(folder.package(), *OUTCOMES)
    return folder


def content(folder: Folder) -> dict[str, Any]:
    """All rows by table and all metrics by arm: what must not depend on who made it and when."""
    found: dict[str, Any] = {table: folder.rows(table) for table in TABLES}
    for address, receipt in folder.receipts().items():
        if address.startswith("train/"):
            found[address] = (receipt["rows"], receipt["details"]["metrics"])
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """The content of a run that nobody disturbs, and how many receipts it writes."""
    folder = make_folder(tmp_path_factory.mktemp("undisturbed") / "work")
    done = folder.luigi(*COMMAND)
    assert done.code == 0, done.text
    return content(folder), len(folder.receipts())


def test_a_killed_worker_is_followed_by_one_that_ends_the_work(
    tmp_path: Path, undisturbed: tuple[dict[str, Any], int]
) -> None:
    """`kill -9` at seeded moments of the work, each time the same command again: the same content."""
    expected, steps = undisturbed
    folder = make_folder(tmp_path / "work")
    for moment in sorted(random.Random(11).sample(range(1, steps), 4)):  # noqa: S311  # nothing secret
        process = folder.start(*COMMAND)
        wait_until(partial(_so_far, folder, moment), f"{moment} receipts")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    done = folder.luigi(*COMMAND)
    assert done.code == 0, done.text
    assert content(folder) == expected
    assert_whole(folder)
    assert {path.name for path in (folder.lake / ".scratch").iterdir()} <= {"matplotlib"}


def test_two_commands_at_once_make_the_same(tmp_path: Path, undisturbed: tuple[dict[str, Any], int]) -> None:
    """Two schedulers that know nothing of each other: both end well, one receipt counts, no file is left over."""
    expected, steps = undisturbed
    folder = make_folder(tmp_path / "work")
    first, second = folder.start(*COMMAND), folder.start(*COMMAND)
    for done in (ended(first), ended(second)):
        assert done.code == 0, done.text
        assert not done.errors, done.text
    assert content(folder) == expected
    assert len(folder.receipts()) == steps
    assert_whole(folder)
    assert all(name.startswith("bundles/") for name in unnamed(folder))  # a bidder may be loading the loser's


def _so_far(folder: Folder, least: int) -> bool:
    """Whether there are so many receipts, without reading them."""
    roots = (folder.lake / "receipts", folder.lake / "warehouse" / "receipts")
    return sum(name.endswith(".json") for root in roots for _, _, names in os.walk(root) for name in names) >= least
