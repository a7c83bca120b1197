"""A working folder of its own: luigi.cfg, raw logs, a lake, and the commands that a person types."""

from __future__ import annotations

import configparser
import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

import dsp_pipeline
from dsp_pipeline.simulator import Manifest, Simulation, simulate
from tests.e2e import warm

PROJECT = Path(__file__).parents[2]
PACKAGE = Path(dsp_pipeline.__file__).parent
FIRST = date(2026, 11, 17)
DAY = "2026-11-18"  # the held-out day of a simulation of three days
PATIENCE = 480.0  # seconds after which a command that has not ended is wrong
OUTCOMES = ("impression", "click")


@dataclass(frozen=True)
class Done:
    """A command that ended. `errors` are the lines that tell what went wrong."""

    code: int
    text: str

    @property
    def errors(self) -> list[str]:
        lines = self.text.splitlines()
        return [line.partition("ERROR")[2].strip() or line for line in lines if " ERROR " in line or "error:" in line]


@dataclass(frozen=True)
class Answer:
    """A command that ended, with what it answered (`out`, standard output) and what it said beside (`err`)."""

    code: int
    out: str
    err: str


class Folder:
    """`path` holds luigi.cfg (the project's own, changed by `settings`); HOME and TMPDIR are empty folders beside."""

    def __init__(self, path: Path, **settings: str) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.lake = path / "lake"
        self.home, self.tmp = path.with_name(path.name + "-home"), path.with_name(path.name + "-tmp")
        self.home.mkdir(exist_ok=True)
        self.tmp.mkdir(exist_ok=True)
        self.settings = {"raw": "raw", "environment": "local", **settings}
        config = configparser.ConfigParser()
        config.read(PROJECT / "luigi.cfg")
        for name, value in self.settings.items():
            if value:
                config["dsp"][name] = value
            else:
                del config["dsp"][name]
        with (path / "luigi.cfg").open("w") as out:
            config.write(out)

    @property
    def raw(self) -> Path:
        return self.path / self.settings["raw"]

    def at(self, lake: str) -> Folder:
        """The same folder, seen with another lake of it."""
        other = copy.copy(self)
        other.lake = self.path / lake
        return other

    def environment(self) -> dict[str, str]:
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("LUIGI", "DSP", "PYTEST"))}
        return {**keep, "HOME": str(self.home), "TMPDIR": str(self.tmp), "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self, *words: str, scheduler: str | None = None) -> subprocess.Popen[str]:
        """`luigi --module tasks WORDS`, running."""
        where = ["--scheduler-url", scheduler] if scheduler else ["--local-scheduler"]
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("luigi")), "--module", "tasks", *words, *where],
            cwd=self.path,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def luigi(self, *words: str, scheduler: str | None = None) -> Done:
        """The same, until it ends."""
        where = ["--scheduler-url", scheduler] if scheduler else ["--local-scheduler"]
        return self.run(Path(sys.executable).with_name("luigi"), "--module", "tasks", *words, *where)

    def run(self, program: Path, *words: str) -> Done:
        """A Python program with these words in this folder, until it ends."""
        with tempfile.NamedTemporaryFile() as all_of_it:
            code = self._run(program, words, all_of_it.name, all_of_it.name)
            return Done(code, all_of_it.read().decode())

    def _run(self, program: Path, words: tuple[str, ...], stdout: str, stderr: str) -> int:
        given = {"folder": self.path, "environment": self.environment(), "seconds": PATIENCE}
        return warm.run(program, *words, **given, outputs=(stdout, stderr))

    def python(self, *words: str, own_home: bool = True) -> Done:
        """`python WORDS` in this folder; pip finds its configuration only without a HOME of our own."""
        environment = self.environment()
        if not own_home:
            environment["HOME"] = os.environ.get("HOME", str(self.home))
        return until_ended([sys.executable, *words], cwd=self.path, env=environment)

    def dsp(self, *words: str) -> Answer:
        """`dsp WORDS` in this folder."""
        with tempfile.NamedTemporaryFile() as stdout, tempfile.NamedTemporaryFile() as stderr:
            code = self._run(Path(sys.executable).with_name("dsp"), words, stdout.name, stderr.name)
            return Answer(code, stdout.read().decode(), stderr.read().decode())

    def simulate(self, **changes: Any) -> Manifest:
        """Three days of logs from FIRST, 1,500 impressions a day unless changed."""
        given = {"first": FIRST, "days": 3, "impressions_per_day": 1_500, "seed": 7, **changes}
        return simulate(Simulation(**given), self.raw, workers=1)

    def package(self) -> Path:
        """A copy of the team's folders, in which a test plants mistakes; `--dsp-package package` uses it."""
        target = self.path / "package"
        for name in ("events/sources", "features", "models", "experiments"):
            shutil.copytree(PACKAGE / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        return target

    def receipts(self) -> dict[str, dict[str, Any]]:
        """Every receipt of the lake by its address; those of the warehouse too."""
        found = {}
        for root in (self.lake / "receipts", self.lake / "warehouse" / "receipts"):
            for path in sorted(root.rglob("*.json")):
                found[str(path.relative_to(root))[: -len(".json")]] = json.loads(path.read_text())
        return found

    def files(self) -> set[str]:
        """All files of the lake but locks."""
        return {
            str(path.relative_to(self.lake)) for path in self.lake.rglob("*") if path.is_file() and path.name != "lock"
        }

    def rows(self, table: str, columns: str = "*", day: str = "") -> pa.Table:
        """All rows of a table that count, of one day if given, in the order of all their columns."""
        paths = [
            str(self.lake / "warehouse" / file["key"])
            for address, receipt in self.receipts().items()
            if table_of(address) == table and address.partition("/")[2].startswith(day)
            for file in receipt["files"]
        ]
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.sql(f"SELECT {columns} FROM read_parquet({paths}) ORDER BY ALL").to_arrow_table()


def table_of(address: str) -> str:
    """The table of a receipt's address, or something that is none."""
    return address.partition("/")[0].rpartition("_")[0]


def until_ended(words: Sequence[str | Path], *, seconds: float = PATIENCE, given: str = "", **more: Any) -> Done:
    """A command to its end, with `given` as its input; `more` as of subprocess.run (`cwd`, `env`)."""
    done = subprocess.run(
        words,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
        **more,
    )
    return Done(done.returncode, done.stdout)


def ended(process: subprocess.Popen[str]) -> Done:
    """Wait for it; a command that does not end is killed and fails the test."""
    try:
        text, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        text, _ = process.communicate()
        raise AssertionError(f"the command did not end:\n{text}") from None
    return Done(process.returncode, text)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Look again and again until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.01)


def only(package: Path, *events: str) -> None:
    """Take all other events out of the simulator's source: fewer hours to ingest, so a faster test."""
    source = package / "events" / "sources" / "simulator.yaml"
    head, _, body = source.read_text().partition("events:\n")
    blocks = [block for block in body.split("\n\n") if block.strip().rstrip().split(":")[0] in events]
    source.write_text(f"{head}events:\n" + "\n\n".join(blocks) + "\n")


def counted_files(folder: Folder) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each file that a receipt names, with what the receipt says of it."""
    for address, receipt in folder.receipts().items():
        stored = address.startswith(("ingest/", "train/", "export/", "step/", "quality/"))
        for file in receipt["files"]:
            yield (folder.lake if stored else folder.lake / "warehouse") / file["key"], file


def assert_whole(folder: Folder) -> None:
    """Each file that a receipt names has its checksum; nothing lies aside."""
    for path, file in counted_files(folder):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"], path


def unnamed(folder: Folder) -> set[str]:
    """Files of the lake that neither a receipt names nor is one, but pointers, decisions and records of versions."""
    named = {str(path.relative_to(folder.lake)) for path, _ in counted_files(folder)}
    skipped = ("receipts/", "warehouse/receipts/", "serving/", "versions/", "decisions/", ".scratch/matplotlib/")
    return {name for name in folder.files() - named if not name.startswith(skipped)}


def ran(text: str) -> Counter[str]:
    """How often each step told that it was done."""
    lines = [line.split(" INFO ")[1].strip() for line in text.splitlines() if " INFO " in line and " rows" in line]
    return Counter(line[: line.index("): ") + 1] for line in lines if "): " in line)
