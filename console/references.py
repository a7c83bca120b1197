"""Versions as a person names them: NAME/DAY is what this checkout makes, NAME@VERSION/DAY what another one made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dsp_pipeline.errors import DefinitionError, DspError, UnknownNameError
from dsp_pipeline.events.schema import EVENTS, Event
from dsp_pipeline.fingerprint import Version
from dsp_pipeline.receipts import Receipt
from dsp_pipeline.storage.versions import Recorded
from dsp_pipeline.training.experiment import find_experiments, load_experiment
from dsp_pipeline.warehouse.base import Slice, Table
from tasks.settings import platform
from tasks.step import steps
from tasks.values import ROWS, kept_stream

if TYPE_CHECKING:
    import pyarrow as pa

_VERSION = re.compile(r"[0-9a-f]{4,12}")
_DAY, _HOUR = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"\d{4}-\d\d-\d\dT\d\d")
_NAMED = 8  # versions, or days, that a message names
TABLE, MODEL, STEP = "table", "model", "step"


@dataclass(frozen=True)
class Reference:
    """A complete output: a partition of a table, what was trained for a day, or what a step gave for one.

    `table` is set for a partition, with the definition that made it, as far as reading it needs one.
    """

    kind: str
    name: str
    partition: str
    version: Version
    receipt: Receipt
    table: Table | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.version.name}/{self.partition}"

    @property
    def has_rows(self) -> bool:
        """Whether there are rows to compare: a step may have given something else."""
        return self.kind == TABLE or any(file.key.endswith(f"/{ROWS}") for file in self.receipt.files)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row; none are known of a step's."""
        return self.table.key if self.table else ()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, without the column `date` of a query's table, which says what `partition` does."""
        if self.table is None:
            return kept_stream(platform().outputs, [self.receipt])
        return platform().warehouse.read(Slice(self.table, (self.partition,)), self.columns())

    def columns(self) -> tuple[str, ...]:
        """The columns of a table's rows, in their order."""
        assert self.table is not None
        definition = self.table.definition
        if isinstance(definition, Event):
            return tuple(column.name for column in definition.columns)
        return definition.columns


def resolve(text: str, scratch: Path) -> Reference:
    """What the text names. `scratch` is for the SQL of versions on record, which is read there.

    UnknownNameError, or a sentence with the versions or the days that there are, if that is not there.
    """
    whose, _, partition = text.rpartition("/")
    name, at, begins = whose.partition("@")
    if not (name and _DAY.match(partition)):
        raise DspError(f"{text!r} has no day; write NAME/DAY or NAME@VERSION/DAY, as click_rate/2026-11-21.")
    kind = _kind(name)
    if kind == TABLE and bool(_HOUR.fullmatch(partition)) != (name in EVENTS):
        example = f"an hour, as {name}/2026-11-21T05" if name in EVENTS else f"a day, as {name}/2026-11-21"
        raise DspError(f"{text}: the partitions of {name} are those of {example}.")
    version = _recorded(kind, name, begins) if at else _own(kind, name)
    table = _table(name, version, scratch / version.name) if kind == TABLE else None
    kept = _kept(kind, name, version, table)
    found = [one for one in kept if one == partition or one.startswith(f"{partition},")]  # a step's parameters follow
    if len(found) == 1:
        return Reference(kind, name, found[0], version, kept[found[0]], table)
    if found:
        raise DspError(f"{text} may be {' or '.join(f'{whose}/{one}' for one in sorted(found))}; write one of them.")
    there = f"it made {_few(sorted(kept, reverse=True))}" if kept else "nothing of it is there"
    others = "" if at or kept else f"; {_others(kind, name)}"
    raise DspError(f"{text} is not there: its version is {version.name}, and {there}{others}.")


def table_of_version(name: str, version: str, scratch: Path) -> Table:
    """A table of a version that this checkout makes, or that is on record. DspError if it is neither."""
    one = platform()
    if name in one.catalog.tables() and one.version(name).name == version:
        return one.table(name)
    return _table(name, _recorded(TABLE, name, version), scratch / version)


def _kind(name: str) -> str:
    one = platform()
    if name in EVENTS or name in one.catalog.tables():
        return TABLE
    if name in steps():
        return STEP
    for kind in (MODEL,) if "/" in name else (TABLE, STEP):
        if one.versions.known(f"{kind}/{name}"):
            return kind
    models = [f"{experiment}/{arm}" for experiment, arms in _experiments().items() for arm in arms]
    if name in models:
        return MODEL
    raise UnknownNameError(
        "table, event, step or EXPERIMENT/ARM", name, [*EVENTS, *one.catalog.tables(), *steps(), *models]
    )


def _own(kind: str, name: str) -> Version:
    """The version that this checkout makes."""
    if kind == STEP:
        if name not in steps():
            raise UnknownNameError("step", name, steps())
        return steps()[name].version()
    if kind == MODEL:
        experiment, _, arm = name.partition("/")
        return platform().trial(experiment, arm).version
    return platform().version(name)


def _recorded(kind: str, name: str, begins: str) -> Version:
    """The version on record whose name begins so."""
    if not _VERSION.fullmatch(begins):
        raise DspError(f"{name}@{begins}: a version is 4 to 12 of the digits 0 to 9 and a to f; {_others(kind, name)}.")
    known = platform().versions.known(f"{kind}/{name}")
    found = [one for one in known if one.name.startswith(begins)]
    if len(found) == 1:
        return found[0].version
    if found:
        raise DspError(f"{len(found)} versions of {name} begin with {begins}: {_listed(found)}.")
    raise DspError(f"no version of {name} begins with {begins}; {_others(kind, name)}.")


def _others(kind: str, name: str) -> str:
    known = platform().versions.known(f"{kind}/{name}")
    return f"on record are {_listed(known)}" if known else f"no version of {name} is on record"


def _listed(known: Iterable[Recorded]) -> str:
    """The newest first, with when each was first made, and by which revision."""
    return _few(
        [
            f"{one.name} (first made {one.at[:16].replace('T', ' ')} UTC by revision {one.revision[:12] or 'unknown'})"
            for one in sorted(known, key=lambda one: one.at, reverse=True)
        ]
    )


def _few(words: list[str]) -> str:
    return ", ".join(words[:_NAMED]) + (" …" if words[_NAMED:] else "")


def _table(name: str, version: Version, folder: Path) -> Table:
    """The table of any version: an event's columns are today's, a query is the text that was recorded with it."""
    if name in EVENTS:
        return Table(name, version.name, EVENTS[name])
    from dsp_pipeline.sql.query import read_query

    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.sql"
    file.write_text(version.texts[f"features/{name}.sql"], encoding="utf-8")
    try:
        return Table(name, version.name, read_query(file))
    except DefinitionError as error:
        raise DspError(
            f"{name}@{version.name} cannot be read by this checkout, which refuses the SQL on record: {error.problem}."
        ) from error


def _kept(kind: str, name: str, version: Version, table: Table | None) -> Mapping[str, Receipt]:
    """The receipts of all that the version made, by partition."""
    if table is not None:
        return platform().warehouse.receipts(table)
    shelf = f"{'train' if kind == MODEL else 'step'}/{name}/{version.name}/"
    found = platform().outputs.receipts.read_all(shelf)
    return {address[len(shelf) :]: receipt for address, receipt in found.items()}


def _experiments() -> dict[str, Iterable[str]]:
    folder = platform().package / "experiments"
    return {name: load_experiment(folder, name).arms for name in find_experiments(folder)}
