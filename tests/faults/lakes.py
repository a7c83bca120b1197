"""What a lake holds, wherever it lies, in a form in which two lakes can be compared; and how to take something out."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq

from dsp_pipeline.receipts import Receipt
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.storage.base import ObjectStore
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
_EVERY = 10_000  # more moments than any step has
KEPT = ("receipts/", "warehouse/receipts/", "serving/", "versions/", "decisions/", ".scratch/matplotlib/")


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

    def makes(self, address: str) -> bool:
        return re.fullmatch(self.address, address) is not None

    def moments(self, number: int, short: int, most: int = _EVERY) -> list[int]:
        """Of so many moments `most`, in the short form `short`, which the seed chooses."""
        wanted = min(number, most if FULL else short)
        return sorted(random.Random(f"{SEED} {self.task}").sample(range(number), wanted))  # noqa: S311


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
        self.store: ObjectStore = LocalFolder(folder.lake)
        self.book = ReceiptBook(self.store)
        self._tables = ReceiptBook(LocalFolder(folder.lake / "warehouse"))

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

    def act(self, act: str, *words: str, kill_at: int | None = None) -> Ended:
        """`dsp WORDS`, or the janitor."""
        given: dict[str, Any] = {"folder": self.folder.path, "environment": self.folder.environment()}
        return forks.run(*words, **given, act=act, kill_at=kill_at)

    def janitor(self, *, remove: bool) -> set[str]:
        """What the janitor finds as of tomorrow, by address, relative to the lake where it is a path."""
        ended = self.act("janitor", *(("remove",) if remove else ()))
        assert ended.code == 0, ended.text
        found = [line.removeprefix("found ") for line in ended.text.splitlines() if line.startswith("found ")]
        return {one.removeprefix(f"{self.folder.lake}/") for one in found}

    def tables(self) -> dict[str, Receipt]:
        """The receipts of the warehouse's partitions, by address."""
        return self._tables.read_all("")

    def content(self) -> dict[str, Any]:
        """All outputs and pointers, as far as they do not depend on who made them, when and in which attempt."""
        found: dict[str, Any] = {}
        receipts, tables = self.book.read_all(""), self.tables()
        for address, one in (*receipts.items(), *tables.items()):
            files = sorted((file.key.rpartition("/")[2], file.sha256) for file in one.files)
            if address in tables:
                files = [("rows", sha256) for _, sha256 in files]  # the name is the attempt's
            kept = [file for file in files if file[0] not in _TELLING]
            inputs = sorted((given.name, given.digest) for given in one.inputs)
            found[address] = (one.version, one.rows, one.duplicates, dict(one.rejected), inputs, kept)
        for environment, model, at in BundleRegistry(self.store).pointers():
            named = receipts[f"export/{at.experiment}/{at.arm}/{at.version}/{at.date}"].details["bundle"]
            found[f"serving/{environment}/{model}"] = (at.experiment, at.arm, at.version, at.date, at.address == named)
        return found

    def assert_whole(self) -> None:
        """Whatever counts at this moment is all there: files of receipts, bundles of pointers."""
        for receipt in self.book.read_all("").values():
            for file in receipt.files:
                with self.store.get(file.key) as stream:
                    assert hashlib.sha256(stream.read()).hexdigest() == file.sha256, file.key
        for receipt in self.tables().values():
            for file in receipt.files:
                found = (self.folder.lake / "warehouse" / file.key).read_bytes()
                assert hashlib.sha256(found).hexdigest() == file.sha256, file.key
        self.assert_pointed()

    def assert_pointed(self) -> None:
        """What bidders are sent to is a whole bundle."""
        registry = BundleRegistry(self.store)
        for _, model, pointer in registry.pointers():
            registry.check(model, pointer)

    def rows(self, step: Step) -> Counter[str]:
        """The rows of a step's output, each as text; of files that are no Parquet, nothing."""
        found: Counter[str] = Counter()
        for address, receipt in self.book.read_all("").items():
            for file in receipt.files if step.makes(address) else ():
                if file.key.endswith(".parquet"):
                    with self.store.get(file.key) as stream:
                        found.update(map(repr, pq.read_table(stream).to_pylist()))
        return found or self.table_rows(step)

    def table_rows(self, step: Step) -> Counter[str]:
        """The same of a step whose output is a partition."""
        found: Counter[str] = Counter()
        for address, receipt in self.tables().items():
            for file in receipt.files if step.makes(address) else ():
                table = pq.read_table(self.folder.lake / "warehouse" / file.key)
                found.update(map(repr, table.to_pylist()))
        return found

    def unmake(self, step: Step) -> None:
        """Take the step's output away, with all that told of it: as if it had never been made."""
        for address, receipt in self.book.read_all("").items():
            if step.makes(address):
                for key in (f"receipts/{address}.json", *(file.key for file in receipt.files)):
                    self.store.delete(key)
        for name in ("versions/", *(("serving/", "decisions/") if step.task == "ExportModel" else ())):
            for stored in list(self.store.list(name)):
                self.store.delete(stored.key)
        self.unmake_partition(step)

    def unmake_partition(self, step: Step) -> None:
        """The same of a step whose output is a partition."""
        folder = LocalFolder(self.folder.lake / "warehouse")
        for address, receipt in self.tables().items():
            if step.makes(address):
                for key in (f"receipts/{address}.json", *(file.key for file in receipt.files)):
                    folder.delete(key)

    def loose(self) -> set[str]:
        """Files that no receipt names, that no rollback goes back to, and that are none of a lake's records."""
        named = {file.key for receipt in self.book.read_all("").values() for file in receipt.files}
        named |= {f"warehouse/{file.key}" for receipt in self.tables().values() for file in receipt.files}
        served = self.served()
        found = self.folder.files() - named
        return {name for name in found if not name.startswith(KEPT) and name.rpartition("/")[0] not in served}

    def served(self) -> set[str]:
        """The bundles that bidders load, or did."""
        return {one for _, _, at in BundleRegistry(self.store).pointers() for one in (at.address, *at.history)}


def killed_at(
    lake: LocalLake,
    step: Step,
    expected: dict[str, Any],
    rows: Counter[str],
    count: Count,
    *,
    short: int,
    most: int = _EVERY,
    beside: bool = False,
) -> None:
    """Kill the step at each boundary, at most at so many (in the short form `short`), and see that it recovers.

    With `beside` another worker, who knows nothing of it, makes the same at the same time, and ends well.
    """
    for _ in range(2):  # the first makes what other tests have taken away of what it needs
        lake.unmake(step)
        done = lake.run(*step.command)
        assert done.code == 0, done.text
    assert len(done.events) > 5, done.events
    assert_recovered(lake, step, expected, rows, count, "undisturbed", 0)
    moments, kills = step.moments(len(done.events), short, most)[:: 3 if beside else 1], 0
    for moment in moments:
        what = f"{step} killed before {done.events[moment]}"
        lake.unmake(step)
        first = lake.start(*step.command, kill_at=moment)
        if beside:
            second = lake.run(*step.command)
            assert second.code == 0, (what, second.text)
        killed = int(first.ended().killed)
        kills += killed
        assert_recovered(lake, step, expected, rows, count, what, killed)
    assert beside or kills > len(moments) / 2  # one looks more often for the end of a query than another


def assert_recovered(
    lake: LocalLake, step: Step, expected: dict[str, Any], rows: Counter[str], count: Count, what: str, kills: int
) -> None:
    """What counts is whole. After the same command again all is as in an undisturbed lake, and what lies around is
    found, and removed, by the janitor."""
    count("kills", kills)
    lake.assert_whole()
    again = lake.run(*step.command)
    assert again.code == 0, (what, again.text)
    count("recovered", kills)
    found = lake.rows(step)
    lost, twice = sum((rows - found).values()), sum((found - rows).values())
    count("lost rows", lost)
    count("duplicate rows", twice)
    assert (lost, twice) == (0, 0), what
    content = lake.content()
    assert {address: content.get(address) for address in expected} == expected, what
    assert_swept(lake, count, what)
    assert lake.content() == content, what


def assert_any_clock(
    lake: LocalLake,
    step: Step,
    expected: dict[str, Any],
    rows: Counter[str],
    count: Count,
    hours: int,
    moments: tuple[int, int],
) -> None:
    """The one whose clock is off is killed, at one of these moments, and another goes on; and the other way round."""
    off, draw = timedelta(hours=hours), random.Random(f"{SEED} {hours}")  # noqa: S311
    for first, second in ((off, timedelta()), (timedelta(), off)):
        lake.unmake(step)
        killed = lake.run(*step.command, kill_at=draw.randrange(*moments), skew=first)
        again = lake.run(*step.command, skew=second)
        assert again.code == 0, again.text
        what = f"{step}, clock off by {hours} hours"
        assert_recovered(lake, step, expected, rows, count, what, int(killed.killed))


def assert_swept(lake: LocalLake, count: Count, what: str) -> None:
    """Whatever no receipt names is found, and removed, by the janitor, and nothing else is."""
    loose = lake.loose()
    if not loose:
        return
    known = lake.janitor(remove=True)
    unknown = {name for name in loose if not _covered(name, known)}
    count("orphans", len(loose))
    count("orphans unknown to the janitor", len(unknown))
    assert not unknown, (what, unknown, known)
    assert lake.loose() == set(), what
    lake.assert_whole()


def _covered(name: str, known: set[str]) -> bool:
    """Whether one of the found things is this file, or an attempt, a shelf or a table that it belongs to."""
    names = [name.removeprefix(root) for root in ("", "outputs/", "warehouse/", "warehouse/tables/")]
    return any(one == found or one.startswith(f"{found}/") for one in names for found in known)


def moments_of_time(step: Step, seconds: float, number: int) -> Iterator[float]:
    """So many seeded times within a step's duration."""
    draw = random.Random(f"{SEED} {step.task} times")  # noqa: S311
    for _ in range(number):
        yield draw.uniform(0, seconds)
