"""A task is found because its file is in tasks/: every module of the package is imported."""

from __future__ import annotations

import pkgutil
import traceback
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import luigi
from luigi.task_register import Register, TaskClassAmbigiousException

from dsp_pipeline.errors import DspError, StepError

# Modules whose classes are no tasks of their own: others are made of them.
_PARTS = ("days", "receipt_task", "step")


def find(package: str, folders: Iterable[str]) -> tuple[dict[str, type[luigi.Task]], DspError | None]:
    """The tasks of all modules of the package by name, without those that others are made of, and what is wrong.

    That is the first StepError, with file and line: a file cannot be run, or a step has the name of another task.
    """
    wrong: DspError | None = None
    for found in pkgutil.iter_modules(folders):
        try:
            load(f"{package}.{found.name}", Path(next(iter(folders)), f"{found.name}.py"))
        except DspError as error:
            wrong = wrong or error
    from tasks.step import refuse_taken_names

    try:
        refuse_taken_names()
    except DspError as error:
        wrong = wrong or error
    tasks = {}
    for name in Register.task_names():
        with suppress(TaskClassAmbigiousException):  # which is what is wrong
            tasks[name] = Register.get_task_cls(name)
    kept = {
        name: task
        for name, task in tasks.items()
        if task.__module__.startswith(f"{package}.")
        and not issubclass(task, luigi.Config)
        and task.__module__.removeprefix(f"{package}.") not in _PARTS
    }
    return kept, wrong


def load(name: str, file: Path) -> None:
    """Import a module. StepError, with file and line, if its file cannot be run."""
    try:
        import_module(name)
    except DspError:
        raise
    except SyntaxError as error:
        raise StepError(error.filename or file, error.lineno, f"not Python: {error.msg}.") from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(frames) if frame.filename == str(file)), None)
        raise StepError(file, line, f"the file cannot be run ({type(error).__name__}: {error}).") from error
