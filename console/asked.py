"""Which task a person means: written as for luigi, or shorter where only one thing can be meant."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import click
import luigi
from luigi.task_register import Register

import tasks
from console.workers import SET_FIRST
from dsp_pipeline.errors import DspError, SettingsError, UnknownNameError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.training.experiment import find_experiments, load_experiment
from tasks.daily_pipeline import DailyPipeline
from tasks.feature_build import FeatureBuild
from tasks.plan import Pending
from tasks.raw_log import RawLog
from tasks.receipt_task import ReceiptTask
from tasks.settings import platform
from tasks.step import steps

_DAY, _HOUR = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"\d{4}-\d\d-\d\dT\d\d")
_FLAGS = ("dry_run",)  # parameters that take no value
_NAMES = ("table", "event", "experiment", "arm")  # parameters that a bare word may fill, in this order


# Of a command that takes TASK: what click does not know is the task's.
PASS_ON: dict[str, Any] = {"ignore_unknown_options": True}


def _complete(_context: click.Context, _argument: click.Parameter, begun: str) -> list[str]:
    """The words of TASK that begin so, for the shell; none where the settings are wrong."""
    logging.getLogger("dsp").setLevel(logging.CRITICAL)
    with suppress(Exception):  # a shell that waits for a word is no place for an error
        one = platform()
        known = [*_families(), *one.catalog.tables(), *steps(), *one.source.events, *_arms()]
        return [word for word in known if word.startswith(begun)]
    return []


def _argument(shown: str) -> Callable[[Any], Any]:
    return click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar=shown, shell_complete=_complete)


asked, asked_or_not = _argument("TASK"), _argument("[TASK]")


def task_of(words: Sequence[str], *, there: bool = False) -> luigi.Task:
    """The task that the words mean; without any, DailyPipeline of the newest day that can be made.

    A day that is not given is that one too or, where what is `there` is asked for, the newest of which the task's
    output is there: some tables are made of the days before the pipeline's alone.
    UnknownNameError, ParameterException or another sentence if they mean none, or more than one.
    """
    bare, given = _split(words[0].split() if len(words) == 1 else words)  # all of it may stand in quotes
    kind, named = _kind(bare.pop(0)) if bare else (DailyPipeline, {})
    parameters = dict(kind.get_params())
    for name, text in given.items():
        if name not in parameters:
            raise UnknownNameError(f"parameter of {kind.task_family}", name, parameters)
        named[name] = parameters[name].parse(text)
    for word in bare:
        for part in word.split("/"):
            name = _place(part, kind, parameters, named)
            named[name] = parameters[name].parse(part)
    if "date" in parameters and "date" not in named and "start" not in named:
        named["date"] = (_newest_there(kind, named) if there else None) or _newest_labelled(kind, named)
    if "hour" in parameters and "hour" not in named:
        raise SettingsError(f"{kind.task_family} is of an hour; add one, as {newest_day()}T05.")
    return kind(**named)


def newest_day() -> date:
    """The newest day before today whose DailyPipeline is complete or can be made; yesterday if there is none."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    first = platform().settings.first_date
    event = next(iter(platform().source.events))
    for day in reversed(platform().days(first, yesterday)):
        # One listing a day while there are no logs; the whole graph is looked at only where there are.
        begins = datetime(day.year, day.month, day.day)
        if RawLog(event=event, hour=begins).complete() and Pending().can_run(DailyPipeline(date=day)):
            return day
    return max(yesterday, first)


def _newest_labelled(kind: type[luigi.Task], named: dict[str, Any]) -> date:
    """The newest day of the task that a DailyPipeline can make: an older one where labels need days to be whole."""
    one, day = platform(), newest_day()
    table = named.get("table") if kind is FeatureBuild else None
    if "experiment" in named:
        table = one.trial(named["experiment"], named.get("arm", "control")).table.name
    return day if table is None else day - timedelta(days=max(0, one.catalog.days_after(table) - 1))


def _newest_there(kind: type[luigi.Task], named: dict[str, Any]) -> date | None:
    """The newest day of a step's output; None if there is none, or if the task has no output of its own."""
    if not issubclass(kind, ReceiptTask):
        return None
    today = datetime.now(UTC).date()
    steps = (kind(**named, date=day) for day in reversed(platform().days(platform().settings.first_date, today)))
    return next((step.day for step in steps if step.output().exists()), None)


def _split(words: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """The bare words, and those that follow a `--name` (or stand behind its `=`)."""
    bare: list[str] = []
    given: dict[str, str] = {}
    ahead = iter(words)
    for word in ahead:
        if not word.startswith("--"):
            bare.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if name == "set":
            raise SettingsError(SET_FIRST)
        if not equals and name.replace("-", "_") in _FLAGS:
            value = "true"
        elif not equals:
            try:
                value = next(ahead)
            except StopIteration:
                raise SettingsError(f"{word} needs a value.") from None
        given[name.replace("-", "_")] = value
    return bare, given


def _kind(word: str) -> tuple[type[luigi.Task], dict[str, Any]]:
    """The class that the first word means, with what it says of the parameters."""
    families = {name: Register.get_task_cls(name) for name in _families()}
    if word in families:
        return families[word], {}
    one = platform()
    meant: dict[str, tuple[type[luigi.Task], dict[str, Any]]] = {}
    experiment, _, arm = word.partition("/")
    if experiment in find_experiments(one.package / "experiments"):
        found = load_experiment(one.package / "experiments", experiment)
        chosen = found.arm(arm).name if arm else found.serve or next(iter(found.arms))
        meant["the experiment"] = families["ExportModel"], {"experiment": experiment, "arm": chosen}
    if word in one.catalog.tables():
        meant["the table"] = families["FeatureBuild"], {"table": word}
    if word in steps():
        meant["the step"] = steps()[word].task, {}
    if word in EVENTS:
        meant["the event"] = families["BigQueryLoad"], {"event": word}
    if not meant:
        near = [name for name in families if name.lower().startswith(word.lower())]
        if len(near) == 1:
            return families[near[0]], {}
        known = [*families, *one.catalog.tables(), *steps(), *EVENTS, *find_experiments(one.package / "experiments")]
        raise UnknownNameError("task", word, known)
    if len(meant) > 1:
        kinds = " or ".join(f"{kind.task_family} ({what})" for what, (kind, _) in meant.items())
        raise DspError(f"{word} may mean {kinds}; write that word first.")
    return next(iter(meant.values()))


def _families() -> list[str]:
    """Our own tasks, without luigi's and without those that others are made of."""
    return list(tasks.__all__)


def _arms() -> list[str]:
    return [f"{experiment.name}/{arm}" for experiment in platform().experiments() for arm in experiment.arms]


def _place(word: str, kind: type[luigi.Task], parameters: dict[str, Any], named: dict[str, Any]) -> str:
    """The parameter that a bare word fills."""
    if _HOUR.fullmatch(word):
        wanted = ["hour"]
    elif _DAY.fullmatch(word):
        wanted = ["date"]
    else:
        wanted = [name for name in _NAMES if name in parameters and name not in named]
    for name in wanted:
        if name in parameters and name not in named:
            return name
    takes = ", ".join(f"--{name.replace('_', '-')}" for name in parameters)
    raise SettingsError(f"{kind.task_family} does not know what {word!r} is; it takes {takes}.")
