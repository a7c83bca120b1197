"""Luigi's own tests of its scheduler, of its workers and of their calls pass with ours in its place."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SOURCES = PROJECT / ".cache" / "luigi" / version("luigi")
FILES = (
    *("scheduler_api_test", "scheduler_test", "scheduler_visualisation_test", "scheduler_message_test"),
    *("scheduler_parameter_visibilities_test", "worker_scheduler_com_test", "worker_keep_alive_test", "worker_test"),
    *("worker_external_task_test", "task_running_resources_test", "task_progress_percentage_test", "priority_test"),
    *("task_status_message_test", "execution_summary_test", "rpc_test"),
)
# Without Datadog's client and SQLAlchemy 1 these fail with luigi's own scheduler too; the others want port 8082 of the
# machine for themselves, or are told by their time alone, of which test_ready.py counts the calls.
LEFT_OUT = (
    *("test_datadog_metrics_collector", "test_has_task_history", "test_dynamic_dependencies_other_module"),
    *("StableDoneCooldownSecsTest", "ConcurrentRunningResourcesTest", "test_get_work_speed"),
)
AT_ONCE = 4  # processes: luigi's tests sleep for most of their time, and each begins with three seconds of imports


@pytest.fixture(scope="module")
def sources() -> Path:
    """Luigi's source distribution, which has its tests: the file that the lock names by its hash, once into .cache/."""
    if not SOURCES.exists():
        pinned = re.search(r"^luigi==(\S+)(?: \\\n +--hash=\S+)+", (PROJECT / "requirements.lock").read_text(), re.M)
        assert pinned
        if pinned[1] != SOURCES.name:
            pytest.skip(f"skipped: luigi {SOURCES.name} is installed, and the tests are those of {pinned[1]}")
        aside = SOURCES.with_name(f"{SOURCES.name}.{os.getpid()}")
        aside.mkdir(parents=True)
        (aside / "lock").write_text(pinned[0] + "\n")
        wanted = ("--no-binary", "luigi", "--no-deps", "--require-hashes", "--requirement", str(aside / "lock"))
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(aside), *wanted],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            shutil.rmtree(aside)
            assert "HASHES" not in done.stderr, done.stderr
            pytest.skip(f"skipped: luigi's source distribution cannot be downloaded: {done.stderr.strip()[-200:]}")
        with tarfile.open(next(aside.glob("*.tar.gz"))) as archive:
            tests = [one for one in archive if one.name.split("/")[1] == "test"]  # luigi itself is installed
            archive.extractall(aside, tests, filter="data")
        try:
            next(aside.glob("luigi-*/")).rename(SOURCES)
        except OSError:  # another process was first
            assert SOURCES.exists()
        shutil.rmtree(aside)
    return SOURCES


def test_luigis_tests_pass_with_our_scheduler(sources: Path, tmp_path: Path) -> None:
    """All of these files, but for those that fail with luigi's own scheduler here."""
    left_out = " and ".join(f"not {one}" for one in LEFT_OUT)
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "pytest", "-v", "-c", os.devnull, "--rootdir", str(sources)),
            *("-p", "tests.scheduler.in_luigis_place", "-p", "no:cacheprovider", "-W", "ignore", "-k", left_out),
            *("-p", "xdist", "-n", str(AT_ONCE), "--basetemp", str(tmp_path / "base")),
            *(f"test/{name}.py" for name in FILES),
        ],
        cwd=sources,
        env={
            **os.environ,
            "PYTHONPATH": f"{PROJECT}{os.pathsep}{sources / 'test'}",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "TMPDIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    passed = set(re.findall(r"PASSED test/(\w+)\.py::", done.stdout))
    assert passed == set(FILES)
