from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from tests.console.lake import EXPERIMENT, copied
from tests.e2e.folder import DAY, OUTCOMES, Folder, only
from tests.faults import tally
from tests.faults.lakes import LocalLake

EXPECTED = """\
fail:
  rows: [1, null]
"""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Go on from where an earlier run of the full length ended."""
    tally.skip_if_done(item.nodeid)


@pytest.fixture
def count(request: pytest.FixtureRequest) -> tally.Count:
    """Adds to the counts that are printed at the end."""
    return tally.counter(request)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A lake of three days with all its outputs, made once for all processes. Only read it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "faults.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "faults").exists():
            folder = Folder(shared / "faults-making" / "work", package="package")
            only(folder.package(), *OUTCOMES)
            (folder.path / "package" / "experiments" / "click_rate_baseline.yaml").write_text(EXPERIMENT)
            (folder.path / "package" / "expectations").mkdir()
            (folder.path / "package" / "expectations" / "impression.yaml").write_text(EXPECTED)
            folder.simulate(events=OUTCOMES, impressions_per_day=300)
            for words in (("DailyPipeline", "--date", DAY), ("HourlyClickRate", "--date", DAY)):
                done = LocalLake(folder).run(*words)
                assert done.code == 0, done.text
            (shared / "faults-making").rename(shared / "faults")
    return Folder(shared / "faults" / "work", package="package")


@pytest.fixture
def whole(undisturbed: Folder, tmp_path: Path) -> LocalLake:
    """A copy of it that a test may change."""
    return LocalLake(copied(undisturbed, tmp_path))


@pytest.fixture
def raw_only(undisturbed: Folder, tmp_path: Path) -> LocalLake:
    """The same logs and files of the team, and nothing made of them."""
    one = copied(undisturbed, tmp_path)
    shutil.rmtree(one.lake)
    return LocalLake(one)
