"""What is needed of all that the lake holds, and the rest: what `dsp janitor` removes.

Needed is what this checkout makes, what an environment serves or served lately, and what those bundles were made from.
Everything else stays as long as something was written into it lately; a bundle of that age keeps what it was made from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import tasks
from dsp_pipeline.errors import BundleError, UnknownNameError
from dsp_pipeline.events.source import find_sources, load_source
from dsp_pipeline.platform import Platform
from dsp_pipeline.registry.manifest import LINEAGE
from dsp_pipeline.registry.pointer import Pointer
from dsp_pipeline.storage.sweep import Pile, Swept
from tasks.step import StepTask

_NOTHING_LEFT = "nothing that this version made is left"
_DEAD = "the process that wrote it is dead"
# Shelves of which it is known what makes them; those of steps that are classes stay.
_KINDS = ("ingest", "train", "export", "step", "quality")
_Sweep = Callable[..., Iterator[Swept]]


@dataclass(frozen=True)
class Needed:
    """`stems` are addresses of tables and shelves, `bundles` those of bundles.

    `doubts` says what could not be found out: while there are any, nothing may be removed.
    """

    stems: frozenset[str]
    bundles: frozenset[str]
    doubts: tuple[str, ...]


class Household:
    """All that one platform's lake and warehouse hold. What was written since `before` is not touched."""

    def __init__(self, platform: Platform, before: datetime) -> None:
        self._platform, self._before = platform, before
        self._upstream: dict[str, frozenset[str]] = {}  # by bundle, which never changes

    def needed(self) -> Needed:
        """As it is at this moment. A sentence if one of the team's files or a pointer is wrong."""
        published = {one.address: one for one in self._platform.registry.versions()}
        stems, bundles, doubts = set(_made_here(self._platform)), set(), []
        served = [pointer for _, _, pointer in self._platform.registry.pointers()]
        wanted = {pointer.address for pointer in served}  # there or not: what they stand on must be known
        wanted |= {address for pointer in served for address in self._lately(pointer) if address in published}
        bundles |= wanted
        known = set(stems)
        for address, one in published.items():
            if one.published >= self._before.timestamp() and _export_stem(address) not in known:
                known.add(_export_stem(address))  # bundles of one version were made from the same versions
                wanted.add(address)
        for address in sorted(wanted):
            try:
                stems |= self._made_from(address)
            except BundleError as error:
                doubts.append(f"what {address} was made from is not known: {error}")
        return Needed(frozenset(stems), frozenset(bundles), tuple(doubts))

    def sweep(self, needed: Needed, shown: frozenset[str] | None = None) -> Iterator[Swept]:
        """What is not needed. With `shown`, each is removed before it is yielded, if it is among these addresses.

        Receipts go before what they name. Pointers are looked at again before a bundle goes, and what is needed before
        the tables go.
        """
        one, before, remove = self._platform, self._before, shown is not None
        gone: set[str] = set()

        def keep(stem: str) -> bool:
            ours = stem.partition("/")[0] in _KINDS or "/" not in stem
            return stem in needed.stems or not ours or (shown is not None and stem not in shown)

        def told(found: Iterable[Swept]) -> Iterator[Swept]:
            for swept in found:
                gone.add(swept.address)
                yield swept

        yield from told(one.outputs.sweep(keep, before, remove=remove))
        yield from told(one.registry.sweep(self._bundle_is_kept(needed, gone, shown), before, remove=remove))
        if remove:
            needed = self.needed()
        if not needed.doubts or not remove:
            yield from told(one.warehouse.sweep(keep, before, remove=remove))
        yield from self._records(needed, gone, remove=remove)
        yield from self._notes(remove=remove)
        yield from self._abandoned(remove=remove)

    def _lately(self, pointer: Pointer) -> Iterator[str]:
        """What a rollback goes back to, and what some bidder may still be loading."""
        yield from pointer.history
        for address, at in pointer.left.items():
            try:
                if datetime.fromisoformat(at) >= self._before:
                    yield address
            except (ValueError, TypeError):
                yield address

    def _made_from(self, address: str) -> frozenset[str]:
        """The shelves and tables of everything upstream of a bundle, and its own. BundleError if that is not known."""
        if address not in self._upstream:
            found = self._platform.registry.contents(address, LINEAGE)
            stem = _export_stem(address)
            own = {stem, stem.replace("export/", "train/", 1)}
            self._upstream[address] = frozenset({*own, *map(_stem, found)})
        return self._upstream[address]

    def _bundle_is_kept(self, needed: Needed, gone: set[str], shown: frozenset[str] | None) -> Callable[[str], bool]:
        """Whether an old bundle stays: it is needed, somebody points at it now, or a receipt that stays names it."""
        one = self._platform
        complete = {address for address in one.outputs.receipts.addresses("export/") if _stem(address) not in gone}
        attempts = Counter(_exported(version.address) for version in one.registry.versions())

        def keep(address: str) -> bool:
            exported = _exported(address)
            if address in needed.bundles or (shown is not None and address not in shown):
                return True
            if exported in complete:
                receipt = None if attempts[exported] == 1 else one.outputs.receipts.read(exported)
                if receipt is None or receipt.details.get("bundle") == address:
                    return True
            if shown is None:
                return False
            return any(address in (at.address, *at.history) for _, _, at in one.registry.pointers())

        return keep

    def _records(self, needed: Needed, gone: set[str], *, remove: bool) -> Iterator[Swept]:
        """Records of versions of which nothing is needed, and nothing is left."""
        one = self._platform
        left = (_all_of(one.outputs.sweep) | _all_of(one.warehouse.sweep)) - gone | needed.stems
        left |= {_export_stem(version.address) for version in one.registry.versions() if version.address not in gone}
        for stored in one.store.list("versions/"):
            of, _, name = stored.key.removeprefix("versions/").removesuffix(".json").rpartition("/")
            stems = _stems_of(of, name)
            if stored.modified < self._before.timestamp() and stems and not stems & left:
                if remove:
                    one.store.delete(stored.key)
                yield Pile([stored]).swept(stored.key, _NOTHING_LEFT)

    def _notes(self, *, remove: bool) -> Iterator[Swept]:
        """Old notes of who makes what."""
        one = self._platform
        for stored in one.store.list("running/"):
            address = stored.key.removeprefix("running/").removesuffix(".json")
            if stored.modified < self._before.timestamp() and one.running.who(address) is None:
                if remove:
                    one.store.delete(stored.key)
                yield Pile([stored]).swept(stored.key, _DEAD)

    def _abandoned(self, *, remove: bool) -> Iterator[Swept]:
        """What processes of this machine left that are dead, however new: what a query wrote aside may be gigabytes."""
        for path in self._platform.abandoned(remove=remove):
            files = [one.stat().st_size for one in (path, *path.rglob("*")) if one.is_file()]
            yield Swept(str(path), len(files), sum(files), _DEAD)


def _made_here(platform: Platform) -> Iterator[str]:
    """The tables and shelves of all that this checkout makes."""
    from dsp_pipeline.quality.files import CheckFiles  # which reads SQL: `--help` needs none

    folder = platform.package / "events" / "sources"
    for source in (load_source(folder, name) for name in find_sources(folder)):  # a lake may hold several
        yield from _made_of(platform, {event: source.version(event).name for event in source.events})
        files = CheckFiles(platform.package, platform.catalog, source)
        for declared in filter(None, map(files.of, files.names())):
            yield from _stems_of(declared.version.of, declared.version.name)
    for task in (getattr(tasks, name) for name in tasks.__all__):
        if issubclass(task, StepTask):
            with suppress(UnknownNameError):  # it reads a table that this package does not have
                yield f"step/{task.step.name}/{task.step.version().name}"


def _made_of(platform: Platform, events: Mapping[str, str]) -> Iterator[str]:
    """The same of a source's events, whose versions these are."""
    first, catalog = platform.settings.first_date.isoformat(), platform.catalog
    for event, version in events.items():
        yield from _stems_of(f"table/{event}", version)
    versions = {}
    for name in catalog.tables():
        with suppress(UnknownNameError):  # it reads an event that the source does not have
            versions[name] = catalog.version(name, events, first).name
            yield from _stems_of(f"table/{name}", versions[name])
    for experiment in platform.experiments():
        for arm in experiment.arms:
            trial = platform.trial(experiment.name, arm)
            if trial.table.name in versions:
                trained = replace(trial, table=replace(trial.table, version=versions[trial.table.name]))
                yield from _stems_of(f"model/{experiment.name}/{arm}", trained.version.name)


def _stem(address: str) -> str:
    """The shelf or the table of an output."""
    return address.rpartition("/")[0]


def _exported(bundle: str) -> str:
    """The address of the receipt that names a bundle, if one does."""
    _, _, experiment, arm, version, day, *_ = bundle.split("/")
    return f"export/{experiment}/{arm}/{version}/{day}"


def _export_stem(bundle: str) -> str:
    return _stem(_exported(bundle))


def _stems_of(of: str, name: str) -> set[str]:
    """Where a version's outputs lie; nowhere if it is of a kind that is not known here."""
    kind, _, subject = of.partition("/")
    stems = {
        "table": {f"{subject}_{name}", f"ingest/{subject}-{name}"},
        "model": {f"train/{subject}/{name}", f"export/{subject}/{name}"},
        "step": {f"step/{subject}/{name}"},
        "quality": {f"quality/{subject}/{name}"},
    }
    return stems.get(kind, set())


def _all_of(sweep: _Sweep) -> set[str]:
    """All tables or shelves that there are."""
    seen: set[str] = set()

    def keep(address: str) -> bool:
        seen.add(address)
        return True

    for _ in sweep(keep, datetime.now(UTC) + timedelta(days=1), remove=False):
        pass
    return seen
