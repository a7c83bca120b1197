"""One lake for the tests of `dsp`, and the command inside this process: a process of its own costs seconds."""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import luigi
import pytest
from luigi.configuration import LuigiConfigParser
from luigi.task_register import Register

from console import dsp
from tasks.raw_log import listings
from tasks.receipt_task import forget
from tasks.settings import platform, receivers
from tasks.step import steps
from tests.e2e.folder import DAY, OUTCOMES, Answer, Folder, only

EXPERIMENT = """\
model: click_rate
train_days: 3
serve: control
arms:
  control: {rounds: 5}
  deeper: {rounds: 5, max_depth: 8}
"""
SQL = "features/campaign_daily.sql"


def lake(factory: pytest.TempPathFactory) -> Folder:
    """Three days of impressions and clicks, with the models of the second. Made once for all workers: only read it."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "dsp.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "dsp").exists():
            lake_of(shared / "making")
            (shared / "making").rename(shared / "dsp")
    return Folder(shared / "dsp" / "work", package="package")


def lake_of(path: Path, impressions_per_day: int = 300) -> Folder:
    """Such a lake in a new folder."""
    folder = Folder(path / "work", package="package")
    only(folder.package(), *OUTCOMES)
    (folder.path / "package" / "experiments" / "click_rate_baseline.yaml").write_text(EXPERIMENT)
    folder.simulate(events=OUTCOMES, impressions_per_day=impressions_per_day)
    done = folder.luigi("DailyPipeline", "--date", DAY)
    assert done.code == 0, done.text
    return folder


def copied(made: Folder, path: Path) -> Folder:
    """A folder of a test's own, with the same lake and package.

    Raw files are the same ones, as copies would be others to the lake: replace them, do not write into them.
    """
    shutil.copytree(made.path, path / "work", ignore=lambda folder, _: ["raw"] if Path(folder) == made.path else [])
    shutil.copytree(made.raw, path / "work" / "raw", copy_function=os.link)
    return Folder(path / "work", package="package")


def edited(folder: Folder, file: str, old: str, new: str, package: str = "package") -> Path:
    """A file of the package, with one place of it changed."""
    path = folder.path / package / file
    text = path.read_text()
    assert text.count(old) == 1, file
    path.write_text(text.replace(old, new))
    return path


def shortened(folder: Folder) -> list[str]:
    """Options for a copy of the package whose campaign_daily counts clicks of 12 hours and not of 24."""
    shutil.copytree(folder.path / "package", folder.path / "shorter")
    edited(folder, SQL, "INTERVAL 24 HOUR", "INTERVAL 12 HOUR", "shorter")
    return ["--set", "dsp.package=shorter"]


def unmade(folder: Folder, table: str, day: str) -> None:
    """Take the receipt of a day of a table away, so that it was never made."""
    (receipt,) = (folder.lake / "warehouse" / "receipts").glob(f"{table}_*/{day}.json")
    receipt.unlink()


@contextlib.contextmanager
def inside(folder: Folder) -> Iterator[None]:
    """This process works in the folder, as a new one would: its luigi.cfg, and nothing remembered."""
    log, kept = logging.getLogger("dsp"), LuigiConfigParser._instance
    level = log.level
    LuigiConfigParser._instance = None
    _forget()
    try:
        with contextlib.chdir(folder.path), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*'rpc_retry_")  # as tasks/logs.py does for the whole process
            yield
    finally:
        LuigiConfigParser._instance = kept
        log.setLevel(level)
        _forget()


def _forget() -> None:
    for remembered in (platform, receivers, listings):
        remembered.cache_clear()
    forget()
    for step in steps().values():
        vars(step).pop("checked", None)
    Register.clear_instance_cache()


def build(task: luigi.Task) -> None:
    """Run what is not there of the task and of what it needs, as `luigi` would; `inside` a folder."""
    if not task.complete():
        for needed in luigi.task.flatten(task.requires()):
            build(needed)
        task.run()


def answer(folder: Folder, *words: str) -> Answer:
    """`dsp WORDS`, as `Folder.dsp` runs it, in this process: nobody answers its questions."""
    out, err, code = io.StringIO(), io.StringIO(), None
    typed = patch.object(sys, "argv", ["dsp", *words]), patch.object(sys, "stdin", io.StringIO())
    redirected = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    (log,) = (one for one in logging.getLogger("dsp").handlers if type(one) is logging.StreamHandler)  # not pytest's
    with inside(folder), typed[0], typed[1], redirected[0], redirected[1]:
        shown = log.setStream(err)
        try:
            dsp.main()
        except SystemExit as ended:
            code = ended.code
        finally:
            log.setStream(shown)
    assert isinstance(code, int)
    return Answer(code, out.getvalue(), err.getvalue())
