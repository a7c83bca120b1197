"""Settings → the parts that a run works with. The only place that knows which mode it is."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dsp_pipeline.errors import SettingsError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.events.source import Source, load_source
from dsp_pipeline.fingerprint import Version
from dsp_pipeline.processes import alive
from dsp_pipeline.receipts import Draft, File, Input
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.settings import Settings
from dsp_pipeline.sql.catalog import Catalog
from dsp_pipeline.storage.base import ObjectStore, Stored
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.storage.outputs import Outputs
from dsp_pipeline.storage.running import Running
from dsp_pipeline.storage.versions import VersionBook
from dsp_pipeline.training.experiment import Experiment, find_experiments, load_experiment
from dsp_pipeline.training.model import load_model
from dsp_pipeline.training.trial import Trial
from dsp_pipeline.warehouse.base import QueryEngine, Slice, Table, Warehouse

if TYPE_CHECKING:
    from dsp_pipeline.events.decode import Decoder
    from dsp_pipeline.events.lines import RawFile
    from dsp_pipeline.quality.files import CheckFiles
    from dsp_pipeline.sql.query import Read

PACKAGE = Path(__file__).parent
HOURS = tuple(range(24))


class Platform:
    """What tasks work with: the raw logs, the store, the warehouse, and the names that lead through them.

    The parts that are slow to make are made when they are first used, so planning a graph is cheap and a worker
    process forked from the planner opens its own.
    """

    def __init__(self, settings: Settings, package: Path = PACKAGE) -> None:
        self.settings = settings
        self.package = package
        self.raw: ObjectStore
        self.store: ObjectStore
        self.warehouse: Warehouse
        self.engine: QueryEngine  # the same warehouse, where it is only asked
        limits = {"memory_limit_mb": settings.memory_limit_mb, "threads": settings.threads}
        self._work_places = [settings.scratch]
        if settings.mode == "local":
            from dsp_pipeline.warehouse.duckdb import DuckDBWarehouse  # its libraries are slow: `--help` needs none

            lake = Path(settings.lake)
            self.raw, self.store = LocalFolder(Path(settings.raw)), LocalFolder(lake)
            self.warehouse = self.engine = DuckDBWarehouse(lake / "warehouse", **limits)
            self._tables_at = f"{lake}/warehouse/"
            self._work_places += [lake / ".aside", lake / "warehouse" / ".aside"]
        elif settings.mode == "cloud":
            from dsp_pipeline.storage.s3 import S3Bucket
            from dsp_pipeline.warehouse.bigquery import BigQueryWarehouse

            if settings.bigquery is None:
                raise SettingsError("[bigquery] project is not set; mode cloud needs it.")
            self.raw = S3Bucket(*_place("raw", settings.raw))
            self.store = S3Bucket(*_place("lake", settings.lake))
            self.warehouse = self.engine = BigQueryWarehouse(settings.bigquery, scratch=settings.scratch, **limits)
            self._tables_at = ""  # a partition's key is its full name
        else:
            raise SettingsError(f"[dsp] mode is {settings.mode!r}; it is local or cloud.")
        self.outputs = Outputs(self.store)
        self.versions = VersionBook(self.store)
        self.running = Running(self.store)
        self.registry = BundleRegistry(self.store)
        self.catalog = Catalog(package / "features")
        self._versions: dict[str, Version] = {}
        self._tables: dict[str, Table] = {}
        self._trials: dict[tuple[str, str], Trial] = {}

    def __str__(self) -> str:
        s = self.settings
        tables = f"project={s.bigquery.project} dataset={s.bigquery.dataset} " if s.bigquery else ""
        return (
            f"mode={s.mode} environment={s.environment} lake={s.lake} raw={s.raw} {tables}source={s.source} "
            f"first_date={s.first_date} revision={s.revision[:12] or 'unknown'}"
        )

    @cached_property
    def source(self) -> Source:
        return load_source(self.package / "events" / "sources", self.settings.source)

    @cached_property
    def decoder(self) -> Decoder:
        from dsp_pipeline.events.decode import Decoder

        return Decoder(self.source, memory_limit_mb=self.settings.memory_limit_mb, threads=self.settings.threads)

    @cached_property
    def checks(self) -> CheckFiles:
        """The expectations and audits of the package."""
        from dsp_pipeline.quality.files import CheckFiles

        return CheckFiles(self.package, self.catalog, self.source)

    def version(self, name: str) -> Version:
        """What makes the rows of an event or a table. UnknownNameError, or a DefinitionError if its file is wrong."""
        if name not in self._versions:
            if name in EVENTS:
                self._versions[name] = self.source.version(name)
            else:
                events = {event: self.version(event).name for event in self.source.events}
                self._versions[name] = self.catalog.version(name, events, self.settings.first_date.isoformat())
        return self._versions[name]

    def table(self, name: str) -> Table:
        """The table that a name in SQL means. UnknownNameError, or a DefinitionError if its file is wrong."""
        if name not in self._tables:
            version = self.version(name).name
            if name in EVENTS:
                self._tables[name] = Table(name, version, EVENTS[name])
            else:
                query = self.catalog.query(name)
                self._tables[name] = Table(
                    name, version, query, {read.table: self.table(read.table) for read in query.reads}
                )
        return self._tables[name]

    def trial(self, experiment: str, arm: str) -> Trial:
        """UnknownNameError, ExperimentError or ModelError if the team's files do not allow it."""
        if (experiment, arm) not in self._trials:
            found = load_experiment(self.package / "experiments", experiment)
            model = load_model(self.package / "models", found.model)
            table, first_date = self.table(model.table), self.settings.first_date
            one = found.arm(arm)
            self._trials[experiment, arm] = Trial(found, one, one.applied_to(model), table, first_date)
        return self._trials[experiment, arm]

    def experiments(self) -> list[Experiment]:
        """The experiments whose tables the source's logs can fill: a source without bids has no model of wins.

        UnknownNameError or a DefinitionError if the team's files do not allow it.
        """
        folder, found = self.package / "experiments", []
        for experiment in (load_experiment(folder, name) for name in find_experiments(folder)):
            table = load_model(self.package / "models", experiment.model).table
            if self.catalog.events(table) <= set(self.source.events):
                found.append(experiment)
        return found

    def slices(self, table: Table, day: date) -> dict[str, Slice]:
        """What each name in the table's query stands for when its day is built, cut at the first day of logs."""
        from dsp_pipeline.sql.query import Query

        assert isinstance(table.definition, Query)
        slices = {}
        for read in table.definition.reads:
            days = self.days(day + timedelta(days=read.first), day + timedelta(days=read.last))
            source = table.reads[read.table]
            slices[read.table] = Slice(source, tuple(p for one in days for p in self.partitions(source, one)))
        return slices

    def lookups(self, table: Table) -> list[Table]:
        """The tables that a bidder must load beside a model of `table`: those that it reads as of the day itself.

        Their rows of a day are known when it begins, as they read the days before it.
        """
        from dsp_pipeline.sql.query import Query

        assert isinstance(table.definition, Query)
        reads = [read for read in table.definition.reads if read.table not in EVENTS and read.first == read.last == 0]
        return [table.reads[read.table] for read in reads]

    def windows(self, reads: Iterable[Read], day: date) -> dict[str, Slice]:
        """What the names of these reads stand for on a day, cut at the first day of logs."""
        found = {}
        for read in reads:
            table, days = self.table(read.table), self.days(day + timedelta(read.first), day + timedelta(read.last))
            found[read.table] = Slice(table, tuple(part for one in days for part in self.partitions(table, one)))
        return found

    def days(self, first: date, last: date) -> list[date]:
        """The days from first to last, both included, without those before there were logs."""
        first = max(first, self.settings.first_date)
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]

    def partitions(self, table: Table, day: date) -> list[str]:
        """The partitions of one day."""
        if table.name in EVENTS:
            return [f"{day.isoformat()}T{hour:02}" for hour in HOURS]
        return [day.isoformat()]

    def raw_files(self, event: str, hour: datetime) -> list[tuple[Stored, RawFile]]:
        """The raw files of the hour as they lie there now, in the order of their names."""
        from dsp_pipeline.events.lines import RawFile

        path = self.source.layout(event).path
        found = []
        for stored in self.raw.list(path.prefix(hour)):
            captures = path.match(hour, stored.key)
            if captures is not None:
                key = stored.key
                found.append((stored, RawFile(key, lambda key=key: self.raw.get(key), captures)))  # type: ignore[misc]
        return found

    def place(self, file: File, *, of_table: bool) -> str:
        """Where a person finds a file of an output: a path, a URI, or a partition's full name."""
        return (self._tables_at if of_table else f"{self.settings.lake}/") + file.key

    def draft(self, address: str, version: Version, inputs: Sequence[Input]) -> Draft:
        """The receipt in the making of an output of this version, which is on record from now on."""
        self.versions.record(version, self.settings.revision)
        return Draft(address, version.name, inputs, self.settings.revision, version.compatible_with)

    def abandoned(self, *, remove: bool = False) -> Iterator[Path]:
        """Work in progress on this machine of processes that are dead: files and folders. With `remove` each is removed
        after it was yielded."""
        for place in self._work_places:
            for path in sorted(place.iterdir()) if place.exists() else ():
                owner = path.name.partition("-")[0]
                if owner.isdigit() and not alive(int(owner)):
                    yield path
                    if remove:
                        _remove(path)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for one task's work, removed afterwards; what processes that were killed left is removed first."""
        root = self.settings.scratch
        try:
            root.mkdir(parents=True, exist_ok=True)
            for _ in self.abandoned(remove=True):
                pass
            folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=root))
        except OSError as error:
            raise SettingsError(
                f"{root} cannot be written: {error.strerror}; give [dsp] scratch a folder that you may write."
            ) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _place(setting: str, value: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix`."""
    bucket, _, prefix = value.removeprefix("s3://").partition("/")
    if not value.startswith("s3://") or not bucket:
        raise SettingsError(f"[dsp] {setting} is {value!r}; in mode cloud it is s3://bucket or s3://bucket/prefix.")
    return bucket, prefix


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
