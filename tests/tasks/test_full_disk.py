"""A disk that is full: the task says so in one sentence, whichever library was writing."""

from __future__ import annotations

import errno
import json
import random
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from dsp_pipeline.errors import StorageError
from dsp_pipeline.receipts import Draft, Input, Receipt
from dsp_pipeline.storage.local import LocalFolder
from tasks import receipt_task
from tasks.receipt_task import ReceiptTask
from tests.e2e.folder import FIRST, Folder

ROOM = "make room in [dsp] lake and scratch."
ONTO = "mount -t tmpfs -o size=200k tmpfs {place} && exec {python} {luigi} {words}"


class _Writing(ReceiptTask):
    """A step whose writing ends with the error, and that needs no lake to come so far."""

    error = OSError()
    day = FIRST
    platform = SimpleNamespace(running=SimpleNamespace(hold=lambda _, alone: nullcontext()), draft=lambda *_: None)  # type: ignore[assignment]

    def output(self) -> Any:
        return SimpleNamespace(exists=lambda: False, address="train/a/b")

    def version(self) -> Any:
        return None

    def inputs(self) -> list[Input]:
        return []

    def make(self, draft: Draft, *, replace: bool) -> Receipt:
        raise self.error


def writing(error: OSError, monkeypatch: pytest.MonkeyPatch) -> _Writing:
    monkeypatch.setattr(receipt_task, "refuse_before_first", lambda _: None)
    task = _Writing()
    task.error = error
    return task


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("2228224 requested and 498656 written"),
    ],
    ids=["the system", "a quota", "numpy"],
)
def test_a_full_disk_is_told_in_a_sentence(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the output and the cure, whether the error has a number or, as numpy's, has not."""
    with pytest.raises(StorageError) as told:
        writing(error, monkeypatch).run()
    assert str(told.value) == f"train/a/b cannot be written: {error}; {ROOM}"


def test_other_errors_of_the_system_are_no_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are mistakes of ours, or of a network, which more room would not cure."""
    error = OSError(errno.ECONNRESET, "Connection reset by peer")
    with pytest.raises(OSError, match="Connection reset") as told:
        writing(error, monkeypatch).run()
    assert told.value is error


@pytest.mark.parametrize("full", ["scratch", "lake"])
def test_a_task_on_a_full_disk_ends_with_a_sentence(tmp_path: Path, full: str) -> None:
    """On a real one of 200 KB, which an hour of clicks does not fit into."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    folder = Folder(tmp_path / "work", scratch="scratch")
    hour, noise = datetime(FIRST.year, FIRST.month, FIRST.day, 5, tzinfo=UTC), random.Random(1)  # noqa: S311
    lines = [
        {"id": noise.randbytes(16).hex(), "imp": noise.randbytes(16).hex(), "t": int(hour.timestamp() * 1000)}
        for _ in range(20_000)
    ]
    raw = folder.raw / "click" / str(FIRST) / "05-0.jsonl.gz"
    raw.parent.mkdir(parents=True)
    raw.write_bytes(bytes(pa.compress("\n".join(map(json.dumps, lines)).encode(), codec="gzip", asbytes=True)))
    (folder.path / full).mkdir()
    task = f"--module tasks S3LogIngest --event click --hour {FIRST}T05 --local-scheduler"
    luigi = Path(sys.executable).with_name("luigi")
    script = ONTO.format(place=full, python=sys.executable, luigi=luigi, words=task)
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=folder.path,
        env=folder.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 30, done.stderr
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr
    assert ROOM in done.stderr


def test_the_store_tells_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sentence names the file; to choose another folder would be no cure."""
    monkeypatch.setattr(LocalFolder, "_move", _fail)
    with pytest.raises(StorageError, match=r"made\.json cannot be written: No space left on device; make room in"):
        LocalFolder(tmp_path).put("made.json", b"{}")


def _fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
