"""A disk that fills up again and again while the lake is made, and each time is given a little more room."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.folder import DAY, Folder
from tests.faults.lakes import LocalLake, assert_swept
from tests.faults.tally import FULL, Count

COMMAND = ("DailyPipeline", "--date", DAY) if FULL else ("FeatureBuild", "--table", "campaign_daily", "--date", DAY)
SIZES = (200, 400, 800, 1_600, 2_400, 3_200, 4_000, 5_000, 6_000, 8_000) if FULL else (300, 900)  # KiB
# Runs the command for each size until it ends well, and then on a disk that is large enough.
SCRIPT = """\
import json, shutil, subprocess, sys
sizes, command, lake, copy = json.loads(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={sizes[0]}k", "tmpfs", lake], check=True)
for size in (*sizes, 400_000):
    subprocess.run(["mount", "-o", f"remount,size={size}k", lake], check=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(json.dumps([size, done.returncode, done.stdout]), flush=True)
shutil.copytree(lake, copy, dirs_exist_ok=True, symlinks=True)
"""


def test_a_lake_that_was_made_on_full_disks_is_like_any_other(
    undisturbed: Folder, raw_only: LocalLake, count: Count
) -> None:
    """Each time one sentence says where room is wanted; what counted before counts on, and nothing half made does."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("skipped: no file system can be mounted here, which wants root or user namespaces")
    folder = raw_only.folder
    folder.lake.mkdir()
    copy = folder.path / "copy"
    luigi = [sys.executable, str(Path(sys.executable).with_name("luigi")), "--module", "tasks", *COMMAND]
    told = json.dumps([SIZES, [*luigi, "--local-scheduler"], str(folder.lake), str(copy)])
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, "-c", SCRIPT, told],
        cwd=folder.path,
        env=folder.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert [size for size, _, _ in runs] == [*SIZES, 400_000]
    full = [(size, code, text) for size, code, text in runs if code]
    assert full
    for size, code, text in full:
        assert code in (30, 40), (size, text)
        assert "Traceback" not in text, (size, text)
        assert "No space left on device" in text or "make room in [dsp] lake" in text, (size, text)
    assert runs[-1][1] == 0, runs[-1][2]
    count("full disks", len(full))
    shutil.rmtree(folder.lake)
    copy.rename(folder.lake)
    found, expected = raw_only.content(), LocalLake(undisturbed).content()
    assert found == {address: expected[address] for address in found}
    assert len(found) > 50
    raw_only.assert_whole()
    assert_swept(raw_only, count, "full disks")
    count("lost rows", 0)
