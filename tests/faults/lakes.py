"""What a lake holds, wherever it lies, in a form in which two lakes can be compared; and how to take something out."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq

from dsp_pipeline.receipts import Receipt
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.storage.receipts import ReceiptBook
from tests.e2e.folder import DAY, Folder
from tests.faults import forks
from tests.faults.forks import Ended, Fork
from tests.faults.tally import FULL, SEED, Count

HOUR = f"{DAY}T05"
_MODEL = ("--experiment", "click_rate_baseline", "--arm", "control", "--date", DAY)
# What tells when and where something was made, and so differs from run to run.
_TELLING = ("lineage.json", "card.html", "manifest.json")
_KEPT = ("receipts/", "warehouse/receipts/", "serving/", "versions/", "decisions/", ".scratch/matplotlib/")


@dataclass(frozen=True)
class Step:
    """A command that makes one output, at an address of this form."""

    task: str
    words: Sequence[str]
    address: str

    @property
    def command(self) -> tuple[str, ...]:
        return (self.task, *self.words)

    def __str__(self) -> str:
        return self.task

    def moments(self, number: int, short: int) -> list[int]:
        """All of so many moments; in the short form some of them, which the seed chooses."""
        if FULL or number <= short:
            return list(range(number))
        return sorted(random.Random(f"{SEED} {self.task}").sample(range(number), short))  # noqa: S311


STEPS = (
    Step("S3LogIngest", ("--event", "impression", "--hour", HOUR), rf"ingest/impression-\w+/{HOUR}"),
    Step("BigQueryLoad", ("--event", "impression", "--hour", HOUR), rf"impression_\w+/{HOUR}"),
    Step("CheckData", ("--table", "impression", "--date", DAY), rf"quality/impression/\w+/{DAY}@\w+"),
    Step("FeatureBuild", ("--table", "campaign_daily", "--date", DAY), rf"campaign_daily_\w+/{DAY}"),
    Step("HourlyClickRate", ("--date", DAY), rf"step/hourly_click_rate/\w+/{DAY}[^/]*"),
    Step("TrainModel", _MODEL, rf"train/click_rate_baseline/control/\w+/{DAY}"),
    Step("ExportModel", _MODEL, rf"export/click_rate_baseline/control/\w+/{DAY}"),
)


class LocalLake:
    """A folder with everything: raw logs, lake, embedded warehouse."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.store = LocalFolder(folder.lake)
        self.tables = LocalFolder(folder.lake / "warehouse")

    def start(self, *words: str, kill_at: int | None = None, skew: timedelta = timedelta()) -> Fork:
        """`luigi WORDS --local-scheduler` in this folder, running."""
        return forks.start(
            *words,
            *(() if "--scheduler-url" in words else ("--local-scheduler",)),
            folder=self.folder.path,
            environment=self.folder.environment(),
            kill_at=kill_at,
            skew=skew,
        )

    def run(self, *words: str, kill_at: int | None = None, skew: timedelta = timedelta()) -> Ended:
        return self.start(*words, kill_at=kill_at, skew=skew).ended()

    def janitor(self, *, remove: bool) -> set[str]:
        """What the janitor finds as of tomorrow, by address, relative to the lake where it is a path."""
        words = ("remove",) if remove else ()
        given = {"folder": self.folder.path, "environment": self.folder.environment(), "act": "janitor"}
        ended = forks.run(*words, **given)  # type: ignore[arg-type]
        assert ended.code == 0, ended.text
        found = [line.removeprefix("found ") for line in ended.text.splitlines() if line.startswith("found ")]
        return {one.removeprefix(f"{self.folder.lake}/") for one in found}

    def receipts(self) -> dict[str, tuple[LocalFolder, Receipt]]:
        """By address, with where its files lie."""
        found = {}
        for store in (self.store, self.tables):
            for address, receipt in ReceiptBook(store).read_all("").items():
                found[address] = (store, receipt)
        return found

    def content(self) -> dict[str, Any]:
        """All outputs and pointers, as far as they do not depend on who made them, when and in which attempt."""
        found: dict[str, Any] = {}
        receipts = self.receipts()
        for address, (_, one) in receipts.items():
            files = sorted((file.key.rpartition("/")[2], file.sha256) for file in one.files)
            if not address.startswith(("ingest/", "train/", "export/", "step/", "quality/")):
                files = [("rows", sha256) for _, sha256 in files]  # the name is the attempt's
            kept = [file for file in files if file[0] not in _TELLING]
            inputs = sorted((given.name, given.digest) for given in one.inputs)
            found[address] = (one.version, one.rows, one.duplicates, dict(one.rejected), inputs, kept)
        for environment, model, at in BundleRegistry(self.store).pointers():
            named = receipts[f"export/{at.experiment}/{at.arm}/{at.version}/{at.date}"][1].details["bundle"]
            found[f"serving/{environment}/{model}"] = (at.experiment, at.arm, at.version, at.date, at.address == named)
        return found

    def assert_whole(self) -> None:
        """Whatever counts at this moment is all there: files of receipts, bundles of pointers."""
        for address, (store, receipt) in self.receipts().items():
            for file in receipt.files:
                with store.get(file.key) as stream:
                    assert hashlib.sha256(stream.read()).hexdigest() == file.sha256, (address, file.key)
        registry = BundleRegistry(self.store)
        for _, model, pointer in registry.pointers():
            registry.check(model, pointer)

    def rows(self, step: Step) -> Counter[str]:
        """The rows of a step's output, each as text; of files that are no Parquet, nothing."""
        found: Counter[str] = Counter()
        for store, receipt in (pair for address, pair in self.receipts().items() if re.fullmatch(step.address, address)):
            for file in receipt.files:
                if file.key.endswith(".parquet"):
                    found.update(map(repr, pq.read_table(store.root / file.key).to_pylist()))
        return found

    def unmake(self, step: Step) -> None:
        """Take the step's output away, with all that told of it: as if it had never been made."""
        for address, (store, receipt) in self.receipts().items():
            if re.fullmatch(step.address, address):
                store.delete(f"receipts/{address}.json")
                for file in receipt.files:
                    store.delete(file.key)
        for name in ("versions", *(("serving", "decisions") if step.task == "ExportModel" else ())):
            shutil.rmtree(self.folder.lake / name, ignore_errors=True)

    def loose(self) -> set[str]:
        """Files that no receipt names and that are none of a lake's records."""
        named = {
            str((store.root / file.key).relative_to(self.folder.lake))
            for store, receipt in self.receipts().values()
            for file in receipt.files
        }
        return {name for name in self.folder.files() - named if not name.startswith(_KEPT)}


def assert_recovered(
    lake: LocalLake, step: Step, expected: dict[str, Any], rows: Counter[str], count: Count, what: str
) -> None:
    """All is as in an undisturbed lake, and what lies around is found, and removed, by the janitor."""
    found = lake.rows(step)
    lost, twice = sum((rows - found).values()), sum((found - rows).values())
    count("lost rows", lost)
    count("duplicate rows", twice)
    assert (lost, twice) == (0, 0), what
    assert lake.content() == expected, what
    loose = lake.loose()
    if not loose:
        return
    known = lake.janitor(remove=True)
    unknown = {name for name in loose if not _covered(name, known)}
    count("orphans", len(loose))
    count("orphans unknown to the janitor", len(unknown))
    assert not unknown, (what, unknown, known)
    assert lake.loose() == set(), what
    assert lake.content() == expected, what
    lake.assert_whole()


def _covered(name: str, known: set[str]) -> bool:
    """Whether one of the found things is this file or a folder above it; tables are found relative to the warehouse."""
    names = (name, name.removeprefix("warehouse/"))
    return any(one == found or one.startswith(f"{found}/") for one in names for found in known)


def moments_of_time(step: Step, seconds: float, number: int) -> Iterator[float]:
    """So many seeded times within a step's duration."""
    draw = random.Random(f"{SEED} {step.task} times")  # noqa: S311
    for _ in range(number):
        yield draw.uniform(0, seconds)


