"""Which parameters a task has, found once for each class.

Luigi looks through all attributes of a class ten times a task, which is a quarter of what a tiny task costs it. What
was found holds until an attribute of any task's class is set or deleted, as luigi's decorators do.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import luigi
from luigi.task_register import Register

_look_through = luigi.Task.get_params.__func__  # type: ignore[attr-defined]  # what a classmethod wraps
_found: WeakKeyDictionary[type, list[tuple[str, luigi.Parameter[Any]]]] = WeakKeyDictionary()


def _get_params(cls: type) -> list[tuple[str, luigi.Parameter[Any]]]:
    """Luigi's `Task.get_params`. A list of its own for each caller, as luigi's."""
    if cls not in _found:
        _found[cls] = _look_through(cls)
    return _found[cls].copy()


def _set(cls: type, name: str, value: object) -> None:
    _found.clear()
    type.__setattr__(cls, name, value)


def _delete(cls: type, name: str) -> None:
    _found.clear()
    type.__delattr__(cls, name)


def configure() -> None:
    """Called when the tasks are imported."""
    luigi.Task.get_params = classmethod(_get_params)  # type: ignore[assignment]  # luigi has no other place
    Register.__setattr__ = _set  # type: ignore[assignment,method-assign]
    Register.__delattr__ = _delete  # type: ignore[assignment,method-assign]
