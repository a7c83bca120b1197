"""What a run needs, looked at piece by piece: `dsp doctor`."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from luigi.interface import core

import tasks
from console import libraries, luigid
from console.watching import watching
from dsp_pipeline.errors import BundleError, DspError, first_line
from dsp_pipeline.events.source import find_sources, load_source
from dsp_pipeline.platform import HOURS, PACKAGE, Platform
from dsp_pipeline.registry.promotion import short
from dsp_pipeline.sql.catalog import Catalog
from dsp_pipeline.training.experiment import find_experiments, load_experiment
from dsp_pipeline.training.model import find_models, load_model
from tasks.logs import sentence, told_in_a_sentence
from tasks.plan import count
from tasks.raw_log import listings
from tasks.settings import dsp, platform
from tasks.step import StepTask

OK, WARNING, PROBLEM = "ok", "warning", "problem"
_OFF = 60.0  # seconds that two clocks may differ: receipts and notes of running tasks are compared by time
_DAYS = 40  # in which the newest raw log is looked for
_ROOM, _LITTLE = 0.5e9, 5e9  # bytes on a disk: less than the first stops runs, less than the second soon will
_CGROUP = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is (OK, WARNING or PROBLEM), what was found and what to do."""

    check: str
    state: str
    found: str


def findings() -> Iterator[Finding]:
    """All of them, each as soon as it is known. Whatever goes wrong is a finding, and the next check goes on."""
    one: Platform | None = None
    try:
        made = platform()
        _ = made.source  # which the settings name
        one = made
        yield Finding("settings", OK, str(one))
    except Exception as error:
        yield Finding("settings", PROBLEM, _told(error))
    told: set[str] = set()
    for name, check in _WITHOUT.items():
        yield from _once(told, list(_guarded(name, check)))
    for name, look in _WITH.items():
        if one is None:
            yield Finding(name, WARNING, "not looked at, because the settings are wrong")
        else:
            yield from _once(told, list(_guarded(name, lambda look=look, one=one: look(one))))  # type: ignore[misc]


def _once(told: set[str], found: list[Finding]) -> Iterator[Finding]:
    """What no check before has told: one wrong file may be in the way of several."""
    new = [one for one in found if one.found not in told]
    told.update(one.found for one in found if one.state == PROBLEM)
    yield from new or [
        Finding(one.check, WARNING, "not looked at to the end, for what is told above") for one in found[:1]
    ]


def _guarded(name: str, check: Callable[[], Iterable[tuple[str, str]]]) -> Iterator[Finding]:
    try:
        for state, found in check():
            yield Finding(name, state, found)
    except Exception as error:
        yield Finding(name, PROBLEM, _told(error))


def _told(error: Exception) -> str:
    return sentence(error) if told_in_a_sentence(error) else f"{type(error).__name__}: {first_line(error)}"


def _files() -> Iterator[tuple[str, str]]:
    """The team's files; the first mistake of each that is wrong."""
    from dsp_pipeline.quality.files import CheckFiles  # which reads SQL: `--help` needs none

    try:
        package = Path(dsp().package)
    except Exception:
        package = PACKAGE  # what is wrong with the settings has been told
    catalog = Catalog(package / "features")
    sources, models, experiments = (package / name for name in ("events/sources", "models", "experiments"))
    kinds: dict[str, tuple[list[str], Callable[[str], object]]] = {
        "source": (find_sources(sources), lambda name: load_source(sources, name)),
        "table": (catalog.tables(), catalog.query),
        "model": (find_models(models), lambda name: load_model(models, name)),
        "experiment": (find_experiments(experiments), lambda name: load_experiment(experiments, name)),
    }
    wrong = [problem for names, load in kinds.values() for problem in _wrong(names, load)]
    if not wrong:
        wrong = _wrong(["all"], lambda _: catalog.check())
    if not wrong:
        wrong = _wrong(
            find_sources(sources), lambda name: CheckFiles(package, catalog, load_source(sources, name)).names()
        )
    if tasks.wrong is not None:
        wrong.append(str(tasks.wrong))
    for problem in wrong:
        yield PROBLEM, problem
    if not wrong:
        yield OK, ", ".join(count(len(names), kind) for kind, (names, _) in kinds.items())


def _wrong(names: Iterable[str], load: Callable[[str], object]) -> list[str]:
    found = []
    for name in names:
        try:
            load(name)
        except Exception as error:
            found.append(_told(error))
    return found


def _libraries() -> Iterator[tuple[str, str]]:
    """What is installed, against what setup.cfg allows."""
    there, wrong = libraries.installed(), libraries.wrong()
    for problem in wrong:
        yield PROBLEM, f"{problem}; install this project again (requirements.lock has what was tested)."
    if not there.keys() & {"xgboost", "xgboost-cpu"} or "scikit-learn" not in there:
        yield WARNING, "without XGBoost and scikit-learn nothing can be trained; install the extra `train` (or `gpu`)."
    if not wrong:
        yield OK, ", ".join(f"{name} {at}" for name, at in there.items())


def _scheduler() -> Iterator[tuple[str, str]]:
    """luigid is a convenience of many workers; one worker does without."""
    given = core()
    asked = (given.scheduler_url or f"http://{given.scheduler_host}:{given.scheduler_port}").rstrip("/")
    ours = luigid.address()
    address = ours or asked
    try:
        told = f"{address}, {count(luigid.count(address, 'RUNNING'), 'task')} running"
    except DspError:
        yield WARNING, f"no luigid answers at {address}; `make ui` starts one, or give luigi --local-scheduler."
        return
    if ours and ours != asked.replace("//localhost", "//127.0.0.1"):
        yield WARNING, f"{told}; a plain `luigi` asks {asked}, so give it --scheduler-url {ours}."
    else:
        yield OK, told


def _watching() -> Iterator[tuple[str, str]]:
    """Whom runs tell of themselves; who is away costs no run anything, so this is where it shows."""
    found = list(watching())
    told = ", ".join(name for name, _ in found) or "nobody; docs/monitoring.md says how they would"
    wrong = [(WARNING, f"{name}: {problem}; see docs/monitoring.md.") for name, problem in found if problem]
    yield from wrong or [(OK, f"runs tell {told}")]


def _memory(one: Platform) -> Iterator[tuple[str, str]]:
    """The query engines of all workers of one command must fit."""
    limit, workers = one.settings.memory_limit_mb, core().workers
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # a container's own limit; `max` where there is none
        total = min(total, int(_CGROUP.read_text()))
    wanted = limit * workers
    told = f"{total / 1e6:,.0f} MB for {count(workers, 'worker')} of {limit:,} MB"
    if wanted * 1e6 > total:
        yield PROBLEM, f"{told}; lower [dsp] memory_limit_mb or [core] workers."
    elif wanted * 2e6 > total:
        yield WARNING, f"{told}, and each needs about as much again; lower [dsp] memory_limit_mb or [core] workers."
    else:
        yield OK, told


def _steps(one: Platform) -> Iterator[tuple[str, str]]:
    """Functions with @step: what they read is there and fits. Another package may lack the tables of some."""
    made = {name: getattr(tasks, name) for name in tasks.__all__ if issubclass(getattr(tasks, name), StepTask)}
    wrong = _wrong(made, lambda name: made[name].step.checked and made[name].step.version())
    for problem in wrong:
        yield PROBLEM if one.package == PACKAGE else WARNING, problem
    if not wrong:
        yield OK, count(len(made), "step")


def _arms(one: Platform) -> Iterator[tuple[str, str]]:
    """That models fit their tables, and have a version."""
    wrong = []
    arms = [(experiment.name, arm) for experiment in one.experiments() for arm in experiment.arms]
    for name, arm in arms:
        try:
            _ = one.trial(name, arm).version
        except Exception as error:
            wrong.append(_told(error))
    for problem in dict.fromkeys(wrong):
        yield PROBLEM, problem
    if not wrong:
        yield OK, count(len(arms), "arm")


def _store(one: Platform) -> Iterator[tuple[str, str]]:
    """A small object is written, read, listed and removed; its time tells of the clocks."""
    key, text = f"doctor/{secrets.token_hex(8)}", secrets.token_bytes(16)
    began = time.time()
    try:
        one.store.put(key, text)
        ended = time.time()
        with one.store.get(key) as stream:
            if stream.read() != text:
                yield PROBLEM, f"{one.settings.lake}/{key} came back otherwise than it was written."
                return
        at = next((stored.modified for stored in one.store.list(key)), None)
    finally:
        with suppress(DspError):
            one.store.delete(key)
    if at is None:
        yield PROBLEM, f"{one.settings.lake}/{key} was written and is not in the listing."
        return
    off = max(began - at, at - ended, 0.0)
    if off > _OFF:
        told = f"{one.settings.lake} can be written, and its clock is {off:,.0f} s away from this machine's"
        yield PROBLEM, f"{told}; set this machine's clock by NTP."
    else:
        yield OK, f"{one.settings.lake} can be written; its clock is ours to {max(1, round(off))} s"


def _raw(one: Platform) -> Iterator[tuple[str, str]]:
    """The newest hour of each event that arrived."""
    settings = one.settings
    if settings.mode == "local" and not Path(settings.raw).is_dir():
        yield PROBLEM, f"{settings.raw} is not there; give [dsp] raw the folder in which raw logs arrive."
        return
    newest = {event: _newest_hour(one, event) for event in one.source.events}
    told = ", ".join(f"{event} {hour:%Y-%m-%dT%H}" if hour else f"{event} none" for event, hour in newest.items())
    if all(newest.values()):
        yield OK, f"{settings.raw}, newest {told}"
    else:
        yield (
            WARNING,
            (
                f"{settings.raw}, newest {told}, of the last {_DAYS} days since {settings.first_date}; look whether "
                f"[dsp] raw and source {settings.source} are right."
            ),
        )


def _newest_hour(one: Platform, event: str) -> datetime | None:
    pattern = one.source.layout(event).arrival
    now = datetime.now(UTC)
    for back in range(_DAYS):
        day = now.date() - timedelta(days=back)
        if day < one.settings.first_date:
            return None
        for hour in reversed(HOURS):
            at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
            if at <= now and listings().files(pattern, at):
                return at
    return None


def _serving(one: Platform) -> Iterator[tuple[str, str]]:
    """What bidders load is there, as it was published. Other environments are others' to mend."""
    ours, wrong, number = one.settings.environment, False, 0
    for environment, model, pointer in one.registry.pointers():
        number += 1
        try:
            one.registry.check(model, pointer)
        except BundleError as error:
            wrong = True
            yield (
                PROBLEM if environment == ours else WARNING,
                f"{environment} points at {model} {short(pointer.address)}: {error} Until then "
                f"`dsp --set dsp.environment={environment} rollback {model}` serves what was served before.",
            )
    if not wrong:
        yield OK, f"{count(number, 'pointer')}, each at a bundle that is whole"


def _warehouse(one: Platform) -> Iterator[tuple[str, str]]:
    """The receipts of one table."""
    table = one.table(next(iter(one.source.events)))
    google = one.settings.bigquery
    place = f"{google.project}.{google.dataset} in {google.location}" if google else f"{one.settings.lake}/warehouse"
    yield OK, f"{place}, {count(len(one.warehouse.receipts(table)), 'partition')} of {table.address}"


def _disk(one: Platform) -> Iterator[tuple[str, str]]:
    """Of the folders that are written to."""
    folders = {"scratch": one.settings.scratch}
    if one.settings.mode == "local":
        folders = {"lake": Path(one.settings.lake), **folders}
    for name, folder in folders.items():
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free
        state = PROBLEM if free < _ROOM else WARNING if free < _LITTLE else OK
        cure = "" if state == OK else "; make room, `dsp janitor` lists what is not needed."
        yield state, f"{name} {folder} has {free / 1e9:,.1f} GB free{cure}"


_WITHOUT = {
    "files": _files,
    "libraries": _libraries,
    "luigid": _scheduler,
    "watching": _watching,
}
_WITH = {
    "memory": _memory,
    "steps": _steps,
    "arms": _arms,
    "store": _store,
    "raw logs": _raw,
    "warehouse": _warehouse,
    "serving": _serving,
    "disk": _disk,
}
