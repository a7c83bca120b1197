"""A plain function becomes a task.

    @step(reads="click_rate [-6, 0]")
    def hourly_click_rate(date: date, click_rate: pa.Table, least_impressions: int = 100) -> pa.Table:
        ...

It stays the function that it is, and `hourly_click_rate.task` is the task HourlyClickRate. docs/steps.md tells all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, ParamSpec, Protocol, TypeVar, cast

import luigi
from luigi.task_register import Register

from dsp_pipeline.code import deciding_versions, reached
from dsp_pipeline.errors import SettingsError, SqlError, StepError, UnknownNameError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.fingerprint import Version, compatible
from dsp_pipeline.receipts import Draft, Input, Receipt
from dsp_pipeline.sql.header import Read, parse_reads
from dsp_pipeline.warehouse.base import Slice
from tasks import values
from tasks.argument import ArgumentParameter, output_name
from tasks.feature_build import checked
from tasks.parameters import DayParameter
from tasks.receipt_task import StoreTask, receipts
from tasks.settings import platform
from tasks.signature import ANY, STREAM, TABLE, Argument, Signature, definition_of, read_signature, twice

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

_PROJECT = Path(__file__).parents[1]
# What makes a step run; it is no part of what the step computes.
_APART = ("tasks", "tasks.step")
_EXAMPLE = 'write for example `reads="impression [0, 0], click [0, +1]"` (days relative to `date`, inclusive)'

_steps: dict[str, Step] = {}


class Stepped(Protocol[P, R]):
    """The function as it was written, with its task."""

    task: type[StepTask]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


def step(*, reads: str, compatible_with: str = "") -> Callable[[Callable[P, R]], Stepped[P, R]]:
    """Make a function a step. `reads` is written as in a SQL file's header: events, tables and other steps.

    `compatible_with` (`OLD = NEW`) keeps what was made after a change that makes the same: docs/versions.md.
    StepError, with the line, if the function is not what a step may be.
    """

    def make(function: Callable[P, R]) -> Stepped[P, R]:
        definition = definition_of(function)
        name, file, line = definition.node.name, definition.file, definition.reads_line
        numbered = [(line + number, text) for number, text in enumerate(reads.split("\n"))]
        try:
            parsed = parse_reads(file, numbered, name, _EXAMPLE)
        except SqlError as error:
            raise StepError(error.path, error.line, error.problem) from None
        signature = read_signature(function, definition, [read.table for read in parsed])
        made = Step(name, function, function.__module__, parsed, signature, compatible_with)
        return cast(Stepped[P, R], _registered(made))

    return make


@dataclass(frozen=True, eq=False)
class Step:
    """A function with all that was said of it."""

    name: str
    function: Callable[..., Any]
    module: str
    reads: tuple[Read, ...]
    signature: Signature
    compatible_with: str

    @property
    def family(self) -> str:
        """HourlyClickRate of hourly_click_rate."""
        return "".join(word[:1].upper() + word[1:] for word in self.name.split("_"))

    @property
    def file(self) -> Path:
        return self.signature.file

    @property
    def parameters(self) -> list[Argument]:
        """All but the date."""
        return [one for one in self.signature.parameters if one.name != "date"]

    @property
    def returns_rows(self) -> bool:
        return self.signature.returns in (TABLE, STREAM)

    @property
    def task(self) -> type[StepTask]:
        task: type[StepTask] = self.function.task  # type: ignore[attr-defined]  # set when it was registered
        return task

    def wrong(self, problem: str) -> StepError:
        """The error of the function as a whole."""
        return StepError(self.file, self.signature.line, f"{self.name}: {problem}")

    def version(self) -> Version:
        """The code that the function reaches, the libraries that decide numbers, and the versions of what is read."""
        code, libraries = self._code
        versions = {
            read.table: _steps[read.table].version() if read.table in _steps else platform().version(read.table)
            for read in self.reads
        }
        parts = {"code": code, **libraries, **{f"reads {name}": version.name for name, version in versions.items()}}
        if any(read.first < 0 for read in self.reads):  # a window into the past is cut there
            parts["first_date"] = str(platform().settings.first_date)
        return Version(f"step/{self.name}", parts, self._texts, self.compatible_with)

    @cached_property
    def _code(self) -> tuple[str, dict[str, str]]:
        root = self.file.parents[self.module.count(".")]
        code = reached([(self.file, self.name)], (root, _PROJECT), _APART)
        try:
            return compatible(code.fingerprint, self.compatible_with), deciding_versions(code.packages)
        except ValueError as error:
            raise StepError(self.file, self.signature.reads_line, str(error)) from None

    @cached_property
    def _texts(self) -> dict[str, str]:
        name = "/".join(self.file.parts[-1 - self.module.count(".") :])
        return {name: self.file.read_text(encoding="utf-8")}

    @cached_property
    def checked(self) -> bool:
        """Whether what it reads is there and fits its arguments, and its version is right; always so, or StepError."""
        self._check(())
        self.version()
        return True

    def _check(self, above: tuple[str, ...]) -> None:
        if self.name in above:
            cycle = " → ".join([*above[above.index(self.name) :], self.name])
            raise self.wrong(f"steps that read each other can never be made: {cycle}; break the cycle.")
        tables = platform().catalog.tables()
        if self.name in tables:
            raise self.wrong("a table of features/ has the same name; rename one of them.")
        kinds = {one.name: one for one in self.signature.inputs}
        for read in self.reads:
            if read.table in _steps:
                _steps[read.table]._check((*above, self.name))
                self._check_step(_steps[read.table], kinds[read.table], read)
            elif read.table in EVENTS or read.table in tables:
                platform().table(read.table)  # its file is right
                self._check_kind(kinds[read.table], "holds rows", (TABLE, STREAM))
            else:
                near = UnknownNameError("event, table or step", read.table, [*EVENTS, *tables, *_steps])
                raise StepError(self.file, self.signature.reads_line, f"`reads` names an {near}")

    def _check_step(self, other: Step, argument: Argument, read: Read) -> None:
        for one in other.parameters:
            if not one.has_default:
                raise self.wrong(f"it reads {other.name}, whose {one.name} has no default; give it one.")
        returns = other.signature.returns
        if other.returns_rows:
            self._check_kind(argument, "returns rows", (TABLE, STREAM))
        elif read.first < read.last:
            self._check_kind(argument, f"returns {returns} on each of these days", ("dict", ANY))
        else:
            self._check_kind(argument, f"returns {returns}", (returns, ANY))

    def _check_kind(self, argument: Argument, what: str, kinds: tuple[str, ...]) -> None:
        if argument.kind not in kinds:
            cure = " or ".join(dict.fromkeys(kinds))
            problem = f"{argument.name} {what}, and the argument is annotated {argument.kind}; annotate it {cure}."
            raise StepError(self.file, argument.line, problem)


class StepTask(StoreTask):
    """Keeps what a function gives for a day, at `step/<function>/<version>/<day>`, then parameters if there are any."""

    step: ClassVar[Step]
    date: Any  # each task's own parameter

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        _ = self.step.checked  # what is wrong in the team's files is told before anything runs
        for read in self.step.reads:
            is_dict = read.table in _steps and read.first < read.last and not _steps[read.table].returns_rows
            if not self._sources()[read.table] and not is_dict:
                raise SettingsError(
                    f"{self.step.name} of {self.date} reads {read.table} of days before the first day of logs, "
                    f"{self.platform.settings.first_date} ([dsp] first_date); take a later day."
                )

    def requires(self) -> list[luigi.Task]:
        needed: list[luigi.Task] = []
        for name, source in self._sources().items():
            if isinstance(source, Slice):
                needed += checked(name, source.partitions)
            else:
                needed += source
        return needed

    def place(self) -> tuple[str, str]:
        return f"step/{self.step.name}/{self.version().name}/", output_name(self.date, self._parameters())

    def version(self) -> Version:
        return self.step.version()

    def inputs(self) -> list[Input]:
        found: list[Receipt] = []
        for source in self._sources().values():
            found += receipts(source) if isinstance(source, Slice) else [task.output().receipt() for task in source]
        return [receipt.as_input() for receipt in found]

    def make(self, draft: Draft, *, replace: bool) -> Receipt:
        outputs, signature = self.platform.outputs, self.step.signature
        kinds = {one.name: one.kind for one in signature.inputs}
        given = {read.table: self._given(read, kinds[read.table]) for read in self.step.reads}
        with self.platform.scratch() as scratch:
            returned = self.step.function(date=self.date, **given, **self._parameters())
            file, rows = values.write(returned, signature.returns, scratch, self.step.wrong)
            details = {"parameters": self._parameters()}
            return outputs.keep(draft, {file.name: file}, rows, details=details, replace=replace)

    def _sources(self) -> dict[str, Slice | list[StepTask]]:
        """What each name in `reads` stands for, cut at the first day of logs."""
        one = self.platform
        found: dict[str, Slice | list[StepTask]] = {}
        for read in self.step.reads:
            days = one.days(self.date + timedelta(days=read.first), self.date + timedelta(days=read.last))
            if read.table in _steps:
                found[read.table] = [_steps[read.table].task(date=day) for day in days]
            else:
                table = one.table(read.table)
                found[read.table] = Slice(table, tuple(part for day in days for part in one.partitions(table, day)))
        return found

    def _given(self, read: Read, kind: str) -> Any:
        """The data of a read in the form of its argument."""
        outputs, warehouse, source = self.platform.outputs, self.platform.warehouse, self._sources()[read.table]
        if isinstance(source, Slice):
            return values.stream(warehouse, source) if kind == STREAM else values.whole(warehouse, source)
        kept = {task.date: task.output().receipt() for task in source}
        if kind == STREAM:
            return values.kept_stream(outputs, kept.values())
        if _steps[read.table].returns_rows:
            return values.kept_whole(outputs, [*kept.values()], self.step.wrong)
        found = {day: values.kept_value(outputs, receipt) for day, receipt in kept.items()}
        return found if read.first < read.last else found.popitem()[1]

    def _parameters(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in self.step.parameters}


def _registered(made: Step) -> Callable[..., Any]:
    """The function, with a task of its own in its module, where a worker process finds it by name."""
    other = _steps.get(made.name)
    if other is not None and other.file != made.file:
        raise made.wrong(twice(made.name, f"{other.file}:{other.signature.line}"))
    if other is not None:  # the file is imported again
        other.task._visible_in_registry = False
    if made.name in EVENTS:
        raise made.wrong("an event has the same name; rename it.")
    module = sys.modules[made.module]
    if made.family in Register.task_names() or (other is None and hasattr(module, made.family)):
        raise made.wrong(f"its task would be {made.family}, and there is a {made.family} already; rename it.")
    parameters: dict[str, Any] = {"date": DayParameter(description="the day, as 2026-11-21, or yesterday")}
    for one in made.parameters:
        if hasattr(StepTask, one.name):
            problem = f"every task has a {one.name} already; give the argument another name."
            raise StepError(made.file, one.line, problem)
        parameters[one.name] = ArgumentParameter(one)
    named = {"__module__": made.module, "__qualname__": made.family, "__doc__": made.function.__doc__}
    task = Register(made.family, (StepTask,), {"step": made, **parameters, **named})
    setattr(module, made.family, task)
    made.function.task = task  # type: ignore[attr-defined]
    _steps[made.name] = made
    return made.function


def steps() -> Mapping[str, Step]:
    """All steps, by the names of their functions."""
    return MappingProxyType(_steps)


def refuse_taken_names() -> None:
    """StepError if a task that was made later has the name of a step's."""
    tasks = Register._get_reg()
    for made in _steps.values():
        if tasks[made.family] is not made.task:
            raise made.wrong(f"its task is {made.family}, and there is another {made.family}; rename it.")
