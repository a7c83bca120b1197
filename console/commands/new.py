"""dsp new: the files of a new model, experiment, source or step, which work as they are."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

import click
from luigi.task_register import Register

import tasks
from console.printing import console
from dsp_pipeline.errors import DspError, UnknownNameError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.training.experiment import find_experiments
from dsp_pipeline.training.model import find_models
from tasks.settings import platform
from tasks.step import steps

_TEMPLATES = Path(__file__).parents[1] / "templates"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _checked(_context: click.Context, _argument: click.Parameter, name: str) -> str:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise DspError(f"{name!r} cannot be a name; use small letters, digits and _, and begin with a letter.")
    return name


_named: Callable[[Any], Any] = click.argument("name", callback=_checked)


@click.group(short_help="The files of a new model, experiment, source or step.")
def command() -> None:
    """Write the files of something new. They work as they are: try them first, then change them.

    Nothing has to be registered anywhere, and no other file changes.
    """


@command.command(short_help="models/NAME.py and features/NAME.sql")
@_named
def model(name: str) -> None:
    """A model and the table that it learns from. Name it for what it predicts, as conversion_rate."""
    package = platform().package
    _refuse_taken(name)
    _write(
        {
            package / "features" / f"{name}.sql": _filled("model.sql", name=name),
            package / "models" / f"{name}.py": _filled("model.py", name=name),
        },
        f"dsp try {name}` answers its query; `dsp new experiment {name}_baseline --model {name}` trains it",
    )


@command.command(short_help="experiments/NAME.yaml")
@_named
@click.option("--model", help="The model that it is about; may be left out where there is only one.")
def experiment(name: str, model: str | None) -> None:
    """An experiment: some arms of a model, trained and judged on the same days."""
    package = platform().package
    known = find_models(package / "models")
    if model is None and len(known) != 1:
        raise DspError(f"--model is missing; there are: {', '.join(known) or 'none, `dsp new model` makes one'}.")
    chosen = model or known[0]
    if chosen not in known:
        raise UnknownNameError("model", chosen, known)
    _refuse_taken(name, experiment=name)
    path = package / "experiments" / f"{name}.yaml"
    _write(
        {path: _filled("experiment.yaml", name=name, model=chosen)},
        f"dsp plan {name}` tells what it would reuse and build",
    )


@command.command(short_help="events/sources/NAME.yaml")
@_named
def source(name: str) -> None:
    """A layout of raw logs: how our events are made from their lines."""
    path = platform().package / "events" / "sources" / f"{name}.yaml"
    _write(
        {path: _filled("source.yaml", name=name)},
        f"dsp --set dsp.source={name} try S3LogIngest impression 2026-11-21T05` reads an hour of it",
    )


@command.command(short_help="tasks/NAME.py")
@_named
@click.option("--table", default="click_rate", show_default=True, help="The table or event that it reads.")
def step(name: str, table: str) -> None:
    """A step of the pipeline: a function with its inputs as arguments, which is a Luigi task."""
    _refuse_taken(name)
    known = [*platform().catalog.tables(), *EVENTS]
    if table not in known:
        raise UnknownNameError("table", table, known)
    family = "".join(part.capitalize() for part in name.split("_"))
    _refuse_family(family)
    path = Path(tasks.__file__).parent / f"{name}.py"
    _write(
        {path: _filled("step.py", name=name, table=table, task=family)},
        f"luigi --module tasks {family} --date 2026-11-21` runs it; docs/steps.md tells more",
    )


def _filled(template: str, **words: str) -> str:
    return Template((_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")).substitute(words)


def _refuse_taken(name: str, experiment: str = "") -> None:
    """Models have a table of their name, steps read tables by theirs, and a TASK may be any of them in short: so all
    share their names. An `experiment` of the name is told by its file."""
    if name in EVENTS:
        raise DspError(f"{name} is already an event; take another name.")
    if name in platform().catalog.tables():
        raise DspError(f"{name} is already a table; take another name.")
    if name in steps():
        raise DspError(f"{name} is already a step; take another name.")
    if name != experiment and name in find_experiments(platform().package / "experiments"):
        raise DspError(f"{name} is already an experiment; take another name.")


def _refuse_family(family: str) -> None:
    """Luigi knows a task by the name of its class, ours and its own; two of one name stop every command."""
    from luigi.tools import range as _  # noqa: F401  # which luigi.cfg has it load

    if family in Register.task_names():
        raise DspError(f"{family} is already a task; take another name.")


def _write(files: dict[Path, str], then: str) -> None:
    """Write all the files or none."""
    for path in files:
        if path.exists():
            raise DspError(f"{path} is there already; take another name, or edit that file.")
    written: list[Path] = []
    try:
        for path, text in files.items():
            with path.open("x", encoding="utf-8") as stream:
                written.append(path)
                stream.write(text)
    except OSError as error:
        for half in written:
            half.unlink(missing_ok=True)
        raise DspError(f"{path} cannot be written: {error.strerror}.") from error
    out = console()
    for path in files:
        out.print(f"wrote {path}", soft_wrap=True)
    out.print(f"`{then}.", soft_wrap=True)
